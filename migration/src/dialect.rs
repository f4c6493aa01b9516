//! What the three databases need said differently: binary text order and bounded keys.
use sea_orm_migration::{prelude::*, sea_orm::DatabaseBackend};

/// How columns and tables are written for one database.
#[derive(Debug, Clone)]
pub(crate) struct Dialect {
    backend: DatabaseBackend,
    /// The collation of tables on MySQL and its relatives: binary, without padding, so that ids
    /// that differ in case or in spaces at their end stay different.
    collation: &'static str,
}

impl Dialect {
    /// The dialect of the database behind `manager`.
    pub(crate) async fn of(manager: &SchemaManager<'_>) -> Result<Self, DbErr> {
        let backend = manager.get_database_backend();
        let collation = match backend {
            DatabaseBackend::MySql => mysql_collation(manager).await?,
            _ => "",
        };
        Ok(Self { backend, collation })
    }

    /// A new table with what this database needs.
    pub(crate) fn table(&self, name: impl IntoIden) -> TableCreateStatement {
        let mut table = Table::create();
        table.table(name.into_iden());
        if self.backend == DatabaseBackend::MySql {
            table.character_set("utf8mb4").collate(self.collation);
        }
        table
    }

    /// A short text of at most `length` characters, compared and ordered by its bytes.
    pub(crate) fn word(&self, name: impl IntoIden, length: u32) -> ColumnDef {
        let mut column = ColumnDef::new(name);
        column.string_len(length);
        if self.backend == DatabaseBackend::Postgres {
            column.extra("COLLATE \"C\"");
        }
        column
    }

    /// A text of any length.
    pub(crate) fn text(&self, name: impl IntoIden) -> ColumnDef {
        let mut column = ColumnDef::new(name);
        match self.backend {
            DatabaseBackend::MySql => column.custom(Alias::new("longtext")),
            _ => column.text(),
        };
        column
    }
}

/// A whole number of 64 bits.
pub(crate) fn number(name: impl IntoIden) -> ColumnDef {
    let mut column = ColumnDef::new(name);
    column.big_integer();
    column
}

/// MariaDB and MySQL call the same collation differently.
async fn mysql_collation(manager: &SchemaManager<'_>) -> Result<&'static str, DbErr> {
    let query = Query::select().expr(Func::cust("version")).to_owned();
    let version: String = match manager.get_connection().query_one(&query).await? {
        Some(row) => row.try_get_by_index(0)?,
        None => String::new(),
    };
    if version.contains("MariaDB") {
        Ok("utf8mb4_nopad_bin")
    } else {
        Ok("utf8mb4_0900_bin")
    }
}
