//! Measures losses and their replacements: who was warned, who was empty in time, and how soon others took over.

use std::collections::{BTreeMap, VecDeque};

use evenkeel_model::fleet::Fleet;

use crate::clock::{MINUTE, Ms};
use crate::cluster::HostNo;

/// A loss counts against the disruption budget for so long at most.
const REPAID: Ms = 60 * MINUTE;

/// Everything that is measured about losses and about on-demand hosts.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    pub(crate) warned: u64,
    pub(crate) unwarned: u64,
    /// Empty when it was taken, of those that were warned.
    pub(crate) drained_in_time: u64,
    /// What fell out, losses and hosts that people have drain: when, whether with a warning, and how many units.
    at: Vec<(Ms, bool, u32)>,
    /// Losses that nothing has replaced yet, oldest first.
    open: VecDeque<Ms>,
    /// From a loss to the replacement in service, and what that host needed at least.
    pub(crate) replacements: Vec<(Ms, Ms)>,
    /// Hosts that were warned and not taken yet.
    doomed: BTreeMap<HostNo, Ms>,
    /// What an all-knowing controller would see: from each moment on, on-demand units that are needed.
    needs: Vec<(Ms, u32)>,
    /// When on-demand hosts were given back.
    pub(crate) moves: Vec<Ms>,
    /// The most units that worked at once.
    pub(crate) most_working: u32,
}

impl Losses {
    /// A host that worked is being taken, or is gone; `missing` says whether the fleet has too few without it.
    pub(crate) fn lost(&mut self, host: HostNo, warned: bool, units: u32, missing: bool, now: Ms) {
        if warned {
            self.warned += 1;
            self.doomed.insert(host, now);
        } else {
            self.unwarned += 1;
        }
        self.at.push((now, warned, units));
        if missing {
            self.open.push_back(now);
        }
    }

    /// A person has a host drain.
    pub(crate) fn drained(&mut self, units: u32, now: Ms) {
        self.at.push((now, false, units));
    }

    /// Units that fell out in the last `within`, or in the last `warned` where a warning came first.
    pub(crate) fn units_since(&self, now: Ms, within: Ms, warned: Ms) -> u32 {
        let counts = |(at, with, _): &&(Ms, bool, u32)| now - at <= if *with { warned } else { within };
        self.at.iter().rev().take_while(|(at, _, _)| now - at <= warned).filter(counts).map(|(_, _, units)| units).sum()
    }

    /// Losses that nothing has replaced, and that are older than `known`: a loss is made up for by the next host that takes
    /// work, and nobody waits longer than an hour for that.
    pub(crate) fn unrepaid(&self, known: Ms, now: Ms) -> usize {
        self.open.iter().filter(|at| (known..=REPAID).contains(&(now - **at))).count()
    }

    /// A warned host was not taken: nothing is to be made up for.
    pub(crate) fn spared(&mut self, host: HostNo) {
        let Some(warned) = self.doomed.remove(&host) else { return };
        self.open.retain(|at| *at != warned);
    }

    /// The two minutes of a warned host are over.
    pub(crate) fn taken(&mut self, host: HostNo, empty: bool) {
        if self.doomed.remove(&host).is_some() && empty {
            self.drained_in_time += 1;
        }
    }

    /// A host takes work that needed `floor` at least.
    pub(crate) fn replaced(&mut self, floor: Ms, now: Ms) {
        // A host that was on its way already makes up for a loss as well, sooner than its boot.
        if let Some(lost) = self.open.pop_front() {
            self.replacements.push((now - lost, floor));
        }
    }

    /// Notes what would be needed now.
    pub(crate) fn note_need(&mut self, need: u32, now: Ms) {
        if self.needs.last().is_none_or(|(_, last)| *last != need) {
            self.needs.push((now, need));
        }
    }

    /// Unit-milliseconds that an all-knowing controller with the same dwell needs: each unit from a boot before it is
    /// needed until a dwell after.
    pub(crate) fn floor(&self, fleet: &Fleet, boot: Ms, end: Ms) -> u64 {
        let dwell = fleet.backfill.as_ref().map_or(0, |backfill| crate::setup::millis(backfill.release_after));
        let most = self.needs.iter().map(|(_, need)| *need).max().unwrap_or(0);
        let mut sum = 0;
        for level in 1..=most {
            let mut until = 0;
            for (index, (from, need)) in self.needs.iter().enumerate() {
                if *need < level {
                    continue;
                }
                let to = self.needs.get(index + 1).map_or(end, |(next, _)| *next) + dwell;
                let begin = from.saturating_sub(boot).max(until);
                until = until.max(to.min(end));
                sum += until.saturating_sub(begin);
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_model::fleet::{Format, read};

    #[test]
    fn the_floor_is_need_with_a_dwell_and_a_boot() {
        let text = "name = \"a\"\nhosts = { minimum = 1, steady = 2, maximum = 2 }\n\
            pool = [{ name = \"s\", purchase = \"spot\", auto_scaling_group = \"s\" }, \
            { name = \"o\", purchase = \"on-demand\", auto_scaling_group = \"o\" }]\n[backfill]\nrelease_after = \"1m\"\n";
        let fleet = read(text.as_bytes(), Format::Toml).unwrap();
        let mut losses = Losses::default();
        for (at, need) in [(0, 0), (100_000, 1), (103_000, 0), (108_000, 2), (110_000, 0)] {
            losses.note_need(need, at);
        }
        // The first unit from 98 s to 170 s without a break, the second from 106 s to 170 s.
        assert_eq!(losses.floor(&fleet, 2_000, 1_000_000), 72_000 + 64_000);
    }
}
