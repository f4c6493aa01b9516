//! The tables of a database as it described them, until one is no longer what it was.
use std::sync::{Arc, PoisonError};

use super::{
    columns::Table, connector::Sql, describe::describe, failure::is_stale, settings::Class, wire,
};
use crate::connectors::Error;

impl Sql {
    pub(super) fn class(&self, class: &str) -> Result<&Class, Error> {
        let missing = || Error::refused(404, format!("there is no object class `{class}`"));
        self.settings.classes.get(class).ok_or_else(missing)
    }

    /// The class' table; the database is asked once, and again after [`Sql::forget`].
    pub(super) async fn table(&self, class: &str) -> Result<Arc<Table>, Error> {
        self.described(class, self.class(class)?).await
    }

    /// The table of changes of a class, where it has one.
    pub(super) async fn log(&self, class: &str) -> Result<Option<Arc<Table>>, Error> {
        match self.class(class)?.log() {
            Some(log) => self.described(&log_of(class), &log).await.map(Some),
            None => Ok(None),
        }
    }

    /// A table by the name under which it is remembered.
    async fn described(&self, class: &str, settings: &Class) -> Result<Arc<Table>, Error> {
        let known = self
            .tables
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(class)
            .cloned();
        if let Some(table) = known {
            return Ok(table);
        }
        let mut lease = self.reads.lease().await?;
        let table = describe(&mut lease, self.settings.dialect, settings).await?;
        lease.give_back();
        let table = Arc::new(table);
        self.tables
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(class.to_owned(), Arc::clone(&table));
        Ok(table)
    }

    /// Whether an error comes from a table that is no longer what it was; what is known about it
    /// is then forgotten. Nothing has happened, so the call may be made once more.
    pub(super) fn forget(&self, class: &str, error: &Error) -> bool {
        let stale = is_stale(error);
        if stale {
            self.forget_tables(class);
            // Prepared statements remember the old table too.
            self.reads.forget();
            self.writes.forget();
        }
        stale
    }

    fn forget_tables(&self, class: &str) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        tables.remove(class);
        tables.remove(&log_of(class));
    }

    pub(super) async fn test_class(&self, class: &str) -> Result<(), Error> {
        self.forget_tables(class);
        let table = self.table(class).await?;
        for table in std::iter::once(table).chain(self.log(class).await?) {
            let mut statement = wire::select(&table);
            statement.push(" WHERE 1 = 0");
            self.fetch(&statement).await?;
        }
        Ok(())
    }
}

/// The name under which the table of changes of a class is remembered; no class has it.
fn log_of(class: &str) -> String {
    format!("{class}/changes")
}
