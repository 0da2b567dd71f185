//! Attacks on time: endless work, endless waits.

use std::time::Duration;

use super::attack::Attack;

const CPU: &str =
    "trap (CPU budget): the handler computed for more than 100ms: raise `limits.cpu` of the type";

const DESCRIBE: &str = "refused: cannot describe itself: trap (CPU budget): the handler computed \
                        for more than 500ms: raise `load.describe_cpu`";

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::guest("endless-loop", "to compute for ever", &["loop"], CPU).shortly(),
        Attack::text(
            "loop-in-describe",
            "to compute for ever while it is loaded",
            DESCRIBE,
        ),
        Attack::text(
            "loop-in-start",
            "to compute for ever before it is called",
            DESCRIBE,
        ),
        Attack::text(
            "loop-in-realloc",
            "to compute for ever where the host asks it for room",
            CPU,
        )
        .shortly(),
        Attack::text(
            "loop-in-post-return",
            "to compute for ever after its answer",
            CPU,
        )
        .shortly(),
        Attack::text(
            "loop-of-fills",
            "to fill 224 MiB with single instructions, which nothing interrupts",
            CPU,
        )
        .shortly()
        .with(|environment| environment.limits.memory_bytes = 256 << 20),
        Attack::text(
            "loop-of-copies",
            "to copy 224 MiB with single instructions, which nothing interrupts",
            CPU,
        )
        .shortly()
        .with(|environment| environment.limits.memory_bytes = 256 << 20),
        Attack::guest(
            "loop-in-a-call",
            "to call the host's clock for ever",
            &["call-clock"],
            CPU,
        )
        .shortly(),
        Attack::guest(
            "loop-of-waits",
            "to wait for nothing for ever, which gives its thread back each time",
            &["call-yield"],
            CPU,
        )
        .shortly(),
        Attack::guest(
            "endless-wait",
            "to wait for ever",
            &["sleep"],
            "trap (wall limit): the handler did not answer within 100ms",
        )
        .with(|environment| environment.limits.mutation_wall = Duration::from_millis(100)),
        Attack::text(
            "deep-recursion",
            "to recurse for ever",
            "trap (stack overflow): the handler recursed deeper than its stack",
        ),
        Attack::text(
            "recursion-by-table",
            "to recurse for ever by a table of functions, with large frames",
            "trap (stack overflow)",
        ),
        Attack::text(
            "recursion-in-realloc",
            "to recurse for ever where the host asks it for room",
            "trap (stack overflow)",
        ),
        Attack::guest(
            "recursion-with-calls",
            "to call the host at every depth of its stack, also the last",
            &["recurse-calling"],
            "trap (stack overflow)",
        ),
    ]
}
