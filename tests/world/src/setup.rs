//! What the fleet file does not say and AWS would know: host types, task sizes, how long starts and stops take.
//!
//! A setup is a TOML file of its own, and everything in it has a default, so that any fleet file can be tried as it is.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_model::fleet::{Fleet, Pool, Purchase, Service};
use evenkeel_model::groups::ScaledBy;
use evenkeel_model::observed::{Constraint, Placement, ProviderShare};
use evenkeel_model::resources::Port;
use evenkeel_model::templates::VersionSpec;
use evenkeel_model::{AlarmName, PoolName, ProviderName, Resources, ServiceName, Zone};
use rand::{Rng, RngExt};
use serde::Deserialize;

mod hook;
mod types;

pub use self::hook::{HookResult, HookSetup};
pub use self::types::{HostType, MixedType, UnknownType};
pub use crate::cloud::BakeSetup;

/// The setups of the example fleets.
const KNOWN: [(&str, &str); 3] = [
    ("demo", include_str!("../setups/demo.toml")),
    ("shop", include_str!("../setups/shop.toml")),
    ("thousand", include_str!("../setups/thousand.toml")),
];

/// A simulated cloud, before it starts.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Setup {
    /// The hosts of each pool; a pool that is not named gets its share of `[hosts]`.
    pub pool: BTreeMap<PoolName, PoolSetup>,
    /// The services; one that is not named gets the default size.
    pub service: BTreeMap<ServiceName, ServiceSetup>,
    /// Room that a daemon takes on every host.
    pub daemon: Resources,
    /// Tasks that belong to nobody, spread over the hosts.
    pub unmanaged_tasks: u32,
    /// What ECS does, as far as it is a number.
    pub ecs: EcsSetup,
    /// What the spot market does, as far as it is a number.
    pub spot: SpotSetup,
    /// What CloudWatch tells of the fleet's alarms.
    pub alarms: AlarmSetup,
    /// How images are baked.
    pub bake: BakeSetup,
}

/// The hosts of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolSetup {
    /// How many hosts there are at the start; none: the pool's share of `[hosts]`.
    pub hosts: Option<u32>,
    /// What a host's agent registers.
    pub registers: Resources,
    /// The zones that hosts are spread over.
    pub zones: Vec<Zone>,
    /// USD an hour and host if it were on-demand.
    pub on_demand_usd: Usd,
    /// The instance type, for what `registers` and `on_demand_usd` do not say.
    #[serde(rename = "type")]
    pub kind: Option<HostType>,
    /// Several types, of which each launch draws one.
    pub types: Vec<MixedType>,
    /// `OnDemandBaseCapacity` of a mixed group, in hosts; the rest is spot. None: its share of `minimum` in `[hosts]`.
    pub on_demand_base: Option<u32>,
    /// `MinSize` of the group.
    pub min: u32,
    /// `MaxSize` of the group; none: whatever the fleet may need.
    pub max: Option<u32>,
    /// From usable to the agent's registration: what boot does besides, updates included.
    pub boot: Spread,
    /// How long a launch hook holds a new instance.
    pub launch_hook_seconds: u64,
    /// How long a terminate hook holds an instance, after its deregistration.
    pub terminate_hook_seconds: u64,
    /// A launch hook that somebody minds, or nobody; it comes after `launch_hook_seconds`.
    pub launch_hook: Option<HookSetup>,
    /// A terminate hook, the same.
    pub terminate_hook: Option<HookSetup>,
    /// The load balancer's deregistration delay, before an instance ends; zero without one.
    pub deregistration_seconds: u64,
    /// Whether the group evens out its zones.
    pub az_rebalance: bool,
    /// Stopped instances in the group's warm pool.
    pub warm_pool: u32,
    /// Whether the group answers rebalance recommendations itself.
    pub capacity_rebalancing: bool,
    /// Which version of its launch template the group asks for.
    pub version: VersionSpec,
    /// How old the image of the first version is when the world begins.
    pub image_age_days: u64,
    /// What boot takes longer for each day of an image's age, because of the updates that it is behind with.
    pub update_seconds_per_day: u64,
    /// Whether the group is behind a load balancer; none: where there is no cluster and a deregistration delay.
    pub target_group: Option<bool>,
    /// From the application's start to the first health check that it passes.
    pub check: Spread,
    /// Whether the group replaces instances that their load balancer finds unhealthy (`HealthCheckType` ELB).
    pub elb_health: bool,
    /// `HealthCheckGracePeriod`: how long the group overlooks that.
    pub grace_seconds: u64,
    /// `NewInstancesProtectedFromScaleIn`.
    pub protected: bool,
    /// The capacity provider whose group it is.
    pub provider: Option<ProviderName>,
    /// What else sets the group's capacity, as far as is told; nothing of it is played.
    pub scaled_by: Option<ScaledBy>,
    /// ECS attributes of its hosts, besides those that say its pool and its zone.
    pub attributes: BTreeMap<String, String>,
}

impl PoolSetup {
    /// Every host is of this type from now on.
    pub fn set_type(&mut self, kind: HostType) {
        (self.registers, self.on_demand_usd, self.kind) = (kind.registers(), kind.on_demand_usd(), Some(kind));
        self.types.clear();
    }

    /// How long a launch is held, and what comes of it.
    #[must_use]
    pub fn launch_held(&self) -> (u64, HookResult) {
        let (held, result) = self.launch_hook.map_or((0, HookResult::Continue), |hook| hook.ends());
        (self.launch_hook_seconds + held, result)
    }

    /// How long a termination is held; both results of a hook end the instance.
    #[must_use]
    pub fn terminate_held(&self) -> u64 {
        self.terminate_hook_seconds + self.terminate_hook.map_or(0, |hook| hook.ends().0)
    }

    /// What the agent of a host of one of the types registers, and its price; the pool's without types.
    #[must_use]
    pub fn of_type(&self, number: usize) -> (Resources, Usd) {
        let Some(mixed) = self.types.get(number) else { return (self.registers, self.on_demand_usd) };
        let registers = mixed.registers.or_else(|| mixed.kind.map(HostType::registers));
        let usd = mixed.on_demand_usd.or_else(|| mixed.kind.map(HostType::on_demand_usd));
        (registers.unwrap_or(self.registers), usd.unwrap_or(self.on_demand_usd))
    }

    /// Whether the pool's group is behind a load balancer.
    #[must_use]
    pub fn is_balanced(&self, fleet: &Fleet) -> bool {
        self.target_group.unwrap_or(fleet.cluster.is_none() && self.deregistration_seconds > 0)
    }
}

/// What the spot market does, as far as it is a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpotSetup {
    /// How many of 1,000 instances are warned two minutes before they are taken.
    pub warned_per_mille: u32,
    /// How many of 1,000 warnings come with a rebalance recommendation.
    pub rebalance_per_mille: u32,
    /// The price, in thousandths of the on-demand price.
    pub price_per_mille: u32,
}

impl Default for SpotSetup {
    fn default() -> Self {
        // Spot is typically about 65 % below on-demand.
        Self { warned_per_mille: 1_000, rebalance_per_mille: 300, price_per_mille: 350 }
    }
}

/// What CloudWatch tells of the fleet's alarms.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlarmSetup {
    /// Whether they are on metrics that can be read; composite alarms and metric math are not.
    pub levels: bool,
    /// Those that are not, where others are.
    pub without_level: Vec<AlarmName>,
    /// The period of their metrics.
    pub period_seconds: u64,
}

impl Default for AlarmSetup {
    fn default() -> Self {
        Self { levels: true, without_level: Vec::new(), period_seconds: 60 }
    }
}

/// Hundredths of a cent, so that setups can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "f64")]
pub struct Usd(u64);

impl From<f64> for Usd {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "prices are small and not negative")]
    fn from(usd: f64) -> Self {
        Self((usd.max(0.0) * 10_000.0).round() as u64)
    }
}

impl Usd {
    /// USD.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "prices are small")]
    pub fn usd(self) -> f64 {
        self.0 as f64 / 10_000.0
    }
}

impl Default for PoolSetup {
    fn default() -> Self {
        let zone = |letter: &str| Zone::new(&format!("eu-west-1{letter}")).ok();
        Self {
            hosts: None,
            // m5.large: 2 vCPU and 8 GiB, of which the agent registers 90 to 97.5 % (published answers of
            // describe-container-instances); 0.096 USD an hour in us-east-1.
            registers: Resources::new(2048, 7764),
            zones: ["a", "b", "c"].into_iter().filter_map(zone).collect(),
            on_demand_usd: Usd::from(0.096),
            kind: None,
            types: Vec::new(),
            on_demand_base: None,
            min: 0,
            max: None,
            boot: Spread { least: 20_000, usual: 30_000, most: 45_000 },
            launch_hook_seconds: 0,
            terminate_hook_seconds: 0,
            launch_hook: None,
            terminate_hook: None,
            deregistration_seconds: 0,
            az_rebalance: true,
            warm_pool: 0,
            capacity_rebalancing: false,
            version: VersionSpec::Latest,
            image_age_days: 0,
            update_seconds_per_day: 1,
            target_group: None,
            // Checks come every 30 s by default, and the first that is passed counts (Elastic Load Balancing user guide,
            // "Health checks for Application Load Balancer target groups").
            check: Spread { least: 1_000, usual: 15_000, most: 31_000 },
            elb_health: false,
            grace_seconds: 300,
            protected: false,
            provider: None,
            scaled_by: None,
            attributes: BTreeMap::new(),
        }
    }
}

/// A service's tasks.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceSetup {
    /// What one task needs.
    pub task: Resources,
    /// Its static host ports.
    pub ports: Vec<Port>,
    /// ECS's placement strategy; empty is ECS's default.
    pub strategy: Vec<Placement>,
    /// Placement constraints, those of the task definition included.
    pub constraints: Vec<Constraint>,
    /// The capacity providers that its tasks go to; none: to any host.
    pub providers: Vec<ProviderShare>,
    /// From the agent's begin to RUNNING.
    pub start: Spread,
    /// From the stop order to STOPPED, where the container minds SIGTERM.
    pub stop: Spread,
    /// How many of 1,000 tasks ignore SIGTERM and are killed after the stop timeout.
    pub stubborn_per_mille: u32,
    /// `stopTimeout`; 30 s by default on EC2.
    pub stop_timeout_seconds: u32,
    /// Tasks that run at the start.
    pub running: Option<u32>,
    /// `minimumHealthyPercent`.
    pub minimum_percent: u32,
    /// `maximumPercent`.
    pub maximum_percent: u32,
    /// The target group's deregistration delay: added to each stop.
    pub deregistration_seconds: u32,
}

impl Default for ServiceSetup {
    fn default() -> Self {
        Self {
            task: Resources::new(256, 512),
            ports: Vec::new(),
            strategy: Vec::new(),
            constraints: Vec::new(),
            providers: Vec::new(),
            // The demo of the first microscaling project saw about 4 s; captured starts took 8.3 and 9.0 s.
            start: Spread { least: 3_000, usual: 4_000, most: 9_000 },
            stop: Spread { least: 1_000, usual: 3_000, most: 12_000 },
            stubborn_per_mille: 10,
            stop_timeout_seconds: 30,
            running: None,
            minimum_percent: 100,
            maximum_percent: 200,
            deregistration_seconds: 0,
        }
    }
}

/// A time that varies: triangular between `least` and `most`, most often `usual`; all in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Never shorter.
    pub least: u64,
    /// Most often about this.
    pub usual: u64,
    /// Never longer.
    pub most: u64,
}

impl Spread {
    /// One such time, in milliseconds.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "milliseconds of hours fit a double"
    )]
    pub fn draw<R: Rng>(&self, rng: &mut R) -> u64 {
        let (least, usual, most) = (self.least as f64, self.usual as f64, self.most.max(self.least) as f64);
        let width = most - least;
        if width <= 0.0 {
            return self.least;
        }
        let rise = (usual - least).clamp(0.0, width);
        let chance: f64 = rng.random();
        let time = if chance < rise / width {
            least + (chance * width * rise).sqrt()
        } else {
            most - ((1.0 - chance) * width * (width - rise)).sqrt()
        };
        time as u64
    }
}

/// What ECS does, as far as it is a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EcsSetup {
    /// From a count's change to what the scheduler does about it.
    pub scheduler: Spread,
    /// How long it goes on trying to place a task (reproio/ecs_deploy PR 53: about 50 s; from 2018).
    pub tries_for_seconds: u64,
    /// How long it then does nothing (the same source: about 5 minutes).
    pub backs_off_seconds: u64,
    /// How many of 1,000 tasks that are placed where another is stopping are forgotten by the agent until something
    /// else happens on the host (amazon-ecs-agent #5138).
    pub forgotten_per_mille: u32,
    /// How long such a task stays PENDING at most (15 to 20 minutes).
    pub forgotten_for: Spread,
    /// From the end of a metric's period until it can be read.
    pub metric_delay_seconds: u64,
}

impl Default for EcsSetup {
    fn default() -> Self {
        Self {
            scheduler: Spread { least: 200, usual: 500, most: 1_500 },
            tries_for_seconds: 50,
            backs_off_seconds: 300,
            forgotten_per_mille: 0,
            forgotten_for: Spread { least: 900_000, usual: 1_000_000, most: 1_200_000 },
            metric_delay_seconds: 2,
        }
    }
}

/// Why a setup is not usable.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Not TOML, or not a setup.
    #[error("setup not understood")]
    Syntax(#[from] toml::de::Error),
    /// It names what the fleet file does not have.
    #[error("setup names {what} {name:?}, which the fleet file does not have")]
    Unknown {
        /// A pool or a service.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// It gives a base to a pool that has none.
    #[error("setup gives pool {0} an on_demand_base, and its purchase is not \"mixed\"")]
    NotMixed(PoolName),
}

impl Setup {
    /// Reads a setup and checks it against the fleet.
    ///
    /// # Errors
    /// [`SetupError`] with the line, or the name that is wrong.
    pub fn read(text: &str, fleet: &Fleet) -> Result<Self, SetupError> {
        let mut setup: Self = toml::from_str(text)?;
        let said: toml::Table = toml::from_str(text)?;
        for (name, pool) in &mut setup.pool {
            let says = |what: &str| said.get("pool")?.get(name.as_str())?.get(what);
            let Some(kind) = pool.kind else { continue };
            if says("registers").is_none() {
                pool.registers = kind.registers();
            }
            if says("on_demand_usd").is_none() {
                pool.on_demand_usd = kind.on_demand_usd();
            }
        }
        for name in setup.pool.keys() {
            if !fleet.pools.iter().any(|pool| pool.name == *name) {
                return Err(SetupError::Unknown { what: "pool", name: name.to_string() });
            }
        }
        let of_mixed =
            |name: &PoolName| fleet.pools.iter().any(|pool| pool.name == *name && pool.purchase == Purchase::Mixed);
        for (name, pool) in &setup.pool {
            if pool.on_demand_base.is_some() && !of_mixed(name) {
                return Err(SetupError::NotMixed(name.clone()));
            }
        }
        for name in setup.service.keys() {
            if !fleet.services.iter().any(|service| service.name == *name) {
                return Err(SetupError::Unknown { what: "service", name: name.to_string() });
            }
        }
        Ok(setup)
    }

    /// The setup of an example fleet, or the default one for any other.
    #[must_use]
    pub fn for_fleet(fleet: &Fleet) -> Self {
        let known = KNOWN.iter().find(|(name, _)| *name == fleet.name.as_str());
        known.and_then(|(_, text)| Self::read(text, fleet).ok()).unwrap_or_default()
    }

    /// A pool's setup, the on-demand base of a mixed one included, with the number of its hosts.
    #[must_use]
    pub fn hosts_of(&self, fleet: &Fleet, pool: &PoolName) -> (PoolSetup, u32) {
        let mut setup = self.pool.get(pool).cloned().unwrap_or_default();
        let (stay, spot) = shares(fleet, pool);
        let base = *setup.on_demand_base.get_or_insert(stay);
        let hosts = setup.hosts.unwrap_or(base + spot).max(setup.min);
        (setup, hosts)
    }

    /// A service's setup.
    #[must_use]
    pub fn service(&self, name: &ServiceName) -> ServiceSetup {
        self.service.get(name).cloned().unwrap_or_default()
    }
}

/// A pool's share of `[hosts]`, in hosts: those that are always there, and spot ones. Spot gives what `steady` has above
/// `minimum`, reserved and the bases of mixed groups the rest, on-demand none. `[hosts]` counts capacity units, the share
/// whole hosts.
fn shares(fleet: &Fleet, pool: &PoolName) -> (u32, u32) {
    let stays = |own: &Pool| matches!(own.purchase, Purchase::Reserved | Purchase::Mixed);
    let any_stays = fleet.pools.iter().any(stays);
    // Without anything else the fleet lives on on-demand hosts.
    let stands = |own: &Pool| stays(own) || (own.purchase == Purchase::OnDemand && !any_stays);
    let is_spot = |own: &Pool| own.purchase.has_spot();
    let spot = if fleet.pools.iter().any(is_spot) { fleet.hosts.steady - fleet.hosts.minimum } else { 0 };
    let part = |units: u32, of: &dyn Fn(&Pool) -> bool| {
        let peers: Vec<_> = fleet.pools.iter().filter(|peer| of(peer)).collect();
        let Some(place) = peers.iter().position(|peer| peer.name == *pool) else { return 0 };
        let [count, place] = [peers.len(), place].map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        (units / count + u32::from(place < units % count)).div_ceil(peers[place as usize].units)
    };
    (part(fleet.hosts.steady - spot, &stands), part(spot, &is_spot))
}

/// The most tasks of a service that the fleet's steady hosts have room for when nothing else runs on them but daemons.
#[must_use]
pub fn room_for(fleet: &Fleet, setup: &Setup, service: &Service) -> u32 {
    let task = setup.service(&service.name);
    let in_pool = |pool: &Pool| {
        let (pool, hosts) = setup.hosts_of(fleet, &pool.name);
        let of_type = |number: usize| pool.of_type(number).0.minus(setup.daemon).times(task.task);
        let fits = (0..pool.types.len().max(1)).map(of_type).min().unwrap_or(0);
        hosts * if task.ports.is_empty() { fits.min(10_000) } else { fits.min(1) }
    };
    fleet.pools.iter().map(in_pool).sum::<u32>().min(service.ceiling())
}

/// Milliseconds of a duration.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
