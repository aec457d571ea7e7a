//! A case in the planner's words, and the planner's answer in the case's.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use evenkeel_microscale::{State, plan};
use evenkeel_model::decision::{Planned, Step};
use evenkeel_model::fleet::{Demand, Fleet, Format, MetricDemand, MetricSource, Missing, Service, Statistic, read};
use evenkeel_model::observed::{
    Constraint, EcsService, Field, Host, HostStatus, Leaving, Mark, Observed, Placement, Signal, Task, TaskPhase,
};
use evenkeel_model::resources::Port;
use evenkeel_model::{Resources, Room, ServiceName, Timestamp};
use evenkeel_turn::{Board, Given, Outlook};
use serde_json::json;

use crate::case::{Apart, Case, Door, Kind, Phase, Rule, Size};

/// Everything of a fleet file but its services.
static BARE: LazyLock<Fleet> = LazyLock::new(|| {
    let text = "name = \"oracle\"\ncluster = \"oracle\"\nhosts = { minimum = 1, steady = 1, maximum = 9 }\n\
                pool = [{ name = \"base\", purchase = \"reserved\", auto_scaling_group = \"base\" }]\n";
    read(text, Format::Toml).unwrap()
});

/// The time of every case.
const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// What the planner is given.
pub(crate) struct Turn {
    pub(crate) fleet: Fleet,
    pub(crate) seen: Observed,
    pub(crate) state: State,
}

impl Turn {
    pub(crate) fn of(case: &Case) -> Self {
        let mut fleet = BARE.clone();
        fleet.services = (0..case.kinds.len()).map(|kind| service(case, kind)).collect();
        Self { fleet, seen: observed(case), state: state(case) }
    }

    pub(crate) fn plan(&self) -> Outlook<State> {
        let board = Board::default();
        plan(&Given { fleet: &self.fleet, state: &self.state, board: &board, now: NOW }, &self.seen)
    }

    /// The same world a moment after the plan's counts were set: ECS did nothing yet.
    pub(crate) fn after(&self, outlook: &Outlook<State>) -> Self {
        let mut seen = self.seen.clone();
        for planned in &outlook.steps {
            let Step::SetDesiredCount { service, from: _, to } = &planned.step else {
                unreachable!("microscale sets counts")
            };
            for ecs in seen.services.iter_mut().filter(|ecs| ecs.name == *service) {
                ecs.desired = *to;
            }
        }
        Self { fleet: self.fleet.clone(), seen, state: outlook.state.clone() }
    }
}

/// The service of a step.
pub(crate) fn kind_of(planned: &Planned) -> (usize, u32) {
    let Step::SetDesiredCount { service, from: _, to } = &planned.step else { unreachable!("microscale sets counts") };
    (service.as_str()[1..].parse().unwrap(), *to)
}

pub(crate) fn name(kind: usize) -> ServiceName {
    format!("s{kind}").parse().unwrap()
}

fn resources(size: Size) -> Resources {
    Resources { gpu: size[2], ..Resources::new(size[0] * 256, size[1] * 512) }
}

fn room(size: Size, port: Option<u16>) -> Room {
    Room { resources: resources(size), ports: port.into_iter().map(Port::Tcp).collect() }
}

fn service(case: &Case, number: usize) -> Service {
    let kind = &case.kinds[number];
    let source = MetricSource {
        metric: format!("oracle/s{number}").parse().unwrap(),
        statistic: Statistic::Sum,
        period: Duration::from_secs(10),
        dimensions: BTreeMap::new(),
        missing: Missing::Hold,
        per: None,
    };
    Service {
        name: name(number),
        priority: kind.tier,
        fill: kind.fill,
        min_tasks: kind.min,
        max_tasks: Some(kind.max),
        demand: (!kind.fill).then_some(Demand::Metric(MetricDemand { source, per_task: 1.0 })),
        headroom_tasks: kind.headroom,
        scale_down_after: Duration::from_secs(1),
        refill_after: Duration::from_secs(30),
    }
}

/// A turn was taken a while ago by a later version: what is wanted now was wanted then, and what is ripe was open.
fn state(case: &Case) -> State {
    let then = NOW - Duration::from_secs(20);
    let memory = |(number, kind): (usize, &Kind)| {
        let tasks = match (kind.fill, kind.ripe) {
            (false, _) => kind.want,
            (true, false) => case.live(number),
            (true, true) => 99,
        };
        let wrote = if kind.apart == Some(Apart::Foreign) { kind.desired + 1 } else { kind.desired };
        let memory = json!({ "window": [[then, tasks]], "want": kind.want, "wrote": wrote, "mood": "calm" });
        (name(number), memory)
    };
    let services: BTreeMap<_, _> = case.kinds.iter().enumerate().map(memory).collect();
    serde_json::from_value(json!({ "services": services, "tempo": 7 })).unwrap()
}

fn observed(case: &Case) -> Observed {
    let mut seen =
        Observed { at: NOW, hosts: Vec::new(), tasks: Vec::new(), services: Vec::new(), demand: BTreeMap::new() };
    for (number, spot) in case.spots.iter().enumerate().filter(|(_, spot)| spot.door != Door::Unlisted) {
        seen.hosts.push(Host {
            id: format!("h-{number}").parse().unwrap(),
            zone: format!("zone-{}", spot.zone).parse().ok(),
            pool: None,
            registered: resources(spot.size),
            reserved_ports: spot.kept.into_iter().map(Port::Tcp).collect(),
            status: match spot.door {
                Door::Draining => HostStatus::Draining,
                Door::Closed => HostStatus::Leaving,
                Door::Open | Door::Disconnected | Door::Unlisted => HostStatus::Active,
            },
            connected: spot.door != Door::Disconnected,
            task_count: 0,
            provider: None,
            attributes: [("zone-number".to_owned(), spot.zone.to_string())].into(),
            mark: Mark::default(),
        });
    }
    for (number, job) in case.jobs.iter().enumerate() {
        let phase = match job.phase {
            Phase::Pending => TaskPhase::Pending,
            Phase::Running => TaskPhase::Running,
            Phase::Stopping => TaskPhase::Stopping,
        };
        seen.tasks.push(Task {
            id: format!("t-{number}").parse().unwrap(),
            host: format!("h-{}", job.spot).parse().unwrap(),
            service: job.kind.map(name),
            takes: room(job.size, job.port),
            phase,
            created: NOW - Duration::from_secs(number as u64),
            started: None,
            protected: job.protected,
        });
    }
    for (number, kind) in case.kinds.iter().enumerate() {
        seen.services.push(ecs_service(number, kind));
        let signal = match kind.apart {
            Some(Apart::Unknown) => Signal::Unknown("no data".to_owned()),
            Some(Apart::HandsOff(_) | Apart::Foreign | Apart::Refused) | None => {
                Signal::Value { value: f64::from(kind.want), at: NOW }
            }
        };
        seen.demand.insert(name(number), signal);
    }
    seen
}

fn ecs_service(number: usize, kind: &Kind) -> EcsService {
    let placement = |rule: &Rule| match rule {
        Rule::MostCpuLeft => Placement::Binpack(Field::Cpu),
        Rule::MostMemoryLeft => Placement::Binpack(Field::Memory),
        Rule::FullestZone => Placement::Spread("attribute:ecs.availability-zone".to_owned()),
        Rule::FullestHost => Placement::Spread("instanceId".to_owned()),
        Rule::Any => Placement::Random,
    };
    let member = kind.only_in.map(|zone| Constraint::MemberOf(format!("attribute:zone-number == {zone}")));
    EcsService {
        name: name(number),
        desired: kind.desired,
        task: room(kind.size, kind.port),
        strategy: kind.rules.iter().map(placement).collect(),
        constraints: kind.distinct.then_some(Constraint::DistinctInstance).into_iter().chain(member).collect(),
        providers: Vec::new(),
        stop_timeout: Duration::from_secs(30),
        leaving: Leaving::default(),
        hands_off: match kind.apart {
            Some(Apart::HandsOff(because)) => Some(because),
            Some(Apart::Foreign | Apart::Refused | Apart::Unknown) | None => None,
        },
        placement_failed: (kind.apart == Some(Apart::Refused)).then_some(NOW),
        told_of: std::collections::BTreeMap::new(),
        counted: 0,
    }
}
