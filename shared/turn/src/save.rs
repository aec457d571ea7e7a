//! The end of a round: what the next turn must know is written together with the lease, and so is the snapshot for the page
//! where the ledger takes it.

use crate::lease::{Handover, Kept, Lease};
use crate::ledger::{LedgerError, Write};
use crate::ports::Ledger;

/// What a round leaves to be written.
pub(crate) struct Save {
    /// What the next turn must know.
    pub(crate) keeps: Vec<Write>,
    /// What only people look at.
    pub(crate) shows: Vec<Write>,
    /// What is left as it was.
    pub(crate) kept: Kept,
    /// Why there is no snapshot, where there could not be one.
    pub(crate) not_shown: Option<String>,
}

impl Save {
    /// Writes all of it and hands the lease over. Steps were taken and must not be forgotten because of a snapshot: where the
    /// whole is refused, for whatever reason, it is tried without. Gives why the snapshot was dropped, if it was.
    pub(crate) async fn and_hand_over<L: Ledger>(
        self,
        lease: &Lease,
        ledger: &L,
    ) -> Result<(Handover, Option<String>), LedgerError> {
        let Self { keeps, shows, kept, not_shown } = self;
        let whole = [keeps.as_slice(), shows.as_slice()].concat();
        let refused = match lease.keeping(kept).hand_over(ledger, whole).await {
            Ok(handover) => return Ok((handover, not_shown)),
            // A conflict is never about the snapshot, which is written whatever is there.
            Err(LedgerError::Conflict) => return Err(LedgerError::Conflict),
            Err(refused) if shows.is_empty() => return Err(refused),
            Err(refused) => refused,
        };
        // The snapshot that is there stays, with its own time, and the next turn makes another.
        let kept = Kept { view: None, parts: lease.left().parts, ..kept };
        let handover = lease.keeping(kept).hand_over(ledger, keeps).await?;
        Ok((handover, Some(refused.to_string())))
    }
}
