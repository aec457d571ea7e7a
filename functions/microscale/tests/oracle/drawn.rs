//! ECS on a cluster too large to try everything: choices are drawn, half of the time those that hurt most.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::case::Case;
use crate::ecs::{Alive, Ground};
use crate::judge::Counts;

/// Ways through a turn that are drawn for each case.
const BRANCHES: u64 = 12;

/// Stops and places by chance, many times, and reports a task that is missed.
pub(crate) fn drawn_branches(case: &Case, counts: &Counts, seed: u64) -> Result<(), String> {
    let Counts { set: _, raises, moving: _, stops } = counts;
    if raises.iter().all(|&tasks| tasks == 0) {
        return Ok(());
    }
    for branch in 0..BRANCHES {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(1_000 + branch);
        let spiteful = branch % 2 == 0;
        let left = stopped(case, stops, spiteful, &mut rng);
        if let Some(kind) = missed(case, left, counts, spiteful, &mut rng) {
            return Err(format!(
                "the starts {raises:?} after the stops {stops:?} are not certain: ECS may leave {} and then miss a task \
                 of s{kind}",
                case.tasks_in(left)
            ));
        }
    }
    Ok(())
}

/// What is left when ECS stopped what it had to; spite stops where that gives the least room to anybody.
fn stopped(case: &Case, stops: &[u32], spiteful: bool, rng: &mut ChaCha8Rng) -> Alive {
    let mut alive = case.alive();
    let mut missing = stops.to_vec();
    loop {
        let open: Vec<usize> = (0..stops.len()).filter(|&kind| missing[kind] > 0).collect();
        let Some(&kind) = open.get(rng.random_range(0..open.len().max(1))) else { return alive };
        let victims = case.victims(alive, kind);
        let spared = victims.iter().all(|&victim| case.jobs[victim].protected);
        let useless = victims.iter().find(|&&victim| !case.spots[case.jobs[victim].spot].takes_tasks());
        match useless.filter(|_| spiteful).or_else(|| victims.get(rng.random_range(0..victims.len().max(1)))) {
            Some(&victim) if !spared || rng.random() => {
                alive &= !(1 << victim);
                missing[kind] -= 1;
            }
            _ => missing[kind] = 0,
        }
    }
}

/// Places everything; gives the service of ours of which a task finds no host. Spite places where most slots of the others
/// are lost.
fn missed(case: &Case, left: Alive, counts: &Counts, spiteful: bool, rng: &mut ChaCha8Rng) -> Option<usize> {
    let mut ground = Ground::new(case, left);
    let mut missing = counts.raises.clone();
    loop {
        let mut ways = Vec::new();
        for (kind, missing) in missing.iter_mut().enumerate().filter(|(_, missing)| **missing > 0) {
            let before = ways.len();
            ways.extend((0..case.spots.len()).filter(|&spot| ground.fits(kind, spot)).map(|spot| (kind, spot)));
            if ways.len() == before {
                if case.ours(kind) && *missing > counts.moving[kind] {
                    return Some(kind);
                }
                *missing = 0;
            }
        }
        if ways.is_empty() {
            return None;
        }
        let drawn = ways[rng.random_range(0..ways.len())];
        let (kind, spot) = if spiteful { worst(case, &ground, &missing, &ways) } else { drawn };
        ground.place(kind, spot);
        missing[kind] -= 1;
    }
}

/// The placement after which the fewest slots are left on its host for the others that are still missing.
fn worst(case: &Case, ground: &Ground<'_>, missing: &[u32], ways: &[(usize, usize)]) -> (usize, usize) {
    let lost = |&&(kind, spot): &&(usize, usize)| -> u32 {
        let mut after = ground.clone();
        after.place(kind, spot);
        let others = (0..case.kinds.len()).filter(|&other| other != kind && missing[other] > 0);
        others.map(|other| ground.slots_on(other, spot) - after.slots_on(other, spot)).sum()
    };
    ways.iter().max_by_key(lost).copied().unwrap_or_default()
}
