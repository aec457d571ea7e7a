//! What backfill shows: every host with its reason, what is needed, and the budget.

use std::collections::BTreeMap;
use std::ops::Range;

use evenkeel_model::fleet::{Mode, Purchase};
use evenkeel_model::observed::Signal;
use evenkeel_model::{AlarmName, FunctionName, InstanceId, PoolName, Timestamp, Zone};
use evenkeel_turn::{Budget, Given, Outlook, Snapshot};
use serde::{Deserialize, Serialize};

use crate::seen::Seen;
use crate::state::State;

/// The snapshot for the page and for `status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackfillView {
    /// When it was seen.
    pub at: Timestamp,
    /// Whether backfill acts, or only observes.
    #[serde(default, skip_serializing_if = "Mode::is_act")]
    pub mode: Mode,
    /// All hosts of the pools, by purchase kind, pool and id.
    pub hosts: Vec<HostLine>,
    /// Hosts that are out, of `max_out`.
    pub out: u32,
    /// `max_out` of the fleet file.
    pub max_out: u32,
    /// Somebody asked that nothing be given back.
    #[serde(default, alias = "held")]
    pub on_hold: bool,
    /// The alarms that ask for hosts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alarms: BTreeMap<AlarmName, AlarmLine>,
    /// What is waited for, in sentences.
    pub waits: Vec<String>,
}

impl Snapshot for BackfillView {
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
        serde_json::to_string(&self.hosts[which])
    }

    fn keep_hosts(&mut self, first: usize) {
        self.hosts.truncate(first);
    }
}

/// An alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmLine {
    /// It is in ALARM.
    pub firing: bool,
    /// Its state in words.
    pub says: String,
}

impl From<&Signal> for AlarmLine {
    fn from(signal: &Signal) -> Self {
        let (firing, says) = match signal {
            Signal::Alarm { firing: true, since } => (true, format!("in ALARM since {since:.0}")),
            Signal::Alarm { firing: false, since: _ } => (false, "OK".to_owned()),
            Signal::Unknown(because) => (false, format!("not known: {because}")),
            Signal::Value { .. } | Signal::Backlog { .. } => (false, "not known: it is no alarm".to_owned()),
        };
        Self { firing, says }
    }
}

/// One host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostLine {
    /// The EC2 instance.
    pub id: InstanceId,
    /// Its pool.
    pub pool: PoolName,
    /// How it is bought: of a mixed pool's hosts, those that are known to be spot say so.
    pub purchase: Purchase,
    /// Its zone.
    pub zone: Option<Zone>,
    /// Where it is, and why it is kept, in words.
    pub says: String,
    /// It is on its way in.
    pub coming: bool,
    /// It is on its way out.
    pub going: bool,
}

/// What the page shows of this turn.
pub(crate) fn view(given: &Given<'_, State>, seen: &Seen, outlook: &Outlook<State>) -> BackfillView {
    let mut hosts: Vec<HostLine> = given
        .fleet
        .pools
        .iter()
        .filter_map(|pool| Some((pool, seen.groups.iter().find(|group| group.name == pool.auto_scaling_group)?)))
        .flat_map(|(pool, group)| group.members.iter().map(move |member| (pool, member)))
        .map(|(pool, member)| {
            let memory = outlook.state.hosts.get(&member.id);
            let loss = memory.and_then(|memory| memory.loss);
            let leaving = memory.and_then(|memory| memory.leaving);
            let lease = memory.and_then(|memory| memory.lease.as_ref());
            let joined = given.fleet.cluster.is_none() || memory.is_some_and(|memory| memory.joined);
            let coming = loss.is_none()
                && !member.state.is_leaving()
                && (member.state == evenkeel_model::groups::MemberState::Pending || !joined);
            let going = loss.is_some() || leaving.is_some() || member.state.is_leaving();
            let says = match (loss, leaving, lease) {
                (Some(loss), _, _) => loss.cause.to_string(),
                (None, Some(_), _) => "given back".to_owned(),
                (None, None, Some(lease)) => lease.reason.words().to_owned(),
                (None, None, None) if coming => "starting".to_owned(),
                (None, None, None) => String::new(),
            };
            let (id, zone) = (member.id.clone(), member.zone.clone());
            let purchase = memory.map_or(pool.purchase, |memory| memory.bought(pool));
            HostLine { id, pool: pool.name.clone(), purchase, zone, says, coming, going }
        })
        .collect();
    hosts.sort_by(|a, b| (a.purchase, &a.pool, &a.id).cmp(&(b.purchase, &b.pool, &b.id)));
    let budget: &Budget = outlook.budget.as_ref().unwrap_or(&given.board.budget);
    BackfillView {
        at: given.now,
        mode: given.fleet.mode_of(FunctionName::Backfill),
        hosts,
        out: budget.out(),
        max_out: given.fleet.disruption.max_out,
        on_hold: given.board.held,
        alarms: seen.alarms.iter().map(|(name, signal)| (name.clone(), signal.into())).collect(),
        waits: outlook.report.waits.iter().map(ToString::to_string).collect(),
    }
}
