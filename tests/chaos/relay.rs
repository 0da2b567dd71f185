//! A relay for connections, which can be cut, delayed and refused.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// What a relay does to those who connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// It passes everything on.
    Fair,
    /// It passes everything on so much later.
    Slow(Duration),
    /// It cuts what is connected, and hangs up on who connects.
    HangingUp,
    /// It cuts what is connected, and is not there: who connects is refused.
    Gone,
}

#[derive(Clone, Copy)]
struct State {
    weather: Weather,
    /// How often connections were cut.
    cuts: u64,
}

/// A running relay. Dropping it cuts all its connections.
pub(crate) struct Relay {
    address: SocketAddr,
    state: Arc<watch::Sender<State>>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Relays a free port of the loopback interface to `target`.
    pub(crate) async fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.context("there is no free port")?;
        let address = listener.local_addr()?;
        let state = State {
            weather: Weather::Fair,
            cuts: 0,
        };
        let state = Arc::new(watch::Sender::new(state));
        let task = tokio::spawn(relay(listener, address, target, state.subscribe()));
        Ok(Self {
            address,
            state,
            task,
        })
    }

    /// Gives where to connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says what to do from now on.
    pub(crate) fn set(&self, weather: Weather) {
        self.state.send_modify(|state| {
            state.weather = weather;
            state.cuts += u64::from(matches!(weather, Weather::HangingUp | Weather::Gone));
        });
    }

    /// Cuts what is connected, and goes on as before.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(
    listener: TcpListener,
    address: SocketAddr,
    target: SocketAddr,
    mut state: watch::Receiver<State>,
) {
    let mut listener = Some(listener);
    let mut open = JoinSet::new();
    let mut cuts = 0;
    loop {
        tokio::select! {
            changed = state.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = *state.borrow_and_update();
                if now.weather == Weather::Gone {
                    listener = None;
                } else if listener.is_none() {
                    listener = Some(bind_again(address).await);
                }
                if now.cuts != cuts {
                    cuts = now.cuts;
                    open.shutdown().await;
                }
            }
            accepted = accept(listener.as_ref()) => {
                let now = state.borrow().weather;
                if let (Ok((client, _)), false) = (accepted, now == Weather::HangingUp) {
                    open.spawn(pass(client, target, state.clone()));
                }
            }
            Some(_) = open.join_next() => {}
        }
    }
}

/// Takes a port again, which a connection of somebody else may have had meanwhile.
async fn bind_again(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Waits for who connects; for ever where nobody can.
async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

async fn pass(client: TcpStream, target: SocketAddr, state: watch::Receiver<State>) {
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    // Small packets are not to wait for each other: no weather is fair.
    let _delayed = client.set_nodelay(true).and(server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let there = one_way(from_client, to_server, state.clone());
    let back = one_way(from_server, to_client, state);
    tokio::join!(there, back);
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    state: watch::Receiver<State>,
) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => {
                let weather = state.borrow().weather;
                if let Weather::Slow(delay) = weather {
                    sleep(delay).await;
                }
                if to.write_all(&buffer[..read]).await.is_err() {
                    break;
                }
            }
        }
    }
    // Whoever reads there is to see the end.
    let _closed = to.shutdown().await;
    let _rest = copy(&mut from, &mut tokio::io::sink()).await;
}
