//! The change feed: one row for every settled change of a managed object, and how far it is pruned.
use sea_orm_migration::prelude::*;

use crate::{
    dialect::{Dialect, number},
    tables::{Event, FeedMark},
};

/// Longest id of an object, in characters.
const ID: u32 = 255;
/// Longest name of a type; an event's type is that and a word.
const NAME: u32 = 120;
/// A UUID as text.
const UUID: u32 = 36;
/// A short word.
const WORD: u32 = 16;
/// A hexadecimal SHA-256.
const DIGEST: u32 = 64;

/// Builds and removes the change feed.
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
        manager.create_table(event(&dialect)).await?;
        manager.create_table(feed_mark(&dialect)).await?;
        let index = Index::create()
            .name("event_created")
            .table(Event::Table)
            .col(Event::CreatedAt)
            .to_owned();
        manager.create_index(index).await?;
        let mark = Query::insert()
            .into_table(FeedMark::Table)
            .columns([FeedMark::Name, FeedMark::Position])
            .values_panic(["pruned".into(), 0_i64.into()])
            .to_owned();
        manager.execute(mark).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tables: [DynIden; 2] = [FeedMark::Table.into_iden(), Event::Table.into_iden()];
        for table in tables {
            let drop = Table::drop().table(table).if_exists().to_owned();
            manager.drop_table(drop).await?;
        }
        Ok(())
    }
}

/// Small columns stand before long texts, so that a scan over them reads no overflow pages.
fn event(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(Event::Table)
        .col(number(Event::Id).not_null().primary_key())
        .col(dialect.word(Event::Type, NAME).not_null())
        .col(dialect.word(Event::ObjectType, NAME).not_null())
        .col(dialect.word(Event::ObjectId, ID).not_null())
        .col(dialect.word(Event::Kind, WORD).not_null())
        .col(dialect.word(Event::Operation, UUID).not_null())
        .col(number(Event::CreatedAt).not_null())
        .col(dialect.word(Event::SealedKey, DIGEST))
        .col(dialect.text(Event::Body).not_null())
        .col(dialect.text(Event::Sealed))
        .to_owned()
}

fn feed_mark(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(FeedMark::Table)
        .col(dialect.word(FeedMark::Name, NAME).not_null().primary_key())
        .col(number(FeedMark::Position).not_null())
        .to_owned()
}
