//! `evenkeel init`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use evenkeel_model::fleet::{Format, read};
use evenkeel_model::survey::Survey;
use evenkeel_model::{ClusterName, GroupName};

use super::account::WhereOptions;
use super::say;
use crate::account::Place;
use crate::init::{Where, propose};
use crate::show::count;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The ECS cluster; without it, and without --group, those that there are are listed.
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<ClusterName>,
    /// An Auto Scaling group that no host of the cluster tells of, because it is empty or there is no cluster; once for each.
    #[arg(long = "group", value_name = "NAME")]
    pub(crate) groups: Vec<GroupName>,
    /// Where the fleet file is written; it is printed without it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) place: WhereOptions,
}

/// Lists the clusters.
pub(crate) fn list(clusters: &[ClusterName], place: &Place) -> ExitCode {
    let region = place.region.as_deref().unwrap_or_default();
    if clusters.is_empty() {
        say(&format!(
            "there is no ECS cluster in {region}\n  name another region with --region, or the groups of a site without ECS with --group"
        ));
        return ExitCode::SUCCESS;
    }
    let names: Vec<String> = clusters.iter().map(|name| format!("  evenkeel init --cluster {name}")).collect();
    say(&format!("{} in {region}; say which:\n{}", count(clusters.len(), "ECS cluster"), names.join("\n")));
    ExitCode::SUCCESS
}

/// Writes the proposal.
pub(crate) fn init(found: &Survey, place: &Place, options: &Options) -> Result<ExitCode> {
    let option = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!(" --{name} {value}"));
    let told = [option("region", &place.region), option("profile", &place.profile)];
    let text = propose(found, &Where { options: told.into_iter().flatten().collect() })?;
    let fleet = read(text.as_bytes(), Format::Toml)
        .with_context(|| format!("what was found makes no good fleet file; please report it\n{text}"))?;
    let Some(path) = &options.out else {
        say(text.trim_end());
        return Ok(ExitCode::SUCCESS);
    };
    if path.exists() {
        bail!("--out {}: it is there already, and is not written over", path.display());
    }
    std::fs::write(path, &text).with_context(|| format!("--out {}", path.display()))?;
    let file = path.display();
    let (pools, services) = (count(fleet.pools.len(), "pool"), count(fleet.services.len(), "service"));
    say(&format!("{file}: fleet {}, {pools}, {services}\nread it, and then: evenkeel plan {file} --live", fleet.name));
    Ok(ExitCode::SUCCESS)
}
