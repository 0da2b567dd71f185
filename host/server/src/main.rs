//! The program `formwork`.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    formwork::run(&formwork::Cli::parse())
}
