//! What the pages need: changes by time, the history of hooks, and searches that people keep.
use sea_orm_migration::prelude::*;

use crate::{
    dialect::{Dialect, number},
    tables::Operation,
};

/// Longest name of a caller, in characters.
const CALLER: u32 = 190;
/// Longest name of a script file.
const FILE: u32 = 255;
/// A UUID as text.
const UUID: u32 = 36;
/// A hexadecimal SHA-256.
const DIGEST: u32 = 64;
/// Longest name of a kept search.
const NAME: u32 = 100;
/// The page that a search belongs to.
const WORD: u32 = 16;
/// Changes by time, with what is counted of them: the table itself is not read.
const BY_TIME: &str = "operation_started";

#[derive(DeriveIden, Clone, Copy)]
enum HookVersion {
    Table,
    Id,
    File,
    Digest,
    SavedAt,
    SavedBy,
    Note,
    Body,
}

#[derive(DeriveIden, Clone, Copy)]
enum SavedSearch {
    Table,
    Id,
    Caller,
    Page,
    Name,
    Query,
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
        manager.create_table(versions(&dialect)).await?;
        manager.create_table(searches(&dialect)).await?;
        let mut by_time = Index::create();
        by_time.name(BY_TIME).table(Operation::Table);
        for column in [
            Operation::StartedAt,
            Operation::Depth,
            Operation::Outcome,
            Operation::EndedAt,
        ] {
            by_time.col(column);
        }
        manager.create_index(by_time).await?;
        let history = Index::create()
            .name("hook_version_file")
            .table(HookVersion::Table)
            .col(HookVersion::File)
            .col(HookVersion::Id)
            .to_owned();
        manager.create_index(history).await?;
        let own = Index::create()
            .name("saved_search_caller")
            .table(SavedSearch::Table)
            .col(SavedSearch::Caller)
            .col(SavedSearch::Page)
            .to_owned();
        manager.create_index(own).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = Index::drop()
            .name(BY_TIME)
            .table(Operation::Table)
            .to_owned();
        manager.drop_index(index).await?;
        for table in [
            SavedSearch::Table.into_iden(),
            HookVersion::Table.into_iden(),
        ] {
            let drop = Table::drop().table(table).if_exists().to_owned();
            manager.drop_table(drop).await?;
        }
        Ok(())
    }
}

fn versions(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(HookVersion::Table)
        .col(dialect.word(HookVersion::Id, UUID).not_null().primary_key())
        .col(dialect.word(HookVersion::File, FILE).not_null())
        .col(dialect.word(HookVersion::Digest, DIGEST).not_null())
        .col(number(HookVersion::SavedAt).not_null())
        .col(dialect.word(HookVersion::SavedBy, CALLER))
        .col(dialect.text(HookVersion::Note).not_null())
        .col(dialect.text(HookVersion::Body).not_null())
        .to_owned()
}

fn searches(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(SavedSearch::Table)
        .col(dialect.word(SavedSearch::Id, UUID).not_null().primary_key())
        .col(dialect.word(SavedSearch::Caller, CALLER).not_null())
        .col(dialect.word(SavedSearch::Page, WORD).not_null())
        .col(dialect.word(SavedSearch::Name, NAME).not_null())
        .col(dialect.text(SavedSearch::Query).not_null())
        .to_owned()
}
