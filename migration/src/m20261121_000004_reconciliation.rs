//! Tables of reconciliation: runs, what they found, what pairs held when they agreed, and where
//! partial syncs stand.
use sea_orm_migration::prelude::*;

use crate::dialect::{Dialect, number};

/// Longest id of a source object, in characters.
const ID: u32 = 255;
/// Longest id of a target object.
const TARGET_ID: u32 = 510;
/// Longest name of a mapping or qualifier.
const NAME: u32 = 100;
/// A UUID as text.
const UUID: u32 = 36;
/// A situation, an action, a state.
const WORD: u32 = 24;
/// A fingerprint.
const PRINT: u32 = 64;

#[derive(DeriveIden, Clone, Copy)]
enum ReconRun {
    Table,
    Id,
    Mapping,
    Active,
    Node,
    State,
    Wish,
    StartedAt,
    EndedAt,
    Body,
}

#[derive(DeriveIden, Clone, Copy)]
enum ReconEntry {
    Table,
    Run,
    Number,
    Situation,
    Action,
    Status,
    SourceId,
    TargetId,
    Body,
}

#[derive(DeriveIden, Clone, Copy)]
enum LinkDigest {
    Table,
    Mapping,
    Qualifier,
    FirstId,
    Digest,
}

#[derive(DeriveIden, Clone, Copy)]
enum ReconSpill {
    Table,
    Run,
    Id,
    Digest,
}

#[derive(DeriveIden, Clone, Copy)]
enum Syncable {
    Table,
    Name,
    NextAt,
    Body,
}

/// Builds and removes them.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dialect = Dialect::of(manager).await?;
        for table in [
            run(&dialect),
            entry(&dialect),
            digest(&dialect),
            spill(&dialect),
            syncable(&dialect),
        ] {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tables: [DynIden; 5] = [
            Syncable::Table.into_iden(),
            ReconSpill::Table.into_iden(),
            LinkDigest::Table.into_iden(),
            ReconEntry::Table.into_iden(),
            ReconRun::Table.into_iden(),
        ];
        for table in tables {
            let drop = Table::drop().table(table).if_exists().to_owned();
            manager.drop_table(drop).await?;
        }
        Ok(())
    }
}

/// `active` holds the mapping's name while the run is under way and is null afterwards: its unique
/// index admits one run at a time for each mapping, on whatever node.
fn run(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(ReconRun::Table)
        .col(dialect.word(ReconRun::Id, UUID).not_null().primary_key())
        .col(dialect.word(ReconRun::Mapping, NAME).not_null())
        .col(dialect.word(ReconRun::Active, NAME))
        .col(dialect.word(ReconRun::Node, UUID))
        .col(dialect.word(ReconRun::State, WORD).not_null())
        .col(dialect.word(ReconRun::Wish, WORD))
        .col(number(ReconRun::StartedAt).not_null())
        .col(number(ReconRun::EndedAt))
        .col(dialect.text(ReconRun::Body).not_null())
        .to_owned()
}

fn entry(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(ReconEntry::Table)
        .col(dialect.word(ReconEntry::Run, UUID).not_null())
        .col(number(ReconEntry::Number).not_null())
        .col(dialect.word(ReconEntry::Situation, WORD))
        .col(dialect.word(ReconEntry::Action, WORD))
        .col(dialect.word(ReconEntry::Status, WORD).not_null())
        .col(dialect.word(ReconEntry::SourceId, ID))
        .col(dialect.word(ReconEntry::TargetId, TARGET_ID))
        .col(dialect.text(ReconEntry::Body).not_null())
        .primary_key(Index::create().col(ReconEntry::Run).col(ReconEntry::Number))
        .to_owned()
}

fn digest(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(LinkDigest::Table)
        .col(dialect.word(LinkDigest::Mapping, NAME).not_null())
        .col(dialect.word(LinkDigest::Qualifier, NAME).not_null())
        .col(dialect.word(LinkDigest::FirstId, ID).not_null())
        .col(dialect.word(LinkDigest::Digest, PRINT).not_null())
        .primary_key(
            Index::create()
                .col(LinkDigest::Mapping)
                .col(LinkDigest::Qualifier)
                .col(LinkDigest::FirstId),
        )
        .to_owned()
}

fn spill(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(ReconSpill::Table)
        .col(dialect.word(ReconSpill::Run, UUID).not_null())
        .col(dialect.word(ReconSpill::Id, TARGET_ID).not_null())
        .col(dialect.word(ReconSpill::Digest, PRINT).not_null())
        .primary_key(Index::create().col(ReconSpill::Run).col(ReconSpill::Id))
        .to_owned()
}

fn syncable(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(Syncable::Table)
        .col(dialect.word(Syncable::Name, ID).not_null().primary_key())
        .col(number(Syncable::NextAt))
        .col(dialect.text(Syncable::Body).not_null())
        .to_owned()
}

fn indexes() -> Vec<IndexCreateStatement> {
    let entry = |name: &str, column: ReconEntry| {
        Index::create()
            .name(name)
            .table(ReconEntry::Table)
            .col(ReconEntry::Run)
            .col(column)
            .to_owned()
    };
    vec![
        Index::create()
            .name("recon_run_active")
            .table(ReconRun::Table)
            .col(ReconRun::Active)
            .unique()
            .to_owned(),
        Index::create()
            .name("recon_run_mapping")
            .table(ReconRun::Table)
            .col(ReconRun::Mapping)
            .col(ReconRun::StartedAt)
            .to_owned(),
        entry("recon_entry_situation", ReconEntry::Situation),
        entry("recon_entry_status", ReconEntry::Status),
        entry("recon_entry_target", ReconEntry::TargetId),
        Index::create()
            .name("managed_object_updated")
            .table(Alias::new("managed_object"))
            .col(Alias::new("type"))
            .col(Alias::new("updated_at"))
            .col(Alias::new("id"))
            .to_owned(),
    ]
}
