//! Many rows in few statements, of few shapes, so that prepared statements are used again.
use sea_orm::{
    DbBackend, DbErr, Iden, Iterable,
    sea_query::{
        Alias, Expr, ExprTrait as _, Func, IntoIden, IntoTableRef, OnConflict, Query,
        SelectStatement,
    },
};

use super::{
    connection::Transaction,
    entity::{
        audit_anchor, audit_checkpoint, audit_entry, event, hook_run, idempotency,
        integration_event, integration_record, intent, lane, link, link_digest, managed_object,
        operation, recon_entry, recon_spill, unique_value,
    },
};

/// Most rows in one statement. Every table stays far below the parameter limits (32,766 on
/// SQLite, 65,535 on PostgreSQL and MySQL).
const ROWS: usize = 64;
/// Most bytes of text in one statement, well below MySQL's smallest usual packet.
const BYTES: usize = 2 * 1024 * 1024;

/// A row that can be inserted.
pub(super) trait Row {
    /// Its table's entity.
    type Entity: Default + IntoTableRef;
    /// Its table's columns.
    type Column: Iterable + IntoIden + Iden + Copy + 'static;
    /// Its values in the order of the columns.
    fn values(self) -> Vec<Expr>;
    /// About how many bytes of text it holds.
    fn weight(&self) -> usize {
        0
    }
}

/// Inserts rows; `conflict` says what becomes of those that exist.
pub(super) async fn insert<R: Row>(
    transaction: &mut Transaction,
    rows: Vec<R>,
    conflict: Option<OnConflict>,
) -> Result<(), DbErr> {
    for part in parts(rows) {
        let mut statement = Query::insert();
        statement
            .into_table(R::Entity::default())
            .columns(R::Column::iter());
        for row in part {
            statement
                .values(row.values())
                .map_err(|error| DbErr::Custom(error.to_string()))?;
        }
        if let Some(conflict) = &conflict {
            statement.on_conflict(conflict.clone());
        }
        transaction.execute(&statement).await?;
    }
    Ok(())
}

/// Rows in parts whose sizes are powers of two.
fn parts<R: Row>(rows: Vec<R>) -> Vec<Vec<R>> {
    let mut parts = Vec::new();
    let mut rest = rows.into_iter();
    while rest.len() > 0 {
        let mut bytes = 0;
        let fitting = rest
            .as_slice()
            .iter()
            .take(ROWS)
            .take_while(|row| {
                bytes += row.weight();
                bytes <= BYTES
            })
            .count();
        let size = largest_power_of_two(fitting.max(1));
        parts.push(rest.by_ref().take(size).collect());
    }
    parts
}

fn largest_power_of_two(number: usize) -> usize {
    number
        .checked_ilog2()
        .map_or(1, |exponent| 1_usize << exponent)
}

/// The values for an `IN`, the last one repeated until there are a power of two of them.
pub(super) fn padded<T: Clone>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    if let Some(last) = values.last().cloned() {
        values.resize(values.len().next_power_of_two(), last);
    }
    values
}

/// A query of values that are given to it, and the value of its row.
pub(super) struct Listed {
    pub(super) query: SelectStatement,
    pub(super) id: Expr,
}

/// Many values as the rows of a query; none where the product cannot take a list apart.
pub(super) fn listed(backend: DbBackend, values: &[String]) -> Option<Listed> {
    let list = serde_json::Value::from(values).to_string();
    let function = match backend {
        DbBackend::Postgres => {
            let list = Expr::val(list).cast_as("json");
            Func::cust("json_array_elements_text").arg(list)
        }
        DbBackend::Sqlite => Func::cust("json_each").arg(list),
        _ => return None,
    };
    let id = Expr::col((Alias::new("list"), Alias::new("value")));
    let query = Query::select()
        .expr(id.clone())
        .from_function(function, Alias::new("list"))
        .to_owned();
    Some(Listed { query, id })
}

/// Whether a column holds one of many values. Where the product can take a list apart it is one
/// value of the statement: a thousand places in it cost more than the rows that they find.
pub(super) fn among(backend: DbBackend, column: Expr, values: &[String]) -> Expr {
    match listed(backend, values) {
        Some(Listed { query, .. }) => column.in_subquery(query),
        None => column.is_in(padded(values.iter().cloned())),
    }
}

/// Declares a row's values in the order of its columns, which is that of its fields.
macro_rules! row {
    ($table:ident { $($field:ident),* }, weight: |$row:ident| $weight:expr) => {
        impl Row for $table::Model {
            type Entity = $table::Entity;
            type Column = $table::Column;
            fn values(self) -> Vec<Expr> {
                vec![$(self.$field.into()),*]
            }
            fn weight(&self) -> usize {
                let $row = self;
                $weight
            }
        }
    };
}

row!(managed_object { r#type, id, rev, created_at, updated_at, sealed_key, body, sealed },
    weight: |row| row.body.len() + row.sealed.as_ref().map_or(0, String::len));
row!(operation {
    id, root, parent, depth, object, kind, outcome, phase, open_divergence, started_at, ended_at,
    record
}, weight: |row| row.record.len());
row!(intent { operation, key, body }, weight: |row| row.body.len());
row!(lane { object, latest, operation, node, attempt, claimed_at, open_divergence },
    weight: |_row| 0);
row!(link { link_type, qualifier, first_id, second_id }, weight: |_row| 0);
row!(audit_entry {
    position, id, topic, timestamp, transaction_id, operation, digest, body
}, weight: |row| row.body.len());
row!(event {
    id, r#type, object_type, object_id, kind, operation, created_at, sealed_key, body, sealed
}, weight: |row| row.body.len() + row.sealed.as_ref().map_or(0, String::len));
row!(integration_record {
    lane, id, updated_at, event, record_id, record_type, body_key, body, operation
}, weight: |row| row.body.as_ref().map_or(0, String::len));
row!(integration_event {
    id, direction, connector, lane, active, external_id, updated_at, kind, cached_id, cached_type,
    record_id, record_type, mapping, state, canceled_by, duplicate_of, ignored_for_id,
    ignored_for_type, attempts, next_attempt_at, operation, node, created_at, started_at, ended_at,
    delivery, payload_key, last_error, payload, replay
}, weight: |row| row.payload.as_ref().map_or(0, String::len));
row!(audit_checkpoint { number, position, digest, at, previous, key, signature },
    weight: |_row| 0);
row!(audit_anchor { name, position, digest, at, key, signature }, weight: |_row| 0);
row!(hook_run {
    id, hook, script, digest, operation, object, verdict, at, micros, operations, key, body
}, weight: |row| row.body.len());
row!(idempotency { caller, key, request_digest, operation, created_at, answer },
    weight: |row| row.answer.as_ref().map_or(0, String::len));
row!(recon_entry { run, number, situation, action, status, source_id, target_id, body },
    weight: |row| row.body.len());
row!(link_digest { mapping, qualifier, first_id, digest }, weight: |_row| 0);
row!(unique_value { r#type, digest, rule, id, leaving }, weight: |_row| 0);
row!(recon_spill { run, id, digest }, weight: |_row| 0);

#[cfg(test)]
mod tests {
    use super::*;

    fn link(number: usize) -> link::Model {
        link::Model {
            link_type: "type".into(),
            qualifier: "default".into(),
            first_id: number.to_string(),
            second_id: number.to_string(),
        }
    }

    #[test]
    fn parts_are_powers_of_two_and_keep_every_row_in_order() {
        for count in 0..200 {
            let parts = parts((0..count).map(link).collect());
            assert!(
                parts
                    .iter()
                    .all(|part| part.len().is_power_of_two() && part.len() <= ROWS)
            );
            let ids: Vec<String> = parts
                .into_iter()
                .flatten()
                .map(|row| row.first_id)
                .collect();
            let expected: Vec<String> = (0..count).map(|number| number.to_string()).collect();
            assert_eq!(ids, expected);
        }
    }

    #[test]
    fn heavy_rows_travel_alone() {
        let heavy = |position| audit_entry::Model {
            position,
            id: String::new(),
            topic: String::new(),
            timestamp: 0,
            transaction_id: String::new(),
            operation: None,
            digest: String::new(),
            body: "x".repeat(BYTES / 2 + 1),
        };
        let sizes: Vec<usize> = parts((0..3).map(heavy).collect())
            .iter()
            .map(Vec::len)
            .collect();
        assert_eq!(sizes, [1, 1, 1]);
    }

    #[test]
    fn lists_are_padded_with_their_last_value() {
        assert_eq!(padded([1, 2, 3]), [1, 2, 3, 3]);
        assert_eq!(padded(Vec::<i32>::new()), Vec::<i32>::new());
    }
}
