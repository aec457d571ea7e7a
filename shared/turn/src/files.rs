//! The fleet file at run time: read by age, and the last good one stays in force when a new one is bad.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evenkeel_model::fleet::{self, Format, Problems};
use evenkeel_model::{Fleet, FleetName, Timestamp};

use crate::ledger::{Expect, Key, LedgerError, Write};
use crate::ports::{Clock, FleetFiles, Ledger, PortError};

/// A process reads a fleet file again after this long, so that an edit acts within a minute.
const REFRESH: Duration = Duration::from_secs(60);

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

/// The fleet file that is in force, and what is wrong with the newest one if it is not that.
#[derive(Debug, Clone)]
pub struct InForce {
    /// The file.
    pub fleet: Arc<Fleet>,
    /// Why the newest text is not in force.
    pub refused: Option<Arc<Problems>>,
}

struct Cached {
    read_at: Timestamp,
    text: String,
    in_force: InForce,
}

/// One fleet's file, kept by a process between turns.
pub struct FleetCache {
    name: FleetName,
    cached: Mutex<Option<Cached>>,
}

impl FleetCache {
    /// Nothing read yet.
    #[must_use]
    pub const fn new(name: FleetName) -> Self {
        Self { name, cached: Mutex::new(None) }
    }

    /// The fleet's name.
    #[must_use]
    pub const fn name(&self) -> &FleetName {
        &self.name
    }

    /// The file in force, read again when it is older than a minute, and with every turn while the newest one is refused:
    /// somebody is mending it.
    ///
    /// # Errors
    /// [`FleetError`] where there is no good file, now or earlier.
    pub async fn in_force<P: Clock + FleetFiles + Ledger>(&self, ports: &P) -> Result<InForce, FleetError> {
        let now = ports.now();
        if let Some(cached) = self.lock().as_ref()
            && cached.in_force.refused.is_none()
            && now.duration_since(cached.read_at).unsigned_abs() < REFRESH
        {
            return Ok(cached.in_force.clone());
        }
        let text = match ports.text(&self.name).await {
            Ok(text) => text,
            // A file that cannot be read now is no reason to stop working by the one that could.
            Err(error) if error.is_passing() => match self.lock().as_ref() {
                Some(cached) => return Ok(cached.in_force.clone()),
                None => return Err(FleetError::Unread { fleet: self.name.clone(), source: error }),
            },
            Err(source) => return Err(FleetError::Unread { fleet: self.name.clone(), source }),
        };
        if let Some(cached) = self.lock().as_mut()
            && cached.text == text
        {
            cached.read_at = now;
            return Ok(cached.in_force.clone());
        }
        let in_force = self.judge(ports, &text).await?;
        *self.lock() = Some(Cached { read_at: now, text, in_force: in_force.clone() });
        Ok(in_force)
    }

    /// Takes a good text and keeps it in the ledger; falls back to the kept one for a bad text.
    async fn judge<P: Ledger>(&self, ports: &P, text: &str) -> Result<InForce, FleetError> {
        let name = &self.name;
        let key = good_file_key(name);
        let lost = |source: LedgerError| FleetError::Ledger { fleet: name.clone(), source };
        match read(text) {
            Ok(fleet) if fleet.name != *name => Err(FleetError::Misnamed { fleet: name.clone(), found: fleet.name }),
            Ok(fleet) => {
                ports.write(vec![Write::put(key, text.to_owned(), Expect::Anything)]).await.map_err(lost)?;
                Ok(InForce { fleet: Arc::new(fleet), refused: None })
            }
            Err(problems) => {
                let kept = ports.get(&[key]).await.map_err(|error| lost(error.into()))?;
                let kept = kept.into_iter().flatten().next().and_then(|item| read(&item.body).ok());
                match kept {
                    Some(fleet) => Ok(InForce { fleet: Arc::new(fleet), refused: Some(Arc::new(problems)) }),
                    None => Err(FleetError::Invalid { fleet: name.clone(), source: problems }),
                }
            }
        }
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

fn read(text: &str) -> Result<Fleet, Problems> {
    fleet::read(text, Format::of(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use futures_util::FutureExt;

    use super::*;
    use crate::ledger::Item;
    use crate::ports::Answer;

    const GOOD: &str = include_str!("../../../infra/fleets/demo.toml");

    /// A parameter that is read and counted, a clock that is set, and a ledger with one item.
    struct Desk {
        text: Mutex<String>,
        reads: Mutex<u32>,
        now: Mutex<Timestamp>,
        kept: Mutex<Option<String>>,
    }

    impl Clock for Desk {
        fn now(&self) -> Timestamp {
            *self.now.lock().unwrap()
        }

        fn sleep(&self, _: Duration) -> impl Future<Output = ()> + Send {
            ready(())
        }
    }

    impl FleetFiles for Desk {
        async fn text(&self, _: &FleetName) -> Answer<String> {
            *self.reads.lock().unwrap() += 1;
            Ok(self.text.lock().unwrap().clone())
        }
    }

    impl Ledger for Desk {
        async fn get(&self, keys: &[Key]) -> Answer<Vec<Option<Item>>> {
            let kept = self.kept.lock().unwrap().clone();
            Ok(keys.iter().map(|_| kept.clone().map(|body| Item { version: 1, body })).collect())
        }

        async fn write(&self, mut writes: Vec<Write>) -> Result<(), LedgerError> {
            *self.kept.lock().unwrap() = writes.pop().and_then(|write| write.body);
            Ok(())
        }
    }

    impl Desk {
        /// Whether the newest text is refused, some seconds later, and how often it was read until then.
        fn look(&self, cache: &FleetCache, seconds: u64) -> (bool, u32) {
            *self.now.lock().unwrap() += Duration::from_secs(seconds);
            let in_force = cache.in_force(self).now_or_never().unwrap().unwrap();
            assert_eq!(in_force.fleet.name.as_str(), "demo");
            (in_force.refused.is_some(), *self.reads.lock().unwrap())
        }

        fn edit(&self, text: &str) {
            text.clone_into(&mut self.text.lock().unwrap());
        }
    }

    #[test]
    fn a_file_is_read_once_a_minute_and_a_broken_one_until_it_is_mended() {
        let desk = Desk {
            text: Mutex::new(GOOD.to_owned()),
            reads: Mutex::new(0),
            now: Mutex::new(Timestamp::UNIX_EPOCH),
            kept: Mutex::new(None),
        };
        let cache = FleetCache::new(FleetName::new("demo").unwrap());
        assert_eq!(desk.look(&cache, 0), (false, 1));
        desk.edit("name = \"demo\"\n");
        assert_eq!(desk.look(&cache, 59), (false, 1), "not looked at yet");
        assert_eq!(desk.look(&cache, 1), (true, 2), "refused, and the last good one is in force");
        assert_eq!(desk.look(&cache, 1), (true, 3));
        desk.edit(GOOD);
        assert_eq!(desk.look(&cache, 1), (false, 4), "mended at once");
        assert_eq!(desk.look(&cache, 59), (false, 4));
    }
}
