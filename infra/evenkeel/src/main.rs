//! The `evenkeel` command: runs fleets in the simulated cloud, and operates those that are deployed.

// Without the feature nothing reaches an account; what would is compiled and tested all the same.
#[cfg_attr(not(feature = "aws"), allow(dead_code, unused_imports, reason = "used by commands that reach an account"))]
mod account;
#[cfg_attr(not(feature = "aws"), allow(dead_code, unused_imports, reason = "used by commands that reach an account"))]
mod cli;
#[cfg_attr(not(feature = "aws"), allow(dead_code, unused_imports, reason = "used by commands that reach an account"))]
mod init;
#[cfg_attr(not(feature = "aws"), allow(dead_code, unused_imports, reason = "used by commands that reach an account"))]
mod show;

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
