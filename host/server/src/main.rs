//! The program `formwork`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // SAFETY: this is the first that the program does, so it has no other thread.
    let environment = unsafe { formwork::Environment::take() };
    formwork::run(&formwork::Cli::read(), &environment)
}
