//! What changed in a table: by the column that tells when a row was changed, by the rows of a table
//! of changes, or by both.
use std::collections::BTreeSet;

use serde_json::{Number, Value};

use super::{
    columns::{Class as Kind, Column, Table, id_text},
    connector::Sql,
    settings::Class,
    wire::{self, Statement},
};
use crate::{
    connectors::{
        Change, Changes, Error,
        watermark::{Watermark, says_gone, unknown_token},
    },
    model::TargetObject,
};

/// How many rows are read at once.
const BATCH: usize = 500;

/// One table whose changes are told.
struct Told<'a> {
    table: &'a Table,
    column: &'a Column,
    class: &'a Class,
}

/// Which way rows are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Forward,
    Newest,
}

impl Sql {
    /// The changes of a class since a token; without one, the newest token only.
    pub(super) async fn changes_of(
        &self,
        name: &str,
        class: &Class,
        table: &Table,
        since: Option<&str>,
    ) -> Result<Changes, Error> {
        let (log, log_class) = (self.log(name).await?, class.log());
        let log = match (&log, &log_class) {
            (Some(log), Some(class)) => Some(Told::new(class, log)?),
            _ => None,
        };
        let rows = match &class.change_column {
            Some(_) => Some(Told::new(class, table)?),
            None => None,
        };
        let told = [rows, log];
        if told.iter().all(Option::is_none) {
            let message = format!(
                "object class `{name}` cannot tell what changed: name the column that tells when a \
                 row was changed (`changeColumn`), or the table that has a row for each change \
                 (`changes`)"
            );
            return Err(Error::refused(501, message));
        }
        let mut marks = marks(name, &told, since)?;
        if since.is_none() {
            for (told, mark) in told.iter().flatten().zip(&mut marks) {
                self.note_all(told, mark).await?;
            }
            return Ok(Changes {
                changes: Vec::new(),
                token: to_token(&marks),
                more: false,
            });
        }
        let [rows, log] = told;
        let mut own = marks.iter_mut();
        let (mut changes, mut more) = (Vec::new(), false);
        if let Some(rows) = &rows
            && let Some(mark) = own.next()
        {
            let (news, is_more) = self.pass(rows, mark).await?;
            more |= is_more;
            changes.extend(news.into_iter().map(|object| rows.change(object)));
        }
        // A row that both tell is told once, with the last of its table's own.
        if let Some(log) = log.as_ref().filter(|_| !more)
            && let Some(mark) = own.next()
        {
            let (news, is_more) = self.pass(log, mark).await?;
            more |= is_more;
            let looked_up = self.look_up(table, log, &news).await?;
            // What was looked up last is what holds.
            let ids: BTreeSet<&str> = looked_up.iter().map(id_of).collect();
            changes.retain(|change| !ids.contains(id_of(change)));
            drop(ids);
            changes.extend(looked_up);
        }
        Ok(Changes {
            changes,
            token: to_token(&marks),
            more,
        })
    }

    /// Takes note of everything that is there now.
    async fn note_all(&self, told: &Told<'_>, mark: &mut Watermark) -> Result<(), Error> {
        let rows = self.fetch(&told.rows(mark, Way::Newest)?).await?;
        for row in rows.into_iter().take(1) {
            mark.note(&told.object(row)?);
        }
        while self.pass(told, mark).await?.1 {}
        Ok(())
    }

    /// What a page of a pass finds that is news, and whether there is more.
    async fn pass(
        &self,
        told: &Told<'_>,
        mark: &mut Watermark,
    ) -> Result<(Vec<TargetObject>, bool), Error> {
        let rows = self.fetch(&told.rows(mark, Way::Forward)?).await?;
        let more = rows.len() > BATCH;
        let mut news = Vec::new();
        let mut last = None;
        for row in rows.into_iter().take(BATCH) {
            let object = told.object(row)?;
            if mark.note(&object) {
                news.push(object.clone());
            }
            last = Some(object);
        }
        match last.filter(|_| more) {
            Some(last) => mark.stop_at(&last),
            None => mark.end(told.class.overlap),
        }
        Ok((news, more))
    }

    /// What became of the rows that a table of changes names: those that are not there are gone.
    async fn look_up(
        &self,
        table: &Table,
        log: &Told<'_>,
        news: &[TargetObject],
    ) -> Result<Vec<Change>, Error> {
        let mut ids: Vec<String> = Vec::new();
        for change in news {
            let key = log.table.columns.first();
            let id = key.and_then(|key| change.attributes.get(&key.name));
            ids.extend(id.cloned().map(id_text).filter(|id| !ids.contains(id)));
        }
        let mut found = self.read_rows(table, &ids).await?;
        let mut changes = Vec::with_capacity(ids.len());
        for id in ids {
            let place = found.iter().position(|object| object.id == id);
            changes.push(match place {
                Some(place) => Change::Present(found.swap_remove(place)),
                None => Change::Gone(id),
            });
        }
        Ok(changes)
    }
}

fn id_of(change: &Change) -> &str {
    match change {
        Change::Present(object) => &object.id,
        Change::Gone(id) => id,
    }
}

/// How far each table has been told.
fn marks(
    name: &str,
    told: &[Option<Told<'_>>; 2],
    since: Option<&str>,
) -> Result<Vec<Watermark>, Error> {
    let all: Vec<String> = told.iter().flatten().map(Told::by).collect();
    let Some(token) = since else {
        return Ok(all.iter().map(|by| Watermark::new(name, by)).collect());
    };
    let tokens: Vec<String> = match all.len() {
        1 => vec![token.to_owned()],
        _ => serde_json::from_str(token).map_err(|_| unknown_token(name))?,
    };
    if tokens.len() != all.len() {
        return Err(unknown_token(name));
    }
    let marks = all.iter().zip(&tokens);
    marks
        .map(|(by, token)| Watermark::from_token(name, by, token))
        .collect()
}

fn to_token(marks: &[Watermark]) -> String {
    match marks {
        [mark] => mark.to_token(),
        marks => {
            let tokens: Vec<String> = marks.iter().map(Watermark::to_token).collect();
            serde_json::to_string(&tokens).unwrap_or_default()
        }
    }
}

impl<'a> Told<'a> {
    fn new(class: &'a Class, table: &'a Table) -> Result<Self, Error> {
        let column = class.change_column.as_deref().unwrap_or_default();
        let missing = |column: &str| {
            let message = format!("table `{}` has no column `{column}`", table.name);
            Error::refused(wire::MISSING_COLUMN, message)
        };
        let own = Some(&table.key).filter(|key| key.name == column);
        let found = own.or_else(|| table.column(column));
        let found = found.ok_or_else(|| missing(column))?;
        if let Some(deleted) = &class.deleted_column
            && table.column(deleted).is_none()
        {
            return Err(missing(deleted));
        }
        let ordered = matches!(
            found.class,
            Kind::Moment | Kind::WallClock | Kind::Integer | Kind::Decimal | Kind::Dynamic { .. }
        );
        if !ordered {
            let table = &table.name;
            let message = format!(
                "column `{column}` of `{table}` (`changeColumn`, `changes.order`) is no time and no \
                 number"
            );
            return Err(Error::refused(400, message));
        }
        Ok(Self {
            table,
            column: found,
            class,
        })
    }

    /// What a mark knows it by.
    fn by(&self) -> String {
        self.column.name.clone()
    }

    /// A row, with its place in the order among its attributes.
    fn object(&self, row: Vec<super::columns::Cell>) -> Result<TargetObject, Error> {
        let mut object = wire::object(self.table, row)?;
        if self.column.name == self.table.key.name {
            let number = object.id.parse::<i64>().ok().map(Number::from);
            let place = number.map_or_else(|| Value::String(object.id.clone()), Value::Number);
            object.attributes.insert(self.by(), place);
        }
        Ok(object)
    }

    fn change(&self, object: TargetObject) -> Change {
        let deleted = self.class.deleted_column.as_deref();
        if deleted.is_some_and(|name| says_gone(&object.attributes, name)) {
            Change::Gone(object.id)
        } else {
            Change::Present(object)
        }
    }

    /// The rows that a pass looks at next, by their change and then by their key.
    fn rows(&self, mark: &Watermark, way: Way) -> Result<Statement, Error> {
        let mut statement = wire::select(self.table);
        let key = wire::quoted(self.table.dialect, &self.table.key.name);
        let order = wire::ordering(self.table, self.column);
        let name = wire::quoted(self.table.dialect, &self.column.name);
        statement.push(" WHERE ").push(&name).push(" IS NOT NULL");
        if way == Way::Newest {
            statement.push(&format!(" ORDER BY {order} DESC LIMIT 1"));
            return Ok(statement);
        }
        if let Some(from) = mark.from(self.class.overlap) {
            statement.push(" AND ");
            self.push(&mut statement, " >= ", &from)?;
        }
        if let Some((value, id)) = mark.behind() {
            statement.push(" AND (");
            self.push(&mut statement, " > ", value)?;
            statement.push(" OR (");
            self.push(&mut statement, " = ", value)?;
            statement.push(" AND ").push(&key).push(" > ");
            let cell = wire::key_cell(self.table, id)
                .ok_or_else(|| Error::refused(400, "the token names an id that no row can have"))?;
            statement.bind_for(&self.table.key, cell).push("))");
        }
        let limit = BATCH + 1;
        let by_key = wire::key_order(self.table);
        statement.push(&format!(" ORDER BY {order}, {by_key} LIMIT {limit}"));
        Ok(statement)
    }

    fn push(&self, statement: &mut Statement, operator: &str, value: &Value) -> Result<(), Error> {
        let (left, right) = wire::comparison(self.table.dialect, self.column);
        statement.push(&left).push(operator);
        wire::push_comparand(statement, self.column, self.column.to_cell(value)?);
        statement.push(right);
        Ok(())
    }
}
