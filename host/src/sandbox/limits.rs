//! The limits: of one invocation, of what is loaded, and of the HTTP of all handlers.
//!
//! *Invariant*: each has a default, a setting and a line in the table of its
//! set, by which errors name it.

mod http;

use std::time::Duration;

use super::LoadError;
use super::limit::{Amount, Limit, LimitSet};

pub use http::HttpLimits;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const GIB: u64 = 1024 * MIB as u64;

/// The largest number of things that a limit may say.
const MANY: u64 = 1_000_000;

/// Bounds what one invocation may use. Going over one of them is a trap, or an
/// error that the guest is given where it is about HTTP or open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory, summed over all memories, with what the host keeps for
    /// the instances: 16 bytes for each global and for each element of a passive segment,
    /// some more for functions and imports. Default: 256 MiB.
    pub memory_bytes: usize,
    /// Elements of tables, summed over all tables. Default: 200,000.
    pub table_elements: usize,
    /// Core module instances. Default: 128.
    pub instances: usize,
    /// Time on a CPU; waiting in the host is free. Default: 10 s.
    pub cpu: Duration,
    /// Time from start to answer of a create, an update or a delete, in real
    /// time whatever the clock. Default: 60 s.
    pub mutation_wall: Duration,
    /// The same for a read or a list. Default: 30 s.
    pub read_wall: Duration,
    /// Bytes of text in the answer. Default: 1 MiB.
    pub answer_bytes: usize,
    /// Bytes that one call from the guest into the host may carry. Default: 4 MiB.
    pub transfer_bytes: usize,
    /// Bytes that are logged for the guest: its output and its log lines.
    /// What is over is dropped. Default: 256 KiB.
    pub log_bytes: usize,
    /// Lines that are logged for the guest. Default: 1,000.
    pub log_lines: usize,
    /// Bytes of randomness. Default: 1 MiB.
    pub random_bytes: usize,
    /// Handles, such as open files and streams, at a time. Default: 1,000.
    pub handles: usize,
    /// Files and directories that are open at a time, and the streams of files, each of
    /// which keeps up to 64 KiB. Default: 64.
    pub files: usize,
    /// Listings of directories at a time: the host keeps the next entries of each.
    /// Default: 64.
    pub listings: usize,
    /// Bytes of the names and values of one set of HTTP fields, at most 256 KiB
    /// of a response. Default: 128 KiB.
    pub http_field_bytes: usize,
    /// Bytes that the host keeps of what the guest has begun of HTTP requests: their
    /// fields and URLs, and 128 KiB for each body. Default: 8 MiB.
    pub http_kept_bytes: usize,
    /// HTTP requests, also those that are refused, and each once though it be signed
    /// again. Default: 100.
    pub http_requests: usize,
    /// HTTP requests under way at a time, until their response is read; others
    /// wait as long as for a connection. Default: 8.
    pub http_concurrency: usize,
    /// Bytes of the bodies of all HTTP requests. Default: 16 MiB.
    pub http_sent_bytes: usize,
    /// Bytes of the body of one HTTP request that the host signs; it is held in
    /// memory until there is a response. Default: 1 MiB.
    pub http_signed_bytes: usize,
    /// Bytes of the bodies of all HTTP responses. Default: 64 MiB.
    pub http_received_bytes: usize,
    /// Time until an HTTP request has a connection, its name being looked up and
    /// TLS agreed on, 30 s at most. A guest can ask for less, here and below. Default: 5 s.
    pub http_connect: Duration,
    /// Time from then until the body of the request is sent, and as long again until the
    /// head of the response. Default: 15 s.
    pub http_first_byte: Duration,
    /// Time until each next part of the response. Default: 15 s.
    pub http_between_bytes: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 256 * MIB,
            table_elements: 200_000,
            instances: 128,
            cpu: Duration::from_secs(10),
            mutation_wall: Duration::from_secs(60),
            read_wall: Duration::from_secs(30),
            answer_bytes: MIB,
            transfer_bytes: 4 * MIB,
            log_bytes: 256 * KIB,
            log_lines: 1_000,
            random_bytes: MIB,
            handles: 1_000,
            files: 64,
            listings: 64,
            http_field_bytes: 128 * KIB,
            http_kept_bytes: 8 * MIB,
            http_requests: 100,
            http_concurrency: 8,
            http_sent_bytes: 16 * MIB,
            http_signed_bytes: MIB,
            http_received_bytes: 64 * MIB,
            http_connect: Duration::from_secs(5),
            http_first_byte: Duration::from_secs(15),
            http_between_bytes: Duration::from_secs(15),
        }
    }
}

impl LimitSet for Limits {
    const TABLE: &'static str = "limits";

    const ALL: &'static [Limit<Self>] = &[
        Limit::MEMORY,
        Limit::TABLE_ELEMENTS,
        Limit::INSTANCES,
        Limit::CPU,
        Limit::MUTATION_WALL,
        Limit::READ_WALL,
        Limit::ANSWER,
        Limit::TRANSFER,
        Limit::LOG,
        Limit::LOG_LINES,
        Limit::RANDOM,
        Limit::HANDLES,
        Limit::FILES,
        Limit::LISTINGS,
        Limit::HTTP_FIELDS,
        Limit::HTTP_KEPT,
        Limit::HTTP_REQUESTS,
        Limit::HTTP_CONCURRENCY,
        Limit::HTTP_SENT,
        Limit::HTTP_SIGNED,
        Limit::HTTP_RECEIVED,
        Limit::HTTP_CONNECT,
        Limit::HTTP_FIRST_BYTE,
        Limit::HTTP_BETWEEN_BYTES,
    ];
}

#[expect(missing_docs, reason = "the fields of `Limits` say it")]
impl Limit<Limits> {
    pub const MEMORY: Self = Self::bytes("memory", "memory", GIB, |it| &mut it.memory_bytes);
    pub const TABLE_ELEMENTS: Self = Self::count("table_elements", "table elements", MANY, |it| {
        &mut it.table_elements
    });
    pub const INSTANCES: Self =
        Self::count("instances", "core instances", MANY, |it| &mut it.instances);
    pub const CPU: Self = Self::time("cpu", "CPU time", |it| &mut it.cpu);
    pub const MUTATION_WALL: Self = Self::time(
        "mutation_wall",
        "time of a create, update or delete",
        |it| &mut it.mutation_wall,
    );
    pub const READ_WALL: Self = Self::time("read_wall", "time of a read or list", |it| {
        &mut it.read_wall
    });
    pub const ANSWER: Self = Self::bytes("answer", "answer", GIB, |it| &mut it.answer_bytes);
    pub const TRANSFER: Self = Self::bytes("transfer", "one call into the host", GIB, |it| {
        &mut it.transfer_bytes
    });
    pub const LOG: Self = Self::bytes("log", "log", GIB, |it| &mut it.log_bytes);
    pub const LOG_LINES: Self = Self::count("log_lines", "log lines", MANY, |it| &mut it.log_lines);
    pub const RANDOM: Self = Self::bytes("random", "randomness", GIB, |it| &mut it.random_bytes);
    pub const HANDLES: Self = Self::count("handles", "open handles", MANY, |it| &mut it.handles);
    pub const FILES: Self = Self::count("files", "open files and their streams", MANY, |it| {
        &mut it.files
    });
    pub const LISTINGS: Self =
        Self::count("listings", "open listings of directories", MANY, |it| {
            &mut it.listings
        });
    pub const HTTP_FIELDS: Self = Self::bytes("http_fields", "HTTP fields", GIB, |it| {
        &mut it.http_field_bytes
    });
    pub const HTTP_KEPT: Self = Self::bytes("http_kept", "HTTP requests begun", GIB, |it| {
        &mut it.http_kept_bytes
    });
    pub const HTTP_REQUESTS: Self = Self::count("http_requests", "HTTP requests", MANY, |it| {
        &mut it.http_requests
    });
    pub const HTTP_CONCURRENCY: Self =
        Self::count("http_concurrency", "HTTP requests at once", 1_000, |it| {
            &mut it.http_concurrency
        });
    pub const HTTP_SENT: Self = Self::bytes("http_sent", "bodies of HTTP requests", GIB, |it| {
        &mut it.http_sent_bytes
    });
    pub const HTTP_SIGNED: Self =
        Self::bytes("http_signed", "body of a signed HTTP request", GIB, |it| {
            &mut it.http_signed_bytes
        });
    pub const HTTP_RECEIVED: Self =
        Self::bytes("http_received", "bodies of HTTP responses", GIB, |it| {
            &mut it.http_received_bytes
        });
    pub const HTTP_CONNECT: Self = Self::time("http_connect", "time to connect for HTTP", |it| {
        &mut it.http_connect
    });
    pub const HTTP_FIRST_BYTE: Self =
        Self::time("http_first_byte", "time to the head of a response", |it| {
            &mut it.http_first_byte
        });
    pub const HTTP_BETWEEN_BYTES: Self = Self::time(
        "http_between_bytes",
        "time between parts of a response",
        |it| &mut it.http_between_bytes,
    );
}

/// Bounds what may be loaded, and what that may take. Nothing is compiled that
/// is over one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadLimits {
    /// Bytes of the component. Default: 128 MiB.
    pub size: usize,
    /// Core module instances that it makes. Each slot of the sandbox has so many.
    /// Default: 128.
    pub instances: usize,
    /// Linear memories of these. Each slot reserves 4 GiB of address space for
    /// one. Default: 4.
    pub memories: usize,
    /// Tables of these. Default: 16.
    pub tables: usize,
    /// Component instances that it makes. Default: 1,000.
    pub components: usize,
    /// Functions. Default: 200,000.
    pub functions: usize,
    /// Bytes of the longest function. Default: 2 MiB.
    pub function_bytes: usize,
    /// Types, and what they are made of. Default: 100,000.
    pub types: usize,
    /// Imports of modules and components. Default: 10,000.
    pub imports: usize,
    /// Exports of these. Default: 100,000.
    pub exports: usize,
    /// Globals. Default: 100,000.
    pub globals: usize,
    /// Segments of data and of elements. Default: 100,000.
    pub segments: usize,
    /// Sections of modules and components, custom ones too, the instances in them with
    /// their arguments and exports, and the aliases. Default: 100,000.
    pub sections: usize,
    /// CPU time to start and describe itself. Default: 2 s.
    pub describe_cpu: Duration,
    /// Time to do so. Default: 5 s.
    pub describe_wall: Duration,
    /// Time to compile it, where it is compiled by a process of its own.
    /// Default: 2 minutes.
    pub compile_time: Duration,
    /// Bytes of memory of that process. Default: 4 GiB.
    pub compile_memory: usize,
    /// Bytes of the machine code that it may answer. Default: 512 MiB.
    pub code: usize,
    /// Bytes of machine code that the directory for compiled components keeps. What was
    /// not used for the longest time makes room. Default: 4 GiB.
    pub cache: usize,
}

impl Default for LoadLimits {
    fn default() -> Self {
        Self {
            size: 128 * MIB,
            instances: 128,
            memories: 4,
            tables: 16,
            components: 1_000,
            functions: 200_000,
            function_bytes: 2 * MIB,
            types: 100_000,
            imports: 10_000,
            exports: 100_000,
            globals: 100_000,
            segments: 100_000,
            sections: 100_000,
            describe_cpu: Duration::from_secs(2),
            describe_wall: Duration::from_secs(5),
            compile_time: Duration::from_secs(120),
            compile_memory: 4 * 1024 * MIB,
            code: 512 * MIB,
            cache: 4 * 1024 * MIB,
        }
    }
}

impl LimitSet for LoadLimits {
    const TABLE: &'static str = "load";

    const ALL: &'static [Limit<Self>] = &[
        Limit::SIZE,
        Limit::CORE_INSTANCES,
        Limit::MEMORIES,
        Limit::TABLES,
        Limit::COMPONENTS,
        Limit::FUNCTIONS,
        Limit::FUNCTION_BYTES,
        Limit::TYPES,
        Limit::IMPORTS,
        Limit::EXPORTS,
        Limit::GLOBALS,
        Limit::SEGMENTS,
        Limit::SECTIONS,
        Limit::DESCRIBE_CPU,
        Limit::DESCRIBE_WALL,
        Limit::COMPILE_TIME,
        Limit::COMPILE_MEMORY,
        Limit::CODE,
        Limit::CACHE,
    ];
}

#[expect(missing_docs, reason = "the fields of `LoadLimits` say it")]
impl Limit<LoadLimits> {
    pub const SIZE: Self = Self::bytes("size", "component", GIB, |it| &mut it.size);
    pub const CORE_INSTANCES: Self =
        Self::count("instances", "core instances", 1_000, |it| &mut it.instances);
    pub const MEMORIES: Self = Self::count("memories", "memories", 16, |it| &mut it.memories);
    pub const TABLES: Self = Self::count("tables", "tables", 100, |it| &mut it.tables);
    pub const COMPONENTS: Self = Self::count("components", "component instances", MANY, |it| {
        &mut it.components
    });
    pub const FUNCTIONS: Self = Self::count("functions", "functions", MANY, |it| &mut it.functions);
    pub const FUNCTION_BYTES: Self = Self::bytes("function_bytes", "longest function", GIB, |it| {
        &mut it.function_bytes
    });
    pub const TYPES: Self = Self::count("types", "types", MANY, |it| &mut it.types);
    pub const IMPORTS: Self = Self::count("imports", "imports", MANY, |it| &mut it.imports);
    pub const EXPORTS: Self = Self::count("exports", "exports", MANY, |it| &mut it.exports);
    pub const GLOBALS: Self = Self::count("globals", "globals", MANY, |it| &mut it.globals);
    pub const SEGMENTS: Self = Self::count("segments", "segments", MANY, |it| &mut it.segments);
    pub const SECTIONS: Self =
        Self::count("sections", "sections, instances and aliases", MANY, |it| {
            &mut it.sections
        });
    pub const DESCRIBE_CPU: Self =
        Self::time("describe_cpu", "CPU time to describe itself", |it| {
            &mut it.describe_cpu
        });
    pub const DESCRIBE_WALL: Self = Self::time("describe_wall", "time to describe itself", |it| {
        &mut it.describe_wall
    });
    pub const COMPILE_TIME: Self = Self::time("compile_time", "time to compile it", |it| {
        &mut it.compile_time
    });
    pub const COMPILE_MEMORY: Self =
        Self::bytes("compile_memory", "memory to compile it", 1024 * GIB, |it| {
            &mut it.compile_memory
        });
    pub const CODE: Self = Self::bytes("code", "machine code", 16 * GIB, |it| &mut it.code);
    pub const CACHE: Self =
        Self::bytes("cache", "machine code kept", 1024 * GIB, |it| &mut it.cache);

    /// Refuses a component that has more than it allows.
    pub(super) fn check(&self, limits: LoadLimits, found: usize) -> Result<(), LoadError> {
        let limit = *self;
        match over(self.get(limits), found) {
            Some((found, most)) => Err(LoadError::OverLimit { limit, found, most }),
            None => Ok(()),
        }
    }
}

impl Limit<Limits> {
    /// Refuses a component that an invocation would begin with more of than it allows.
    pub(super) fn check_birth(&self, limits: Limits, found: usize) -> Result<(), LoadError> {
        let limit = *self;
        match over(self.get(limits), found) {
            Some((found, most)) => Err(LoadError::Birth { limit, found, most }),
            None => Ok(()),
        }
    }
}

/// Gives how much there is and the most that may be, if it is more.
fn over(most: Amount, found: usize) -> Option<(Amount, Amount)> {
    match most {
        Amount::Bytes(bytes) if found > bytes => Some((Amount::Bytes(found), most)),
        Amount::Count(count) if found > count => Some((Amount::Count(found), most)),
        Amount::Bytes(_) | Amount::Count(_) | Amount::Time(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::LimitError;
    use super::*;

    /// Holds each line of a table to a field of its own.
    fn each_limit_is_a_field_of_its_own<S: LimitSet + Default + PartialEq>() {
        let mut names = BTreeSet::new();
        for limit in S::ALL {
            assert!(names.insert(limit.name()), "{} twice", limit.name());
            assert_eq!(S::named(limit.name()), Some(*limit));
            let mut set = S::default();
            let (least, most) = limit.range();
            for amount in [least, most] {
                limit.set(&mut set, amount).expect("within its range");
                assert_eq!(limit.get(set), amount, "{}", limit.name());
            }
            let changed: Vec<_> = S::ALL
                .iter()
                .filter(|other| other.get(set) != other.get(S::default()))
                .map(Limit::name)
                .collect();
            assert_eq!(changed, [limit.name()]);
        }
    }

    #[test]
    fn the_tables_have_each_limit_once() {
        each_limit_is_a_field_of_its_own::<Limits>();
        each_limit_is_a_field_of_its_own::<LoadLimits>();
        each_limit_is_a_field_of_its_own::<HttpLimits>();
    }

    #[test]
    fn a_value_that_cannot_be_is_refused() {
        let mut limits = Limits::default();
        for amount in [
            Amount::Bytes(0),
            Amount::Bytes((1 << 30) + 1),
            Amount::Count(1),
        ] {
            let refusal = Limit::MEMORY.set(&mut limits, amount);
            assert!(
                matches!(
                    refusal,
                    Err(LimitError::Range { .. } | LimitError::Unit { .. })
                ),
                "{amount:?}"
            );
        }
        assert_eq!(limits, Limits::default());
    }

    #[test]
    fn what_is_over_a_limit_is_said_with_both_values_and_the_setting() {
        let limits = LoadLimits::default();
        Limit::MEMORIES.check(limits, 4).expect("within");
        for (limit, found, words) in [
            (
                Limit::MEMORIES,
                5,
                "the component has 5 memories, more than the limit of 4: raise `load.memories`",
            ),
            (
                Limit::SIZE,
                134_217_729,
                "the component has 134217729 bytes, more than the limit of 134217728 bytes: raise \
                 `load.size`",
            ),
        ] {
            let refusal = limit.check(limits, found).expect_err("over");
            assert_eq!(refusal.to_string(), words);
        }
    }
}
