//! Contradictions: fields that are fine alone and cannot all be meant.
//!
//! Refused is what could never work (a roll that can start no wave) or would surprise its owner (an alarm that can add
//! no host). What only waits for better times, such as a budget that is spent, is for the reports of the turns.

use std::collections::BTreeMap;
use std::fmt;

use super::field::{Notes, Part};
use super::parts::{Draft, HostsDraft, PoolDraft, ServiceDraft};
use super::place::Path;
use super::{Backfill, Bake, Patch, Purchase, Strategy, Wave, default_max_out, limits};

/// Notes every contradiction among the parts that could be read.
pub(super) fn contradictions(draft: &Draft, notes: &Notes<'_>) {
    let check = Check { draft, notes };
    check.hosts();
    check.pools();
    check.services();
    check.fill_comes_last();
    if let Part::Read(backfill) = &draft.backfill {
        check.backfill(backfill);
    }
    if let Part::Read(patch) = &draft.patch {
        check.patch(patch);
    }
    check.disruption();
}

struct Check<'d> {
    draft: &'d Draft,
    notes: &'d Notes<'d>,
}

impl Check<'_> {
    fn hosts(&self) {
        let HostsDraft { minimum, steady, maximum } = self.draft.hosts;
        let hosts = path("hosts");
        if let (Some(minimum), Some(steady)) = (minimum, steady)
            && steady < minimum
        {
            self.notes.add(hosts.key("steady"), format!("{steady} is less than minimum, which is {minimum}"));
        }
        // Against the larger of the two others, so that one wrong number gives one problem.
        let below = [steady.map(|hosts| ("steady", hosts)), minimum.map(|hosts| ("minimum", hosts))];
        let highest = below.into_iter().flatten().max_by_key(|(_, hosts)| *hosts);
        if let (Some(maximum), Some((name, highest))) = (maximum, highest)
            && maximum < highest
        {
            self.notes.add(hosts.key("maximum"), format!("{maximum} is less than {name}, which is {highest}"));
        }
    }

    fn pools(&self) {
        let names = self.pools_read().map(|(at, pool)| (at.key("name"), pool.name.as_ref()));
        self.no_two_alike(names, "every pool needs a name of its own");
        let groups =
            self.pools_read().map(|(at, pool)| (at.key("auto_scaling_group"), pool.auto_scaling_group.as_ref()));
        self.no_two_alike(groups, "a group belongs to one pool");
    }

    fn services(&self) {
        let names = self.services_read().map(|(at, service)| (at.key("name"), service.name.as_ref()));
        self.no_two_alike(names, "list every ECS service once");
        if self.draft.cluster.is_absent() && self.services_read().next().is_some() {
            self.notes
                .add(path("service"), "services need a cluster: expected cluster = \"NAME\" at the top of the file");
        }
        for (at, service) in self.services_read() {
            self.demand_or_fill(&at, service);
            self.task_counts(&at, service);
        }
    }

    fn demand_or_fill(&self, at: &Path, service: &ServiceDraft) {
        match (service.fill, &service.demand) {
            (Some(true), Part::Read(_) | Part::Unreadable) => self.notes.add(
                at.key("fill"),
                "the service also has a demand: expected demand, or fill = true to take every hole that is left",
            ),
            (Some(false), Part::Absent) => self
                .notes
                .add(at.clone(), "no demand: expected demand = { … }, or fill = true to take every hole that is left"),
            (Some(true), Part::Absent) | (Some(false), Part::Read(_) | Part::Unreadable) | (None, _) => {}
        }
    }

    fn task_counts(&self, at: &Path, service: &ServiceDraft) {
        let max_tasks = service.max_tasks.read();
        if let (Some(min_tasks), Some(max_tasks)) = (service.min_tasks, max_tasks)
            && *max_tasks < min_tasks
        {
            let message = format!("{max_tasks} is less than min_tasks, which is {min_tasks}");
            self.notes.add(at.key("max_tasks"), message);
            return;
        }
        let Some(headroom @ 1..) = service.headroom_tasks else { return };
        if service.fill == Some(true) {
            let message = "a fill service takes what is left and is kept no room free: expected 0, or leave it out";
            self.notes.add(at.key("headroom_tasks"), message);
        } else if let Some(max_tasks) = max_tasks
            && headroom > *max_tasks
        {
            let message = format!("{headroom} is more than max_tasks, which is {max_tasks}: it could never be used");
            self.notes.add(at.key("headroom_tasks"), message);
        }
    }

    /// Fill services give way to all others, so that they can be the shock absorber.
    fn fill_comes_last(&self) {
        let others = self.services_read().filter(|(_, service)| service.fill == Some(false));
        let last = others.filter_map(|(_, service)| Some((service.priority?, service.name.as_ref()?))).max();
        let Some((last, name)) = last else { return };
        for (at, service) in self.services_read() {
            if let (Some(true), Some(priority)) = (service.fill, service.priority)
                && priority <= last
            {
                let message = format!(
                    "a fill service comes after all others: expected more than {last}, the priority of \"{name}\", \
                     found {priority}"
                );
                self.notes.add(at.key("priority"), message);
            }
        }
    }

    fn backfill(&self, backfill: &Backfill) {
        let purchases = self.pools_read().map(|(_, pool)| pool.purchase).collect::<Vec<_>>();
        let one_may_be = purchases.iter().any(|purchase| matches!(purchase, Some(Purchase::OnDemand) | None));
        if !purchases.is_empty() && !one_may_be {
            let message = "backfill starts on-demand hosts: expected a [[pool]] with purchase = \"on-demand\"";
            self.notes.add(path("backfill"), message);
        }
        let HostsDraft { steady, maximum, .. } = self.draft.hosts;
        if !backfill.alarms.is_empty()
            && let (Some(steady), Some(maximum)) = (steady, maximum)
            && steady == maximum
        {
            let message = format!(
                "alarms can add no host, because hosts.steady and hosts.maximum are both {maximum}: expected a larger \
                 maximum, or no alarms"
            );
            self.notes.add(path("backfill").key("alarms"), message);
        }
    }

    fn patch(&self, patch: &Patch) {
        let at = path("patch");
        if patch.borrow && self.draft.backfill.is_absent() {
            let message = "a roll borrows hosts from backfill: expected a table [backfill], or leave it out";
            self.notes.add(at.key("borrow"), message);
        }
        if let Wave::Hosts(wave) = patch.wave
            && let Some(max_out) = self.max_out()
            && wave > max_out
        {
            let message = format!("{wave} hosts are more than disruption.max_out, which is {max_out}");
            self.notes.add(at.key("wave"), message);
        }
        self.a_wave_can_start(patch);
        if let Some(bake) = &patch.bake {
            self.bake(&at.key("bake"), bake);
        }
    }

    /// A fleet that is never patched, because its own numbers forbid the first wave, should say so at once.
    fn a_wave_can_start(&self, patch: &Patch) {
        let HostsDraft { minimum: Some(minimum), steady: Some(steady), maximum: Some(maximum) } = self.draft.hosts
        else {
            return;
        };
        let at = path("patch").key("strategy");
        // Backfill alone sets the capacity of on-demand pools, so none of their hosts can come first.
        let on_demand = |purchase: Option<Purchase>| purchase == Some(Purchase::OnDemand);
        let always_first = !self.draft.backfill.is_absent()
            && self.pools_read().next().is_some()
            && self.pools_read().all(|(_, pool)| on_demand(pool.purchase));
        match patch.strategy {
            Strategy::TerminateFirst | Strategy::LaunchFirst if always_first && steady == minimum && !patch.borrow => {
                let message = format!(
                    "on-demand pools beside [backfill] are rolled terminate-first, which can take out no host, because \
                     hosts.steady and hosts.minimum are both {minimum}: expected a smaller minimum, or borrow = true"
                );
                self.notes.add(at, message);
            }
            Strategy::TerminateFirst if steady <= minimum && !patch.borrow => {
                let message = format!(
                    "terminate-first can take out no host, because hosts.steady and hosts.minimum are both {minimum}: \
                     expected a smaller minimum, launch-first, or borrow = true"
                );
                // Where steady is even smaller, that is the problem, and it is noted already.
                if steady == minimum {
                    self.notes.add(at, message);
                }
            }
            Strategy::LaunchFirst if steady == maximum => {
                let message = format!(
                    "launch-first can start no host, because hosts.steady and hosts.maximum are both {maximum}: \
                     expected a larger maximum, or terminate-first"
                );
                self.notes.add(at, message);
            }
            Strategy::TerminateFirst | Strategy::LaunchFirst => {}
        }
    }

    fn bake(&self, at: &Path, bake: &Bake) {
        let bytes = bake.commands.iter().map(String::len).sum::<usize>();
        if bytes > limits::COMMAND_BYTES {
            let most = limits::COMMAND_BYTES;
            self.notes.add(
                at.key("commands"),
                format!("{bytes} bytes in all: expected at most {most}, what user data holds"),
            );
        }
    }

    fn disruption(&self) {
        if let (Some(max_out), Some(maximum)) = (self.max_out(), self.draft.hosts.maximum)
            && max_out > maximum
        {
            let message = format!("{max_out} is more than hosts.maximum, which is {maximum}");
            self.notes.add(path("disruption").key("max_out"), message);
        }
    }

    fn max_out(&self) -> Option<u32> {
        match &self.draft.disruption {
            Part::Absent => Some(default_max_out()),
            Part::Unreadable => None,
            Part::Read(disruption) => Some(disruption.max_out),
        }
    }

    /// The pools that are tables at all, each with its path.
    fn pools_read(&self) -> impl Iterator<Item = (Path, &PoolDraft)> {
        read_of("pool", self.draft.pools.as_deref())
    }

    fn services_read(&self) -> impl Iterator<Item = (Path, &ServiceDraft)> {
        read_of("service", self.draft.services.as_deref())
    }

    fn no_two_alike<'i, T: Ord + fmt::Display + 'i>(
        &self,
        ids: impl Iterator<Item = (Path, Option<&'i T>)>,
        rule: &str,
    ) {
        let mut first_with = BTreeMap::new();
        for (at, id) in ids {
            let Some(id) = id else { continue };
            if let Some(first) = first_with.get(id) {
                self.notes.add(at, format!("\"{id}\" is {first} already: {rule}"));
            } else {
                first_with.insert(id, at);
            }
        }
    }
}

fn path(key: &str) -> Path {
    Path::default().key(key)
}

fn read_of<'d, T>(key: &str, items: Option<&'d [Option<T>]>) -> impl Iterator<Item = (Path, &'d T)> + use<'d, T> {
    let list = path(key);
    let indexed = items.unwrap_or_default().iter().enumerate();
    indexed.filter_map(move |(index, item)| Some((list.index(index), item.as_ref()?)))
}
