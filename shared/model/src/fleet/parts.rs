//! The parts of a fleet file: the name, the kind and the default of every field, once.
//!
//! Where fields of several parts must agree, [`Draft`] keeps what could be read, so that one bad field does not hide
//! what is wrong with the others; [`check`](super::check) looks at the draft.

use std::collections::BTreeMap;
use std::time::Duration;

use super::field::{Part, Table};
use super::kinds::{
    always_true, api_share, beat, choice, command, duration, flag, id, metric, parameter_name, period, positive, text,
    tolerance, wave, whole, window,
};
use super::{
    Backfill, Bake, Demand, Disruption, Fleet, Hosts, ManualDemand, MetricDemand, MetricSource, Microscale, Missing,
    Mode, Patch, Per, Pool, Purchase, QueueDemand, Rebalance, Refresh, Service, Statistic, StepsDemand, Strategy,
    TrackingDemand, Wave, default_agent_timeout, default_api_share, default_at_once, default_bake_timeout,
    default_beat, default_cooldown, default_drain_timeout, default_keep, default_max_out, default_period,
    default_refill_after, default_release_after, default_replace_timeout, default_scale_down_after, default_settle,
    default_step, default_tolerance, default_units, default_valid_for, limits, words,
};
use crate::ids::{AlarmName, ClusterName, FleetName, GroupName, PoolName, QueueName, ServiceName};

const MODES: &[(&str, Mode)] = &[("act", Mode::Act), ("observe", Mode::Observe)];

/// A fleet file as far as it could be read.
pub(super) struct Draft {
    name: Option<FleetName>,
    pub(super) cluster: Part<ClusterName>,
    beat: Option<Duration>,
    api_share: Option<f64>,
    mode: Option<Mode>,
    microscale: Part<Microscale>,
    pub(super) hosts: HostsDraft,
    pub(super) pools: Option<Vec<Option<PoolDraft>>>,
    pub(super) backfill: Part<Backfill>,
    pub(super) services: Option<Vec<Option<ServiceDraft>>>,
    pub(super) patch: Part<Patch>,
    pub(super) disruption: Part<Disruption>,
}

#[derive(Default)]
pub(super) struct HostsDraft {
    pub(super) minimum: Option<u32>,
    pub(super) steady: Option<u32>,
    pub(super) maximum: Option<u32>,
}

pub(super) struct PoolDraft {
    pub(super) name: Option<PoolName>,
    pub(super) purchase: Option<Purchase>,
    pub(super) auto_scaling_group: Option<GroupName>,
    units: Option<u32>,
}

pub(super) struct ServiceDraft {
    pub(super) name: Option<ServiceName>,
    pub(super) priority: Option<u32>,
    pub(super) fill: Option<bool>,
    pub(super) min_tasks: Option<u32>,
    pub(super) max_tasks: Part<u32>,
    pub(super) demand: Part<Demand>,
    pub(super) headroom_tasks: Option<u32>,
    scale_down_after: Option<Duration>,
    refill_after: Option<Duration>,
}

impl Draft {
    pub(super) fn read(top: &mut Table<'_>) -> Self {
        Self {
            name: top.required("name", &id(FleetName::EXPECTED)),
            cluster: top.optional("cluster", &id(ClusterName::EXPECTED)),
            beat: top.or("beat", default_beat(), &beat()),
            api_share: top.or("api_share", default_api_share(), &api_share()),
            mode: top.or("mode", Mode::default(), &choice(MODES)),
            microscale: top.optional_table("microscale", microscale),
            hosts: top.required_table("hosts", HostsDraft::read).unwrap_or_default(),
            pools: top.tables("pool", 1, limits::POOLS, PoolDraft::read),
            backfill: top.optional_table("backfill", backfill),
            services: top.tables("service", 0, limits::SERVICES, ServiceDraft::read),
            patch: top.optional_table("patch", patch),
            disruption: top.optional_table("disruption", disruption),
        }
    }

    /// The fleet, unless a part could not be read.
    pub(super) fn fleet(self) -> Option<Fleet> {
        let Self {
            name,
            cluster,
            beat,
            api_share,
            mode,
            microscale,
            hosts,
            pools,
            backfill,
            services,
            patch,
            disruption,
        } = self;
        Some(Fleet {
            name: name?,
            cluster: cluster.field()?,
            beat: beat?,
            api_share: api_share?,
            mode: mode?,
            microscale: microscale.field()?.unwrap_or_default(),
            hosts: Hosts { minimum: hosts.minimum?, steady: hosts.steady?, maximum: hosts.maximum? },
            pools: pools?.into_iter().map(|pool| pool?.pool()).collect::<Option<_>>()?,
            backfill: backfill.field()?,
            services: services?.into_iter().map(|service| service?.service()).collect::<Option<_>>()?,
            patch: patch.field()?,
            disruption: disruption.field()?.unwrap_or_default(),
        })
    }
}

impl HostsDraft {
    fn read(table: &mut Table<'_>) -> Self {
        let hosts = whole(1..=limits::HOSTS);
        Self {
            minimum: table.required("minimum", &hosts),
            steady: table.required("steady", &hosts),
            maximum: table.required("maximum", &hosts),
        }
    }
}

impl PoolDraft {
    fn read(table: &mut Table<'_>) -> Self {
        const PURCHASES: &[(&str, Purchase)] = &[
            ("reserved", Purchase::Reserved),
            ("spot", Purchase::Spot),
            ("mixed", Purchase::Mixed),
            ("on-demand", Purchase::OnDemand),
        ];
        Self {
            name: table.required("name", &id(PoolName::EXPECTED)),
            purchase: table.required("purchase", &choice(PURCHASES)),
            auto_scaling_group: table.required("auto_scaling_group", &id(GroupName::EXPECTED)),
            units: table.or("units", default_units(), &whole(1..=limits::UNITS)),
        }
    }

    fn pool(self) -> Option<Pool> {
        let Self { name, purchase, auto_scaling_group, units } = self;
        Some(Pool { name: name?, purchase: purchase?, auto_scaling_group: auto_scaling_group?, units: units? })
    }
}

impl ServiceDraft {
    fn read(table: &mut Table<'_>) -> Self {
        let tasks = whole(0..=limits::TASKS);
        Self {
            name: table.required("name", &id(ServiceName::EXPECTED)),
            priority: table.required("priority", &whole(1..=limits::PRIORITY)),
            fill: table.or("fill", false, &flag()),
            min_tasks: table.or("min_tasks", 0, &tasks),
            max_tasks: table.optional("max_tasks", &tasks),
            demand: table.optional_table("demand", demand),
            headroom_tasks: table.or("headroom_tasks", 0, &tasks),
            scale_down_after: table.or("scale_down_after", default_scale_down_after(), &duration(limits::DWELL)),
            refill_after: table.or("refill_after", default_refill_after(), &duration(limits::DWELL)),
        }
    }

    fn service(self) -> Option<Service> {
        Some(Service {
            name: self.name?,
            priority: self.priority?,
            fill: self.fill?,
            min_tasks: self.min_tasks?,
            max_tasks: self.max_tasks.field()?,
            demand: self.demand.field()?,
            headroom_tasks: self.headroom_tasks?,
            scale_down_after: self.scale_down_after?,
            refill_after: self.refill_after?,
        })
    }
}

fn microscale(table: &mut Table<'_>) -> Option<Microscale> {
    let mode = table.optional("mode", &choice(MODES));
    Some(Microscale { mode: mode.field()? })
}

fn backfill(table: &mut Table<'_>) -> Option<Backfill> {
    const ANSWERS: &[(&str, Rebalance)] =
        &[("ignore", Rebalance::Ignore), ("replace", Rebalance::Replace), ("drain", Rebalance::Drain)];
    let mode = table.optional("mode", &choice(MODES));
    let alarms = table.distinct("alarms", limits::ALARMS, &id(AlarmName::EXPECTED));
    let step = table.or("step", default_step(), &whole(1..=limits::HOSTS));
    let cooldown = table.or("cooldown", default_cooldown(), &duration(limits::COOLDOWN));
    let release_after = table.or("release_after", default_release_after(), &duration(limits::RELEASE_AFTER));
    let moves_per_hour = table.optional("moves_per_hour", &whole(1..=limits::HOSTS));
    let drain_timeout = table.or("drain_timeout", default_drain_timeout(), &duration(limits::DRAIN_TIMEOUT));
    let agent_timeout = table.or("agent_timeout", default_agent_timeout(), &duration(limits::AGENT_TIMEOUT));
    let rebalance = table.or("rebalance", Rebalance::default(), &choice(ANSWERS));
    Some(Backfill {
        mode: mode.field()?,
        alarms: alarms?,
        step: step?,
        cooldown: cooldown?,
        release_after: release_after?,
        moves_per_hour: moves_per_hour.field()?,
        drain_timeout: drain_timeout?,
        agent_timeout: agent_timeout?,
        rebalance: rebalance?,
    })
}

/// The keys that tell the kind of a demand, as the schema's five shapes have them.
const DEMAND_KEYS: [&str; 4] = ["metric", "queue", "manual", "alarm"];

fn demand(table: &mut Table<'_>) -> Option<Demand> {
    let given = DEMAND_KEYS.into_iter().filter(|key| table.has(key)).collect::<Vec<_>>();
    match given[..] {
        ["metric"] => metric_or_tracking(table),
        ["queue"] => queue_demand(table),
        ["manual"] => manual_demand(table),
        ["alarm"] => steps_demand(table),
        [] => {
            table.give_up(format!("expected one of {}: it says where the demand comes from", DEMAND_KEYS.join(", ")));
            None
        }
        _ => {
            table.give_up(format!("expected one source of demand, found {}", given.join(" and ")));
            None
        }
    }
}

fn metric_or_tracking(table: &mut Table<'_>) -> Option<Demand> {
    match (table.has("per_task"), table.has("target")) {
        (true, true) => {
            table.give_up("expected per_task (tasks = value / per_task) or target (tracking), found both");
            None
        }
        (false, false) => {
            table.give_up("expected per_task (tasks = value / per_task) or target (tracking), found neither");
            None
        }
        (true, false) => {
            let source = metric_source(table);
            let per_task = table.required("per_task", &positive());
            Some(Demand::Metric(MetricDemand { source: source?, per_task: per_task? }))
        }
        (false, true) => {
            let source = metric_source(table);
            let target = table.required("target", &positive());
            let tolerance = table.or("tolerance", default_tolerance(), &tolerance());
            Some(Demand::Tracking(TrackingDemand { source: source?, target: target?, tolerance: tolerance? }))
        }
    }
}

fn metric_source(table: &mut Table<'_>) -> Option<MetricSource> {
    const MISSING: &[(&str, Missing)] = &[("hold", Missing::Hold), ("zero", Missing::Zero)];
    const PERS: &[(&str, Per)] = &[("period", Per::Period), ("second", Per::Second)];
    /// CloudWatch user guide, "Publish custom metrics": AWS services publish at one-minute resolution at best.
    const AWS_PERIOD: Duration = Duration::from_secs(60);
    const STATISTICS: &[(&str, Statistic)] = &[
        ("Sum", Statistic::Sum),
        ("Average", Statistic::Average),
        ("Maximum", Statistic::Maximum),
        ("Minimum", Statistic::Minimum),
        ("SampleCount", Statistic::SampleCount),
    ];
    let metric = table.required("metric", &metric());
    let statistic = table.or("statistic", Statistic::default(), &choice(STATISTICS));
    let period = table.or("period", default_period(), &period());
    let dimensions = dimensions(table);
    let missing = table.or("missing", Missing::default(), &choice(MISSING));
    let per = table.optional("per", &choice(PERS));
    let source = MetricSource {
        metric: metric?,
        statistic: statistic?,
        period: period?,
        dimensions: dimensions?,
        missing: missing?,
        per: per.field()?,
    };
    if source.metric.as_str().starts_with("AWS/") {
        if source.period < AWS_PERIOD {
            let shown = words::show(source.period);
            let message = format!("AWS publishes its own metrics once a minute: expected 1m or longer, found {shown}");
            table.note("period", message);
            return None;
        }
        if source.dimensions.is_empty() {
            let message =
                "AWS's own metrics are told apart by their dimensions: expected dimensions = { NAME = \"VALUE\" }";
            table.note("metric", message.to_owned());
            return None;
        }
    }
    if source.per.is_some() && !source.adds_up() {
        table.note("per", "expected it with the statistics Sum and SampleCount only, which add up".to_owned());
        return None;
    }
    Some(source)
}

fn dimensions(table: &mut Table<'_>) -> Option<BTreeMap<String, String>> {
    let (path, entries) =
        table.entries_of("dimensions", "a table such as { LoadBalancer = \"app/shop/50dc6c495c0c9188\" }")?;
    if entries.len() > limits::DIMENSIONS {
        table.note("dimensions", format!("expected at most {}, found {}", limits::DIMENSIONS, entries.len()));
        return None;
    }
    let value = text(limits::DIMENSION_VALUE);
    let mut dimensions = BTreeMap::new();
    for entry in entries {
        if entry.key.is_empty() || entry.key.chars().count() > limits::DIMENSION_NAME {
            table.note("dimensions", format!("expected names of 1 to {} characters", limits::DIMENSION_NAME));
            continue;
        }
        if let Some(value) = table.read_entry(entry, &path, &value) {
            dimensions.insert(entry.key.clone(), value);
        }
    }
    (dimensions.len() == entries.len()).then_some(dimensions)
}

fn queue_demand(table: &mut Table<'_>) -> Option<Demand> {
    let queue = table.required("queue", &id(QueueName::EXPECTED));
    let per_task = table.required("per_task", &positive());
    let drain_within = table.required("drain_within", &duration(limits::DRAIN_WITHIN));
    let at_once = table.or("at_once", default_at_once(), &whole(1..=limits::AT_ONCE));
    Some(Demand::Queue(QueueDemand {
        queue: queue?,
        per_task: per_task?,
        drain_within: drain_within?,
        at_once: at_once?,
    }))
}

fn manual_demand(table: &mut Table<'_>) -> Option<Demand> {
    let manual = table.required("manual", &always_true());
    let per_task = table.required("per_task", &positive());
    let valid_for = table.or("valid_for", default_valid_for(), &duration(limits::VALID_FOR));
    Some(Demand::Manual(ManualDemand { manual: manual?, per_task: per_task?, valid_for: valid_for? }))
}

fn steps_demand(table: &mut Table<'_>) -> Option<Demand> {
    let tasks = whole(1..=limits::TASKS);
    let alarm = table.required("alarm", &id(AlarmName::EXPECTED));
    let add = table.required("add", &tasks);
    let remove = table.or("remove", default_step(), &tasks);
    let cooldown = table.or("cooldown", default_cooldown(), &duration(limits::COOLDOWN));
    Some(Demand::Steps(StepsDemand { alarm: alarm?, add: add?, remove: remove?, cooldown: cooldown? }))
}

fn patch(table: &mut Table<'_>) -> Option<Patch> {
    const STRATEGIES: &[(&str, Strategy)] =
        &[("terminate-first", Strategy::TerminateFirst), ("launch-first", Strategy::LaunchFirst)];
    const REFRESHES: &[(&str, Refresh)] = &[("outdated", Refresh::Outdated), ("all", Refresh::All)];
    let mode = table.optional("mode", &choice(MODES));
    let windows = table.distinct("windows", limits::WINDOWS, &window());
    let strategy = table.or("strategy", Strategy::default(), &choice(STRATEGIES));
    let wave = table.or("wave", Wave::default(), &wave());
    let refresh = table.or("refresh", Refresh::default(), &choice(REFRESHES));
    let settle = table.or("settle", default_settle(), &duration(limits::SETTLE));
    let halt_alarms = table.distinct("halt_alarms", limits::ALARMS, &id(AlarmName::EXPECTED));
    let roll_back = table.or("roll_back", false, &flag());
    let drain_timeout = table.or("drain_timeout", default_drain_timeout(), &duration(limits::DRAIN_TIMEOUT));
    let replace_timeout = table.or("replace_timeout", default_replace_timeout(), &duration(limits::REPLACE_TIMEOUT));
    let borrow = table.or("borrow", false, &flag());
    let bake = table.optional_table("bake", bake);
    Some(Patch {
        mode: mode.field()?,
        windows: windows?,
        strategy: strategy?,
        wave: wave?,
        refresh: refresh?,
        settle: settle?,
        halt_alarms: halt_alarms?,
        roll_back: roll_back?,
        drain_timeout: drain_timeout?,
        replace_timeout: replace_timeout?,
        borrow: borrow?,
        bake: bake.field()?,
    })
}

fn bake(table: &mut Table<'_>) -> Option<Bake> {
    let base_image_parameter = table.required("base_image_parameter", &parameter_name());
    let commands = table.several("commands", limits::COMMANDS, &command());
    let keep = table.or("keep", default_keep(), &whole(1..=limits::KEEP));
    let timeout = table.or("timeout", default_bake_timeout(), &duration(limits::BAKE_TIMEOUT));
    Some(Bake { base_image_parameter: base_image_parameter?, commands: commands?, keep: keep?, timeout: timeout? })
}

fn disruption(table: &mut Table<'_>) -> Option<Disruption> {
    let max_out = table.or("max_out", default_max_out(), &whole(1..=limits::HOSTS));
    Some(Disruption { max_out: max_out? })
}
