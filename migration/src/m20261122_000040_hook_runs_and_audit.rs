//! Runs of hooks that are kept; and beside the audit trail its checkpoints, its pruned beginning, and how far it was delivered.
use sea_orm_migration::prelude::*;

use crate::{
    dialect::{Dialect, number},
    tables::{AuditAnchor, AuditCheckpoint, AuditDelivery, HookRun},
};

/// A UUID as text.
const UUID: u32 = 36;
/// The full name of a hook or script.
const NAME: u32 = 255;
/// Longest `managed/TYPE/ID`.
const OBJECT: u32 = 480;
/// A short word.
const WORD: u32 = 16;
/// A hexadecimal SHA-256, or the id of a key.
const DIGEST: u32 = 64;
/// An Ed25519 signature in base64.
const SIGNATURE: u32 = 100;

/// Builds and removes the tables.
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
        manager.create_table(hook_run(&dialect)).await?;
        for (name, column) in [
            ("hook_run_hook", HookRun::Hook),
            ("hook_run_script", HookRun::Script),
            ("hook_run_operation", HookRun::Operation),
        ] {
            let mut index = Index::create();
            index.name(name).table(HookRun::Table).col(column);
            if !matches!(column, HookRun::Operation) {
                index.col(HookRun::Id);
            }
            manager.create_index(index.to_owned()).await?;
        }
        manager.create_table(checkpoint(&dialect)).await?;
        manager.create_table(anchor(&dialect)).await?;
        manager.create_table(delivery(&dialect)).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tables: [DynIden; 4] = [
            AuditDelivery::Table.into_iden(),
            AuditAnchor::Table.into_iden(),
            AuditCheckpoint::Table.into_iden(),
            HookRun::Table.into_iden(),
        ];
        for table in tables {
            let drop = Table::drop().table(table).if_exists().to_owned();
            manager.drop_table(drop).await?;
        }
        Ok(())
    }
}

/// Small columns stand before the long text, so that a scan over them reads no overflow pages.
fn hook_run(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(HookRun::Table)
        .col(dialect.word(HookRun::Id, UUID).not_null().primary_key())
        .col(dialect.word(HookRun::Hook, NAME).not_null())
        .col(dialect.word(HookRun::Script, NAME).not_null())
        .col(dialect.word(HookRun::Digest, DIGEST).not_null())
        .col(dialect.word(HookRun::Operation, UUID).not_null())
        .col(dialect.word(HookRun::Object, OBJECT).not_null())
        .col(dialect.word(HookRun::Verdict, WORD).not_null())
        .col(number(HookRun::At).not_null())
        .col(number(HookRun::Micros).not_null())
        .col(number(HookRun::Operations).not_null())
        .col(dialect.word(HookRun::Key, DIGEST))
        .col(dialect.text(HookRun::Body).not_null())
        .to_owned()
}

fn checkpoint(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(AuditCheckpoint::Table)
        .col(number(AuditCheckpoint::Number).not_null().primary_key())
        .col(number(AuditCheckpoint::Position).not_null())
        .col(dialect.word(AuditCheckpoint::Digest, DIGEST).not_null())
        .col(number(AuditCheckpoint::At).not_null())
        .col(
            dialect
                .word(AuditCheckpoint::Previous, SIGNATURE)
                .not_null(),
        )
        .col(dialect.word(AuditCheckpoint::Key, DIGEST).not_null())
        .col(
            dialect
                .word(AuditCheckpoint::Signature, SIGNATURE)
                .not_null(),
        )
        .to_owned()
}

fn anchor(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(AuditAnchor::Table)
        .col(
            dialect
                .word(AuditAnchor::Name, WORD)
                .not_null()
                .primary_key(),
        )
        .col(number(AuditAnchor::Position).not_null())
        .col(dialect.word(AuditAnchor::Digest, DIGEST).not_null())
        .col(number(AuditAnchor::At).not_null())
        .col(dialect.word(AuditAnchor::Key, DIGEST))
        .col(dialect.word(AuditAnchor::Signature, SIGNATURE))
        .to_owned()
}

fn delivery(dialect: &Dialect) -> TableCreateStatement {
    dialect
        .table(AuditDelivery::Table)
        .col(
            dialect
                .word(AuditDelivery::Name, NAME)
                .not_null()
                .primary_key(),
        )
        .col(number(AuditDelivery::Position).not_null())
        .col(dialect.word(AuditDelivery::Node, NAME))
        .col(number(AuditDelivery::LeaseUntil).not_null())
        .to_owned()
}
