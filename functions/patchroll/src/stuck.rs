//! What keeps a new host from coming into service: named, so that somebody can mend it.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_model::PoolName;
use evenkeel_model::decision::Stuck;
use evenkeel_model::groups::Refusal;

use crate::hosts::Roster;
use crate::pairs::{Pair, Wave};
use crate::seen::Seen;
use crate::state::Target;

/// Why a pair's successor is not in service.
pub(crate) fn of_pair(
    pair: &Pair,
    wave: &Wave,
    roster: &Roster<'_>,
    seen: &Seen,
    targets: &BTreeMap<PoolName, Target>,
    waited: Duration,
) -> Stuck {
    let asked = pair.asked.unwrap_or(wave.since);
    let newcomers = roster.staying(&pair.group).filter(|(id, kept)| {
        let new = kept.note.came_after(asked) && !wave.hosts.contains_key(*id) && !wave.is_claimed(id);
        new || pair.successor.as_ref() == Some(*id)
    });
    for (_, kept) in newcomers {
        if let Some(lacks) = &kept.lacks {
            return Stuck::NeverHealthy { lacks: format!("{}: {lacks}", kept.member.id), waited };
        }
        if kept.outdated(targets.get(&kept.pool.name)).is_some() {
            return Stuck::StillOutdated { runs: kept.runs() };
        }
    }
    let refused = seen.refusals.get(&pair.group).into_iter().flatten();
    let newest: Option<&Refusal> = refused.filter(|refusal| refusal.at >= wave.since).max_by_key(|one| one.at);
    newest.map_or(Stuck::NotLaunched { waited }, |refusal| Stuck::LaunchFailing { because: refusal.message.clone() })
}
