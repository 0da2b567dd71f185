//! A process of the operating system that ends with its test.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// How long a process may take: far more than any needs on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

/// A running process. It is killed when this is dropped, also by a panic.
pub(crate) struct Process {
    name: String,
    child: Child,
    lines: Receiver<Line>,
    said: String,
    answer: String,
    limit: Instant,
}

/// A line, and whether it came over the standard output.
struct Line {
    text: String,
    answers: bool,
}

impl Process {
    /// Starts a process; what it prints is kept, both streams in one.
    pub(crate) fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let (sender, lines) = mpsc::channel();
        send_lines(child.stdout.take().expect("a pipe"), true, sender.clone());
        send_lines(child.stderr.take().expect("a pipe"), false, sender);
        Self {
            name,
            child,
            lines,
            said: String::new(),
            answer: String::new(),
            limit: Instant::now() + LIMIT,
        }
    }

    /// Waits until the process prints a line with `words`, and gives what stands
    /// behind them.
    pub(crate) fn until(&mut self, words: &str) -> String {
        while let Some(line) = self.next() {
            if let Some((_, rest)) = line.split_once(words) {
                return rest.trim().to_owned();
            }
        }
        panic!("{} never said {words:?}, but\n{}", self.name, self.said);
    }

    /// Gives the number that the system knows it by.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Gives what stands behind `words` in what the process has printed so far.
    pub(crate) fn said(&self, words: &str) -> Option<String> {
        let mut lines = self.said.lines();
        lines.find_map(|line| Some(line.split_once(words)?.1.trim().to_owned()))
    }

    /// Sends a signal, in the words of `kill`: `-INT`.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {signal}");
    }

    /// Waits until the process ends.
    pub(crate) fn end(mut self) -> Ended {
        while self.next().is_some() {}
        let status = self.child.wait().expect("it was started");
        let said = std::mem::take(&mut self.said);
        let answer = std::mem::take(&mut self.answer);
        Ended {
            status,
            said,
            answer,
        }
    }

    /// Gives the next line, and none when the process has closed both streams.
    fn next(&mut self) -> Option<String> {
        let left = self.limit.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(Line { text, answers }) => {
                let kept = if answers {
                    Some(&mut self.answer)
                } else {
                    None
                };
                for kept in [Some(&mut self.said), kept].into_iter().flatten() {
                    kept.push_str(&text);
                    kept.push('\n');
                }
                Some(text)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!(
                "{} has not ended within {} s, and said\n{}",
                self.name,
                LIMIT.as_secs(),
                self.said
            ),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// What it printed.
    pub(crate) said: String,
    /// What of that came over the standard output.
    answer: String,
}

impl Ended {
    /// Gives what a process printed that succeeded.
    #[track_caller]
    pub(crate) fn well(self) -> String {
        assert!(self.status.success(), "{}: {}", self.status, self.said);
        self.said
    }

    /// Gives what a process that succeeded printed to its standard output, where
    /// nothing else comes in between.
    #[track_caller]
    pub(crate) fn answer(self) -> String {
        assert!(self.status.success(), "{}: {}", self.status, self.said);
        self.answer
    }
}

fn send_lines(stream: impl Read + Send + 'static, answers: bool, lines: Sender<Line>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let text = String::from_utf8_lossy(&line).into_owned();
            // Nobody listens any more when the test is over.
            if lines.send(Line { text, answers }).is_err() {
                return;
            }
        }
    });
}
