//! The tables of the store, up and down.
pub use sea_orm_migration::{MigrationStatus, MigratorTrait};
use sea_orm_migration::{MigrationTrait, async_trait};

mod dialect;
mod m20261101_000001_foundation;
mod m20261121_000001_change_feed;
mod m20261121_000002_intents;
mod m20261121_000003_integration_events;
mod m20261121_000004_reconciliation;
mod m20261122_000010_agreement;
mod m20261122_000020_sign_ins;
mod m20261122_000030_pages;
mod m20261122_000040_hook_runs_and_audit;
mod m20261122_000060_link_by_target;
mod m20261122_000070_unique_values;
mod m20261122_000080_audit_set_aside;
mod m20261122_000090_replays;
mod tables;

/// Every migration, in order.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261101_000001_foundation::Migration),
            Box::new(m20261121_000001_change_feed::Migration),
            Box::new(m20261121_000002_intents::Migration),
            Box::new(m20261121_000003_integration_events::Migration),
            Box::new(m20261121_000004_reconciliation::Migration),
            Box::new(m20261122_000010_agreement::Migration),
            Box::new(m20261122_000020_sign_ins::Migration),
            Box::new(m20261122_000030_pages::Migration),
            Box::new(m20261122_000060_link_by_target::Migration),
            Box::new(m20261122_000040_hook_runs_and_audit::Migration),
            Box::new(m20261122_000070_unique_values::Migration),
            Box::new(m20261122_000080_audit_set_aside::Migration),
            Box::new(m20261122_000090_replays::Migration),
        ]
    }
}
