//! Servers that refuse, break and come back.

use super::running::{Running, key};
use super::*;
use crate::operation::NewOperation;
use crate::store::conformance::*;

/// Accepts so many operations at once, and gives what came of each.
async fn flood(
    store: &Arc<PostgresStore>,
    names: impl Iterator<Item = String>,
) -> Vec<(RequestToken, Result<Accepted, AcceptError>)> {
    let accepting: Vec<_> = names
        .map(|name| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let new = NewOperation {
                    identifier: id(&name),
                    ..create()
                };
                let token = RequestToken::random();
                let accept = Accept {
                    transition: Operation::accept(token, new, T0),
                    key: None,
                    basis: None,
                    tokens_expired: Horizon::NEVER.client_tokens,
                };
                (token, store.accept(accept).await)
            })
        })
        .collect();
    let mut outcomes = Vec::new();
    for accepting in accepting {
        outcomes.push(accepting.await.expect("no panic"));
    }
    outcomes
}

#[tokio::test]
async fn a_write_that_the_server_refuses_fails_alone() {
    let schema = Schema::new();
    if !schema.is_there() {
        return;
    }
    let store = Arc::new(schema.store().await);
    schema
        .meddle("ALTER TABLE operation ADD CHECK (identifier NOT LIKE '%bad%')")
        .await;
    let names = (0..60).map(|number| {
        let is_bad = number % 20 == 7;
        format!("{}{number}", if is_bad { "bad" } else { "good" })
    });
    let outcomes = flood(&store, names).await;
    for (number, (token, outcome)) in outcomes.into_iter().enumerate() {
        let kept = store.get(token).await.expect("readable");
        if number % 20 == 7 {
            assert!(
                matches!(
                    outcome,
                    Err(AcceptError::Store(StoreError::Unavailable { .. }))
                ),
                "{outcome:?}"
            );
            assert_eq!(kept, None);
        } else {
            assert!(matches!(outcome, Ok(Accepted::New)), "{outcome:?}");
            assert!(kept.is_some());
        }
    }
    // They share commits: else there were one for each.
    assert!(store.commits() < 60, "{}", store.commits());
}

#[tokio::test]
async fn writes_outlast_connections_that_are_cut() {
    let schema = Schema::new();
    if !schema.is_there() {
        return;
    }
    let store = Arc::new(schema.store().await);
    let cutting = async {
        let client = schema.client().await;
        for _ in 0..5 {
            // Those of this test's tables alone.
            let cut = "SELECT pg_terminate_backend(l.pid)
                       FROM pg_locks l
                       WHERE l.relation = 'operation'::regclass AND l.pid <> pg_backend_pid()";
            client.query(cut, &[]).await.expect("cut");
            tokio::task::yield_now().await;
        }
    };
    let names = (0..300).map(|number| format!("n{number}"));
    let (outcomes, ()) = tokio::join!(flood(&store, names), cutting);
    for (token, outcome) in outcomes {
        let kept = store.get(token).await.expect("readable");
        match outcome {
            Ok(Accepted::New) => assert!(kept.is_some()),
            // It was cut three times over, and says what it knows.
            Err(AcceptError::Store(StoreError::Unavailable { .. })) => assert_eq!(kept, None),
            Err(AcceptError::Store(StoreError::Unknown { .. })) => {}
            outcome => panic!("{outcome:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_server_is_waited_for_and_nothing_is_lost() {
    let Some(mut server) = Running::start(&[]) else {
        return;
    };
    let database = Database::new(server.url(), key(7));
    let store = Arc::new(PostgresStore::open(&database).await.expect("opened"));
    for command in ["stop", "kill"] {
        let before = flood(&store, (0..20).map(|number| format!("{command}{number}"))).await;
        server.tell(command);
        let asked = tokio::spawn({
            let store = Arc::clone(&store);
            async move { flood(&store, (20..40).map(|number| format!("{command}{number}"))).await }
        });
        let reading = tokio::spawn({
            let store = Arc::clone(&store);
            let token = before[0].0;
            async move { store.get(token).await }
        });
        server.tell("start");
        let during = asked.await.expect("no panic");
        assert!(
            reading
                .await
                .expect("no panic")
                .expect("readable")
                .is_some()
        );
        for (token, outcome) in before.into_iter().chain(during) {
            assert!(matches!(outcome, Ok(Accepted::New)), "{outcome:?}");
            assert!(store.get(token).await.expect("readable").is_some());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_and_tls_are_spoken_over_the_network() {
    let Some(certified) = Certified::make() else {
        return;
    };
    let Some(server) = certified.serve() else {
        return;
    };
    let url = |host: &str, rest: &str| {
        format!(
            "postgres://formwork@{host}:{}/formwork?{rest}",
            server.port()
        )
    };
    let trusted = format!(
        "sslmode=verify-full&sslrootcert={}",
        certified.path("ca.pem")
    );
    let open = async |url: String, password: &str| {
        let database = Database::new(url, key(7)).password(password);
        PostgresStore::open(&database).await.map(|_| ())
    };
    let good = open(url("localhost", &trusted), "formwork").await;
    good.expect("TLS and the password are right");
    for (url, password) in [
        (url("localhost", &trusted), "wrong"),
        // Not the name in the certificate, not trusted, not over TLS.
        (url("127.0.0.1", &trusted), "formwork"),
        (url("localhost", "sslmode=require"), "formwork"),
        (url("localhost", "sslmode=disable"), "formwork"),
    ] {
        let refused = open(url.clone(), password).await;
        assert!(
            matches!(refused, Err(ConnectError::Store { .. })),
            "{url}: {refused:?}"
        );
    }
}

/// A certificate of `localhost`, and who signed it.
struct Certified(tempfile::TempDir);

impl Certified {
    #[expect(clippy::print_stderr, reason = "what is skipped is said")]
    fn make() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let run = |arguments: &str| {
            let done = std::process::Command::new("openssl")
                .args(arguments.split(' '))
                .current_dir(folder.path())
                .stderr(std::process::Stdio::null())
                .status();
            done.is_ok_and(|status| status.success())
        };
        std::fs::write(folder.path().join("names"), "subjectAltName=DNS:localhost")
            .expect("written");
        let made = run(
            "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2",
        ) && run(
            "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost",
        ) && run(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile names",
        );
        if !made {
            eprintln!("postgres: SKIPPED TLS, there is no openssl that makes certificates");
            return None;
        }
        Some(Self(folder))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn serve(&self) -> Option<Running> {
        // Not even over TLS without a password, and not without TLS.
        Running::start(&[&format!("tls={}", self.0.path().display())])
    }
}
