//! A roll of five hosts, killed between any two calls: it ends the same.

use evenkeel_world::Faults;
use evenkeel_world::clock::MINUTE;

use crate::{SHOP, SHOP_SETUP, SITE, SITE_SETUP, all_new, fleet, start, world};

/// Kills each of patchroll's turns up to the roll's end at each of its calls; gives how often.
fn kill(text: &str, setup: &str, level: f64) -> usize {
    let run = |kill_roll| {
        let faults = Faults { kill_roll, ..Faults::default() };
        let mut world = world(fleet(text), setup, 5, faults, level);
        start(&mut world);
        world.run_until(25 * MINUTE);
        world
    };
    let turns = run(None).roll_turns();
    let mut killed = 0;
    for turn in 1..=turns {
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
    killed
}

#[test]
fn five_servers_behind_a_load_balancer() {
    let killed = kill(SITE, SITE_SETUP, 0.0);
    eprintln!("killed at {killed} calls");
    assert!(killed > 200, "{killed}");
}

#[test]
fn five_hosts_of_a_shop_that_come_first() {
    let text = SHOP.replace("strategy = \"terminate-first\" ", "strategy = \"launch-first\" ");
    let killed = kill(&text, SHOP_SETUP, 300.0);
    eprintln!("killed at {killed} calls");
    assert!(killed > 200, "{killed}");
}
