//! The state of the world, and the queue of what happens next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use evenkeel_model::fleet::Fleet;
use evenkeel_model::{FunctionName, ImageId, InstanceId, Room, ServiceName};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::api::Apis;
use crate::audit::Audit;
use crate::clock::{MINUTE, Ms, SECOND, timestamp};
use crate::cloud::{Cloud, GroupNo};
use crate::cluster::{Cluster, HostNo, ServiceNo, SimService, TaskNo};
use crate::faults::Faults;
use crate::ledger::Table;
use crate::measure::Measure;
use crate::outages::Outages;
use crate::setup::Setup;
use crate::signals::Signals;
use crate::standing::Now;
use crate::trouble::Trouble;
use crate::turns::{Newest, TurnNo, Under};
use crate::watched::Watched;

/// A message to a function.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) to: FunctionName,
    pub(crate) bytes: Arc<[u8]>,
    /// What it is called, however often it comes.
    pub(crate) id: u64,
    /// So often it was tried before.
    pub(crate) tries: u32,
    /// How many messages of the function to itself have led to it, itself included.
    pub(crate) chain: u32,
}

/// What happens next.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A call of a turn is answered.
    Resume(TurnNo),
    /// A message reaches a function.
    Deliver(Message),
    /// The schedule's minute.
    Tick,
    /// ECS looks at a service.
    Reconcile(ServiceNo),
    /// A task's containers run.
    Runs(TaskNo),
    /// A task's containers have ended.
    Ended(TaskNo),
    /// The agent remembers a task that it forgot.
    Remember(TaskNo),
    /// A service's demand changes.
    Demand(ServiceNo),
    /// An application sends its demand.
    Push(ServiceNo),
    /// CloudWatch evaluates the alarms.
    Alarms,
    /// The hosts publish their load.
    Load,
    /// Something goes wrong, or comes back.
    Trouble(Trouble),
    /// A group looks whether it has what it should.
    GroupLooks(GroupNo),
    /// A warm pool has one more.
    WarmsUp(GroupNo),
    /// A group ends an instance of its warm pool that was said to be unhealthy.
    WarmEnds(GroupNo, InstanceId),
    /// The spot market gives more, or less.
    Market(GroupNo),
    /// An instance is in service for its group.
    InService(HostNo),
    /// A launch hook gives up on an instance.
    Abandoned(HostNo),
    /// An instance takes work.
    Works(HostNo),
    /// The market takes an instance whose notice is over.
    Taken(HostNo),
    /// EC2 ends an instance.
    Ends(HostNo),
    /// A group misses an instance.
    Missed(HostNo),
    /// A load balancer has checked an instance.
    Checked(HostNo),
    /// A group's patience with an unhealthy instance is over.
    Sick(HostNo),
    /// A builder's commands have ended.
    Built(usize),
    /// An image is made.
    Made(ImageId),
    /// A group goes on with its instance refresh.
    Refreshes(GroupNo),
    /// Fresh versions for all pools, and a roll onto them.
    Patch,
}

/// One random stream for each purpose, so that a change in one leaves the others as they were.
pub(crate) struct Streams {
    pub(crate) ecs: ChaCha8Rng,
    pub(crate) agent: ChaCha8Rng,
    api: ChaCha8Rng,
    pub(crate) faults: ChaCha8Rng,
    pub(crate) trouble: ChaCha8Rng,
    delivery: ChaCha8Rng,
    pub(crate) cloud: ChaCha8Rng,
    pub(crate) market: ChaCha8Rng,
    pub(crate) targets: ChaCha8Rng,
    pub(crate) bake: ChaCha8Rng,
    pub(crate) rolls: ChaCha8Rng,
    pub(crate) mishaps: ChaCha8Rng,
    roll_api: ChaCha8Rng,
    roll_faults: ChaCha8Rng,
    roll_delivery: ChaCha8Rng,
}

/// The streams of one function's calls and events.
pub(crate) struct Own<'a> {
    pub(crate) api: &'a mut ChaCha8Rng,
    pub(crate) faults: &'a mut ChaCha8Rng,
    pub(crate) delivery: &'a mut ChaCha8Rng,
}

impl Streams {
    fn new(seed: u64) -> Self {
        Self {
            ecs: stream(seed, 1),
            agent: stream(seed, 2),
            api: stream(seed, 3),
            faults: stream(seed, 4),
            trouble: stream(seed, 5),
            delivery: stream(seed, 6),
            cloud: stream(seed, 7),
            market: stream(seed, 8),
            targets: stream(seed, 9),
            bake: stream(seed, 10),
            roll_api: stream(seed, 11),
            roll_faults: stream(seed, 12),
            roll_delivery: stream(seed, 13),
            rolls: stream(seed, 14),
            mishaps: stream(seed, 15),
        }
    }

    /// Patchroll has streams of its own, so that what befalls the other two does not depend on it.
    pub(crate) const fn own(&mut self, function: FunctionName) -> Own<'_> {
        match function {
            FunctionName::Microscale | FunctionName::Backfill => {
                Own { api: &mut self.api, faults: &mut self.faults, delivery: &mut self.delivery }
            }
            FunctionName::Patchroll => {
                Own { api: &mut self.roll_api, faults: &mut self.roll_faults, delivery: &mut self.roll_delivery }
            }
        }
    }
}

/// The random stream of a seed for one purpose.
#[must_use]
pub(crate) fn stream(seed: u64, purpose: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(purpose);
    rng
}

/// Everything in the world but the turns that are under way.
pub(crate) struct Core {
    pub(crate) now: Ms,
    queue: BTreeMap<(Ms, u64), Event>,
    queued: u64,
    /// Messages so far.
    pub(crate) sent: u64,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) fleet_text: String,
    pub(crate) setup: Setup,
    pub(crate) cluster: Watched<Cluster>,
    pub(crate) cloud: Watched<Cloud>,
    pub(crate) signals: Watched<Signals>,
    pub(crate) table: Table,
    pub(crate) apis: Apis,
    pub(crate) faults: Faults,
    pub(crate) rng: Streams,
    pub(crate) measure: Measure,
    pub(crate) audit: Audit,
    /// Functions that do nothing, without anybody having switched them off: sabotage, for tests of the auditor.
    pub(crate) stalled: BTreeSet<FunctionName>,
    /// What AWS says is late: until when, and by how much.
    pub(crate) late: Option<(Ms, Ms)>,
    /// By how many milliseconds a function's clock is wrong.
    pub(crate) skew: BTreeMap<FunctionName, i64>,
    /// The functions that are deployed: those that had something to do at the beginning.
    deployed: Vec<FunctionName>,
    /// The turns under way.
    pub(crate) under: BTreeMap<TurnNo, Under>,
    /// What the newest reads were answered with.
    pub(crate) newest: Newest,
    pub(crate) outages: Outages,
}

impl Core {
    pub(crate) fn new(fleet: Fleet, setup: Setup, signals: Signals, faults: Faults, seed: u64) -> Self {
        let fleet = Arc::new(fleet);
        let mut core = Self {
            now: 0,
            queue: BTreeMap::new(),
            queued: 0,
            sent: 0,
            fleet_text: serde_json::to_string(fleet.as_ref()).unwrap_or_default(),
            cluster: Watched::default(),
            cloud: Watched::new(Cloud::new(&fleet, &setup)),
            table: Table::default(),
            apis: Apis::default(),
            rng: Streams::new(seed),
            measure: Measure::new(&fleet),
            audit: Audit::new(&fleet),
            stalled: BTreeSet::new(),
            late: None,
            skew: BTreeMap::new(),
            deployed: deployed(&fleet),
            under: BTreeMap::new(),
            newest: Newest::default(),
            outages: Outages::default(),
            fleet,
            setup,
            signals: Watched::new(signals),
            faults,
        };
        core.populate();
        core.begin();
        core
    }

    /// Hosts, services, daemons and the tasks that run at the start.
    fn populate(&mut self) {
        let fleet = Arc::clone(&self.fleet);
        for group in 0..self.cloud.groups.len() {
            for _ in 0..self.cloud.groups[group].desired {
                self.stands(group);
            }
        }
        for service in &fleet.services {
            let made =
                SimService::new(service.name.clone(), true, &self.setup.service(&service.name), service.min_tasks);
            self.cluster.services.push(made);
        }
        for number in 0..self.setup.unmanaged_tasks {
            let hosts: Vec<HostNo> = self.cluster.hosts.keys().copied().collect();
            let Some(&host) = hosts.get(number as usize % hosts.len().max(1)) else { break };
            let task = self.cluster.add_task(host, None, Room::from(evenkeel_model::Resources::new(128, 256)), 0);
            self.runs_already(task);
        }
        for service in 0..self.cluster.services.len() {
            let name = self.cluster.services[service].name.clone();
            let running = self.setup.service(&name).running.unwrap_or(self.cluster.services[service].desired);
            self.cluster.services[service].desired = running;
            let mut places = self.places_for(service);
            for _ in 0..running {
                let Some(host) = self.choose_host(service, &mut places) else { break };
                let takes = self.cluster.services[service].task.clone();
                let task = self.cluster.add_task(host, Some(service), takes, 0);
                self.runs_already(task);
            }
            self.cluster.services[service].desired = self.cluster.tasks.counts(service).live();
        }
    }

    pub(crate) fn runs_already(&mut self, task: TaskNo) {
        self.cluster.set_running(task, 0);
    }

    /// The first events of every kind.
    fn begin(&mut self) {
        // Ticks come at whole minutes; the first one soon, so that a short run shows something.
        self.at(SECOND, Event::Tick);
        self.at(MINUTE, Event::Alarms);
        if self.fleet.backfill.as_ref().is_some_and(|backfill| !backfill.alarms.is_empty()) {
            self.at(SECOND, Event::Load);
        }
        for service in 0..self.fleet.services.len() {
            self.at(0, Event::Demand(service));
            if self.signals.is_pushed(service) {
                self.at(2 * SECOND, Event::Push(service));
            }
        }
        if let Some(wait) = self.faults.next_trouble(&mut self.rng.trouble) {
            self.at(wait, Event::Trouble(Trouble::Next));
        }
        self.begin_roll_trouble();
        self.begin_mishaps();
    }

    /// Has `event` happen at `at`.
    pub(crate) fn at(&mut self, at: Ms, event: Event) {
        self.queued += 1;
        self.queue.insert((at.max(self.now), self.queued), event);
    }

    /// Has `event` happen after `wait`.
    pub(crate) fn after(&mut self, wait: Ms, event: Event) {
        self.at(self.now + wait, event);
    }

    /// When the next event happens.
    pub(crate) fn next_at(&self) -> Option<Ms> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Moves time to the next event and takes it.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let ((at, _), event) = self.queue.pop_first()?;
        self.pass(at);
        Some(event)
    }

    /// Lets time pass in which nothing happens.
    pub(crate) fn pass(&mut self, until: Ms) {
        if until > self.now {
            self.note_leases();
            self.audit_liveness(until);
            let Self { measure, cluster, cloud, signals, fleet, setup, .. } = self;
            let now = Now { cluster, cloud, signals, fleet, spot_per_mille: setup.spot.price_per_mille };
            measure.pass(until - self.now, &now);
            self.now = until;
        }
    }

    /// The daemon's task on a host that has joined.
    pub(crate) fn start_daemon(&mut self, host: HostNo) {
        let daemon = self.setup.daemon;
        if daemon != evenkeel_model::Resources::default() {
            let task = self.cluster.add_task(host, None, Room::from(daemon), self.now);
            self.cluster.set_daemon(task);
            self.runs_already(task);
        }
    }

    /// The functions that work on this fleet, whatever its file says now.
    pub(crate) fn functions(&self) -> Vec<FunctionName> {
        self.deployed.clone()
    }

    /// Whether a message to this function leads to nothing.
    pub(crate) fn does_not_run(&self, function: FunctionName) -> bool {
        self.stalled.contains(&function) || self.audit.liveness.is_off(function)
    }

    /// The service of the fleet file with this name.
    pub(crate) fn service_no(&self, name: &ServiceName) -> Option<ServiceNo> {
        self.cluster.services.iter().position(|service| service.name == *name)
    }

    /// True with the given chance.
    pub(crate) fn chance(rng: &mut ChaCha8Rng, rate: f64) -> bool {
        rate > 0.0 && rng.random_bool(rate.min(1.0))
    }

    /// The world's time as AWS would write it.
    pub(crate) fn stamp(&self) -> String {
        format!("{:.3}", timestamp(self.now))
    }
}

/// The functions that a fleet like this is deployed with.
fn deployed(fleet: &Fleet) -> Vec<FunctionName> {
    let counts = fleet.cluster.is_some().then_some(FunctionName::Microscale);
    let hosts = fleet.backfill.is_some().then_some(FunctionName::Backfill);
    let rolls = fleet.patch.is_some().then_some(FunctionName::Patchroll);
    counts.into_iter().chain(hosts).chain(rolls).collect()
}
