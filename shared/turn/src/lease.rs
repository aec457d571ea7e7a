//! One turn at a time for each fleet and function: a conditional write with an epoch and an expiry.
//!
//! Who finds the lease taken leaves the `again` mark, and the holder takes another turn before it ends. So no wake-up
//! is lost, and nobody waits.

use std::time::Duration;

use evenkeel_model::{FleetName, FunctionName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ledger::{Expect, Item, Key, LedgerError, Write};
use crate::ports::{Ledger, PortError};
use crate::reads::AHEAD;

/// Two turns that start together conflict once or twice; more often means that something else is wrong.
const MOST_TRIES: usize = 8;

/// How often a function may look at the world: `burst` times at once, and then once in each `every`. Whoever is woken
/// more often waits with the lease in hand, so that all that comes meanwhile is one look, and AWS's API has room for
/// others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// The length of a step.
    pub(crate) every: Duration,
    /// Looks that may come at once.
    pub(crate) burst: u32,
}

/// The lease as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(expecting = "a lease")]
struct Stored {
    /// Who has it; none when it was given back.
    holder: Option<String>,
    /// One more with each claim: fences off a holder that was thought dead.
    epoch: u64,
    /// A dead holder's lease is free from here on.
    expires: Timestamp,
    /// Somebody was woken meanwhile: take another turn.
    again: bool,
    /// All looks so far are worth the steps until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    looks_until: Option<Timestamp>,
    /// All that was asked of ECS so far is worth, at what may be spent a second, the time until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spent_until: Option<Timestamp>,
    /// What the last turn left as it was.
    #[serde(default)]
    kept: Kept,
}

/// What a quiet turn says instead of writing again what is there already: a fleet at rest costs two small writes a turn,
/// however large it is (DynamoDB charges by the kilobyte written).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The last look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seen: Option<Timestamp>,
    /// The state that is stored still held then.
    #[serde(default)]
    pub(crate) state: bool,
    /// The fingerprint of the view that is stored, its time aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) view: Option<u64>,
    /// The last turn only observed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) observed: bool,
    /// The last look of a turn that only observed: what is accounted for held until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) watched: Option<Timestamp>,
    /// How many items beside the first one it has.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(crate) parts: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
const fn is_none(count: &usize) -> bool {
    *count == 0
}

impl Stored {
    /// How long to wait with a look at `now`.
    fn pause(&self, pace: Pace, now: Timestamp) -> Duration {
        let due = self.looks_until.map_or(now, |until| until - pace.every * pace.burst.saturating_sub(1));
        if due > now { due.duration_since(now).unsigned_abs() } else { Duration::ZERO }
    }
}

/// A lease that this turn holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    key: Key,
    stored: Stored,
    version: u64,
}

/// What came of asking for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is ours.
    Held(Box<Lease>),
    /// Somebody else has it, and will take another turn.
    Marked,
}

/// What came of giving a lease back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Handover {
    /// It was written with everything else; nobody was woken meanwhile.
    Done,
    /// Somebody was woken meanwhile: everything else was written, the lease is still ours and the mark is gone.
    Again(Box<Lease>),
    /// The lease has another holder; nothing was written.
    Lost,
}

impl Lease {
    /// The number of this claim.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.stored.epoch
    }

    /// What the item `found` says of the last turn.
    pub(crate) fn kept(found: Option<&Item>) -> Result<Kept, LedgerError> {
        Ok(parse(found)?.map(|stored| stored.kept).unwrap_or_default())
    }

    /// What the last turn left as it was.
    pub(crate) const fn left(&self) -> Kept {
        self.stored.kept
    }

    /// The same lease with what this turn leaves as it is.
    pub(crate) fn keeping(&self, kept: Kept) -> Self {
        Self { key: self.key.clone(), stored: Stored { kept, ..self.stored.clone() }, version: self.version }
    }

    /// What was stored is not what the last turn left any more.
    pub(crate) const fn is_rewritten(&mut self) {
        self.stored.kept.state = false;
    }

    /// Whether it was claimed at the first try from the item `found`: nobody else had it in between.
    pub(crate) fn follows(&self, found: Option<&Item>) -> bool {
        self.version == found.map_or(0, |item| item.version) + 1
    }

    /// The same lease as it is stored now, marks of others included; none when somebody else has it.
    pub(crate) fn renewed(self, found: Option<&Item>) -> Result<Option<Self>, LedgerError> {
        let same = |stored: &Stored| stored.epoch == self.stored.epoch && stored.holder.is_some();
        let Some(stored) = parse(found)?.filter(same) else { return Ok(None) };
        Ok(Some(Self {
            key: self.key,
            version: found.map_or(0, |item| item.version),
            stored: Stored {
                again: false,
                looks_until: self.stored.looks_until,
                spent_until: self.stored.spent_until,
                ..stored
            },
        }))
    }

    /// Whether `found` says that somebody has it at `now`.
    pub(crate) fn is_taken(found: Option<&Item>, now: Timestamp) -> Result<bool, LedgerError> {
        Ok(parse(found)?.is_some_and(|stored| stored.holder.is_some() && stored.expires > now))
    }

    /// Whether `found` says that its holder will look again.
    pub(crate) fn is_marked(found: Option<&Item>) -> Result<bool, LedgerError> {
        Ok(parse(found)?.is_some_and(|stored| stored.again))
    }

    /// How long a turn that claims `found` would have to wait with its first look.
    pub(crate) fn pause_of(found: Option<&Item>, pace: Pace, now: Timestamp) -> Result<Duration, LedgerError> {
        Ok(parse(found)?.map_or(Duration::ZERO, |stored| stored.pause(pace, now)))
    }

    /// How long to wait with the look that is about to be taken, which is counted.
    pub(crate) fn look(&mut self, pace: Pace, now: Timestamp) -> Duration {
        let pause = self.stored.pause(pace, now);
        let from = self.stored.looks_until.map_or(now, |until| until.max(now));
        self.stored.looks_until = Some(from + pace.every);
        pause
    }

    /// Counts what a look has asked of ECS, of which so many requests `a_second` may be made; when that is made up for.
    pub(crate) fn spend(&mut self, requests: u64, a_second: f64, now: Timestamp) -> Timestamp {
        let requests = u32::try_from(requests).unwrap_or(u32::MAX);
        let from = self.stored.spent_until.map_or(now, |until| until.max(now));
        let until = from + Duration::from_secs_f64((f64::from(requests) / a_second).min(3_600.0));
        self.stored.spent_until = Some(until);
        until
    }

    /// Until when beats are left out, as `found` says, because looks have cost more than they may.
    pub(crate) fn rests_until(found: Option<&Item>, now: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
        let until = parse(found)?.and_then(|stored| stored.spent_until).map(|until| until - AHEAD);
        Ok(until.filter(|until| *until > now))
    }

    /// The key of a function's lease.
    pub(crate) fn key(fleet: &FleetName, function: FunctionName) -> Key {
        Key::turn(fleet, format_args!("lease#{function}"))
    }

    /// Claims the lease for `holder` (a name of its own for each turn), `found` being what was read last.
    pub(crate) async fn claim<L: Ledger>(
        ledger: &L,
        key: &Key,
        mut found: Option<Item>,
        holder: &str,
        now: Timestamp,
        length: Duration,
    ) -> Result<Claim, LedgerError> {
        for _ in 0..MOST_TRIES {
            let old = parse(found.as_ref())?;
            let expect = Expect::same(found.as_ref());
            let version = found.as_ref().map_or(0, |item| item.version);
            let stored = match old {
                // Our own claim whose answer was lost.
                Some(stored) if stored.holder.as_deref() == Some(holder) && stored.expires > now => {
                    return Ok(Claim::Held(Box::new(Self { key: key.clone(), stored, version })));
                }
                Some(stored) if stored.holder.is_some() && stored.expires > now => {
                    if stored.again {
                        return Ok(Claim::Marked);
                    }
                    Stored { again: true, ..stored }
                }
                old => Stored {
                    holder: Some(holder.to_owned()),
                    epoch: old.as_ref().map_or(0, |stored| stored.epoch) + 1,
                    expires: now + length,
                    again: false,
                    looks_until: old.as_ref().and_then(|stored| stored.looks_until),
                    spent_until: old.as_ref().and_then(|stored| stored.spent_until),
                    kept: old.map(|stored| stored.kept).unwrap_or_default(),
                },
            };
            match ledger.write(vec![Write::put(key.clone(), to_json(&stored)?, expect)]).await {
                Ok(()) if stored.again => return Ok(Claim::Marked),
                Ok(()) => return Ok(Claim::Held(Box::new(Self { key: key.clone(), stored, version: version + 1 }))),
                Err(LedgerError::Conflict) => {}
                Err(LedgerError::Port(error)) if error.is_passing() => {}
                Err(error) => return Err(error),
            }
            found = ledger.get(std::slice::from_ref(key)).await?.pop().flatten();
        }
        Err(LedgerError::Conflict)
    }

    /// Takes `writes` and gives the lease back: all of it happens, or none. Where the `again` mark was set meanwhile,
    /// the lease is kept and only the mark goes.
    pub(crate) async fn hand_over<L: Ledger>(self, ledger: &L, writes: Vec<Write>) -> Result<Handover, LedgerError> {
        let mut last = LedgerError::Conflict;
        for _ in 0..MOST_TRIES {
            let free = Stored { holder: None, ..self.stored.clone() };
            let mut all = writes.clone();
            all.push(Write::put(self.key.clone(), to_json(&free)?, Expect::Version(self.version)));
            match ledger.write(all).await {
                Ok(()) => return Ok(Handover::Done),
                Err(LedgerError::Conflict) => last = LedgerError::Conflict,
                Err(LedgerError::Port(error)) if error.is_passing() => last = error.into(),
                Err(error) => return Err(error),
            }
            // A conflict, or an answer that was lost: the lease itself tells which.
            let found = ledger.get(std::slice::from_ref(&self.key)).await?.pop().flatten();
            let Some(stored) = parse(found.as_ref())? else { return Ok(Handover::Lost) };
            let version = found.map_or(0, |item| item.version);
            if stored.epoch != self.stored.epoch {
                return Ok(Handover::Lost);
            }
            if stored.holder.is_none() {
                return Ok(Handover::Done);
            }
            if stored.again {
                let Stored { looks_until, spent_until, kept, .. } = self.stored;
                let stored = Stored { again: false, looks_until, spent_until, kept, ..stored };
                let mut all = writes;
                all.push(Write::put(self.key.clone(), to_json(&stored)?, Expect::Version(version)));
                ledger.write(all).await?;
                return Ok(Handover::Again(Box::new(Self { key: self.key, stored, version: version + 1 })));
            }
            if version != self.version {
                return Ok(Handover::Lost);
            }
        }
        Err(last)
    }

    /// Gives the lease back whatever was marked meanwhile. One that cannot be given back runs out.
    pub(crate) async fn give_back<L: Ledger>(self, ledger: &L) {
        let mut ours = self;
        for _ in 0..MOST_TRIES {
            match ours.hand_over(ledger, Vec::new()).await {
                Ok(Handover::Again(again)) => ours = *again,
                Ok(Handover::Done | Handover::Lost) | Err(_) => return,
            }
        }
    }
}

fn parse(item: Option<&Item>) -> Result<Option<Stored>, LedgerError> {
    item.map(|item| serde_json::from_str(&item.body))
        .transpose()
        .map_err(|error| LedgerError::Port(PortError::Refused(format!("lease item: {error}"))))
}

fn to_json(stored: &Stored) -> Result<String, LedgerError> {
    serde_json::to_string(stored).map_err(|error| LedgerError::Port(PortError::Refused(format!("lease item: {error}"))))
}
