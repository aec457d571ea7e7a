//! `evenkeel check`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use evenkeel_model::fleet::Fleet;
use serde_json::{Value, json};

use super::{NotUsable, read_fleet_file, say};
use crate::show::count;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The fleet files.
    #[arg(value_name = "FLEET_FILE", required = true)]
    files: Vec<PathBuf>,
    /// For machines: a JSON object for each file.
    #[arg(long)]
    json: bool,
}

/// Says all that is wrong where results go, because that is what was asked for: `| less` shows it.
pub(crate) fn check(options: &Options) -> ExitCode {
    let read: Vec<_> = options.files.iter().map(|file| (file.as_path(), read_fleet_file(file))).collect();
    let sound = read.iter().all(|(_, read)| read.is_ok());
    if options.json {
        let files: Vec<Value> = read.iter().map(|(file, read)| for_machines(file, read)).collect();
        say(&json!({ "sound": sound, "files": files }).to_string());
    } else {
        for (file, read) in &read {
            match read {
                Ok(fleet) => {
                    let (pools, services) = (count(fleet.pools.len(), "pool"), count(fleet.services.len(), "service"));
                    say(&format!("{}: fleet {} is fine: {pools}, {services}", file.display(), fleet.name));
                    fleet.remarks().iter().for_each(|remark| say(&format!("note: {remark}")));
                }
                Err(problem) => say(&problem.to_string()),
            }
        }
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn for_machines(file: &Path, read: &Result<Fleet, NotUsable>) -> Value {
    let file = file.display().to_string();
    match read {
        Ok(fleet) => json!({
            "file": file,
            "fleet": fleet.name,
            "pools": fleet.pools.len(),
            "services": fleet.services.len(),
            "notes": fleet.remarks(),
            "problems": [],
        }),
        Err(NotUsable::Problems { file: _, problems }) => {
            let problem = |problem: &evenkeel_model::fleet::Problem| json!({ "line": problem.line, "column": problem.column, "path": problem.path, "message": problem.message });
            let listed: Vec<Value> = problems.iter().map(problem).collect();
            json!({ "file": file, "problems": listed, "left_out": problems.left_out() })
        }
        Err(other @ (NotUsable::Unread(_) | NotUsable::OtherFormat { .. })) => {
            json!({ "file": file, "problems": [{ "message": other.to_string() }] })
        }
    }
}
