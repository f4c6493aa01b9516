//! The first tables: objects, journal, lanes, nodes, links, audit trail, idempotency keys, tokens.
use sea_orm_migration::prelude::*;

use crate::{
    dialect::{Dialect, number},
    tables::{
        AuditEntry, ChainHead, Idempotency, Lane, Link, ManagedObject, Node, Operation, Token,
    },
};

/// Longest id of an object, in characters.
const ID: u32 = 255;
/// Longest name of a type, mapping or qualifier.
const NAME: u32 = 100;
/// Longest `managed/TYPE/ID`.
const OBJECT: u32 = 480;
/// A UUID as text.
const UUID: u32 = 36;
/// A short word: an outcome, a phase, a topic.
const WORD: u32 = 16;
/// A hexadecimal SHA-256.
const DIGEST: u32 = 64;
/// A caller or an idempotency key.
const CALLER: u32 = 190;
/// What stands before the first entry of a chain.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Builds and removes the first tables.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// All or nothing wherever the database can: MySQL commits at each table.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dialect = Dialect::of(manager).await?;
        for table in tables(&dialect) {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        let head = Query::insert()
            .into_table(ChainHead::Table)
            .columns([ChainHead::Name, ChainHead::Position, ChainHead::Digest])
            .values_panic(["audit".into(), 0_i64.into(), GENESIS.into()])
            .to_owned();
        manager.execute(head).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tables: [DynIden; 9] = [
            Token::Table.into_iden(),
            Idempotency::Table.into_iden(),
            ChainHead::Table.into_iden(),
            AuditEntry::Table.into_iden(),
            Link::Table.into_iden(),
            Node::Table.into_iden(),
            Lane::Table.into_iden(),
            Operation::Table.into_iden(),
            ManagedObject::Table.into_iden(),
        ];
        for table in tables {
            let drop = Table::drop().table(table).if_exists().to_owned();
            manager.drop_table(drop).await?;
        }
        Ok(())
    }
}

fn tables(dialect: &Dialect) -> [TableCreateStatement; 9] {
    [
        managed_object(dialect),
        operation(dialect),
        lane(dialect),
        node(dialect),
        link(dialect),
        audit_entry(dialect),
        chain_head(dialect),
        idempotency(dialect),
        token(dialect),
    ]
}

/// Small columns stand before long texts, so that a scan over them reads no overflow pages.
fn managed_object(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(ManagedObject::Table)
        .col(dialect.word(ManagedObject::Type, NAME).not_null())
        .col(dialect.word(ManagedObject::Id, ID).not_null())
        .col(dialect.word(ManagedObject::Rev, DIGEST).not_null())
        .col(number(ManagedObject::CreatedAt).not_null())
        .col(number(ManagedObject::UpdatedAt).not_null())
        .col(dialect.word(ManagedObject::SealedKey, DIGEST))
        .col(dialect.text(ManagedObject::Body).not_null())
        .col(dialect.text(ManagedObject::Sealed))
        .primary_key(
            Index::create()
                .col(ManagedObject::Type)
                .col(ManagedObject::Id),
        )
        .to_owned()
}

fn operation(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(Operation::Table)
        .col(dialect.word(Operation::Id, UUID).not_null().primary_key())
        .col(dialect.word(Operation::Root, UUID).not_null())
        .col(dialect.word(Operation::Parent, UUID))
        .col(number(Operation::Depth).not_null())
        .col(dialect.word(Operation::Object, OBJECT).not_null())
        .col(dialect.word(Operation::Kind, WORD).not_null())
        .col(dialect.word(Operation::Outcome, WORD))
        .col(dialect.word(Operation::Phase, WORD).not_null())
        .col(number(Operation::OpenDivergence).not_null())
        .col(number(Operation::StartedAt).not_null())
        .col(number(Operation::EndedAt))
        .col(dialect.word(Operation::PayloadKey, DIGEST))
        .col(dialect.text(Operation::Record).not_null())
        .col(dialect.text(Operation::Payload))
        .to_owned()
}

fn lane(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(Lane::Table)
        .col(dialect.word(Lane::Object, OBJECT).not_null().primary_key())
        .col(dialect.word(Lane::Latest, UUID).not_null())
        .col(dialect.word(Lane::Operation, UUID))
        .col(dialect.word(Lane::Node, UUID))
        .col(number(Lane::Attempt).not_null())
        .col(number(Lane::ClaimedAt).not_null())
        .col(number(Lane::OpenDivergence).not_null())
        .to_owned()
}

fn node(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(Node::Table)
        .col(dialect.word(Node::Id, UUID).not_null().primary_key())
        .col(number(Node::LeaseUntil).not_null())
        .col(number(Node::StartedAt).not_null())
        .col(dialect.text(Node::LockFile))
        .col(number(Node::Round).not_null())
        .to_owned()
}

fn link(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(Link::Table)
        .col(dialect.word(Link::LinkType, NAME).not_null())
        .col(dialect.word(Link::Qualifier, NAME).not_null())
        .col(dialect.word(Link::FirstId, ID).not_null())
        .col(dialect.word(Link::SecondId, 2 * ID).not_null())
        .primary_key(
            Index::create()
                .col(Link::LinkType)
                .col(Link::Qualifier)
                .col(Link::FirstId),
        )
        .to_owned()
}

fn audit_entry(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(AuditEntry::Table)
        .col(number(AuditEntry::Position).not_null().primary_key())
        .col(dialect.word(AuditEntry::Id, UUID).not_null())
        .col(dialect.word(AuditEntry::Topic, WORD).not_null())
        .col(number(AuditEntry::Timestamp).not_null())
        .col(dialect.word(AuditEntry::TransactionId, ID).not_null())
        .col(dialect.word(AuditEntry::Operation, UUID))
        .col(dialect.word(AuditEntry::Digest, DIGEST).not_null())
        .col(dialect.text(AuditEntry::Body).not_null())
        .to_owned()
}

fn chain_head(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(ChainHead::Table)
        .col(dialect.word(ChainHead::Name, WORD).not_null().primary_key())
        .col(number(ChainHead::Position).not_null())
        .col(dialect.word(ChainHead::Digest, DIGEST).not_null())
        .to_owned()
}

fn idempotency(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(Idempotency::Table)
        .col(dialect.word(Idempotency::Caller, CALLER).not_null())
        .col(dialect.word(Idempotency::Key, CALLER).not_null())
        .col(dialect.word(Idempotency::RequestDigest, DIGEST).not_null())
        .col(dialect.word(Idempotency::Operation, UUID).not_null())
        .col(number(Idempotency::CreatedAt).not_null())
        .col(dialect.text(Idempotency::Answer))
        .primary_key(
            Index::create()
                .col(Idempotency::Caller)
                .col(Idempotency::Key),
        )
        .to_owned()
}

fn token(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(Token::Table)
        .col(dialect.word(Token::Id, UUID).not_null().primary_key())
        .col(dialect.word(Token::Name, ID).not_null())
        .col(dialect.text(Token::Roles).not_null())
        .col(dialect.word(Token::Hash, DIGEST).not_null())
        .col(number(Token::CreatedAt).not_null())
        .col(number(Token::ExpiresAt))
        .col(number(Token::RevokedAt))
        .to_owned()
}

fn indexes() -> Vec<IndexCreateStatement> {
    let index = |name: &str, table: DynIden, columns: Vec<DynIden>| {
        let mut index = Index::create();
        index.name(name).table(table);
        for column in columns {
            index.col(column);
        }
        index
    };
    let on = |name: &str, columns: &[Operation]| {
        let columns = columns.iter().map(|column| column.into_iden()).collect();
        index(name, Operation::Table.into_iden(), columns)
    };
    let audit = |name: &str, columns: &[AuditEntry]| {
        let columns = columns.iter().map(|column| column.into_iden()).collect();
        index(name, AuditEntry::Table.into_iden(), columns)
    };
    vec![
        on("operation_parent", &[Operation::Parent]),
        on("operation_object", &[Operation::Object, Operation::Id]),
        on("operation_outcome", &[Operation::Outcome, Operation::Id]),
        index(
            "lane_node",
            Lane::Table.into_iden(),
            vec![Lane::Node.into_iden()],
        ),
        index(
            "link_first",
            Link::Table.into_iden(),
            vec![Link::FirstId.into_iden()],
        ),
        index(
            "link_second",
            Link::Table.into_iden(),
            vec![
                Link::LinkType.into_iden(),
                Link::Qualifier.into_iden(),
                Link::SecondId.into_iden(),
            ],
        )
        .unique()
        .to_owned(),
        audit("audit_entry_id", &[AuditEntry::Id])
            .unique()
            .to_owned(),
        audit("audit_entry_transaction", &[AuditEntry::TransactionId]),
        audit("audit_entry_operation", &[AuditEntry::Operation]),
        audit(
            "audit_entry_topic",
            &[AuditEntry::Topic, AuditEntry::Timestamp],
        ),
        index(
            "idempotency_created",
            Idempotency::Table.into_iden(),
            vec![Idempotency::CreatedAt.into_iden()],
        ),
        index(
            "token_hash",
            Token::Table.into_iden(),
            vec![Token::Hash.into_iden()],
        )
        .unique()
        .to_owned(),
    ]
}
