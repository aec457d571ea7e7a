//! Where ECS puts a service's next task, and which it stops: what its placement strategies compare, read once for as many
//! tasks as are placed or stopped in one go.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use evenkeel_model::observed::{Field, Placement};
use evenkeel_model::{ProviderName, Resources};
use rand::RngExt;

use crate::cluster::{HostNo, ServiceNo, SimHost, TaskNo};
use crate::core::Core;

/// The hosts that there are, as one service's placement sees them. It holds for as long as nothing happens to them but what
/// [`Core::choose_host`] and [`Core::choose_victim`] were asked for.
pub(crate) struct Places {
    hosts: Vec<Place>,
    /// None until any is needed: where no host has room, nothing is compared.
    strategies: Option<Vec<Strategy>>,
    /// The host that was chosen last: what was placed there, or stopped, is not counted yet.
    changed: Option<usize>,
}

struct Place {
    host: HostNo,
    provider: Option<ProviderName>,
    room: Resources,
    /// Whether one more task of the service has room.
    fits: bool,
    /// Its live tasks of the service.
    live: u32,
}

/// A placement strategy with what it compares.
enum Strategy {
    Random,
    Binpack(Field),
    /// The group of each place, and the live tasks of each group.
    Spread {
        group_of: Vec<usize>,
        sizes: Vec<u32>,
    },
}

impl Strategy {
    fn of(placement: Placement, hosts: &[Place], core: &Core) -> Self {
        let over = match placement {
            Placement::Random => return Self::Random,
            Placement::Binpack(field) => return Self::Binpack(field),
            Placement::Spread(over) => over,
        };
        let over = over.trim_start_matches("attribute:");
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        let mut sizes = Vec::new();
        let mut group_of = Vec::with_capacity(hosts.len());
        for place in hosts {
            let next = names.len();
            let group =
                *names.entry(core.cluster.hosts.get(&place.host).map_or("", |host| group(host, over))).or_insert(next);
            sizes.resize(names.len(), 0);
            sizes[group] += place.live;
            group_of.push(group);
        }
        Self::Spread { group_of, sizes }
    }
}

/// What a host counts as where tasks are spread over `over`.
fn group<'a>(host: &'a SimHost, over: &str) -> &'a str {
    match over {
        "instanceId" | "host" => host.seen.id.as_str(),
        attribute => host.seen.attributes.get(attribute).map_or("", String::as_str),
    }
}

/// The tasks that a scale-in may stop, each with the place of its host.
pub(super) struct Victims {
    tasks: Vec<(TaskNo, usize, Resources)>,
    places: Places,
}

impl Core {
    /// The hosts as they are now.
    pub(crate) fn places_for(&self, service: ServiceNo) -> Places {
        let place = |(number, host): (&HostNo, &SimHost)| Place {
            host: *number,
            provider: host.seen.provider.clone(),
            room: host.placeable(),
            fits: self.cluster.fits(service, host),
            live: host.counts_of(service).live(),
        };
        Places { hosts: self.cluster.hosts.iter().map(place).collect(), strategies: None, changed: None }
    }

    /// Counts what has happened on the host that was chosen last.
    fn keep_up(&self, service: ServiceNo, places: &mut Places) {
        let Some(changed) = places.changed.take() else { return };
        let place = &mut places.hosts[changed];
        let Some(host) = self.cluster.hosts.get(&place.host) else { return };
        let before = place.live;
        (place.room, place.live) = (host.placeable(), host.counts_of(service).live());
        place.fits = self.cluster.fits(service, host);
        for strategy in places.strategies.iter_mut().flatten() {
            if let Strategy::Spread { group_of, sizes } = strategy {
                let size = &mut sizes[group_of[changed]];
                *size = *size + place.live - before;
            }
        }
    }

    /// A service's strategies; ECS's default is to spread over zones.
    fn strategies(&self, service: ServiceNo, hosts: &[Place]) -> Vec<Strategy> {
        let own = &self.cluster.services[service].strategy;
        let usual = || vec![Placement::Spread("attribute:ecs.availability-zone".to_owned())];
        let all = if own.is_empty() { usual() } else { own.clone() };
        all.into_iter().map(|placement| Strategy::of(placement, hosts, self)).collect()
    }

    /// The host for one more task: those that fit, narrowed by one strategy after the other, then by chance.
    pub(crate) fn choose_host(&mut self, service: ServiceNo, places: &mut Places) -> Option<HostNo> {
        self.keep_up(service, places);
        let provider = self.cluster.next_provider(service);
        let fits =
            |place: &Place| place.fits && provider.is_none_or(|provider| place.provider.as_ref() == Some(provider));
        let mut fit: Vec<usize> = (0..places.hosts.len()).filter(|place| fits(&places.hosts[*place])).collect();
        if !fit.is_empty() {
            let strategies = places.strategies.get_or_insert_with(|| self.strategies(service, &places.hosts));
            for strategy in strategies {
                match strategy {
                    Strategy::Random => {}
                    Strategy::Binpack(field) => keep_least(&mut fit, |place| field.of(places.hosts[*place].room)),
                    Strategy::Spread { group_of, sizes } => keep_least(&mut fit, |place| sizes[group_of[*place]]),
                }
            }
        }
        let chosen = self.rng.ecs.random_range(0..fit.len().max(1));
        places.changed = fit.get(chosen).copied();
        places.changed.map(|place| places.hosts[place].host)
    }

    /// What a scale-in may stop: tasks that are not protected, on hosts that do not drain.
    pub(super) fn victims(&self, service: ServiceNo) -> Victims {
        let places = self.places_for(service);
        let of_host: BTreeMap<HostNo, usize> =
            places.hosts.iter().enumerate().map(|(place, one)| (one.host, place)).collect();
        let staying = self.cluster.live(service).filter(|(_, task)| !self.is_draining(task) && !task.protected);
        let placed =
            staying.filter_map(|(number, task)| Some((number, *of_host.get(&task.host)?, task.takes.resources)));
        Victims { tasks: placed.collect(), places }
    }

    /// The task that a scale-in stops: those ECS's rule allows, then by chance.
    pub(super) fn choose_victim(&mut self, service: ServiceNo, victims: &mut Victims) -> Option<TaskNo> {
        let Victims { tasks, places } = victims;
        self.keep_up(service, places);
        let strategies = places.strategies.get_or_insert_with(|| self.strategies(service, &places.hosts));
        let mut left: Vec<usize> = (0..tasks.len()).collect();
        for strategy in strategies {
            match strategy {
                Strategy::Random => {}
                Strategy::Binpack(field) => keep_most(&mut left, |task| {
                    let (_, place, takes) = tasks[*task];
                    field.of(places.hosts[place].room.plus(takes))
                }),
                Strategy::Spread { group_of, sizes } => keep_most(&mut left, |task| sizes[group_of[tasks[*task].1]]),
            }
        }
        let chosen = self.rng.ecs.random_range(0..left.len().max(1));
        let (number, place, _) = tasks.remove(*left.get(chosen)?);
        places.changed = Some(place);
        Some(number)
    }
}

/// Keeps what has the least of something, which is looked at once for each.
fn keep_least<T, K: Ord>(found: &mut Vec<T>, key: impl Fn(&T) -> K) {
    keep_most(found, |one| Reverse(key(one)));
}

fn keep_most<T, K: Ord>(found: &mut Vec<T>, key: impl Fn(&T) -> K) {
    let keys: Vec<K> = found.iter().map(key).collect();
    let most = keys.iter().max();
    let mut each = keys.iter();
    found.retain(|_| each.next() == most);
}
