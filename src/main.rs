//! The `nightline` command: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use nightline::cli::{Cli, exit};

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => cli.run(),
        Err(error) => {
            let _ = error.print();
            if error.use_stderr() { ExitCode::from(exit::USAGE) } else { exit::OK }
        }
    }
}
