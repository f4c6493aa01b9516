//! What keeps systems in agreement for long: queues are looked through by time and state, settled
//! events are dropped, copies know the change that brought them, and the feed knows its last time.
use sea_orm_migration::prelude::*;

use crate::{
    dialect::{Dialect, number},
    tables::{ChainHead, IntegrationEvent, IntegrationRecord},
};

/// A UUID as text.
const UUID: u32 = 36;
/// The index by which settled events are found.
const ENDED: &str = "integration_event_ended";
/// The index by which events are found whose turn has come.
const DUE: &str = "integration_event_due";
/// The index by which the copy is found that a change brought.
const BROUGHT: &str = "integration_record_operation";

/// Adds the columns and indexes, and takes them away.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// A column that neither table had.
#[derive(DeriveIden, Clone, Copy)]
enum Added {
    /// The change that brought a copy.
    Operation,
    /// The time of the newest event of the change feed.
    EventAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// All or nothing wherever the database can: MySQL commits at each table.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dialect = Dialect::of(manager).await?;
        let mut operation = dialect.word(Added::Operation, UUID);
        let copies = Table::alter()
            .table(IntegrationRecord::Table)
            .add_column(operation.null())
            .to_owned();
        manager.alter_table(copies).await?;
        let ends = Table::alter()
            .table(ChainHead::Table)
            .add_column(number(Added::EventAt).null())
            .to_owned();
        manager.alter_table(ends).await?;
        for index in indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = |name: &str, table: DynIden| Index::drop().name(name).table(table).to_owned();
        for index in [
            drop(BROUGHT, IntegrationRecord::Table.into_iden()),
            drop(DUE, IntegrationEvent::Table.into_iden()),
            drop(ENDED, IntegrationEvent::Table.into_iden()),
        ] {
            manager.drop_index(index).await?;
        }
        for (table, column) in [
            (ChainHead::Table.into_iden(), Added::EventAt),
            (IntegrationRecord::Table.into_iden(), Added::Operation),
        ] {
            let table = Table::alter().table(table).drop_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}

fn indexes() -> Vec<IndexCreateStatement> {
    let index = |name: &str, table: DynIden| {
        let mut index = Index::create();
        index.name(name).table(table);
        index
    };
    use IntegrationEvent as Column;
    vec![
        index(DUE, Column::Table.into_iden())
            .col(Column::State)
            .col(Column::UpdatedAt)
            .to_owned(),
        index(ENDED, Column::Table.into_iden())
            .col(Column::EndedAt)
            .to_owned(),
        index(BROUGHT, IntegrationRecord::Table.into_iden())
            .col(Added::Operation)
            .to_owned(),
    ]
}
