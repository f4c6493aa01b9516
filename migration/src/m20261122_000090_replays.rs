//! Integration events that tell a recorded event again say so.
use sea_orm_migration::prelude::*;

use crate::{dialect::Dialect, tables::IntegrationEvent};

/// `withoutEffects` or `withEffects`.
const WORD: u32 = 24;

/// Adds the column, and takes it away.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// The column.
#[derive(DeriveIden, Clone, Copy)]
enum Added {
    /// How the event is told again; none: it is told for the first time.
    Replay,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dialect = Dialect::of(manager).await?;
        let mut replay = dialect.word(Added::Replay, WORD);
        let events = Table::alter()
            .table(IntegrationEvent::Table)
            .add_column(replay.null())
            .to_owned();
        manager.alter_table(events).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let events = Table::alter()
            .table(IntegrationEvent::Table)
            .drop_column(Added::Replay)
            .to_owned();
        manager.alter_table(events).await
    }
}
