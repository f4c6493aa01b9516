//! Sessions of browsers, and when a bearer token was last used.
use sea_orm_migration::prelude::*;

use crate::{
    dialect::{Dialect, number},
    tables::Token,
};

/// Longest name of a caller, in characters.
const CALLER: u32 = 255;
/// A UUID as text.
const UUID: u32 = 36;
/// A hexadecimal SHA-256.
const HASH: u32 = 64;

#[derive(DeriveIden, Clone, Copy)]
enum BrowserSession {
    Table,
    Hash,
    Caller,
    Roles,
    Token,
    CreatedAt,
    UsedAt,
    EndsAt,
}

/// The column that this adds to `token`.
#[derive(DeriveIden, Clone, Copy)]
struct LastUsedAt;

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
        manager.create_table(session(&dialect)).await?;
        for (name, column) in [
            ("browser_session_caller", BrowserSession::Caller),
            ("browser_session_ends", BrowserSession::EndsAt),
        ] {
            let index = Index::create()
                .name(name)
                .table(BrowserSession::Table)
                .col(column)
                .to_owned();
            manager.create_index(index).await?;
        }
        let used = Table::alter()
            .table(Token::Table)
            .add_column(number(LastUsedAt))
            .to_owned();
        manager.alter_table(used).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let unused = Table::alter()
            .table(Token::Table)
            .drop_column(LastUsedAt)
            .to_owned();
        manager.alter_table(unused).await?;
        let drop = Table::drop()
            .table(BrowserSession::Table)
            .if_exists()
            .to_owned();
        manager.drop_table(drop).await
    }
}

/// `hash` is that of the secret in the browser's cookie, which is kept nowhere.
fn session(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(BrowserSession::Table)
        .col(
            dialect
                .word(BrowserSession::Hash, HASH)
                .not_null()
                .primary_key(),
        )
        .col(dialect.word(BrowserSession::Caller, CALLER).not_null())
        .col(dialect.text(BrowserSession::Roles).not_null())
        .col(dialect.word(BrowserSession::Token, UUID))
        .col(number(BrowserSession::CreatedAt).not_null())
        .col(number(BrowserSession::UsedAt).not_null())
        .col(number(BrowserSession::EndsAt).not_null())
        .to_owned()
}
