//! The situation of a case: how its source and the targets that were read stand to each other.
use super::{Case, Failure, Found, Hit, Lookup};
use crate::model::{Link, Situation, TargetObject};

/// The situation, and the one target object that it is about.
#[derive(Debug)]
pub(super) struct Assessed {
    pub(super) situation: Situation,
    /// The linked object, or the only one that correlation found.
    pub(super) target: Option<TargetObject>,
    /// That object's link, where it belongs to another source.
    pub(super) foreign: Option<Link>,
}

impl Case<'_> {
    /// The situation (idm-reference 4.2). `qualified` says whether the source object qualifies; of
    /// a deleted one, whether `validSource` accepted what it was.
    pub(super) async fn assess(
        &self,
        qualified: Qualified,
        found: Found,
    ) -> Result<Assessed, Failure> {
        if self.link.is_some() {
            return self.assess_linked(qualified, found.object).await;
        }
        let several = found.hits.len() > 1;
        let hit = found.hits.into_iter().next().filter(|_| !several);
        let none = hit.is_none() && !several;
        let taken = hit.as_ref().is_some_and(|hit| hit.link.is_some());
        let situation = match (self.source.new.is_some(), qualified) {
            (true, Qualified::Yes) if several => Situation::Ambiguous,
            (true, Qualified::Yes) if taken => Situation::FoundAlreadyLinked,
            (true, Qualified::Yes) if none => Situation::Absent,
            (true, Qualified::Yes) => Situation::Found,
            (true, Qualified::No) if none => Situation::SourceIgnored,
            (true, Qualified::No) => Situation::Unqualified,
            (false, _) if none => Situation::AllGone,
            (false, Qualified::Yes) if several => Situation::Ambiguous,
            (false, Qualified::Yes) => Situation::Unassigned,
            (false, Qualified::No) if several => Situation::Unqualified,
            (false, Qualified::No) => Situation::TargetIgnored,
        };
        let (target, foreign) =
            hit.map_or((None, None), |Hit { object, link }| (Some(object), link));
        Ok(Assessed {
            situation,
            target,
            foreign,
        })
    }

    async fn assess_linked(
        &self,
        qualified: Qualified,
        target: Option<TargetObject>,
    ) -> Result<Assessed, Failure> {
        let situation = match (self.source.new.is_some(), qualified, &target) {
            (true, Qualified::No, _) => Situation::Unqualified,
            (true, Qualified::Yes, Some(_)) => Situation::Confirmed,
            (true, Qualified::Yes, None) => Situation::Missing,
            (false, _, None) => Situation::LinkOnly,
            (false, _, Some(target)) => {
                if self.has_valid_target(&target.to_object()).await? {
                    Situation::SourceMissing
                } else {
                    Situation::TargetIgnored
                }
            }
        };
        Ok(Assessed {
            situation,
            target,
            foreign: None,
        })
    }

    /// Whether the source qualifies, and what must be read to assess the situation.
    pub(super) async fn look(&self) -> Result<(Qualified, Lookup), Failure> {
        let mut lookup = Lookup::default();
        let deleted = self.source.new.is_none();
        let Some(source) = self.source.object() else {
            lookup.id = self.linked_id().map(str::to_owned);
            return Ok((Qualified::No, lookup));
        };
        let qualified = match (deleted, self.link.is_some()) {
            // What happens to a linked target does not depend on the deleted source.
            (true, true) => true,
            (true, false) => self.has_valid_source().await?,
            (false, _) => self.qualifies().await?,
        };
        match self.linked_id() {
            Some(id) => lookup.id = Some(id.to_owned()),
            None => {
                lookup.candidates = self.candidates(source).await?;
                if qualified && !deleted && self.may_create() {
                    lookup.id = self.create_id().await?;
                }
            }
        }
        let qualified = if qualified {
            Qualified::Yes
        } else {
            Qualified::No
        };
        Ok((qualified, lookup))
    }

    /// The id of the linked target object.
    pub(super) fn linked_id(&self) -> Option<&str> {
        self.link.map(|link| {
            if self.mapping.links_reversed {
                link.first_id.as_str()
            } else {
                link.second_id.as_str()
            }
        })
    }
}

/// Whether a source object qualifies for its mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Qualified {
    /// It does.
    Yes,
    /// It does not.
    No,
}
