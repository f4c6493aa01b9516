//! What changed in a table, by the column that tells when a row was changed.
use serde_json::Value;

use super::{
    columns::{Class as Kind, Column, Table},
    connector::Sql,
    settings::Class,
    wire::{self, Statement},
};
use crate::{
    connectors::{
        Change, Changes, Error,
        watermark::{Watermark, says_gone},
    },
    model::TargetObject,
};

/// How many rows are read at once.
const BATCH: usize = 500;

/// One class whose changes are told.
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
        let told = Told::new(name, class, table)?;
        let by = &told.column.name;
        match since {
            None => {
                let mark = self.newest(&told, Watermark::new(name, by)).await?;
                Ok(Changes {
                    changes: Vec::new(),
                    token: mark.to_token(),
                    more: false,
                })
            }
            Some(token) => {
                let mut mark = Watermark::from_token(name, by, token)?;
                let (changes, more) = self.pass(&told, &mut mark).await?;
                Ok(Changes {
                    changes,
                    token: mark.to_token(),
                    more,
                })
            }
        }
    }

    /// A mark that knows everything that is there now.
    async fn newest(&self, told: &Told<'_>, mut mark: Watermark) -> Result<Watermark, Error> {
        let rows = self.fetch(&told.rows(&mark, Way::Newest)?).await?;
        for row in rows.into_iter().take(1) {
            mark.note(&wire::object(told.table, row)?);
        }
        while self.pass(told, &mut mark).await?.1 {}
        Ok(mark)
    }

    /// A page of a pass, and whether there is more.
    async fn pass(
        &self,
        told: &Told<'_>,
        mark: &mut Watermark,
    ) -> Result<(Vec<Change>, bool), Error> {
        let rows = self.fetch(&told.rows(mark, Way::Forward)?).await?;
        let more = rows.len() > BATCH;
        let mut changes = Vec::new();
        let mut last = None;
        for row in rows.into_iter().take(BATCH) {
            let object = wire::object(told.table, row)?;
            if mark.note(&object) {
                changes.push(told.change(object.clone()));
            }
            last = Some(object);
        }
        match last.filter(|_| more) {
            Some(last) => mark.stop_at(&last),
            None => mark.end(told.class.overlap),
        }
        Ok((changes, more))
    }
}

impl<'a> Told<'a> {
    fn new(name: &str, class: &'a Class, table: &'a Table) -> Result<Self, Error> {
        let Some(column) = &class.change_column else {
            let message = format!(
                "object class `{name}` cannot tell what changed: name the column that tells when a \
                 row was changed (`changeColumn`)"
            );
            return Err(Error::refused(501, message));
        };
        let missing = |column: &str| {
            let message = format!("table `{}` has no column `{column}`", table.name);
            Error::refused(wire::MISSING_COLUMN, message)
        };
        let found = table.column(column).ok_or_else(|| missing(column))?;
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
            let message = format!("column `{column}` (`changeColumn`) is no time and no number");
            return Err(Error::refused(400, message));
        }
        Ok(Self {
            table,
            column: found,
            class,
        })
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
        let (left, right) = wire::comparison(self.table.dialect, self.column);
        let name = wire::quoted(self.table.dialect, &self.column.name);
        statement.push(" WHERE ").push(&name).push(" IS NOT NULL");
        if way == Way::Newest {
            statement.push(&format!(" ORDER BY {left} DESC LIMIT 1"));
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
        statement.push(&format!(" ORDER BY {left}{right}, {key} LIMIT {limit}"));
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
