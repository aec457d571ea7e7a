//! A fleet on one screen.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use evenkeel_model::decision::{Outcome, Step, Why};
use evenkeel_model::fleet::Purchase;
use evenkeel_model::observed::HostStatus;
use evenkeel_model::view::ServiceView;
use evenkeel_model::{FunctionName, PoolName, ServiceName, Timestamp};
use evenkeel_patchroll::PatchState;
use evenkeel_turn::OutCause;

use super::table::{BAD, Cell, FAINT, GOOD, ODD, TITLE, Table, paint};
use super::words::{age, clock, count};
use crate::account::Standing;

/// Each function is woken once a minute; after so long without a look it is stopped, or fails each time.
const SILENT: Duration = Duration::from_secs(180);
/// So long ago somebody gave way is still news.
const NEWS: Duration = Duration::from_secs(3_600);
/// More sentences would be no screen any more.
const MOST_WAITS: usize = 12;
/// Services that gave way, the last first.
const MOST_GAVE_WAY: usize = 5;

/// The screen.
pub(crate) fn status(fleet: &Standing, now: Timestamp) -> String {
    let mut screen = heading(fleet, now);
    screen.push_str(&hosts(fleet));
    screen.push_str(&services(fleet));
    let lines = [
        ("roll", super::roll::standing(fleet, now)),
        ("budget", budget(fleet, now)),
        ("alarms", alarms(fleet)),
        ("gave way", gave_way(fleet, now)),
        ("functions", functions(fleet, now)),
    ];
    for (title, lines) in lines {
        section(&mut screen, title, &lines);
    }
    section(&mut screen, "waits", &waits(fleet));
    screen
}

fn heading(fleet: &Standing, now: Timestamp) -> String {
    let seen = fleet.seen().map_or_else(
        || paint(BAD, "never looked at"),
        |seen| {
            let style = if is_silent(seen, now) { BAD } else { FAINT };
            paint(style, format_args!("seen {} UTC, {} ago", clock(seen, now), age(seen, now)))
        },
    );
    let mut heading = format!("{}  {seen}\n", paint(TITLE, &fleet.name));
    if let Some(observing) = observing(fleet) {
        let _a_string_takes_all = writeln!(heading, "{}", paint(ODD, observing));
    }
    for unread in &fleet.unread {
        let said = format_args!("not understood, of another version than this command: {unread}");
        let _a_string_takes_all = writeln!(heading, "{}", paint(ODD, said));
    }
    heading
}

/// Which functions take no step, in words that nobody overlooks; none where all act.
fn observing(fleet: &Standing) -> Option<String> {
    let views = [
        fleet.tasks.as_ref().map(|view| (FunctionName::Microscale, view.mode)),
        fleet.hosts.as_ref().map(|view| (FunctionName::Backfill, view.mode)),
        fleet.patch.as_ref().map(|view| (FunctionName::Patchroll, view.mode)),
    ];
    let names: Vec<String> =
        views.iter().flatten().filter(|(_, mode)| !mode.is_act()).map(|(name, _)| name.to_string()).collect();
    let takes = if names.len() == 1 { "takes" } else { "take" };
    (!names.is_empty())
        .then(|| format!("*** OBSERVING ***  {} {takes} no step: decisions say what would be done", names.join(", ")))
}

/// A title, and lines beside and below it.
fn section(screen: &mut String, title: &str, lines: &[String]) {
    for (number, line) in lines.iter().enumerate() {
        let title = if number == 0 { title } else { "" };
        screen.push_str(format!("{} {line}", paint(TITLE, format_args!("{title:10}"))).trim_end());
        screen.push('\n');
    }
}

/// Hosts of a pool, by what they are about.
#[derive(Default)]
struct PoolLine {
    purchase: Option<Purchase>,
    takes: u32,
    drains: u32,
    coming: u32,
    going: u32,
    away: u32,
    outdated: u32,
}

/// The pools by name: as the fleet file has them, and others that hosts are said to be of.
fn pools(fleet: &Standing) -> Vec<(String, PoolLine)> {
    let mut pools: Vec<(Option<PoolName>, PoolLine)> = Vec::new();
    for pool in fleet.file.iter().flat_map(|file| &file.pools) {
        pools.push((Some(pool.name.clone()), PoolLine { purchase: Some(pool.purchase), ..PoolLine::default() }));
    }
    let place = |pools: &mut Vec<(Option<PoolName>, PoolLine)>, name: Option<&PoolName>| {
        pools.iter().position(|(known, _)| known.as_ref() == name).unwrap_or_else(|| {
            pools.push((name.cloned(), PoolLine::default()));
            pools.len() - 1
        })
    };
    let lines: BTreeMap<_, _> = fleet.hosts.iter().flat_map(|view| &view.hosts).map(|host| (&host.id, host)).collect();
    let mut counted = std::collections::BTreeSet::new();
    for host in fleet.tasks.iter().flat_map(|view| &view.hosts) {
        let line = lines.get(&host.id);
        let index = place(&mut pools, host.pool.as_ref().or_else(|| line.map(|line| &line.pool)));
        let pool = &mut pools[index].1;
        pool.purchase = pool.purchase.or(host.purchase);
        counted.insert(&host.id);
        if !host.connected {
            pool.away += 1;
        }
        if line.is_some_and(|line| line.going) || host.status == HostStatus::Leaving {
            pool.going += 1;
        } else if host.status == HostStatus::Draining {
            pool.drains += 1;
        } else {
            pool.takes += 1;
        }
    }
    for line in lines.values().filter(|line| !counted.contains(&line.id)) {
        let index = place(&mut pools, Some(&line.pool));
        let pool = &mut pools[index].1;
        pool.purchase = pool.purchase.or(Some(line.purchase));
        if line.going {
            pool.going += 1;
        } else if line.coming || fleet.tasks.is_some() {
            pool.coming += 1;
        } else {
            pool.takes += 1;
        }
    }
    for host in fleet.patch.iter().flat_map(|view| view.hosts.values()) {
        if host.state == PatchState::Outdated {
            let index = place(&mut pools, Some(&host.pool));
            pools[index].1.outdated += 1;
        }
    }
    pools
        .into_iter()
        .map(|(name, line)| (name.map_or_else(|| "no pool".to_owned(), |name| name.to_string()), line))
        .collect()
}

fn hosts(fleet: &Standing) -> String {
    let pools = pools(fleet);
    let mut table =
        Table::new(&["hosts", "working", "coming", "draining", "going", "agent away", "outdated", ""], true);
    let mut sum = 0;
    for (name, pool) in &pools {
        sum += pool.takes;
        table.row(vec![
            name.into(),
            Cell::count(pool.takes, GOOD),
            Cell::count(pool.coming, ODD),
            Cell::count(pool.drains, ODD),
            Cell::count(pool.going, ODD),
            Cell::count(pool.away, BAD),
            Cell::count(pool.outdated, ODD),
            pool.purchase.map(|purchase| purchase.to_string()).unwrap_or_default().into(),
        ]);
    }
    if let Some(file) = &fleet.file {
        let says = format!("of {} ({} to {})", file.hosts.steady, file.hosts.minimum, file.hosts.maximum);
        let style = if sum < file.hosts.minimum {
            BAD
        } else if sum < file.hosts.steady {
            ODD
        } else {
            GOOD
        };
        let blank = || Cell::from("");
        table.row(vec![
            "all".into(),
            Cell::of(style, sum),
            blank(),
            blank(),
            blank(),
            blank(),
            blank(),
            Cell::of(FAINT, says),
        ]);
    }
    table.to_string()
}

fn services(fleet: &Standing) -> String {
    let Some(view) = fleet.tasks.as_ref().filter(|view| !view.services.is_empty()) else { return String::new() };
    let mut table =
        Table::new(&["services", "priority", "demand", "wanted", "running", "starting", "stopping", "short"], false);
    for service in &view.services {
        table.row(vec![
            service.name.as_str().into(),
            service.priority.into(),
            demand(service).into(),
            service.want.into(),
            Cell::of(GOOD, service.running),
            Cell::count(service.pending, ODD),
            Cell::count(service.stopping, ODD),
            Cell::count(short(service), BAD),
        ]);
    }
    table.to_string()
}

/// Wanted tasks that are not there; what fills is never short, because it wants what is left.
pub(super) fn short(service: &ServiceView) -> u32 {
    if service.fill { 0 } else { service.want.saturating_sub(service.running) }
}

fn demand(service: &ServiceView) -> String {
    match service.demand {
        _ if service.fill => "fills".to_owned(),
        Some(demand) => format!("{}", (demand * 100.0).round() / 100.0),
        None => "unknown".to_owned(),
    }
}

fn budget(fleet: &Standing, now: Timestamp) -> Vec<String> {
    let allowed =
        fleet.file.as_ref().map(|file| file.disruption.max_out).or(fleet.hosts.as_ref().map(|view| view.max_out));
    let (out, allowed) = (fleet.budget.out(), allowed.unwrap_or(0));
    let style = if out == 0 {
        GOOD
    } else if out > allowed {
        BAD
    } else {
        ODD
    };
    let hosts = fleet.budget.outs.iter().map(|(host, out)| {
        let why = match out.cause {
            OutCause::Lost => "lost",
            OutCause::Release => "given back",
            OutCause::Rebalance => "at risk",
            OutCause::Roll => "replaced",
        };
        format!("{host} ({why}, {})", age(out.since, now))
    });
    let hosts: Vec<String> = hosts.collect();
    let hosts = if hosts.is_empty() { String::new() } else { format!(": {}", hosts.join(", ")) };
    let mut lines =
        vec![format!("{}{hosts}", paint(style, format_args!("{} out, {allowed} may be", count(out, "host"))))];
    if fleet.hosts.as_ref().is_some_and(|view| view.on_hold) {
        lines.push(paint(ODD, "on hold by request: no on-demand host is given back before `evenkeel release`"));
    }
    lines
}

fn alarms(fleet: &Standing) -> Vec<String> {
    let alarms = fleet.hosts.iter().flat_map(|view| &view.alarms);
    let line = |name: &dyn std::fmt::Display, firing: bool, says: &str| {
        let style = if firing {
            BAD
        } else if says == "OK" {
            GOOD
        } else {
            ODD
        };
        format!("{name} {}", paint(style, says))
    };
    let lines: Vec<String> = alarms.map(|(name, alarm)| line(name, alarm.firing, &alarm.says)).collect();
    if lines.is_empty() { vec![paint(FAINT, "none ask for hosts")] } else { lines }
}

/// Who was stopped so that others could start, the last first.
fn gave_way(fleet: &Standing, now: Timestamp) -> Vec<String> {
    let gave = fleet.feed.iter().filter_map(|one| {
        let decision = one.decision.as_ref()?;
        let recent = now.duration_since(one.at) <= jiff::SignedDuration::try_from(NEWS).ok()?;
        match (&decision.step, &decision.why, &decision.outcome) {
            (Step::SetDesiredCount { service, from, to }, Why::MakesRoom { service: winner, .. }, Outcome::Done)
                if recent =>
            {
                Some(gave_way_line(service, *from, *to, winner, &age(one.at, now)))
            }
            _ => None,
        }
    });
    let lines: Vec<String> = gave.take(MOST_GAVE_WAY).collect();
    if lines.is_empty() { vec![paint(FAINT, "nobody in the last hour")] } else { lines }
}

fn gave_way_line(service: &ServiceName, from: u32, to: u32, winner: &ServiceName, age: &str) -> String {
    format!("{service} {from} -> {to} for {winner}, {age} ago")
}

fn functions(fleet: &Standing, now: Timestamp) -> Vec<String> {
    let file = fleet.file.as_ref();
    let deployed = |function| match function {
        FunctionName::Microscale => file.is_some_and(|file| !file.services.is_empty()),
        FunctionName::Backfill => file.is_some_and(|file| file.backfill.is_some()),
        FunctionName::Patchroll => file.is_some_and(|file| file.patch.is_some()),
    };
    let all = [FunctionName::Microscale, FunctionName::Backfill, FunctionName::Patchroll].into_iter();
    let lines = all.filter(|function| deployed(*function) || fleet.looked.contains_key(function)).map(|function| {
        let said = match fleet.looked.get(&function) {
            None => paint(BAD, "has never looked"),
            Some(at) if is_silent(*at, now) && !deployed(function) => {
                paint(FAINT, format_args!("not asked for by the fleet file; looked {} ago", age(*at, now)))
            }
            Some(at) if is_silent(*at, now) => paint(
                BAD,
                format_args!(
                    "STOPPED, or fails each time: looked {} ago; see `aws logs tail /aws/lambda/NAME-{function}`",
                    age(*at, now)
                ),
            ),
            Some(at) => paint(GOOD, format_args!("looked {} ago", age(*at, now))),
        };
        format!("{function:10} {said}")
    });
    lines.collect()
}

fn is_silent(seen: Timestamp, now: Timestamp) -> bool {
    now.duration_since(seen).unsigned_abs() > SILENT && now > seen
}

fn waits(fleet: &Standing) -> Vec<String> {
    let all = all_waits(fleet);
    let mut lines: Vec<String> = all.iter().take(MOST_WAITS).map(|(_, wait)| wait.clone()).collect();
    if all.len() > MOST_WAITS {
        let more = all.len() - MOST_WAITS;
        lines.push(paint(FAINT, format_args!("and {more} more: `evenkeel status --json` has all")));
    }
    if lines.is_empty() { vec![paint(FAINT, "for nothing")] } else { lines }
}

/// What each function waits for, each sentence once.
pub(super) fn all_waits(fleet: &Standing) -> Vec<(FunctionName, String)> {
    let mut all: Vec<(FunctionName, String)> = Vec::new();
    let tasks = fleet.tasks.iter().flat_map(|view| &view.waits).map(|wait| (FunctionName::Microscale, wait));
    let hosts = fleet.hosts.iter().flat_map(|view| &view.waits).map(|wait| (FunctionName::Backfill, wait));
    let patch = fleet.patch.iter().flat_map(|view| &view.waits).map(|wait| (FunctionName::Patchroll, wait));
    for (function, wait) in tasks.chain(hosts).chain(patch) {
        if all.iter().all(|(_, known)| known != wait) {
            all.push((function, wait.clone()));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::testing::{plain, shop, stands};

    /// The words of the line that begins with `first`.
    fn words(screen: &str, first: &str) -> Vec<String> {
        let line = screen.lines().find(|line| line.trim_start().starts_with(first));
        let line = line.unwrap_or_else(|| panic!("no line begins with {first:?} in\n{screen}"));
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_fleet_is_shown_on_one_screen_with_the_numbers_of_its_views() {
        let mut world = shop(30);
        let (fleet, _, now) = stands(&mut world);
        let screen = plain(&status(&fleet, now));
        assert!(screen.lines().count() <= 40 && screen.lines().all(|line| line.chars().count() <= 200), "{screen}");
        for pool in &fleet.file.as_ref().unwrap().pools {
            let working = words(&screen, pool.name.as_str())[1].parse::<usize>().unwrap();
            assert_eq!(working, world.hosts(&pool.name).len(), "{screen}");
        }
        for service in &fleet.tasks.as_ref().unwrap().services {
            let shown = words(&screen, service.name.as_str());
            assert_eq!(shown[3..5], [service.want.to_string(), service.running.to_string()], "{screen}");
        }
        assert_eq!(words(&screen, "budget")[..3], ["budget", "0", "hosts"]);
        for function in ["functions  microscale looked", "          backfill   looked", "          patchroll  looked"] {
            assert!(screen.contains(function.trim_start()), "{screen}");
        }
        assert!(!screen.contains("STOPPED"), "{screen}");
    }

    #[test]
    fn a_fleet_that_is_only_observed_says_so_before_anything_else() {
        let mut world = shop(30);
        let text = include_str!("../../../fleets/shop.toml");
        let (fleet, _, now) = stands(&mut world);
        assert!(!plain(&status(&fleet, now)).contains("OBSERVING"));
        for (mode, says) in
            [("mode", "microscale, backfill, patchroll take no step"), ("backfill.mode", "backfill takes no step")]
        {
            let edited = if mode == "mode" {
                format!("mode = \"observe\"\n{text}")
            } else {
                text.replace("[backfill]\n", "[backfill]\nmode = \"observe\"\n")
            };
            assert_ne!(edited, text);
            world.edit_fleet(&edited);
            world.run_until(world.now() + 3 * evenkeel_world::clock::MINUTE);
            let (fleet, _, now) = stands(&mut world);
            let screen = plain(&status(&fleet, now));
            let line = screen.lines().nth(1).unwrap_or_default();
            assert!(line.starts_with("*** OBSERVING ***") && line.contains(says), "{mode}: {screen}");
        }
    }

    #[test]
    fn a_function_that_is_stopped_and_a_view_that_is_old_are_said_large() {
        let mut world = shop(10);
        let (fleet, _, now) = stands(&mut world);
        let screen = plain(&status(&fleet, now + Duration::from_secs(600)));
        assert_eq!(screen.matches("STOPPED").count(), 3, "{screen}");
        assert!(screen.lines().next().is_some_and(|heading| heading.contains("10 min ago")), "{screen}");
    }

    #[test]
    fn hosts_that_are_lost_are_out_and_the_services_are_short_until_others_come() {
        let mut world = shop(20);
        assert!(world.interrupt(evenkeel_world::Interruption::Unwarned));
        world.run_until(20 * evenkeel_world::clock::MINUTE + 15_000);
        let (fleet, _, now) = stands(&mut world);
        let screen = plain(&status(&fleet, now));
        assert!(words(&screen, "budget").contains(&"(lost,".to_owned()), "{screen}");
    }
}
