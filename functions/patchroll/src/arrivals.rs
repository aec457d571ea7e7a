//! New hosts that join, one event each: a wave of many is looked at when the last of them is there, not with each.

use std::collections::BTreeSet;

use evenkeel_model::{FleetName, FunctionName, InstanceId, Timestamp};
use evenkeel_turn::ledger::Key;
use evenkeel_turn::ports::Ledger;
use evenkeel_turn::{TurnError, change, state_key, stored};
use serde::{Deserialize, Serialize};

use crate::state::State;

/// Hosts that have joined since a wave began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Arrivals {
    /// When the wave began.
    since: Timestamp,
    hosts: BTreeSet<InstanceId>,
}

/// Whether a host that has joined is a reason to look: it is new, and the last that a wave has waited for, or the last but
/// one where hosts are missing.
///
/// # Errors
/// [`TurnError`] when the ledger cannot be read or written.
pub(crate) async fn completes_a_wave<P: Ledger>(
    ports: &P,
    fleet: &FleetName,
    host: &InstanceId,
) -> Result<bool, TurnError> {
    let state: State = stored(ports, &state_key(fleet, FunctionName::Patchroll)).await?.unwrap_or_default();
    let wave = state.roll.as_ref().and_then(|roll| roll.wave.as_ref());
    let Some(wave) = wave else { return Ok(false) };
    let old = |note: &crate::state::HostNote| note.launched.is_some_and(|launched| launched <= wave.since);
    if wave.hosts.contains_key(host) || state.hosts.get(host).is_some_and(old) {
        return Ok(false); // one that was there before
    }
    let (mut come, mut news) = (0, false);
    change(ports, &Key::only(fleet, "roll-arrivals"), |arrivals: &mut Arrivals| {
        if arrivals.since != wave.since {
            *arrivals = Arrivals { since: wave.since, hosts: BTreeSet::new() };
        }
        news = arrivals.hosts.insert(host.clone());
        come = arrivals.hosts.len();
    })
    .await?;
    // A group that evens out its zones may have launched one of them before. Where nothing is missing meanwhile, the tick
    // is soon enough for that.
    let before = usize::from(!wave.launches_first());
    Ok(news && come + before >= wave.hosts.len())
}
