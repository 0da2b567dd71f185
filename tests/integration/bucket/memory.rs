//! A search of the memory of running guests, from outside of them.
//!
//! The linear memories of guests are where nothing else of a process is: each is
//! followed by gigabytes of address space that nobody may touch, so that an access
//! out of bounds ends there.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How much nobody may touch behind a linear memory, at least.
const GUARD: u64 = 1 << 30;

/// Passes bytes on to a server and back, and searches at each.
pub(super) struct Relay {
    address: SocketAddr,
    needles: Vec<String>,
    found: Arc<Mutex<Vec<bool>>>,
    task: JoinHandle<()>,
}

impl Relay {
    pub(super) async fn start(server: &str, needles: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let found = Arc::new(Mutex::new(vec![false; needles.len()]));
        let (kept, sought, server) = (Arc::clone(&found), needles.clone(), server.to_owned());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.expect("moto is there");
                let (kept, sought) = (Arc::clone(&kept), sought.clone());
                tokio::spawn(pass(client, server, move || {
                    let mut found = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    for (found, needle) in found.iter_mut().zip(&sought) {
                        *found = *found || is_in_guests(needle.as_bytes());
                    }
                }));
            }
        });
        Self {
            address,
            needles,
            found,
            task,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Gives which needles were found.
    pub(super) fn found(&self) -> Vec<bool> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(found.len(), self.needles.len());
        found.clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes bytes both ways until one side ends; the guest waits while it searches.
async fn pass(mut client: TcpStream, mut server: TcpStream, search: impl Fn()) {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        let passed = tokio::select! {
            read = client.read(&mut asked) => match read {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    search();
                    server.write_all(&asked[..read]).await
                }
            },
            read = server.read(&mut answered) => match read {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    search();
                    client.write_all(&answered[..read]).await
                }
            },
        };
        if passed.is_err() {
            return;
        }
    }
}

/// Tells whether bytes are in a linear memory of this process.
fn is_in_guests(needle: &[u8]) -> bool {
    let maps = fs::read_to_string("/proc/self/maps").expect("the map of this process");
    let memory = File::open("/proc/self/mem").expect("the memory of this process");
    linear_memories(&maps).into_iter().any(|range| {
        let length = usize::try_from(range.end - range.start).expect("it is mapped");
        let mut bytes = vec![0; length];
        // It may be gone by now, with its guest.
        memory.read_exact_at(&mut bytes, range.start).is_ok()
            && written(&bytes)
                .windows(needle.len())
                .any(|window| window == needle)
    })
}

/// Leaves out the pages that nobody has written to, of which most are.
fn written(memory: &[u8]) -> Vec<u8> {
    const PAGE: usize = 4096;
    const ZEROS: [u8; PAGE] = [0; PAGE];
    let mut written = Vec::new();
    for page in memory.chunks(PAGE) {
        if *page == ZEROS[..page.len()] {
            // What lies on both sides of it is not one text.
            written.push(0);
        } else {
            written.extend_from_slice(page);
        }
    }
    written
}

/// Finds what can be read and written right before much that nobody may touch.
fn linear_memories(maps: &str) -> Vec<Range<u64>> {
    let mut found = Vec::new();
    let mut before: Vec<Range<u64>> = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (start, end) = words
            .next()
            .and_then(|range| range.split_once('-'))
            .expect("a range");
        let address = |text| u64::from_str_radix(text, 16).expect("an address");
        let range = address(start)..address(end);
        let rights = words.next().unwrap_or_default();
        if before.last().is_some_and(|last| last.end != range.start) {
            before.clear();
        }
        if rights.starts_with("rw") {
            before.push(range);
            continue;
        }
        if rights.starts_with("---") && range.end - range.start >= GUARD {
            found.append(&mut before);
        }
        before.clear();
    }
    found
}

#[test]
fn linear_memories_are_what_lies_before_a_guard() {
    let maps = "\
55a000000000-55a000100000 rw-p 00000000 00:00 0 [heap]
7f0000000000-7f0000010000 rw-p 00000000 00:01 5 /memfd:image
7f0000010000-7f0000020000 rw-p 00000000 00:00 0
7f0000020000-7f0200000000 ---p 00000000 00:00 0
7f0200000000-7f0200001000 rw-p 00000000 00:00 0
7f0200001000-7f0200002000 ---p 00000000 00:00 0
7f0300000000-7f0300001000 rw-p 00000000 00:00 0
7f0400000000-7f0500000000 ---p 00000000 00:00 0
";
    let expected = [
        0x7f00_0000_0000..0x7f00_0001_0000,
        0x7f00_0001_0000..0x7f00_0002_0000,
    ];
    assert_eq!(linear_memories(maps), expected);
}
