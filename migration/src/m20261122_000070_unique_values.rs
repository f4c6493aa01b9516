//! Values that no two objects of a type may have, and for which rules they are complete.
use sea_orm_migration::prelude::*;

use crate::{
    dialect::{Dialect, number},
    tables::{UniqueRule, UniqueValue},
};

/// Longest name of a type.
const NAME: u32 = 100;
/// Longest id of an object.
const ID: u32 = 255;
/// A hexadecimal SHA-256.
const DIGEST: u32 = 64;

/// Builds and removes the tables. Which values are unique is said in the project folder, so what is
/// stored already is gone through when a folder is opened.
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
        let mut key = Index::create();
        key.col(UniqueValue::Type).col(UniqueValue::Digest);
        let values = dialect
            .table(UniqueValue::Table)
            .col(dialect.word(UniqueValue::Type, NAME).not_null())
            .col(dialect.word(UniqueValue::Digest, DIGEST).not_null())
            .col(dialect.word(UniqueValue::Rule, DIGEST).not_null())
            .col(dialect.word(UniqueValue::Id, ID).not_null())
            .col(number(UniqueValue::Leaving).not_null())
            .primary_key(&mut key)
            .to_owned();
        manager.create_table(values).await?;
        let mut by_object = Index::create();
        by_object
            .name("unique_value_object")
            .table(UniqueValue::Table)
            .col(UniqueValue::Type)
            .col(UniqueValue::Id);
        manager.create_index(by_object).await?;
        let mut key = Index::create();
        key.col(UniqueRule::Type).col(UniqueRule::Rule);
        let rules = dialect
            .table(UniqueRule::Table)
            .col(dialect.word(UniqueRule::Type, NAME).not_null())
            .col(dialect.word(UniqueRule::Rule, DIGEST).not_null())
            .primary_key(&mut key)
            .to_owned();
        manager.create_table(rules).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tables: [DynIden; 2] = [
            UniqueRule::Table.into_iden(),
            UniqueValue::Table.into_iden(),
        ];
        for table in tables {
            let drop = Table::drop().table(table).if_exists().to_owned();
            manager.drop_table(drop).await?;
        }
        Ok(())
    }
}
