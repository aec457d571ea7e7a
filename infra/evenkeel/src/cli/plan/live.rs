//! `evenkeel plan --live`: what the functions would do this minute on an account in which nothing need be deployed.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use evenkeel_turn::ports::Ledger;
use serde_json::{Value, json};

use crate::account::{Eyes, Place, Reads, Thought, Thoughts, think};
use crate::cli::account::WhereOptions;
use crate::cli::{read_fleet_file, read_text, say};
use crate::show;

#[derive(Debug, Clone, Args)]
pub(crate) struct LiveOptions {
    /// The account as it is now, with your own credentials; reads only, and nothing has to be deployed.
    #[arg(long, conflicts_with_all = ["observed", "at", "want", "setup", "seed", "demand", "spot", "types", "patch_at", "no_warnings"])]
    pub(crate) live: bool,
    /// A deployment whose ledger is read too: what its functions remember of the fleet.
    #[arg(long, value_name = "NAME", requires = "live")]
    deployment: Option<String>,
    #[command(flatten)]
    place: WhereOptions,
}

impl LiveOptions {
    pub(crate) fn place(&self) -> Place {
        self.place.place(self.deployment.as_deref())
    }
}

/// Says what the functions would do.
pub(crate) async fn live<R: Reads + Ledger>(
    eyes: &Eyes<R>,
    place: &Place,
    (options, file, as_json): (&LiveOptions, &Path, bool),
) -> Result<ExitCode> {
    let fleet = read_fleet_file(file)?;
    let text = read_text(file)?;
    let ledger = options.deployment.as_ref().map(|_| &eyes.microscale);
    let thoughts = think(eyes, (&fleet, &text), ledger, place).await?;
    let region = place.region.as_deref().unwrap_or_default();
    let remembers = match &options.deployment {
        Some(name) => format!("as deployment {name} would from what it remembers"),
        None => "as functions would that have never seen it before".to_owned(),
    };
    let source = format!("LIVE: fleet {} in {region}, {remembers}; nothing was changed", fleet.name);
    say(&if as_json { for_machines(&source, &thoughts)? } else { in_words(source, &thoughts) });
    Ok(ExitCode::SUCCESS)
}

fn in_words(source: String, thoughts: &Thoughts) -> String {
    let Thoughts { at, microscale, backfill, patchroll, roll } = thoughts;
    let functions = [
        ("microscale", microscale, false),
        ("backfill", backfill, false),
        ("patchroll", patchroll, false),
        ("patchroll, if somebody started a roll,", roll, true),
    ];
    let mut lines = vec![source];
    for (function, thought, with_waves) in functions {
        let Some(Thought { steps, report, waves }) = thought else { continue };
        lines.push(show::plan(function, (steps, report), *at));
        lines.extend(show::waves(waves).filter(|_| with_waves));
    }
    lines.join("\n")
}

/// `patchroll` is a roll that somebody started, as where the plan is of the simulated cloud.
fn for_machines(source: &str, thoughts: &Thoughts) -> Result<String> {
    let Thoughts { at, microscale, backfill, patchroll, roll } = thoughts;
    let of = |thought: &Option<Thought>| -> Value {
        thought
            .as_ref()
            .map_or(Value::Null, |Thought { steps, report, waves: _ }| json!({ "steps": steps, "report": report }))
    };
    let mut started = of(roll);
    if let Some(roll) = roll {
        started["waves"] = json!(roll.waves);
    }
    let (steps, report) = match microscale {
        Some(Thought { steps, report, waves: _ }) => (json!(steps), json!(report)),
        None => (json!([]), Value::Null),
    };
    Ok(serde_json::to_string_pretty(&json!({
        "source": source,
        "at": at,
        "steps": steps,
        "report": report,
        "backfill": of(backfill),
        "patchroll": started,
        "patchroll_now": of(patchroll),
    }))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_backfill::Backfill;
    use evenkeel_microscale::Microscale;
    use evenkeel_model::FunctionName;
    use evenkeel_model::fleet::{Fleet, Format, read};
    use evenkeel_model::trigger::{BackfillVerb, Manual, MicroscaleVerb, Request, RollVerb, Trigger};
    use evenkeel_patchroll::Patchroll;
    use evenkeel_turn::{FleetCache, Handled, Outlook};
    use evenkeel_world::{HostKind, LIMITS, World, clock};

    use crate::show::testing::{eyes, nowhere, shop};

    const SHOP: &str = include_str!("../../../../fleets/shop.toml");

    fn file() -> Fleet {
        read(SHOP.as_bytes(), Format::Toml).unwrap()
    }

    fn thinks(world: &mut World, deployed: bool) -> Thoughts {
        let (fleet, eyes) = (file(), eyes(world));
        let work = async move {
            think(&eyes, (&fleet, SHOP), deployed.then_some(&eyes.microscale), &nowhere()).await.unwrap()
        };
        world.finish(work).unwrap()
    }

    fn said<S, V>(handled: Handled<S, V>) -> (Vec<String>, Vec<String>) {
        let Handled::Planned(planned) = handled else { panic!("a function plans when it is asked to") };
        let Outlook { steps, report, .. } = planned.0;
        sentences(&steps, &report)
    }

    fn sentences(
        steps: &[evenkeel_model::decision::Planned],
        report: &evenkeel_model::report::Report,
    ) -> (Vec<String>, Vec<String>) {
        (
            steps.iter().map(|one| format!("{}: {}", one.step, one.why)).collect(),
            report.waits.iter().map(ToString::to_string).collect(),
        )
    }

    /// What the deployed functions answer when each is asked for its plan.
    fn deployed(world: &mut World) -> Vec<(Vec<String>, Vec<String>)> {
        let cache = || FleetCache::new(file().name);
        let asks = |request| Trigger::Manual(Manual { at: None, fleet: file().name, request, id: None });
        let ports =
            [FunctionName::Microscale, FunctionName::Backfill, FunctionName::Patchroll].map(|name| world.ports(name));
        let work = async move {
            let trigger = asks(Request::Microscale(MicroscaleVerb::Plan));
            let tasks = Microscale.handle(&ports[0], &cache(), &trigger, "", LIMITS).await.unwrap();
            let trigger = asks(Request::Backfill(BackfillVerb::Plan));
            let hosts = Backfill.handle(&ports[1], &cache(), &trigger, "", LIMITS).await.unwrap();
            let trigger = asks(Request::Roll { verb: RollVerb::Plan, pool: None, by: None });
            let roll = Patchroll.handle(&ports[2], &cache(), &trigger, "", LIMITS).await.unwrap();
            vec![said(tasks), said(hosts), said(roll)]
        };
        world.finish(work).unwrap()
    }

    /// The shop with something to do, which nobody does meanwhile: a host has failed, and there is a newer launch template
    /// version.
    fn changed(minutes: u64) -> World {
        let mut world = shop(minutes);
        for function in [FunctionName::Microscale, FunctionName::Backfill, FunctionName::Patchroll] {
            world.switch_off(function, true);
        }
        world.publish_versions(HostKind::Sound);
        world.fails(&"spot".parse().unwrap()).unwrap();
        world
    }

    #[test]
    fn a_live_plan_and_the_deployed_functions_say_the_same() {
        for minutes in [1, 20] {
            let [mut one, mut other] = [changed(minutes), changed(minutes)];
            let (lived, told) = (thinks(&mut one, true), deployed(&mut other));
            let of =
                |thought: &Option<Thought>| thought.as_ref().map(|one| sentences(&one.steps, &one.report)).unwrap();
            assert_eq!([of(&lived.microscale), of(&lived.backfill), of(&lived.roll)].to_vec(), told, "{minutes} min");
            let waves: usize = lived.roll.iter().map(|roll| roll.waves.len()).sum();
            assert!(waves >= 4, "a wave for each host");
        }
    }

    #[test]
    fn with_nothing_deployed_a_live_plan_says_what_would_be_done_and_does_nothing() {
        let mut world = shop(0);
        world.publish_versions(HostKind::Sound);
        let before = (world.observe().services, world.records(evenkeel_model::Timestamp::UNIX_EPOCH));
        let thoughts = thinks(&mut world, false);
        let text = in_words("LIVE: fleet shop".to_owned(), &thoughts);
        assert!(text.starts_with("LIVE: fleet shop\nA turn of microscale at 2"), "{text}");
        for part in [
            "A turn of backfill",
            "A turn of patchroll at",
            "A turn of patchroll, if somebody started a roll,",
            "wave 1: ",
        ] {
            assert!(text.contains(part), "{text}\nlacks {part:?}");
        }
        let machines: Value = serde_json::from_str(&for_machines("LIVE", &thoughts).unwrap()).unwrap();
        assert_eq!(machines["patchroll"]["waves"].as_array().unwrap().len(), 5);
        assert!(machines["patchroll_now"]["report"]["waits"].is_array(), "{machines}");
        let after = (world.observe().services, world.records(evenkeel_model::Timestamp::UNIX_EPOCH));
        assert_eq!(
            before.0.iter().map(|service| service.desired).collect::<Vec<_>>(),
            after.0.iter().map(|service| service.desired).collect::<Vec<_>>()
        );
        assert_eq!(before.1, after.1);
        assert!(world.now() < clock::MINUTE, "it looked at once");
    }
}
