//! Filters as SQL conditions that hold for the same rows as `Filter::matches` does for objects.
use serde_json::Value;

use super::{
    columns::{Cell, Class, Column, Table},
    settings::Dialect,
    wire::{self, Statement, comparison, push_comparand},
};
use crate::model::{Filter, filter::Operator, object::ID, pointer::Pointer};

/// Adds the filter to a statement; false, and nothing added, where a part of it has no exact
/// translation: the caller then filters what it reads.
pub fn push(statement: &mut Statement, table: &Table, filter: &Filter) -> bool {
    let mut condition = statement.clone();
    let done = translate(&mut condition, table, filter).is_some();
    if done {
        *statement = condition;
    }
    done
}

/// What a field is in a table.
enum Field<'a> {
    Key,
    Column(&'a Column),
    Missing,
}

/// Every condition that this adds is true or false, never null, so that NOT turns it around.
fn translate(statement: &mut Statement, table: &Table, filter: &Filter) -> Option<()> {
    match filter {
        Filter::Literal(holds) => push_literal(statement, *holds),
        Filter::Present(field) => match find(table, field)? {
            Field::Key => push_literal(statement, true),
            Field::Missing => push_literal(statement, false),
            Field::Column(column) => {
                let name = wire::quoted(table.dialect, &column.name);
                statement.push(&name).push(" IS NOT NULL");
            }
        },
        Filter::Compare {
            field,
            operator,
            value,
        } => match find(table, field)? {
            Field::Missing => push_literal(statement, false),
            Field::Key => key(statement, table, *operator, value)?,
            Field::Column(column) => compare(statement, column, *operator, value)?,
        },
        Filter::And(parts) => joined(statement, table, parts, " AND ", true)?,
        Filter::Or(parts) => joined(statement, table, parts, " OR ", false)?,
        Filter::Not(part) => {
            statement.push("NOT (");
            translate(statement, table, part)?;
            statement.push(")");
        }
        Filter::Within(_) => return None,
    }
    Some(())
}

fn joined(
    statement: &mut Statement,
    table: &Table,
    parts: &[Filter],
    word: &str,
    none: bool,
) -> Option<()> {
    if parts.is_empty() {
        push_literal(statement, none);
        return Some(());
    }
    for (index, part) in parts.iter().enumerate() {
        statement.push(if index > 0 { word } else { "" }).push("(");
        translate(statement, table, part)?;
        statement.push(")");
    }
    Some(())
}

fn push_literal(statement: &mut Statement, holds: bool) {
    statement.push(if holds { "1 = 1" } else { "1 = 0" });
}

/// None where the field is a place inside a value that the database does not show as one.
fn find<'a>(table: &'a Table, field: &Pointer) -> Option<Field<'a>> {
    let (name, inside) = field.tokens().split_first()?;
    let column = table.column(name);
    match column {
        _ if name == ID && inside.is_empty() => Some(Field::Key),
        Some(column) if matches!(column.class, Class::Json | Class::List | Class::TextList) => {
            // A list meets a comparison where an element does, JSON may hold one: read and see.
            None
        }
        Some(column) if inside.is_empty() => Some(Field::Column(column)),
        _ => Some(Field::Missing),
    }
}

/// A comparison of the id, which is text outside, whatever the column holds.
fn key(statement: &mut Statement, table: &Table, operator: Operator, value: &Value) -> Option<()> {
    let Value::String(id) = value else {
        push_literal(statement, false);
        return Some(());
    };
    match (operator, table.key.class) {
        (Operator::Equal, Class::Integer | Class::Bits) => {
            // Written differently (`007`, ` 7`), it is another id.
            match id
                .parse::<i64>()
                .ok()
                .filter(|number| number.to_string() == *id)
            {
                Some(number) => push_equal(statement, &table.key, Cell::Integer(number)),
                None => push_literal(statement, false),
            }
            Some(())
        }
        (_, Class::Text | Class::Written) => text(statement, &table.key, operator, id),
        (_, Class::Dynamic { .. }) if operator == Operator::Equal => {
            let cell = wire::key_cell(table, id)?;
            push_equal(statement, &table.key, cell);
            Some(())
        }
        _ => None,
    }
}

fn compare(
    statement: &mut Statement,
    column: &Column,
    operator: Operator,
    value: &Value,
) -> Option<()> {
    let is_text_search = matches!(operator, Operator::Contains | Operator::StartsWith);
    match (column.class, value) {
        (_, Value::Null | Value::Array(_) | Value::Object(_)) => push_literal(statement, false),
        (Class::Dynamic { boolean }, _) => {
            return dynamic(statement, column, boolean, operator, value);
        }
        (Class::Text | Class::Written, Value::String(wanted)) => {
            return text(statement, column, operator, wanted);
        }
        // More digits than a JSON number holds show as text; nothing equals them here either.
        (Class::Decimal, Value::Number(_)) if operator == Operator::Equal => {
            push_equal(statement, column, column.to_cell(value).ok()?);
        }
        (Class::Integer | Class::Real, Value::Number(_)) if !is_text_search => {
            // A fraction has no place in a comparison with whole numbers; the reader decides.
            let cell = match column.class {
                Class::Integer => Cell::Integer(value.as_i64()?),
                _ => column.to_cell(value).ok()?,
            };
            ordered(statement, column, operator, cell);
        }
        (Class::Boolean, Value::Bool(_)) if operator == Operator::Equal => {
            push_equal(statement, column, column.to_cell(value).ok()?);
        }
        (Class::Boolean, Value::Bool(_) | Value::String(_))
        | (Class::Integer | Class::Real, Value::String(_) | Value::Bool(_))
        | (Class::Text | Class::Written, Value::Number(_) | Value::Bool(_)) => match column.class {
            // Not-a-number and infinities show as text.
            Class::Real => return None,
            _ => push_literal(statement, false),
        },
        // Their text form is made when they are read.
        _ => return None,
    }
    Some(())
}

fn push_equal(statement: &mut Statement, column: &Column, cell: Cell) {
    ordered(statement, column, Operator::Equal, cell);
}

/// `column IS NOT NULL AND column < value`, so that null is false.
fn ordered(statement: &mut Statement, column: &Column, operator: Operator, cell: Cell) {
    let dialect = statement.dialect();
    let name = wire::quoted(dialect, &column.name);
    let (left, right) = comparison(dialect, column);
    statement.push(&name).push(" IS NOT NULL AND ");
    statement.push(&left).push(sign(operator));
    push_comparand(statement, column, cell);
    statement.push(right);
}

fn sign(operator: Operator) -> &'static str {
    match operator {
        Operator::Less => " < ",
        Operator::LessOrEqual => " <= ",
        Operator::Greater => " > ",
        Operator::GreaterOrEqual => " >= ",
        Operator::Equal | Operator::Contains | Operator::StartsWith => " = ",
    }
}

fn text(
    statement: &mut Statement,
    column: &Column,
    operator: Operator,
    wanted: &str,
) -> Option<()> {
    let dialect = statement.dialect();
    if dialect == Dialect::Postgres && wanted.contains('\0') {
        push_literal(statement, false);
        return Some(());
    }
    let cell = Cell::Text(wanted.to_owned());
    if operator == Operator::Equal && has_index(dialect, column, wanted) {
        // What an index can find holds every row that is wanted, and maybe others.
        let name = wire::quoted(dialect, &column.name);
        statement
            .push(&name)
            .push(" IS NOT NULL AND ")
            .push(&name)
            .push(" = ");
        statement.bind_for(column, cell.clone()).push(" AND ");
    }
    if !matches!(operator, Operator::Contains | Operator::StartsWith) {
        ordered(statement, column, operator, cell);
        return Some(());
    }
    let name = wire::quoted(dialect, &column.name);
    let (left, _) = comparison(dialect, column);
    let function = match dialect {
        Dialect::Postgres => "strpos",
        Dialect::MySql | Dialect::Sqlite => "instr",
    };
    statement
        .push(&name)
        .push(" IS NOT NULL AND ")
        .push(function)
        .push("(")
        .push(&left)
        .push(", ");
    push_comparand(statement, column, cell);
    statement.push(if operator == Operator::Contains {
        ") > 0"
    } else {
        ") = 1"
    });
    Some(())
}

/// Whether the database compares the column with the text directly, by an index if there is one.
fn has_index(dialect: Dialect, column: &Column, wanted: &str) -> bool {
    match (dialect, column.class) {
        (Dialect::Postgres | Dialect::MySql, Class::Text) => true,
        (Dialect::Postgres, Class::Written) => {
            column.cast == "uuid" && uuid::Uuid::parse_str(wanted).is_ok()
        }
        _ => false,
    }
}

/// SQLite: each value has a type, and values of different kinds meet no comparison.
fn dynamic(
    statement: &mut Statement,
    column: &Column,
    boolean: bool,
    operator: Operator,
    value: &Value,
) -> Option<()> {
    let name = wire::quoted(Dialect::Sqlite, &column.name);
    match value {
        Value::String(wanted) => {
            statement
                .push("typeof(")
                .push(&name)
                .push(") = 'text' AND ");
            text(statement, column, operator, wanted)?;
        }
        Value::Number(_) if boolean => return None,
        Value::Number(_) if !matches!(operator, Operator::Contains | Operator::StartsWith) => {
            statement
                .push("typeof(")
                .push(&name)
                .push(") IN ('integer', 'real') AND ");
            ordered(statement, column, operator, column.to_cell(value).ok()?);
        }
        Value::Bool(_) if boolean && operator == Operator::Equal => {
            push_equal(statement, column, column.to_cell(value).ok()?);
        }
        _ => push_literal(statement, false),
    }
    Some(())
}
