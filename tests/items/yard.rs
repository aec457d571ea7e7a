//! A cloud that stands still, as large as one likes, and a ledger that keeps what DynamoDB would.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, ready};
use std::sync::Mutex;
use std::time::Duration;

use evenkeel_model::fleet::MetricSource;
use evenkeel_model::groups::{Group, Member, MemberState, Refusal, SpotCode, SpotRequest, WarmMember};
use evenkeel_model::observed::{
    EcsService, Host, HostStatus, Leaving, Level, Mark, Placement, Signal, Task, TaskPhase,
};
use evenkeel_model::resources::Port;
use evenkeel_model::templates::{
    Builder, Health, Image, Instance, Launch, Resolved, Target, Template, TemplateUse, TemplateVersion, VersionSpec,
};
use evenkeel_model::{
    AlarmName, ClusterName, FleetName, GroupName, ImageId, InstanceId, QueueName, Resources, RollId, Room, ServiceName,
    TargetGroup, TaskId, TemplateId, Timestamp,
};
use evenkeel_turn::ledger::{Body, Expect, Item, Key, LedgerError, Write, check};
use evenkeel_turn::ports::{
    Answer, Beats, ChangeEcs, ChangeGroups, ChangeHosts, ChangeImages, ChangeTemplates, Clock, FleetFiles, Ledger,
    Meant, PortError, ReadEcs, ReadGroups, ReadImages, ReadSignals, ReadTargets, ReadTemplates, TaskNow, TasksOf,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Services of the fleet; the last tenth takes what is left.
pub(crate) const SERVICES: usize = 20;
/// The pools: a name, and its part of ten.
pub(crate) const POOLS: [(&str, &str, usize); 3] =
    [("base", "reserved", 5), ("spot", "spot", 3), ("burst", "on-demand", 2)];

/// The world, and the table.
pub(crate) struct Yard {
    text: String,
    pub(crate) now: Mutex<Timestamp>,
    hosts: Vec<Host>,
    tasks: BTreeMap<TaskId, Task>,
    services: Vec<EcsService>,
    pub(crate) groups: Vec<Group>,
    /// Services want so much more than runs, in per cent.
    pub(crate) rise: Mutex<u32>,
    /// Spot requests that end.
    pub(crate) marked: BTreeSet<InstanceId>,
    table: Mutex<BTreeMap<Key, (u64, Kept)>>,
    /// The largest that an item of each kind ever was, as it is stored.
    pub(crate) largest: Mutex<BTreeMap<String, usize>>,
}

/// As DynamoDB has it.
enum Kept {
    Text(String),
    Deflated(Vec<u8>),
}

/// Any id of AWS's, as chance has it.
pub(crate) fn hex(rng: &mut ChaCha8Rng, begins: &str, digits: usize) -> String {
    let digit = |rng: &mut ChaCha8Rng| char::from(b"0123456789abcdef"[rng.random_range(0..16)]);
    begins.chars().chain((0..digits).map(|_| digit(rng))).collect()
}

/// A moment up to so many seconds ago, to the microsecond.
pub(crate) fn ago(rng: &mut ChaCha8Rng, now: Timestamp, seconds: u64) -> Timestamp {
    now - Duration::from_micros(rng.random_range(0..seconds * 1_000_000))
}

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn service_name(number: usize) -> ServiceName {
    id(&format!("storefront-worker-{number:02}"))
}

const fn is_fill(service: usize) -> bool {
    service >= SERVICES * 9 / 10
}

fn file(hosts: usize) -> String {
    let mut text = format!(
        "name = \"large\"\ncluster = \"large\"\nbeat = \"10s\"\n\
         hosts = {{ minimum = {}, steady = {}, maximum = {hosts} }}\n[disruption]\nmax_out = {}\n[backfill]\n[patch]\nwave = \"20%\"\n",
        hosts / 2,
        hosts * 9 / 10,
        hosts / 5,
    );
    for (name, purchase, _) in POOLS {
        text.push_str(&format!(
            "[[pool]]\nname = \"{name}\"\npurchase = \"{purchase}\"\nauto_scaling_group = \"large-{name}\"\n"
        ));
    }
    for number in 0..SERVICES {
        let name = service_name(number);
        text.push_str(&format!(
            "[[service]]\nname = \"{name}\"\npriority = {}\n",
            if is_fill(number) { 9 } else { 1 + number / 5 }
        ));
        text.push_str(if is_fill(number) {
            "fill = true\n"
        } else {
            "demand = { metric = \"large/Requests\", period = \"10s\", per_task = 1 }\n"
        });
    }
    text
}

const SIZE: Resources = Resources::new(256, 512);

impl Yard {
    /// So many hosts with so many tasks each of services as chance has it: most of them run, some start and some stop.
    pub(crate) fn new(hosts: usize, tasks: usize, now: Timestamp, rng: &mut ChaCha8Rng) -> Self {
        let mut yard = Self {
            text: file(hosts),
            now: Mutex::new(now),
            hosts: Vec::new(),
            tasks: BTreeMap::new(),
            services: Vec::new(),
            groups: POOLS.map(|(name, _, _)| group(name)).into(),
            rise: Mutex::new(0),
            marked: BTreeSet::new(),
            table: Mutex::default(),
            largest: Mutex::default(),
        };
        let mut live = [0; SERVICES];
        for number in 0..hosts {
            let pool = [0, 0, 0, 0, 0, 1, 1, 1, 2, 2][number % 10];
            yard.add_host(pool, tasks, &mut live, now, rng);
        }
        yard.services = (0..SERVICES).map(|number| service(number, live[number])).collect();
        yard
    }

    fn add_host(
        &mut self,
        pool: usize,
        tasks: usize,
        live: &mut [u32; SERVICES],
        now: Timestamp,
        rng: &mut ChaCha8Rng,
    ) {
        let (host, zone) =
            (id::<InstanceId>(&hex(rng, "i-0", 16)), format!("eu-west-1{}", ['a', 'b', 'c'][rng.random_range(0..3)]));
        let registered = Resources::new(SIZE.cpu * (tasks as u32 + 2), SIZE.memory * (tasks as u32 + 3));
        let mut mark = Mark { version: 1, running: 0, pending: 0, remaining: registered };
        for _ in 0..tasks {
            let number = rng.random_range(0..SERVICES);
            let phase = match rng.random_range(0..100) {
                0..85 => TaskPhase::Running,
                85..95 => TaskPhase::Pending,
                _ => TaskPhase::Stopping,
            };
            let created = ago(rng, now, if phase == TaskPhase::Pending { 20 } else { 86_400 });
            let started = created + Duration::from_millis(rng.random_range(4_000..9_000));
            let task = Task {
                id: id(&hex(rng, "", 32)),
                host: host.clone(),
                service: Some(service_name(number)),
                takes: Room::from(SIZE),
                phase,
                created,
                started: (phase != TaskPhase::Pending).then_some(started),
                protected: false,
            };
            if task.is_live() {
                live[number] += 1;
                mark.remaining = mark.remaining.minus(SIZE);
                mark.running += u32::from(phase == TaskPhase::Running);
                mark.pending += u32::from(phase == TaskPhase::Pending);
            }
            self.tasks.insert(task.id.clone(), task);
        }
        self.groups[pool].desired += 1;
        self.groups[pool].members.push(Member {
            id: host.clone(),
            state: MemberState::InService,
            healthy: true,
            zone: zone.parse().ok(),
            template: Some(TemplateVersion { id: template(POOLS[pool].0), version: 3 }),
            protected: false,
        });
        self.hosts.push(Host {
            id: host,
            zone: zone.parse().ok(),
            pool: POOLS[pool].0.parse().ok(),
            registered,
            reserved_ports: [22, 51678].map(Port::Tcp).into(),
            status: HostStatus::Active,
            connected: true,
            task_count: tasks as u32,
            provider: None,
            attributes: BTreeMap::new(),
            mark,
        });
    }

    /// Says that ECS could place no task of any service a moment ago.
    pub(crate) fn nothing_is_placed(&mut self, at: Timestamp) {
        for service in &mut self.services {
            service.desired += 5;
            service.placement_failed = Some(at);
        }
    }

    /// The hosts' ids, pool by pool.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&'static str, &InstanceId)> {
        POOLS
            .iter()
            .zip(&self.groups)
            .flat_map(|((pool, _, _), group)| group.members.iter().map(|one| (*pool, &one.id)))
    }

    pub(crate) fn put(&self, sort: &str, body: String) {
        let key = Key { fleet: id("large"), sort: sort.to_owned() };
        self.table.lock().unwrap().insert(key, (1, Kept::Text(body)));
    }

    fn note_sizes(&self, writes: &[Write]) {
        let mut largest = self.largest.lock().unwrap();
        for write in writes {
            let bytes = write.body.as_ref().map_or(0, Body::stored_len);
            // Parts of one view and the decisions of one turn are told apart by what comes after their function's name.
            let name = match write.key.kind() {
                "decision" => "decision",
                _ => write.key.sort.as_str(),
            };
            let known = largest.entry(name.to_owned()).or_default();
            *known = bytes.max(*known);
        }
    }
}

fn template(pool: &str) -> TemplateId {
    id(&format!("lt-0{:0>16}", pool.len()))
}

fn group(pool: &str) -> Group {
    Group {
        name: id(&format!("large-{pool}")),
        desired: 0,
        min: 0,
        max: 20_000,
        zones: Vec::new(),
        subnets: Vec::new(),
        instance_type: None,
        members: Vec::new(),
        template: Some(TemplateUse { id: template(pool), version: VersionSpec::Latest }),
        lines: Vec::new(),
        own_images: false,
        scaled_by: None,
        suspended: BTreeSet::new(),
        warm_pool: false,
        target_groups: Vec::new(),
    }
}

fn service(number: usize, live: u32) -> EcsService {
    EcsService {
        name: service_name(number),
        desired: live,
        task: Room::from(SIZE),
        strategy: vec![Placement::Spread("instanceId".to_owned())],
        constraints: Vec::new(),
        providers: Vec::new(),
        stop_timeout: Duration::from_secs(30),
        leaving: Leaving::default(),
        hands_off: None,
        placement_failed: None,
        counted: live,
        told_of: BTreeMap::new(),
    }
}

impl Clock for Yard {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    fn sleep(&self, length: Duration) -> impl Future<Output = ()> + Send {
        *self.now.lock().unwrap() += length;
        ready(())
    }
}

impl FleetFiles for Yard {
    async fn text(&self, _: &FleetName) -> Answer<String> {
        Ok(self.text.clone())
    }
}

impl Ledger for Yard {
    async fn get(&self, keys: &[Key]) -> Answer<Vec<Option<Item>>> {
        let table = self.table.lock().unwrap();
        let item = |key: &Key| {
            let (version, kept) = table.get(key)?;
            let body = match kept {
                Kept::Text(text) => text.clone(),
                Kept::Deflated(bytes) => Body::inflate(bytes)?,
            };
            Some(Item { version: *version, body })
        };
        Ok(keys.iter().map(item).collect())
    }

    async fn write(&self, writes: Vec<Write>) -> Result<(), LedgerError> {
        check(&writes)?;
        self.note_sizes(&writes);
        let mut table = self.table.lock().unwrap();
        let version = |table: &BTreeMap<Key, (u64, Kept)>, key: &Key| table.get(key).map_or(0, |(version, _)| *version);
        let holds = |Write { key, expect, .. }: &Write| match expect {
            Expect::Anything => true,
            Expect::Absent => version(&table, key) == 0,
            Expect::Version(expected) => version(&table, key) == *expected,
        };
        if !writes.iter().all(holds) {
            return Err(LedgerError::Conflict);
        }
        for Write { key, body, .. } in writes {
            let version = version(&table, &key) + 1;
            match body {
                None => table.remove(&key),
                Some(body) => {
                    let text = || Kept::Text(body.to_string());
                    let kept = body.deflated().map_or_else(text, |bytes| Kept::Deflated(bytes.to_vec()));
                    table.insert(key, (version, kept))
                }
            };
        }
        Ok(())
    }
}

impl ReadEcs for Yard {
    async fn hosts(&self, _: &ClusterName) -> Answer<Vec<Host>> {
        Ok(self.hosts.clone())
    }

    async fn task_ids(&self, _: &ClusterName, of: TasksOf<'_>, meant: Meant) -> Answer<Vec<TaskId>> {
        let ours = |task: &&Task| {
            let meant = (meant == Meant::ToStop) == (task.phase == TaskPhase::Stopping);
            meant
                && match of {
                    TasksOf::All => true,
                    TasksOf::Service(service) => task.service.as_ref() == Some(service),
                    TasksOf::Host(host) => task.host == *host,
                }
        };
        Ok(self.tasks.values().filter(ours).map(|task| task.id.clone()).collect())
    }

    async fn describe_tasks(&self, _: &ClusterName, tasks: &[TaskId]) -> Answer<Vec<TaskNow>> {
        Ok(tasks.iter().filter_map(|id| self.tasks.get(id)).map(|task| TaskNow::On(task.clone())).collect())
    }

    async fn protected(&self, _: &ClusterName, _: &[TaskId]) -> Answer<BTreeSet<TaskId>> {
        Ok(BTreeSet::new())
    }

    async fn services(&self, _: &ClusterName, _: &[ServiceName]) -> Answer<Vec<EcsService>> {
        Ok(self.services.clone())
    }
}

impl ChangeEcs for Yard {
    async fn set_desired_count(&self, _: &ClusterName, _: &ServiceName, _: u32) -> Answer<()> {
        Ok(())
    }
}

impl ChangeHosts for Yard {
    async fn set_status(&self, _: &ClusterName, _: &[InstanceId], _: HostStatus) -> Answer<()> {
        Ok(())
    }

    async fn mark_old(&self, _: &ClusterName, _: &[InstanceId], _: bool) -> Answer<()> {
        Ok(())
    }
}

impl ReadGroups for Yard {
    async fn groups(&self, names: &[GroupName]) -> Answer<Vec<Group>> {
        Ok(self.groups.iter().filter(|group| names.contains(&group.name)).cloned().collect())
    }

    async fn warm_members(&self, _: &GroupName) -> Answer<Vec<WarmMember>> {
        Ok(Vec::new())
    }

    async fn refusals(&self, _: &GroupName) -> Answer<Vec<Refusal>> {
        Ok(Vec::new())
    }

    async fn spot_requests(&self, instances: &[InstanceId]) -> Answer<Vec<SpotRequest>> {
        let at = self.now();
        let code = |id: &InstanceId| if self.marked.contains(id) { SpotCode::Marked } else { SpotCode::Fulfilled };
        Ok(instances.iter().map(|id| SpotRequest { instance: id.clone(), code: code(id), at }).collect())
    }

    async fn refreshes(&self, _: &[GroupName]) -> Answer<Vec<GroupName>> {
        Ok(Vec::new())
    }
}

impl ChangeGroups for Yard {
    async fn set_capacity(&self, _: &GroupName, _: u32) -> Answer<()> {
        Ok(())
    }

    async fn terminate(&self, _: &InstanceId, _: bool) -> Answer<()> {
        Ok(())
    }

    async fn end_warm(&self, _: &InstanceId) -> Answer<()> {
        Ok(())
    }
}

impl ReadTemplates for Yard {
    async fn templates(&self, uses: &[TemplateUse]) -> Answer<Resolved> {
        let newest = |asks: &TemplateUse| Template {
            asks: asks.clone(),
            version: 4,
            image: Some(id("ami-0123456789abcdef1")),
            instance_type: None,
            no_builder: None,
            note: None,
        };
        Ok(Resolved { found: uses.iter().map(newest).collect(), denied: Vec::new() })
    }

    async fn instances(&self, ids: &[InstanceId]) -> Answer<Vec<Instance>> {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let now = self.now();
        let mut of = |id: &InstanceId| Instance {
            id: id.clone(),
            image: "ami-0123456789abcdef0".parse().ok(),
            launched: ago(&mut rng, now, 86_400 * 30),
        };
        Ok(ids.iter().map(&mut of).collect())
    }
}

impl ChangeTemplates for Yard {
    async fn new_version(&self, _: &TemplateVersion, _: &ImageId, _: &str) -> Answer<()> {
        Ok(())
    }

    async fn set_default(&self, _: &TemplateId, _: u64) -> Answer<()> {
        Ok(())
    }

    async fn use_version(&self, _: &GroupName, _: &TemplateUse) -> Answer<()> {
        Ok(())
    }
}

impl ReadTargets for Yard {
    async fn targets(&self, groups: &[TargetGroup]) -> Answer<Vec<Target>> {
        let of = |group: &TargetGroup| {
            let healthy = |(_, id): (_, &InstanceId)| Target {
                group: group.clone(),
                instance: id.clone(),
                health: Health::Healthy,
            };
            self.members().map(healthy).collect::<Vec<_>>()
        };
        Ok(groups.iter().flat_map(of).collect())
    }
}

impl ReadImages for Yard {
    async fn base_image(&self, parameter: &str) -> Answer<ImageId> {
        Err(PortError::NotFound(parameter.to_owned()))
    }

    async fn builders(&self, _: &FleetName) -> Answer<Vec<Builder>> {
        Ok(Vec::new())
    }

    async fn images(&self, _: &FleetName, _: &str) -> Answer<Vec<Image>> {
        Ok(Vec::new())
    }
}

impl ChangeImages for Yard {
    async fn run_builder(&self, _: &FleetName, _: &RollId, _: &Launch, _: &[String]) -> Answer<()> {
        Ok(())
    }

    async fn make_image(&self, _: &FleetName, _: &RollId, _: &InstanceId, _: &str) -> Answer<()> {
        Ok(())
    }

    async fn end_builder(&self, _: &InstanceId) -> Answer<()> {
        Ok(())
    }

    async fn delete_image(&self, _: &ImageId) -> Answer<()> {
        Ok(())
    }
}

impl ReadSignals for Yard {
    async fn metrics(&self, sources: &[MetricSource]) -> Answer<Vec<Signal>> {
        let rise = f64::from(100 + *self.rise.lock().unwrap()) / 100.0;
        let at = self.now();
        // The demand services come in the file's order.
        let of = |service: &EcsService| Signal::Value { value: (f64::from(service.counted) * rise).round(), at };
        Ok(self.services.iter().map(of).take(sources.len()).collect())
    }

    async fn backlogs(&self, _: &[QueueName]) -> Answer<Vec<Signal>> {
        Ok(Vec::new())
    }

    async fn alarms(&self, alarms: &[AlarmName]) -> Answer<Vec<Signal>> {
        Ok(alarms.iter().map(|_| Signal::Unknown("none".to_owned())).collect())
    }

    async fn alarm_levels(&self, alarms: &[AlarmName]) -> Answer<Vec<Option<Level>>> {
        Ok(alarms.iter().map(|_| None).collect())
    }
}

impl Beats for Yard {
    async fn wake_after(&self, _: &FleetName, _: &[Duration], _: u32) -> Answer<()> {
        Ok(())
    }
}
