//! The fleet file at run time: read by age, and the last good one stays in force when a new one is bad.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evenkeel_model::fleet::{self, Format, Problems};
use evenkeel_model::trigger::Trigger;
use evenkeel_model::{Fleet, FleetName, Timestamp};
use futures_util::future::try_join;

use crate::cluster::Memory;
use crate::fingerprint::fingerprint;
use crate::ledger::{Expect, Item, Key, LedgerError, Write};
use crate::ports::{Clock, FleetFiles, Ledger, PortError};

/// A process reads a fleet file again after this long, so that an edit acts within a minute.
const REFRESH: Duration = Duration::from_secs(60);
/// A tick, which has time, reads one that is older: what comes until the next tick, and may have a host to save, need not.
const RENEW: Duration = Duration::from_secs(30);

/// Why a fleet has no usable file.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// It could not be read.
    #[error("fleet file of {fleet} not read")]
    Unread {
        /// The fleet.
        fleet: FleetName,
        /// Why.
        source: PortError,
    },
    /// It is bad, and there never was a good one.
    #[error("fleet file of {fleet} is invalid, and no earlier one is known")]
    Invalid {
        /// The fleet.
        fleet: FleetName,
        /// All that is wrong with it.
        source: Problems,
    },
    /// It is another fleet's.
    #[error("fleet file of {fleet} is that of {found}")]
    Misnamed {
        /// The fleet.
        fleet: FleetName,
        /// The name in the file.
        found: FleetName,
    },
    /// The last good one could not be read or kept.
    #[error("last good fleet file of {fleet} not available")]
    Ledger {
        /// The fleet.
        fleet: FleetName,
        /// Why.
        source: LedgerError,
    },
}

/// Why the newest fleet file is not in force, while an earlier one is.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// It is bad.
    #[error("{0}")]
    Invalid(Arc<Problems>),
    /// It is another fleet's.
    #[error("it is the file of fleet {0}")]
    Misnamed(FleetName),
    /// It is not there, or may not be read.
    #[error("it could not be read: {0}")]
    Unread(PortError),
}

/// The fleet file that is in force, and what is wrong with the newest one if it is not that.
#[derive(Debug, Clone)]
pub struct InForce {
    /// The file.
    pub fleet: Arc<Fleet>,
    /// Why the newest text is not in force.
    pub refused: Option<Refusal>,
    /// The fingerprint of its text.
    print: u64,
}

impl InForce {
    /// Whether `found` at [`in_force_key`] is the same file, as far as it says.
    pub(crate) fn agrees(&self, found: Option<&Item>) -> bool {
        found.is_none_or(|item| item.body == self.print.to_string())
    }
}

struct Cached {
    /// None when other processes are known to work by another file.
    read_at: Option<Timestamp>,
    text: String,
    in_force: InForce,
}

/// What a process keeps of one fleet between turns: its file, and what it saw of its cluster.
pub struct FleetCache {
    name: FleetName,
    cached: Mutex<Option<Cached>>,
    /// The cluster as it was seen last.
    pub(crate) memory: Memory,
}

impl FleetCache {
    /// Nothing read yet.
    #[must_use]
    pub const fn new(name: FleetName) -> Self {
        Self { name, cached: Mutex::new(None), memory: Memory::new() }
    }

    /// The fleet's name.
    #[must_use]
    pub const fn name(&self) -> &FleetName {
        &self.name
    }

    /// What the process has seen of the fleet's cluster.
    #[must_use]
    pub const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The file in force, read again when it is older than a minute, and with every turn while the newest one is refused:
    /// somebody is mending it.
    ///
    /// # Errors
    /// [`FleetError`] where there is no good file, now or earlier.
    pub async fn in_force<P: Clock + FleetFiles + Ledger>(&self, ports: &P) -> Result<InForce, FleetError> {
        self.younger_than(REFRESH, ports).await
    }

    /// The file in force for a turn that is woken by `trigger`.
    ///
    /// # Errors
    /// As [`Self::in_force`].
    pub async fn in_force_for<P: Clock + FleetFiles + Ledger>(
        &self,
        trigger: &Trigger,
        ports: &P,
    ) -> Result<InForce, FleetError> {
        self.younger_than(if matches!(trigger, Trigger::Tick(_)) { RENEW } else { REFRESH }, ports).await
    }

    async fn younger_than<P: Clock + FleetFiles + Ledger>(
        &self,
        age: Duration,
        ports: &P,
    ) -> Result<InForce, FleetError> {
        let now = ports.now();
        if let Some(cached) = self.lock().as_ref()
            && cached.in_force.refused.is_none()
            && cached.read_at.is_some_and(|at| now.duration_since(at).unsigned_abs() < age)
        {
            return Ok(cached.in_force.clone());
        }
        let text = match ports.text(&self.name).await {
            Ok(text) => text,
            Err(error) => return self.without_text(ports, error).await,
        };
        if let Some(cached) = self.lock().as_mut()
            && cached.text == text
            && cached.read_at.is_some()
        {
            cached.read_at = Some(now);
            return Ok(cached.in_force.clone());
        }
        let in_force = self.judge(ports, &text).await?;
        *self.lock() = Some(Cached { read_at: Some(now), text, in_force: in_force.clone() });
        Ok(in_force)
    }

    /// The file in force, read now whatever its age, because other processes work by another one: one of the two is old,
    /// and the parameter tells which.
    ///
    /// # Errors
    /// As [`Self::in_force`].
    pub(crate) async fn read_again<P: Clock + FleetFiles + Ledger>(&self, ports: &P) -> Result<InForce, FleetError> {
        if let Some(cached) = self.lock().as_mut() {
            cached.read_at = None;
        }
        self.in_force(ports).await
    }

    /// A file that cannot be read is no reason to stop working by the one that could, in this process or in an earlier one.
    async fn without_text<P: Ledger>(&self, ports: &P, error: PortError) -> Result<InForce, FleetError> {
        let known = self.lock().as_ref().map(|cached| cached.in_force.clone());
        match known {
            // It may be read again in a moment: nobody has to hear of that.
            Some(in_force) if error.is_passing() => Ok(in_force),
            Some(in_force) => Ok(InForce { refused: Some(Refusal::Unread(error)), ..in_force }),
            None => match self.kept(ports).await? {
                Some(kept) => Ok(InForce { refused: Some(Refusal::Unread(error)), ..kept }),
                None => Err(FleetError::Unread { fleet: self.name.clone(), source: error }),
            },
        }
    }

    /// Takes a good text and keeps it in the ledger; falls back to the kept one for any other.
    async fn judge<P: Ledger>(&self, ports: &P, text: &str) -> Result<InForce, FleetError> {
        let name = &self.name;
        let refusal = match read(text) {
            Ok(fleet) if fleet.name == *name => {
                let print = fingerprint(text.as_bytes());
                // Each by itself: processes that start together write the same, and transactions of theirs would clash.
                let put = |key, body| ports.write(vec![Write::put(key, body, Expect::Anything)]);
                let (file, told) =
                    (put(good_file_key(name), text.to_owned()), put(in_force_key(name), print.to_string()));
                try_join(file, told).await.map_err(|source| self.lost(source))?;
                return Ok(InForce { fleet: Arc::new(fleet), refused: None, print });
            }
            Ok(fleet) => Refusal::Misnamed(fleet.name),
            Err(problems) => Refusal::Invalid(Arc::new(problems)),
        };
        match (self.kept(ports).await?, refusal) {
            (Some(kept), refusal) => Ok(InForce { refused: Some(refusal), ..kept }),
            (None, Refusal::Misnamed(found)) => Err(FleetError::Misnamed { fleet: name.clone(), found }),
            (None, Refusal::Invalid(problems)) => {
                Err(FleetError::Invalid { fleet: name.clone(), source: Arc::unwrap_or_clone(problems) })
            }
            (None, Refusal::Unread(source)) => Err(FleetError::Unread { fleet: name.clone(), source }),
        }
    }

    /// The file that was good last, as the ledger has it.
    async fn kept<P: Ledger>(&self, ports: &P) -> Result<Option<InForce>, FleetError> {
        let found = ports.get(&[good_file_key(&self.name)]).await.map_err(|error| self.lost(error.into()))?;
        Ok(found.into_iter().flatten().next().and_then(|item| {
            let fleet = Arc::new(read(&item.body).ok()?);
            Some(InForce { fleet, refused: None, print: fingerprint(item.body.as_bytes()) })
        }))
    }

    fn lost(&self, source: LedgerError) -> FleetError {
        FleetError::Ledger { fleet: self.name.clone(), source }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Cached>> {
        // A panic elsewhere cannot leave half a value here: the lock only guards one assignment.
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key of the text of the fleet file that was good last.
#[must_use]
pub fn good_file_key(fleet: &FleetName) -> Key {
    Key::only(fleet, "good-file")
}

/// The key of the fingerprint of that text: every turn reads it, so that no two processes work by different files for
/// longer than a turn, and counts do not go back and forth while an edit spreads.
pub(crate) fn in_force_key(fleet: &FleetName) -> Key {
    Key::turn(fleet, "fleet-file")
}

fn read(text: &str) -> Result<Fleet, Problems> {
    fleet::read(text, Format::of(text.as_bytes()))
}
