//! Which tasks ECS may stop when a count is lowered, and what room is certain to come of it.
//!
//! ECS picks the victims of a scale-in itself: `binpack` takes the task on the host with most room left after the stop,
//! `spread` keeps the balance between the values of its attribute and is random inside one, `random` is random (ECS
//! developer guide, task placement strategies). So the question is always: whichever tasks ECS stops, how many slots does
//! the newcomer get? All choices are tried where that is affordable; otherwise a bound is used that no choice can beat.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_model::Resources;
use evenkeel_model::observed::Placement;
use evenkeel_model::resources::Port;

use crate::books::{Books, Cleared, Live};

/// How much looking a plan may do, over all its searches, in visits to a host.
#[derive(Clone)]
pub(crate) struct Work {
    /// For trying every choice.
    tries: u64,
    /// For bounds, which are cheap and must not starve because too much was tried.
    bounds: u64,
}

/// One search may use this part of what is left for trying, so that one hopeless search leaves enough to the others.
const SHARE: u64 = 8;

impl Work {
    /// Enough to try every choice on small clusters; bounds in proportion to the fleet on large ones.
    pub(crate) fn for_fleet(hosts: usize) -> Self {
        Self { tries: 400_000, bounds: 400_000 + 100 * hosts as u64 }
    }

    /// Pays for a bound, if there is enough left.
    pub(crate) fn spend(&mut self, visits: usize) -> bool {
        pay(&mut self.bounds, visits)
    }
}

fn pay(left: &mut u64, visits: usize) -> bool {
    let visits = visits as u64;
    let enough = *left >= visits;
    *left = left.saturating_sub(visits);
    enough
}

/// Lowers the live tasks of a service by `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lowering {
    pub(crate) service: usize,
    pub(crate) count: u32,
}

/// The slots that `newcomer` has after `lowerings`, whichever tasks ECS stops; `now` are those it has already.
pub(crate) fn certain_slots(
    books: &Books<'_>,
    newcomer: usize,
    now: u32,
    lowerings: &[Lowering],
    work: &mut Work,
) -> u32 {
    // At worst ECS stops the tasks on hosts that were not seen first.
    let seen = |lowering: &Lowering| {
        let count = lowering.count.saturating_sub(books.services[lowering.service].elsewhere);
        (count > 0).then_some(Lowering { service: lowering.service, count })
    };
    let lowerings: Vec<Lowering> = lowerings.iter().filter_map(seen).collect();
    if lowerings.is_empty() {
        return now;
    }
    let places: usize = lowerings.iter().map(|lowering| books.services[lowering.service].on.len()).sum();
    // What goes as a whole leaves no choice: the bound is exact.
    let choice = !lowerings.iter().all(|lowering| goes_whole(books, lowering));
    let tried = if choice && places * lowerings.len() <= MOST_PLACES {
        Choices::new(books, newcomer, &lowerings).fewest_gained(work)
    } else {
        None
    };
    let tasks: u32 = lowerings.iter().map(|lowering| books.services[lowering.service].live()).sum();
    match tried {
        Some(gained) => now + gained,
        None if work.spend(places + tasks as usize) => now + any_victims(books, newcomer, &lowerings),
        // Nothing is known of what comes of it, so nothing is counted on.
        None => now,
    }
}

/// Where more tasks than this could be chosen from, trying every choice is not begun.
const MOST_PLACES: usize = 2_048;

/// The tasks that are left of the lowered services, host by host.
type State = Vec<u32>;

/// Every choice that ECS has, tried one after the other.
struct Choices<'b, 'a> {
    books: &'b Books<'a>,
    newcomer: usize,
    lowerings: &'b [Lowering],
    /// The hosts that have tasks of lowered services.
    hosts: Vec<usize>,
    /// Protected tasks, as `hosts` by `lowerings`.
    protected: State,
    start: State,
    /// What each strategy of each lowered service spreads over: a group number for each host.
    groups: Vec<Vec<Rule>>,
    /// Hosts of one kind are interchangeable as long as they have the same tasks left.
    kinds: Vec<usize>,
}

/// One strategy, ready to narrow the choice of a victim.
enum Rule {
    /// Most of this field left after the stop.
    Binpack(evenkeel_model::observed::Field),
    /// The fullest group; the group of each host.
    Spread(Vec<usize>),
    /// Any.
    Random,
}

impl<'b, 'a> Choices<'b, 'a> {
    fn new(books: &'b Books<'a>, newcomer: usize, lowerings: &'b [Lowering]) -> Self {
        let mut on: BTreeMap<usize, (State, State)> = BTreeMap::new();
        for (index, lowering) in lowerings.iter().enumerate() {
            for live in &books.services[lowering.service].on {
                let nothing = || (vec![0; lowerings.len()], vec![0; lowerings.len()]);
                let (tasks, protected) = on.entry(live.host).or_insert_with(nothing);
                tasks[index] = live.tasks;
                protected[index] = live.protected;
            }
        }
        let hosts: Vec<usize> = on.keys().copied().collect();
        let start = on.values().flat_map(|(tasks, _)| tasks.iter().copied()).collect();
        let protected = on.values().flat_map(|(_, protected)| protected.iter().copied()).collect();
        let alike = lowerings.iter().all(|lowering| books.services[lowering.service].alike);
        let groups = lowerings.iter().map(|lowering| rules(books, lowering.service, &hosts, alike)).collect();
        let mut choices = Self { books, newcomer, lowerings, hosts, protected, start, groups, kinds: Vec::new() };
        choices.kinds = choices.kinds();
        choices
    }

    /// Numbers the hosts so that equal numbers mean: the same room, ports, tasks, newcomer rules and groups.
    fn kinds(&self) -> Vec<usize> {
        let mut known = BTreeMap::new();
        let kind_of = |(k, &host): (usize, &usize)| {
            let book = &self.books.hosts[host];
            let spread = self.groups.iter().flatten().filter_map(|rule| match rule {
                Rule::Spread(group) => Some(group[k]),
                Rule::Binpack(_) | Rule::Random => None,
            });
            // What the newcomer could do with the whole host tells its constraints apart without reading them again.
            let all = self.books.slots_with(self.newcomer, host, Resources::PLENTY, Cleared { ports: &book.ports });
            let protected = self.row(&self.protected, k).to_vec();
            let tasks = self.row(&self.start, k).to_vec();
            let key =
                (book.placeable, book.over, book.ports.clone(), all, tasks, protected, spread.collect::<Vec<_>>());
            let next = known.len();
            *known.entry(key).or_insert(next)
        };
        self.hosts.iter().enumerate().map(kind_of).collect()
    }

    /// The live tasks of a lowered service on the hosts that were seen.
    fn all(&self, index: usize) -> u32 {
        self.start.iter().skip(index).step_by(self.lowerings.len()).sum()
    }

    fn row<'s>(&self, state: &'s [u32], k: usize) -> &'s [u32] {
        let width = self.lowerings.len();
        &state[k * width..(k + 1) * width]
    }

    /// The fewest slots gained over all choices; none when that is too much to try.
    fn fewest_gained(&self, work: &mut Work) -> Option<u32> {
        // A state is paid for when it is kept and when it is looked at.
        let price = self.start.len();
        let mut allowed = work.tries / SHARE;
        work.tries -= allowed;
        let mut seen = BTreeSet::new();
        let mut open = vec![self.start.clone()];
        let mut fewest = u32::MAX;
        while let Some(state) = open.pop() {
            if !pay(&mut allowed, price) {
                return None;
            }
            let mut ended = true;
            for (index, lowering) in self.lowerings.iter().enumerate() {
                let left: u32 = (0..self.hosts.len()).map(|k| self.row(&state, k)[index]).sum();
                let goal = self.all(index).saturating_sub(lowering.count);
                if left <= goal {
                    continue;
                }
                // Where protected tasks are spared, nothing more is stopped once they alone are left.
                ended &= (0..self.hosts.len()).all(|k| self.unprotected(&state, k, index) == 0);
                for k in self.victims(&state, index) {
                    let mut next = state.clone();
                    next[k * self.lowerings.len() + index] -= 1;
                    if seen.insert(next.clone()) {
                        if !pay(&mut allowed, price) {
                            return None;
                        }
                        open.push(next);
                    }
                }
            }
            if ended {
                fewest = fewest.min(self.gained(&state));
            }
        }
        work.tries += allowed;
        (fewest < u32::MAX).then_some(fewest)
    }

    /// The hosts on which ECS may stop a task of the service now, one of each kind.
    ///
    /// Whether a lowered count spares protected tasks is not documented for UpdateService, so both are tried.
    fn victims(&self, state: &[u32], index: usize) -> Vec<usize> {
        let mut found = self.narrowed(state, index, |k| self.row(state, k)[index]);
        if self.protected.iter().any(|&tasks| tasks > 0) {
            found.extend(self.narrowed(state, index, |k| self.unprotected(state, k, index)));
        }
        let mut kinds = BTreeSet::new();
        found.retain(|&k| kinds.insert((self.kinds[k], self.row(state, k))));
        found
    }

    /// Live tasks on a host that nothing protects from being stopped.
    fn unprotected(&self, state: &[u32], k: usize, index: usize) -> u32 {
        self.row(state, k)[index].saturating_sub(self.row(&self.protected, k)[index])
    }

    fn narrowed(&self, state: &[u32], index: usize, tasks: impl Fn(usize) -> u32) -> Vec<usize> {
        let mut found: Vec<usize> = (0..self.hosts.len()).filter(|&k| tasks(k) > 0).collect();
        for rule in &self.groups[index] {
            match rule {
                Rule::Random => {}
                Rule::Binpack(field) => {
                    let gives_back = self.books.services[self.lowerings[index].service].gives_back;
                    keep_largest(&mut found, |k| field.of(self.placeable(state, k).plus(gives_back)));
                }
                Rule::Spread(group) => {
                    let mut sizes: BTreeMap<usize, u32> = BTreeMap::new();
                    for (k, &group) in group.iter().enumerate() {
                        *sizes.entry(group).or_default() += self.row(state, k)[index];
                    }
                    keep_largest(&mut found, |k| sizes[&group[k]]);
                }
            }
        }
        found
    }

    /// The placeable room of a host in this state.
    fn placeable(&self, state: &[u32], k: usize) -> Resources {
        let gone = self.row(&self.start, k).iter().zip(self.row(state, k)).map(|(was, is)| was - is);
        let gone = gone.zip(self.lowerings).fold(Resources::default(), |all, (gone, lowering)| {
            all.plus(self.books.services[lowering.service].gives_back.scaled(gone))
        });
        self.books.hosts[self.hosts[k]].without(gone)
    }

    fn gained(&self, state: &[u32]) -> u32 {
        let gained_on = |(k, &host): (usize, &usize)| {
            if self.row(state, k) == self.row(&self.start, k) {
                return 0;
            }
            let ports = self.cleared(state, k);
            let clear = Cleared { ports: &ports };
            let then = self.books.slots_with(self.newcomer, host, self.placeable(state, k), clear);
            then.saturating_sub(self.books.slots_on(self.newcomer, host))
        };
        self.hosts.iter().enumerate().map(gained_on).sum()
    }

    /// Static ports of services that have no task left on the host.
    fn cleared(&self, state: &[u32], k: usize) -> BTreeSet<Port> {
        let left = self.row(state, k).iter().zip(self.row(&self.start, k)).zip(self.lowerings);
        left.filter(|((left, was), _)| **left == 0 && **was > 0)
            .flat_map(|(_, lowering)| self.books.services[lowering.service].gives_back_ports())
            .collect()
    }
}

fn keep_largest<K: Ord>(found: &mut Vec<usize>, key: impl Fn(usize) -> K) {
    if let Some(largest) = found.iter().map(|&k| key(k)).max() {
        found.retain(|&k| key(k) == largest);
    }
}

/// The strategies of a service over these hosts; none means ECS's default, spread over zones.
///
/// What cannot be followed leaves any choice open from there on: tasks on hosts that were not seen count for ECS, and
/// where not all that may be stopped are `alike`, the room that they give back is not known exactly.
fn rules(books: &Books<'_>, service: usize, hosts: &[usize], alike: bool) -> Vec<Rule> {
    let default = [Placement::Spread("attribute:ecs.availability-zone".to_owned())];
    let book = &books.services[service];
    let followed = |placement: &&Placement| match placement {
        Placement::Binpack(_) => book.elsewhere == 0 && alike,
        Placement::Spread(_) | Placement::Random => book.elsewhere == 0,
    };
    let strategy = book.ecs.map_or(&[][..], |ecs| &ecs.strategy);
    let strategy = if strategy.is_empty() { &default[..] } else { strategy };
    let rule = |placement: &Placement| match placement {
        Placement::Random => Rule::Random,
        Placement::Binpack(field) => Rule::Binpack(*field),
        Placement::Spread(over) => {
            let mut known = BTreeMap::new();
            let group = |&host: &usize| {
                let next = known.len();
                *known.entry(spread_value(books, host, over)).or_insert(next)
            };
            Rule::Spread(hosts.iter().map(group).collect())
        }
    };
    // Whom ECS takes of tasks on several providers is not documented.
    strategy.iter().filter(|_| book.split.is_none()).take_while(followed).map(rule).collect()
}

/// The value that a spread goes over: the host itself, or one of its attributes.
fn spread_value<'h>(books: &'h Books<'_>, host: usize, over: &str) -> Option<&'h str> {
    let host = books.hosts[host].host;
    match over.strip_prefix("attribute:").unwrap_or(over) {
        "instanceId" | "host" => Some(host.id.as_str()),
        "ecs.availability-zone" if host.zone.is_some() => host.zone.as_ref().map(|zone| zone.as_str()),
        attribute => host.attributes.get(attribute).map(String::as_str),
    }
}

/// Whether all of a service's tasks go, on the hosts that were seen: so many are stopped, and none may be spared.
fn goes_whole(books: &Books<'_>, lowering: &Lowering) -> bool {
    let service = &books.services[lowering.service];
    lowering.count + service.elsewhere >= service.live() && service.on.iter().all(|live| live.protected == 0)
}

/// A gain that no choice of victims can go below, for any strategy.
///
/// A service that is lowered to nothing leaves for certain, unless tasks of it are protected; of the others, the one
/// that is certain to give most counts. For that one, host by host the slots gained grow with the tasks stopped in steps; their lower convex hull makes the
/// worst choice a matter of taking the flattest pieces first.
fn any_victims(books: &Books<'_>, newcomer: usize, lowerings: &[Lowering]) -> u32 {
    let whole = |lowering: &&Lowering| goes_whole(books, lowering);
    let mut sure: BTreeMap<usize, (Resources, BTreeSet<Port>)> = BTreeMap::new();
    for lowering in lowerings.iter().filter(whole) {
        let service = &books.services[lowering.service];
        for live in &service.on {
            let (room, ports) = sure.entry(live.host).or_default();
            *room = room.plus(service.gives_back.scaled(live.tasks));
            ports.extend(service.gives_back_ports());
        }
    }
    let slots = |host: usize, more: Resources| {
        let none = (Resources::default(), BTreeSet::new());
        let (room, ports) = sure.get(&host).unwrap_or(&none);
        let placeable = books.hosts[host].without(room.plus(more));
        books.slots_with(newcomer, host, placeable, Cleared { ports })
    };
    let gained: u32 = sure.keys().map(|&host| slots(host, Resources::default()) - books.slots_on(newcomer, host)).sum();
    let partly = lowerings.iter().filter(|lowering| !whole(lowering)).map(|lowering| {
        let service = &books.services[lowering.service];
        let among = |may_go: fn(&Live) -> u32| {
            let steps = service.on.iter().flat_map(|live| {
                let base = slots(live.host, Resources::default());
                let gains = (0..=may_go(live)).map(|gone| slots(live.host, service.gives_back.scaled(gone)) - base);
                hull_steps(&gains.collect::<Vec<_>>())
            });
            cheapest(steps.collect(), lowering.count.min(service.on.iter().map(may_go).sum()))
        };
        // Protected tasks may be stopped like any other, or spared.
        among(|live| live.tasks).min(among(|live| live.tasks - live.protected))
    });
    gained + partly.max().unwrap_or(0)
}

/// A stretch of a lower convex hull: so many tasks, gaining so much in all.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Step {
    tasks: u32,
    gain: u32,
}

impl Step {
    fn slope(self) -> f64 {
        f64::from(self.gain) / f64::from(self.tasks)
    }
}

/// The stretches of the lower convex hull of `gains` (by number of tasks gone), flattest first.
fn hull_steps(gains: &[u32]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for pair in gains.windows(2) {
        let mut step = Step { tasks: 1, gain: pair[1] - pair[0] };
        while let Some(last) = steps.pop_if(|last| last.slope() >= step.slope()) {
            step = Step { tasks: step.tasks + last.tasks, gain: step.gain + last.gain };
        }
        steps.push(step);
    }
    steps
}

/// The least gain of `count` tasks, taking the flattest stretches first; whole slots, because slots are whole.
fn cheapest(mut steps: Vec<Step>, count: u32) -> u32 {
    steps.sort_by(|a, b| a.slope().total_cmp(&b.slope()));
    let mut left = count;
    let mut gain = 0.0;
    for step in steps {
        let taken = step.tasks.min(left);
        gain += step.slope() * f64::from(taken);
        left -= taken;
    }
    ceil(gain)
}

/// Rounds up, but not because of the last binary digit.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "gains are small and not negative")]
fn ceil(value: f64) -> u32 {
    (value - 1e-9).ceil().max(0.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hull_takes_flat_stretches_first() {
        // Two tasks gone before the first slot, then one slot for each.
        assert_eq!(hull_steps(&[0, 0, 1, 2]), [Step { tasks: 1, gain: 0 }, Step { tasks: 2, gain: 2 }]);
        assert_eq!(hull_steps(&[0, 1, 1, 1]), [Step { tasks: 3, gain: 1 }]);
        let two_hosts = [hull_steps(&[0, 0, 1]), hull_steps(&[0, 0, 1])].concat();
        assert_eq!(cheapest(two_hosts.clone(), 2), 0);
        assert_eq!(cheapest(two_hosts, 3), 1);
    }
}
