//! A roll of five hosts, killed between any two calls: it ends the same.

#![expect(clippy::print_stderr, reason = "a test says what it measured")]

use evenkeel_world::Faults;
use evenkeel_world::clock::MINUTE;

use crate::seeds::slice;
use crate::{SHOP, SHOP_SETUP, SITE, SITE_SETUP, all_new, fleet, start, world};

/// Of so many turns, each is killed at each of its calls on one day.
const TURNS_A_DAY: usize = 10;

/// Kills patchroll's turns up to the roll's end at each of their calls, and says how often.
fn kill(name: &str, text: &str, setup: &str, level: f64) {
    let run = |kill_roll| {
        let faults = Faults { kill_roll, ..Faults::default() };
        let mut world = world(fleet(text), setup, 5, faults, level);
        start(&mut world);
        world.run_until(25 * MINUTE);
        world
    };
    let all = run(None).roll_turns();
    let turns = slice(name, 1..=all, TURNS_A_DAY);
    let mut killed = 0;
    for &turn in &turns {
        for call in 1.. {
            let mut world = run(Some((turn, call)));
            world.run_until(45 * MINUTE);
            let ended = all_new(&world);
            assert_eq!(ended.replaced, 5, "turn {turn} killed at call {call}");
            assert!(world.report().rolls[0].max_out <= 1, "turn {turn} killed at call {call}");
            if world.report().killed_turns == 0 {
                break;
            }
            killed += 1;
        }
    }
    eprintln!("{} turns killed at {killed} calls", turns.len());
    // Those of one day may be of events that say nothing to it.
    assert!(killed > 200 || (turns.len() as u64) < all, "{killed}");
}

#[test]
fn five_servers_behind_a_load_balancer() {
    kill("killed rolls of servers", SITE, SITE_SETUP, 0.0);
}

#[test]
fn five_hosts_of_a_shop_that_come_first() {
    let text = SHOP.replace("strategy = \"terminate-first\" ", "strategy = \"launch-first\" ");
    kill("killed rolls of a shop", &text, SHOP_SETUP, 300.0);
}
