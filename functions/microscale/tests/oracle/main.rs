//! The planner against an exhaustive oracle on small clusters: all victim choices, all placements, all sacrifices.
//!
//! Architecture invariant: the oracle shares no code with the planner. It plays ECS and counts.
//!
//! A failing case prints the command that replays it: the name `pure-7` judges case 7 of that family alone, and
//! `pure-0..1000000` a million of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![expect(clippy::print_stdout, reason = "it shows what was tried, and a failing case")]

use std::ops::Range;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::case::{Case, Family};
use crate::judge::{Tally, judge};

mod case;
mod drawn;
mod ecs;
mod given;
mod judge;
mod words;

/// So many failing cases of a part are shown.
const SHOWN: usize = 3;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let trials = match arguments.filter.as_deref().and_then(cases) {
        Some((family, seeds)) => {
            arguments.filter = None;
            parts(family, seeds).collect()
        }
        None => Family::ALL.into_iter().flat_map(|family| parts(family, 0..family.cases())).collect(),
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

impl Family {
    /// How many cases are judged when nothing else is said.
    const fn cases(self) -> u64 {
        match self {
            Self::Pure | Self::Eager | Self::Busy | Self::Filling => 10_000,
            // Their branches are drawn, many for each case.
            Self::Large => 1_000,
        }
    }

    /// How many cases are judged one after the other; parts are judged at the same time.
    const fn part(self) -> u64 {
        self.cases() / 4
    }
}

/// What a family shows.
const fn claim(family: Family) -> &'static str {
    match family {
        Family::Pure => "priority 1 reaches its optimum with the fewest kills",
        Family::Eager => "priority 1 reaches its optimum although all tiers want more",
        Family::Busy => "every task that is asked for is placed, whatever ECS chooses",
        Family::Filling => "fill leaves the headroom, wherever ECS places it",
        Family::Large => "whatever was drawn of ECS's choices on larger clusters, every task is placed",
    }
}

/// `pure-7` or `pure-0..10`: a family and seeds.
fn cases(word: &str) -> Option<(Family, Range<u64>)> {
    let (family, seeds) = word.split_once('-')?;
    let family = Family::ALL.into_iter().find(|known| known.word() == family)?;
    let seeds = match seeds.split_once("..") {
        Some((first, end)) => first.parse().ok()?..end.parse().ok()?,
        None => {
            let seed: u64 = seeds.parse().ok()?;
            seed..seed.checked_add(1)?
        }
    };
    Some((family, seeds))
}

fn parts(family: Family, seeds: Range<u64>) -> impl Iterator<Item = Trial> {
    (seeds.start..seeds.end).step_by(usize::try_from(family.part()).unwrap()).map(move |first| {
        let part = first..seeds.end.min(first + family.part());
        Trial::test(format!("{}: {}-{first}..{}", claim(family), family.word(), part.end), move || run(family, part))
    })
}

fn run(family: Family, seeds: Range<u64>) -> Result<(), Failed> {
    let (mut tallies, mut failures) = (Vec::<Tally>::new(), Vec::new());
    let alone = seeds.end - seeds.start == 1;
    for seed in seeds.clone() {
        let case = Case::draw(family, seed);
        if alone {
            println!("{case}");
        }
        match judge(family, seed, &case) {
            Ok(tally) => tallies.push(tally),
            Err(problem) => {
                let replay = format!(
                    "cargo test -p evenkeel-microscale --no-default-features --test oracle -- {}-{seed}",
                    family.word()
                );
                failures.push(format!("{problem}\n{case}  replay: {replay}\n"));
            }
        }
    }
    if !failures.is_empty() {
        let count = failures.len();
        failures.truncate(SHOWN);
        return Err(format!("{count} cases fail; the first:\n{}", failures.join("\n")).into());
    }
    let telling = telling(family, &tallies);
    // A family of easy cases proves nothing.
    if seeds.end - seeds.start == family.part() { telling.map_err(Failed::from) } else { Ok(()) }
}

/// Whether enough of the cases were hard, and the planner's bounds close enough.
fn telling(family: Family, tallies: &[Tally]) -> Result<(), String> {
    let count = |what: fn(&Tally) -> bool| tallies.iter().filter(|tally| what(tally)).count();
    let (started, preempted) = (count(|tally| tally.started), count(|tally| tally.preempted));
    let (refused, filled) = (count(|tally| tally.refused), count(|tally| tally.filled));
    let (in_vain, less) = (count(|tally| tally.in_vain), count(|tally| tally.could_fill_more));
    println!(
        "{}: {started} start tasks, {preempted} preempt, {refused} are refused, {filled} fill; \
         {in_vain} stop tasks in vain, {less} could fill more",
        family.word()
    );
    let hard = match family {
        Family::Pure | Family::Eager => started.min(preempted).min(refused),
        Family::Busy | Family::Large => started.min(preempted).min(filled),
        Family::Filling => filled,
    };
    if hard < tallies.len() / 50 {
        return Err("the cases are too easy".to_owned());
    }
    // One service alone is led exactly; where several start at once, bounds stand in for what they do to each other.
    let loose = if family == Family::Pure { 0 } else { tallies.len() / 500 };
    if in_vain.max(less) > loose {
        return Err(format!("the bounds are loose: {in_vain} plans stop tasks in vain, {less} could fill more"));
    }
    Ok(())
}
