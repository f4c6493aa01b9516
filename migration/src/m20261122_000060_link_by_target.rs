//! Links are found by their second id under every qualifier at once.
use sea_orm_migration::prelude::*;

use crate::tables::Link;

const BY_QUALIFIER: &str = "link_second";
const BY_TARGET: &str = "link_by_second";

/// Reconciliation asks for the links of many targets and does not know their qualifiers: with the
/// qualifier before the id it went through the whole index for each page.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let by_target = index(BY_TARGET, [Link::LinkType, Link::SecondId, Link::Qualifier]);
        replace(manager, by_target, BY_QUALIFIER).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let by_qualifier = index(
            BY_QUALIFIER,
            [Link::LinkType, Link::Qualifier, Link::SecondId],
        );
        replace(manager, by_qualifier, BY_TARGET).await
    }
}

/// Makes one index, then drops the other, so that links are unique throughout.
async fn replace(
    manager: &SchemaManager<'_>,
    new: IndexCreateStatement,
    old: &str,
) -> Result<(), DbErr> {
    manager.create_index(new).await?;
    let drop = Index::drop().name(old).table(Link::Table).to_owned();
    manager.drop_index(drop).await
}

fn index(name: &str, columns: [Link; 3]) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(name).table(Link::Table).unique();
    for column in columns {
        index.col(column);
    }
    index.take()
}
