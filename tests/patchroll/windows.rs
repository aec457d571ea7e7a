//! Rolls that begin by themselves: in a window, and because an event made one due.

use evenkeel_patchroll::Ending;
use evenkeel_world::clock::MINUTE;
use evenkeel_world::{Faults, HostKind, World};

use crate::{SITE, SITE_SETUP, all_new, fleet, nothing_left, pool, waits, world};

/// The servers with these windows; the world begins on a Monday at midnight UTC.
fn windows(list: &str, more: &str, seed: u64) -> World {
    let text = SITE.replace("[patch]\n", &format!("[patch]\nwindows = {list}\n{more}"));
    world(fleet(&text), SITE_SETUP, seed, Faults::default(), 0.0)
}

#[test]
fn a_window_that_closes_in_the_middle_of_a_wave_lets_it_finish_and_the_next_one_wait() {
    // London is on UTC in January; the same hours come again on Tuesday.
    let mut world = windows("[\"daily 00:10-00:16 Europe/London\"]", "", 1);
    world.run_until(5 * MINUTE);
    world.publish_versions(HostKind::Sound);
    world.run_until(9 * MINUTE + 50_000);
    assert_eq!(world.patchroll_state().roll, None, "not before its window");
    world.run_until(30 * MINUTE);
    let roll = world.patchroll_state().roll.unwrap_or_else(|| panic!("it began: {:?}", waits(&world)));
    assert_eq!(
        (roll.waves, roll.replaced, roll.wave),
        (3, 3, None),
        "the third wave began at 00:15 or so, and finished"
    );
    let said = waits(&world);
    assert!(
        said.iter().any(|wait| wait == "the next wave waits: the next window opens at 2026-01-06T00:10:00Z"),
        "{said:?}"
    );
    world.run_until(25 * 60 * MINUTE);
    let ended = all_new(&world);
    assert_eq!(ended.replaced, 5);
}

#[test]
fn windows_that_overlap_are_one_window() {
    let list = "[\"Mon 00:10-00:40 UTC\", \"Mon 00:30-01:30 UTC\"]";
    let mut world = windows(list, "refresh = \"all\"\n", 2);
    world.run_until(120 * MINUTE);
    let state = world.patchroll_state();
    assert_eq!(state.roll, None);
    assert_eq!(state.ended.len(), 1, "with `all`, the second window must not roll everything again: {:?}", state.ended);
    assert_eq!((state.ended[0].replaced, &state.ended[0].ending), (5, &Ending::Done));
    nothing_left(&world);
}

#[test]
fn what_is_published_while_a_window_is_open_is_rolled_in_it() {
    let mut world = windows("[\"daily 00:00-12:00 UTC\"]", "", 3);
    world.run_until(30 * MINUTE);
    assert!(world.patchroll_state().ended.is_empty(), "nothing was outdated");
    world.publish_versions(HostKind::Sound);
    world.run_until(60 * MINUTE);
    all_new(&world);
}

#[test]
fn a_vulnerable_package_makes_a_roll_due_and_a_closed_finding_does_not() {
    for (active, rolls) in [(true, 1), (false, 0)] {
        let mut world = windows("[\"daily 00:20-12:00 UTC\"]", "", 4);
        world.run_until(5 * MINUTE);
        world.find_vulnerability(&pool("base"), active);
        world.run_until(7 * MINUTE);
        let due = waits(&world).iter().any(|wait| {
            wait.contains(
                "a roll is due (Inspector found a vulnerable package): the next window opens at 2026-01-05T00:20:00Z",
            )
        });
        assert_eq!(due, active, "{:?}", waits(&world));
        world.run_until(60 * MINUTE);
        let state = world.patchroll_state();
        assert_eq!(state.ended.len(), rolls);
        assert!(state.ended.iter().all(|ended| ended.replaced == 5 && ended.ending == Ending::Done));
        // The same finding again, about hosts that are new by now or gone, is no reason.
        nothing_left(&world);
    }
}

#[test]
fn a_host_that_is_not_compliant_makes_a_roll_due() {
    let mut world = windows("[\"daily 00:00-12:00 UTC\"]", "", 5);
    world.run_until(5 * MINUTE);
    world.find_noncompliant(&pool("base"));
    world.run_until(40 * MINUTE);
    let state = world.patchroll_state();
    assert_eq!(state.ended.len(), 1);
    assert_eq!(state.ended[0].because, "a host is not compliant with its patch baseline");
    assert_eq!(state.ended[0].replaced, 5);
    nothing_left(&world);
}

#[test]
fn without_windows_only_a_person_starts_a_roll() {
    let mut world = world(fleet(SITE), SITE_SETUP, 6, Faults::default(), 0.0);
    world.run_until(5 * MINUTE);
    world.publish_versions(HostKind::Sound);
    world.find_vulnerability(&pool("base"), true);
    world.run_until(60 * MINUTE);
    assert!(world.patchroll_state().ended.is_empty() && world.patchroll_state().roll.is_none());
    let said = waits(&world);
    assert!(
        said.iter().any(|wait| wait.contains("the fleet has no windows, so only a start by hand is followed")),
        "{said:?}"
    );
}
