//! What must hold of a plan, derived from all that ECS may do.

use std::cmp::Ordering;

use evenkeel_microscale::State;
use evenkeel_model::report::{Report, Wait};
use evenkeel_turn::Outlook;

use crate::case::{Apart, Case, Door, Family, Job};
use crate::drawn::drawn_branches;
use crate::given::{Turn, kind_of, name};

/// What a plan decided, as tasks started and stopped.
#[derive(Clone)]
pub(crate) struct Counts {
    pub(crate) set: Vec<u32>,
    pub(crate) raises: Vec<u32>,
    /// Those of them that may find no place: they run on hosts that drain, and their count was not raised.
    pub(crate) moving: Vec<u32>,
    pub(crate) stops: Vec<u32>,
}

/// What a judged case was like: a family of easy cases proves nothing.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) started: bool,
    pub(crate) preempted: bool,
    pub(crate) refused: bool,
    pub(crate) filled: bool,
    /// Stops tasks for starts that were certain without.
    pub(crate) in_vain: bool,
    /// One task more of a fill service would have left the headroom, too.
    pub(crate) could_fill_more: bool,
}

/// Plans the case, and says what is wrong with the plan.
pub(crate) fn judge(family: Family, seed: u64, case: &Case) -> Result<Tally, String> {
    let turn = Turn::of(case);
    let outlook = turn.plan();
    let counts = Counts::of(case, &outlook);
    within_limits(case, &counts)?;
    in_order(case, &outlook)?;
    set_apart(case, &counts, &outlook.report)?;
    later_fields_survive(&outlook.state)?;
    if family == Family::Large {
        drawn_branches(case, &counts, seed)?;
    } else if let Some(branch) = uncertain(case, &counts.stops, &counts) {
        return Err(format!("the counts {:?} are not certain to be placed: {branch}", counts.set));
    }
    quiet_afterwards(&turn, &outlook)?;
    let mut tally = Tally {
        started: counts.raises.iter().any(|&tasks| tasks > 0),
        preempted: (0..case.kinds.len()).any(|kind| counts.stops[kind] > case.unwanted(kind)),
        refused: false,
        filled: (0..case.kinds.len()).any(|kind| case.kinds[kind].fill && counts.raises[kind] > 0),
        in_vain: kills_in_vain(case, &counts, family)?,
        could_fill_more: false,
    };
    match family {
        Family::Pure | Family::Eager => tally.refused = best(case, &counts, family)?,
        Family::Filling => {
            keeps_headroom(case, &counts.raises)?;
            tally.could_fill_more = could_fill_more(case, &counts);
        }
        Family::Busy | Family::Large => {}
    }
    Ok(tally)
}

impl Case {
    /// Live tasks that the service itself does not want.
    fn unwanted(&self, kind: usize) -> u32 {
        let kept = if self.kinds[kind].fill { self.kinds[kind].max } else { self.kinds[kind].want };
        self.live(kind).saturating_sub(kept)
    }

    pub(crate) fn ours(&self, kind: usize) -> bool {
        match self.kinds[kind].apart {
            Some(Apart::HandsOff(_) | Apart::Foreign) => false,
            Some(Apart::Refused | Apart::Unknown) | None => true,
        }
    }
}

impl Counts {
    fn of(case: &Case, outlook: &Outlook<State>) -> Self {
        let mut set: Vec<u32> = case.kinds.iter().map(|kind| kind.desired).collect();
        for (kind, to) in outlook.steps.iter().map(kind_of) {
            set[kind] = to;
        }
        let staying = |kind| case.staying(kind);
        let raises: Vec<u32> = set.iter().enumerate().map(|(kind, to)| to.saturating_sub(staying(kind))).collect();
        let stops = set.iter().enumerate().map(|(kind, to)| staying(kind).saturating_sub(*to)).collect();
        let moving = |kind| if set[kind] > case.live(kind) { 0 } else { raises[kind].min(case.moving(kind)) };
        let moving = (0..set.len()).map(moving).collect();
        Self { set, raises, moving, stops }
    }
}

fn within_limits(case: &Case, Counts { set, .. }: &Counts) -> Result<(), String> {
    for kind in (0..case.kinds.len()).filter(|&kind| case.ours(kind)) {
        let (limits, live, to) = (&case.kinds[kind], case.live(kind), set[kind]);
        if to > limits.max {
            return Err(format!("s{kind} is set to {to}, above its maximum"));
        }
        if to < limits.min.min(live) {
            return Err(format!("s{kind} is set to {to}, below its minimum"));
        }
    }
    Ok(())
}

/// What is not ours is not set; where ECS refused, no more is asked for; and each is reported.
fn set_apart(case: &Case, counts: &Counts, report: &Report) -> Result<(), String> {
    for (number, kind) in case.kinds.iter().enumerate() {
        if !case.ours(number) && counts.set[number] != kind.desired {
            return Err(format!("s{number} is not ours to set, and set to {}", counts.set[number]));
        }
        if kind.apart == Some(Apart::Refused) && counts.set[number] > case.live(number) {
            return Err(format!("s{number} is raised although ECS could not place its tasks"));
        }
        if kind.fill && !kind.ripe && case.ours(number) && counts.set[number] > case.live(number).max(kind.min) {
            return Err(format!("s{number} fills holes that were not open long enough"));
        }
        let reported = report.waits.iter().any(|wait| match (wait, kind.apart) {
            (Wait::HandsOff { service, .. }, Some(Apart::HandsOff(_)))
            | (Wait::ForeignWriter { service, .. }, Some(Apart::Foreign))
            | (Wait::Distrust { service, .. }, Some(Apart::Refused))
            | (Wait::UnknownDemand { service, .. }, Some(Apart::Unknown)) => *service == name(number),
            (_, None) => true,
            _ => false,
        });
        // A fill service has no demand that could be unknown.
        let silent = kind.fill && kind.apart == Some(Apart::Unknown);
        if !reported && kind.apart.is_some() && !silent {
            return Err(format!("nothing is reported of s{number}"));
        }
    }
    Ok(())
}

/// Fields of a later version's state are kept.
fn later_fields_survive(state: &State) -> Result<(), String> {
    let kept =
        state.rest.contains_key("tempo") && state.services.values().all(|memory| memory.rest.contains_key("mood"));
    if kept { Ok(()) } else { Err("fields of a later version are lost".to_owned()) }
}

/// Lowers come before raises, and a raise needs the lowers that make room for it.
fn in_order(case: &Case, outlook: &Outlook<State>) -> Result<(), String> {
    let up = |place: usize| {
        let (kind, to) = kind_of(&outlook.steps[place]);
        to > case.kinds[kind].desired
    };
    for (place, step) in outlook.steps.iter().enumerate() {
        if place > 0 && up(place - 1) && !up(place) {
            return Err(format!("a count is lowered after one was raised, by step {place}"));
        }
        if step.needs.iter().any(|&needed| needed >= place || up(needed)) {
            return Err(format!("step {place} needs {:?}", step.needs));
        }
    }
    Ok(())
}

/// A way in which ECS leaves a task of one of our services unplaced.
fn uncertain(case: &Case, stops: &[u32], counts: &Counts) -> Option<String> {
    let Counts { set: _, raises, moving, stops: _ } = counts;
    for left in case.left_after(stops) {
        let end = case.place_all(left, raises, |missing, _| {
            match (0..case.kinds.len()).find(|&kind| case.ours(kind) && missing[kind] > moving[kind]) {
                Some(kind) => Err(format!("ECS may leave {} and then miss a task of s{kind}", case.tasks_in(left))),
                None => Ok(()),
            }
        });
        if let Err(branch) = end {
            return Some(branch);
        }
    }
    None
}

/// Tasks that are wanted go only where a higher tier starts some. Says whether those were certain to start anyway.
fn kills_in_vain(case: &Case, counts: &Counts, family: Family) -> Result<bool, String> {
    let Counts { set: _, raises, moving: _, stops } = counts;
    let voluntary: Vec<u32> = (0..case.kinds.len()).map(|kind| stops[kind].min(case.unwanted(kind))).collect();
    let Some(victim) = (0..case.kinds.len()).rev().find(|&kind| stops[kind] > voluntary[kind]) else {
        return Ok(false);
    };
    let higher = |kind: usize| case.kinds[kind].tier < case.kinds[victim].tier && raises[kind] > 0;
    if !(0..case.kinds.len()).any(higher) {
        return Err(format!("wanted tasks of s{victim} are stopped, and no higher tier starts any"));
    }
    // Where the planner cannot follow ECS's choice, it counts on less than there is.
    let old =
        |job: &Job| job.kind.is_some_and(|kind| case.kinds[kind].size != job.size || case.kinds[kind].port != job.port);
    let followed = case.jobs.iter().all(|job| !old(job) && case.spots[job.spot].door != Door::Unlisted);
    Ok(family != Family::Large && followed && uncertain(case, &voluntary, counts).is_none())
}

/// Planning again, with the counts set and nothing done by ECS yet, gives nothing; planning twice gives the same.
fn quiet_afterwards(turn: &Turn, outlook: &Outlook<State>) -> Result<(), String> {
    if turn.plan() != *outlook {
        return Err("planning twice gives two plans".to_owned());
    }
    match turn.after(outlook).plan().steps.first() {
        Some(again) => Err(format!("planning again gives {}: {}", again.step, again.why)),
        None => Ok(()),
    }
}

/// Priority 1 reaches all that can be made certain for it, at the least price. Says whether that is less than it wants.
fn best(case: &Case, counts: &Counts, family: Family) -> Result<bool, String> {
    let need = case.kinds[0].want.saturating_sub(case.live(0));
    let (mut most, mut price, mut with) = (0, Vec::new(), Vec::new());
    for stops in sacrifices(case) {
        let certain = case.left_after(&stops).iter().map(|&left| case.slots(left, 0)).min().unwrap_or(0).min(need);
        let asked = by_tier(case, &stops);
        if with.is_empty() || certain.cmp(&most).then(price.cmp(&asked)) == Ordering::Greater {
            (most, price, with) = (certain, asked, stops);
        }
    }
    if counts.raises[0] != most {
        return Err(format!(
            "s0 starts {}, and {most} could be made certain with the stops {with:?}",
            counts.raises[0]
        ));
    }
    // Where other tiers want more, they take from those below them, too.
    if family == Family::Pure && by_tier(case, &counts.stops) != price {
        return Err(format!("{:?} are stopped so that {most} can start, and {with:?} would do", counts.stops));
    }
    Ok(most < need)
}

/// All that the lower tiers can give up.
fn sacrifices(case: &Case) -> Vec<Vec<u32>> {
    let mut all = vec![Vec::new()];
    for (number, kind) in case.kinds.iter().enumerate() {
        let gives = kind.tier > 1 && case.ours(number);
        let most = if gives { case.live(number).saturating_sub(kind.min) } else { 0 };
        all = all.iter().flat_map(|way| (0..=most).map(move |tasks| [way.as_slice(), &[tasks]].concat())).collect();
    }
    all
}

/// The price of a sacrifice: tasks stopped, the most important tier in front.
fn by_tier(case: &Case, stops: &[u32]) -> Vec<u32> {
    let of_tier = |tier| {
        let stopped = case.kinds.iter().zip(stops).filter(move |(kind, _)| kind.tier == tier);
        stopped.map(|(_, tasks)| tasks).sum()
    };
    (1..=3).map(of_tier).collect()
}

/// Wherever ECS places what fills, the headroom of the tiers above all that fill is left, as far as it was there.
fn keeps_headroom(case: &Case, raises: &[u32]) -> Result<(), String> {
    let before: Vec<u32> = (0..case.kinds.len()).map(|kind| case.slots(case.alive(), kind)).collect();
    let filling = case.kinds.iter().zip(raises).filter(|(kind, tasks)| kind.fill && **tasks > 0);
    let Some(highest) = filling.map(|(kind, _)| kind.tier).min() else { return Ok(()) };
    case.place_all(case.alive(), raises, |_, ground| {
        for kind in (0..case.kinds.len()).filter(|&kind| case.kinds[kind].tier < highest) {
            let (left, kept) = (ground.slots(kind), case.kinds[kind].headroom.min(before[kind]));
            if left < kept {
                return Err(format!("fill leaves {left} slots of s{kind} where {kept} are to be left"));
            }
        }
        Ok(())
    })
}

/// Whether one task more of the only fill service is certain to be placed and to leave the headroom.
fn could_fill_more(case: &Case, counts: &Counts) -> bool {
    let mut fills = (0..case.kinds.len()).filter(|&kind| case.kinds[kind].fill && case.ours(kind));
    let (Some(fill), None) = (fills.next(), fills.next()) else { return false };
    let mut more = counts.clone();
    more.raises[fill] += 1;
    counts.set[fill] < case.kinds[fill].max
        && uncertain(case, &counts.stops, &more).is_none()
        && keeps_headroom(case, &more.raises).is_ok()
}
