//! The thirteen situations of a source and its target, the ten actions, and what is done by default.
use serde::{Deserialize, Serialize};

/// How a source object and a target object stand to each other under one mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Situation {
    /// Qualified source, link, and the target exists.
    Confirmed,
    /// Qualified source and link, but the target is gone.
    Missing,
    /// Qualified source, no link, and correlation finds nothing (or is not configured).
    Absent,
    /// Qualified source, no link, correlation finds one target that nobody is linked to.
    Found,
    /// As `Found`, but that target is linked to another source.
    FoundAlreadyLinked,
    /// Correlation finds several targets.
    Ambiguous,
    /// The source does not qualify (any more), and there is a link or a correlated target.
    Unqualified,
    /// The source does not qualify, and there is neither link nor correlated target.
    SourceIgnored,
    /// The target is not valid for this mapping.
    TargetIgnored,
    /// A valid target without a link.
    Unassigned,
    /// A link and a target, but the source is gone (deleted).
    SourceMissing,
    /// A link whose source and target are both gone.
    LinkOnly,
    /// Source deleted, no link, no target.
    AllGone,
}

/// What is done about a situation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Action {
    /// Create a target object and link it.
    Create,
    /// Write the mapped properties onto the target, linking it first where no link is.
    Update,
    /// Delete the target object and its link.
    Delete,
    /// Link only.
    Link,
    /// Remove the link only.
    Unlink,
    /// Fail the change.
    Exception,
    /// Do nothing, run the post action, show it in reports.
    Report,
    /// Do nothing, run the post action.
    Noreport,
    /// Do nothing: somebody else acts.
    Async,
    /// Do nothing.
    Ignore,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 10] = [
        Self::Create,
        Self::Update,
        Self::Delete,
        Self::Link,
        Self::Unlink,
        Self::Exception,
        Self::Report,
        Self::Noreport,
        Self::Async,
        Self::Ignore,
    ];
}

impl Situation {
    /// Every situation.
    pub const ALL: [Self; 13] = [
        Self::Confirmed,
        Self::Missing,
        Self::Absent,
        Self::Found,
        Self::FoundAlreadyLinked,
        Self::Ambiguous,
        Self::Unqualified,
        Self::SourceIgnored,
        Self::TargetIgnored,
        Self::Unassigned,
        Self::SourceMissing,
        Self::LinkOnly,
        Self::AllGone,
    ];

    /// What implicit sync does where no policy says otherwise (SPEC 1, Mappings): the delete of a
    /// managed object deletes its target.
    #[must_use]
    pub fn implicit_default(self) -> Action {
        match self {
            Self::SourceMissing => Action::Delete,
            _ => self.reconciliation_default(),
        }
    }

    /// What reconciliation does where no policy says otherwise.
    #[must_use]
    pub fn reconciliation_default(self) -> Action {
        match self {
            Self::Confirmed | Self::Found => Action::Update,
            Self::Absent => Action::Create,
            Self::Unqualified => Action::Delete,
            Self::SourceIgnored | Self::TargetIgnored => Action::Report,
            Self::AllGone => Action::Noreport,
            Self::Missing
            | Self::FoundAlreadyLinked
            | Self::Ambiguous
            | Self::Unassigned
            | Self::SourceMissing
            | Self::LinkOnly => Action::Exception,
        }
    }
}

/// The name as configurations and audit write it, for example `FOUND_ALREADY_LINKED`.
macro_rules! display_as_json {
    ($($name:ty),*) => {$(
        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.serialize(formatter)
            }
        }
    )*};
}
display_as_json!(Situation, Action);
