//! From options to a world.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use evenkeel_model::fleet::Fleet;
use evenkeel_model::{PoolName, ServiceName};
use evenkeel_world::demand::{self, DemandOption, Scale, Series, Walk};
use evenkeel_world::setup::{HostType, Setup, millis};
use evenkeel_world::spot::Trace;
use evenkeel_world::{Faults, Source, World, room_for};

use super::{FleetOptions, read_file, read_fleet};

/// Where demand comes from.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemandOptions {
    /// A service's demand from a CSV file (`timestamp,value`, or arrivals), as it is, times a factor, or fitted to the
    /// fleet (the default): its 99th percentile then needs 90 % of the room. A number is a demand that stays the same.
    /// Without it, demand is random.
    #[arg(long, value_name = "SERVICE=NUMBER|FILE[:FACTOR|:fit]")]
    demand: Vec<String>,
    /// How many spot hosts a spot or mixed pool's market gives over time, scaled so that the file's maximum is as many
    /// as the pool has at the start: {"metadata":{"gap_seconds":N},"data":[...]}, or lines of time_ms,add|remove,node.
    #[arg(long, value_name = "POOL=FILE")]
    spot: Vec<String>,
    /// The instance type of a pool's hosts: what they cost, and what their agents register.
    #[arg(long = "type", value_name = "POOL=TYPE")]
    types: Vec<String>,
    /// The market warns nobody before it takes a host.
    #[arg(long)]
    no_warnings: bool,
    /// Publishes a new launch template version with a fresh image for every pool after this long, and rolls the fleet
    /// onto it, as its file's `[patch]` says.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    patch_at: Option<Duration>,
}

/// What a run is made of.
pub(crate) struct Made {
    pub(crate) fleet: Fleet,
    pub(crate) setup: Setup,
    pub(crate) demand: BTreeMap<ServiceName, Series>,
    /// Demands that stay the same.
    pub(crate) levels: BTreeMap<ServiceName, f64>,
    /// What the market gives to spot pools.
    pub(crate) spot: BTreeMap<PoolName, Trace>,
    /// When the fleet is patched.
    pub(crate) patch_at: Option<Duration>,
    pub(crate) seed: u64,
    /// What was odd about the demand files.
    pub(crate) notes: Vec<String>,
}

impl Made {
    /// Reads all files; nothing is simulated before all of them are good.
    pub(crate) fn read(fleet: &FleetOptions, demand: &DemandOptions) -> Result<Self> {
        let seed = fleet.seed;
        let (fleet, setup) = read_setup(fleet)?;
        let mut made = Self {
            fleet,
            setup,
            demand: BTreeMap::new(),
            levels: BTreeMap::new(),
            spot: BTreeMap::new(),
            patch_at: demand.patch_at,
            seed,
            notes: Vec::new(),
        };
        if made.patch_at.is_some() && made.fleet.patch.is_none() {
            bail!("--patch-at: fleet {} has no [patch], so nothing may be rolled", made.fleet.name);
        }
        if demand.no_warnings {
            made.setup.spot.warned_per_mille = 0;
        }
        for option in &demand.types {
            made.set_type(option)?;
        }
        for option in &demand.spot {
            made.add_spot(option)?;
        }
        for option in &demand.demand {
            made.add_demand(option)?;
        }
        Ok(made)
    }

    fn add_demand(&mut self, option: &str) -> Result<()> {
        let number = option.split_once('=').and_then(|(_, value)| value.parse::<f64>().ok());
        let DemandOption { service: name, path, scale } = option.parse()?;
        let Some(service) = self.fleet.services.iter().find(|service| service.name == name) else {
            bail!("--demand {option}: the fleet has no service {name}");
        };
        if service.demand.is_none() {
            bail!("--demand {option}: {name} fills what is left, so it has no demand");
        }
        if let Some(level) = number.filter(|level| level.is_finite() && *level >= 0.0) {
            if self.demand.contains_key(&name) || self.levels.insert(name.clone(), level).is_some() {
                bail!("--demand {option}: {name} has a demand already");
            }
            return Ok(());
        }
        let (series, notes) = demand::read(&path)?;
        self.notes.extend(notes.into_iter().map(|note| format!("{}: {note}", path.display())));
        let series = match scale {
            Scale::Factor(factor) => series.scaled(factor),
            Scale::Fit => {
                let room = room_for(&self.fleet, &self.setup, service);
                demand::fit(series, room, demand::per_task(service)).with_context(|| path.display().to_string())?
            }
        };
        if self.levels.contains_key(&name) || self.demand.insert(name.clone(), series).is_some() {
            bail!("--demand {option}: {name} has a demand already");
        }
        Ok(())
    }

    fn set_type(&mut self, option: &str) -> Result<()> {
        let Some((name, kind)) = option.split_once('=') else { bail!("--type {option}: expected POOL=TYPE") };
        let Some(pool) = self.fleet.pools.iter().find(|pool| pool.name.as_str() == name) else {
            bail!("--type {option}: the fleet has no pool {name}");
        };
        let kind: HostType = kind.parse().with_context(|| format!("--type {option}"))?;
        self.setup.pool.entry(pool.name.clone()).or_default().set_type(kind);
        Ok(())
    }

    fn add_spot(&mut self, option: &str) -> Result<()> {
        let Some((name, path)) = option.split_once('=') else { bail!("--spot {option}: expected POOL=FILE") };
        let Some(pool) = self.fleet.pools.iter().find(|pool| pool.name.as_str() == name) else {
            bail!("--spot {option}: the fleet has no pool {name}");
        };
        if !pool.purchase.has_spot() {
            bail!("--spot {option}: {name} has no spot hosts");
        }
        let path = Path::new(path);
        let text = String::from_utf8(read_file(path)?).with_context(|| path.display().to_string())?;
        let trace = Trace::read(&text).with_context(|| path.display().to_string())?;
        if self.spot.insert(pool.name.clone(), trace).is_some() {
            bail!("--spot {option}: {name} has a market already");
        }
        Ok(())
    }

    /// The longest of the demand and spot files.
    pub(crate) fn whole(&self) -> Option<Duration> {
        let spot = self.spot.values().map(|trace| Duration::from_millis(trace.length()));
        self.demand.values().map(Series::length).chain(spot).max()
    }

    /// The world at its beginning.
    pub(crate) fn world(self, faults: Faults) -> World {
        let Self { fleet, setup, mut demand, levels, spot, patch_at, seed, notes: _ } = self;
        let rooms: BTreeMap<ServiceName, f64> = fleet
            .services
            .iter()
            .map(|service| {
                (service.name.clone(), f64::from(room_for(&fleet, &setup, service)) * demand::per_task(service))
            })
            .collect();
        let mut purpose = 100;
        let mut world = World::new(fleet, setup, seed, faults, |service| {
            purpose += 1;
            service.demand.as_ref()?;
            if let Some(level) = levels.get(&service.name) {
                return Some(Source::Level(*level));
            }
            Some(match demand.remove(&service.name) {
                Some(series) => Source::Series(series),
                None => Source::Walk(Box::new(Walk::new(
                    seed,
                    purpose,
                    rooms.get(&service.name).copied().unwrap_or(0.0) * 0.9,
                ))),
            })
        });
        for (pool, trace) in &spot {
            world.follow(pool, trace).unwrap_or_else(|_| unreachable!("the pool was checked when its file was read"));
        }
        if let Some(at) = patch_at {
            world.patch_at(millis(at));
        }
        world
    }
}

fn read_setup(options: &FleetOptions) -> Result<(Fleet, Setup)> {
    let fleet = read_fleet(options.fleet.as_deref())?;
    let setup = match &options.setup {
        None => Setup::for_fleet(&fleet),
        Some(path) => {
            let place = || path.display().to_string();
            let text = String::from_utf8(read_file(path)?).with_context(place)?;
            Setup::read(&text, &fleet).with_context(place)?
        }
    };
    Ok((fleet, setup))
}

/// A duration in words, such as `24h` or `90s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    evenkeel_model::fleet::words::parse(text).map_err(|error| error.to_string())
}
