//! Following operations live: a table that is drawn again on a terminal, a line
//! for each change in a pipe.

use std::collections::BTreeMap;
use std::time::Duration;

use console::Term;
use formwork_host::clock::{Clock as _, SystemClock};
use formwork_host::model::{Action, RequestToken};
use formwork_host::operation::{Event, Operation, Status};

use super::super::Exit;
use super::super::interrupts::Interrupts;
use super::super::output::{Console, Output};
use super::super::text::{printable, time};
use super::source::Source;
use super::{table, timeline};
use crate::operations::shapes::{EventLine, OperationLine};
use crate::operations::{Criteria, Details};

/// How often is looked. What another process does is seen that late.
const LOOK: Duration = Duration::from_secs(1);

/// The statuses of what is followed, if nobody says which.
const LIVE: [Status; 3] = [
    Status::Pending,
    Status::InProgress,
    Status::CancelInProgress,
];

/// Follows the newest operations that are meant, at most `limit` at a time, until
/// somebody interrupts it.
pub(super) async fn all(
    source: &Source,
    criteria: &Criteria,
    limit: usize,
    json: bool,
    console: &Console,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let mut interrupts = Interrupts::listen()?;
    let clock = SystemClock::new();
    let mut screen = Screen::new(json);
    let mut watched = Watched::new(criteria, source.now());
    if !screen.is_live() {
        console.say(format_args!(
            "Watching the operations of {source}; Ctrl-C ends."
        ));
    }
    loop {
        let looked = tokio::select! {
            looked = watched.look(source, limit) => looked?,
            () = interrupts.next() => break,
        };
        if screen.is_live() {
            let heading = format!(
                "{}  {source}: {} shown; Ctrl-C ends",
                time(source.now()),
                watched.seen.len()
            );
            screen.draw(&heading, &watched.newest())?;
        } else {
            for operation in &looked {
                if json {
                    output.json(&OperationLine::new(operation));
                } else {
                    output.line(line(operation));
                }
            }
        }
        if output.is_closed() {
            return Ok(Exit::Done);
        }
        tokio::select! {
            () = clock.sleep(LOOK) => {}
            () = interrupts.next() => break,
        }
    }
    Ok(Exit::Interrupted)
}

/// Follows one operation until it has ended.
pub(super) async fn one(
    source: &Source,
    token: RequestToken,
    json: bool,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let mut interrupts = Interrupts::listen()?;
    let clock = SystemClock::new();
    let mut screen = Screen::new(json);
    let mut details = tokio::select! {
        details = source.get(token) => details?,
        () = interrupts.next() => return Ok(Exit::Interrupted),
    };
    let mut shown = 0;
    loop {
        if screen.is_live() {
            let text = table::details(&details, source.now(), Output::width());
            screen.replace(text.lines().map(str::to_owned).collect())?;
        } else {
            for event in news(&details, shown) {
                shown = event.version;
                if json {
                    output.json(&EventLine::new(event));
                } else {
                    output.line(timeline::line(event));
                }
            }
        }
        match details.operation.status {
            Status::Success => return Ok(Exit::Done),
            Status::Failed | Status::CancelComplete => return Ok(Exit::No),
            Status::Pending | Status::InProgress | Status::CancelInProgress => {}
        }
        if output.is_closed() {
            return Ok(Exit::Done);
        }
        let again = async {
            clock.sleep(LOOK).await;
            source.look_again(&mut details).await
        };
        tokio::select! {
            looked = again => looked?,
            () = interrupts.next() => return Ok(Exit::Interrupted),
        }
    }
}

fn news(details: &Details, after: u64) -> impl Iterator<Item = &Event> {
    let events = details.events.iter();
    events.filter(move |event| event.version > after)
}

/// What is followed.
struct Watched {
    /// What is live, or what was asked for.
    criteria: Criteria,
    /// What was accepted since the beginning, also if it has ended by now.
    fresh: Criteria,
    /// As it was seen last.
    seen: BTreeMap<RequestToken, Operation>,
}

impl Watched {
    fn new(criteria: &Criteria, now: formwork_host::model::Timestamp) -> Self {
        let mut live = criteria.clone();
        if live.statuses.is_empty() {
            live.statuses = LIVE.to_vec();
        }
        let mut fresh = criteria.clone();
        fresh.from = Some(fresh.from.map_or(now, |from| from.max(now)));
        Self {
            criteria: live,
            fresh,
            seen: BTreeMap::new(),
        }
    }

    /// Looks, and gives what is new or has changed, the oldest first.
    async fn look(&mut self, source: &Source, limit: usize) -> anyhow::Result<Vec<Operation>> {
        let mut found = BTreeMap::new();
        for criteria in [&self.criteria, &self.fresh] {
            for operation in source.list(criteria, limit).await? {
                found.insert(operation.token, operation);
            }
        }
        // What is missing has ended, or is what was asked for no longer.
        let missing: Vec<RequestToken> = self
            .seen
            .values()
            .filter(|it| !it.status.is_terminal() && !found.contains_key(&it.token))
            .map(|it| it.token)
            .collect();
        for token in missing {
            match source.find(token).await? {
                Some(details) => {
                    found.insert(token, details.operation);
                }
                None => {
                    self.seen.remove(&token);
                }
            }
        }
        let mut changed = Vec::new();
        for (token, operation) in found {
            let is_new = self
                .seen
                .get(&token)
                .is_none_or(|before| is_news(before, &operation));
            if is_new {
                changed.push(operation.clone());
            }
            self.seen.insert(token, operation);
        }
        self.forget(limit);
        Ok(changed)
    }

    /// Forgets what has ended beyond the newest ones.
    fn forget(&mut self, limit: usize) {
        let ended = self.seen.values().filter(|it| it.status.is_terminal());
        let ended: Vec<RequestToken> = ended.map(|it| it.token).collect();
        for token in ended.iter().rev().skip(limit) {
            self.seen.remove(token);
        }
    }

    fn newest(&self) -> Vec<Operation> {
        self.seen.values().rev().cloned().collect()
    }
}

/// Tells whether somebody wants to hear of a change: a lease alone is none.
fn is_news(before: &Operation, now: &Operation) -> bool {
    let told = |it: &Operation| {
        (
            it.status,
            it.invocation,
            it.message.clone(),
            it.identifier.clone(),
        )
    };
    before.version != now.version && told(before) != told(now)
}

fn line(operation: &Operation) -> String {
    let identifier = operation.identifier.as_ref();
    let identifier = identifier.map(|name| printable(&name.to_string()));
    let message = operation.message.as_deref().map(printable);
    let said = match (operation.code, message) {
        (Some(code), Some(message)) => Some(format!("{code}: {message}")),
        (Some(code), None) => Some(code.to_string()),
        (None, message) => message,
    };
    let at = operation.ended_at.unwrap_or(operation.accepted_at);
    let parts = [
        Some(operation.token.to_string()),
        Some(format!("{:<18}", operation.status)),
        Some(Action::from(operation.mutation).to_string()),
        Some(operation.type_name.to_string()),
        identifier,
        said.filter(|said| !said.is_empty()),
        operation.ended_at.map(|_| format!("(ended {})", time(at))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join("  ")
}

/// The terminal, if a person looks on and wants no JSON.
struct Screen {
    terminal: Option<Term>,
    drawn: Vec<String>,
}

impl Screen {
    fn new(json: bool) -> Self {
        let terminal = Term::buffered_stdout();
        let is_live = terminal.is_term() && !json;
        Self {
            terminal: is_live.then_some(terminal),
            drawn: Vec::new(),
        }
    }

    const fn is_live(&self) -> bool {
        self.terminal.is_some()
    }

    /// Draws a table in the place of the one before, as far as there is room.
    fn draw(&mut self, heading: &str, operations: &[Operation]) -> anyhow::Result<()> {
        let Some(terminal) = &self.terminal else {
            return Ok(());
        };
        let (height, width) = terminal.size();
        let (height, width) = (usize::from(height), usize::from(width));
        let heading = console::truncate_str(heading, width, "…").into_owned();
        let mut lines = vec![heading];
        if operations.is_empty() {
            lines.push("No such operations.".to_owned());
        } else {
            let text = table::list(operations, Some(width));
            lines.extend(text.lines().map(str::to_owned));
        }
        // The last line is the cursor's.
        lines.truncate(height.saturating_sub(1).max(2));
        self.replace(lines)
    }

    /// Draws lines in the place of those before.
    fn replace(&mut self, lines: Vec<String>) -> anyhow::Result<()> {
        let Some(terminal) = &self.terminal else {
            return Ok(());
        };
        if lines == self.drawn {
            return Ok(());
        }
        let (height, width) = terminal.size();
        let (height, width) = (usize::from(height), usize::from(width).max(1));
        let rows = |line: &String| console::measure_text_width(line).div_ceil(width).max(1);
        // What has left the top of the terminal cannot be drawn again.
        let before: usize = self.drawn.iter().map(rows).sum();
        terminal.clear_last_lines(before.min(height.saturating_sub(1)))?;
        for line in &lines {
            terminal.write_line(line)?;
        }
        terminal.flush()?;
        self.drawn = lines;
        Ok(())
    }
}
