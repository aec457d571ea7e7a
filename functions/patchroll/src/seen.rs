//! What one turn of patchroll saw, and what it has to look at.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evenkeel_model::fleet::{Patch, Strategy};
use evenkeel_model::groups::{Group, Refusal, WarmMember};
use evenkeel_model::observed::{Host, Running, Signal};
use evenkeel_model::templates::{Builder, Denied, Image, Instance, Target, Template};
use evenkeel_model::{AlarmName, GroupName, ImageId, InstanceId, Timestamp};
use evenkeel_turn::Given;
use serde::{Deserialize, Serialize};

use crate::pairs::{Phase, Wave};
use crate::state::{Roll, Stage, State};

/// Halt alarms are read again after this long, besides before every wave and when an alarm's own event says so.
const ALARMS_COUNT: Duration = Duration::from_secs(55);
/// The same for instance refreshes of others.
const REFRESHES_COUNT: Duration = Duration::from_secs(115);
/// What groups launch is read again after this long in a wave: a version may be deleted, and then hosts are current again.
const TEMPLATES_COUNT: Duration = Duration::from_secs(85);
/// The same before old hosts go whose successors have come.
const TEMPLATES_COUNT_THEN: Duration = Duration::from_secs(25);
/// A host that drains longer than this may be stuck.
const DRAINS_USUALLY: Duration = Duration::from_secs(60);
/// A group that has launched nothing for so long may be refused. The shortest wait for a replacement: a roll that halts
/// because none came can say EC2's reason.
const LAUNCHES_USUALLY: Duration = Duration::from_secs(60);

/// The fleet's hosts and what they are launched from, straight from AWS's answers. What was not asked for is none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Seen {
    /// The pools' groups that exist.
    pub groups: Vec<Group>,
    /// What waits in their warm pools, by group.
    pub warm: BTreeMap<GroupName, Vec<WarmMember>>,
    /// What the groups' launch templates mean now.
    pub templates: Option<Vec<Template>>,
    /// Those of them that could not be read.
    pub denied: Vec<Denied>,
    /// Instances that were not known before.
    pub instances: Vec<Instance>,
    /// The cluster's container instances; none for a fleet without a cluster.
    pub hosts: Vec<Host>,
    /// Not all of them were looked at.
    pub some_hosts: bool,
    /// Not everything was looked at by which it is decided what comes next.
    pub partial: bool,
    /// Tasks and services.
    pub running: Option<Running>,
    /// The targets of the groups' target groups.
    pub targets: Option<Vec<Target>>,
    /// The halt alarms' states.
    pub alarms: Option<BTreeMap<AlarmName, Signal>>,
    /// Groups in which an instance refresh is under way.
    pub refreshes: Option<Vec<GroupName>>,
    /// Launches that were refused lately, by group.
    pub refusals: BTreeMap<GroupName, Vec<Refusal>>,
    /// Builders and images.
    pub bakery: Option<Bakery>,
}

/// What there is of a bake.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bakery {
    /// The base image, or why it is not known.
    pub base: Option<Result<ImageId, String>>,
    /// The fleet's builders.
    pub builders: Vec<Builder>,
    /// The fleet's images, and others with such names.
    pub images: Vec<Image>,
}

/// What a turn has to look at besides the groups: each look is a call, and most turns need few.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Looks {
    pub(crate) hosts: LookAt,
    pub(crate) templates: bool,
    pub(crate) running: bool,
    pub(crate) targets: bool,
    pub(crate) alarms: bool,
    pub(crate) refreshes: bool,
    pub(crate) refusals: bool,
    pub(crate) bakery: bool,
}

/// Which container instances a turn looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum LookAt {
    /// None.
    #[default]
    Nothing,
    /// Those of a wave, as long as it only matters whether they are empty, and those that are to take tasks again.
    Some(Vec<InstanceId>),
    /// All.
    All,
}

impl LookAt {
    fn these(hosts: BTreeSet<InstanceId>) -> Self {
        if hosts.is_empty() { Self::Nothing } else { Self::Some(hosts.into_iter().collect()) }
    }
}

impl Looks {
    /// What this turn has to look at, going by what is under way.
    pub(crate) fn of(given: &Given<'_, State>) -> Self {
        let asked = given.board.orders.last > given.state.followed;
        let Some(roll) = given.state.roll.as_ref().filter(|_| !asked) else {
            return if asked || may_begin(given) {
                Self::all(given)
            } else {
                let left = given.state.drained.union(&given.state.marked).cloned().collect();
                Self { templates: true, hosts: LookAt::these(left), ..Self::default() }
            };
        };
        if matches!(roll.stage, Stage::Baking(_)) {
            return Self { bakery: true, templates: true, ..Self::default() };
        }
        // Without its section, a roll is only brought to an end.
        let goes_on = given.fleet.patch.as_ref().is_none_or(|policy| roll.goes_on_alone(policy));
        match &roll.wave {
            Some(wave) => Self::during(given, wave),
            // Nothing can happen before somebody says so.
            None if !goes_on => Self::watch(given),
            None if is_quiet(given, roll) => Self::watch(given),
            None => Self::all(given),
        }
    }

    fn all(given: &Given<'_, State>) -> Self {
        let bakes = given.fleet.patch.as_ref().is_some_and(|policy| policy.bake.is_some());
        Self {
            hosts: LookAt::All,
            templates: true,
            running: true,
            targets: true,
            alarms: true,
            refreshes: true,
            refusals: false,
            bakery: bakes,
        }
    }

    /// What others may do at any time.
    fn watch(given: &Given<'_, State>) -> Self {
        let older = |read: Timestamp, than: Duration| given.now.duration_since(read).unsigned_abs() >= than;
        Self {
            hosts: LookAt::these(given.state.drained.clone()),
            alarms: older(given.state.alarms_read, ALARMS_COUNT),
            refreshes: older(given.state.refreshes_read, REFRESHES_COUNT),
            ..Self::default()
        }
    }

    fn during(given: &Given<'_, State>, wave: &Wave) -> Self {
        let since = |at: Timestamp| given.now.duration_since(at).unsigned_abs();
        let usually = given.fleet.patch.as_ref().map_or(DRAINS_USUALLY, drains_usually);
        let slow = wave.hosts.values().any(|pair| pair.leaves() && since(pair.since) >= usually);
        // Whether they are empty is all that matters.
        let drains = wave.hosts.values().all(|pair| pair.leaves() || pair.is_over());
        let waits = wave.hosts.values().filter(|pair| pair.awaits()).map(|pair| pair.since).min();
        let own = || wave.hosts.keys().chain(&given.state.drained).cloned().collect();
        let lets_go = wave.hosts.values().any(|pair| pair.phase == Phase::InService);
        let templates_count = if lets_go { TEMPLATES_COUNT_THEN } else { TEMPLATES_COUNT };
        Self {
            templates: since(given.state.templates_read) >= templates_count,
            hosts: if drains && !slow && !given.state.looks_whole { LookAt::these(own()) } else { LookAt::All },
            running: slow,
            targets: true,
            refusals: waits.is_some_and(|at| since(at) >= LAUNCHES_USUALLY),
            ..Self::watch(given)
        }
    }
}

/// From here on it is looked what is on a host that drains, and said what keeps it from becoming empty: at the latest when
/// its time is over, and that decides what becomes of it.
pub(crate) fn drains_usually(policy: &Patch) -> Duration {
    DRAINS_USUALLY.min(policy.drain_timeout)
}

/// Whether nothing happens in the quiet time after a wave; new hosts that come first may come in it.
fn is_quiet(given: &Given<'_, State>, roll: &Roll) -> bool {
    let first = given.fleet.patch.as_ref().is_some_and(|policy| policy.strategy == Strategy::LaunchFirst);
    let grows = first && !roll.todo.is_empty();
    let stopped = roll.aborting || (roll.halted.is_some() && roll.stage == Stage::Rolling);
    roll.quiet.is_some_and(|until| until > given.now) && !grows && !stopped
}

/// Whether a roll may begin by itself in this turn.
fn may_begin(given: &Given<'_, State>) -> bool {
    let windows = given.fleet.patch.as_ref().map_or(&[][..], |policy| &policy.windows);
    windows.iter().any(|window| window.contains(given.now))
}
