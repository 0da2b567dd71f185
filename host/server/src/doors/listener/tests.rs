//! Connections of clients that do not do what clients do.

use axum::routing::{get, post};
use formwork_host::clock::ManualClock;
use formwork_host::model::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};

use super::*;

/// Longer than any test moves its clock.
const LONG: Duration = Duration::from_secs(u32::MAX as u64);

struct Served {
    address: SocketAddr,
    clock: Arc<ManualClock>,
    stop: oneshot::Sender<()>,
    end: JoinHandle<bool>,
}

/// Serves a short text and a very long one with two places.
async fn serve() -> Served {
    let router = Router::new()
        .route("/short", get(async || "short"))
        .route("/body", post(async |body: String| body))
        .route("/long", get(async || "x".repeat(64 << 20)));
    let mut listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .expect("a free port");
    listener.connections = 2;
    let address = listener.address();
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = listener.serve(
        router,
        Arc::clone(&clock) as _,
        async move { stopped.await.expect("the test stops it") },
        LONG,
    );
    Served {
        address,
        clock,
        stop,
        end: tokio::spawn(serving),
    }
}

impl Served {
    /// Sends bytes, and takes the first `length` of the answer.
    async fn send(&self, bytes: &str, length: usize) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        stream.write_all(bytes.as_bytes()).await.expect("a socket");
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer).await.expect("it answers");
        (stream, String::from_utf8(answer).expect("text"))
    }
}

/// Does something while time flies.
async fn meanwhile<T>(clock: &ManualClock, task: impl Future<Output = T>) -> T {
    tokio::select! {
        done = task => done,
        () = async {
            loop {
                clock.advance(LEAVE);
                yield_now().await;
            }
        } => unreachable!("time flies for ever"),
    }
}

const SHORT: &str = "GET /short HTTP/1.1\r\nhost: x\r\n\r\n";
const LONGER: &str = "GET /long HTTP/1.1\r\nhost: x\r\n\r\n";
const HALF: &str = "GET /short HTTP/1.1\r\nho";
const NO_BODY: &str = "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK";

#[tokio::test]
async fn those_that_idle_make_room_the_longest_first() {
    let served = serve().await;
    let (mut first, _) = served.send("", 0).await;
    let (_second, answer) = served.send(SHORT, OK.len()).await;
    assert_eq!(answer, OK);
    let (_third, answer) = served.send(SHORT, OK.len()).await;
    assert_eq!(answer, OK);
    let ended = first.read(&mut [0; 1]).await.expect("it is closed");
    assert_eq!(ended, 0);
}

#[tokio::test]
async fn those_that_never_read_or_never_finish_a_request_make_room() {
    for bytes in [HALF, NO_BODY, LONGER] {
        let served = serve().await;
        let length = if bytes == LONGER { OK.len() } else { 0 };
        let _first = served.send(bytes, length).await;
        let _second = served.send(bytes, length).await;
        let (_third, answer) = meanwhile(&served.clock, served.send(SHORT, OK.len())).await;
        assert_eq!(answer, OK, "{bytes}");
    }
}

#[tokio::test]
async fn no_client_holds_the_end_up() {
    for bytes in ["", HALF, NO_BODY, LONGER, SHORT] {
        let served = serve().await;
        let answered = [LONGER, SHORT].contains(&bytes);
        let length = if answered { OK.len() } else { 0 };
        let _client = served.send(bytes, length).await;
        served.stop.send(()).expect("it is served");
        let whole = meanwhile(&served.clock, served.end).await;
        assert!(whole.expect("it ends"), "{bytes}");
    }
}
