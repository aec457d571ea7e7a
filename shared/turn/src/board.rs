//! What functions, applications and events leave in the ledger for a later turn: read with every turn, in one call.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evenkeel_model::fleet::Refresh;
use evenkeel_model::groups::Group;
use evenkeel_model::report::Shortfall;
use evenkeel_model::trigger::RollVerb;
use evenkeel_model::{Entries, FleetName, InstanceId, PoolName, ServiceName, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::body::{parse, to_json};
use crate::budget::Budget;
use crate::error::TurnError;
use crate::ledger::{Expect, Key, LedgerError, Write};
use crate::ports::Ledger;

/// Notices are forgotten after this: the longest that one may count for.
const NOTICES_LAST: Duration = Duration::from_hours(1);
/// Orders are taken within a minute or two; whoever sends more than this at once repeats himself.
const MOST_ORDERS: usize = 50;

/// What a turn finds there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Board {
    /// Demand that applications sent.
    pub pushed: BTreeMap<ServiceName, Pushed>,
    /// What events said about hosts.
    pub notices: Notices,
    /// The disruption budget.
    pub budget: Budget,
    /// Tasks that fit nowhere.
    pub told: Told,
    /// Somebody asked that no on-demand host be given back.
    pub held: bool,
    /// Capacity that a roll asks backfill for.
    pub borrow: Borrow,
    /// What patchroll was asked to do.
    pub orders: Orders,
    /// When somebody asked that pools be tried again that had refused launches before.
    pub retried: Option<Timestamp>,
}

/// Capacity that a roll asks backfill for, because its next wave has no room otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Borrow {
    /// When it was asked for last; what is not asked for again is not needed any more.
    pub at: Timestamp,
    /// Capacity units.
    pub units: u32,
    /// The roll is one that patchroll would take: it counts for those who only observe.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub would: bool,
}

impl Borrow {
    /// The item's key.
    #[must_use]
    pub fn key(fleet: &FleetName) -> Key {
        Key::turn(fleet, "borrow")
    }
}

impl Tell {
    /// The same, as one says it who `would` only act on it.
    #[must_use]
    pub(crate) fn said(self, would: bool) -> Self {
        match self {
            Self::Shortfall(told) => Self::Shortfall(Told { would, ..told }),
            Self::Borrow(borrow) => Self::Borrow(Borrow { would, ..borrow }),
        }
    }
}

/// What one function leaves for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tell {
    /// Tasks that fit nowhere.
    Shortfall(Told),
    /// Capacity that a roll needs.
    Borrow(Borrow),
}

/// What patchroll was asked to do, newest last, each with its number: an order is followed once, however often it is
/// read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// The number of the newest.
    #[serde(default)]
    pub last: u64,
    /// The newest, at most fifty.
    #[serde(default)]
    pub list: Vec<Order>,
}

impl Orders {
    /// Adds one, and forgets the oldest beyond fifty. What is called by the same name as one of them is that one: it has come
    /// again.
    pub fn add(&mut self, at: Timestamp, ask: Ask, id: Option<&str>) {
        if id.is_some() && self.list.iter().any(|order| order.id.as_deref() == id) {
            return;
        }
        self.last += 1;
        self.list.push(Order { number: self.last, at, ask, id: id.map(str::to_owned) });
        let over = self.list.len().saturating_sub(MOST_ORDERS);
        self.list.drain(..over);
    }
}

/// One order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its number, from 1.
    pub number: u64,
    /// When it was given, or when the event that it follows from happened.
    pub at: Timestamp,
    /// What is asked for.
    pub ask: Ask,
    /// What its sender calls it: Lambda's and the queue's own name for a request stays the same when it comes again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// What patchroll is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// Look at everything: others have done something.
    Look,
    /// A person's request.
    Roll {
        /// What.
        verb: RollVerb,
        /// One pool, or the whole fleet.
        pool: Option<PoolName>,
        /// Who asks, as far as the request says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// Hosts are to be replaced in the next window.
    Due {
        /// Why, in words.
        because: String,
        /// Which of them.
        refresh: Refresh,
        /// The hosts that it is about; none: the fleet.
        hosts: Vec<InstanceId>,
    },
    /// What a later version was asked for: kept, reported, and not followed.
    #[serde(untagged)]
    Later(Value),
}

/// A demand value that an application sent with a manual request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pushed {
    /// The value, in the service's own unit.
    pub value: f64,
    /// When it was true.
    pub at: Timestamp,
}

/// The shortfall that microscale told last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// When it was seen.
    pub at: Timestamp,
    /// What was missing; empty when everything fits.
    pub missing: Vec<Shortfall>,
    /// Microscale only observes, and asks for none of these tasks: they count for those who only observe as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub would: bool,
}

impl Told {
    /// The item's key.
    #[must_use]
    pub fn key(fleet: &FleetName) -> Key {
        Key::turn(fleet, "shortfall")
    }
}

/// What an event said about a host that AWS's answers may not say yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeKind {
    /// EC2 takes the spot host in two minutes.
    Interruption,
    /// EC2 sees a higher risk, or AWS Health has a problem with it now.
    AtRisk,
    /// It shuts down, or is gone.
    Gone,
    /// AWS Health plans something: the time is when that begins.
    Planned,
    /// When the newest plan was told.
    PlanTold,
    /// AWS Health says that its problems and plans are over.
    Over,
}

/// Notices by host, each kind with the newest event's own time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Notices(pub BTreeMap<InstanceId, Entries<NoticeKind, Timestamp>>);

impl Notices {
    /// Notes one; an older one of the same kind gives way.
    pub fn add(&mut self, host: &InstanceId, kind: NoticeKind, at: Timestamp) {
        let known = self.0.entry(host.clone()).or_default().entry(kind).or_insert(at);
        *known = at.max(*known);
    }

    /// Notes that something is planned for a host; of several plans, the one that was told last counts.
    pub fn plan(&mut self, host: &InstanceId, begins: Timestamp, told: Timestamp) {
        let kinds = self.0.entry(host.clone()).or_default();
        if kinds.get(&NoticeKind::PlanTold).is_none_or(|known| *known < told) {
            kinds.insert(NoticeKind::PlanTold, told);
            kinds.insert(NoticeKind::Planned, begins);
        }
    }

    /// When something begins that is planned for a host, if it is not over.
    #[must_use]
    pub fn planned(&self, host: &InstanceId) -> Option<Timestamp> {
        let kinds = self.0.get(host)?;
        let (begins, told) = (kinds.get(&NoticeKind::Planned)?, kinds.get(&NoticeKind::PlanTold)?);
        kinds.get(&NoticeKind::Over).is_none_or(|over| over < told).then_some(*begins)
    }

    /// Notes all of `others`.
    pub fn merge(&mut self, others: &Self) {
        for (host, kinds) in &others.0 {
            self.0.entry(host.clone()).or_default().merge_later(kinds);
            for (kind, at) in kinds {
                match (kind, kinds.get(&NoticeKind::PlanTold)) {
                    (NoticeKind::Planned, Some(told)) => self.plan(host, *at, *told),
                    (NoticeKind::Planned | NoticeKind::PlanTold, _) => {}
                    (NoticeKind::Interruption | NoticeKind::AtRisk | NoticeKind::Gone | NoticeKind::Over, _) => {
                        self.add(host, *kind, *at);
                    }
                }
            }
        }
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The hosts that there is a notice about.
    pub fn hosts(&self) -> impl Iterator<Item = &InstanceId> {
        self.0.keys()
    }

    /// Drops those about hosts that are in none of `groups` and not `known` either: EC2 tells of every instance of the
    /// account.
    pub fn keep_ours(&mut self, groups: &[Group], known: impl Fn(&InstanceId) -> bool) {
        let members: BTreeSet<&InstanceId> =
            groups.iter().flat_map(|group| &group.members).map(|member| &member.id).collect();
        self.0.retain(|host, _| members.contains(host) || known(host));
    }

    /// When the newest notice of this kind about `host` was given, if it is no older than `most`.
    #[must_use]
    pub fn fresh(&self, host: &InstanceId, kind: NoticeKind, now: Timestamp, most: Duration) -> Option<Timestamp> {
        let kinds = self.0.get(host)?;
        let at = *kinds.get(&kind)?;
        let over = kind == NoticeKind::AtRisk && kinds.get(&NoticeKind::Over).is_some_and(|over| *over >= at);
        (!over && now.duration_since(at).unsigned_abs() <= most).then_some(at)
    }

    /// Drops those that are too old to say anything.
    pub fn forget(&mut self, now: Timestamp) {
        for kinds in self.0.values_mut() {
            // A plan lasts until it has begun, and what says that it is over lasts as long.
            let planned = kinds.get(&NoticeKind::Planned).is_some_and(|begins| *begins + NOTICES_LAST >= now);
            let of_plan = |kind| matches!(kind, NoticeKind::Planned | NoticeKind::PlanTold | NoticeKind::Over);
            kinds.retain(|kind, at| {
                (planned && of_plan(*kind)) || now.duration_since(*at).unsigned_abs() <= NOTICES_LAST
            });
        }
        self.0.retain(|_, kinds| !kinds.has_none());
    }
}

/// Notes demand that an application sent; the next turn of microscale reads it. Older values than the kept ones are
/// dropped, so that a late or doubled request changes nothing. Nothing is of later than `now`: a sender's clock that is
/// ahead must not outlive what is sent after it.
///
/// # Errors
/// [`TurnError`] when the ledger does not take it.
pub async fn push_demand<P: Ledger>(
    ports: &P,
    fleet: &FleetName,
    values: &BTreeMap<ServiceName, Pushed>,
    now: Timestamp,
) -> Result<(), TurnError> {
    change(ports, &pushed_key(fleet), |kept: &mut BTreeMap<ServiceName, Pushed>| {
        for (service, sent) in values {
            let value = Pushed { at: sent.at.min(now), ..*sent };
            let newest = kept.entry(service.clone()).or_insert(value);
            if newest.at < value.at || newest.at > now {
                *newest = value;
            }
        }
    })
    .await
}

/// Asks that no on-demand host be given back, or ends that; the next turn of backfill reads it.
///
/// # Errors
/// [`TurnError`] when the ledger does not take it.
pub async fn hold<P: Ledger>(ports: &P, fleet: &FleetName, held: bool) -> Result<(), TurnError> {
    change(ports, &held_key(fleet), |kept: &mut bool| *kept = held).await
}

/// Asks that pools be tried again at once that refused launches before `now`; the next turn of backfill reads it.
///
/// # Errors
/// [`TurnError`] when the ledger does not take it.
pub async fn try_again<P: Ledger>(ports: &P, fleet: &FleetName, now: Timestamp) -> Result<(), TurnError> {
    change(ports, &retried_key(fleet), |kept: &mut Timestamp| *kept = now.max(*kept)).await
}

/// Leaves an order for patchroll; its next turn follows it, once for each `id`.
///
/// # Errors
/// [`TurnError`] when the ledger does not take it.
pub async fn order<P: Ledger>(
    ports: &P,
    fleet: &FleetName,
    at: Timestamp,
    ask: &Ask,
    id: Option<&str>,
) -> Result<(), TurnError> {
    change(ports, &orders_key(fleet), |kept: &mut Orders| kept.add(at, ask.clone(), id)).await
}

/// Leaves notices for the turn that is under way, or the next.
pub(crate) async fn leave<P: Ledger>(
    ports: &P,
    fleet: &FleetName,
    news: &Notices,
    now: Timestamp,
) -> Result<(), TurnError> {
    change(ports, &notices_key(fleet), |kept: &mut Notices| {
        kept.forget(now);
        kept.merge(news);
    })
    .await
}

/// What is stored under `key`, if anything is.
///
/// # Errors
/// [`TurnError`] when the ledger does not answer, or its item is not understood.
pub async fn stored<P, T>(ports: &P, key: &Key) -> Result<Option<T>, TurnError>
where
    P: Ledger,
    T: serde::de::DeserializeOwned,
{
    let found = ports.get(std::slice::from_ref(key)).await?.pop().flatten();
    parse(key, found.as_ref())
}

/// Changes an item that several may change at once; `how` is tried again on what somebody else has written meanwhile.
///
/// # Errors
/// [`TurnError`] when the ledger does not take it.
pub async fn change<P, T>(ports: &P, key: &Key, mut how: impl FnMut(&mut T)) -> Result<(), TurnError>
where
    P: Ledger,
    T: Serialize + serde::de::DeserializeOwned + Default,
{
    loop {
        let found = ports.get(std::slice::from_ref(key)).await?.pop().flatten();
        let mut kept: T = parse(key, found.as_ref())?.unwrap_or_default();
        how(&mut kept);
        let write = Write::put(key.clone(), to_json(key, &kept)?, Expect::same(found.as_ref()));
        match ports.write(vec![write]).await {
            Err(LedgerError::Conflict) => {}
            done => return Ok(done?),
        }
    }
}

pub(crate) fn pushed_key(fleet: &FleetName) -> Key {
    Key::turn(fleet, "pushed-demand")
}

pub(crate) fn notices_key(fleet: &FleetName) -> Key {
    Key::turn(fleet, "notices")
}

pub(crate) fn held_key(fleet: &FleetName) -> Key {
    Key::turn(fleet, "held")
}

pub(crate) fn retried_key(fleet: &FleetName) -> Key {
    Key::turn(fleet, "pools-tried-again")
}

pub(crate) fn orders_key(fleet: &FleetName) -> Key {
    Key::turn(fleet, "roll-orders")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_comes_again_under_its_name_is_the_same() {
        let at = Timestamp::UNIX_EPOCH;
        let ask = |verb| Ask::Roll { verb, pool: None, by: None };
        let mut orders = Orders::default();
        orders.add(at, ask(RollVerb::Pause), Some("one"));
        orders.add(at, ask(RollVerb::Resume), Some("two"));
        orders.add(at, ask(RollVerb::Pause), Some("one"));
        assert_eq!(orders.list.len(), 2);
        // Others ask the same, or say nothing of who they are.
        orders.add(at, ask(RollVerb::Pause), Some("three"));
        orders.add(at, Ask::Look, None);
        orders.add(at, Ask::Look, None);
        assert_eq!(orders.list.iter().map(|order| order.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_doubled_or_late_notice_changes_nothing() {
        let host: InstanceId = "spot-1".parse().unwrap();
        let at: Timestamp = "2026-01-05T00:10:00Z".parse().unwrap();
        let mut notices = Notices::default();
        notices.add(&host, NoticeKind::Interruption, at);
        let once = notices.clone();
        notices.add(&host, NoticeKind::Interruption, at);
        notices.add(&host, NoticeKind::Interruption, at - Duration::from_secs(60));
        assert_eq!(notices, once);
        let (minute, later) = (Duration::from_secs(60), at + Duration::from_secs(61));
        assert_eq!(notices.fresh(&host, NoticeKind::Interruption, at, minute), Some(at));
        assert_eq!(notices.fresh(&host, NoticeKind::Interruption, later, minute), None);
    }

    #[test]
    fn a_plan_counts_until_it_is_over_whatever_comes_late_or_twice() {
        let host: InstanceId = "i-1".parse().unwrap();
        let day = Duration::from_hours(24);
        let told = Timestamp::UNIX_EPOCH + day;
        let begins = told + 14 * day;
        let mut notices = Notices::default();
        notices.plan(&host, begins, told);
        notices.forget(told + 10 * day);
        assert_eq!(notices.planned(&host), Some(begins));
        // It is put off, and then the first word of it comes once more.
        let mut later = Notices::default();
        later.plan(&host, begins + day, told + 2 * day);
        notices.merge(&later);
        notices.plan(&host, begins, told);
        assert_eq!(notices.planned(&host), Some(begins + day));
        let mut over = Notices::default();
        over.add(&host, NoticeKind::Over, told + 3 * day);
        notices.merge(&over);
        assert_eq!(notices.planned(&host), None);
        notices.merge(&later);
        notices.forget(told + 10 * day);
        assert_eq!(notices.planned(&host), None, "told before it was over");
        notices.plan(&host, begins, told + 4 * day);
        assert_eq!(notices.planned(&host), Some(begins), "planned anew");
        notices.forget(begins + day);
        assert!(notices.is_empty());
    }

    #[test]
    fn a_risk_that_is_over_is_none() {
        let host: InstanceId = "i-1".parse().unwrap();
        let (at, minute) = (Timestamp::UNIX_EPOCH, Duration::from_secs(60));
        let mut notices = Notices::default();
        notices.add(&host, NoticeKind::AtRisk, at);
        assert!(notices.fresh(&host, NoticeKind::AtRisk, at + minute, minute).is_some());
        notices.add(&host, NoticeKind::Over, at + minute);
        assert!(notices.fresh(&host, NoticeKind::AtRisk, at + minute, minute).is_none());
        notices.add(&host, NoticeKind::AtRisk, at + 2 * minute);
        assert!(notices.fresh(&host, NoticeKind::AtRisk, at + 2 * minute, minute).is_some());
    }
}
