//! The `evenkeel` command: runs fleets in the simulated cloud.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    match cli::run(arguments) {
        Ok(code) => code,
        Err(error) => {
            // The whole chain, once, at the edge.
            cli::complain(&format!("evenkeel: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
