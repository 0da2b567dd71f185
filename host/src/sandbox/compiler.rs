//! Compilation by a process of its own, held to time and memory.
//!
//! The compiler can be interrupted by nothing but the end of its process, and
//! what it takes depends on what it is given. So a process that an operator
//! relies on has another one compile: the same program again, with nothing but
//! three pipes. It is given the limits, then the component, and answers the
//! machine code.
//!
//! *Invariant*: what is run as machine code has come, over a pipe that nobody
//! else has, from a process that this one has just started from the embedder's
//! own program. The process holds the compiler to time and memory; it is no
//! defence against a compiler that has been taken over by what it compiles, which
//! could answer any code.
//!
//! *Invariant*: the process is ended and waited for when its time is over, when
//! it has answered, and when nobody waits for the answer any more.

mod child;

use std::io::{self, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::config::CompilerProcess;
use super::error::{invalid, name};
use super::limit::Limit;
use super::{LoadError, LoadLimits, SandboxError};

pub use child::compile_for_parent;

/// How much of what the process says on standard error is kept.
const WORDS: u64 = 8 * 1024;

/// What the process is told before the component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Orders {
    /// The memory that it may have, in bytes.
    memory: u64,
    /// The CPU time that it may take, in seconds.
    cpu: u64,
}

impl Orders {
    const BYTES: usize = 16;

    fn new(limits: &LoadLimits) -> Self {
        // The time is of a clock; this ends the process if its parent has died.
        let cpus = std::thread::available_parallelism().map_or(1, |it| it.get() as u64);
        Self {
            memory: limits.compile_memory as u64,
            cpu: (limits.compile_time.as_secs() + 1).saturating_mul(cpus),
        }
    }

    fn write(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.memory.to_le_bytes());
        bytes[8..].copy_from_slice(&self.cpu.to_le_bytes());
        bytes
    }

    fn read(bytes: [u8; Self::BYTES]) -> Self {
        let [memory, cpu] = [&bytes[..8], &bytes[8..]]
            .map(|half| u64::from_le_bytes(half.try_into().expect("eight bytes")));
        Self { memory, cpu }
    }
}

/// How an answer begins: with machine code, or with the words of a refusal.
const COMPILED: u8 = 0;
const INVALID: u8 = 1;

/// Has a process compile `component`, and gives the machine code.
pub(super) async fn compile(
    process: &CompilerProcess,
    limits: &LoadLimits,
    component: Arc<[u8]>,
) -> Result<Vec<u8>, LoadError> {
    let (running, pipes) = start(process).map_err(|source| SandboxError::Compiler {
        program: process.program.clone(),
        source,
    })?;
    let orders = Orders::new(limits);
    let most = limits.code;
    let child = Arc::clone(&running.0);
    let talking = tokio::task::spawn_blocking(move || {
        let heard = pipes.talk(orders, &component, most);
        (heard, wait(&child))
    });
    let ended = tokio::select! {
        ended = talking => ended,
        () = time_over(limits.compile_time) => {
            return Err(over(Limit::COMPILE_TIME, limits));
        }
    };
    let (heard, status) = ended.map_err(|source| SandboxError::Lost { source })?;
    judge(heard, status, limits)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the compiler takes real time, whatever the clock"
)]
async fn time_over(limit: Duration) {
    tokio::time::sleep(limit).await;
}

/// Says which limit the compiler went over.
fn over(limit: Limit<LoadLimits>, limits: &LoadLimits) -> LoadError {
    LoadError::Compilation {
        limit,
        most: limit.get(*limits),
    }
}

/// What the process has said.
#[derive(Debug)]
struct Heard {
    answer: Answer,
    words: String,
}

/// What a process answers, by the byte that it begins with.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Compiled(Vec<u8>),
    Invalid(Vec<u8>),
    /// More machine code than may be; it was not heard to its end.
    TooMuch,
    /// Nothing, or nothing that means anything.
    None,
}

impl Answer {
    /// Reads an answer with at most so many bytes of machine code.
    fn read(mut output: impl Read, most: usize) -> Self {
        let mut kind = [0];
        if output.read_exact(&mut kind).is_err() {
            return Self::None;
        }
        // What cannot be read is missing from what is heard, and the process has
        // ended badly.
        let mut hear = |most: u64| {
            let mut heard = Vec::new();
            let _ = output.by_ref().take(most).read_to_end(&mut heard);
            heard
        };
        match kind {
            [COMPILED] => {
                let code = hear((most as u64).saturating_add(1));
                if code.len() > most {
                    Self::TooMuch
                } else {
                    Self::Compiled(code)
                }
            }
            [INVALID] => {
                let reason = hear(WORDS);
                // One that is not heard to its end ends badly.
                let _ = io::copy(&mut output, &mut io::sink());
                Self::Invalid(reason)
            }
            [_] => Self::None,
        }
    }
}

/// Makes of what a process has said and of how it ended what it answers.
fn judge(
    heard: Heard,
    status: io::Result<ExitStatus>,
    limits: &LoadLimits,
) -> Result<Vec<u8>, LoadError> {
    let Heard { answer, words } = heard;
    let succeeded = status.as_ref().is_ok_and(ExitStatus::success);
    match answer {
        // It has ended badly, since nobody heard it to its end.
        Answer::TooMuch => Err(over(Limit::CODE, limits)),
        Answer::Compiled(code) if succeeded => Ok(code),
        Answer::Invalid(reason) if succeeded => {
            let reason = String::from_utf8_lossy(&reason);
            if ran_out_of_memory(&reason) {
                return Err(over(Limit::COMPILE_MEMORY, limits));
            }
            Err(invalid(reason))
        }
        Answer::Compiled(_) | Answer::Invalid(_) | Answer::None if ran_out_of_memory(&words) => {
            Err(over(Limit::COMPILE_MEMORY, limits))
        }
        Answer::Compiled(_) | Answer::Invalid(_) | Answer::None
            if status.as_ref().is_ok_and(ran_out_of_time) =>
        {
            Err(over(Limit::COMPILE_TIME, limits))
        }
        Answer::Compiled(_) | Answer::Invalid(_) | Answer::None => Err(LoadError::CompilerBroke {
            how: match (status, words.trim()) {
                (Err(error), _) => error.to_string(),
                (Ok(status), "") => status.to_string(),
                (Ok(status), words) => format!("{status}: {}", name(last_line(words))),
            },
        }),
    }
}

/// Gives the last line, apart from what Rust adds to the message of a panic.
fn last_line(words: &str) -> &str {
    let mut lines = words.lines().rev();
    lines
        .find(|line| !line.starts_with("note: "))
        .unwrap_or(words)
}

/// Tells whether the process could not get more memory: Rust says so before it
/// aborts, and threads that cannot be started say so too.
fn ran_out_of_memory(words: &str) -> bool {
    words.contains("memory allocation of")
        || words.contains("Cannot allocate memory")
        || words.contains("Resource temporarily unavailable")
}

#[cfg(unix)]
fn ran_out_of_time(status: &ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;

    const SIGKILL: i32 = 9;
    const SIGXCPU: i32 = 24;
    matches!(status.signal(), Some(SIGKILL | SIGXCPU))
}

#[cfg(not(unix))]
fn ran_out_of_time(_status: &ExitStatus) -> bool {
    false
}

/// The process, shared with who waits for it.
type Shared = Arc<Mutex<Child>>;

fn lock(child: &Shared) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until the process has ended. One that has closed its output need not end by
/// itself, so nothing is locked meanwhile that ending it takes.
fn wait(child: &Shared) -> io::Result<ExitStatus> {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

        // Until it is waited for below, its number is that of no other process.
        let pid = Pid::from_child(&lock(child));
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), ended))?;
    }
    lock(child).wait()
}

/// Ends the process when it is dropped; who talks to it waits for its end.
struct Running(Shared);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended and was waited for is not killed.
        let _ = lock(&self.0).kill();
    }
}

/// What leads to the process and back.
struct Pipes {
    input: ChildStdin,
    output: ChildStdout,
    words: ChildStderr,
}

fn start(process: &CompilerProcess) -> io::Result<(Running, Pipes)> {
    let mut command = Command::new(&process.program);
    command
        .args(&process.arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let pipes = Pipes {
        input: child.stdin.take().expect("it is piped"),
        output: child.stdout.take().expect("it is piped"),
        words: child.stderr.take().expect("it is piped"),
    };
    Ok((Running(Arc::new(Mutex::new(child))), pipes))
}

impl Pipes {
    /// Says what the process has to know, and hears what it answers. One that
    /// ends early is heard all the same.
    fn talk(self, orders: Orders, component: &[u8], most: usize) -> Heard {
        let Self {
            mut input,
            output,
            words,
        } = self;
        // It answers nothing before it has read all.
        let said = input
            .write_all(&orders.write())
            .and_then(|()| input.write_all(component));
        drop((said, input));
        let answer = Answer::read(output, most);
        let mut said = Vec::new();
        let _ = words.take(WORDS).read_to_end(&mut said);
        Heard {
            answer,
            words: String::from_utf8_lossy(&said).into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn heard(answer: &[u8], words: &str) -> Heard {
        Heard {
            answer: Answer::read(answer, LoadLimits::default().code),
            words: words.to_owned(),
        }
    }

    #[test]
    fn orders_are_read_as_they_were_written() {
        let orders = Orders::new(&LoadLimits::default());
        assert_eq!(Orders::read(orders.write()), orders);
    }

    #[cfg(unix)]
    #[test]
    fn a_process_that_says_nothing_more_and_does_not_end_is_ended() {
        let process = CompilerProcess {
            program: "/bin/sh".into(),
            arguments: ["-c", "exec >&- 2>&-; while :; do :; done"]
                .map(Into::into)
                .into(),
        };
        let limits = LoadLimits {
            compile_time: Duration::from_millis(100),
            ..LoadLimits::default()
        };
        let (told, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime");
            let compiled = runtime.block_on(compile(&process, &limits, [0; 8][..].into()));
            // The runtime ends when its threads have, and so when the process has.
            drop(runtime);
            told.send(compiled).expect("somebody waits");
        });
        let compiled = ended.recv_timeout(Duration::from_secs(60));
        let refusal = compiled.expect("it is ended").expect_err("it takes long");
        assert!(
            refusal.to_string().contains("raise `load.compile_time`"),
            "{refusal}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn an_answer_is_heard_as_far_as_there_may_be_machine_code() {
        use std::os::unix::process::ExitStatusExt as _;

        let limits = LoadLimits {
            code: 3,
            ..LoadLimits::default()
        };
        let endless = |kind: u8| Cursor::new([kind]).chain(io::repeat(b'x'));
        let long = |kind: u8| endless(kind).take(1 << 20);
        for (answer, expected) in [
            (
                Answer::read(&[COMPILED, 7, 8, 9][..], limits.code),
                Answer::Compiled(vec![7, 8, 9]),
            ),
            (
                Answer::read(endless(COMPILED), limits.code),
                Answer::TooMuch,
            ),
            (
                Answer::read(long(INVALID), limits.code),
                Answer::Invalid(vec![b'x'; 8 * 1024]),
            ),
            (Answer::read(endless(9), limits.code), Answer::None),
        ] {
            assert_eq!(answer, expected);
        }
        let heard = Heard {
            answer: Answer::TooMuch,
            words: String::new(),
        };
        let refusal = judge(heard, Ok(ExitStatus::from_raw(1 << 8)), &limits);
        let words = "becomes more than 3 bytes of machine code: raise `load.code`";
        assert_eq!(refusal.expect_err("too much").to_string(), words);
    }

    #[cfg(unix)]
    #[test]
    fn what_a_process_has_said_is_believed_only_if_it_ended_well() {
        use std::os::unix::process::ExitStatusExt as _;

        const ABORTED: i32 = 6;
        const KILLED: i32 = 9;
        let limits = LoadLimits::default();
        let judged = |answer: &[u8], words: &str, status: i32| {
            judge(
                heard(answer, words),
                Ok(ExitStatus::from_raw(status)),
                &limits,
            )
        };
        assert_eq!(judged(&[COMPILED, 7, 8], "", 0).expect("code"), [7, 8]);
        for (answer, words, status, expected) in [
            (&[INVALID, b'x'][..], "", 0, "not a valid component"),
            (
                &[COMPILED, 7],
                "memory allocation of 64 bytes failed\n",
                ABORTED,
                "raise `load.compile_memory`",
            ),
            (&[COMPILED, 7], "", KILLED, "raise `load.compile_time`"),
            (&[], "one\nout of luck\n", 1 << 8, "out of luck"),
            (&[], "too deep\nnote: run with `A`\n", 101 << 8, "too deep"),
            (&[9], "", 0, "broke"),
        ] {
            let refusal = judged(answer, words, status)
                .expect_err(expected)
                .to_string();
            assert!(refusal.contains(expected), "{expected}: {refusal}");
        }
    }
}
