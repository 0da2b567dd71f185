//! A receiver of OTLP that keeps what it is sent, as it is sent.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use super::PATIENCE;

/// What was sent: for each request its path, its head and its body.
type Sent = Vec<(String, String, Vec<u8>)>;

/// A receiver on a port of its own, for as long as the process runs.
pub(super) struct Receiver {
    address: SocketAddr,
    sent: Arc<(Mutex<Sent>, Condvar)>,
}

impl Receiver {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it listens");
        let sent: Arc<(Mutex<Sent>, Condvar)> = Arc::default();
        let kept = Arc::clone(&sent);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let request = receive(stream);
                kept.0.lock().expect("no panic").extend(request);
                kept.1.notify_all();
            }
        });
        Self { address, sent }
    }

    /// Gives where it listens, a URL.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Gives how many requests there were.
    pub(super) fn count(&self) -> usize {
        self.sent.0.lock().expect("no panic").len()
    }

    /// Gives all that was sent to a path after so many requests, once it is enough.
    pub(super) fn until(
        &self,
        path: &str,
        after: usize,
        is_enough: impl Fn(&[u8]) -> bool,
    ) -> Vec<u8> {
        let bodies = |sent: &Sent| -> Vec<u8> {
            let later = sent.iter().skip(after);
            let there = later.filter(|(to, ..)| to == path);
            there.flat_map(|(.., body)| body.clone()).collect()
        };
        let sent = self.sent.0.lock().expect("no panic");
        let waiting = self
            .sent
            .1
            .wait_timeout_while(sent, PATIENCE, |sent| !is_enough(&bodies(sent)));
        let (sent, timeout) = waiting.expect("no panic");
        assert!(!timeout.timed_out(), "{path} is not sent what it must be");
        bodies(&sent)
    }

    /// Tells whether each request had a line in its head.
    pub(super) fn all_had(&self, line: &str) -> bool {
        let sent = self.sent.0.lock().expect("no panic");
        sent.iter().all(|(_, head, _)| head.contains(line))
    }
}

/// Takes a request and answers it; none if it is broken off.
fn receive(stream: TcpStream) -> Option<(String, String, Vec<u8>)> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let path = head.split(' ').nth(1)?.to_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.parse().ok())?
    })?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    // An answer of no bytes is a whole one in protobuf.
    let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    stream.get_mut().write_all(answer.as_bytes()).ok()?;
    Some((path, head, body))
}
