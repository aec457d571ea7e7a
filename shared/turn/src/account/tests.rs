//! What is added up between looks.

use std::time::Duration;

use evenkeel_model::fleet::Purchase;
use evenkeel_model::{ServiceName, Timestamp};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn web() -> ServiceName {
    "web".parse().unwrap()
}

/// A look at `web`: its count, what runs, what is wanted and since when, and what would be set.
fn looked(desired: u32, running: u32, wants: Option<u32>, since: i64, plan: Option<u32>) -> Looked {
    let mut looked = Looked::default();
    looked.levels.tasks.insert(web(), TaskLevel { desired, running, wants, ..TaskLevel::default() });
    looked.since.insert(web(), at(since));
    looked.plans.extend(plan.map(|to| (Thing::Service(web()), to)));
    looked
}

fn sums(account: &Account) -> (i64, i64, u64, u64) {
    let of = account.sums.tasks[&web()];
    (of.wanted / 1_000, of.short / 1_000, of.unknown / 1_000, account.sums.unknown / 1_000)
}

#[test]
fn what_is_known_late_counts_from_when_it_was_true() {
    let mut account = Account::new(at(0), &looked(4, 4, Some(4), 0, None));
    account.look(at(100), &looked(4, 4, Some(4), 90, None), true);
    // Six were wanted since 80 already, and nobody knew.
    account.look(at(110), &looked(4, 4, Some(6), 80, Some(6)), true);
    assert_eq!(sums(&account), (4 * 80 + 6 * 30, 2 * 30, 0, 0));
    // An answer that is older than that says nothing.
    account.look(at(120), &looked(4, 4, Some(4), 70, None), true);
    assert_eq!(sums(&account), (4 * 80 + 6 * 40, 2 * 40, 0, 0));
    // Two came some time since, and four are wanted since 125.
    account.look(at(130), &looked(6, 6, Some(4), 125, None), true);
    assert_eq!(account.sums.tasks[&web()].short, 82_500);
}

#[test]
fn without_a_look_for_long_nothing_is_known_and_with_a_short_gap_all_is() {
    let look = || looked(4, 2, Some(4), 0, None);
    let mut account = Account::new(at(0), &look());
    account.look(at(300), &look(), true);
    assert_eq!(sums(&account), (1_200, 600, 0, 0));
    account.look(at(601), &look(), true);
    assert_eq!(sums(&account), (1_200, 600, 0, 301));
    // Where the function acted in between, the time is nobody's.
    account.look(at(700), &look(), false);
    assert_eq!(sums(&account), (1_200, 600, 0, 301));
    // Nor is a clock that goes back.
    account.look(at(600), &look(), true);
    assert_eq!(sums(&account), (1_200, 600, 0, 301));
    // Looks that found all as it was are in the lease only.
    assert_eq!(sums(&account.clone().held_until(at(1_600))), (5_200, 2_600, 0, 301));
    assert_eq!(account.clone().held_until(at(500)), account);
}

#[test]
fn what_cannot_be_read_counts_as_it_was_for_five_minutes() {
    let mut account = Account::new(at(0), &looked(4, 2, Some(4), 0, None));
    for minute in 1..=10 {
        account.look(at(60 * minute), &looked(4, 2, None, 0, None), true);
    }
    // It was not read from 60 on: the last look at which it still counts is at 300.
    let (wanted, short, unknown, gaps) = sums(&account);
    assert_eq!((wanted, short, unknown, gaps), (4 * 300, 2 * 300, 300, 0));
    let mut hosts = Looked::default();
    let types = [("m5.large".to_owned(), 3)].into();
    let level = HostLevel { bought: [(Purchase::Spot, types)].into(), below_steady: true, ..HostLevel::default() };
    hosts.levels.hosts = Some(level);
    let mut account = Account::new(at(0), &hosts);
    let unread = Looked { levels: Levels { unread: Some(at(0)), ..Levels::default() }, ..Looked::default() };
    for minute in 1..=10 {
        account.look(at(60 * minute), &unread, true);
    }
    let of = &account.sums.hosts;
    assert_eq!((of.known, of.unknown, of.below_steady), (300_000, 300_000, 300_000));
    assert_eq!(of.bought[&Purchase::Spot]["m5.large"], 900_000);
}

#[test]
fn news_of_hosts_happened_just_now_and_what_a_tick_finds_happened_some_time() {
    let hosts = |below| {
        let mut looked = Looked::default();
        looked.levels.hosts = Some(HostLevel { below_minimum: below, ..HostLevel::default() });
        looked
    };
    let mut account = Account::new(at(0), &hosts(false));
    account.look(at(40), &hosts(true), true);
    assert_eq!(account.sums.hosts.below_minimum, 0);
    account.look(at(100), &hosts(false), true);
    assert_eq!(account.sums.hosts.below_minimum, 30_000);
}

#[test]
fn plans_are_told_beside_what_others_did_and_where_nobody_followed() {
    let mut account = Account::new(at(0), &looked(4, 4, Some(4), 0, None));
    let mut look = |second: i64, desired: u32, plan: Option<u32>| {
        account.look(at(second), &looked(desired, 4, Some(4), 0, plan), true);
    };
    look(10, 4, Some(6));
    look(20, 4, Some(7));
    look(170, 6, Some(7)); // half of it
    look(200, 8, None); // more than that
    look(210, 8, Some(5));
    look(230, 8, None); // not for long
    look(300, 8, Some(2));
    look(400, 8, Some(9));
    look(480, 7, None); // the other way
    look(500, 7, Some(3));
    look(600, 7, Some(3));
    let plan = |since: i64, to: u32| Some(Plan { since: at(since), to });
    let changes: Vec<_> = account.changes.iter().map(|one| (one.after, one.at, one.from, one.to, one.plan)).collect();
    assert_eq!(
        changes,
        [
            (at(20), at(170), 4, 6, plan(10, 7)),
            (at(170), at(200), 6, 8, plan(10, 7)),
            (at(400), at(480), 8, 7, plan(400, 9)),
        ]
    );
    let unmet: Vec<_> = account.unmet.iter().map(|one| (one.since, one.until, one.from, one.to)).collect();
    assert_eq!(unmet, [(at(300), Some(at(400)), 8, 2), (at(400), Some(at(480)), 8, 9)]);
    let open: Vec<_> = account.open().map(|one| (one.since, one.until, one.from, one.to)).collect();
    assert_eq!(open, [(at(500), None, 7, 3)]);
}

#[test]
fn an_hour_lists_no_more_than_it_has_room_for_and_counts_the_rest() {
    let mut account = Account::new(at(0), &looked(1, 1, Some(1), 0, None));
    for number in 1..=i64::try_from(MOST_LISTED).unwrap() + 5 {
        account.look(at(30 * number), &looked(1 + u32::try_from(number % 2).unwrap(), 1, Some(1), 0, None), true);
    }
    assert_eq!((account.changes.len(), account.unlisted), (MOST_LISTED, 5));
    let whole = serde_json::to_string(&account).unwrap();
    assert_eq!(serde_json::from_str::<Account>(&whole).unwrap(), account);
    assert_eq!(MOST_GAP, Duration::from_secs(300));
}
