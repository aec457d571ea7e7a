//! How many hosts alarms ask for: while one is in ALARM, and while it would be without the hosts that came for it.

use std::time::Duration;

use evenkeel_model::fleet::Backfill;
use evenkeel_model::observed::{Level, Signal};
use evenkeel_model::report::{HostWait, Report, Wait};
use evenkeel_model::{AlarmName, Timestamp};
use evenkeel_turn::Given;
use evenkeel_turn::window::Extreme;

use crate::hosts::{Hosts, Kept};
use crate::judge::Standing;
use crate::seen::Seen;
use crate::state::{BackOff, Boost, Crew, State};

/// Metrics are of a minute or five, and some seconds late: a level may be about the hosts of as long ago.
const LEVEL_LAGS: Duration = Duration::from_secs(360);
/// Without levels, the dwell never doubles beyond this.
const LONGEST_DWELL: Duration = Duration::from_secs(7_200);
/// After so long without an alarm, the dwell is the fleet file's again.
const CALMED: Duration = Duration::from_secs(3_600);

/// What the answer depends on.
pub(crate) struct Look<'a, 'h> {
    pub(crate) given: &'a Given<'a, State>,
    pub(crate) policy: &'a Backfill,
    pub(crate) seen: &'a Seen,
    pub(crate) hosts: &'a Hosts<'h>,
    /// Units that there are or that are on their way, of all kinds.
    pub(crate) has: u32,
}

/// An alarm in ALARM asks for one step at once, and for one more with each cooldown. One that cannot be read, or has no
/// data, asks for nothing more, and what came for it stays for `release_after` since it was seen in ALARM. When it is quiet,
/// the hosts that came for it are asked for as long as its level says that it would fire again without them; where no
/// level is known, for as long as experience says. The boost is forgotten when nothing was asked for in `release_after`.
pub(crate) fn boost(look: &Look<'_, '_>, state: &mut State, report: &mut Report) -> u32 {
    let now = look.given.now;
    let numbers = look.given.fleet.hosts;
    if state.boost.level > 0 {
        look.note_crew(&mut state.crew);
        look.note_levels(&state.crew, &mut state.boost);
    }
    let given_back = state.moves.last().copied();
    let firing = look.firing(report);
    let State { boost, back_off, .. } = state;
    let lately = |at: Option<Timestamp>| at.is_some_and(|at| since(at, now) < look.policy.release_after);
    if firing == Some(true) {
        if !boost.firing && given_back.is_some_and(|at| since(at, now) < look.policy.release_after) {
            back_off.times = back_off.times.saturating_add(1);
        }
        back_off.busy = Some(now);
        look.raise(boost);
        return boost.level;
    }
    if firing.is_none() && boost.firing && lately(boost.fired) {
        return boost.level;
    }
    boost.firing = false;
    let stands = look.stands(boost, *back_off, report);
    if stands > 0 {
        boost.stood = Some(now);
        back_off.busy = Some(now);
    }
    if !lately(boost.fired) && !lately(boost.stood) {
        *boost = Boost::default();
        state.crew = Crew::default();
    } else if !lately(boost.fired) && boost.asks.is_some() {
        // What was given back is not asked for at once when the alarm fires again.
        boost.level = boost.level.min(stands.max(look.has.saturating_sub(numbers.steady)));
    }
    if back_off.busy.is_none_or(|at| since(at, now) >= CALMED) {
        *back_off = BackOff::default();
    }
    stands
}

fn since(at: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(at).unsigned_abs()
}

impl Look<'_, '_> {
    /// Whether any alarm is in ALARM; none where none is, as far as can be read, and one cannot.
    fn firing(&self, report: &mut Report) -> Option<bool> {
        let mut firing = Some(false);
        for alarm in &self.policy.alarms {
            match self.seen.alarms.get(alarm) {
                Some(Signal::Alarm { firing: true, since: _ }) => firing = Some(true),
                Some(Signal::Alarm { firing: false, since: _ }) => {}
                Some(Signal::Unknown(because)) => {
                    let (alarm, because) = (alarm.clone(), because.clone());
                    report.waits.push(Wait::Host(HostWait::UnknownAlarm { alarm, because }));
                    firing = firing.filter(|firing| *firing);
                }
                Some(Signal::Value { .. } | Signal::Backlog { .. }) | None => firing = firing.filter(|firing| *firing),
            }
        }
        firing
    }

    fn raise(&self, boost: &mut Boost) {
        let now = self.given.now;
        let most = self.given.fleet.hosts.maximum - self.given.fleet.hosts.steady;
        let waited = boost.changed.is_some_and(|changed| since(changed, now) >= self.policy.cooldown);
        // With a level known, the hosts that are there are those that were needed: more are, now.
        let goes_on = boost.firing || boost.asks.is_some();
        if boost.level == 0 || (goes_on && waited) {
            boost.level = (boost.level + self.policy.step).min(most);
            boost.changed = Some(now);
        } else if !boost.firing {
            // It fires again: the hosts of the last time are still there.
            boost.changed = Some(now);
        }
        if !boost.firing {
            boost.asks = None;
        }
        boost.firing = true;
        boost.fired = Some(now);
    }

    /// Notes which hosts the load is shared by, and since when.
    fn note_crew(&self, crew: &mut Crew) {
        let now = self.given.now;
        let units = self.hosts.working();
        // What comes or goes may carry load already, or still.
        let comes_or_goes = |kept: &Kept<'_>| {
            let memory = self.given.state.hosts.get(&kept.member.id);
            let goes = memory.is_some_and(|memory| memory.leaving.is_some() || memory.loss.is_some());
            kept.standing == Standing::Coming || (goes && kept.standing != Standing::Works)
        };
        let moving = self.hosts.units(comes_or_goes);
        if moving > 0 || crew.units != units {
            crew.since = now;
        }
        crew.units = units;
        crew.most.sample(now, units + moving, LEVEL_LAGS, Extreme::Largest);
        crew.least.sample(now, units, LEVEL_LAGS, Extreme::Smallest);
    }

    /// Notes how many units the levels ask for: as many as would bring each to its threshold. A level from before the last
    /// host came or went is of other hosts, nobody knows which: it can only say between what and what it asks for.
    fn note_levels(&self, crew: &Crew, boost: &mut Boost) {
        let known: Vec<&Level> = self.seen.levels.values().flatten().collect();
        let asked = |units: u32| known.iter().map(|level| units_for(level, units)).max();
        let within = (asked(crew.least.first().unwrap_or(crew.units)), asked(crew.most.first().unwrap_or(crew.units)));
        let settled = known.iter().all(|level| level.from >= crew.since);
        let now = self.given.now;
        if !self.seen.levels.is_empty() {
            boost.read = Some(now);
        }
        let lately = boost.read.is_some_and(|at| since(at, now) < self.policy.release_after);
        boost.asks = match (boost.asks, within) {
            // Not read this time.
            (before, _) if self.seen.levels.is_empty() => before.filter(|_| lately),
            (Some(before), (Some(least), Some(most))) if !settled => Some(before.clamp(least, most.max(least))),
            (None, (_, most)) if !settled => most,
            (_, _) => asked(crew.units),
        };
    }

    /// Units of the boost that are asked for although no alarm is in ALARM.
    fn stands(&self, boost: &Boost, back_off: BackOff, report: &mut Report) -> u32 {
        let steady = self.given.fleet.hosts.steady;
        if boost.level == 0 {
            return 0;
        }
        let by_level = boost.asks.map_or(0, |asks| asks.saturating_sub(steady).min(boost.level));
        if by_level > 0
            && let Some((alarm, percent)) = self.nearest()
        {
            report.waits.push(Wait::Host(HostWait::AlarmLevel { alarm, percent, hosts: by_level }));
        }
        let told = self.policy.alarms.iter().all(|alarm| matches!(self.seen.levels.get(alarm), Some(Some(_))));
        let dwell = self.policy.release_after.saturating_mul(1 << back_off.times.min(16));
        let dwell = dwell.min(LONGEST_DWELL.max(self.policy.release_after));
        // The dwell that every host has comes on top.
        let until = boost.fired.and_then(|at| at.checked_add(dwell - self.policy.release_after).ok());
        match until.filter(|until| *until > self.given.now && !told) {
            Some(until) if boost.level > by_level => {
                let until = until + self.policy.release_after;
                report.waits.push(Wait::Host(HostWait::FiredAgain { hosts: boost.level, until }));
                boost.level
            }
            Some(_) | None => by_level,
        }
    }

    /// The alarm that is nearest to its threshold, and how near it would be with one unit less.
    fn nearest(&self) -> Option<(AlarmName, u32)> {
        let units = f64::from(self.hosts.working());
        let known = self.seen.levels.iter().filter_map(|(alarm, level)| Some((alarm, level.as_ref()?.part)));
        let (alarm, part) = known.max_by(|a, b| a.1.total_cmp(&b.1))?;
        let percent = whole(100.0 * part * units / (units - 1.0).max(1.0));
        Some((alarm.clone(), percent))
    }
}

/// Units with which the load behind `level`, shared by `units` now, is at the threshold and not above it.
fn units_for(level: &Level, units: u32) -> u32 {
    whole((level.part * f64::from(units) - 1e-6).ceil())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast stops at the type's limits")]
const fn whole(value: f64) -> u32 {
    value.max(0.0) as u32
}
