//! An attack, as data: what is tried, with which component, and what stops it.

use std::error::Error;
use std::pin::Pin;
use std::time::Duration;

use formwork_host::model::{Action, JsonObject, ListPage, ProgressEvent, ReadFailure};
use formwork_host::sandbox::{Environment, Handler, Limits, LoadError, Outcome, SandboxError};
use formwork_tests::hostile::Text;
use serde_json::json;

use super::scene::{Scene, invocation};

/// How an attack ended, in words.
pub(super) type Ending<'a> = Pin<Box<dyn Future<Output = String> + Send + 'a>>;

/// One attack.
pub(super) struct Attack {
    pub(super) name: &'static str,
    /// What it tries, as a sentence.
    pub(super) tries: &'static str,
    with: With,
    /// Part of how it has to end.
    pub(super) stopped: &'static str,
    /// How long it may compute.
    cpu: Duration,
    /// What else differs from the environment of a scene.
    set: fn(&mut Environment),
}

/// What it is made with.
enum With {
    /// A text of `tests/hostile`, and the action that is called.
    File(&'static str, Action),
    /// Another component, of which the load has to be refused or a create stopped.
    Bytes(fn() -> Vec<u8>),
    /// What the hostile guest is to do in one create.
    Guest(&'static [&'static str]),
    /// Anything else, and the texts that it uses.
    Play(fn(&Scene) -> Ending<'_>, &'static [&'static str]),
}

impl Attack {
    /// Creates with the text of its name.
    pub(super) fn text(name: &'static str, tries: &'static str, stopped: &'static str) -> Self {
        Self::new(name, tries, With::File(name, Action::Create), stopped)
    }

    /// Creates with a component that is made.
    pub(super) fn made(
        name: &'static str,
        tries: &'static str,
        component: fn() -> Vec<u8>,
        stopped: &'static str,
    ) -> Self {
        Self::new(name, tries, With::Bytes(component), stopped)
    }

    /// Creates with the hostile guest.
    pub(super) fn guest(
        name: &'static str,
        tries: &'static str,
        attacks: &'static [&'static str],
        stopped: &'static str,
    ) -> Self {
        Self::new(name, tries, With::Guest(attacks), stopped)
    }

    /// Makes an attack of several components or invocations, with texts.
    pub(super) fn play(
        name: &'static str,
        tries: &'static str,
        play: fn(&Scene) -> Ending<'_>,
        texts: &'static [&'static str],
        stopped: &'static str,
    ) -> Self {
        Self::new(name, tries, With::Play(play, texts), stopped)
    }

    fn new(name: &'static str, tries: &'static str, with: With, stopped: &'static str) -> Self {
        Self {
            name,
            tries,
            with,
            stopped,
            cpu: Limits::default().cpu,
            set: |_| {},
        }
    }

    /// Lets it compute for 100 ms alone: for what computes for ever. Others might be
    /// held up for longer, on a machine that does much else.
    pub(super) fn shortly(mut self) -> Self {
        self.cpu = Duration::from_millis(100);
        self
    }

    /// Calls another action of its text.
    pub(super) fn calling(mut self, action: Action) -> Self {
        if let With::File(name, _) = self.with {
            self.with = With::File(name, action);
        }
        self
    }

    /// Changes the environment.
    pub(super) fn with(mut self, set: fn(&mut Environment)) -> Self {
        self.set = set;
        self
    }

    /// Gives the texts of `tests/hostile` that it uses.
    pub(super) fn texts(&self) -> &[&'static str] {
        match &self.with {
            With::File(name, _) => std::slice::from_ref(name),
            With::Bytes(_) | With::Guest(_) => &[],
            With::Play(_, texts) => texts,
        }
    }

    /// Makes the attack, and tells how it ended.
    pub(super) async fn make(&self, scene: &Scene) -> String {
        let mut environment = scene.environment();
        environment.limits.cpu = self.cpu;
        (self.set)(&mut environment);
        match self.with {
            With::File(name, action) => {
                let component = Text::file(name).component();
                load_and_call(scene, component, action, &environment).await
            }
            With::Bytes(component) => {
                // What making it takes, such as the stack for a text that is nested
                // deeply, ends with its thread and is no growth.
                let made = std::thread::spawn(component).join().expect("it is made");
                load_and_call(scene, made, Action::Create, &environment).await
            }
            With::Guest(attacks) => scene.attack(attacks, &environment).await,
            With::Play(play, _) => play(scene).await,
        }
    }
}

/// Loads a component and calls an action of it.
pub(super) async fn load_and_call(
    scene: &Scene,
    component: Vec<u8>,
    action: Action,
    environment: &Environment,
) -> String {
    match scene.sandbox.load(component).await {
        Ok(handler) => call(&handler, action, &json!({"Name": "a"}), environment).await,
        Err(refusal) => refused(&refusal),
    }
}

/// Calls an action with a state, and tells how that ended.
pub(super) async fn call(
    handler: &Handler,
    action: Action,
    state: &serde_json::Value,
    environment: &Environment,
) -> String {
    let state = JsonObject::parse(state.to_string()).expect("an object");
    let invocation = invocation(action, state);
    match action {
        Action::Create | Action::Update | Action::Delete => {
            ended(handler.mutate(invocation, environment).await, event)
        }
        Action::Read => ended(handler.read(invocation, environment).await, read),
        Action::List => ended(handler.list(invocation, environment).await, page),
    }
}

fn ended<T>(ending: Result<Outcome<T>, SandboxError>, told: fn(T) -> String) -> String {
    match ending {
        Ok(Outcome::Answered(answer)) => format!("answered: {}", told(answer)),
        Ok(Outcome::Trapped(trap)) => trap.to_string(),
        Err(error) => format!("the host failed: {}", chain(&error)),
    }
}

fn event(event: ProgressEvent) -> String {
    match event {
        ProgressEvent::Success {
            model: Some(model), ..
        } => model.as_str().to_owned(),
        other => format!("{other:?}"),
    }
}

fn read(answer: Result<JsonObject, ReadFailure>) -> String {
    answer.map_or_else(
        |failure| format!("{failure:?}"),
        |model| model.as_str().to_owned(),
    )
}

fn page(answer: Result<ListPage, ReadFailure>) -> String {
    answer.map_or_else(
        |failure| format!("{failure:?}"),
        |page| format!("{} models", page.models.len()),
    )
}

/// Tells why a component was not loaded.
pub(super) fn refused(refusal: &LoadError) -> String {
    format!("refused: {}", chain(refusal))
}

fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
