//! Integration events, our copies of external records, and how far live sync has read.
use sea_orm_migration::prelude::*;

use crate::{
    dialect::{Dialect, number},
    tables::{IntegrationEvent, IntegrationRecord, LiveToken},
};

/// Longest id of an object, in characters.
const ID: u32 = 255;
/// Longest name of a type, mapping, connector or class.
const NAME: u32 = 100;
/// Longest name of an external record or a managed object, with its system.
const LANE: u32 = 480;
/// A UUID as text.
const UUID: u32 = 36;
/// A short word.
const WORD: u32 = 16;
/// A hexadecimal SHA-256.
const DIGEST: u32 = 64;
/// The id of a delivery, as its sender gives it.
const DELIVERY: u32 = 190;

/// Builds and removes the tables of integrations.
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
        for table in [event(&dialect), record(&dialect), token(&dialect)] {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tables: [DynIden; 3] = [
            LiveToken::Table.into_iden(),
            IntegrationRecord::Table.into_iden(),
            IntegrationEvent::Table.into_iden(),
        ];
        for table in tables {
            let drop = Table::drop().table(table).if_exists().to_owned();
            manager.drop_table(drop).await?;
        }
        Ok(())
    }
}

fn event(dialect: &Dialect) -> TableCreateStatement {
    use IntegrationEvent as Column;
    dialect
        .table(Column::Table)
        .col(dialect.word(Column::Id, UUID).not_null().primary_key())
        .col(dialect.word(Column::Direction, WORD).not_null())
        .col(dialect.word(Column::Connector, NAME).not_null())
        .col(dialect.word(Column::Lane, LANE).not_null())
        .col(dialect.word(Column::Active, LANE))
        .col(dialect.word(Column::ExternalId, ID).not_null())
        .col(number(Column::UpdatedAt).not_null())
        .col(dialect.word(Column::Kind, WORD).not_null())
        .col(dialect.word(Column::CachedId, UUID))
        .col(dialect.word(Column::CachedType, NAME))
        .col(dialect.word(Column::RecordId, ID))
        .col(dialect.word(Column::RecordType, NAME))
        .col(dialect.word(Column::Mapping, NAME))
        .col(dialect.word(Column::State, WORD).not_null())
        .col(dialect.word(Column::CanceledBy, UUID))
        .col(dialect.word(Column::DuplicateOf, UUID))
        .col(dialect.word(Column::IgnoredForId, ID))
        .col(dialect.word(Column::IgnoredForType, NAME + WORD))
        .col(number(Column::Attempts).not_null())
        .col(number(Column::NextAttemptAt))
        .col(dialect.word(Column::Operation, UUID))
        .col(dialect.word(Column::Node, UUID))
        .col(number(Column::CreatedAt).not_null())
        .col(number(Column::StartedAt))
        .col(number(Column::EndedAt))
        .col(dialect.word(Column::Delivery, DELIVERY))
        .col(dialect.word(Column::PayloadKey, DIGEST))
        .col(dialect.text(Column::LastError))
        .col(dialect.text(Column::Payload))
        .to_owned()
}

fn record(dialect: &Dialect) -> TableCreateStatement {
    use IntegrationRecord as Column;
    dialect
        .table(Column::Table)
        .col(dialect.word(Column::Lane, LANE).not_null().primary_key())
        .col(dialect.word(Column::Id, UUID).not_null())
        .col(number(Column::UpdatedAt).not_null())
        .col(dialect.word(Column::Event, UUID).not_null())
        .col(dialect.word(Column::RecordId, ID))
        .col(dialect.word(Column::RecordType, NAME))
        .col(dialect.word(Column::BodyKey, DIGEST))
        .col(dialect.text(Column::Body))
        .to_owned()
}

fn token(dialect: &Dialect) -> TableCreateStatement {
    use LiveToken as Column;
    dialect
        .table(Column::Table)
        .col(dialect.word(Column::Connector, NAME).not_null())
        .col(dialect.word(Column::Class, NAME).not_null())
        .col(number(Column::MovedAt).not_null())
        .col(dialect.text(Column::Token).not_null())
        .primary_key(Index::create().col(Column::Connector).col(Column::Class))
        .to_owned()
}

fn indexes() -> Vec<IndexCreateStatement> {
    use IntegrationEvent as Column;
    let index = |name: &str, columns: &[Column]| {
        let mut index = Index::create();
        index.name(name).table(Column::Table);
        for column in columns {
            index.col(*column);
        }
        index
    };
    vec![
        // One event of an external id is carried out at a time, on whatever node.
        index("integration_event_active", &[Column::Active])
            .unique()
            .to_owned(),
        index("integration_event_lane", &[Column::Lane, Column::UpdatedAt]),
        index(
            "integration_event_state",
            &[Column::State, Column::NextAttemptAt],
        ),
        index(
            "integration_event_connector",
            &[Column::Connector, Column::Id],
        ),
        index("integration_event_operation", &[Column::Operation]),
        index("integration_event_delivery", &[Column::Delivery]),
    ]
}
