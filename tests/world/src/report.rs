//! The report of a run, as JSON, text or a page.

pub mod html;
mod rolls;

use std::collections::BTreeMap;
use std::fmt;

use evenkeel_model::{FunctionName, PoolName, ServiceName};
use serde::Serialize;

pub use self::rolls::RollReport;
use crate::api::Calls;
use crate::audit::Violation;
use crate::clock::{MINUTE, Ms, seconds};
use crate::core::Core;
use crate::measure::{Depths, Measured};
use crate::sim::Tally;

/// Everything that was measured. Field names are part of the interface: other tools read them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The policy that ran the fleet.
    pub policy: &'static str,
    /// The fleet.
    pub fleet: String,
    /// How long the world went on.
    pub simulated_seconds: f64,
    /// Turns that were taken.
    pub turns: u64,
    /// Turns that were killed by a fault.
    pub killed_turns: u64,
    /// Turns that ended with an error.
    pub failed_turns: u64,
    /// Wake-ups that found another turn under way.
    pub marked_turns: u64,
    /// Messages that could not be read.
    pub malformed: u64,
    /// Messages that were given up.
    pub dead_letters: u64,
    /// API calls by action.
    pub api_calls: BTreeMap<&'static str, u64>,
    /// The same by function, those to its table and its wake-ups apart.
    pub calls_by_function: BTreeMap<FunctionName, Calls>,
    /// Looks at the cluster's services by function.
    pub looks: BTreeMap<FunctionName, u64>,
    /// Calls that were refused because of their rate.
    pub throttled: u64,
    /// The services, in the fleet file's order.
    pub services: Vec<ServiceReport>,
    /// The hosts.
    pub hosts: HostReport,
    /// Losses of hosts, and what took their place.
    pub losses: LossReport,
    /// On-demand hosts, and what was done with them.
    pub backfill: BackfillReport,
    /// Patch rolls, in the order in which they began.
    pub rolls: Vec<RollReport>,
    /// Task-seconds for which a desired count asked for more than fitted.
    pub over_asked_task_seconds: f64,
    /// Times the disruption budget was overdrawn on purpose.
    pub budget_violations: u64,
    /// Broken invariants.
    pub invariant_violations: Vec<Violation>,
    /// What was owed for longer than is allowed: invariant 12, which no fault of one turn breaks.
    pub overdue: Vec<Violation>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceReport {
    /// Its name.
    pub name: ServiceName,
    /// 1 is served first.
    pub priority: u32,
    /// Whether it takes what is left.
    pub fill: bool,
    /// Task-seconds that were wanted; for a fill service, those that fitted for longer than its dwell.
    pub wanted_task_seconds: f64,
    /// Task-seconds that were wanted and did not run.
    pub short_task_seconds: f64,
    /// What no controller could beat: the time a container takes to start, and wants beyond the hosts' room.
    pub floor_short_task_seconds: f64,
    /// Task-seconds that ran.
    pub running_task_seconds: f64,
    /// From a change of demand to the task that it needs running.
    pub reaction_seconds: Percentiles,
    /// Tasks that started.
    pub starts: u64,
    /// Tasks that were told to stop.
    pub stops: u64,
    /// Times that tasks were stopped after others had been started.
    pub flaps: u64,
    /// The most of those in any minute.
    pub most_flaps_in_a_minute: u64,
    /// For a fill service: task-seconds of holes that were open longer than its dwell.
    pub hole_task_seconds: f64,
    /// For a fill service: the share of them that it used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holes_used: Option<f64>,
    /// For a fill service: task-seconds of room that stood empty, however short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub empty_task_seconds: Option<f64>,
}

/// The middle and the tail of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many there were.
    pub count: usize,
    /// The median.
    pub p50: Option<f64>,
    /// 99 of 100 are no longer.
    pub p99: Option<f64>,
}

impl Percentiles {
    fn of(times: &[Ms]) -> Self {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        // The nearest-rank percentile: a time that was really measured.
        let rank = |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1));
        let at = |percent: usize| rank(percent).map(|&time| seconds(time));
        Self { count: sorted.len(), p50: at(50), p99: at(99) }
    }
}

/// The hosts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HostReport {
    /// Hours of reserved hosts, and of the on-demand bases of mixed groups.
    pub reserved_hours: f64,
    /// Hours of spot hosts.
    pub spot_hours: f64,
    /// Hours of on-demand hosts.
    pub on_demand_hours: f64,
    /// What they cost.
    pub cost_usd: f64,
    /// What they would cost if all were on-demand.
    pub all_on_demand_cost_usd: f64,
    /// Seconds with fewer hosts in service than the fleet file's minimum.
    pub below_minimum_seconds: f64,
    /// The same with fewer than `steady`.
    pub below_steady_seconds: f64,
    /// The longest that any one unit under the minimum was missing.
    pub longest_missing_seconds: f64,
}

/// Losses of spot hosts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LossReport {
    /// With a warning.
    pub warned: u64,
    /// Without one.
    pub unwarned: u64,
    /// Drained before they went.
    pub drained_in_time: u64,
    /// From the loss, or its warning, to a replacement in service.
    pub replacement_seconds: Percentiles,
    /// The same, as a multiple of what that host needed at least to boot.
    pub replacement_over_floor: Percentiles,
    /// The most calls one after the other between a warning's turn and what it led to.
    pub calls_before: Depths,
}

/// On-demand hosts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackfillReport {
    /// Hours that an all-knowing controller with the same dwell would need for what was missing.
    pub floor_on_demand_hours: f64,
    /// Launches of all groups.
    pub launches: u64,
    /// The most launches that a pool refused within an hour.
    pub most_refusals_in_an_hour: BTreeMap<PoolName, usize>,
    /// Hosts that were given back.
    pub moves: usize,
    /// The most of them within an hour.
    pub most_moves_in_an_hour: usize,
    /// The most capacity units that worked at once.
    pub most_working: u32,
}

/// The most moments within any hour.
fn most_in_an_hour(moments: &[Ms]) -> usize {
    let within = |(index, from): (usize, &Ms)| moments[index..].partition_point(|at| at - from < 60 * MINUTE);
    moments.iter().enumerate().map(within).max().unwrap_or(0)
}

impl Report {
    pub(crate) fn of(core: &Core, seed: u64, tally: Tally) -> Self {
        let Tally { turns, marked, killed, failed, dead_letters, ignored: _, malformed } = tally;
        let measure = &core.measure;
        let hours = |host_ms: u64| seconds(host_ms) / 3_600.0;
        let services = core.fleet.services.iter().zip(&measure.services);
        let losses = &measure.losses;
        let took: Vec<Ms> = losses.replacements.iter().map(|(took, _)| *took).collect();
        // In thousandths, which read as seconds are multiples.
        let over: Vec<Ms> = losses.replacements.iter().map(|(took, floor)| took * 1_000 / (*floor).max(1)).collect();
        let boot = losses.replacements.iter().map(|(_, floor)| *floor).min().unwrap_or(0);
        let refusals = |group: &crate::cloud::SimGroup| {
            let moments: Vec<Ms> = group.refusals.iter().map(|(at, ..)| *at).collect();
            (group.pool.clone(), most_in_an_hour(&moments))
        };
        Self {
            seed,
            policy: "evenkeel",
            fleet: core.fleet.name.to_string(),
            simulated_seconds: seconds(core.now),
            turns,
            killed_turns: killed,
            failed_turns: failed,
            marked_turns: marked,
            malformed,
            dead_letters,
            api_calls: core.apis.by_action(),
            calls_by_function: core.functions().into_iter().map(|one| (one, core.apis.split(one))).collect(),
            looks: core.functions().into_iter().map(|one| (one, core.apis.looks(one))).collect(),
            throttled: core.apis.throttled,
            services: services.map(|(file, measured)| ServiceReport::of(file, measured)).collect(),
            hosts: HostReport {
                reserved_hours: hours(measure.reserved),
                spot_hours: hours(measure.spot),
                on_demand_hours: hours(measure.on_demand),
                cost_usd: cents(measure.cost_usd),
                all_on_demand_cost_usd: cents(measure.all_on_demand_usd),
                below_minimum_seconds: seconds(measure.below_minimum),
                below_steady_seconds: seconds(measure.below_steady),
                longest_missing_seconds: seconds(measure.missing.longest),
            },
            losses: LossReport {
                warned: losses.warned,
                unwarned: losses.unwarned,
                drained_in_time: losses.drained_in_time,
                replacement_seconds: Percentiles::of(&took),
                replacement_over_floor: Percentiles::of(&over),
                calls_before: measure.depths,
            },
            backfill: BackfillReport {
                floor_on_demand_hours: hours(losses.floor(&core.fleet, boot, core.now)),
                launches: measure.launches,
                most_refusals_in_an_hour: core.cloud.groups.iter().map(refusals).collect(),
                moves: losses.moves.len(),
                most_moves_in_an_hour: most_in_an_hour(&losses.moves),
                most_working: losses.most_working,
            },
            rolls: measure.rolls.list.iter().map(|roll| RollReport::of(roll, core)).collect(),
            over_asked_task_seconds: seconds(measure.over_asked_task_ms),
            budget_violations: core.audit.budget_violations,
            invariant_violations: core.audit.violations.clone(),
            overdue: core.audit.overdue.clone(),
        }
    }
}

impl ServiceReport {
    fn of(file: &evenkeel_model::fleet::Service, measured: &Measured) -> Self {
        let used = || seconds(measured.holes_used) / seconds(measured.holes);
        Self {
            name: file.name.clone(),
            priority: file.priority,
            fill: file.fill,
            wanted_task_seconds: seconds(measured.wanted),
            short_task_seconds: seconds(measured.short),
            floor_short_task_seconds: seconds(measured.floor_short),
            running_task_seconds: seconds(measured.running),
            reaction_seconds: Percentiles::of(&measured.reactions),
            starts: measured.starts,
            stops: measured.stops,
            flaps: measured.flaps,
            most_flaps_in_a_minute: measured.most_flaps_in_a_minute,
            hole_task_seconds: seconds(measured.holes),
            holes_used: (measured.holes > 0).then(used),
            empty_task_seconds: file.fill.then(|| seconds(measured.empty)),
        }
    }
}

/// Rounded to a hundredth of a cent: sums of doubles are not exact below that.
fn cents(usd: f64) -> f64 {
    (usd * 10_000.0).round() / 10_000.0
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.simulated_seconds / 3_600.0;
        writeln!(f, "{}: {hours:.1} h simulated, seed {}, policy {}", self.fleet, self.seed, self.policy)?;
        let calls: u64 = self.api_calls.values().sum();
        let Self { turns, killed_turns, failed_turns, marked_turns, throttled, .. } = self;
        writeln!(
            f,
            "{turns} turns ({marked_turns} found another at work and left theirs to it, {failed_turns} failed, {killed_turns} killed \
             on the way), {calls} API calls, {throttled} throttled"
        )?;
        for service in &self.services {
            writeln!(f, "\n{service}")?;
        }
        writeln!(f, "\n{}", self.hosts)?;
        if self.losses.warned + self.losses.unwarned > 0 {
            writeln!(f, "{}", self.losses)?;
        }
        if self.backfill.launches > 0 {
            writeln!(f, "{}", self.backfill)?;
        }
        for roll in &self.rolls {
            writeln!(f, "{roll}")?;
        }
        writeln!(f, "asked for more than fits: {:.0} task-seconds", self.over_asked_task_seconds)?;
        write!(f, "invariants violated: {}", self.invariant_violations.len())?;
        list(f, &self.invariant_violations)?;
        write!(f, "\nowed for too long: {}", self.overdue.len())?;
        list(f, &self.overdue)
    }
}

/// The first violations, each on a line of its own.
fn list(f: &mut fmt::Formatter<'_>, violations: &[Violation]) -> fmt::Result {
    for Violation { invariant, at_seconds, detail } in violations.iter().take(20) {
        write!(f, "\n  {invariant} at {at_seconds:.1} s: {detail}")?;
    }
    Ok(())
}

impl fmt::Display for HostReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            reserved_hours,
            spot_hours,
            on_demand_hours,
            cost_usd,
            all_on_demand_cost_usd,
            below_minimum_seconds,
            below_steady_seconds,
            longest_missing_seconds,
        } = self;
        writeln!(f, "hosts: {cost_usd:.2} USD, all on-demand {all_on_demand_cost_usd:.2} USD")?;
        writeln!(f, "  {reserved_hours:.1} h reserved, {spot_hours:.1} h spot, {on_demand_hours:.1} h on-demand")?;
        write!(
            f,
            "  {below_minimum_seconds:.0} s below the minimum, {below_steady_seconds:.0} s below what it runs best on"
        )?;
        if *longest_missing_seconds > 0.0 {
            write!(f, ", no host missing for longer than {longest_missing_seconds:.0} s")?;
        }
        Ok(())
    }
}

impl fmt::Display for LossReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { warned, unwarned, drained_in_time, replacement_seconds, replacement_over_floor, calls_before: _ } =
            self;
        write!(f, "losses: {warned} warned ({drained_in_time} empty in time), {unwarned} unwarned")?;
        if let (
            Percentiles { p50: Some(p50), p99: Some(p99), .. },
            Percentiles { p50: Some(half), p99: Some(most), .. },
        ) = (replacement_seconds, replacement_over_floor)
        {
            write!(
                f,
                "\n  replaced in {p50:.0} s median, {p99:.0} s for 99 of 100; {half:.2} and {most:.2} times what a host \
                 takes to boot"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for BackfillReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            floor_on_demand_hours,
            launches,
            most_refusals_in_an_hour,
            moves,
            most_moves_in_an_hour,
            most_working,
        } = self;
        write!(f, "backfill: {launches} launches, {moves} given back, at most {most_moves_in_an_hour} in an hour")?;
        write!(
            f,
            "\n  an all-knowing controller needs {floor_on_demand_hours:.1} h on-demand; {most_working} worked at most"
        )?;
        for (pool, most) in most_refusals_in_an_hour.iter().filter(|(_, most)| **most > 0) {
            write!(f, "\n  pool {pool} refused {most} launches within an hour at most")?;
        }
        Ok(())
    }
}

impl fmt::Display for ServiceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.fill { ", fills what is left" } else { "" };
        writeln!(f, "{} (priority {}{kind})", self.name, self.priority)?;
        let hours = |task_seconds: f64| task_seconds / 3_600.0;
        let [wanted, short, floor] =
            [self.wanted_task_seconds, self.short_task_seconds, self.floor_short_task_seconds].map(hours);
        writeln!(f, "  task-hours: {wanted:.1} wanted, {short:.2} short ({floor:.2} whatever anybody had done)")?;
        let Self { starts, stops, flaps, most_flaps_in_a_minute, .. } = self;
        write!(
            f,
            "  {starts} starts, {stops} stops, {flaps} turns from starting to stopping, at most {most_flaps_in_a_minute} in a minute"
        )?;
        if let Percentiles { count, p50: Some(p50), p99: Some(p99) } = self.reaction_seconds {
            write!(f, "\n  reaction: {p50:.1} s median, {p99:.1} s for 99 of 100 ({count} measured)")?;
        }
        if let Some(used) = self.holes_used {
            write!(f, "\n  {:.1} % of the holes that stayed open were used", used * 100.0)?;
        }
        Ok(())
    }
}
