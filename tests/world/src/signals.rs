//! What demand there is, and what CloudWatch, SQS and the alarms say about it: late, by periods, and with holes.

mod alarms;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use evenkeel_model::fleet::{Demand, Fleet, MetricSource, Missing, Service, Statistic};
use evenkeel_model::observed::{Observed, Signal};
use evenkeel_model::{AlarmName, QueueName, Timestamp};

use crate::clock::{MINUTE, Ms, SECOND, seconds, timestamp};
use crate::cluster::ServiceNo;
use crate::core::{Core, Event};
use crate::demand::{Series, Walk, per_task};
use crate::setup::millis;

/// The generator's level changes this often.
const WALK_STEP: Ms = 10 * SECOND;
/// An application that pushes its demand does so this often, and at once when it changes.
const PUSH: Ms = 30 * SECOND;
/// An alarm fires when the load is above this part of what the running tasks can serve.
const ALARM_ABOVE: f64 = 0.9;
/// The load is published so often.
const PUBLISHED: Ms = 10 * SECOND;
/// An alarm on CPU fires above this part of the capacity in service.
const CPU_ABOVE: f64 = 0.8;
/// One on latency, above this.
const LATENCY_ABOVE: f64 = 0.9;
/// Values are kept for the longest period that is asked for, and some more.
const KEPT: Ms = 20 * MINUTE;

/// Where a service's true demand comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file's series.
    Series(Series),
    /// The random generator.
    Walk(Box<Walk>),
    /// Always the same.
    Level(f64),
}

/// The demand of all services.
pub(crate) struct Signals {
    services: Vec<Load>,
    /// The fleet's alarms, on load over capacity: whether each is in ALARM, and since when.
    fleet: BTreeMap<AlarmName, (bool, Ms)>,
    /// Those without data: INSUFFICIENT_DATA, and no level.
    silent: BTreeSet<AlarmName>,
    /// Alarms that somebody has deleted.
    deleted: BTreeSet<AlarmName>,
    /// Services whose metric has no points.
    stopped: BTreeSet<ServiceNo>,
    /// Alarms that halt rolls and nothing else: whether each is in ALARM, and since when.
    pub(crate) halts: BTreeMap<AlarmName, (bool, Ms)>,
    /// The load as a part of the capacity in service, looked at every few seconds, since the last period but one began.
    busy: VecDeque<(Ms, f64)>,
    /// The load in capacity units, where somebody set it; otherwise what the services' demand needs.
    pub(crate) load: Option<f64>,
}

/// One service's demand.
struct Load {
    source: Option<Source>,
    /// Tasks for one unit of demand.
    per_task: f64,
    /// The values of the last while: each holds from its time on.
    values: VecDeque<(Ms, Option<f64>)>,
    /// A queue's messages, those in flight included, and when they were counted.
    backlog: (f64, Ms),
    /// The newest period's value that could be read, and its end.
    point: Option<(f64, Ms)>,
    /// Whether the service's alarm is in ALARM, and since when.
    alarm: (bool, Ms),
}

impl Signals {
    /// The sources of the fleet file's services, in its order.
    pub(crate) fn new(fleet: &Fleet, mut source: impl FnMut(&Service) -> Option<Source>) -> Self {
        let load = |service: &Service| Load {
            source: source(service),
            per_task: per_task(service),
            values: VecDeque::new(),
            backlog: (0.0, 0),
            point: None,
            alarm: (false, 0),
        };
        let alarms = || fleet.backfill.iter().flat_map(|backfill| &backfill.alarms);
        let halts = fleet.patch.iter().flat_map(|patch| &patch.halt_alarms);
        let halts = halts.filter(|alarm| alarms().all(|other| other != *alarm));
        Self {
            services: fleet.services.iter().map(load).collect(),
            fleet: alarms().map(|alarm| (alarm.clone(), (false, 0))).collect(),
            silent: BTreeSet::new(),
            deleted: BTreeSet::new(),
            stopped: BTreeSet::new(),
            halts: halts.map(|alarm| (alarm.clone(), (false, 0))).collect(),
            busy: VecDeque::new(),
            load: None,
        }
    }

    /// The true demand now; none where the file has a hole, or there is no demand.
    pub(crate) fn demand(&self, service: ServiceNo) -> Option<f64> {
        self.services.get(service)?.values.back()?.1
    }

    /// Whether any of the fleet's alarms is in ALARM.
    pub(crate) fn any_fleet_alarm(&self) -> bool {
        self.fleet.values().any(|(firing, _)| *firing)
    }

    /// Whether this alarm of the fleet is in ALARM.
    pub(crate) fn fires(&self, alarm: &AlarmName) -> bool {
        self.fleet.get(alarm).is_some_and(|(firing, _)| *firing)
    }

    /// Whether anybody can tell an alarm's state.
    pub(crate) fn is_known(&self, alarm: &AlarmName) -> bool {
        !self.deleted.contains(alarm) && !self.silent.contains(alarm)
    }

    /// An alarm is deleted, or made again. Nothing tells of it.
    pub(crate) fn delete(&mut self, alarm: &AlarmName, deleted: bool) {
        if deleted {
            self.deleted.insert(alarm.clone())
        } else {
            self.deleted.remove(alarm)
        };
    }

    /// One of all alarms.
    pub(crate) fn any_alarm(&self, number: usize) -> Option<AlarmName> {
        let all: Vec<&AlarmName> = self.fleet.keys().chain(self.halts.keys()).collect();
        all.get(number % all.len().max(1)).copied().cloned()
    }

    /// A service's metric has no points from now on, or has them again.
    pub(crate) fn stop(&mut self, service: ServiceNo, stops: bool) {
        if stops {
            self.stopped.insert(service)
        } else {
            self.stopped.remove(&service)
        };
    }

    /// The tasks that a service needs as far as anybody can know.
    pub(crate) fn known_needs(&self, service: ServiceNo) -> Option<u32> {
        self.needs(service).filter(|_| !self.stopped.contains(&service))
    }

    /// The tasks that the true demand needs, before limits.
    pub(crate) fn needs(&self, service: ServiceNo) -> Option<u32> {
        let load = self.services.get(service)?;
        self.demand(service).map(|demand| ceil(demand / load.per_task))
    }

    /// Whether the application sends this service's demand.
    pub(crate) fn is_pushed(&self, service: ServiceNo) -> bool {
        self.services.get(service).is_some_and(|load| load.source.is_some())
    }

    /// The generator of a service, if it has one.
    pub(crate) fn walk(&mut self, service: ServiceNo) -> Option<&mut Walk> {
        match self.services.get_mut(service)?.source.as_mut()? {
            Source::Walk(walk) => Some(walk),
            Source::Series(_) | Source::Level(_) => None,
        }
    }
}

/// Above which part of the capacity in service an alarm fires.
fn threshold(alarm: &AlarmName) -> f64 {
    if alarm.as_str().contains("latency") { LATENCY_ABOVE } else { CPU_ABOVE }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast stops at the type's limits")]
fn ceil(tasks: f64) -> u32 {
    (tasks - 1e-6).ceil().max(0.0) as u32
}

impl Core {
    /// The demand takes its next value.
    pub(crate) fn demand_changes(&mut self, service: ServiceNo) {
        let now = self.now;
        self.count_backlog(service);
        let Some(load) = self.signals.services.get_mut(service) else { return };
        let (value, next) = match &mut load.source {
            None => return,
            Some(Source::Walk(walk)) => (Some(walk.next_value()), Some(now + WALK_STEP)),
            Some(Source::Level(level)) => (Some(*level), None),
            Some(Source::Series(series)) => {
                let at = Duration::from_millis(now);
                (series.at(at), series.next_change_after(at).map(millis))
            }
        };
        let changed = load.values.back().is_none_or(|(_, old)| *old != value);
        load.values.push_back((now, value));
        while load.values.len() > 2 && load.values[1].0 + KEPT < now {
            load.values.pop_front();
        }
        if let Some(next) = next {
            self.at(next.max(now + 1), Event::Demand(service));
        }
        if changed {
            self.demand_changed(service);
        }
    }

    fn demand_changed(&mut self, service: ServiceNo) {
        let needs = self.signals.needs(service).unwrap_or(0);
        let file = &self.fleet.services[service];
        let wanted = needs.max(file.min_tasks).min(file.ceiling());
        let most = self.most_that_fit(service);
        self.measure.wants(service, wanted, most, self.now, &self.cluster);
        if matches!(file.demand, Some(Demand::Manual(_)))
            && !self.signals.stopped.contains(&service)
            && let Some(value) = self.signals.demand(service)
        {
            self.send_demand(service, value);
        }
    }

    /// The most tasks of a service that could ever run on the hosts there are: beside what is nobody's and what comes
    /// before it, with all lower tiers at their minimum.
    fn most_that_fit(&self, service: ServiceNo) -> u32 {
        let wanted = &self.cluster.services[service];
        let file = &self.fleet.services[service];
        let stays = |task: &crate::cluster::SimTask| match task.service {
            None => true,
            Some(other) => {
                let other = &self.fleet.services[other];
                other.priority <= file.priority && other.name != file.name
            }
        };
        let on_host = |host: &crate::cluster::SimHost| {
            let tasks = host.tasks.iter().filter_map(|task| self.cluster.tasks.get(task));
            let free = tasks
                .filter(|task| stays(task))
                .fold(host.seen.registered, |room, task| room.minus(task.takes.resources));
            let fits = free.times(wanted.task.resources);
            if wanted.task.ports.is_empty() { fits } else { fits.min(1) }
        };
        let hosts = self.cluster.hosts.values().filter(|host| host.seen.takes_tasks());
        let kept: u32 = self
            .fleet
            .services
            .iter()
            .filter(|other| other.priority > file.priority)
            .map(|other| other.min_tasks)
            .sum();
        hosts.map(on_host).sum::<u32>().saturating_sub(kept)
    }

    /// The application sends its demand.
    pub(crate) fn push(&mut self, service: ServiceNo) {
        if !matches!(self.fleet.services[service].demand, Some(Demand::Manual(_))) {
            return;
        }
        let value = self.signals.demand(service).filter(|_| !self.signals.stopped.contains(&service));
        if let Some(value) = value {
            self.send_demand(service, value);
        }
        self.after(PUSH, Event::Push(service));
    }

    /// GetMetricData: the newest complete period whose data has arrived.
    pub(crate) fn metric(&mut self, source: &MetricSource) -> Signal {
        let delay = self.setup.ecs.metric_delay_seconds * SECOND;
        let period = millis(source.period).max(SECOND);
        let end = self.now.saturating_sub(delay) / period * period;
        let asks = |demand: &Option<Demand>| match demand {
            Some(Demand::Metric(demand)) => demand.source == *source,
            Some(Demand::Tracking(demand)) => demand.source == *source,
            Some(Demand::Queue(_) | Demand::Manual(_) | Demand::Steps(_)) | None => false,
        };
        let fleet = std::sync::Arc::clone(&self.fleet);
        let Some(service) = fleet.services.iter().position(|service| asks(&service.demand)) else {
            return Signal::Unknown(format!("there is no metric {}", source.metric));
        };
        let target = match &fleet.services[service].demand {
            Some(Demand::Tracking(tracking)) => Some(tracking.source.shown(tracking.target)),
            _ => None,
        };
        let running = self.running(service);
        let stopped = self.signals.stopped.contains(&service);
        let load = &mut self.signals.services[service];
        let value = load.over(end.saturating_sub(period), end, source.statistic);
        let value = match (value, target) {
            (Some(value), None) => Some(value),
            // The load that the running tasks share, as a utilisation.
            (Some(value), Some(target)) => (running > 0).then(|| target * value / f64::from(running)),
            (None, _) => None,
        };
        if let Some(value) = value.filter(|_| !stopped) {
            load.point = Some((value, end));
        }
        match load.point {
            Some((value, end)) => Signal::Value { value, at: timestamp(end) },
            None if source.missing == Missing::Zero => Signal::Value { value: 0.0, at: timestamp(self.now) },
            None => Signal::Unknown("the metric has no data point yet".to_owned()),
        }
    }

    /// What a value means: where the file takes no data for none, a value without a next one in its time is one that has
    /// ended.
    pub(crate) fn meant(&self, source: &MetricSource, signal: &Signal) -> Signal {
        let ended = |at: Timestamp| source.missing == Missing::Zero && at + source.period * 3 < timestamp(self.now);
        match signal {
            Signal::Value { value: _, at } if ended(*at) => Signal::Value { value: 0.0, at: *at },
            Signal::Value { .. } | Signal::Backlog { .. } | Signal::Alarm { .. } | Signal::Unknown(_) => signal.clone(),
        }
    }

    fn running(&self, service: ServiceNo) -> u32 {
        self.cluster.tasks.counts(service).running
    }

    /// GetQueueAttributes.
    pub(crate) fn backlog(&mut self, queue: &QueueName) -> Signal {
        let asks = |demand: &Option<Demand>| matches!(demand, Some(Demand::Queue(demand)) if demand.queue == *queue);
        let Some(service) = self.fleet.services.iter().position(|service| asks(&service.demand)) else {
            return Signal::Unknown(format!("there is no queue {queue}"));
        };
        self.count_backlog(service);
        let messages = self.signals.services[service].backlog.0.round();
        let at_once = match &self.fleet.services[service].demand {
            Some(Demand::Queue(demand)) => demand.at_once,
            _ => 1,
        };
        let in_flight = messages.min(f64::from(self.running(service) * at_once));
        Signal::Backlog { waiting: messages - in_flight, in_flight, at: timestamp(self.now) }
    }

    /// Lets arrivals come and running tasks work since the backlog was counted last.
    pub(crate) fn count_backlog(&mut self, service: ServiceNo) {
        let running = f64::from(self.running(service));
        let now = self.now;
        let Some(load) = self.signals.services.get_mut(service) else { return };
        let arrivals = load.values.back().and_then(|(_, value)| *value).unwrap_or(0.0);
        let (waiting, since) = load.backlog;
        let change = (arrivals - running * load.per_task) * seconds(now - since);
        load.backlog = ((waiting + change).max(0.0), now);
    }
}

impl Core {
    /// What a turn that read everything at once would see now.
    pub(crate) fn observe(&mut self) -> Observed {
        let fleet = std::sync::Arc::clone(&self.fleet);
        let names: Vec<_> = fleet.services.iter().map(|service| service.name.clone()).collect();
        let mut demand = BTreeMap::new();
        for service in &fleet.services {
            let signal = match &service.demand {
                Some(Demand::Metric(asked)) => self.metric(&asked.source),
                Some(Demand::Tracking(asked)) => self.metric(&asked.source),
                Some(Demand::Queue(asked)) => self.backlog(&asked.queue),
                Some(Demand::Steps(asked)) => self.alarm(&asked.alarm),
                Some(Demand::Manual(_)) | None => continue,
            };
            demand.insert(service.name.clone(), signal);
        }
        Observed {
            at: timestamp(self.now),
            hosts: self.cluster.describe_hosts(),
            tasks: self.cluster.describe_tasks(timestamp),
            services: self.cluster.describe_services(&names, |provider| self.cloud.behind(provider), timestamp),
            demand,
        }
    }
}

impl Load {
    /// A statistic of the known values between two moments; a sum counts the value once for the period, as a publisher
    /// does that puts one data point for each.
    fn over(&self, from: Ms, to: Ms, statistic: Statistic) -> Option<f64> {
        let mut known = 0.0;
        let mut weighted = 0.0;
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for (index, (begin, value)) in self.values.iter().enumerate() {
            let end = self.values.get(index + 1).map_or(Ms::MAX, |(next, _)| *next);
            let span = end.min(to).saturating_sub((*begin).max(from));
            let (Some(value), true) = (value, span > 0) else { continue };
            known += seconds(span);
            weighted += value * seconds(span);
            least = least.min(*value);
            most = most.max(*value);
        }
        (known > 0.0).then(|| match statistic {
            Statistic::Average | Statistic::Sum => weighted / known,
            Statistic::Maximum => most,
            Statistic::Minimum => least,
            Statistic::SampleCount => 1.0,
        })
    }
}
