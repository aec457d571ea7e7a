//! Why a host, a service, a pool or a roll is as it is: what was decided about it, and what it waits for.

use std::fmt::Write;

use evenkeel_model::decision::RollStep;
use evenkeel_model::fleet::nearest;
use evenkeel_model::view::ServiceView;
use evenkeel_model::{FunctionName, Timestamp};

use super::decisions::line;
use super::status::{all_waits, short};
use super::table::{FAINT, ODD, TITLE, paint};
use super::words::{age, clock, count};
use crate::account::{Recorded, Standing, roll_of, says};

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum About {
    /// What is called so.
    Named(String),
    /// The newest roll, or the one with this id.
    Roll(Option<String>),
}

impl About {
    /// What `name` means: a roll by its id, or the word `roll`, unless something of the fleet is called so.
    pub(crate) fn of(name: &str, fleet: &Standing, decided: &[Recorded]) -> Self {
        let known = names(fleet).iter().any(|known| known == name);
        let rolls = decided.iter().filter_map(Recorded::roll).map(|step| roll_of(step).as_str());
        let ended = fleet.patch.iter().flat_map(|view| &view.ended).map(|ended| ended.id.as_str());
        let now = fleet.patch.iter().filter_map(|view| view.roll.as_ref()).map(|roll| roll.id.as_str());
        let is_roll = rolls.chain(ended).chain(now).any(|id| id == name);
        match name {
            _ if known => Self::Named(name.to_owned()),
            "roll" | "rolls" => Self::Roll(None),
            _ if is_roll => Self::Roll(Some(name.to_owned())),
            _ => Self::Named(name.to_owned()),
        }
    }

    /// Of all that was decided, newest first, what is about it.
    pub(crate) fn pick<'d>(&self, decided: &'d [Recorded]) -> Vec<&'d Recorded> {
        match self {
            Self::Named(name) => decided.iter().filter(|one| one.is_about(name)).collect(),
            Self::Roll(id) => {
                let of = |step: &RollStep| id.as_ref().is_none_or(|id| roll_of(step).as_str() == id);
                let ours = |one: &&Recorded| one.roll().is_some_and(of);
                let begins =
                    |one: &&Recorded| one.roll().is_some_and(|step| of(step) && matches!(step, RollStep::Start { .. }));
                let ends =
                    |one: &&Recorded| one.roll().is_some_and(|step| of(step) && matches!(step, RollStep::End { .. }));
                // Without an id the newest roll is meant, which may have begun before what was read.
                let begun = decided.iter().find(begins).map(|one| one.at);
                let ended =
                    decided.iter().find(ends).map(|one| one.at).filter(|at| begun.is_none_or(|begun| *at >= begun));
                let during = |one: &&Recorded| {
                    begun.is_none_or(|begun| one.at >= begun) && ended.is_none_or(|ended| one.at <= ended)
                };
                decided.iter().filter(|one| ours(one) || one.is_of_roll()).filter(during).collect()
            }
        }
    }

    fn waits(&self, fleet: &Standing) -> Vec<String> {
        let all = all_waits(fleet).into_iter();
        let ours: Vec<String> = match self {
            Self::Named(name) => all.filter(|(_, wait)| says(wait, name)).map(|(_, wait)| wait).collect(),
            Self::Roll(_) => {
                all.filter(|(function, _)| *function == FunctionName::Patchroll).map(|(_, wait)| wait).collect()
            }
        };
        ours
    }
}

/// The answer; none where nothing of the fleet is called so and nothing was decided about it.
pub(crate) fn why(
    name: &str,
    fleet: &Standing,
    decided: &[Recorded],
    since: Timestamp,
    now: Timestamp,
) -> Result<String, String> {
    let about = About::of(name, fleet, decided);
    let picked = about.pick(decided);
    let stands = match &about {
        About::Named(name) => stands(name, fleet),
        About::Roll(_) => super::roll::standing(fleet, now),
    };
    let waits = about.waits(fleet);
    if stands.is_empty() && picked.is_empty() && waits.is_empty() {
        return Err(unknown(name, fleet, since, now));
    }
    let mut text = String::new();
    let title = format_args!("{name} in fleet {}", fleet.name);
    let seen = fleet.seen().map(|seen| format!("  seen {} ago", age(seen, now))).unwrap_or_default();
    let _a_string_takes_all = writeln!(text, "{}{}", paint(TITLE, title), paint(FAINT, seen));
    for line in stands {
        let _a_string_takes_all = writeln!(text, "  {line}");
    }
    for wait in &waits {
        let _a_string_takes_all = writeln!(text, "  {} {wait}", paint(ODD, "waits:"));
    }
    for one in &picked {
        let _a_string_takes_all = writeln!(text, "{}", line(one, now));
    }
    if picked.is_empty() {
        let _a_string_takes_all = writeln!(text, "nothing was decided about it since {} UTC", clock(since, now));
    }
    Ok(text.trim_end().to_owned())
}

/// How what is called so stands, in sentences.
fn stands(name: &str, fleet: &Standing) -> Vec<String> {
    let mut lines = Vec::new();
    for service in fleet.tasks.iter().flat_map(|view| &view.services).filter(|service| service.name.as_str() == name) {
        lines.push(service_stands(service));
    }
    for host in fleet.tasks.iter().flat_map(|view| &view.hosts).filter(|host| host.id.as_str() == name) {
        let pool = host.pool.as_ref().map_or("no pool".to_owned(), |pool| format!("pool {pool}"));
        let zone = host.zone.as_ref().map(|zone| format!(" in {zone}")).unwrap_or_default();
        let agent = if host.connected { "" } else { ", its agent is away" };
        let status = match host.status {
            evenkeel_model::observed::HostStatus::Active => "takes tasks",
            evenkeel_model::observed::HostStatus::Draining => "drains",
            evenkeel_model::observed::HostStatus::Leaving => "is not in service",
        };
        lines.push(format!("a host of {pool}{zone}: {status}{agent}"));
    }
    for host in
        fleet.hosts.iter().flat_map(|view| &view.hosts).filter(|host| host.id.as_str() == name && !host.says.is_empty())
    {
        lines.push(format!("a host of pool {}: {}", host.pool, host.says));
    }
    for (_, host) in fleet.patch.iter().flat_map(|view| &view.hosts).filter(|(id, _)| id.as_str() == name) {
        let state = serde_json::to_value(host.state).ok().and_then(|state| state.as_str().map(str::to_owned));
        lines.push(format!("runs {}: {}", host.runs, state.unwrap_or_default()));
    }
    if let Some(out) = fleet.budget.outs.iter().find(|(id, _)| id.as_str() == name).map(|(_, out)| out) {
        lines.push(format!("counts as out since {:.0}: {} noted it", out.since, out.by));
    }
    for pool in fleet.file.iter().flat_map(|file| &file.pools).filter(|pool| pool.name.as_str() == name) {
        let hosts = fleet.hosts.iter().flat_map(|view| &view.hosts).filter(|host| host.pool == pool.name).count();
        lines.push(format!("a pool, {}, of {}: {}", pool.purchase, pool.auto_scaling_group, count(hosts, "host")));
    }
    lines
}

fn service_stands(service: &ServiceView) -> String {
    let short = short(service);
    let short = if short == 0 { String::new() } else { format!(", {short} short") };
    format!(
        "a service of priority {}: {} wanted, {} run, {} start, {} stop{short}; {} would fit",
        service.priority, service.want, service.running, service.pending, service.stopping, service.feasible
    )
}

/// Everything of the fleet that has a name.
fn names(fleet: &Standing) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    names.extend(fleet.tasks.iter().flat_map(|view| &view.services).map(|service| service.name.to_string()));
    names.extend(fleet.tasks.iter().flat_map(|view| &view.hosts).map(|host| host.id.to_string()));
    names.extend(fleet.hosts.iter().flat_map(|view| &view.hosts).map(|host| host.id.to_string()));
    names.extend(fleet.patch.iter().flat_map(|view| view.hosts.keys()).map(ToString::to_string));
    names.extend(fleet.file.iter().flat_map(|file| &file.pools).map(|pool| pool.name.to_string()));
    names.extend(fleet.file.iter().flat_map(|file| &file.services).map(|service| service.name.to_string()));
    names.sort();
    names.dedup();
    names
}

fn unknown(name: &str, fleet: &Standing, since: Timestamp, now: Timestamp) -> String {
    let names = names(fleet);
    let meant = nearest(name, names.iter().map(String::as_str));
    let meant = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
    format!(
        "fleet {} has no host, service, pool or roll {name}, and nothing was decided about one since {} UTC{meant}\n  \
         `evenkeel status {}` shows what there is; --since 14d looks further back",
        fleet.name,
        clock(since, now),
        fleet.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::testing::{plain, shop, stands};

    #[test]
    fn a_lost_host_a_service_and_a_roll_are_explained_newest_first() {
        let mut world = shop(10);
        let spot = world.hosts(&"spot".parse().unwrap());
        assert!(world.interrupt(evenkeel_world::Interruption::Warned));
        world.run_until(20 * evenkeel_world::clock::MINUTE);
        world.patch();
        world.run_until(90 * evenkeel_world::clock::MINUTE);
        let (fleet, decided, now) = stands(&mut world);
        let why = |name: &str| why(name, &fleet, &decided, Timestamp::UNIX_EPOCH, now).map(|text| plain(&text));
        let lost: Vec<String> = spot
            .iter()
            .filter_map(|host| why(host.as_str()).ok())
            .filter(|text| text.contains("EC2 takes the spot host"))
            .collect();
        assert!(
            !lost.is_empty(),
            "one of {spot:?} was taken: {:?}",
            spot.iter().map(|host| why(host.as_str())).collect::<Vec<_>>()
        );
        let service = why("web").unwrap();
        assert!(service.contains("a service of priority 1") && service.contains("microscale"), "{service}");
        let roll = why("roll").unwrap();
        let lines: Vec<&str> = roll.lines().filter(|line| line.contains("patchroll  ")).collect();
        assert!(lines.first().is_some_and(|line| line.contains("end roll")), "{roll}");
        assert!(lines.last().is_some_and(|line| line.contains("start roll")), "{roll}");
        assert!(lines.len() > 5, "its steps are there: {roll}");
    }

    #[test]
    fn a_name_that_nothing_has_is_an_error_that_says_what_was_meant() {
        let mut world = shop(5);
        let (fleet, decided, now) = stands(&mut world);
        let said = why("wbe", &fleet, &decided, Timestamp::UNIX_EPOCH, now).unwrap_err();
        assert!(said.contains("did you mean web?") && said.contains("`evenkeel status shop`"), "{said}");
    }

    #[test]
    fn a_name_is_a_word_of_its_own() {
        assert!(says("web is 2 short", "web") && says("so that web, api can start", "web"));
        assert!(!says("web-2 is 2 short", "web") && !says("cobweb drains", "web") && !says("anything", ""));
    }
}
