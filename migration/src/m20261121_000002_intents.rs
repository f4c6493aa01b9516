//! Intents in a table of their own: the end of a change rewrites its record, and leaves the intent alone.
use sea_orm_migration::prelude::*;

use crate::{
    dialect::Dialect,
    tables::{Intent, Operation},
};

/// A UUID as text.
const UUID: u32 = 36;
/// The id of a key.
const DIGEST: u32 = 64;

/// Moves the intents out of the operations, and back.
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
        let table = dialect
            .table(Intent::Table)
            .if_not_exists()
            .col(
                dialect
                    .word(Intent::Operation, UUID)
                    .not_null()
                    .primary_key(),
            )
            .col(dialect.word(Intent::Key, DIGEST))
            .col(dialect.text(Intent::Body).not_null())
            .to_owned();
        manager.create_table(table).await?;
        let known = Query::select()
            .column(Intent::Operation)
            .from(Intent::Table)
            .to_owned();
        let held = Query::select()
            .columns([Operation::Id, Operation::PayloadKey, Operation::Payload])
            .from(Operation::Table)
            .and_where(Expr::col(Operation::Payload).is_not_null())
            .and_where(Expr::col(Operation::Id).not_in_subquery(known))
            .to_owned();
        let mut moved = Query::insert();
        moved
            .into_table(Intent::Table)
            .columns([Intent::Operation, Intent::Key, Intent::Body])
            .select_from(held)
            .map_err(|error| DbErr::Custom(error.to_string()))?;
        manager.execute(moved).await?;
        for column in [Operation::PayloadKey, Operation::Payload] {
            let table = Table::alter()
                .table(Operation::Table)
                .drop_column(column)
                .to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dialect = Dialect::of(manager).await?;
        for column in [
            dialect.word(Operation::PayloadKey, DIGEST),
            dialect.text(Operation::Payload),
        ] {
            let table = Table::alter()
                .table(Operation::Table)
                .add_column(column)
                .to_owned();
            manager.alter_table(table).await?;
        }
        let of_it = |column: Intent| {
            Query::select()
                .column(column)
                .from(Intent::Table)
                .and_where(
                    Expr::col((Intent::Table, Intent::Operation))
                        .equals((Operation::Table, Operation::Id)),
                )
                .to_owned()
        };
        let back = Query::update()
            .table(Operation::Table)
            .value(Operation::PayloadKey, sub(of_it(Intent::Key)))
            .value(Operation::Payload, sub(of_it(Intent::Body)))
            .to_owned();
        manager.execute(back).await?;
        manager
            .drop_table(Table::drop().table(Intent::Table).to_owned())
            .await
    }
}

fn sub(query: SelectStatement) -> SimpleExpr {
    SimpleExpr::SubQuery(None, Box::new(query.into()))
}
