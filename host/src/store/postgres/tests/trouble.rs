//! Servers that refuse, break and come back.

use super::gather::Kind as _;
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

/// Its first try may have been committed, and the second is refused if it is bad.
struct Doubted {
    number: u64,
    is_bad: bool,
}

impl gather::Kind for Doubted {
    type Outcome = ();

    fn about(&self) -> Vec<gather::Name> {
        vec![gather::name(self.number)]
    }

    fn bytes(&self) -> usize {
        // Three go together.
        3 << 20
    }

    async fn write(
        _context: &Context,
        on: &connections::Connection,
        batch: &[Arc<Self>],
        again: bool,
    ) -> Result<Vec<()>, Fault> {
        assert!(batch.len() < 3, "there is no room for more");
        if !again {
            return Err(Fault::silent().in_commit());
        }
        if batch.iter().any(|it| it.is_bad) {
            on.write("SELECT token::text::integer FROM operation", &[])
                .await?;
        }
        Ok(vec![(); batch.len()])
    }
}

#[tokio::test]
async fn what_may_have_been_committed_stays_in_doubt_whatever_comes_after() {
    let schema = Schema::new();
    if !schema.is_there() {
        return;
    }
    let store = schema.store().await;
    accept(&store, create()).await;
    let inner = &store.inner;
    let gatherer = Gatherer::start(Arc::clone(&inner.context), Arc::clone(&inner.writers));
    let writes = (0..7).map(|number| {
        gatherer.write(Doubted {
            number,
            is_bad: number % 3 == 1,
        })
    });
    let outcomes = futures_util::future::join_all(writes).await;
    for (number, outcome) in outcomes.into_iter().enumerate() {
        if number % 3 == 1 {
            assert!(
                matches!(outcome, Err(StoreError::Unknown { .. })),
                "{outcome:?}"
            );
        } else {
            assert!(outcome.is_ok(), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_commit_that_others_went_on_from_is_never_said_to_have_lost() {
    let schema = Schema::new();
    if !schema.is_there() {
        return;
    }
    let store = schema.store().await;
    let inner = &store.inner;
    let taken = inner.writers.take().await.expect("connected");
    let write = async |batch: &[Arc<Committing>], again| {
        let written = Committing::write(&inner.context, &taken, batch, again).await;
        match written.expect("written").pop().expect("one") {
            Ok(()) => "committed",
            Err(CommitError::Conflict { .. }) => "lost",
            Err(CommitError::Store(StoreError::Unknown { .. })) => "unknown",
            Err(error) => panic!("{error}"),
        }
    };
    accept(&store, create()).await;
    let leased = claim_one(&store, T0).await;
    let decided = |second| decide(&leased, progress(0, None), at(second));
    let committing = |second| [Arc::new(Committing::new(&inner.context, decided(second)))];
    let (first, late) = (committing(1), committing(2));
    assert_eq!(write(&first, false).await, "committed");
    // Its answer was lost, and it is tried again.
    assert_eq!(write(&first, true).await, "committed");
    assert_eq!(write(&late, true).await, "lost");
    let next = claim_one(&store, at(1)).await;
    assert_eq!(write(&first, true).await, "committed");
    assert_eq!(write(&late, true).await, "lost");
    advance(&store, &next, success(None), at(3)).await;
    assert_eq!(write(&first, true).await, "unknown");
    assert_eq!(write(&first, false).await, "lost");
    store.forget(leased.token).await.expect("forgotten");
    assert_eq!(write(&first, true).await, "unknown");
    assert_eq!(write(&first, false).await, "lost");
}

/// Connects as who may do everything.
async fn admin(server: &Running) -> tokio_postgres::Client {
    let url = server.url().replace("formwork@", "admin@");
    let connected = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
    let (client, connection) = connected.expect("there");
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn a_server_without_room_is_asked_again_and_not_too_often() {
    let Some(server) = Running::start(&["fsync=off"]) else {
        return;
    };
    let admin = admin(&server).await;
    let limit = async |limit: i32| {
        let sql = format!("ALTER ROLE formwork CONNECTION LIMIT {limit}");
        admin.batch_execute(&sql).await.expect("changed");
    };
    let database = Database::new(server.url(), key(7));
    let store = Arc::new(PostgresStore::open(&database).await.expect("opened"));
    limit(0).await;
    let names = (0..20).map(|number| format!("n{number}"));
    let flooding = tokio::spawn({
        let store = Arc::clone(&store);
        async move { flood(&store, names).await }
    });
    let refusals = || {
        server
            .log()
            .matches("too many connections for role")
            .count()
    };
    let refused = async {
        while refusals() == 0 {
            limit(0).await;
        }
    };
    let refused = tokio::time::timeout(Duration::from_secs(20), refused);
    refused.await.expect("it is asked");
    limit(-1).await;
    for (_, outcome) in flooding.await.expect("no panic") {
        assert!(matches!(outcome, Ok(Accepted::New)), "{outcome:?}");
    }
    assert!(refusals() < 20, "{}", server.log());
}

/// Prolongs a lease, which there is not, for a caller of so much patience.
async fn renewed_within(store: &PostgresStore, patience: Duration) -> bool {
    let held = [Held {
        token: RequestToken::random(),
        number: 1,
    }];
    let renewed = tokio::time::timeout(patience, store.renew(&held, at(99)));
    matches!(renewed.await, Ok(Ok(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_up_before_his_turn_gets_in_once_the_server_is_back() {
    const IMPATIENT: Duration = Duration::from_millis(200);
    let Some(mut server) = Running::start(&["fsync=off"]) else {
        return;
    };
    let database = Database::new(server.url(), key(7));
    let store = PostgresStore::open(&database).await.expect("opened");
    server.tell("stop");
    // The pauses grow beyond the patience of those that follow.
    assert!(!renewed_within(&store, Duration::from_secs(2)).await);
    for _ in 0..5 {
        assert!(!renewed_within(&store, IMPATIENT).await);
    }
    server.tell("start");
    let back = async { while !renewed_within(&store, IMPATIENT).await {} };
    let back = tokio::time::timeout(Duration::from_secs(20), back).await;
    back.expect("it gets in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_comes_late_is_there_for_the_next_call() {
    let Some(mut server) = Running::start(&["fsync=off", "log_connections=on"]) else {
        return;
    };
    let database = Database::new(server.url(), key(7));
    let engine = PostgresStore::open(&database).await.expect("opened");
    let mut heard = engine.hints().expect("there are hints");
    if *heard.borrow_and_update() == 0 {
        heard.changed().await.expect("it listens");
    }
    drop(engine);
    // A client connects for its calls alone.
    let store = PostgresStore::attach(&database).await.expect("attached");
    let before = sessions(&server);
    server.tell("pause");
    for _ in 0..5 {
        assert!(!renewed_within(&store, Duration::from_millis(50)).await);
    }
    server.tell("go");
    assert!(renewed_within(&store, Duration::from_secs(20)).await);
    assert_eq!(sessions(&server), before + 1);
}

/// Counts the sessions that a server has begun.
fn sessions(server: &Running) -> usize {
    let log = server.log();
    log.matches("connection authorized: user=formwork").count()
}

#[tokio::test]
async fn of_several_servers_the_one_that_writes_is_used() {
    let (Some(copy), Some(first)) = (
        Running::start(&["fsync=off"]),
        Running::start(&["fsync=off"]),
    ) else {
        return;
    };
    // What a copy says of itself.
    let reads_alone = "ALTER ROLE formwork SET default_transaction_read_only = on";
    let changed = admin(&copy).await.batch_execute(reads_alone).await;
    changed.expect("changed");
    let database = Database::new(copy.url_or(&first), key(7));
    let store = PostgresStore::open(&database).await.expect("opened");
    let session = store.inner.server.connect().await.expect("connected");
    let row = session.query_one("SHOW port", &[]).await.expect("told");
    assert_eq!(row.get::<_, &str>(0), first.port());
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_no_statement_behind() {
    let schema = Schema::new();
    if !schema.is_there() {
        return;
    }
    let store = Arc::new(schema.store().await);
    let other = schema.client().await;
    let lock = "BEGIN; LOCK TABLE operation IN ACCESS EXCLUSIVE MODE";
    other.batch_execute(lock).await.expect("locked");
    let client = schema.client().await;
    let waiting = async |expected: i64| {
        let sql = "SELECT count(*) FROM pg_locks
                   WHERE relation = 'operation'::regclass AND NOT granted";
        while client
            .query_one(sql, &[])
            .await
            .expect("told")
            .get::<_, i64>(0)
            != expected
        {}
    };
    let pruning = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.prune(&Horizon::NEVER, 9).await }
    });
    let begun = tokio::time::timeout(Duration::from_secs(4), waiting(1));
    begun.await.expect("it waits for the lock");
    pruning.abort();
    // Sooner than the server would have given up the lock.
    let ended = tokio::time::timeout(Duration::from_secs(4), waiting(0));
    ended.await.expect("it is cancelled");
    other.batch_execute("ROLLBACK").await.expect("let go");
    assert_eq!(store.prune(&Horizon::NEVER, 9).await.expect("pruned"), 0);
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
