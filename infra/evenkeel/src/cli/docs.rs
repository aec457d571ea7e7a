//! `evenkeel completions` and `evenkeel man`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::{Arguments, say, write_out};

#[derive(Debug, Args)]
pub(crate) struct CompletionsOptions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn completions(options: &CompletionsOptions) -> ExitCode {
    let mut script = Vec::new();
    generate(options.shell, &mut Arguments::command(), "evenkeel", &mut script);
    write_out(&script);
    ExitCode::SUCCESS
}

#[derive(Debug, Args)]
pub(crate) struct ManOptions {
    /// A page for each command, into this folder, which is made; without it the main page goes to standard output.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn man(options: &ManOptions) -> Result<ExitCode> {
    let command = Arguments::command();
    let Some(folder) = &options.out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        write_out(&page);
        return Ok(ExitCode::SUCCESS);
    };
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    clap_mangen::generate_to(command, folder).with_context(|| folder.display().to_string())?;
    say(&format!("written to {0}; read with `man -l {0}/evenkeel.1`", folder.display()));
    Ok(ExitCode::SUCCESS)
}
