//! A roll of five hosts, killed between any two calls: it ends the same.

use evenkeel_world::Faults;
use evenkeel_world::clock::MINUTE;

use crate::{SHOP, SHOP_SETUP, SITE, SITE_SETUP, all_new, fleet, start, world};

/// Kills patchroll's turn number `turn` of the roll at each of its calls, until there is no such call.
fn kill(text: &str, setup: &str, level: f64) -> usize {
    let mut killed = 0;
    for turn in 1.. {
        let mut any = false;
        for call in 1.. {
            let faults = Faults { kill_roll: Some((turn, call)), ..Faults::default() };
            let mut world = world(fleet(text), setup, 5, faults, level);
            start(&mut world);
            world.run_until(45 * MINUTE);
            let report = world.report();
            let ended = all_new(&world);
            assert_eq!(ended.replaced, 5, "turn {turn} killed at call {call}");
            assert!(report.rolls[0].max_out <= 1, "turn {turn} killed at call {call}");
            if report.killed_turns == 0 {
                break;
            }
            any = true;
            killed += 1;
        }
        if !any {
            return killed;
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
