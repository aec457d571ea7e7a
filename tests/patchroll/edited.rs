//! What people edit in the fleet file in the middle of a roll, and what an answer leaves out: what was begun is brought to an
//! end, and what is not seen is neither gone nor done.

use evenkeel_model::decision::Stuck;
use std::collections::BTreeMap;

use evenkeel_model::templates::VersionSpec;
use evenkeel_model::trigger::RollVerb;
use evenkeel_patchroll::Ending;
use evenkeel_world::clock::MINUTE;
use evenkeel_world::{Faults, HostKind, Interruption};

use crate::{
    SHOP, SHOP_SETUP, SITE, SITE_SETUP, all_new, ended, feed, fleet, nothing_left, pool, shop, site, start, world,
};

/// The shop's file without a section, up to the next one.
fn without(section: &str) -> String {
    let begin = SHOP.find(section).unwrap_or_else(|| panic!("{section} is in the file"));
    let rest = &SHOP[begin..];
    let next = rest[1..].find("\n[").map_or(rest.len(), |at| at + 2);
    format!("{}{}", &SHOP[..begin], &rest[next..])
}

/// The seconds after its start in which a wave drains, ends, launches and settles.
const MOMENTS: [u64; 5] = [5, 25, 60, 100, 170];

#[test]
fn a_pool_by_another_name_is_rolled_to_its_end() {
    for strategy in ["terminate-first", "launch-first"] {
        for seconds in MOMENTS {
            let mut world = site("terminate-first", strategy, seconds);
            start(&mut world);
            world.run_until(5 * MINUTE + seconds * 1_000);
            let text = SITE.replace("terminate-first", strategy).replace("name = \"base\"", "name = \"servers\"");
            world.edit_fleet(&text);
            world.run_until(60 * MINUTE);
            let ended = all_new(&world);
            assert_eq!(ended.replaced + ended.went, 5, "{strategy}, {seconds} s: {:#?}", feed(&world));
            assert_eq!(world.desired(&pool("base")), 5, "{strategy}, {seconds} s: {:#?}", feed(&world));
        }
    }
}

#[test]
fn a_pool_that_is_taken_out_of_the_file_is_not_taken_for_rolled() {
    for seconds in MOMENTS {
        let mut world = shop("strategy = \"terminate-first\" ", "strategy = \"terminate-first\" ", seconds);
        start(&mut world);
        world.run_until(5 * MINUTE + seconds * 1_000);
        let old = world.versions(&pool("base")).get(&1).copied().unwrap_or(0);
        world.edit_fleet(&without("[[pool]]\nname = \"base\""));
        world.run_until(90 * MINUTE);
        let ended = ended(&world);
        let given_up = ended.abandoned.values().filter(|cause| **cause == Stuck::NotListed).count();
        assert!(old == 0 || given_up > 0, "{seconds} s: {ended:?}\n{:#?}", feed(&world));
        assert_eq!(ended.ending, Ending::Incomplete, "{seconds} s: {ended:?}");
        assert_eq!((world.draining(), world.marked_old()), (vec![], vec![]), "{seconds} s: {:#?}", feed(&world));
    }
}

#[test]
fn hosts_that_were_behind_again_when_their_pool_was_taken_out_of_the_file_are_named() {
    for seed in 1..=5 {
        let mut world = shop("strategy = \"terminate-first\" ", "strategy = \"terminate-first\" ", seed);
        start(&mut world);
        while world.versions(&pool("base")).get(&2) != Some(&3) {
            world.run_until(world.now() + 1_000);
        }
        world.publish_version(&pool("base"), HostKind::Sound);
        let old = world.hosts(&pool("base"));
        world.run_until(world.now() + 3 * MINUTE);
        let behind: Vec<_> = world.hosts(&pool("base")).into_iter().filter(|host| old.contains(host)).collect();
        world.edit_fleet(&without("[[pool]]\nname = \"base\""));
        world.run_until(world.now() + 60 * MINUTE);
        let ended = ended(&world);
        let named = |host| ended.abandoned.get(host) == Some(&Stuck::NotListed);
        assert!(!behind.is_empty() && behind.iter().all(named), "seed {seed}: {ended:?}\n{:#?}", feed(&world));
        assert_eq!(ended.ending, Ending::Incomplete, "seed {seed}");
        let broken = world.report().invariant_violations;
        assert!(broken.iter().all(|one| one.invariant != 8), "seed {seed}: {broken:?}");
    }
}

#[test]
fn hosts_are_current_again_when_the_version_is_deleted_that_made_them_old() {
    for strategy in ["terminate-first", "launch-first"] {
        for seconds in MOMENTS {
            let mut world = site("terminate-first", strategy, seconds);
            world.set_spec(&pool("base"), VersionSpec::Latest);
            start(&mut world);
            world.run_until(5 * MINUTE + seconds * 1_000);
            world.delete_version(&pool("base"));
            world.run_until(world.now() + 2 * MINUTE);
            let (marked, old) = (world.marked_old(), world.versions(&pool("base")).get(&1).copied());
            assert_eq!(marked, [], "{strategy}, {seconds} s: {:#?}", feed(&world));
            world.run_until(60 * MINUTE);
            assert!(world.versions(&pool("base")).get(&1) >= old.as_ref(), "{strategy}, {seconds} s");
            assert_eq!(world.desired(&pool("base")), 5, "{strategy}, {seconds} s: {:#?}", feed(&world));
            ended(&world);
            nothing_left(&world);
        }
    }
}

#[test]
fn a_template_that_may_not_be_read_hides_no_other_and_its_hosts_are_not_taken_for_new() {
    for strategy in ["terminate-first", "launch-first"] {
        for seconds in [0].into_iter().chain(MOMENTS) {
            let to = format!("strategy = \"{strategy}\" ");
            let mut world = shop("strategy = \"terminate-first\" ", &to, seconds);
            if seconds == 0 {
                world.deny_template(&pool("base"), true);
            }
            start(&mut world);
            world.run_until(5 * MINUTE + seconds * 1_000);
            world.deny_template(&pool("base"), true);
            world.run_until(60 * MINUTE);
            assert_eq!(world.versions(&pool("spot")), BTreeMap::from([(2, 2)]), "{strategy}, {seconds} s");
            let ended = ended(&world);
            assert_eq!(ended.ending, Ending::Incomplete, "{strategy}, {seconds} s: {ended:?}");
            let unknown = |cause: &&Stuck| matches!(cause, Stuck::UnknownTemplate { .. });
            assert_eq!(ended.abandoned.values().filter(unknown).count(), 3, "{strategy}, {seconds} s: {ended:?}");
            assert_eq!(world.desired(&pool("base")), 3, "{strategy}, {seconds} s: {:#?}", feed(&world));
            assert_eq!((world.draining(), world.marked_old()), (vec![], vec![]), "{strategy}, {seconds} s");
            world.deny_template(&pool("base"), false);
            world.roll(RollVerb::Start, None);
            world.run_until(120 * MINUTE);
            all_new(&world);
        }
    }
}

#[test]
fn without_its_section_a_roll_ends_and_leaves_nothing_behind() {
    for strategy in ["terminate-first", "launch-first"] {
        for seconds in MOMENTS {
            let to = format!("strategy = \"{strategy}\" ");
            let mut world = shop("strategy = \"terminate-first\" ", &to, seconds);
            start(&mut world);
            world.run_until(5 * MINUTE + seconds * 1_000);
            world.edit_fleet(&without("[patch]"));
            world.run_until(40 * MINUTE);
            let ended = ended(&world);
            assert_eq!(ended.ending, Ending::Aborted, "{strategy}, {seconds} s: {ended:?}");
            assert_eq!((world.draining(), world.marked_old()), (vec![], vec![]), "{strategy}, {seconds} s");
            for (name, hosts) in [("base", 3), ("spot", 2)] {
                assert_eq!(world.desired(&pool(name)), hosts, "{strategy}, {seconds} s: {:#?}", feed(&world));
            }
        }
    }
}

#[test]
fn a_group_that_an_answer_leaves_out_is_neither_gone_nor_done() {
    for strategy in ["terminate-first", "launch-first"] {
        for seconds in MOMENTS {
            let mut world = site("terminate-first", strategy, seconds);
            start(&mut world);
            world.run_until(5 * MINUTE + seconds * 1_000);
            world.hide_group(&pool("base"), true);
            world.run_until(15 * MINUTE);
            assert!(world.patchroll_state().roll.is_some(), "{strategy}, {seconds} s: nobody can say that it is over");
            world.hide_group(&pool("base"), false);
            world.run_until(80 * MINUTE);
            all_new(&world);
            assert_eq!(world.desired(&pool("base")), 5, "{strategy}, {seconds} s: {:#?}", feed(&world));
        }
    }
}

#[test]
fn a_loss_elsewhere_is_nobodys_successor() {
    for strategy in ["terminate-first", "launch-first"] {
        for seconds in [5, 25, 60, 100] {
            let text = format!("{}[disruption]\nmax_out = 2\n", SITE.replace("terminate-first", strategy));
            let mut world = world(fleet(&text), SITE_SETUP, seconds, Faults::default(), 0.0);
            start(&mut world);
            world.run_until(5 * MINUTE + seconds * 1_000);
            assert!(world.fails(&pool("base")).is_some());
            world.run_until(60 * MINUTE);
            all_new(&world);
            assert_eq!(world.desired(&pool("base")), 5, "{strategy}, {seconds} s: {:#?}", feed(&world));
            nothing_left(&world);
        }
    }
}

#[test]
fn where_no_backfill_counts_losses_a_roll_counts_those_that_it_sees_and_not_those_that_it_did_not_look_for() {
    for seed in 1..=3 {
        let mut world = world(fleet(&without("[backfill]")), SHOP_SETUP, seed, Faults::default(), 300.0);
        world.run_until(70 * MINUTE);
        world.starve_spot(20 * MINUTE);
        world.interrupt(Interruption::Unwarned);
        world.publish_versions(HostKind::Sound);
        world.run_until(75 * MINUTE);
        world.roll(RollVerb::Start, None);
        world.run_until(89 * MINUTE);
        let waves = world.patchroll_state().roll.map(|roll| roll.waves);
        assert_eq!(waves, Some(0), "seed {seed}: one is out already: {:#?}", feed(&world));
        world.run_until(150 * MINUTE);
        all_new(&world);
    }
}
