//! `evenkeel check`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{read_fleet, say};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The fleet file.
    #[arg(value_name = "FLEET_FILE")]
    file: PathBuf,
}

pub(crate) fn check(options: &Options) -> Result<ExitCode> {
    let fleet = read_fleet(Some(&options.file))?;
    say(&format!(
        "{}: fleet {} is fine: {} pools, {} services",
        options.file.display(),
        fleet.name,
        fleet.pools.len(),
        fleet.services.len()
    ));
    for remark in fleet.remarks() {
        say(&format!("note: {remark}"));
    }
    Ok(ExitCode::SUCCESS)
}
