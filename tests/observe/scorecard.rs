//! Stories of fleets that others run while Even Keel observes: what its scorecard says is what happened in the cloud.

use std::collections::VecDeque;
use std::ops::Range;

use evenkeel_model::fleet::Purchase;
use evenkeel_model::observed::Signal;
use evenkeel_model::{FunctionName, PoolName, ServiceName, Timestamp};
use evenkeel_turn::ledger::{Body, Key};
use evenkeel_turn::{Accounts, Change, Scorecard, Thing, Unmet};
use evenkeel_world::clock::{MINUTE, Ms, timestamp};
use evenkeel_world::demand::Walk;
use evenkeel_world::setup::Setup;
use evenkeel_world::{Faults, Interruption, Report, Source, World};

use super::{HOUR, SHOP_SETUP, fleet, shop};

fn service(name: &str) -> ServiceName {
    name.parse().unwrap_or_else(|_| unreachable!("a service's name"))
}

fn pool(name: &str) -> PoolName {
    name.parse().unwrap_or_else(|_| unreachable!("a pool's name"))
}

/// An observed shop, and what AWS's own controllers and a person do with it.
struct Theirs {
    world: World,
    /// The demand of the last minutes, the newest last.
    minutes: VecDeque<f64>,
    /// When nobody looks, because the functions are switched off.
    off: Option<Range<Ms>>,
    /// What happened meanwhile.
    unseen: [f64; 7],
    /// What was set, by whoever it was.
    set: Vec<Set>,
}

/// When something was set, what, and from which count to which.
type Set = (Timestamp, Thing, u32, u32);

/// Requests a second that a task of `web` serves.
const TARGET: f64 = 50.0;

impl Theirs {
    fn new(seed: u64, faults: Faults) -> Self {
        let fleet = fleet(&shop(&[("", "observe")]));
        let setup = Setup::read(SHOP_SETUP, &fleet).unwrap_or_else(|problem| panic!("{problem}"));
        let source = |_: &_| Some(Source::Walk(Box::new(Walk::new(seed, 100, 500.0))));
        let world = World::new(fleet, setup, seed, faults, |service| service.demand.as_ref().and_then(source));
        Self { world, minutes: VecDeque::new(), off: None, unseen: [0.0; 7], set: Vec::new() }
    }

    /// Target tracking on `web`: up when three minutes were above the target, down when fifteen were a tenth below it
    /// (Application Auto Scaling user guide, "Target tracking scaling policies").
    fn track(&mut self) {
        let seen = self.world.observe();
        let Some(Signal::Value { value, at: _ }) = seen.demand.get(&service("web")) else { return };
        self.minutes.push_back(*value);
        if self.minutes.len() > 15 {
            self.minutes.pop_front();
        }
        let desired = seen.services.iter().find(|one| one.name == service("web")).map_or(0, |one| one.desired);
        let carries = f64::from(desired) * TARGET;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few tasks")]
        let fits = (value / TARGET).ceil().clamp(2.0, 40.0) as u32;
        let last: Vec<f64> = self.minutes.iter().rev().copied().collect();
        let above = last.len() >= 3 && last[..3].iter().all(|value| *value > carries);
        let below = last.len() == 15 && last.iter().all(|value| *value < 0.9 * carries);
        if (above && fits > desired) || (below && fits < desired) {
            self.count("web", fits);
        }
    }

    fn count(&mut self, name: &str, to: u32) {
        let seen = self.world.observe();
        let from = seen.services.iter().find(|one| one.name == service(name)).map_or(0, |one| one.desired);
        self.world.set_count(&service(name), to);
        if from != to {
            self.set.push((timestamp(self.world.now()), Thing::Service(service(name)), from, to));
        }
    }

    fn capacity(&mut self, name: &str, to: u32) {
        let from = self.world.desired(&pool(name));
        self.world.set_capacity(&pool(name), to);
        self.set.push((timestamp(self.world.now()), Thing::Pool(pool(name)), from, to));
    }

    /// Lets so long pass, a minute after the other.
    fn pass(&mut self, length: Ms) {
        let end = self.world.now() + length;
        while self.world.now() < end {
            let off = self.off.as_ref().is_some_and(|off| off.contains(&self.world.now()));
            for function in [FunctionName::Microscale, FunctionName::Backfill] {
                self.world.switch_off(function, off);
            }
            let before = truth(&self.world.report());
            self.world.run_until(self.world.now() + MINUTE);
            if off {
                let after = truth(&self.world.report());
                self.unseen = std::array::from_fn(|index| self.unseen[index] + after[index] - before[index]);
            }
            self.track();
        }
    }

    /// Six hours: spot hosts are lost and do not come back for long, a person adds an on-demand host late and forgets it for a
    /// while, and sets how much of the work that can wait there is, too little at first.
    fn six_hours(&mut self) {
        // Nobody has looked yet, so this is how things are.
        self.world.set_count(&service("reports"), 3);
        self.pass(40 * MINUTE);
        self.world.starve_spot(70 * MINUTE);
        self.world.interrupt(Interruption::Warned);
        self.pass(20 * MINUTE);
        self.capacity("burst", 1);
        self.pass(80 * MINUTE);
        self.count("reports", 8);
        self.pass(20 * MINUTE);
        self.world.spike();
        self.pass(60 * MINUTE);
        self.capacity("burst", 0);
        self.world.starve_spot(50 * MINUTE);
        self.world.interrupt(Interruption::Warned);
        self.world.interrupt(Interruption::Unwarned);
        self.world.starve(&pool("base"), 40 * MINUTE);
        self.world.fails(&pool("base"));
        self.pass(80 * MINUTE);
        self.count("reports", 2);
        self.world.calm();
        self.pass(60 * MINUTE);
    }

    fn card(&self) -> Scorecard {
        card(&self.world)
    }
}

fn card(world: &World) -> Scorecard {
    let fleet = fleet(&shop(&[("", "observe")]));
    let (since, now) = (timestamp(0), timestamp(world.now()));
    let items = world.items(&Accounts::keys(&fleet.name, since, now));
    Scorecard::of(Some(&fleet), &Accounts::of(since, &items))
}

/// The cloud's own figures, in seconds and hours: `web` short, room empty, below minimum, below steady, and hours by purchase.
fn truth(report: &Report) -> [f64; 7] {
    let of = |name: &str| report.services.iter().find(|one| one.name == service(name));
    let short = of("web").map_or(0.0, |web| web.short_task_seconds);
    let empty = of("reports").map_or(0.0, |fill| fill.empty_task_seconds.unwrap_or(0.0));
    let hosts = &report.hosts;
    let below = [hosts.below_minimum_seconds, hosts.below_steady_seconds];
    [short, empty, below[0], below[1], hosts.reserved_hours, hosts.spot_hours, hosts.on_demand_hours]
}

/// The same as the scorecard has them.
fn told(card: &Scorecard) -> [f64; 7] {
    let of = |name: &str| card.services.iter().find(|one| one.name == service(name));
    let hosts = card.hosts.as_ref().unwrap_or_else(|| panic!("hosts were counted"));
    let hours = |purchase| hosts.hours(purchase);
    [
        of("web").map_or(0.0, |web| web.short_task_seconds),
        of("reports").map_or(0.0, |fill| fill.empty_task_seconds),
        hosts.below_minimum_seconds,
        hosts.below_steady_seconds,
        hours(Purchase::Reserved),
        hours(Purchase::Spot),
        hours(Purchase::OnDemand),
    ]
}

const FIGURES: [&str; 7] = ["short", "empty", "below minimum", "below steady", "reserved", "spot", "on-demand"];

/// All figures are within two hundredths of the cloud's own, none of which is nothing.
fn same(truth: [f64; 7], told: [f64; 7], case: &str) {
    for ((name, truth), told) in FIGURES.into_iter().zip(truth).zip(told) {
        assert!(truth > 0.0, "{case}: {name}: nothing happened");
        let off = (told - truth).abs() / truth;
        assert!(off <= 0.02, "{case}: {name} was {truth:.1}, and is said to be {told:.1}");
    }
}

#[test]
fn figures_are_those_of_the_cloud() {
    for seed in 1..=5 {
        let mut theirs = Theirs::new(seed, Faults::default());
        theirs.six_hours();
        let card = theirs.card();
        same(truth(&theirs.world.report()), told(&card), &format!("seed {seed}"));
        let unknown = card.watched.values().map(|watched| watched.unknown_seconds).sum::<f64>();
        assert_eq!((card.watched.len(), unknown, card.unread), (2, 0.0, 0), "seed {seed}: {:?}", card.watched);
    }
}

#[test]
fn with_faults_what_nobody_saw_is_told_and_the_rest_is_as_it_was() {
    for seed in 1..=5 {
        let mut theirs = Theirs::new(seed, Faults { rate: 0.05, ..Faults::default() });
        theirs.off = Some(95 * MINUTE..120 * MINUTE);
        theirs.six_hours();
        let (card, case) = (theirs.card(), format!("seed {seed}"));
        let all = truth(&theirs.world.report());
        same(std::array::from_fn(|index| all[index] - theirs.unseen[index]), told(&card), &case);
        for (function, watched) in &card.watched {
            let unknown = watched.unknown_seconds;
            assert!((1_500.0..1_500.0 + 180.0).contains(&unknown), "{case}: {function}: {unknown} s");
            let all = watched.known_seconds + unknown;
            let length = watched.to.duration_since(watched.from).as_secs_f64();
            assert!((all - length).abs() < 1.0, "{case}: {function}: {all} s of {length}");
        }
    }
}

#[test]
fn whatever_others_set_is_listed_once_beside_what_would_have_been_done() {
    for seed in 1..=3 {
        let mut theirs = Theirs::new(seed, Faults::default());
        theirs.six_hours();
        let card = theirs.card();
        let mut listed: Vec<Set> =
            card.changes.iter().map(|one| (one.after, one.of.clone(), one.from, one.to)).collect();
        listed.reverse();
        let seen = |set: &Set| (set.1.clone(), set.2, set.3);
        let sorted = |sets: &[Set]| {
            let mut sets: Vec<_> = sets.iter().map(seen).collect();
            sets.sort();
            sets
        };
        assert_eq!(sorted(&listed), sorted(&theirs.set), "seed {seed}");
        for change in &card.changes {
            let of = |set: &&Set| (change.after..=change.at).contains(&set.0) && set.1 == change.of;
            assert!(theirs.set.iter().any(|set| of(&set)), "seed {seed}: {change:?}: {:#?}", theirs.set);
            assert!(change.plan.is_none_or(|plan| plan.since <= change.after), "seed {seed}: {change:?}");
        }
        // Three minutes above the target are two more than Even Keel needs.
        let web = Thing::Service(service("web"));
        let ups: Vec<&Change> = card.changes.iter().filter(|one| one.of == web && one.to > one.from).collect();
        let early = |one: &&&Change| {
            let plan = one.plan.filter(|plan| plan.to > one.from);
            plan.is_some_and(|plan| one.at.duration_since(plan.since).as_secs() >= 100)
        };
        let early = ups.iter().filter(early).count();
        assert!(ups.len() >= 5 && 2 * early > ups.len(), "seed {seed}: {early} of {ups:#?}");
        // The on-demand host came late, and nobody needed it any more long before it went.
        let burst = Thing::Pool(pool("burst"));
        let of_burst: Vec<&Change> = card.changes.iter().filter(|one| one.of == burst).rev().collect();
        let [up, down] = of_burst.as_slice() else { panic!("seed {seed}: {of_burst:#?}") };
        let minutes = |one: &Change| one.plan.map(|plan| one.at.duration_since(plan.since).as_mins());
        assert!(minutes(up).is_some_and(|minutes| (17..=21).contains(&minutes)), "seed {seed}: {up:?}");
        assert!(minutes(down).is_some_and(|minutes| minutes > 60), "seed {seed}: {down:?}");
        // Hosts that stood in for spot hosts lost later would have come, and nobody sent for any.
        let missed = |one: &&Unmet| one.of == burst && one.to > one.from && one.since >= up.at;
        assert_eq!(card.unmet.iter().filter(missed).count(), 1, "seed {seed}: {:#?}", card.unmet);
    }
}

#[test]
fn an_account_is_written_with_the_turns_own_writes_and_stays_small() {
    let mut theirs = Theirs::new(1, Faults::default());
    theirs.six_hours();
    let fleet = fleet(&shop(&[("", "observe")]));
    let keys = Accounts::keys(&fleet.name, timestamp(0), timestamp(theirs.world.now()));
    let of = |part: &str| keys.iter().filter(|key| key.sort.contains(part)).cloned().collect::<Vec<Key>>();
    let versions = |keys: &[Key]| keys.iter().filter_map(|key| theirs.world.item_version(key)).sum::<u64>();
    let (leases, open) = (versions(&of("lease#")), versions(&of("turn#account#")));
    // Each turn writes its lease twice: the account is there at most with the second time.
    assert!(open <= leases / 2, "{open} of {leases}");
    let closed: Vec<Body> =
        theirs.world.items(&of("account#")).into_iter().flatten().map(|item| Body::from(item.body)).collect();
    let bytes: usize = closed.iter().map(Body::stored_len).sum();
    println!("{} hours, {bytes} bytes, {open} writes with {leases} of the leases", closed.len() / 2);
    assert!(closed.len() >= 10 && bytes / closed.len() < 4_096, "{} items of {bytes} bytes", closed.len());
}

#[test]
fn a_fleet_at_rest_writes_its_account_once_an_hour() {
    let mut world = super::world(&shop(&[("", "observe")]), 1, || Source::Level(300.0));
    world.run_until(HOUR + MINUTE);
    let fleet = fleet(&shop(&[("", "observe")]));
    let keys = Accounts::keys(&fleet.name, timestamp(0), timestamp(world.now()));
    let written = |world: &World| keys.iter().filter_map(|key| world.item_version(key)).collect::<Vec<u64>>();
    let of_account = |world: &World| {
        let open = keys.iter().filter(|key| key.sort.starts_with("turn#account#"));
        open.filter_map(|key| world.item_version(key)).collect::<Vec<u64>>()
    };
    let before = (written(&world), of_account(&world));
    world.run_until(HOUR + 50 * MINUTE);
    assert_ne!(written(&world), before.0, "there were turns");
    assert_eq!(of_account(&world), before.1);
    // What it holds is known all the same.
    let running: f64 = card(&world).services.iter().map(|one| one.running_task_seconds).sum();
    let truth: f64 = world.report().services.iter().map(|one| one.running_task_seconds).sum();
    assert!((running - truth).abs() <= 0.02 * truth, "{running} of {truth}");
}
