//! `evenkeel look`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use evenkeel_turn::ports::Ledger;

use super::account::WhereOptions;
use super::{read_fleet_file, read_text, say};
use crate::account::{Eyes, Place, Reads, anonymous, see};
use crate::show;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The fleet file; nothing of it has to be deployed.
    #[arg(value_name = "FLEET_FILE")]
    file: PathBuf,
    /// Writes what was seen as JSON: what `plan --observed` reads, and what helps in a bug report.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replaces the names of the cluster, groups, services, hosts and alarms by made-up ones, and leaves out AWS's words.
    #[arg(long)]
    anonymous: bool,
    /// What was seen as JSON, instead of the screen.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(crate) place: WhereOptions,
}

/// Exits with 1 where something could not be read, after it has shown the rest.
pub(crate) async fn look<R: Reads + Ledger>(eyes: &Eyes<R>, place: &Place, options: &Options) -> Result<ExitCode> {
    let fleet = read_fleet_file(&options.file)?;
    let text = read_text(&options.file)?;
    let sight = see(eyes, (&fleet, &text), place).await?;
    let (fleet, sight) = if options.anonymous { anonymous(&fleet, &sight)? } else { (fleet, sight) };
    if let Some(path) = &options.out {
        let text = serde_json::to_string_pretty(&sight)? + "\n";
        std::fs::write(path, text).with_context(|| format!("--out {}", path.display()))?;
    }
    let text =
        if options.json { serde_json::to_string(&sight)? } else { show::look(&fleet, &sight).trim_end().to_owned() };
    say(&text);
    Ok(if sight.unread.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_model::Fleet;
    use evenkeel_model::fleet::{Format, read};

    use crate::account::Sight;
    use crate::show::testing::{eyes, nowhere, plain, shop};

    const SHOP: &str = include_str!("../../../fleets/shop.toml");

    fn looks(text: &'static str) -> Result<(Fleet, Sight)> {
        let mut world = shop(20);
        let (fleet, eyes) = (read(text.as_bytes(), Format::Toml).unwrap(), eyes(&mut world));
        let seen = fleet.clone();
        let sight = world.finish(async move { see(&eyes, (&seen, text), &nowhere()).await }).unwrap()?;
        Ok((fleet, sight))
    }

    #[test]
    fn a_look_shows_hosts_by_pool_services_with_counts_and_alarms() {
        let (fleet, sight) = looks(SHOP).unwrap();
        let screen = plain(&show::look(&fleet, &sight));
        let row = |name: &str| -> Vec<String> {
            let line = screen.lines().find(|line| line.trim_start().starts_with(&format!("{name} ")));
            line.unwrap_or_else(|| panic!("no {name} in\n{screen}")).split_whitespace().map(str::to_owned).collect()
        };
        assert!(screen.starts_with("shop  live, cluster shop, seen 2026-"), "{screen}");
        assert_eq!(row("base")[1..8], ["3", "3", "0", "0", "3", "0", "0"], "{screen}");
        assert!(row("spot").join(" ").contains("spot, shop-spot, 0 to"), "{screen}");
        let (web, reports) = (row("web"), row("reports"));
        assert_eq!(web[1..3], ["1", "8"], "{screen}");
        assert!(web[6].starts_with("400"), "{screen}");
        assert_eq!(reports[6..], ["takes", "what", "is", "left"], "{screen}");
        assert!(row("shop-5xx").join(" ").contains("OK since"), "{screen}");
        assert!(!screen.contains("not read"), "{screen}");
    }

    #[test]
    fn what_is_not_there_is_said() {
        let other = SHOP.replace("\"shop-spot\"", "\"shop-sopt\"").replace("name = \"reports\"", "name = \"report\"");
        let (fleet, sight) = looks(other.leak()).unwrap();
        let screen = plain(&show::look(&fleet, &sight));
        assert!(screen.contains("spot, group shop-sopt is not there"), "{screen}");
        assert!(screen.lines().any(|line| line.contains("report ") && line.ends_with("not there")), "{screen}");
        assert!(screen.contains("2 hosts of cluster shop in none of these groups"), "{screen}");
    }

    #[test]
    fn what_is_written_is_what_a_plan_reads_with_its_own_names_and_with_made_up_ones() {
        let (fleet, sight) = looks(SHOP).unwrap();
        let folder = tempfile::TempDir::new().unwrap();
        let plans = |fleet: &Fleet, sight: &Sight| -> String {
            let (file, seen) = (folder.path().join("fleet.json"), folder.path().join("seen.json"));
            std::fs::write(&file, serde_json::to_string(&sight.fleet).unwrap()).unwrap();
            std::fs::write(&seen, serde_json::to_string(sight).unwrap()).unwrap();
            assert_eq!(read_fleet_file(&file).unwrap(), *fleet, "the fleet is in what is written");
            let again: Sight = serde_json::from_slice(&std::fs::read(&seen).unwrap()).unwrap();
            assert_eq!(serde_json::to_value(again).unwrap(), serde_json::to_value(sight).unwrap());
            std::fs::read_to_string(&seen).unwrap()
        };
        let own = plans(&fleet, &sight);
        assert!(own.contains("shop-spot") && own.contains("reports"), "{own}");
        let (fleet, sight) = anonymous(&fleet, &sight).unwrap();
        let made_up = plans(&fleet, &sight);
        for name in ["shop", "web", "reports", "base", "burst", "RequestsPerSecond"] {
            assert!(!made_up.contains(&format!("\"{name}")), "{name} is in {made_up}");
        }
        for name in ["service-1", "service-2", "group-3", "host-1", "alarm-3", "cluster-1"] {
            assert!(made_up.contains(name), "no {name} in {made_up}");
        }
        let screen = plain(&show::look(&fleet, &sight));
        assert!(screen.starts_with("fleet-1  live, cluster cluster-1") && !screen.contains("shop"), "{screen}");
    }
}
