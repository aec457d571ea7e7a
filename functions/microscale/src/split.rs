//! How ECS splits a service's tasks over several capacity providers.
//!
//! Each provider gets its `base` first, and of the tasks beyond all bases a part by its `weight`; a provider that is full is
//! not passed over: what should go to it waits (ECS developer guide, "Amazon ECS capacity providers", strategies). So a
//! service has room for as many tasks more as no provider is short of.

use evenkeel_model::ProviderName;
use evenkeel_model::observed::{Host, ProviderShare};

/// More tasks than this are not counted for one service: it is above what any count may be.
const MOST: u32 = 1_000_000;

/// A service's strategy, with the hosts of each of its providers.
#[derive(Debug, Clone)]
pub(crate) struct Split {
    shares: Vec<Share>,
}

#[derive(Debug, Clone)]
struct Share {
    base: u32,
    weight: u32,
    /// The indices of its hosts, in the books' order.
    hosts: Vec<usize>,
}

impl Split {
    /// None where one provider has all tasks: then it is like any service that may be on some hosts only.
    pub(crate) fn of<'h>(shares: &[ProviderShare], hosts: impl Iterator<Item = &'h Host>) -> Option<Self> {
        let providers: Vec<Option<&ProviderName>> = hosts.map(|host| host.provider.as_ref()).collect();
        let used = shares.iter().filter(|share| share.base + share.weight > 0);
        let share = |share: &ProviderShare| {
            let own = (0..providers.len()).filter(|&host| providers[host] == Some(&share.provider));
            Share { base: share.base, weight: share.weight, hosts: own.collect() }
        };
        let shares: Vec<Share> = used.map(share).collect();
        (shares.len() > 1).then_some(Self { shares })
    }

    /// How many more tasks are certain to find a place, with `live_on` on each host already and room for `slots_on` more.
    pub(crate) fn slots(&self, live_on: impl Fn(usize) -> u32, slots_on: impl Fn(usize) -> u32) -> u32 {
        let live: Vec<u32> = self.shares.iter().map(|share| share.sum(&live_on)).collect();
        let could: Vec<u32> =
            self.shares.iter().zip(&live).map(|(share, live)| share.sum(&slots_on).saturating_add(*live)).collect();
        let there: u32 = live.iter().sum();
        // The most tasks that may be there in all so that no provider has to hold more than it can.
        let fits = |all: u32| self.shares.iter().zip(&could).all(|(share, could)| self.quota(share, all) <= *could);
        let (mut enough, mut too_many) = (there, MOST);
        while enough + 1 < too_many {
            let middle = enough.midpoint(too_many);
            if fits(middle) {
                enough = middle;
            } else {
                too_many = middle;
            }
        }
        enough - there
    }

    /// The most places that one place less on a host can take away, with `live_on` on each host already.
    pub(crate) fn worst(&self, live_on: impl Fn(usize) -> u32) -> u32 {
        let weights: u32 = self.shares.iter().map(|share| share.weight).sum();
        let takes = |share: &Share| match share.weight {
            // Where a base has no place, nothing has.
            _ if share.sum(&live_on) < share.base => MOST,
            0 => 1,
            weight => weights.div_ceil(weight),
        };
        self.shares.iter().map(takes).max().unwrap_or(1)
    }

    /// The most of `all` tasks that ECS may want on a provider: which one a remainder goes to is not documented, so each may
    /// get it.
    fn quota(&self, share: &Share, all: u32) -> u32 {
        let bases: u32 = self.shares.iter().map(|share| share.base).sum();
        let weights: u64 = self.shares.iter().map(|share| u64::from(share.weight)).sum();
        let beyond = u64::from(all.saturating_sub(bases)) * u64::from(share.weight);
        share.base.min(all) + u32::try_from(beyond.div_ceil(weights.max(1))).unwrap_or(u32::MAX)
    }
}

impl Share {
    /// What `of` gives for its hosts, added up.
    fn sum(&self, of: &impl Fn(usize) -> u32) -> u32 {
        self.hosts.iter().map(|&host| of(host)).fold(0, u32::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(shares: [(u32, u32); 2]) -> Split {
        let host = |provider: &str| -> Host {
            let text =
                serde_json::json!({ "id": provider, "status": "ACTIVE", "registered": {}, "provider": provider });
            serde_json::from_value(text).unwrap()
        };
        let share = |provider: &str, (base, weight)| ProviderShare {
            provider: provider.parse().unwrap(),
            base,
            weight,
            group: None,
        };
        let hosts = [host("a"), host("b")];
        Split::of(&[share("a", shares[0]), share("b", shares[1])], hosts.iter()).unwrap()
    }

    #[test]
    fn a_full_provider_is_not_passed_over() {
        let room = |shares, on_a: u32, on_b: u32| split(shares).slots(|_| 0, |host| [on_a, on_b][host]);
        assert_eq!(room([(0, 1), (0, 1)], 4, 100), 8, "four of each");
        assert_eq!(room([(0, 1), (0, 4)], 100, 8), 10, "eight of ten");
        assert_eq!(room([(2, 0), (0, 1)], 2, 5), 7, "two first, and then the other alone");
        assert_eq!(room([(2, 0), (0, 1)], 1, 5), 1, "the second has no place");
        assert_eq!(room([(0, 1), (0, 1)], 0, 9), 0);
    }

    #[test]
    fn what_runs_already_counts_for_its_provider() {
        let slots = split([(0, 1), (0, 1)]).slots(|host| [3, 0][host], |host| [0, 2][host]);
        assert_eq!(slots, 1, "which one has the one after it is not known");
    }

    #[test]
    fn a_place_less_takes_away_as_many_as_go_to_the_others_meanwhile() {
        assert_eq!(split([(0, 1), (0, 4)]).worst(|_| 0), 5);
        let on_the_first = |tasks: u32| split([(2, 0), (0, 1)]).worst(move |host| [tasks, 0][host]);
        assert_eq!((on_the_first(2), on_the_first(1)), (1, MOST), "without its base it has none");
    }

    #[test]
    fn one_provider_is_no_split() {
        let share = |base, weight| ProviderShare { provider: "a".parse().unwrap(), base, weight, group: None };
        let none: [&Host; 0] = [];
        assert!(Split::of(&[share(1, 1)], none.into_iter()).is_none());
        assert!(Split::of(&[share(1, 1), share(0, 0)], none.into_iter()).is_none());
    }
}
