//! What patchroll shows: the patch state of every host, the roll with its waves, and when it should end.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use evenkeel_model::fleet::{Mode, Patch};
use evenkeel_model::groups::Member;
use evenkeel_model::{FunctionName, InstanceId, PoolName, RollId, Timestamp};
use evenkeel_turn::{Given, Outlook, Snapshot};
use serde::{Deserialize, Serialize};

use crate::gates::wave_size;
use crate::orders::{next_window, open_until};
use crate::seen::Seen;
use crate::state::{Ended, HostNote, Roll, Stage, State};

/// The snapshot for the page and for `status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PatchView {
    /// When it was seen.
    pub at: Timestamp,
    /// Whether patchroll acts, or only observes.
    #[serde(default, skip_serializing_if = "Mode::is_act")]
    pub mode: Mode,
    /// All hosts of the pools.
    pub hosts: BTreeMap<InstanceId, HostPatch>,
    /// The roll that is under way.
    pub roll: Option<RollView>,
    /// For `plan`: the waves that a roll would have now, in order; empty once one is under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<Vec<InstanceId>>,
    /// Rolls that have ended, newest first.
    pub ended: Vec<Ended>,
    /// When the next window opens; none without windows, or while one is open.
    pub next_window: Option<Timestamp>,
    /// What is waited for, in sentences.
    pub waits: Vec<String>,
}

impl Snapshot for PatchView {
    fn at(&mut self) -> &mut Timestamp {
        &mut self.at
    }

    fn waits(&mut self) -> &mut Vec<String> {
        &mut self.waits
    }

    fn hosts(&self) -> usize {
        self.hosts.len()
    }

    fn some_hosts(&self, which: Range<usize>) -> Result<String, serde_json::Error> {
        let some: BTreeMap<_, _> = self.hosts.iter().skip(which.start).take(which.len()).collect();
        serde_json::to_string(&some)
    }

    fn keep_hosts(&mut self, first: usize) {
        if let Some(next) = self.hosts.keys().nth(first).cloned() {
            self.hosts.split_off(&next);
        }
    }
}

/// One host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPatch {
    /// Its pool.
    pub pool: PoolName,
    /// Where it stands.
    pub state: PatchState,
    /// What it runs, in words, such as `version 3`.
    pub runs: String,
}

/// Where a host stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PatchState {
    /// It is what its group would launch now.
    Current,
    /// It is not, and nothing is done about it yet.
    Outdated,
    /// It is out in a wave.
    Leaving,
    /// It came to replace one.
    New,
    /// It could not be replaced.
    Abandoned,
}

/// A roll under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollView {
    /// Its id.
    pub id: RollId,
    /// Who asked for it.
    pub because: String,
    /// When it began.
    pub started: Timestamp,
    /// What it does now, in words.
    pub says: String,
    /// The wave under way, from 1; 0 before the first.
    pub wave: u32,
    /// Waves in all, as far as can be told.
    pub waves: u32,
    /// Hosts that were replaced or went by themselves.
    pub done: u32,
    /// Hosts in all.
    pub hosts: u32,
    /// When it should end, going by the waves so far; none while it is stopped or nothing is known yet.
    pub expected_end: Option<Timestamp>,
    /// It can be paused.
    pub running: bool,
}

/// A host takes about this long to become empty, to end, and to be replaced, where no roll has been seen yet: containers
/// stop in seconds, and an instance boots in about half a minute.
const USUAL_WAVE: Duration = Duration::from_secs(120);

/// What the page shows of this turn.
pub(crate) fn view(given: &Given<'_, State>, policy: &Patch, seen: &Seen, outlook: &Outlook<State>) -> PatchView {
    let state = &outlook.state;
    let roll = state.roll.as_ref();
    let members = given.fleet.pools.iter().filter_map(|pool| {
        let group = seen.groups.iter().find(|group| group.name == pool.auto_scaling_group)?;
        Some((pool, group))
    });
    let members = members.flat_map(|(pool, group)| group.members.iter().map(move |member| (pool, member)));
    let hosts: BTreeMap<InstanceId, HostPatch> = members
        .map(|(pool, member)| {
            let note = state.hosts.get(&member.id);
            let image = note.and_then(|note| note.image.as_ref());
            let runs = match (&member.template, image) {
                (Some(template), Some(image)) => format!("version {} ({image})", template.version),
                (Some(template), None) => format!("version {}", template.version),
                (None, Some(image)) => image.to_string(),
                (None, None) => String::new(),
            };
            let state = stand(member, note, state, roll);
            (member.id.clone(), HostPatch { pool: pool.name.clone(), state, runs })
        })
        .collect();
    let waves = match roll {
        None => would_be(&hosts, policy),
        // It begins now, or is only supposed to.
        Some(roll) if given.state.roll.is_none() => begins_with(roll, hosts.len(), policy),
        Some(_) => Vec::new(),
    };
    let open = open_until(policy, given.now).is_some();
    PatchView {
        at: given.now,
        mode: given.fleet.mode_of(FunctionName::Patchroll),
        hosts,
        roll: roll.map(|roll| roll_view(given, policy, state, roll)),
        waves,
        ended: state.ended.clone(),
        next_window: if open { None } else { next_window(policy, given.now) },
        waits: outlook.report.waits.iter().map(ToString::to_string).collect(),
    }
}

fn stand(member: &Member, note: Option<&HostNote>, state: &State, roll: Option<&Roll>) -> PatchState {
    if let Some(roll) = roll {
        if roll.wave.as_ref().is_some_and(|wave| wave.hosts.contains_key(&member.id)) || member.state.is_leaving() {
            return PatchState::Leaving;
        }
        if roll.abandoned.contains_key(&member.id) {
            return PatchState::Abandoned;
        }
        if roll.todo.contains(&member.id) {
            return PatchState::Outdated;
        }
        if note.and_then(|note| note.launched).is_some_and(|launched| launched > roll.started) {
            return PatchState::New;
        }
    }
    let target = note.and_then(|note| state.targets.get(&note.pool)).map(|target| target.of(member.template.as_ref()));
    let other_version = target.is_some_and(|target| {
        member.template.as_ref().is_some_and(|own| own.id != target.template || own.version != target.version)
    });
    let image = note.and_then(|note| note.image.as_ref());
    let other_image =
        target.and_then(|target| target.image.as_ref()).is_some_and(|newest| image.is_some_and(|own| own != newest));
    if other_version || other_image { PatchState::Outdated } else { PatchState::Current }
}

/// The waves that a roll of all outdated hosts would have.
fn would_be(hosts: &BTreeMap<InstanceId, HostPatch>, policy: &Patch) -> Vec<Vec<InstanceId>> {
    let outdated: Vec<&InstanceId> =
        hosts.iter().filter(|(_, host)| host.state == PatchState::Outdated).map(|(id, _)| id).collect();
    let Some((canary, rest)) = outdated.split_first() else { return Vec::new() };
    let size = wave_size(policy, hosts.len()) as usize;
    let named = |ids: &[&InstanceId]| ids.iter().map(|id| (*id).clone()).collect::<Vec<_>>();
    std::iter::once(named(&[*canary])).chain(rest.chunks(size.max(1)).map(named)).collect()
}

/// The waves of a roll that begins: the one that it has, and the others in its order.
fn begins_with(roll: &Roll, hosts: usize, policy: &Patch) -> Vec<Vec<InstanceId>> {
    let size = wave_size(policy, hosts) as usize;
    let left: Vec<InstanceId> = roll.todo.iter().cloned().collect();
    let first = roll.wave.iter().map(|wave| wave.hosts.keys().cloned().collect());
    first.chain(left.chunks(size.max(1)).map(<[InstanceId]>::to_vec)).collect()
}

fn roll_view(given: &Given<'_, State>, policy: &Patch, state: &State, roll: &Roll) -> RollView {
    let out = roll.wave.as_ref().map_or(0, |wave| wave.hosts.values().filter(|pair| !pair.is_over()).count());
    let settled = roll.wave.as_ref().map_or(0, |wave| wave.hosts.len() - out);
    let settles = roll.wave.is_none() && roll.quiet.is_some_and(|until| until > given.now);
    let left = u32::try_from(roll.todo.len()).unwrap_or(u32::MAX);
    let out = u32::try_from(out).unwrap_or(u32::MAX);
    let done = roll.replaced + roll.went + u32::try_from(settled).unwrap_or(u32::MAX);
    let size = if roll.waves == 0 && left > 0 {
        1
    } else {
        wave_size(policy, state.hosts.len()).min(given.fleet.disruption.max_out)
    };
    let more = left.div_ceil(size.max(1));
    let stopped = roll.paused || (roll.halted.is_some() && roll.stage == Stage::Rolling);
    let says = match &roll.stage {
        _ if roll.aborting => "ends by request".to_owned(),
        Stage::Baking(_) => "bakes an image".to_owned(),
        Stage::TakingBack => "takes itself back".to_owned(),
        Stage::Rolling if roll.paused => "paused".to_owned(),
        Stage::Rolling => match &roll.halted {
            Some(because) => format!("halted: {because}"),
            None if settles => "quiet after a wave".to_owned(),
            None if out == 1 => "1 host is out".to_owned(),
            None if out > 0 => format!("{out} hosts are out"),
            None => "waits for its next wave".to_owned(),
        },
    };
    let expected_end = (!stopped && !matches!(roll.stage, Stage::Baking(_))).then(|| {
        let each = each_wave(given, policy, state, roll);
        let now = roll.wave.as_ref().map_or(given.now, |wave| wave.since + each);
        now.max(given.now) + each * more
    });
    RollView {
        id: roll.id.clone(),
        because: roll.because.clone(),
        started: roll.started,
        says,
        wave: roll.waves,
        waves: roll.waves + more,
        done,
        hosts: done + left + out + u32::try_from(roll.abandoned.len()).unwrap_or(0),
        expected_end,
        running: !stopped,
    }
}

/// How long a wave takes, going by those of this roll, or of the last one.
fn each_wave(given: &Given<'_, State>, policy: &Patch, state: &State, roll: &Roll) -> Duration {
    let waves_over = if roll.wave.is_some() { roll.waves.saturating_sub(1) } else { roll.waves };
    if waves_over > 0 {
        let until = roll.wave.as_ref().map_or(given.now, |wave| wave.since);
        return until.duration_since(roll.started).unsigned_abs() / waves_over;
    }
    let last = state.ended.iter().find(|ended| ended.waves > 0);
    last.map_or(USUAL_WAVE + policy.settle, |last| last.at.duration_since(last.started).unsigned_abs() / last.waves)
}
