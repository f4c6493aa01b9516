//! From what Recant wants to the statement that says it, for each product.
use std::fmt::Write as _;

use serde_json::Value;

use super::{
    columns::{Cell, Class, Column, Table, id_text},
    settings::Dialect,
};
use crate::{
    connectors::{Error, Update},
    model::{Difference, Object, TargetObject},
};

/// A statement and the values for its places.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The text. Names in it come from the configuration only, values never.
    pub text: String,
    /// The values, in the order of their places.
    pub binds: Vec<Cell>,
    dialect: Dialect,
}

impl Statement {
    /// A statement that begins with `text`.
    pub fn new(dialect: Dialect, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            binds: Vec::new(),
            dialect,
        }
    }

    /// The product that it is for.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Adds text.
    pub fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a place for a value, without any cast.
    pub fn bind(&mut self, cell: Cell) -> &mut Self {
        self.binds.push(cell);
        match self.dialect {
            // The driver then knows every value as text, and the statement says what it shall be.
            Dialect::Postgres => {
                let number = self.binds.len();
                let _ = write!(self.text, "${number}::text");
            }
            Dialect::MySql | Dialect::Sqlite => self.text.push('?'),
        }
        self
    }

    /// Adds a place for a value that a column shall hold.
    pub fn bind_for(&mut self, column: &Column, cell: Cell) -> &mut Self {
        let cell = fit(self.dialect, column, cell);
        match (self.dialect, column.class) {
            (Dialect::Postgres, Class::Binary) => {
                self.push("decode(").bind(cell).push(", 'base64')")
            }
            (Dialect::Postgres, _) => self.bind(cell).push("::").push(&column.cast),
            _ => self.bind(cell),
        }
    }
}

/// The columns that a row is read by: the key, then the others.
fn outputs(table: &Table) -> String {
    std::iter::once(&table.key)
        .chain(&table.columns)
        .map(|column| output(table.dialect, column))
        .collect::<Vec<_>>()
        .join(", ")
}

/// How a column is read so that nothing of its value is lost.
fn output(dialect: Dialect, column: &Column) -> String {
    let name = quoted(dialect, &column.name);
    match (dialect, column.class) {
        (Dialect::Postgres, Class::Binary) => format!("encode({name}, 'base64')"),
        (Dialect::Postgres, Class::List) => format!("to_json({name})::text"),
        (Dialect::Postgres, Class::TextList) => format!("to_json({name}::text[])::text"),
        (Dialect::Postgres, _) => format!("{name}::text"),
        (Dialect::MySql, Class::Text | Class::Binary | Class::Real | Class::Single)
        | (Dialect::Sqlite, _) => name,
        (Dialect::MySql, Class::Bits) => format!("CAST({name} + 0 AS CHAR)"),
        (Dialect::MySql, _) => format!("CAST({name} AS CHAR)"),
    }
}

/// Every row that meets `condition` (SQL that stands after WHERE).
pub fn select(table: &Table) -> Statement {
    let text = format!("SELECT {} FROM {}", outputs(table), table.quoted);
    Statement::new(table.dialect, text)
}

/// The row with an id; none where no row can have such an id.
pub fn select_one(table: &Table, id: &str) -> Option<Statement> {
    let mut statement = select(table);
    statement.push(" WHERE ");
    push_key(&mut statement, table, id)?;
    Some(statement)
}

/// The key of every row that meets `condition`, as [`select`].
pub fn select_keys(table: &Table) -> Statement {
    let key = output(table.dialect, &table.key);
    Statement::new(table.dialect, format!("SELECT {key} FROM {}", table.quoted))
}

/// The rows with these ids, as far as any row can have them; none where no row can have any. The
/// last id is repeated until there are a power of two of them, so that few statements are prepared.
pub fn select_many(table: &Table, ids: &[String]) -> Option<Statement> {
    let mut cells: Vec<Cell> = ids.iter().filter_map(|id| key_cell(table, id)).collect();
    cells.last()?;
    let mut statement = select(table);
    let name = quoted(table.dialect, &table.key.name);
    statement.push(" WHERE ").push(&name).push(" IN (");
    if let Some(list) = as_list(table, &cells) {
        push_list(&mut statement, table, list);
    } else {
        let last = cells.last()?.clone();
        cells.resize(cells.len().next_power_of_two(), last);
        for (index, cell) in cells.into_iter().enumerate() {
            if index > 0 {
                statement.push(", ");
            }
            statement.bind_for(&table.key, cell);
        }
    }
    statement.push(")");
    Some(statement)
}

/// The keys as one value, where the product can take it apart: a thousand places in a statement
/// cost more than the rows that they find.
fn as_list(table: &Table, cells: &[Cell]) -> Option<Value> {
    match table.dialect {
        Dialect::Postgres | Dialect::Sqlite => {}
        // Neither product has a word for it that the other one knows.
        Dialect::MySql => return None,
    }
    let text = |cell: &Cell| match cell {
        Cell::Text(text) if !text.contains('\0') => Some(Value::String(text.clone())),
        _ => None,
    };
    cells.iter().map(text).collect()
}

fn push_list(statement: &mut Statement, table: &Table, list: Value) {
    let list = Cell::Text(list.to_string());
    if table.dialect == Dialect::Postgres {
        let cast = &table.key.cast;
        statement.push(&format!(
            "SELECT value::{cast} FROM json_array_elements_text("
        ));
        statement.bind(list).push("::json)");
    } else {
        statement.push("SELECT value FROM json_each(");
        statement.bind(list).push(")");
    }
}

/// Adds a new row.
///
/// # Errors
/// Refused where an attribute has no column, or a column cannot hold its value.
pub fn insert(table: &Table, id: Option<&str>, object: &Object) -> Result<Statement, Error> {
    let mut cells = Vec::with_capacity(object.len() + 1);
    if let Some(id) = id {
        let cell = key_cell(table, id).ok_or_else(|| no_key(table, id))?;
        cells.push((&table.key, cell));
    }
    for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
        let column = column(table, name)?;
        if !column.is_generated {
            cells.push((column, column.to_cell(value)?));
        }
    }
    let text = format!("INSERT INTO {}", table.quoted);
    let mut statement = Statement::new(table.dialect, text);
    match (cells.is_empty(), table.dialect) {
        (true, Dialect::MySql) => statement.push(" () VALUES ()"),
        (true, _) => statement.push(" DEFAULT VALUES"),
        (false, _) => push_values(&mut statement, table, id, cells),
    };
    push_returning(&mut statement, table);
    Ok(statement)
}

fn push_values<'a>(
    statement: &'a mut Statement,
    table: &Table,
    id: Option<&str>,
    cells: Vec<(&Column, Cell)>,
) -> &'a mut Statement {
    let names: Vec<String> = cells
        .iter()
        .map(|(column, _)| quoted(table.dialect, &column.name))
        .collect();
    statement.push(" (").push(&names.join(", ")).push(") ");
    if table.dialect == Dialect::Postgres && id.is_some() {
        // A key that is GENERATED ALWAYS AS IDENTITY takes a given value only so.
        statement.push("OVERRIDING SYSTEM VALUE ");
    }
    statement.push("VALUES (");
    for (index, (column, cell)) in cells.into_iter().enumerate() {
        if index > 0 {
            statement.push(", ");
        }
        statement.bind_for(column, cell);
    }
    statement.push(")")
}

/// What an update has to write. What the database computes follows by itself.
pub fn difference(table: &Table, update: &Update<'_>) -> Difference {
    let is_written = |name: &str| table.column(name).is_none_or(|it| !it.is_generated);
    let mut difference = Difference::between(&update.before.attributes, update.after);
    difference.set.retain(|name, _| is_written(name));
    difference.removed.retain(|name| is_written(name));
    difference
}

/// Changes the columns that differ, only where they still hold what was read.
///
/// # Errors
/// Refused where an attribute has no column, or a column cannot hold its value.
pub fn update(
    table: &Table,
    update: &Update<'_>,
    difference: &Difference,
) -> Result<Statement, Error> {
    let before = update.before;
    let text = format!("UPDATE {} SET ", table.quoted);
    let mut statement = Statement::new(table.dialect, text);
    let mut separator = "";
    if let Some(id) = update.rename {
        let cell = key_cell(table, id).ok_or_else(|| no_key(table, id))?;
        let name = quoted(table.dialect, &table.key.name);
        statement.push(&name).push(" = ");
        statement.bind_for(&table.key, cell);
        separator = ", ";
    }
    let removed = difference.removed.iter().map(|name| (name, &Value::Null));
    for (name, value) in difference.set.iter().chain(removed) {
        let column = column(table, name)?;
        let name = quoted(table.dialect, name);
        statement.push(separator).push(&name).push(" = ");
        statement.bind_for(column, column.to_cell(value)?);
        separator = ", ";
    }
    statement.push(" WHERE ");
    push_key(&mut statement, table, &before.id).ok_or_else(|| gone(table, &before.id))?;
    for name in difference.attributes() {
        push_unchanged(&mut statement, table, column(table, name)?, before)?;
    }
    push_returning(&mut statement, table);
    Ok(statement)
}

/// Takes a row out, only where it still is what was read.
///
/// # Errors
/// Refused where what was read does not fit the columns.
pub fn delete(table: &Table, before: &TargetObject) -> Result<Statement, Error> {
    let text = format!("DELETE FROM {} WHERE ", table.quoted);
    let mut statement = Statement::new(table.dialect, text);
    push_key(&mut statement, table, &before.id).ok_or_else(|| gone(table, &before.id))?;
    for column in &table.columns {
        push_unchanged(&mut statement, table, column, before)?;
    }
    Ok(statement)
}

/// Whether the database can compare the column's value with one of ours without false alarm.
/// Elsewhere the connector compares it, in the transaction that writes.
pub fn is_comparable(dialect: Dialect, class: Class) -> bool {
    dialect == Dialect::Postgres || class != Class::Json
}

/// Adds the condition that a row has an id; none where no row can.
fn push_key(statement: &mut Statement, table: &Table, id: &str) -> Option<()> {
    let cell = key_cell(table, id)?;
    let name = quoted(table.dialect, &table.key.name);
    statement.push(&name).push(" = ");
    statement.bind_for(&table.key, cell.clone());
    if table.dialect == Dialect::MySql && table.key.class == Class::Text {
        // The index finds what the collation holds for equal; this keeps what is equal.
        statement.push(" AND ");
        push_equal(statement, &table.key, cell);
    }
    Some(())
}

/// The id as the key column's value; none where no row can have it.
pub fn key_cell(table: &Table, id: &str) -> Option<Cell> {
    let text = || Cell::Text(id.to_owned());
    match (table.dialect, table.key.class) {
        (Dialect::MySql, Class::Integer | Class::Bits) => id
            .parse()
            .map(Cell::Integer)
            .or_else(|_| id.parse().map(Cell::Unsigned))
            .ok(),
        (Dialect::Postgres, _) if id.contains('\0') => None,
        (_, Class::Binary) => table.key.to_cell(&Value::String(id.to_owned())).ok(),
        _ => Some(text()),
    }
}

fn push_unchanged(
    statement: &mut Statement,
    table: &Table,
    column: &Column,
    before: &TargetObject,
) -> Result<(), Error> {
    if !is_comparable(table.dialect, column.class) {
        return Ok(());
    }
    let was = before.attributes.get(&column.name).unwrap_or(&Value::Null);
    statement.push(" AND ");
    match column.to_cell(was)? {
        Cell::Null => {
            let name = quoted(table.dialect, &column.name);
            statement.push(&name).push(" IS NULL");
        }
        cell => push_equal(statement, column, cell),
    }
    Ok(())
}

/// Adds the condition that a column holds exactly a value; false for null.
pub fn push_equal(statement: &mut Statement, column: &Column, cell: Cell) {
    let (left, right) = comparison(statement.dialect, column);
    statement.push(&left).push(" = ");
    push_comparand(statement, column, cell);
    statement.push(right);
}

/// Adds a value in the form in which [`comparison`] compares the column.
pub fn push_comparand(statement: &mut Statement, column: &Column, cell: Cell) {
    match (statement.dialect, column.class) {
        (Dialect::Postgres, Class::Text | Class::Written) => {
            statement.bind(fit(Dialect::Postgres, column, cell));
        }
        (Dialect::Postgres, Class::Json) => {
            statement.bind(cell).push("::jsonb");
        }
        (Dialect::Postgres, Class::List | Class::TextList) => {
            statement.bind(cell).push("::text[]");
        }
        (Dialect::MySql, Class::Text | Class::Written) => {
            statement.bind(into_bytes(cell));
        }
        (Dialect::MySql, Class::Decimal) => {
            // Against text, or a double, MySQL would compare as doubles.
            statement
                .push("CAST(")
                .bind(cell)
                .push(" AS DECIMAL(65, 30))");
        }
        (Dialect::MySql, Class::Single) => {
            statement.bind(rounded(cell));
        }
        _ => {
            statement.bind_for(column, cell);
        }
    }
}

/// A column as it is compared, and what follows the value that it is compared with.
pub fn comparison(dialect: Dialect, column: &Column) -> (String, &'static str) {
    let name = quoted(dialect, &column.name);
    match (dialect, column.class) {
        (Dialect::Postgres, Class::Text | Class::Written) => {
            (format!("{name}::text COLLATE \"C\""), "")
        }
        (Dialect::Postgres, Class::Json) => (format!("{name}::jsonb"), ""),
        (Dialect::Postgres, Class::List | Class::TextList) => (format!("{name}::text[]"), ""),
        (Dialect::Postgres, _) | (Dialect::MySql, Class::Binary) => (name, ""),
        (Dialect::MySql, Class::Text | Class::Written) => (
            format!("CAST(CAST({name} AS CHAR CHARACTER SET utf8mb4) AS BINARY)"),
            "",
        ),
        (Dialect::MySql, _) => (name, ""),
        (Dialect::Sqlite, _) => (name, " COLLATE BINARY"),
    }
}

/// A column as rows are put in order by it. On PostgreSQL the plain name of a column would mean what
/// is read of it, which is text, and the ninth row would come behind the tenth.
pub fn ordering(table: &Table, column: &Column) -> String {
    let (left, right) = comparison(table.dialect, column);
    match table.dialect {
        Dialect::Postgres if left == quoted(table.dialect, &column.name) => {
            format!("{}.{left}", table.quoted)
        }
        _ => format!("{left}{right}"),
    }
}

/// The key as rows are put in order by it.
pub fn key_order(table: &Table) -> String {
    let key = quoted(table.dialect, &table.key.name);
    match table.dialect {
        Dialect::Postgres => format!("{}.{key}", table.quoted),
        Dialect::MySql | Dialect::Sqlite => key,
    }
}

fn into_bytes(cell: Cell) -> Cell {
    match cell {
        Cell::Text(text) => Cell::Bytes(text.into_bytes()),
        other => other,
    }
}

/// The number that a column of 32 bits makes of a value.
fn rounded(cell: Cell) -> Cell {
    #[expect(clippy::cast_possible_truncation, reason = "what the column does")]
    match &cell {
        Cell::Text(text) => text
            .parse::<f32>()
            .map_or(cell, |number| Cell::Real(f64::from(number))),
        Cell::Real(number) => Cell::Real(f64::from(*number as f32)),
        _ => cell,
    }
}

/// A value in the form in which the product's driver takes it.
fn fit(dialect: Dialect, column: &Column, cell: Cell) -> Cell {
    use base64::{Engine, prelude::BASE64_STANDARD};
    match (dialect, cell) {
        (Dialect::Postgres, Cell::Bytes(bytes)) => Cell::Text(BASE64_STANDARD.encode(bytes)),
        (Dialect::Postgres, Cell::Integer(number)) => Cell::Text(number.to_string()),
        (Dialect::Postgres, Cell::Unsigned(number)) => Cell::Text(number.to_string()),
        (Dialect::Postgres, Cell::Real(number)) => Cell::Text(number.to_string()),
        (Dialect::MySql, Cell::Text(text)) if column.class == Class::Boolean => {
            match text.as_str() {
                "true" => Cell::Integer(1),
                "false" => Cell::Integer(0),
                _ => Cell::Text(text),
            }
        }
        (Dialect::MySql, Cell::Text(text)) if column.class == Class::Moment => {
            // The session's zone is UTC, and MariaDB knows no `Z`.
            Cell::Text(match chrono::DateTime::parse_from_rfc3339(&text) {
                Ok(moment) => moment
                    .naive_utc()
                    .format("%Y-%m-%d %H:%M:%S%.f")
                    .to_string(),
                Err(_) => text,
            })
        }
        (_, cell) => cell,
    }
}

fn push_returning(statement: &mut Statement, table: &Table) {
    if table.dialect != Dialect::MySql {
        statement.push(" RETURNING ").push(&outputs(table));
    }
}

/// A row as an object: the id first, as [`select`] reads it.
///
/// # Errors
/// Refused where a value is not of its column's type.
pub fn object(table: &Table, row: Vec<Cell>) -> Result<TargetObject, Error> {
    let mut cells = row.into_iter();
    let key = cells.next().unwrap_or(Cell::Null);
    let id = table.key.to_json(key)?.map(id_text).unwrap_or_default();
    let mut attributes = Object::with_capacity(table.columns.len());
    for (column, cell) in table.columns.iter().zip(cells) {
        if let Some(value) = column.to_json(cell)? {
            attributes.insert(column.name.clone(), value);
        }
    }
    Ok(TargetObject {
        id,
        attributes,
        version: None,
    })
}

fn column<'a>(table: &'a Table, name: &str) -> Result<&'a Column, Error> {
    table.column(name).ok_or_else(|| {
        let table_name = &table.name;
        if name == table.key.name {
            let message = format!("column `{name}` of `{table_name}` is the key: map it as `_id`");
            return Error::refused(400, message);
        }
        Error::refused(
            MISSING_COLUMN,
            format!("table `{table_name}` has no column `{name}` that Recant sees"),
        )
    })
}

/// The SQLSTATE of a column that does not exist.
pub const MISSING_COLUMN: &str = "42703";

fn no_key(table: &Table, id: &str) -> Error {
    let (column, name) = (&table.key.name, &table.name);
    let message = format!("column `{column}` of `{name}` cannot hold the id `{id}`");
    Error::refused(422, message)
}

/// There is no such row any more.
pub fn gone(table: &Table, id: &str) -> Error {
    let message = format!("row `{id}` of `{}` is gone", table.name);
    Error::refused(412, message)
}

/// A name in a statement.
pub fn quoted(dialect: Dialect, name: &str) -> String {
    match dialect {
        // SQLite takes a name in double quotes for a text where there is no such column.
        Dialect::MySql | Dialect::Sqlite => format!("`{}`", name.replace('`', "``")),
        Dialect::Postgres => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
