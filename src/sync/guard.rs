//! The recursion guard: what a change may bring about, judged from its journaled lineage alone.
use crate::model::{Lineage, Purpose};

/// How many steps a hook's follow-up changes may lead away from the root (SPEC 2).
pub const DEEPEST: u32 = 8;

/// A change that its lineage forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// A compensation has failed already: the engine stops here, whatever a hook says.
    #[error("a compensation is not compensated")]
    SecondCompensation,
    /// Hooks asked for changes that asked for changes, too far down.
    #[error("hooks asked for changes more than {DEEPEST} levels deep")]
    TooDeep,
    /// A compensation restores; it brings nothing else about.
    #[error("a compensation asks for no further changes")]
    FromCompensation,
}

/// Whether a change of this lineage may be taken back by a nested change.
///
/// # Errors
/// [`Forbidden::SecondCompensation`] for a change that is a compensation itself.
pub fn may_compensate(lineage: &Lineage) -> Result<(), Forbidden> {
    match lineage.purpose {
        Purpose::Compensation => Err(Forbidden::SecondCompensation),
        Purpose::Request | Purpose::FollowUp | Purpose::Queued | Purpose::Reconciliation => Ok(()),
    }
}

/// Whether a hook of a change of this lineage may ask for changes of other objects.
///
/// # Errors
/// [`Forbidden::TooDeep`] at the depth limit, [`Forbidden::FromCompensation`] in a compensation.
pub fn may_follow_up(lineage: &Lineage) -> Result<(), Forbidden> {
    match lineage.purpose {
        Purpose::Compensation => Err(Forbidden::FromCompensation),
        _ if lineage.depth >= DEEPEST => Err(Forbidden::TooDeep),
        Purpose::Request | Purpose::FollowUp | Purpose::Queued | Purpose::Reconciliation => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::OperationId;

    fn root() -> Lineage {
        Lineage::root(OperationId(Uuid::from_u128(1)))
    }

    #[test]
    fn a_compensation_ends_the_line() {
        let nested = root().child(root().root, Purpose::Compensation);
        assert_eq!(may_compensate(&root()), Ok(()));
        assert_eq!(may_compensate(&nested), Err(Forbidden::SecondCompensation));
        assert_eq!(may_follow_up(&nested), Err(Forbidden::FromCompensation));
    }

    #[test]
    fn follow_ups_end_at_the_depth_limit() {
        let mut lineage = root();
        for _ in 0..DEEPEST {
            assert_eq!(may_follow_up(&lineage), Ok(()));
            assert_eq!(may_compensate(&lineage), Ok(()));
            lineage = lineage.child(lineage.root, Purpose::FollowUp);
        }
        assert_eq!(may_follow_up(&lineage), Err(Forbidden::TooDeep));
    }
}
