//! How much may be deleted at once without anybody's word. Pure.
use super::Reconciliation;

/// From how many objects on a share says anything.
const ENOUGH: u64 = 100;

/// Bounds on what is deleted, or disabled, at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeletionBounds {
    /// How many; none: any number.
    pub most: Option<u64>,
    /// What share of what there is, from 0 to 1.
    pub share: f64,
}

/// Deletions among objects of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deletions {
    /// How many are to be deleted.
    pub count: u64,
    /// Of how many.
    pub of: u64,
    /// What these are.
    pub kind: &'static str,
}

impl DeletionBounds {
    /// Why deletions are held back; none where all of them, and those of each kind, are within the
    /// bounds: many of few are not made harmless by many others beside them.
    #[must_use]
    pub fn passed(&self, all: Deletions, parts: &[Deletions]) -> Option<String> {
        let deletions = all.count;
        if let Some(most) = self.most.filter(|most| deletions > *most) {
            return Some(format!(
                "{deletions} objects to delete or disable are more than {most}"
            ));
        }
        let mut parts = std::iter::once(&all).chain(parts);
        let part = parts.find(|part| self.is_passed(part))?;
        let Deletions { count, of, kind } = part;
        let percent = self.share * 100.0;
        Some(format!(
            "{count} objects to delete or disable are more than {percent} % of {of} {kind}"
        ))
    }

    fn is_passed(&self, part: &Deletions) -> bool {
        part.of >= ENOUGH && part.count > fraction(part.of, self.share)
    }
}

impl Reconciliation {
    /// The bounds of a mapping.
    #[must_use]
    pub fn deletion_bounds(&self) -> DeletionBounds {
        DeletionBounds {
            most: self.max_deletions,
            share: self.max_deletion_share,
        }
    }
}

/// So much of a count; a share is between 0 and 1.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a count; the share is between 0 and 1"
)]
#[must_use]
pub fn fraction(count: u64, share: f64) -> u64 {
    (count as f64 * share.clamp(0.0, 1.0)).floor() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deletions(count: u64, of: u64) -> Deletions {
        Deletions {
            count,
            of,
            kind: "records",
        }
    }

    #[test]
    fn each_kind_has_a_share_of_its_own() {
        let bounds = Reconciliation::default().deletion_bounds();
        let passed = |all, part| bounds.passed(all, &[part]).is_some();
        assert!(!passed(deletions(20, 100), deletions(20, 100)));
        assert!(passed(deletions(21, 100), deletions(0, 0)));
        assert!(!passed(deletions(99, 99), deletions(99, 99)), "too few");
        // 800 of 1,000 accounts are many, though they are few among 10,000.
        assert!(!passed(deletions(800, 10_000), deletions(0, 0)));
        assert!(passed(deletions(800, 10_000), deletions(800, 1_000)));
    }

    #[test]
    fn a_number_bounds_whatever_the_share() {
        let bounds = DeletionBounds {
            most: Some(5),
            share: 1.0,
        };
        assert!(bounds.passed(deletions(6, 1_000), &[]).is_some());
        assert!(bounds.passed(deletions(5, 5), &[]).is_none());
    }
}
