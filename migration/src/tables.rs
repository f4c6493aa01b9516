//! Names of tables and columns.
use sea_orm_migration::prelude::*;

/// Declares a table's name and columns.
macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($column:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(DeriveIden, Clone, Copy)]
        #[allow(clippy::enum_variant_names, reason = "columns are called so")]
        pub(crate) enum $name { Table, $($column),* }
    };
}

names!(
    /// The managed objects.
    ManagedObject { Type, Id, Rev, CreatedAt, UpdatedAt, SealedKey, Body, Sealed }
);
names!(
    /// The journal: changes and their records.
    Operation {
        Id, Root, Parent, Depth, Object, Kind, Outcome, Phase, OpenDivergence, StartedAt, EndedAt,
        PayloadKey, Record, Payload,
    }
);
names!(
    /// What a change is about to write, until its retention has passed.
    Intent { Operation, Key, Body }
);
names!(
    /// One row per object that was ever changed: its latest change and the one in flight.
    Lane { Object, Latest, Operation, Node, Attempt, ClaimedAt, OpenDivergence }
);
names!(
    /// The nodes that share the store.
    Node { Id, LeaseUntil, StartedAt, LockFile, Round }
);
names!(
    /// Which source object and which target object are the same.
    Link { LinkType, Qualifier, FirstId, SecondId }
);
names!(
    /// The audit trail.
    AuditEntry { Position, Id, Topic, Timestamp, TransactionId, Operation, Digest, Body }
);
names!(
    /// Where a chain ends.
    ChainHead { Name, Position, Digest }
);
names!(
    /// Keys under which callers may repeat requests.
    Idempotency { Caller, Key, RequestDigest, Operation, Answer, CreatedAt }
);
names!(
    /// Bearer tokens as hashes.
    Token { Id, Name, Roles, Hash, CreatedAt, ExpiresAt, RevokedAt }
);
names!(
    /// The change feed.
    Event {
        Id, Type, ObjectType, ObjectId, Kind, Operation, CreatedAt, SealedKey, Body, Sealed,
    }
);
names!(
    /// How far the change feed was pruned and read.
    FeedMark { Name, Position }
);
names!(
    /// Integration events, in and out.
    IntegrationEvent {
        Id, Direction, Connector, Lane, Active, ExternalId, UpdatedAt, Kind, CachedId, CachedType,
        RecordId, RecordType, Mapping, State, CanceledBy, DuplicateOf, IgnoredForId, IgnoredForType,
        Attempts, NextAttemptAt, Operation, Node, CreatedAt, StartedAt, EndedAt, Delivery,
        PayloadKey, LastError, Payload,
    }
);
names!(
    /// Our copies of external records.
    IntegrationRecord { Lane, Id, UpdatedAt, Event, RecordId, RecordType, BodyKey, Body }
);
names!(
    /// How far live sync has read an external system.
    LiveToken { Connector, Class, MovedAt, Token }
);
names!(
    /// Runs of hooks that are kept.
    HookRun {
        Id, Hook, Script, Digest, Operation, Object, Verdict, At, Micros, Operations, Key, Body,
    }
);
names!(
    /// Signed places of the audit chain.
    AuditCheckpoint { Number, Position, Digest, At, Previous, Key, Signature }
);
names!(
    /// Where the audit chain begins, once its beginning was pruned.
    AuditAnchor { Name, Position, Digest, At, Key, Signature }
);
names!(
    /// How far the audit trail was delivered to a destination.
    AuditDelivery { Name, Position, Node, LeaseUntil }
);
names!(
    /// Entries of the audit trail that a destination did not take.
    AuditSetAside { Destination, Position, Last, Kind, Reason, At, Again }
);
names!(
    /// Values that no two objects of a type may have, as digests, and who has them.
    UniqueValue { Type, Digest, Rule, Id, Leaving }
);
names!(
    /// Which rules the unique values of a type are complete for.
    UniqueRule { Type, Rule }
);
