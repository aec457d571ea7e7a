//! Pools, and how many hosts there are, from Auto Scaling groups.

use std::collections::BTreeSet;
use std::fmt::Write;

use evenkeel_model::fleet::Purchase;
use evenkeel_model::groups::ScaledBy;
use evenkeel_model::survey::{Bought, FoundGroup};

use super::{argument, plain, quoted};

/// A fleet file's limit of hosts.
const MOST_HOSTS: u32 = 5_000;
/// A fleet file's limit of pools.
const MOST_POOLS: usize = 50;

/// A pool that is proposed.
pub(super) struct Proposed<'a> {
    name: String,
    purchase: Purchase,
    because: String,
    found: &'a FoundGroup,
}

impl Proposed<'_> {
    /// Its hosts stand in for others.
    pub(super) fn stands_in(&self) -> bool {
        self.purchase == Purchase::OnDemand
    }
}

/// A pool for each group: those that are always there first, those that stand in last.
pub(super) fn propose(groups: &[FoundGroup]) -> Vec<Proposed<'_>> {
    let mut names = BTreeSet::new();
    let mut pools: Vec<Proposed<'_>> = groups
        .iter()
        .take(MOST_POOLS)
        .map(|found| {
            let (purchase, because) = purchase(found);
            let wanted = plain(found.group.name.as_str());
            let numbered = (2..).map(|number| format!("{:.60}-{number}", wanted));
            let name = std::iter::once(wanted.clone()).chain(numbered).find(|name| names.insert(name.clone()));
            Proposed { name: name.unwrap_or(wanted), purchase, because, found }
        })
        .collect();
    pools.sort_by(|one, other| (one.purchase, &one.name).cmp(&(other.purchase, &other.name)));
    pools
}

fn purchase(found: &FoundGroup) -> (Purchase, String) {
    let group = &found.group;
    let (spot, all) = (found.spot, group.members.len());
    match found.bought {
        Bought::Both { base, percent } => {
            let base = if base == 1 { "1 host".to_owned() } else { format!("{base} hosts") };
            (Purchase::Mixed, format!("its mixed instances policy buys {base} on demand, and {percent} % beyond them"))
        }
        Bought::Spot => (Purchase::Spot, "it asks for spot instances".to_owned()),
        Bought::OnDemand if spot > 0 => {
            (Purchase::Mixed, format!("{spot} of its {all} instances are spot, though its policy does not say so now"))
        }
        Bought::OnDemand if group.desired == 0 => {
            (Purchase::OnDemand, "it is empty now: its hosts may come and go as they are needed".to_owned())
        }
        Bought::OnDemand => {
            let because = "its hosts are there now, and Even Keel leaves its size alone; \"on-demand\" lets it end and start them";
            (Purchase::Reserved, because.to_owned())
        }
    }
}

/// How many hosts there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) minimum: u32,
    pub(super) steady: u32,
    pub(super) maximum: u32,
    least: u32,
    most: u32,
}

impl Numbers {
    pub(super) fn of(pools: &[Proposed<'_>]) -> Self {
        let sum = |of: fn(&FoundGroup) -> u32| pools.iter().fold(0_u32, |sum, pool| sum.saturating_add(of(pool.found)));
        let (now, least, most) = (sum(|one| one.group.desired), sum(|one| one.group.min), sum(|one| one.group.max));
        let steady = now.clamp(1, MOST_HOSTS);
        // One host fewer than now may be out for a roll; a fleet of one host has none to spare.
        let minimum = least.clamp(1, steady.saturating_sub(1).max(1));
        Self { minimum, steady, maximum: most.clamp(steady, MOST_HOSTS), least, most }
    }

    pub(super) fn text(&self) -> String {
        let Self { minimum, steady, maximum, least, most } = self;
        let row =
            |name: &str, number: &u32, because: String| format!("{:<24}# {because}\n", format!("{name} = {number}"));
        let mut text = "[hosts]\n".to_owned();
        let spare = if minimum < least { ", one fewer than now so that one may be out for a roll" } else { "" };
        text.push_str(&row(
            "minimum",
            minimum,
            format!("never voluntarily below; the groups' own minima add up to {least}{spare}"),
        ));
        text.push_str(&row("steady", steady, "what it runs best on; as many as the groups want now".to_owned()));
        text.push_str(&row("maximum", maximum, format!("never above; the groups' own maxima add up to {most}")));
        text.push('\n');
        text
    }
}

pub(super) fn text(pools: &[Proposed<'_>]) -> String {
    let mut text = "# Each pool is one Auto Scaling group.\n".to_owned();
    for Proposed { name, purchase, because, found } in pools {
        let group = &found.group;
        let _a_string_takes_all = writeln!(text, "[[pool]]");
        let _a_string_takes_all = writeln!(text, "name = {}", quoted(name));
        let _a_string_takes_all = writeln!(text, "purchase = {:<14}# {because}", quoted(&purchase.to_string()));
        let _a_string_takes_all = writeln!(text, "auto_scaling_group = {}", quoted(group.name.as_str()));
        if let Some(provider) = &found.provider {
            let _a_string_takes_all = writeln!(text, "# behind capacity provider {provider}");
        }
        if let (Some(room), Some(smallest)) = (found.room, smallest(pools))
            && room.cpu > smallest
        {
            let times = (f64::from(room.cpu) / f64::from(smallest)).round();
            if times >= 2.0 {
                let _a_string_takes_all = writeln!(
                    text,
                    "# units = {times:<13}# a host has {times} times the CPU of the smallest pool's: uncomment where hosts should count by size"
                );
            }
        }
        text.push('\n');
    }
    text
}

fn smallest(pools: &[Proposed<'_>]) -> Option<u32> {
    pools.iter().filter_map(|pool| pool.found.room).map(|room| room.cpu).filter(|cpu| *cpu > 0).min()
}

/// What Even Keel cannot work with, or will not change.
pub(super) fn unsupported(pools: &[Proposed<'_>]) -> Vec<String> {
    let mut lines = Vec::new();
    for pool in pools {
        let group = &pool.found.group;
        if let Some(ScaledBy::Units(what)) = &group.scaled_by {
            lines.push(format!("group {}: its capacity counts {what}, not hosts; its size is left alone", group.name));
        }
        if group.template.is_none() {
            lines.push(format!(
                "group {}: it launches from a launch configuration; rolls need a launch template, and leave it out",
                group.name
            ));
        }
        for process in &group.suspended {
            lines.push(format!("group {}: its process {} is suspended", group.name, process.name()));
        }
    }
    lines
}

/// What else sets the capacities of the groups.
pub(super) fn switch_off(groups: &[FoundGroup], options: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for FoundGroup { group, provider, .. } in groups {
        let name = argument(group.name.as_str());
        let command = match (&group.scaled_by, provider) {
            (Some(ScaledBy::ManagedScaling(_)), Some(provider)) => format!(
                "aws ecs update-capacity-provider --name {provider} --auto-scaling-group-provider 'managedScaling={{status=DISABLED}}'"
            ),
            (Some(ScaledBy::Policy(policy) | ScaledBy::ManagedScaling(policy)), _) => format!(
                "aws autoscaling delete-policy --auto-scaling-group-name {name} --policy-name {}",
                argument(policy)
            ),
            (Some(ScaledBy::Schedule(action)), _) => format!(
                "aws autoscaling delete-scheduled-action --auto-scaling-group-name {name} --scheduled-action-name {}",
                argument(action)
            ),
            (Some(ScaledBy::Units(_)) | None, _) => continue,
        };
        let by = group.scaled_by.as_ref().map(ToString::to_string).unwrap_or_default();
        lines.push(format!("group {}: {by}\n  {command}{options}", group.name));
    }
    lines
}
