//! What must happen and does not is found: a function stops doing anything at the worst moment, and the auditor, who looks at
//! nothing but the cloud, says what is owed. The same worlds with nothing stopped are clean.

use evenkeel_model::FunctionName::{self, Backfill, Microscale, Patchroll};
use evenkeel_model::PoolName;
use evenkeel_model::templates::VersionSpec;
use evenkeel_model::trigger::RollVerb;
use evenkeel_world::clock::MINUTE;
use evenkeel_world::setup::Setup;
use evenkeel_world::{Faults, HostKind, Interruption, Source, Violation, World};

use crate::Case;

fn pool(name: &str) -> PoolName {
    name.parse().unwrap_or_else(|_| unreachable!("a pool's name"))
}

/// A shop whose services always have the same demand.
fn shop(case: &Case, level: f64) -> World {
    let setup = Setup::for_fleet(&case.fleet);
    World::new(case.fleet.clone(), setup, 1, Faults::default(), |service| {
        service.demand.as_ref().map(|_| Source::Level(level))
    })
}

/// A story: what happens, who stops doing anything then, and what happens after that.
struct Story<B, E> {
    case: Case,
    level: f64,
    begin: B,
    stalls: FunctionName,
    end: E,
    minutes: u64,
}

impl<B: Fn(&mut World), E: Fn(&mut World)> Story<B, E> {
    fn play(&self, stalled: bool) -> Vec<Violation> {
        let mut world = shop(&self.case, self.level);
        (self.begin)(&mut world);
        if stalled {
            world.stall(self.stalls);
        }
        (self.end)(&mut world);
        world.run_until(world.now() + self.minutes * MINUTE);
        let report = world.report();
        [report.invariant_violations, report.overdue].concat()
    }

    /// Where the function does nothing, `what` is said.
    fn misses(&self, what: &str) {
        let found = self.play(true);
        let said = |one: &Violation| one.invariant == 12 && one.detail.contains(what);
        assert!(found.iter().any(said), "{what} is not missed: {found:?}");
    }

    /// Where it works, nothing is.
    fn is_clean(&self) {
        assert_eq!(self.play(false), []);
    }
}

fn start_a_roll(world: &mut World) {
    world.publish_versions(HostKind::Sound);
    world.roll(RollVerb::Start, None);
}

/// Lets the world go on until a roll has come so far.
fn roll_until(world: &mut World, is: impl Fn(&World) -> bool) {
    world.run_until(5 * MINUTE);
    start_a_roll(world);
    for _ in 0..600 {
        if is(world) {
            return;
        }
        world.run_until(world.now() + 1_000);
    }
    unreachable!("a roll begins within ten minutes");
}

fn until_a_host_drains(world: &mut World) {
    roll_until(world, |world| !world.draining().is_empty());
}

fn until_a_group_grows(world: &mut World) {
    roll_until(world, |world| world.desired(&pool("base")) + world.desired(&pool("spot")) > 5);
}

/// A story in the shop.
fn story<B: Fn(&mut World), E: Fn(&mut World)>(
    level: f64,
    begin: B,
    stalls: FunctionName,
    end: E,
    minutes: u64,
) -> Story<B, E> {
    Story { case: Case::shop(), level, begin, stalls, end, minutes }
}

fn five_minutes(world: &mut World) {
    world.run_until(5 * MINUTE);
}

fn nothing(_: &mut World) {}

#[test]
fn a_stand_in_that_nobody_asks_for_is_missed() {
    let lost = |world: &mut World| {
        world.starve(&pool("spot"), 30 * MINUTE);
        world.interrupt(Interruption::Unwarned);
    };
    let story = story(300.0, five_minutes, Backfill, lost, 10);
    story.misses("units are missing, and burst is not asked");
    story.is_clean();
}

#[test]
fn a_tier_that_is_left_without_room_is_missed() {
    let story = story(300.0, nothing, Microscale, nothing, 5);
    story.misses("6 wanted, and");
    story.is_clean();
}

#[test]
fn a_hole_that_is_not_filled_is_missed() {
    let story = story(0.0, nothing, Microscale, nothing, 5);
    story.misses("reports is left at 0");
    story.is_clean();
}

#[test]
fn what_the_first_value_of_a_slow_metric_says_is_owed_once_it_can_be_known() {
    let case = Case::shop_but("minute", |text| {
        text.replace("statistic = \"Sum\", per = \"period\", period = \"10s\"", "period = \"60s\"")
    });
    let story = Story { case, level: 300.0, begin: nothing, stalls: Microscale, end: nothing, minutes: 10 };
    story.misses("6 wanted, and");
    story.is_clean();
}

#[test]
fn a_roll_that_was_let_go_on_while_patchroll_was_off_is_not_owed() {
    let begin = |world: &mut World| {
        five_minutes(world);
        start_a_roll(world);
        world.run_until(7 * MINUTE);
        world.roll(RollVerb::Pause, None);
        world.run_until(12 * MINUTE);
        world.switch_off(Patchroll, true);
        world.roll(RollVerb::Resume, None);
        world.run_until(13 * MINUTE);
        world.switch_off(Patchroll, false);
    };
    story(300.0, begin, Patchroll, nothing, 30).is_clean();
}

#[test]
fn a_function_that_is_switched_on_again_has_until_the_tick_that_wakes_it() {
    let begin = |world: &mut World| {
        world.switch_off(Microscale, true);
        world.run_until(5 * MINUTE + 5_000);
        world.switch_off(Microscale, false);
    };
    let story = story(300.0, begin, Microscale, nothing, 10);
    story.misses("6 wanted, and");
    story.is_clean();
}

#[test]
fn a_wave_that_does_not_begin_is_missed() {
    let story = story(300.0, five_minutes, Patchroll, start_a_roll, 10);
    story.misses("could go, and nothing is done");
    story.is_clean();
}

#[test]
fn a_host_that_drains_for_ever_is_missed() {
    let story = story(300.0, until_a_host_drains, Patchroll, nothing, 20);
    story.misses("drains because of patchroll");
    story.is_clean();
}

#[test]
fn a_place_in_the_budget_that_is_kept_is_missed() {
    let lost = |world: &mut World| {
        for host in world.draining() {
            world.interrupt_host(&host, Interruption::Unwarned);
        }
    };
    let story = story(300.0, until_a_host_drains, Patchroll, lost, 40);
    story.misses("has a place in the budget by patchroll");
    story.is_clean();
}

#[test]
fn a_loss_that_is_made_up_for_and_still_counts_is_missed() {
    let lost = |world: &mut World| {
        five_minutes(world);
        world.interrupt(Interruption::Unwarned);
        world.run_until(world.now() + 20_000);
    };
    let story = story(300.0, lost, Backfill, nothing, 20);
    story.misses("losses have places in the budget");
    story.is_clean();
}

/// Somebody points the groups back to what they launched before, in mid-roll.
fn pointed_back() -> Story<impl Fn(&mut World), impl Fn(&mut World)> {
    let back = |world: &mut World| {
        for name in ["base", "spot"] {
            world.set_spec(&pool(name), VersionSpec::Number(1));
        }
    };
    story(300.0, until_a_host_drains, Patchroll, back, 10)
}

#[test]
fn a_mark_that_stays_is_missed() {
    pointed_back().misses("is marked as old, although it is what its group launches");
}

#[test]
fn no_mark_stays_on_hosts_that_are_not_outdated_any_more() {
    pointed_back().is_clean();
}

#[test]
fn capacity_that_a_roll_has_raised_and_left_is_missed() {
    let case = Case::shop_but("raised", |text| text.replace("\"terminate-first\"", "\"launch-first\""));
    let begin = until_a_group_grows;
    let story = Story { case, level: 300.0, begin, stalls: Patchroll, end: nothing, minutes: 60 };
    story.misses("its own is");
    story.is_clean();
}

#[test]
fn an_on_demand_host_that_is_kept_for_nothing_is_missed() {
    let mut world = shop(&Case::shop(), 300.0);
    world.run_until(5 * MINUTE);
    world.interrupt(Interruption::Unwarned);
    world.run_until(9 * MINUTE);
    world.stall(Backfill);
    world.run_until(90 * MINUTE);
    let found = world.report().invariant_violations;
    assert!(found.iter().any(|one| one.invariant == 5 && one.detail.contains("on-demand units")), "{found:?}");
}

#[test]
fn a_function_that_is_switched_off_owes_nothing_and_the_others_go_on() {
    let mut world = shop(&Case::shop(), 300.0);
    world.switch_off(Patchroll, true);
    world.run_until(5 * MINUTE);
    start_a_roll(&mut world);
    world.interrupt(Interruption::Unwarned);
    world.run_until(40 * MINUTE);
    let report = world.report();
    assert_eq!((report.invariant_violations, report.overdue), (vec![], vec![]));
}

#[test]
fn a_roll_that_answers_what_was_found_may_mark_hosts_that_are_not_outdated() {
    let found = |world: &mut World| {
        five_minutes(world);
        world.find_vulnerability(&pool("base"), true);
        world.run_until(6 * MINUTE);
        world.roll(RollVerb::Start, None);
    };
    story(300.0, found, Patchroll, nothing, 15).is_clean();
}

#[test]
fn what_is_published_after_a_roll_is_not_asked_for_by_it_nor_by_who_lets_nothing_go_on() {
    let begin = |world: &mut World| {
        five_minutes(world);
        start_a_roll(world);
        world.run_until(45 * MINUTE);
        assert!(world.patch_view().is_some_and(|view| view.roll.is_none() && !view.ended.is_empty()));
    };
    let later = |world: &mut World| {
        world.publish_versions(HostKind::Sound);
        world.roll(RollVerb::Resume, None);
    };
    story(300.0, begin, Patchroll, later, 10).is_clean();
}

#[test]
fn a_host_that_dies_after_its_warning_is_lost_once() {
    let mut world = shop(&Case::shop(), 300.0);
    world.run_until(5 * MINUTE);
    let spot = pool("spot");
    let host = world.hosts(&spot).remove(0);
    assert!(world.interrupt_host(&host, Interruption::Warned));
    assert_eq!(world.fails(&spot), Some(host));
    world.run_until(15 * MINUTE);
    let losses = world.report().losses;
    assert_eq!(losses.warned + losses.unwarned, 1);
}
