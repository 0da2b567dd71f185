//! Attacks on memory: a guest's own, and what the host keeps for it.

use super::attack::Attack;

const HANDLES: &str =
    "trap (limit): the handler needs more than its 1000 open handles: raise `limits.handles`";

const KEPT: &str = "trap (limit): the handler needs more than its 8388608 bytes of HTTP requests begun: raise `limits.http_kept`";
const FIELDS: &str = "trap (limit): the handler needs more than its 131072 bytes of HTTP fields: raise `limits.http_fields`";

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::guest(
            "memory-hog",
            "to take memory as a program does, until there is none",
            &["hog"],
            "the handler needs more than its 67108864 bytes of memory: raise `limits.memory` of the type",
        ),
        Attack::text(
            "memory-bomb",
            "to grow its memory page by page, and use it",
            "trap (memory limit)",
        ),
        Attack::text(
            "large-memory",
            "to be born with a page more memory than it may have",
            "bytes of memory, more than the limit of 268435456 bytes: raise `limits.memory`",
        ),
        Attack::text(
            "huge-memory",
            "to be born with 4 GiB of memory",
            "more than the limit of 268435456 bytes: raise `limits.memory`",
        ),
        Attack::text(
            "table-bomb",
            "to grow its table without end",
            "trap (memory limit): the handler needs more than its 200000 table elements: raise `limits.table_elements`",
        ),
        Attack::text(
            "huge-table",
            "to be born with four billion table elements",
            "more than the limit of 200000: raise `limits.table_elements`",
        ),
        Attack::guest(
            "million-pollables",
            "to take a million handles for moments",
            &["pollables 1000000"],
            HANDLES,
        ),
        Attack::guest(
            "million-fields",
            "to take a million handles for header fields",
            &["fields 1000000"],
            HANDLES,
        ),
        Attack::guest(
            "million-streams",
            "to take a million handles for its standard error",
            &["streams 1000000"],
            HANDLES,
        ),
        Attack::guest(
            "wait-for-many",
            "to wait for a hundred thousand things at once",
            &["poll 100000"],
            HANDLES,
        ),
        Attack::guest(
            "wait-for-none",
            "to wait for nothing at all",
            &["poll-none"],
            "trap (panic): empty poll list",
        ),
        Attack::guest(
            "much-randomness",
            "to have the host make a gigabyte of random numbers",
            &["random 1000000000"],
            "trap (limit): the handler needs more than its 1048576 bytes of randomness: raise `limits.random`",
        ),
        Attack::guest(
            "large-field",
            "to have the host keep a header field of 3 MiB",
            &["fields-bytes 3145728"],
            FIELDS,
        ),
        Attack::guest(
            "large-fields",
            "to have the host keep 400 sets of header fields that are as large as one may be",
            &["full-fields 400"],
            KEPT,
        ),
        Attack::guest(
            "large-methods",
            "to have the host keep methods and hosts of 3 MB, of 400 requests",
            &["begin 400 3000000"],
            KEPT,
        ),
        Attack::guest(
            "large-bodies",
            "to have the host keep the bodies of 400 requests that are never sent",
            &["bodies 400"],
            KEPT,
        ),
        Attack::guest(
            "giant-line",
            "to log a line of 30 MiB",
            &["log-line 31457280"],
            "a call into the host carried more than its 4194304 bytes: raise `limits.transfer`",
        ),
        Attack::guest(
            "giant-log",
            "to log for ever",
            &["call-log"],
            "trap (CPU budget)",
        )
        .shortly(),
        Attack::guest(
            "giant-error-output",
            "to write 50 MiB to its standard error without a line's end",
            &["stderr 52428800"],
            "found: said",
        ),
    ]
}
