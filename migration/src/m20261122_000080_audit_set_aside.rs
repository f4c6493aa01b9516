//! Audit entries that a destination did not take for good, or not whole.
use sea_orm_migration::prelude::*;

use crate::{
    dialect::{Dialect, number},
    tables::AuditSetAside,
};

/// The name of a destination.
const NAME: u32 = 255;
/// A short word.
const WORD: u32 = 16;

/// Builds and removes the table.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dialect = Dialect::of(manager).await?;
        manager.create_table(set_aside(&dialect)).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = Table::drop()
            .table(AuditSetAside::Table)
            .if_exists()
            .to_owned();
        manager.drop_table(drop).await
    }
}

fn set_aside(dialect: &Dialect) -> TableCreateStatement {
    let key = Index::create()
        .col(AuditSetAside::Destination)
        .col(AuditSetAside::Position)
        .to_owned();
    dialect
        .table(AuditSetAside::Table)
        .col(dialect.word(AuditSetAside::Destination, NAME).not_null())
        .col(number(AuditSetAside::Position).not_null())
        .col(number(AuditSetAside::Last).not_null())
        .col(dialect.word(AuditSetAside::Kind, WORD).not_null())
        .col(dialect.text(AuditSetAside::Reason).not_null())
        .col(number(AuditSetAside::At).not_null())
        .col(number(AuditSetAside::Again).not_null())
        .primary_key(&mut key.to_owned())
        .to_owned()
}
