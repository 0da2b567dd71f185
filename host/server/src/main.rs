//! The program `formwork`.

use std::process::ExitCode;

fn main() -> ExitCode {
    formwork::run(&formwork::Cli::read())
}
