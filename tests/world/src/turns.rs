//! Turns under way: the ports they call through, and when they are answered, or killed.
//!
//! Every call of a turn takes virtual time, so that other turns and the world itself go on in between, and a turn can be
//! killed between any two calls.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use evenkeel_model::decision::HostStep;
use evenkeel_model::fleet::MetricSource;
use evenkeel_model::groups::{Group, Refusal, SpotRequest};
use evenkeel_model::observed::{EcsService, Host, HostStatus, Signal, Task};
use evenkeel_model::{
    AlarmName, ClusterName, FleetName, FunctionName, GroupName, InstanceId, QueueName, ServiceName, Timestamp,
};
use evenkeel_turn::ledger::{Item, Key, LedgerError, Write};
use evenkeel_turn::ports::{
    Answer, Beats, ChangeEcs, ChangeGroups, ChangeHosts, Clock, FleetFiles, Ledger, PortError, ReadEcs, ReadGroups,
    ReadSignals,
};

use crate::api::Api;
use crate::audit::Seen;
use crate::clock::{Ms, since_begin, timestamp};
use crate::core::{Core, Event};
use crate::faults::CallFault;
use crate::setup::millis;

/// A turn's number, from 1.
pub(crate) type TurnNo = u64;

/// What the world knows of a turn under way.
#[derive(Debug, Default)]
pub(crate) struct Under {
    /// Calls so far.
    pub(crate) calls: u32,
    /// At which call it is killed.
    pub(crate) kill_at: Option<u32>,
    /// It is dead: nothing of it happens any more.
    pub(crate) killed: bool,
    /// Calls that were not answered well.
    pub(crate) failed_calls: u32,
    /// Calls that were answered one after the other.
    pub(crate) answered: u32,
    /// The same before the call that takes effect now was made.
    pub(crate) before: u32,
    /// An event about a host woke it, so it is measured how many calls come before the answer to it.
    pub(crate) timed: bool,
    /// What it was told, and what it did, in this round.
    pub(crate) seen: Seen,
    /// The rounds before.
    pub(crate) earlier: Vec<Seen>,
}

impl Under {
    /// Notes how many calls came one after the other before this one.
    fn notes_depth(&self, counts: bool, most: &mut u32) {
        if counts && self.timed {
            *most = (*most).max(self.before);
        }
    }

    /// What it is told now: a new round begins when it looks again after it has acted.
    fn told(&mut self) -> &mut Seen {
        if !self.seen.sets.is_empty() {
            self.earlier.push(std::mem::take(&mut self.seen));
        }
        &mut self.seen
    }
}

/// The newest answers, which a stale read repeats.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    hosts: Option<Vec<Host>>,
    tasks: Option<Vec<Task>>,
    services: Option<Vec<EcsService>>,
    groups: Option<Vec<Group>>,
}

/// A turn's window on the world.
#[derive(Clone)]
pub(crate) struct Ports {
    core: Arc<Mutex<Core>>,
    turn: TurnNo,
    function: FunctionName,
}

impl Ports {
    pub(crate) const fn new(core: Arc<Mutex<Core>>, turn: TurnNo, function: FunctionName) -> Self {
        Self { core, turn, function }
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Comes back at `at`.
    async fn until(&self, at: Ms) {
        std::future::poll_fn(|_| if self.lock().now >= at { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Makes a call: half of its latency passes before its effect, half after it.
    async fn call<T: Send>(
        &self,
        api: Api,
        effect: impl FnOnce(&mut Core, &mut Under, Fresh) -> Answer<T> + Send,
    ) -> Answer<T> {
        let Begun { effect_at, answer_at, fault, depth } = self.lock().begin_call(self.turn, api);
        self.until(effect_at).await;
        let fresh = if fault == CallFault::Stale { Fresh::No } else { Fresh::Yes };
        let answer = match fault {
            CallFault::Throttled => Err(PortError::Throttled),
            CallFault::Failed => Err(PortError::Unavailable("internal error".to_owned())),
            CallFault::None | CallFault::AnswerLost | CallFault::Stale => {
                self.lock().take_effect(self.turn, |core, under| {
                    under.before = depth - 1;
                    effect(core, under, fresh)
                })
            }
        };
        self.until(answer_at).await;
        let answer = match fault {
            CallFault::AnswerLost => Err(PortError::Unavailable("connection reset".to_owned())),
            CallFault::None | CallFault::Throttled | CallFault::Failed | CallFault::Stale => answer,
        };
        {
            let mut core = self.lock();
            let under = core.under.entry(self.turn).or_default();
            under.answered = under.answered.max(depth);
            under.failed_calls += u32::from(answer.is_err());
        }
        answer
    }
}

/// Whether a read gives what is true now, or what the turn before was told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fresh {
    Yes,
    No,
}

impl Fresh {
    /// The newest answer again, or a fresh one, which becomes the newest.
    fn read<T: Clone>(self, newest: &mut Option<T>, fresh: impl FnOnce() -> T) -> T {
        let old = newest.take().filter(|_| self == Self::No);
        newest.insert(old.unwrap_or_else(fresh)).clone()
    }
}

struct Begun {
    effect_at: Ms,
    answer_at: Ms,
    fault: CallFault,
    /// It is this call in a row, counting calls that are made together once.
    depth: u32,
}

impl Core {
    fn begin_call(&mut self, turn: TurnNo, api: Api) -> Begun {
        let (latency, enough) = self.apis.take(api, self.now, &mut self.rng.api);
        let drawn = self.faults.of_call(&mut self.rng.faults, api.changes());
        let fault = if enough { drawn } else { CallFault::Throttled };
        let (effect_at, answer_at) = (self.now + latency / 2, self.now + latency);
        self.at(effect_at, Event::Resume(turn));
        self.at(answer_at, Event::Resume(turn));
        let under = self.under.entry(turn).or_default();
        under.calls += 1;
        under.killed |= under.kill_at.is_some_and(|call| under.calls >= call);
        Begun { effect_at, answer_at, fault, depth: under.answered + 1 }
    }

    fn take_effect<T>(&mut self, turn: TurnNo, effect: impl FnOnce(&mut Self, &mut Under) -> Answer<T>) -> Answer<T> {
        let mut under = self.under.remove(&turn).unwrap_or_default();
        let answer = effect(self, &mut under);
        self.under.insert(turn, under);
        answer
    }
}

impl Clock for Ports {
    fn now(&self) -> Timestamp {
        timestamp(self.lock().now)
    }

    async fn sleep(&self, pause: Duration) {
        let at = {
            let mut core = self.lock();
            let at = core.now + millis(pause);
            core.at(at, Event::Resume(self.turn));
            at
        };
        self.until(at).await;
    }
}

impl ReadEcs for Ports {
    async fn hosts(&self, _: &ClusterName) -> Answer<Vec<Host>> {
        self.call(Api::DescribeContainerInstances, |core, under, fresh| {
            let hosts = fresh.read(&mut core.newest.hosts, || core.cluster.describe_hosts());
            under.told().hosts.clone_from(&hosts);
            Ok(hosts)
        })
        .await
    }

    async fn tasks(&self, _: &ClusterName) -> Answer<Vec<Task>> {
        self.call(Api::DescribeTasks, |core, under, fresh| {
            let tasks = fresh.read(&mut core.newest.tasks, || core.cluster.describe_tasks(timestamp));
            under.told().tasks.clone_from(&tasks);
            Ok(tasks)
        })
        .await
    }

    async fn services(&self, _: &ClusterName, names: &[ServiceName]) -> Answer<Vec<EcsService>> {
        self.call(Api::DescribeServices, |core, under, fresh| {
            let services = fresh.read(&mut core.newest.services, || core.cluster.describe_services(names, timestamp));
            under.told().services.clone_from(&services);
            Ok(services)
        })
        .await
    }
}

impl ChangeEcs for Ports {
    async fn set_desired_count(&self, _: &ClusterName, service: &ServiceName, count: u32) -> Answer<()> {
        self.call(Api::UpdateService, |core, under, _| {
            let Some(number) = core.service_no(service) else {
                return Err(PortError::NotFound(format!("service {service}")));
            };
            core.audit.effect(self.turn, service, count, core.now);
            under.seen.sets.push((service.clone(), count));
            core.set_desired(number, count);
            Ok(())
        })
        .await
    }
}

impl ChangeHosts for Ports {
    async fn set_status(&self, _: &ClusterName, hosts: &[InstanceId], status: HostStatus) -> Answer<()> {
        self.call(Api::UpdateContainerInstancesState, |core, under, _| {
            let step = HostStep::SetStatus { hosts: hosts.to_vec(), status };
            under.notes_depth(status == HostStatus::Draining, &mut core.measure.depths.drain);
            core.host_effect(self.turn, &step);
            core.set_host_status(hosts, status)
        })
        .await
    }

    async fn mark_old(&self, _: &ClusterName, hosts: &[InstanceId], old: bool) -> Answer<()> {
        self.call(Api::PutAttributes, |core, _, _| {
            core.host_effect(self.turn, &HostStep::Mark { hosts: hosts.to_vec(), old });
            core.mark_old(hosts, old)
        })
        .await
    }
}

impl ReadGroups for Ports {
    async fn groups(&self, names: &[GroupName]) -> Answer<Vec<Group>> {
        self.call(Api::DescribeAutoScalingGroups, |core, _, fresh| {
            Ok(fresh.read(&mut core.newest.groups, || core.cloud.describe(names)))
        })
        .await
    }

    async fn refusals(&self, group: &GroupName) -> Answer<Vec<Refusal>> {
        self.call(Api::DescribeScalingActivities, |core, _, _| {
            Ok(core.cloud.describe_refusals(group, core.now, timestamp))
        })
        .await
    }

    async fn refreshes(&self, names: &[GroupName]) -> Answer<Vec<GroupName>> {
        self.call(Api::DescribeInstanceRefreshes, |core, _, _| Ok(core.cloud.refreshes(names))).await
    }

    async fn spot_requests(&self, instances: &[InstanceId]) -> Answer<Vec<SpotRequest>> {
        self.call(Api::DescribeSpotRequests, |core, _, _| Ok(core.cloud.describe_requests(instances, timestamp))).await
    }
}

impl ChangeGroups for Ports {
    async fn set_capacity(&self, group: &GroupName, hosts: u32) -> Answer<()> {
        self.call(Api::SetDesiredCapacity, |core, under, _| {
            let raises = core.cloud.group_no(group).is_some_and(|number| core.cloud.groups[number].desired < hosts);
            under.notes_depth(raises, &mut core.measure.depths.launch);
            core.capacity_effect(self.turn, group, hosts);
            core.set_capacity(group, hosts)
        })
        .await
    }

    async fn terminate(&self, host: &InstanceId, shrink: bool) -> Answer<()> {
        self.call(Api::TerminateInstance, |core, _, _| {
            core.terminate_effect(self.turn, host, shrink);
            core.terminate(host, shrink)
        })
        .await
    }
}

impl ReadSignals for Ports {
    async fn metrics(&self, sources: &[MetricSource]) -> Answer<Vec<Signal>> {
        self.call(Api::GetMetricData, |core, under, _| {
            let signals: Vec<Signal> = sources.iter().map(|source| core.metric(source)).collect();
            under.told().signals.extend(sources.iter().cloned().zip(signals.iter().cloned()));
            Ok(signals)
        })
        .await
    }

    async fn backlogs(&self, queues: &[QueueName]) -> Answer<Vec<Signal>> {
        self.call(Api::GetQueueAttributes, |core, _, _| Ok(queues.iter().map(|queue| core.backlog(queue)).collect()))
            .await
    }

    async fn alarms(&self, alarms: &[AlarmName]) -> Answer<Vec<Signal>> {
        self.call(Api::DescribeAlarms, |core, _, _| Ok(alarms.iter().map(|alarm| core.alarm(alarm)).collect())).await
    }
}

impl Beats for Ports {
    async fn wake_after(&self, fleet: &FleetName, delays: &[Duration]) -> Answer<()> {
        self.call(Api::SendMessageBatch, |core, _, _| {
            for delay in delays {
                core.send_beat(self.function, fleet, millis(*delay));
            }
            Ok(())
        })
        .await
    }
}

impl FleetFiles for Ports {
    async fn text(&self, _: &FleetName) -> Answer<String> {
        self.call(Api::GetParameter, |core, _, _| Ok(core.fleet_text.clone())).await
    }
}

impl Ledger for Ports {
    async fn get(&self, keys: &[Key]) -> Answer<Vec<Option<Item>>> {
        self.call(Api::BatchGetItem, |core, _, _| Ok(core.table.get(keys))).await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<(), LedgerError> {
        // A conflict is an answer, not a failure of the call.
        let taken = self.call(Api::TransactWriteItems, |core, _, _| {
            let expires = |write: &Write| write.expires.map(since_begin);
            let taken = core.table.write(&writes, expires);
            if taken.is_ok() {
                core.audit.recorded(self.turn, &writes);
            }
            Ok(taken)
        });
        taken.await?
    }
}
