//! What a fleet's own controllers did, and what Even Keel would have done, on one screen.

use evenkeel_model::decision::{Decision, HostStep, HostWhy, Outcome, Step, Why};
use evenkeel_model::fleet::{Fleet, Purchase};
use evenkeel_model::{FleetName, FunctionName, Timestamp};
use evenkeel_turn::{Bought, Change, Plan, Scorecard, Thing, Unmet};
use evenkeel_world::setup::HostType;
use serde_json::{Value, json};

use super::table::{BAD, Cell, FAINT, GOOD, ODD, TITLE, Table, paint};
use super::words::{clock, count};
use crate::account::Recorded;

/// Lines of a list on the screen; `--json` has all.
const MOST_LINES: usize = 12;

/// The screen.
pub(crate) fn scorecard(
    (name, file): (&FleetName, Option<&Fleet>),
    card: &Scorecard,
    decided: &[Recorded],
    now: Timestamp,
) -> String {
    let mut screen = heading(name, card, now);
    screen.push_str(&services(card));
    screen.push_str(&hosts(file, card));
    let stops = |unmet: &&Unmet| unmet.to < unmet.from;
    let (ends, starts): (Vec<&Unmet>, Vec<&Unmet>) = card.unmet.iter().partition(stops);
    let lists = [
        ("differences in time, the longest first", differences(card, now)),
        ("set by others, and not or otherwise by Even Keel", otherwise(card, now)),
        ("Even Keel would have stopped or ended, and they did not", unmet(&ends, decided, now)),
        ("Even Keel would have started, and they did not", unmet(&starts, decided, now)),
        ("Even Keel would have patched", patched(decided, now)),
    ];
    for (title, lines) in lists {
        list(&mut screen, title, &lines);
    }
    if card.unlisted > 0 {
        line(&mut screen, &paint(ODD, format_args!("{} more were too many for an hour's list", card.unlisted)));
    }
    line(&mut screen, &format!("\n{}", paint(TITLE, "what this cannot know")));
    line(
        &mut screen,
        "  Nothing was done, so each line stands alone: after the first thing that Even Keel had done, much would have gone otherwise.",
    );
    line(&mut screen, "  How many task-seconds or dollars it would have saved is therefore not said.");
    screen
}

fn line(screen: &mut String, text: &str) {
    screen.push_str(text);
    screen.push('\n');
}

/// `1 h 05 min`, `3 min`, `40 s`.
fn length(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "two weeks are few seconds")]
    let seconds = seconds.round().max(0.0) as u64;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// Whether there is anything to say: what was seen, or what patchroll would have done, which has no figures of its own.
pub(crate) fn says_anything(card: &Scorecard, decided: &[Recorded]) -> bool {
    !card.watched.is_empty() || of_patches(decided).next().is_some()
}

fn heading(name: &FleetName, card: &Scorecard, now: Timestamp) -> String {
    if card.watched.is_empty() {
        return format!("{}  only patchroll observed it, which counts neither tasks nor hosts\n", paint(TITLE, name));
    }
    let functions: Vec<String> = card.watched.keys().map(ToString::to_string).collect();
    let from = card.watched.values().map(|watched| watched.from).min().unwrap_or(now);
    let to = card.watched.values().map(|watched| watched.to).max().unwrap_or(now);
    let span = format!("{} to {} UTC", clock(from, now), clock(to, now));
    let mut screen = format!("{}  {} observed it {span}\n", paint(TITLE, name), functions.join(" and "));
    for (function, watched) in &card.watched {
        let known = length(watched.known_seconds);
        let unknown = match watched.unknown_seconds {
            none if none < 1.0 => "nothing of it is unknown".to_owned(),
            some => paint(ODD, format_args!("{} more are unknown, and not in these figures", length(some))),
        };
        line(&mut screen, &format!("  {function:10}  {known} seen; {unknown}"));
    }
    if let Some(hosts) = card.hosts.as_ref().filter(|hosts| hosts.unknown_seconds >= 1.0) {
        line(&mut screen, &format!("  the hosts could not be read for {} of that", length(hosts.unknown_seconds)));
    }
    for service in card.services.iter().filter(|service| service.unknown_seconds >= 1.0) {
        let unknown = length(service.unknown_seconds);
        line(&mut screen, &format!("  nobody knows what {} wanted for {unknown} of that", service.name));
    }
    if card.unread > 0 {
        let unread =
            format!("{} not understood, of another version than this command", count(card.unread as u64, "hour"));
        line(&mut screen, &paint(ODD, unread));
    }
    screen
}

fn services(card: &Scorecard) -> String {
    if card.services.is_empty() {
        return String::new();
    }
    let heading = ["task-hours", "priority", "wanted", "running", "short", "of it", "room left empty"];
    let mut table = Table::new(&heading, false);
    let hours = |seconds: f64| format!("{:.2}", seconds / 3_600.0);
    for service in &card.services {
        let wanted = service.wanted_task_seconds;
        let part = if wanted > 0.0 { 100.0 * service.short_task_seconds / wanted } else { 0.0 };
        let style = if service.priority == Some(1) && service.short_task_seconds >= 1.0 { BAD } else { FAINT };
        let short = |text: String| if wanted > 0.0 { Cell::of(style, text) } else { Cell::from("") };
        table.row(vec![
            Cell::from(&service.name),
            Cell::from(service.priority.map_or_else(|| "left".to_owned(), |priority| priority.to_string())),
            Cell::from(if wanted > 0.0 { hours(wanted) } else { String::new() }),
            Cell::from(hours(service.running_task_seconds)),
            short(hours(service.short_task_seconds)),
            short(format!("{part:.1} %")),
            Cell::from(if service.fill { hours(service.empty_task_seconds) } else { String::new() }),
        ]);
    }
    format!("\n{table}")
}

/// USD an hour on demand; none for a type whose price is not known.
fn price(bought: &Bought) -> Option<f64> {
    bought.instance_type.as_ref()?.parse::<HostType>().ok().map(|kind| kind.on_demand_usd().usd())
}

fn hosts(file: Option<&Fleet>, card: &Scorecard) -> String {
    let Some(hosts) = &card.hosts else { return String::new() };
    let mut table = Table::new(&["host-hours", "type", "hours", "USD if on demand"], false);
    for bought in &hosts.bought {
        let usd = price(bought).map_or_else(|| "no price known".to_owned(), |usd| format!("{:.2}", usd * bought.hours));
        let purchase = match bought.purchase {
            Purchase::Mixed => "on-demand base".to_owned(),
            of_all @ (Purchase::Reserved | Purchase::Spot | Purchase::OnDemand) => of_all.to_string(),
        };
        let kind = bought.instance_type.clone().unwrap_or_else(|| "not known".to_owned());
        table.row(vec![purchase.into(), kind.into(), format!("{:.1}", bought.hours).into(), usd.into()]);
    }
    let mut screen = format!("\n{table}");
    if hosts.bought.iter().any(|bought| price(bought).is_some()) {
        let note = "list prices of us-east-1; what reserved and spot hosts really cost is not known here";
        line(&mut screen, &format!("  {}", paint(FAINT, note)));
    }
    let units = |of: fn(&Fleet) -> u32| file.map(|file| format!(" ({})", of(file))).unwrap_or_default();
    let minimum = ("minimum", units(|file| file.hosts.minimum), hosts.below_minimum_seconds, BAD);
    let steady = ("steady", units(|file| file.hosts.steady), hosts.below_steady_seconds, ODD);
    for (word, units, seconds, style) in [minimum, steady] {
        let style = if seconds < 1.0 { GOOD } else { style };
        line(&mut screen, &format!("  below {word}{units}: {}", paint(style, length(seconds))));
    }
    screen
}

/// A title, and the first of its lines; nothing without any.
fn list(screen: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    line(screen, &format!("\n{}", paint(TITLE, title)));
    for text in lines.iter().take(MOST_LINES) {
        line(screen, &format!("  {text}"));
    }
    let more = lines.len().saturating_sub(MOST_LINES);
    if more > 0 {
        line(screen, &paint(FAINT, format_args!("  and {more} more, which --json has")));
    }
}

/// What Even Keel would have done as well, and how much sooner.
fn sooner(change: &Change) -> Option<(Plan, i64)> {
    let plan = change.plan.filter(|plan| (plan.to > change.from) == (change.to > change.from))?;
    Some((plan, change.at.duration_since(plan.since).as_secs()))
}

/// Who changed a count.
fn who(change: &Change) -> &'static str {
    match (&change.of, change.scaled) {
        (Thing::Service(_), true) => "Application Auto Scaling",
        (Thing::Pool(_), true) => "AWS's scaling",
        (Thing::Service(_) | Thing::Pool(_), false) => "somebody",
    }
}

fn set(change: &Change, now: Timestamp) -> String {
    let Change { at, of, from, to, .. } = change;
    format!("{} set {of} {from} -> {to} at {}", who(change), clock(*at, now))
}

fn differences(card: &Scorecard, now: Timestamp) -> Vec<String> {
    let mut all: Vec<(&Change, Plan, i64)> =
        card.changes.iter().filter_map(|change| sooner(change).map(|(plan, by)| (change, plan, by))).collect();
    if all.is_empty() {
        return Vec::new();
    }
    all.sort_by_key(|(_, _, by)| std::cmp::Reverse(*by));
    let middle = all[all.len() / 2].2;
    let mut lines = vec![format!(
        "of {}, Even Keel would have made {} sooner, by {} in the middle",
        count(card.changes.len() as u64, "change"),
        all.len(),
        length_of(middle)
    )];
    lines.extend(all.into_iter().map(|(change, plan, by)| {
        let to = if plan.to == change.to { String::new() } else { format!(", to {} by then", plan.to) };
        format!("{}; would have at {}, {} sooner{to}", set(change, now), clock(plan.since, now), length_of(by))
    }));
    lines
}

fn length_of(seconds: i64) -> String {
    length(f64::from(i32::try_from(seconds).unwrap_or(i32::MAX)))
}

fn otherwise(card: &Scorecard, now: Timestamp) -> Vec<String> {
    let others = card.changes.iter().filter(|change| sooner(change).is_none());
    let lines = others.map(|change| {
        let would = match change.plan {
            Some(plan) => format!("would have set {} instead, since {}", plan.to, clock(plan.since, now)),
            None => "would have left it then".to_owned(),
        };
        format!("{}; {would}", set(change, now))
    });
    lines.collect()
}

fn unmet(unmet: &[&Unmet], decided: &[Recorded], now: Timestamp) -> Vec<String> {
    let mut all = unmet.to_vec();
    let lasted = |one: &Unmet| one.until.unwrap_or(now).duration_since(one.since).as_secs();
    all.sort_by_key(|one| std::cmp::Reverse(lasted(one)));
    let lines = all.into_iter().map(|one| {
        let Unmet { since, until, of, from, to } = one;
        let lasted = length_of(lasted(one));
        let for_long = match until {
            Some(_) => format!("for {lasted} from {}", clock(*since, now)),
            None => format!("since {}, for {lasted} so far", clock(*since, now)),
        };
        let why = reason(of, *since, decided).map(|why| format!(": {why}")).unwrap_or_default();
        format!("{of} {from} -> {to}, {for_long}{why}")
    });
    lines.collect()
}

/// Why something would have been done that was planned first at `since`.
fn reason(of: &Thing, since: Timestamp, decided: &[Recorded]) -> Option<String> {
    let is_about = |decision: &&Decision| match (&decision.step, &decision.why, of) {
        (Step::SetDesiredCount { service, .. }, _, Thing::Service(name)) => service == name,
        (Step::Host(HostStep::SetCapacity { pool, .. } | HostStep::Terminate { pool, .. }), _, Thing::Pool(name)) => {
            pool == name
        }
        // Hosts are given back by draining them, whichever pool they are of.
        (Step::Host(HostStep::SetStatus { .. }), Why::Host(HostWhy::NoReason { .. }), Thing::Pool(_)) => true,
        (Step::SetDesiredCount { .. } | Step::Host(_) | Step::Image(_) | Step::Roll(_), _, _) => false,
    };
    let then = decided.iter().filter_map(|one| one.decision.as_ref()).filter(|decision| decision.at == since);
    then.filter(is_about).map(|decision| decision.why.to_string()).next()
}

fn of_patches(decided: &[Recorded]) -> impl Iterator<Item = &Decision> {
    decided
        .iter()
        .filter_map(|one| one.decision.as_ref())
        .filter(|one| one.function == FunctionName::Patchroll && one.outcome == Outcome::Would)
}

fn patched(decided: &[Recorded], now: Timestamp) -> Vec<String> {
    of_patches(decided).map(|one| format!("{}  {one}", clock(one.at, now))).collect()
}

/// All of it for machines.
pub(crate) fn for_machines(fleet: &FleetName, card: &Scorecard, decided: &[Recorded]) -> Value {
    let bought = card.hosts.iter().flat_map(|hosts| &hosts.bought);
    let prices: serde_json::Map<String, Value> =
        bought.filter_map(|bought| Some((bought.instance_type.clone()?, json!(price(bought))))).collect();
    let why = |one: &Unmet| {
        let mut value = json!(one);
        value["why"] = json!(reason(&one.of, one.since, decided));
        value
    };
    let patches: Vec<String> = of_patches(decided).map(ToString::to_string).collect();
    let mut value = json!(card);
    value["fleet"] = json!(fleet);
    value["unmet"] = card.unmet.iter().map(why).collect();
    value["on_demand_usd_an_hour"] = Value::Object(prices);
    value["patches"] = json!(patches);
    value
}

#[cfg(test)]
mod tests {
    use evenkeel_model::fleet::{Format, read};
    use evenkeel_turn::Accounts;
    use evenkeel_world::{Faults, Interruption, Source, World, clock as world_clock, setup::Setup};

    use super::*;
    use crate::account::recorded;
    use crate::show::testing::plain;

    #[test]
    fn a_fleet_that_others_run_is_told_beside_what_would_have_been_done() {
        let text = format!("mode = \"observe\"\n{}", include_str!("../../../fleets/shop.toml"));
        let fleet = read(text.as_bytes(), Format::Toml).unwrap();
        let setup = Setup::for_fleet(&fleet);
        let mut world = World::new(fleet.clone(), setup, 1, Faults::default(), |service| {
            service.demand.as_ref().map(|_| Source::Level(400.0))
        });
        let web = "web".parse().unwrap();
        world.run_until(10 * world_clock::MINUTE);
        world.set_count(&web, 8);
        world.run_until(20 * world_clock::MINUTE);
        world.set_count(&web, 12);
        world.starve_spot(40 * world_clock::MINUTE);
        assert!(world.interrupt(Interruption::Warned));
        world.run_until(120 * world_clock::MINUTE);
        let (since, now) = (world_clock::timestamp(0), world_clock::timestamp(world.now()));
        let accounts = Accounts::of(since, &world.items(&Accounts::keys(&fleet.name, since, now)));
        let card = Scorecard::of(Some(&fleet), &accounts);
        let decided = recorded(&world.records(since));
        let screen = plain(&scorecard((&fleet.name, Some(&fleet)), &card, &decided, now));
        for line in [
            "shop  microscale and backfill observed it 00:00:00 to 01:59:",
            "  microscale  119 min seen; nothing of it is unknown",
            "  below minimum (3): 0 s",
            "  of 2 changes, Even Keel would have made 1 sooner, by 9 min in the middle",
            "  somebody set web 4 -> 8 at 00:10:0",
            "  somebody set web 8 -> 12 at 00:20:0",
            "; would have left it then",
            "Even Keel would have stopped or ended, and they did not\n  web 12 -> 8, since 00:2",
            "Even Keel would have started, and they did not\n  reports ",
            "  pool burst 0 -> 1, for ",
        ] {
            assert!(screen.contains(line), "{line:?} is not in\n{screen}");
        }
        let machines = for_machines(&fleet.name, &card, &decided);
        assert_eq!(machines["changes"].as_array().map(Vec::len), Some(2));
        assert_eq!(machines["fleet"], "shop");
        let whys = machines["unmet"].as_array().map(|all| all.iter().filter(|one| one["why"].is_string()).count());
        assert!(whys.is_some_and(|whys| whys >= 3), "{machines:#}");
        assert!(machines["services"][0]["short_task_seconds"].as_f64().is_some_and(|short| short > 2_000.0));
    }

    #[test]
    fn what_patchroll_alone_would_have_done_is_told() {
        let windows = "windows = [\"daily 00:10-02:00 UTC\"]\nmode = \"observe\"";
        let text =
            include_str!("../../../fleets/shop.toml").replace("windows = [\"Sun 02:00-05:00 Europe/London\"]", windows);
        let fleet = read(text.as_bytes(), Format::Toml).unwrap();
        let setup = Setup::for_fleet(&fleet);
        let mut world = World::new(fleet.clone(), setup, 1, Faults::default(), |service| {
            service.demand.as_ref().map(|_| Source::Level(300.0))
        });
        world.run_until(5 * world_clock::MINUTE);
        let (since, now) = (world_clock::timestamp(0), world_clock::timestamp(world.now()));
        let card = |world: &World| {
            let accounts = Accounts::of(since, &world.items(&Accounts::keys(&fleet.name, since, now)));
            (Scorecard::of(Some(&fleet), &accounts), recorded(&world.records(since)))
        };
        let (before, decided) = card(&world);
        assert!(!says_anything(&before, &decided), "nobody observed but patchroll, which had nothing to do");
        world.publish_versions(evenkeel_world::HostKind::Sound);
        world.run_until(15 * world_clock::MINUTE);
        let (card, decided) = card(&world);
        assert!(says_anything(&card, &decided), "{decided:#?}");
        let screen = plain(&scorecard((&fleet.name, Some(&fleet)), &card, &decided, now));
        assert!(screen.starts_with("shop  only patchroll observed it"), "{screen}");
        assert!(screen.contains("Even Keel would have patched\n  00:1"), "{screen}");
    }

    #[test]
    fn a_type_without_a_price_says_so() {
        let of = |kind: Option<&str>| Bought {
            purchase: Purchase::Spot,
            instance_type: kind.map(str::to_owned),
            hours: 2.0,
        };
        assert_eq!(price(&of(Some("m5.large"))), Some(0.096));
        assert_eq!((price(&of(Some("x9.huge"))), price(&of(None))), (None, None));
        let hosts = evenkeel_turn::HostScore {
            known_seconds: 7_200.0,
            unknown_seconds: 0.0,
            bought: vec![of(Some("m5.large")), of(Some("x9.huge")), of(None)],
            below_minimum_seconds: 0.0,
            below_steady_seconds: 65.0,
        };
        let screen = plain(&super::hosts(None, &Scorecard { hosts: Some(hosts), ..Scorecard::default() }));
        let lines: Vec<&str> = screen.lines().map(str::trim).collect();
        assert!(lines[2].ends_with("0.19") && lines[3].ends_with("no price known"), "{screen}");
        assert!(lines[4].contains("not known") && screen.contains("below steady: 65 s"), "{screen}");
    }
}
