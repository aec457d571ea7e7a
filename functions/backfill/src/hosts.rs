//! Which hosts there are, and which of them count.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_model::decision::{LossCause, Sign};
use evenkeel_model::fleet::{Fleet, Pool, Purchase};
use evenkeel_model::groups::{Group, Member, MemberState};
use evenkeel_model::observed::Host;
use evenkeel_model::report::{HostWait, Report, Source, Wait};
use evenkeel_model::{FunctionName, GroupName, InstanceId};
use evenkeel_turn::{Budget, Given};

use crate::judge::{Case, Standing};
use crate::seen::Seen;
use crate::state::{HostMemory, State};

/// A group that answers leave out for so long does not exist any more.
const GROUP_UNSEEN: Duration = Duration::from_secs(600);

/// A host of the fleet.
pub(crate) struct Kept<'a> {
    pub(crate) member: &'a Member,
    pub(crate) pool: &'a Pool,
    /// How it is bought; `Mixed` for the on-demand base of a mixed pool.
    pub(crate) bought: Purchase,
    /// Its group.
    pub(crate) group: &'a Group,
    /// Its container instance.
    pub(crate) host: Option<&'a Host>,
    pub(crate) standing: Standing,
    /// What tells in this look that it is lost.
    pub(crate) sign: Option<Sign>,
    /// EC2 recommends to rebalance it, and the fleet file does not ignore that.
    pub(crate) at_risk: bool,
    /// Its pool is left: it is only sent away.
    pub(crate) left: bool,
    /// Its group was not shown.
    pub(crate) recalled: bool,
}

impl Kept<'_> {
    /// It is there, or on its way, and counts for what the fleet needs.
    pub(crate) const fn counts(&self) -> bool {
        matches!(self.standing, Standing::Works | Standing::Coming)
    }

    /// Its group may not shrink.
    pub(crate) const fn is_bound(&self) -> bool {
        self.group.min > 0 && self.group.desired <= self.group.min
    }

    /// What still runs on it.
    pub(crate) fn tasks(&self) -> u32 {
        self.host.map_or(0, |host| host.task_count)
    }
}

/// What the fleet's hosts are judged by besides what was seen: pools that are left, and groups that an answer leaves out.
pub(crate) struct Grounds {
    /// Pools that the fleet file no longer names; without `[backfill]`, all on-demand ones too. What was begun with their
    /// hosts is ended.
    left: Vec<Pool>,
    /// Groups that were not shown, with the members that are remembered.
    recalled: BTreeMap<GroupName, Group>,
}

impl Grounds {
    pub(crate) fn of(given: &Given<'_, State>, seen: &Seen) -> Self {
        let left = left_pools(given.fleet, given.state);
        let pools = given.fleet.pools.iter().chain(&left);
        let unseen = |pool: &&Pool| seen.groups.iter().all(|group| group.name != pool.auto_scaling_group);
        let counts = |pool: &&Pool| {
            let memory = given.state.groups.get(&pool.auto_scaling_group);
            let since = memory.and_then(|memory| memory.unseen).filter(|_| seen.has(Source::Groups));
            since.is_none_or(|since| given.now.duration_since(since).unsigned_abs() < GROUP_UNSEEN)
        };
        let recalled = pools.filter(unseen).filter(counts).filter_map(|pool| recall(pool, given.state));
        let recalled = recalled.map(|group| (group.name.clone(), group)).collect();
        Self { left, recalled }
    }
}

/// Pools that are remembered and no longer there, for backfill at least.
pub(crate) fn left_pools(fleet: &Fleet, state: &State) -> Vec<Pool> {
    let stays = |group: &GroupName| {
        let pool = fleet.pools.iter().find(|pool| pool.auto_scaling_group == *group);
        pool.is_some_and(|pool| fleet.backfill.is_some() || pool.purchase != Purchase::OnDemand)
    };
    let left = state.groups.iter().filter(|(group, _)| !stays(group));
    left.filter_map(|(group, memory)| memory.pool(group)).collect()
}

/// A group as its remembered hosts tell of it; none where none is remembered.
fn recall(pool: &Pool, state: &State) -> Option<Group> {
    let of_pool = state.hosts.iter().filter(|(_, memory)| memory.is_of(pool));
    let member = |(id, memory): (&InstanceId, &HostMemory)| Member {
        id: id.clone(),
        state: match (memory.leaving.is_some_and(|leaving| leaving.ending), memory.in_service) {
            (true, _) => MemberState::Terminating,
            (false, Some(_)) => MemberState::InService,
            (false, None) => MemberState::Pending,
        },
        healthy: true,
        zone: None,
        template: None,
        protected: false,
    };
    let members: Vec<Member> = of_pool.map(member).collect();
    let desired = u32::try_from(members.len()).unwrap_or(u32::MAX);
    (desired > 0).then(|| Group {
        name: pool.auto_scaling_group.clone(),
        desired,
        min: 0,
        max: desired,
        zones: Vec::new(),
        subnets: Vec::new(),
        instance_type: None,
        members,
        template: None,
        lines: Vec::new(),
        own_images: false,
        scaled_by: None,
        suspended: std::collections::BTreeSet::new(),
        warm_pool: false,
        target_groups: Vec::new(),
    })
}

/// All hosts by id, and the groups by pool, in the fleet file's order.
pub(crate) struct Hosts<'a> {
    pub(crate) all: BTreeMap<&'a InstanceId, Kept<'a>>,
    /// The fleet file's pools; none for a group that was not shown.
    pub(crate) groups: Vec<(&'a Pool, Option<&'a Group>)>,
    /// So many agents are away that nothing follows from it.
    pub(crate) ecs_is_away: bool,
    /// Pools whose hosts are only sent away.
    pub(crate) left: Vec<(&'a Pool, Option<&'a Group>)>,
    /// Hosts that were in service in the look before and that their groups, which were shown, do not list any more, though
    /// nobody here sent them away.
    pub(crate) vanished: Vec<InstanceId>,
}

impl<'a> Hosts<'a> {
    /// Looks through everything that is known of each host, and notes in `state` what is new.
    pub(crate) fn judge(
        given: &'a Given<'_, State>,
        seen: &'a Seen,
        grounds: &'a Grounds,
        state: &mut State,
        report: &mut Report,
    ) -> Self {
        let ecs: BTreeMap<&InstanceId, &Host> = seen.hosts.iter().map(|host| (&host.id, host)).collect();
        let find = |pool: &'a Pool| seen.groups.iter().find(|group| group.name == pool.auto_scaling_group);
        let left: Vec<_> = grounds.left.iter().map(|pool| (pool, find(pool))).collect();
        let is_left = |pool: &Pool| left.iter().any(|(one, _)| one.auto_scaling_group == pool.auto_scaling_group);
        let stay = given.fleet.pools.iter().filter(|pool| !is_left(pool));
        let groups: Vec<_> = stay.map(|pool| (pool, find(pool))).collect();
        let read = seen.has(Source::Groups);
        for (pool, group) in groups.iter().chain(&left) {
            let name = &pool.auto_scaling_group;
            state.groups.entry(name.clone()).or_default().note(pool, group.is_some(), read.then_some(given.now));
            if group.is_none() && read && !is_left(pool) {
                report.waits.push(Wait::Host(HostWait::NoSuchGroup { group: name.clone() }));
            }
        }
        let notices = &state.notices;
        let mut cases = Vec::new();
        for (pool, shown) in groups.iter().chain(&left) {
            let Some(group) = &shown.or_else(|| grounds.recalled.get(&pool.auto_scaling_group)) else { continue };
            let left = is_left(pool);
            for member in &group.members {
                let host = ecs.get(&member.id).copied();
                let known = state.hosts.get(&member.id);
                let begun = known.is_some_and(|memory| pool.purchase == Purchase::OnDemand || memory.is_begun());
                if left && !begun {
                    continue; // not ours any more
                }
                let memory = state.hosts.entry(member.id.clone()).or_insert_with(|| HostMemory::new(pool, given.now));
                memory.group = Some(pool.auto_scaling_group.clone());
                let case = Case { given, seen, notices, pool, member, host, ecs_is_away: false };
                case.note_agent(memory);
                case.note_request(memory);
                cases.push((case, *group, left, shown.is_none()));
            }
        }
        let away = cases.iter().filter(|(case, ..)| state.hosts[&case.member.id].away.is_some()).count();
        let ecs_is_away = away > 1 && 2 * away >= cases.len();
        if ecs_is_away {
            let [away, hosts] = [away, cases.len()].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
            report.waits.push(Wait::Host(HostWait::AgentsAway { away, hosts }));
        }
        let mut all = BTreeMap::new();
        for (case, group, left, recalled) in cases {
            let case = Case { ecs_is_away, ..case };
            let Some(memory) = state.hosts.get_mut(&case.member.id) else { continue };
            let (standing, sign) = case.judge(memory, report);
            let at_risk = case.at_risk();
            let Case { pool, member, host, .. } = case;
            let bought = memory.bought(pool);
            all.insert(&member.id, Kept { member, pool, bought, group, host, standing, sign, at_risk, left, recalled });
        }
        let shown = |memory: &HostMemory| groups.iter().any(|(pool, group)| group.is_some() && memory.is_of(pool));
        let stood =
            |memory: &HostMemory| memory.in_service.is_some() && memory.leaving.is_none() && memory.loss.is_none();
        let vanished = state.hosts.iter().filter(|(id, memory)| {
            let by_roll = given.board.budget.outs.get(*id).is_some_and(|out| out.by == FunctionName::Patchroll);
            !all.contains_key(id) && stood(memory) && shown(memory) && !by_roll
        });
        let vanished = vanished.map(|(id, _)| id.clone()).collect();
        state.hosts.retain(|id, _| all.contains_key(id));
        state.groups.retain(|name, memory| {
            let of_fleet = given.fleet.pools.iter().any(|pool| pool.auto_scaling_group == *name);
            of_fleet || memory.awaits || state.hosts.values().any(|host| host.group.as_ref() == Some(name))
        });
        Self { all, groups, left, ecs_is_away, vanished }
    }

    /// Capacity units of hosts that `of` picks.
    pub(crate) fn units(&self, of: impl Fn(&Kept<'_>) -> bool) -> u32 {
        self.all.values().filter(|kept| of(kept)).map(|kept| kept.pool.units).sum()
    }

    /// Whether a pool's group may not have fewer hosts than those that are not leaving.
    pub(crate) fn at_minimum(&self, pool: &Pool, state: &State) -> bool {
        let mut groups = self.groups.iter().chain(&self.left);
        let of_pool = groups.find(|(known, _)| known.auto_scaling_group == pool.auto_scaling_group);
        let Some((_, Some(group))) = of_pool else { return false };
        let stays = |id: &InstanceId| state.hosts.get(id).is_none_or(|memory| memory.leaving.is_none());
        let staying = group.staying().filter(|member| stays(&member.id)).count();
        group.min > 0 && staying <= group.min as usize
    }

    /// Units of lost hosts that run all the same, because only their agents are away: they count against `maximum`.
    pub(crate) fn idle(&self, state: &State) -> u32 {
        self.all
            .iter()
            .filter(|(id, kept)| {
                let loss = state.hosts.get(**id).and_then(|memory| memory.loss);
                let without = loss.is_some_and(|loss| loss.cause == LossCause::AgentAway);
                without && kept.pool.purchase != Purchase::OnDemand && kept.member.state == MemberState::InService
            })
            .map(|(_, kept)| kept.pool.units)
            .sum()
    }

    /// Units in service.
    pub(crate) fn working(&self) -> u32 {
        self.units(|kept| kept.standing == Standing::Works)
    }

    /// Units of hosts that were bought like this and count for what the fleet needs. A host at risk does not: its
    /// replacement is wanted. A host that a roll has ended does, while its group is about to launch the one that takes its
    /// place.
    pub(crate) fn counted(&self, purchase: Purchase, budget: &Budget) -> u32 {
        let there = self.units(|kept| kept.bought == purchase && kept.counts() && !kept.at_risk && !kept.left);
        let of_kind = self.groups.iter().filter(|(pool, _)| pool.purchase == purchase);
        let unborn =
            of_kind.map(|(pool, group)| group.map_or(0, |group| self.unborn(pool, group, budget) * pool.units));
        there + unborn.sum::<u32>()
    }

    /// Units of on-demand pools whose capacity is not ours to set: they are there, or not, whatever is decided here.
    pub(crate) fn scaled_elsewhere(&self) -> u32 {
        self.units(|kept| {
            let theirs = kept.pool.purchase == Purchase::OnDemand && kept.group.scaled_by.is_some();
            theirs && kept.counts() && !kept.left
        })
    }

    /// Units of other than on-demand pools whose groups were not shown: nobody knows whether they are there, so they are
    /// not made up for. It is what `steady` says beyond what the other pools should have and what is remembered.
    pub(crate) fn unknown(&self, steady: u32) -> u32 {
        let own = || self.groups.iter().filter(|(pool, _)| pool.purchase != Purchase::OnDemand);
        if own().all(|(_, group)| group.is_some()) {
            return 0;
        }
        let shown: u32 = own().filter_map(|(pool, group)| Some(pool.units * (*group)?.desired)).sum();
        let recalled = self.units(|kept| kept.recalled && kept.pool.purchase != Purchase::OnDemand);
        steady.saturating_sub(shown + recalled)
    }

    /// Hosts of a pool that a roll has ended and whose replacements its group has not launched yet.
    fn unborn(&self, pool: &Pool, group: &Group, budget: &Budget) -> u32 {
        let staying = u32::try_from(group.staying().count()).unwrap_or(u32::MAX);
        let ended = budget.outs.iter().filter(|(id, out)| {
            let leaves = self.all.get(id).is_none_or(|kept| kept.member.state.is_leaving());
            out.by == FunctionName::Patchroll && out.pool.as_ref() == Some(&pool.name) && leaves
        });
        group.desired.saturating_sub(staying).min(u32::try_from(ended.count()).unwrap_or(u32::MAX))
    }
}
