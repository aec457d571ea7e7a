//! Stories of the planner alone: a small fleet of groups and a cluster that do what they are told, in steps of a minute.

mod mixed;
mod pools;
mod unseen;

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_model::decision::{HostStep, HostWhy, LossCause, Outcome, Sign, Step, Why};
use evenkeel_model::fleet::{self, Fleet, Format};
use evenkeel_model::groups::{
    Group, Member, MemberState, Process, Refusal, RefusalKind, ScaledBy, SpotCode, SpotRequest,
};
use evenkeel_model::observed::{EcsService, Host, HostStatus, Mark, Running, Task, TaskPhase};
use evenkeel_model::report::{HostWait, Source, Wait};
use evenkeel_model::{FunctionName, InstanceId, Resources, Room, Timestamp, Zone};
use evenkeel_turn::{Applied, Board, Given, NoticeKind, Out, OutCause, Outlook};

use crate::plan::plan;
use crate::seen::Seen;
use crate::state::State;

const MINUTE: Duration = Duration::from_secs(60);

const FILE: &str = r#"
name = "shop"
cluster = "shop"
hosts = { minimum = 3, steady = 5, maximum = 7 }
pool = [
    { name = "base", purchase = "reserved", auto_scaling_group = "g-base" },
    { name = "spot", purchase = "spot", auto_scaling_group = "g-spot" },
    { name = "burst", purchase = "on-demand", auto_scaling_group = "g-burst" },
    { name = "second", purchase = "on-demand", auto_scaling_group = "g-second" },
]
[backfill]
release_after = "10m"
[[service]]
name = "web"
priority = 1
demand = { manual = true, per_task = 1 }
"#;

fn file(text: &str) -> Fleet {
    fleet::read(text.as_bytes(), Format::Toml).unwrap_or_else(|problems| panic!("{problems}"))
}

struct Story {
    fleet: Fleet,
    state: State,
    board: Board,
    groups: Vec<Group>,
    cluster: Vec<Host>,
    tasks: Vec<Task>,
    services: Vec<EcsService>,
    refusals: Vec<(&'static str, Refusal)>,
    requests: Vec<SpotRequest>,
    unread: BTreeMap<Source, String>,
    /// Groups that cannot be told anything.
    deaf: Vec<&'static str>,
    /// Groups whose new hosts join the cluster.
    joins: Vec<&'static str>,
    /// Groups that launch what they are told to.
    launches: Vec<&'static str>,
    now: Timestamp,
    born: u32,
    last: Option<Outlook<State>>,
}

fn group(name: &str, desired: u32) -> Group {
    serde_json::from_value(serde_json::json!({ "name": name, "desired": desired, "min": 0, "max": 10 })).unwrap()
}

impl Story {
    fn new() -> Self {
        let mut story = Self {
            fleet: file(FILE),
            state: State::default(),
            board: Board::default(),
            groups: [("g-base", 3), ("g-spot", 2), ("g-burst", 0), ("g-second", 0)].map(|(n, d)| group(n, d)).into(),
            cluster: Vec::new(),
            tasks: Vec::new(),
            services: Vec::new(),
            refusals: Vec::new(),
            requests: Vec::new(),
            unread: BTreeMap::new(),
            deaf: Vec::new(),
            joins: vec!["g-base", "g-spot", "g-burst", "g-second"],
            launches: vec!["g-base", "g-spot", "g-burst", "g-second"],
            now: Timestamp::UNIX_EPOCH + Duration::from_hours(24),
            born: 0,
            last: None,
        };
        story.live();
        story.minutes(3);
        story
    }

    /// Groups launch and end what they are to; hosts join.
    fn live(&mut self) {
        for group in &mut self.groups {
            group.members.retain(|member| !member.state.is_leaving());
            let name = group.name.to_string();
            let launches = self.launches.contains(&name.as_str()) && !group.suspended.contains(&Process::Launch);
            while launches && (group.members.len() as u32) < group.desired {
                self.born += 1;
                let id = format!("i-{}-{}", name.trim_start_matches("g-"), self.born);
                let member = serde_json::json!({
                    "id": id, "state": "in-service", "template": { "id": "lt-1", "version": 7 },
                });
                group.members.push(serde_json::from_value(member).unwrap());
            }
            while group.members.len() as u32 > group.desired {
                group.members.pop();
            }
            for Member { id, .. } in &group.members {
                if self.joins.contains(&name.as_str()) && self.cluster.iter().all(|host| host.id != *id) {
                    self.cluster.push(Host {
                        id: id.clone(),
                        zone: None,
                        pool: None,
                        registered: Resources::new(2048, 7000),
                        reserved_ports: Default::default(),
                        status: HostStatus::Active,
                        connected: true,
                        task_count: 0,
                        provider: None,
                        attributes: BTreeMap::new(),
                        mark: Mark::default(),
                    });
                }
            }
        }
        let members: Vec<&InstanceId> =
            self.groups.iter().flat_map(|group| &group.members).map(|member| &member.id).collect();
        self.cluster.retain(|host| members.contains(&&host.id));
    }

    fn seen(&self) -> Seen {
        let read = |source| !self.unread.contains_key(&source);
        let mut hosts = self.cluster.clone();
        for host in &mut hosts {
            let on_it = self.tasks.iter().filter(|task| task.host == host.id).count();
            host.task_count = u32::try_from(on_it).unwrap();
        }
        let running = Running { tasks: self.tasks.clone(), services: self.services.clone() };
        Seen {
            at: self.now,
            unread: self.unread.clone(),
            groups: if read(Source::Groups) { self.groups.clone() } else { Vec::new() },
            hosts: if read(Source::Cluster) { hosts } else { Vec::new() },
            requests: self.requests.clone(),
            alarms: BTreeMap::new(),
            levels: BTreeMap::new(),
            refusals: self.refusals.iter().fold(BTreeMap::new(), |mut of, (group, refusal)| {
                of.entry(group.parse().unwrap()).or_insert_with(Vec::new).push(refusal.clone());
                of
            }),
            running: read(Source::Tasks).then_some(running),
        }
    }

    /// A turn, whose steps are taken, without any time passing.
    fn turn(&mut self) -> Vec<String> {
        let seen = self.seen();
        let given = Given { fleet: &self.fleet, state: &self.state, board: &self.board, now: self.now };
        let mut outlook = plan(&given, &seen);
        if let Some(budget) = &outlook.budget {
            self.board.budget = budget.clone();
        }
        let steps = outlook.steps.clone();
        for planned in &steps {
            let outcome = self.take(&planned.step);
            outlook.state.settle(&Applied { planned, outcome: &outcome, at: self.now });
        }
        self.state = outlook.state.clone();
        self.last = Some(outlook);
        steps.iter().map(|planned| format!("{}: {}", planned.step, planned.why)).collect()
    }

    fn take(&mut self, step: &Step) -> Outcome {
        let Step::Host(step) = step else { panic!("{step}") };
        match step {
            HostStep::SetCapacity { group, to, .. } => {
                if self.deaf.contains(&group.as_str()) {
                    return Outcome::Failed("refused: AccessDenied".to_owned());
                }
                self.group(group.as_str()).desired = *to;
            }
            HostStep::SetStatus { hosts, status } => {
                for host in self.cluster.iter_mut().filter(|host| hosts.contains(&host.id)) {
                    host.status = *status;
                }
            }
            HostStep::Terminate { host, shrink, .. } => {
                for group in &mut self.groups {
                    for member in group.members.iter_mut().filter(|member| member.id == *host) {
                        member.state = MemberState::Terminating;
                        group.desired -= u32::from(*shrink);
                    }
                }
            }
            HostStep::Lost { .. } => {}
            HostStep::Mark { .. } | HostStep::EndWarm { .. } => panic!("{step}"),
        }
        Outcome::Done
    }

    /// Minutes pass, with a turn in each. Gives what was done.
    fn minutes(&mut self, minutes: u32) -> Vec<String> {
        let mut done = Vec::new();
        for _ in 0..minutes {
            self.now += MINUTE;
            self.live();
            done.extend(self.turn());
        }
        done
    }

    fn group(&mut self, name: &str) -> &mut Group {
        self.groups.iter_mut().find(|group| group.name.as_str() == name).unwrap()
    }

    fn desired(&mut self, name: &str) -> u32 {
        self.group(name).desired
    }

    fn hosts(&mut self, name: &str) -> Vec<InstanceId> {
        self.group(name).members.iter().map(|member| member.id.clone()).collect()
    }

    fn host(&mut self, id: &InstanceId) -> &mut Host {
        self.cluster.iter_mut().find(|host| host.id == *id).unwrap()
    }

    fn warn(&mut self, id: &InstanceId) {
        self.board.notices.add(id, NoticeKind::Interruption, self.now);
    }

    fn waits(&self) -> Vec<String> {
        self.last.iter().flat_map(|last| &last.report.waits).map(ToString::to_string).collect()
    }

    fn waits_for(&self, of: impl Fn(&HostWait) -> bool) -> bool {
        let waits = self.last.iter().flat_map(|last| &last.report.waits);
        waits.into_iter().any(|wait| matches!(wait, Wait::Host(wait) if of(wait)))
    }

    /// A spot host is gone, and the market gives no other.
    fn lose_spot(&mut self) -> InstanceId {
        self.launches.retain(|name| *name != "g-spot");
        let gone = self.group("g-spot").members.remove(0).id;
        self.board.notices.add(&gone, NoticeKind::Gone, self.now);
        self.cluster.retain(|host| host.id != gone);
        gone
    }

    fn spot_is_back(&mut self) {
        self.launches.push("g-spot");
    }

    fn run(&mut self, host: &InstanceId, service: Option<&str>) {
        self.tasks.push(Task {
            id: format!("t-{}", self.tasks.len()).parse().unwrap(),
            host: host.clone(),
            service: service.map(|name| name.parse().unwrap()),
            takes: Room::from(Resources::new(100, 100)),
            phase: TaskPhase::Running,
            created: self.now,
            started: Some(self.now),
            protected: false,
        });
    }
}

fn has(said: &[String], text: &str) -> bool {
    said.iter().any(|line| line.contains(text))
}
