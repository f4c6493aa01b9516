//! The one transition table of a change, used by a live change and by recovery alike.
use serde::{Deserialize, Serialize};

/// How a change ended (SPEC 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Repository and all targets hold the new data.
    Synced,
    /// Nothing was written anywhere.
    Rejected,
    /// Repository and all targets hold exactly the old data again.
    Compensated,
    /// No revert was asked for: repository new, some targets not.
    Partial,
    /// The compensation failed; the record lists who differs.
    Diverged,
}

/// Where a change is. The first letter of its life is `Planned`; every `Ended` is terminal but
/// `Ended(Diverged)`, which may still be healed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SagaState {
    /// The writes are computed; nothing is stored.
    Planned,
    /// The intent is on disk; target writes may have begun.
    Journaled,
    /// Every write has been tried, or skipped after a failure.
    Applied,
    /// A revert is on disk as a nested change and is being carried out.
    Compensating,
    /// It is over.
    Ended(Outcome),
}

/// What moves a change on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SagaEvent {
    /// Planning, a hook or a precondition refused the change before any target write.
    Refuse,
    /// The intent was made durable.
    Journal,
    /// The apply phase is over.
    Apply,
    /// The hooks accepted what all targets took.
    Accept,
    /// Some targets failed and nobody asked for a revert.
    LeavePartial,
    /// A revert was asked for.
    Revert,
    /// The nested change undid everything.
    Undone,
    /// The nested change could not undo everything.
    UndoFailed,
    /// The undo writes that were missing have been carried out.
    Heal,
}

/// A step that the transition table does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a change that is {from:?} cannot take the step {event:?}")]
pub struct IllegalStep {
    /// Where the change was.
    pub from: SagaState,
    /// What was tried.
    pub event: SagaEvent,
}

impl SagaState {
    /// The state after `event`.
    ///
    /// # Errors
    /// [`IllegalStep`] where the table has no such step; an ended change accepts nothing, a
    /// diverged one only [`SagaEvent::Heal`].
    pub fn next(self, event: SagaEvent) -> Result<Self, IllegalStep> {
        use Outcome as O;
        use SagaEvent as E;
        use SagaState as S;
        match (self, event) {
            (S::Planned | S::Journaled, E::Refuse) => Ok(S::Ended(O::Rejected)),
            (S::Planned, E::Journal) => Ok(S::Journaled),
            (S::Journaled, E::Apply) => Ok(S::Applied),
            (S::Applied, E::Accept) => Ok(S::Ended(O::Synced)),
            (S::Applied, E::LeavePartial) => Ok(S::Ended(O::Partial)),
            (S::Applied, E::Revert) => Ok(S::Compensating),
            (S::Compensating, E::Undone) | (S::Ended(O::Diverged), E::Heal) => {
                Ok(S::Ended(O::Compensated))
            }
            (S::Compensating, E::UndoFailed) => Ok(S::Ended(O::Diverged)),
            (from, event) => Err(IllegalStep { from, event }),
        }
    }

    /// The outcome, once there is one.
    #[must_use]
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Ended(outcome) => Some(outcome),
            _ => None,
        }
    }
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 5] = [
        Self::Synced,
        Self::Rejected,
        Self::Compensated,
        Self::Partial,
        Self::Diverged,
    ];

    /// The word that API, audit and CLI use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Rejected => "rejected",
            Self::Compensated => "compensated",
            Self::Partial => "partial",
            Self::Diverged => "diverged",
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}
