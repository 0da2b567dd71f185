//! Where attacks are made: one sandbox, a neighbour in it, and around it what an
//! attacker would like to reach.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use formwork_host::clock::{Clock as _, SystemClock};
use formwork_host::model::{
    Action, Call, Invocation, JsonObject, ListRequest, RequestDetails, RequestToken, Scope,
};
use formwork_host::sandbox::{
    Compiler, CompilerProcess, Environment, Handler, LoadLimits, Resolver, Sandbox, SandboxConfig,
};
use formwork_tests::guests;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::task::JoinHandle;

use super::attack::call;
use crate::official::served::program;
use crate::outbound::server::Server;

/// How many invocations run at once. So few that the next ones get the very slot
/// that an attack was made in.
const SLOTS: u32 = 4;

/// Where an attacker may send requests.
const FRONT: [u8; 4] = [127, 0, 0, 2];

/// Where it may not.
const METADATA: [u8; 4] = [127, 0, 0, 1];

/// The scene of all attacks.
pub(super) struct Scene {
    pub(super) sandbox: Sandbox,
    /// A server that attackers may reach, by a grant.
    pub(super) front: Server,
    /// A server that nobody may reach.
    pub(super) metadata: Server,
    honest: Handler,
    hostile: Handler,
}

impl Scene {
    pub(super) async fn set() -> Self {
        few_descriptors();
        let compiler = CompilerProcess {
            program: program().get_program().into(),
            arguments: vec!["compile-component".into()],
        };
        let patient = SandboxConfig {
            cache_dir: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/test-cache").into()),
            concurrency: SLOTS,
            worker_threads: 2,
            resolver: names(),
            ..SandboxConfig::new(Compiler::Process(compiler))
        };
        // What is large and honest is compiled before the limits are as small as
        // those of attackers.
        let first = Sandbox::new(&patient).expect("a sandbox");
        for name in ["scripted-guest", "hostile-guest"] {
            load(&first, name).await;
        }
        let config = SandboxConfig {
            load: LoadLimits {
                compile_time: Duration::from_secs(5),
                compile_memory: 1 << 30,
                describe_cpu: Duration::from_millis(500),
                // The machine may have much else to do.
                describe_wall: Duration::from_secs(20),
                ..LoadLimits::default()
            },
            ..patient
        };
        let sandbox = Sandbox::new(&config).expect("a sandbox");
        Self {
            honest: load(&sandbox, "scripted-guest").await,
            hostile: load(&sandbox, "hostile-guest").await,
            sandbox,
            front: Server::start_at(FRONT.into()).await,
            metadata: Server::start_at(METADATA.into()).await,
        }
    }

    /// Gives what attacks are made under: little memory, and no grants.
    #[expect(clippy::unused_self, reason = "it is of the scene")]
    pub(super) fn environment(&self) -> Environment {
        let mut environment = Environment::new(Arc::new(SystemClock::new()));
        let limits = &mut environment.limits;
        limits.memory_bytes = 64 << 20;
        limits.mutation_wall = Duration::from_secs(20);
        limits.read_wall = Duration::from_secs(20);
        environment
    }

    /// Has the hostile guest attack, and tells how that ended.
    pub(super) async fn attack<T: AsRef<str>>(
        &self,
        attacks: &[T],
        environment: &Environment,
    ) -> String {
        let attacks: Vec<_> = attacks
            .iter()
            .map(|attack| self.placed(attack.as_ref()))
            .collect();
        let state = json!({"Name": "a", "Do": attacks});
        let ending = call(&self.hostile, Action::Create, &state, environment).await;
        let found = ending
            .strip_prefix("answered: ")
            .and_then(|model| serde_json::from_str::<serde_json::Value>(model).ok())
            .and_then(|model| serde_json::from_value::<Vec<String>>(model["Found"].clone()).ok());
        match found {
            Some(found) => {
                let errors: Vec<_> = found
                    .iter()
                    .filter_map(|answer| answer.strip_prefix("error: "))
                    .collect();
                if errors.len() == found.len() {
                    format!("refused each time: {}", different(errors).join(", "))
                } else {
                    let found = found.iter().map(String::as_str).collect();
                    format!("found: {}", different(found).join(", "))
                }
            }
            None => ending,
        }
    }

    /// Puts the ports of the servers into an attack.
    fn placed(&self, attack: &str) -> String {
        attack
            .replace("{front}", &self.front.port().to_string())
            .replace("{metadata}", &self.metadata.port().to_string())
    }

    /// Calls the honest handler once.
    async fn works(honest: &Handler, note: &str) {
        let environment = Environment::new(Arc::new(SystemClock::new()));
        let state = json!({"Name": "neighbour", "Script": [format!("note:{note} & success")]});
        let ending = call(honest, Action::Create, &state, &environment).await;
        let expected = format!(r#""Note":"{note}""#);
        assert!(
            ending.starts_with("answered: ") && ending.contains(&expected),
            "the neighbour was to answer {note}: {ending}"
        );
    }

    /// Has all slots answer at once, several times.
    pub(super) async fn all_slots_answer(&self) {
        let calls: Vec<_> = (0..SLOTS * 3)
            .map(|number| {
                let honest = self.honest.clone();
                tokio::spawn(async move { Self::works(&honest, &format!("slot-{number}")).await })
            })
            .collect();
        for call in calls {
            call.await.expect("it answers");
        }
    }

    /// Starts a neighbour, which works until it is stopped.
    pub(super) fn neighbour(&self) -> Neighbour {
        let stopped = Arc::new(AtomicBool::new(false));
        let (honest, told) = (self.honest.clone(), Arc::clone(&stopped));
        let task = tokio::spawn(async move {
            let mut answers = 0;
            while answers == 0 || !told.load(Ordering::Relaxed) {
                Self::works(&honest, &format!("neighbour-{answers}")).await;
                answers += 1;
            }
            answers
        });
        Neighbour { stopped, task }
    }

    /// Tells of connections that should never have been made.
    pub(super) fn broken_into(&self) -> Option<String> {
        let seen = self.metadata.seen();
        (seen.connections > 0).then(|| format!("the metadata service was reached: {seen:?}"))
    }
}

/// Gives this process the usual number of file descriptors.
fn few_descriptors() {
    let few = Rlimit {
        current: Some(1_024),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, few).expect("the limit is lowered");
}

async fn load(sandbox: &Sandbox, name: &str) -> Handler {
    let handler = sandbox.load(guests::component(name)).await;
    handler.unwrap_or_else(|refusal| panic!("{name}: {refusal}"))
}

/// Gives each text once.
fn different(texts: Vec<&str>) -> Vec<&str> {
    let mut different = Vec::new();
    for text in texts {
        if !different.contains(&text) {
            different.push(text);
        }
    }
    different
}

/// A neighbour at work.
pub(super) struct Neighbour {
    stopped: Arc<AtomicBool>,
    task: JoinHandle<usize>,
}

impl Neighbour {
    /// Lets it end, and gives how often it has answered.
    ///
    /// # Panics
    ///
    /// When one of its answers was not what it should be.
    pub(super) async fn stop(self) -> usize {
        self.stopped.store(true, Ordering::Relaxed);
        self.task.await.expect("the neighbour answers well")
    }
}

/// Makes an invocation.
pub(super) fn invocation(action: Action, state: JsonObject) -> Invocation {
    let now = SystemClock::new().now();
    let call = match action {
        Action::Create => Call::Create {
            desired_state: state,
            callback_context: None,
        },
        Action::Read => Call::Read { identifier: state },
        Action::Update => Call::Update {
            desired_state: state.clone(),
            previous_state: Some(state),
            callback_context: None,
        },
        Action::Delete => Call::Delete {
            state,
            callback_context: None,
        },
        Action::List => Call::List(ListRequest::default()),
    };
    Invocation {
        token: RequestToken::random(),
        type_name: "Formwork::Tests::Attacked".parse().expect("a type name"),
        scope: Scope::default(),
        start_time: now,
        deadline: now.after(Duration::from_secs(7200)),
        invocation: 1,
        attempt: 1,
        details: RequestDetails::default(),
        call,
    }
}

/// Gives the name server of an attacker.
fn names() -> Resolver {
    let rebound = AtomicUsize::new(0);
    let known: HashMap<&str, &[&str]> = HashMap::from([
        ("front.test", &["127.0.0.2"][..]),
        ("metadata.test", &["127.0.0.1"]),
        ("mapped.test", &["::ffff:127.0.0.1"]),
        ("nat64.test", &["64:ff9b::7f00:1"]),
        ("6to4.test", &["2002:7f00:1::"]),
        ("several.test", &["169.254.169.254", "127.0.0.1", "::1"]),
    ]);
    Resolver::new(move |name| {
        let addresses = match name.as_str() {
            // The server that may be reached every other time, and else the other.
            "rebinding.test" if rebound.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) => {
                Some(&["127.0.0.2"][..])
            }
            "rebinding.test" => Some(&["127.0.0.1"][..]),
            name => known.get(name).copied(),
        };
        let found = addresses.map(|addresses| {
            let parsed = addresses.iter().map(|text| text.parse::<IpAddr>());
            parsed.collect::<Result<_, _>>().expect("addresses")
        });
        async move { found.ok_or(io::ErrorKind::NotFound.into()) }
    })
}
