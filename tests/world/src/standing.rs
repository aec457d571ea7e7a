//! How the world stands: what the measures add up over time, computed anew only when something has changed.

use evenkeel_model::Resources;
use evenkeel_model::fleet::{Fleet, Purchase};

use crate::cloud::Cloud;
use crate::cluster::{Cluster, HostNo, ServiceNo, SimHost};
use crate::rolls::Rolls;
use crate::signals::Signals;
use crate::watched::Watched;

/// What there is while time passes.
pub(crate) struct Now<'a> {
    pub(crate) cluster: &'a Watched<Cluster>,
    pub(crate) cloud: &'a Watched<Cloud>,
    pub(crate) signals: &'a Watched<Signals>,
    pub(crate) fleet: &'a Fleet,
    pub(crate) spot_per_mille: u32,
}

/// How hosts and services stand.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    pub(crate) hosts: Hosts,
    /// In the fleet file's order.
    pub(crate) services: Vec<Served>,
    hosts_of: Option<[u64; 3]>,
    services_of: Option<[u64; 2]>,
}

/// Hosts, in capacity units where nothing else is said.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hosts {
    pub(crate) in_service: u32,
    pub(crate) working: u32,
    /// What works and is not on-demand, with what a roll replaces just now.
    pub(crate) others: u32,
    /// What all hosts cost in an hour, and what they would as on-demand ones.
    pub(crate) paid_usd: f64,
    pub(crate) list_usd: f64,
    /// Hosts by purchase kind; the on-demand base of a mixed group is always there, as reserved ones are.
    pub(crate) reserved: u64,
    pub(crate) spot: u64,
    pub(crate) on_demand: u64,
}

/// One service's tasks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Served {
    pub(crate) running: u32,
    /// Not told to stop.
    pub(crate) live: u32,
    /// Asked for, not there, and without a place.
    pub(crate) over_asked: u32,
    /// What a fill service could run: its live tasks and what its holes would hold.
    pub(crate) room: u32,
}

impl Standing {
    /// Computes anew what follows from something that has changed.
    pub(crate) fn keep_up(&mut self, now: &Now<'_>, rolls: &Watched<Rolls>) {
        let hosts_of = Some([now.cluster.changes(), now.cloud.changes(), rolls.changes()]);
        if self.hosts_of != hosts_of {
            (self.hosts, self.hosts_of) = (Hosts::of(now, rolls), hosts_of);
        }
        let services_of = Some([now.cluster.changes(), now.signals.changes()]);
        if self.services_of != services_of {
            (self.services, self.services_of) = (served(now), services_of);
        }
    }
}

impl Hosts {
    fn of(now: &Now<'_>, rolls: &Rolls) -> Self {
        let Now { cluster, cloud, signals: _, fleet: _, spot_per_mille } = now;
        let takes = |host: &HostNo| cluster.hosts.get(host).is_none_or(|host| host.seen.takes_tasks());
        // A host that a roll replaces is missed by nobody.
        let rolled = u32::try_from(rolls.out(cloud)).unwrap_or(u32::MAX);
        let (paid_usd, list_usd) = cloud.usd_an_hour(*spot_per_mille);
        let mut hosts = Self {
            working: cloud.working(|_| true),
            others: cloud.working(|purchase| purchase != Purchase::OnDemand) + rolled,
            paid_usd,
            list_usd,
            ..Self::default()
        };
        for (number, one) in cloud.instances.iter().filter(|(_, one)| !one.ended) {
            let group = &cloud.groups[one.group];
            if one.works && takes(number) {
                hosts.in_service += group.units;
            }
            *match one.purchase {
                Purchase::Reserved | Purchase::Mixed => &mut hosts.reserved,
                Purchase::Spot => &mut hosts.spot,
                Purchase::OnDemand => &mut hosts.on_demand,
            } += 1;
        }
        hosts
    }
}

fn served(now: &Now<'_>) -> Vec<Served> {
    let cluster: &Cluster = now.cluster;
    // Those of the cluster, with some that are nobody's behind those of the fleet file.
    let served = |service: ServiceNo| {
        let counts = cluster.tasks.counts(service);
        Served { running: counts.running, live: counts.live(), ..Served::default() }
    };
    let mut services: Vec<Served> = (0..cluster.services.len()).map(served).collect();
    // A lowered count that ECS has not acted on yet makes room within a second or so: what was asked for together
    // is judged together.
    let lowering = services.iter().zip(&cluster.services).any(|(served, service)| served.live > service.desired);
    let live: Vec<u32> = services.iter().map(|served| served.live).collect();
    let mut placeable: Option<Vec<(&SimHost, Resources)>> = None;
    for (service, file) in now.fleet.services.iter().enumerate() {
        let missing = cluster.services[service].desired.saturating_sub(live[service]);
        let asks = missing > 0 && !lowering;
        if !asks && !file.fill {
            continue;
        }
        let hosts =
            placeable.get_or_insert_with(|| cluster.hosts.values().map(|host| (host, host.placeable())).collect());
        if asks {
            services[service].over_asked = missing.saturating_sub(slots(cluster, hosts, service));
        }
        if file.fill {
            services[service].room = live[service] + holes(now, hosts, &live, service);
        }
    }
    services
}

/// How many more tasks of a service ECS would place now, on hosts with this much placeable room.
fn slots(cluster: &Cluster, hosts: &[(&SimHost, Resources)], service: ServiceNo) -> u32 {
    let need = cluster.services[service].task.resources;
    let single = !cluster.services[service].task.ports.is_empty();
    let fits = |(host, room): &(&SimHost, Resources)| match cluster.fits_in(service, host, *room) {
        false => 0,
        true if single => 1,
        true => room.times(need).min(10_000),
    };
    hosts.iter().map(fits).sum()
}

/// Holes of a fill service's size, hole by hole, after the unmet wants and the headroom of all higher tiers were set
/// aside where they leave most.
fn holes(now: &Now<'_>, hosts: &[(&SimHost, Resources)], live: &[u32], service: ServiceNo) -> u32 {
    let Now { cluster, cloud: _, signals, fleet, spot_per_mille: _ } = now;
    let need = cluster.services[service].task.resources;
    let fit = hosts.iter().filter(|(host, room)| cluster.fits_in(service, host, *room));
    let mut rooms: Vec<Resources> = fit.map(|(_, room)| *room).collect();
    let own = &fleet.services[service];
    for (other, file) in fleet.services.iter().enumerate().filter(|(_, file)| file.priority < own.priority) {
        let size = cluster.services[other].task.resources;
        let live = live[other];
        let wanted = signals.needs(other).unwrap_or(live).max(file.min_tasks).min(file.ceiling());
        let mut aside = wanted.saturating_sub(live) + file.headroom_tasks;
        // Each goes to the tightest room that takes it, which stays the tightest for the next one.
        let mut open: Vec<&mut Resources> = rooms.iter_mut().filter(|room| room.times(size) > 0).collect();
        if aside > 0 {
            open.sort_by_key(|room| (room.cpu, room.memory));
        }
        for room in open {
            let here = room.times(size).min(aside);
            *room = room.minus(size.scaled(here));
            aside -= here;
        }
    }
    rooms.iter().map(|room| room.times(need).min(10_000)).sum()
}
