//! The calls to a database.
use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock},
    time::Duration,
};

use async_trait::async_trait;

use super::{
    columns::{Cell, Table},
    explain::explain,
    failure::Stage,
    filter,
    refine::refined,
    session::{Commits, Lease, Pool},
    settings::{Class, Dialect, Settings},
    wire::{self, Statement},
};
use crate::{
    connectors::{
        Capabilities, Changes, Connector, Error, IdPage, Page, Particulars, Query, Update, Written,
        signs,
    },
    model::{Object, TargetObject, TargetWrite, object::same},
};

/// How many connections there are for each purpose, SQLite's one writer aside.
const CONNECTIONS: usize = 16;

/// How many rows are read at once where the filter is applied here.
const BATCH: usize = 500;

/// Tables of one database.
#[derive(Debug)]
pub struct Sql {
    pub(super) settings: Settings,
    /// Tables as the database described them, by object class.
    pub(super) tables: RwLock<BTreeMap<String, Arc<Table>>>,
    pub(super) reads: Arc<Pool>,
    pub(super) writes: Arc<Pool>,
}

impl Sql {
    /// The database. `timeout` is that of one attempt.
    ///
    /// # Errors
    /// Refused where the URL cannot be used.
    pub fn open(settings: Settings, timeout: Duration) -> Result<Self, Error> {
        let pool = |size, commits| Pool::new(&settings, size, commits, timeout).map(Arc::new);
        let reads = pool(CONNECTIONS, Commits::Alone)?;
        let writes = match settings.dialect {
            Dialect::Postgres => Arc::clone(&reads),
            Dialect::MySql => pool(CONNECTIONS, Commits::Asked)?,
            Dialect::Sqlite => pool(1, Commits::Alone)?,
        };
        Ok(Self {
            settings,
            tables: RwLock::default(),
            reads,
            writes,
        })
    }

    /// Reads rows. A connection that broke while it was unused says nothing about the server, so
    /// reading is tried again on a new one.
    pub(super) async fn fetch(&self, statement: &Statement) -> Result<Vec<Vec<Cell>>, Error> {
        let mut lease = self.reads.lease().await?;
        let mut answer = lease.run(statement, Stage::Open).await;
        if !lease.is_usable() && !lease.is_fresh() {
            drop(lease);
            self.reads.forget();
            self.writes.forget();
            lease = self.reads.lease().await?;
            answer = lease.run(statement, Stage::Open).await;
        }
        lease.give_back();
        Ok(answer?.rows)
    }

    pub(super) async fn read_row(
        &self,
        table: &Table,
        id: &str,
    ) -> Result<Option<TargetObject>, Error> {
        let Some(statement) = wire::select_one(table, id) else {
            return Ok(None);
        };
        match self.fetch(&statement).await {
            Ok(rows) => find(table, rows, id),
            // The id is no value of the key's type (SQLSTATE class 22): no row has it.
            Err(error) if is_misfit(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn query_table(&self, table: &Table, query: &Query) -> Result<Page, Error> {
        let mut base = wire::select(table);
        base.push(" WHERE (");
        let translated = filter::push(&mut base, table, &query.filter);
        if !translated {
            base.push("1 = 1");
        }
        let batch = if translated {
            query.page_size
        } else {
            query.page_size.max(BATCH)
        };
        let mut page = Page::default();
        let mut after = query.cursor.clone();
        loop {
            let statement = next_rows(table, &base, after.as_deref(), batch)?;
            let rows = self.fetch(&statement).await?;
            let count = rows.len();
            for (index, row) in rows.into_iter().take(batch).enumerate() {
                let object = wire::object(table, row)?;
                after = Some(object.id.clone());
                if translated || query.filter.matches(&object.to_object()) {
                    page.objects.push(object);
                }
                if page.objects.len() >= query.page_size {
                    page.cursor = after.filter(|_| index + 1 < count);
                    return Ok(page);
                }
            }
            if count <= batch {
                return Ok(page);
            }
        }
    }

    async fn create_row(
        &self,
        table: &Table,
        id: Option<&str>,
        object: &Object,
    ) -> Result<Written, Error> {
        let statement = wire::insert(table, id, object)?;
        let mut lease = self.writes.lease().await?;
        if table.dialect != Dialect::MySql {
            let answer = lease.run(&statement, Stage::Write).await;
            lease.give_back();
            let row = answer?.rows.into_iter().next();
            let row = row.ok_or_else(|| Error::refused(409, "the table took no row"))?;
            return wire::object(table, row).map(written);
        }
        let result = insert_mysql(&mut lease, table, id, &statement).await;
        end(lease, result).await
    }

    async fn update_row(&self, table: &Table, update: &Update<'_>) -> Result<Written, Error> {
        let before = update.before;
        let difference = wire::difference(table, update);
        let rename = update.rename.filter(|id| *id != before.id);
        let update = &Update { rename, ..*update };
        if difference.is_empty() && rename.is_none() {
            let now = self.read_row(table, &before.id).await?;
            return now
                .map(written)
                .ok_or_else(|| wire::gone(table, &before.id));
        }
        let statement = wire::update(table, update, &difference)?;
        let checked: Vec<&str> = difference
            .attributes()
            .filter(|name| needs_check(table, name))
            .collect();
        let mut lease = self.writes.lease().await?;
        let row = if table.dialect == Dialect::MySql || !checked.is_empty() {
            let id = rename.unwrap_or(&before.id);
            let result = update_checked(&mut lease, table, &statement, before, id, &checked).await;
            end(lease, result).await?
        } else {
            let answer = lease.run(&statement, Stage::Write).await;
            lease.give_back();
            answer?.rows.into_iter().next()
        };
        match row {
            Some(row) => wire::object(table, row).map(written),
            None => Err(self.stale(table, before, difference.attributes()).await),
        }
    }

    async fn delete_row(&self, table: &Table, before: &TargetObject) -> Result<(), Error> {
        let statement = match wire::delete(table, before) {
            Ok(statement) => statement,
            // No row can have such an id.
            Err(error) if error.code == 412 => return Ok(()),
            Err(error) => return Err(error),
        };
        let names = table.columns.iter().map(|column| column.name.as_str());
        let checked: Vec<&str> = names
            .clone()
            .filter(|name| needs_check(table, name))
            .collect();
        let mut lease = self.writes.lease().await?;
        let affected = if table.dialect == Dialect::MySql || !checked.is_empty() {
            let result = delete_checked(&mut lease, table, &statement, before, &checked).await;
            end(lease, result).await?
        } else {
            let answer = lease.run(&statement, Stage::Write).await;
            lease.give_back();
            answer?.affected
        };
        if affected > 0 || self.read_row(table, &before.id).await?.is_none() {
            return Ok(());
        }
        Err(self.stale(table, before, names).await)
    }

    /// Why a write met no row: the row is gone, or is not what was read.
    async fn stale<'a>(
        &self,
        table: &Table,
        before: &TargetObject,
        mut names: impl Iterator<Item = &'a str>,
    ) -> Error {
        match self.read_row(table, &before.id).await {
            Ok(None) => wire::gone(table, &before.id),
            Ok(Some(now)) => {
                let changed = names.find(|name| !is_unchanged(before, &now, name));
                changed_meanwhile(table, &before.id, changed)
            }
            // That nothing was written is certain all the same.
            Err(_) => changed_meanwhile(table, &before.id, None),
        }
    }
}

#[async_trait]
impl Connector for Sql {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            precondition: true,
            recreate_with_id: true,
            changes: self.settings.classes.values().all(Class::tells_changes),
        }
    }

    fn classes(&self) -> Vec<String> {
        self.settings.classes.keys().cloned().collect()
    }

    fn particulars(&self, _class: &str) -> Particulars {
        Particulars {
            lists_whole: true,
            ..Particulars::default()
        }
    }

    fn tells_answers(&self) -> bool {
        true
    }

    async fn refine(&self, class: &str, write: TargetWrite) -> Result<TargetWrite, Error> {
        if matches!(write, TargetWrite::Delete { .. }) {
            return Ok(write);
        }
        let table = self.table(class).await?;
        Ok(refined(&table, write))
    }

    async fn test(&self) -> Result<(), Error> {
        for class in self.settings.classes.keys() {
            if let Err(mut error) = self.test_class(class).await {
                error.message = explain(&self.settings, class, &error);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn read(&self, class: &str, id: &str) -> Result<Option<TargetObject>, Error> {
        let table = self.table(class).await?;
        match self.read_row(&table, id).await {
            Err(error) if self.forget(class, &error) => {
                let table = self.table(class).await?;
                self.read_row(&table, id).await
            }
            result => result,
        }
    }

    async fn read_many(
        &self,
        class: &str,
        ids: &[String],
    ) -> Result<Option<Vec<TargetObject>>, Error> {
        let table = self.table(class).await?;
        match self.read_rows(&table, ids).await {
            Err(error) if self.forget(class, &error) => {
                let table = self.table(class).await?;
                self.read_rows(&table, ids).await.map(Some)
            }
            result => result.map(Some),
        }
    }

    async fn list_ids(&self, class: &str, query: &Query) -> Result<Option<IdPage>, Error> {
        let table = self.table(class).await?;
        self.ids_after(&table, query).await
    }

    async fn query(&self, class: &str, query: &Query) -> Result<Page, Error> {
        let table = self.table(class).await?;
        match self.query_table(&table, query).await {
            Err(error) if self.forget(class, &error) => {
                let table = self.table(class).await?;
                self.query_table(&table, query).await
            }
            result => result,
        }
    }

    async fn create(
        &self,
        class: &str,
        id: Option<&str>,
        object: &Object,
    ) -> Result<Written, Error> {
        // Without a commit nothing stays.
        signs::unsent();
        let table = self.table(class).await?;
        match self.create_row(&table, id, object).await {
            Err(error) if self.forget(class, &error) => {
                let table = self.table(class).await?;
                self.create_row(&table, id, object).await
            }
            result => result,
        }
    }

    async fn update(&self, class: &str, update: &Update<'_>) -> Result<Written, Error> {
        signs::unsent();
        let table = self.table(class).await?;
        match self.update_row(&table, update).await {
            Err(error) if self.forget(class, &error) => {
                let table = self.table(class).await?;
                self.update_row(&table, update).await
            }
            result => result,
        }
    }

    async fn delete(&self, class: &str, before: &TargetObject) -> Result<(), Error> {
        signs::unsent();
        let table = self.table(class).await?;
        match self.delete_row(&table, before).await {
            Err(error) if self.forget(class, &error) => {
                let table = self.table(class).await?;
                self.delete_row(&table, before).await
            }
            result => result,
        }
    }

    async fn changes(&self, class: &str, since: Option<&str>) -> Result<Changes, Error> {
        let table = self.table(class).await?;
        let settings = self.class(class)?;
        match self.changes_of(class, settings, &table, since).await {
            Err(error) if self.forget(class, &error) => {
                let table = self.table(class).await?;
                self.changes_of(class, settings, &table, since).await
            }
            result => result,
        }
    }
}

fn written(object: TargetObject) -> Written {
    Written {
        id: object.id,
        version: None,
        attributes: Some(object.attributes),
    }
}

/// The row whose id is exactly this; the database may hold more ids for equal than Recant does.
fn find(table: &Table, rows: Vec<Vec<Cell>>, id: &str) -> Result<Option<TargetObject>, Error> {
    for row in rows {
        let object = wire::object(table, row)?;
        if object.id == id {
            return Ok(Some(object));
        }
    }
    Ok(None)
}

pub(super) fn is_misfit(error: &Error) -> bool {
    error
        .code
        .as_str()
        .is_some_and(|code| code.starts_with("22"))
}

/// The rows after one, in the order of their keys, and one more to see whether there are more.
pub(super) fn next_rows(
    table: &Table,
    base: &Statement,
    after: Option<&str>,
    count: usize,
) -> Result<Statement, Error> {
    let mut statement = base.clone();
    let key = wire::quoted(table.dialect, &table.key.name);
    statement.push(") AND ").push(&key);
    match after {
        Some(after) => {
            let cell = wire::key_cell(table, after)
                .ok_or_else(|| Error::refused(400, "this is no cursor of this query"))?;
            statement.push(" > ").bind_for(&table.key, cell);
        }
        None => {
            statement.push(" IS NOT NULL");
        }
    }
    let limit = count.saturating_add(1);
    let order = wire::key_order(table);
    statement.push(&format!(" ORDER BY {order} LIMIT {limit}"));
    Ok(statement)
}

fn needs_check(table: &Table, name: &str) -> bool {
    table
        .column(name)
        .is_some_and(|column| !wire::is_comparable(table.dialect, column.class))
}

fn is_unchanged(before: &TargetObject, now: &TargetObject, name: &str) -> bool {
    match (before.attributes.get(name), now.attributes.get(name)) {
        (Some(before), Some(now)) => same(before, now),
        (before, now) => before.is_none_or(serde_json::Value::is_null) && now.is_none(),
    }
}

fn changed_meanwhile(table: &Table, id: &str, column: Option<&str>) -> Error {
    let name = &table.name;
    let place = column.map_or_else(String::new, |column| format!(" in column `{column}`"));
    Error::refused(
        412,
        format!("row `{id}` of `{name}` was changed{place} meanwhile"),
    )
}

/// Ends a transaction: commits what went well, takes back what did not.
async fn end<T>(mut lease: Lease<'_>, result: Result<T, Error>) -> Result<T, Error> {
    match result {
        Ok(value) => {
            lease.command("COMMIT", Stage::Commit).await?;
            lease.give_back();
            Ok(value)
        }
        Err(error) => {
            // A connection that cannot even do this is closed, and the server rolls back.
            if lease.is_usable() && lease.command("ROLLBACK", Stage::Open).await.is_ok() {
                lease.give_back();
            }
            Err(error)
        }
    }
}

async fn begin(lease: &mut Lease<'_>, dialect: Dialect) -> Result<(), Error> {
    match dialect {
        // Its connections for writing begin by themselves.
        Dialect::MySql => Ok(()),
        // A transaction that only becomes a writer later may find that it is too late for that.
        Dialect::Sqlite => lease.command("BEGIN IMMEDIATE", Stage::Open).await,
        Dialect::Postgres => lease.command("BEGIN", Stage::Open).await,
    }
}

async fn insert_mysql(
    lease: &mut Lease<'_>,
    table: &Table,
    id: Option<&str>,
    statement: &Statement,
) -> Result<Written, Error> {
    let answer = lease.run(statement, Stage::Open).await?;
    let assigned = (answer.assigned > 0).then(|| answer.assigned.to_string());
    let id = id.map(str::to_owned).or(assigned).ok_or_else(|| {
        let message = format!("table `{}` assigns no key: map `_id`", table.name);
        Error::refused(400, message)
    })?;
    let row = select_for(lease, table, &id, "").await?;
    let row = row.ok_or_else(|| Error::refused(409, "the table took no row"))?;
    wire::object(table, row).map(written)
}

/// Updates in a transaction and reads the row; none where no row was as expected.
async fn update_checked(
    lease: &mut Lease<'_>,
    table: &Table,
    statement: &Statement,
    before: &TargetObject,
    id: &str,
    checked: &[&str],
) -> Result<Option<Vec<Cell>>, Error> {
    begin(lease, table.dialect).await?;
    check(lease, table, before, checked).await?;
    let answer = lease.run(statement, Stage::Open).await?;
    if table.dialect != Dialect::MySql {
        return Ok(answer.rows.into_iter().next());
    }
    if answer.affected == 0 {
        return Ok(None);
    }
    select_for(lease, table, id, "").await
}

async fn delete_checked(
    lease: &mut Lease<'_>,
    table: &Table,
    statement: &Statement,
    before: &TargetObject,
    checked: &[&str],
) -> Result<u64, Error> {
    begin(lease, table.dialect).await?;
    match check(lease, table, before, checked).await {
        Ok(()) => Ok(lease.run(statement, Stage::Open).await?.affected),
        // The caller looks again: what is gone already is a success.
        Err(error) if error.code == 412 => Ok(0),
        Err(error) => Err(error),
    }
}

/// Compares the columns that the database cannot compare, holding the row.
async fn check(
    lease: &mut Lease<'_>,
    table: &Table,
    before: &TargetObject,
    checked: &[&str],
) -> Result<(), Error> {
    if checked.is_empty() {
        return Ok(());
    }
    let lock = match table.dialect {
        Dialect::MySql => " FOR UPDATE",
        Dialect::Postgres | Dialect::Sqlite => "",
    };
    let row = select_for(lease, table, &before.id, lock).await?;
    let row = row.ok_or_else(|| wire::gone(table, &before.id))?;
    let now = wire::object(table, row)?;
    match checked
        .iter()
        .find(|name| !is_unchanged(before, &now, name))
    {
        Some(changed) => Err(changed_meanwhile(table, &before.id, Some(changed))),
        None => Ok(()),
    }
}

async fn select_for(
    lease: &mut Lease<'_>,
    table: &Table,
    id: &str,
    suffix: &str,
) -> Result<Option<Vec<Cell>>, Error> {
    let mut statement = wire::select_one(table, id).ok_or_else(|| wire::gone(table, id))?;
    statement.push(suffix);
    let answer = lease.run(&statement, Stage::Open).await?;
    Ok(answer.rows.into_iter().next())
}
