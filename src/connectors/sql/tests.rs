//! Tests of the statements.
use serde_json::json;

use super::*;
use crate::connectors::sql::filter;
use crate::model::Filter;

fn column(name: &str, class: Class, cast: &str) -> Column {
    Column {
        name: name.to_owned(),
        class,
        cast: cast.to_owned(),
        is_generated: name == "sum",
        is_unique: name == "id",
    }
}

fn table(dialect: Dialect) -> Table {
    Table {
        dialect,
        name: "hr.people".to_owned(),
        quoted: format!("{}.{}", quoted(dialect, "hr"), quoted(dialect, "people")),
        key: column("id", Class::Integer, "integer"),
        columns: vec![
            column("na\"me`", Class::Text, "character varying"),
            column("pay", Class::Decimal, "numeric"),
            column("data", Class::Json, "jsonb"),
            column("sum", Class::Integer, "bigint"),
        ],
    }
}

fn before() -> TargetObject {
    TargetObject {
        id: "7".to_owned(),
        attributes: map(json!({"na\"me`": "old", "pay": 1.5, "sum": 3})),
        version: None,
    }
}

fn map(value: Value) -> Object {
    value.as_object().cloned().unwrap()
}

fn text(value: &str) -> Cell {
    Cell::Text(value.to_owned())
}

#[test]
fn an_update_names_only_what_changes_and_what_it_was() {
    let (before, after) = (
        before(),
        map(json!({"na\"me`": "new", "data": {"a": 1}, "sum": 4})),
    );
    let update_with = |dialect| {
        let table = table(dialect);
        let wanted = Update {
            before: &before,
            after: &after,
            rename: Some("8"),
        };
        let difference = difference(&table, &wanted);
        update(&table, &wanted, &difference).unwrap()
    };
    let postgres = update_with(Dialect::Postgres);
    assert_eq!(
        postgres.text,
        "UPDATE \"hr\".\"people\" SET \"id\" = $1::text::integer, \
         \"na\"\"me`\" = $2::text::character varying, \"data\" = $3::text::jsonb, \
         \"pay\" = $4::text::numeric WHERE \"id\" = $5::text::integer \
         AND \"na\"\"me`\"::text COLLATE \"C\" = $6::text AND \"data\" IS NULL \
         AND \"pay\" = $7::text::numeric RETURNING \"id\"::text, \"na\"\"me`\"::text, \
         \"pay\"::text, \"data\"::text, \"sum\"::text"
    );
    assert_eq!(
        postgres.binds,
        [
            text("8"),
            text("new"),
            text("{\"a\":1}"),
            Cell::Null,
            text("7"),
            text("old"),
            text("1.5")
        ]
    );
    let mysql = update_with(Dialect::MySql);
    assert_eq!(
        mysql.text,
        "UPDATE `hr`.`people` SET `id` = ?, `na\"me``` = ?, `data` = ?, `pay` = ? \
         WHERE `id` = ? AND \
         CAST(CAST(`na\"me``` AS CHAR CHARACTER SET utf8mb4) AS BINARY) = ? \
         AND `pay` = CAST(? AS DECIMAL(65, 30))"
    );
    assert_eq!(mysql.binds[4], Cell::Integer(7));
    assert_eq!(mysql.binds[5], Cell::Bytes(b"old".to_vec()));
    let sqlite = update_with(Dialect::Sqlite);
    assert!(
        sqlite
            .text
            .contains("AND `na\"me``` = ? COLLATE BINARY AND `pay` = ? COLLATE BINARY RETURNING"),
        "{}",
        sqlite.text
    );
}

#[test]
fn an_insert_leaves_out_what_is_null_or_computed() {
    let object = map(json!({"pay": 2, "data": null, "sum": 9}));
    let postgres = insert(&table(Dialect::Postgres), Some("7"), &object).unwrap();
    assert!(
        postgres.text.starts_with(
            "INSERT INTO \"hr\".\"people\" (\"id\", \"pay\") OVERRIDING SYSTEM VALUE \
             VALUES ($1::text::integer, $2::text::numeric) RETURNING"
        ),
        "{}",
        postgres.text
    );
    let empty = insert(&table(Dialect::Sqlite), None, &Object::new()).unwrap();
    assert!(empty.text.contains(" DEFAULT VALUES RETURNING"));
    let empty = insert(&table(Dialect::MySql), None, &Object::new()).unwrap();
    assert_eq!(empty.text, "INSERT INTO `hr`.`people` () VALUES ()");
}

#[test]
fn a_delete_wants_the_row_as_it_was() {
    let statement = delete(&table(Dialect::Sqlite), &before()).unwrap();
    assert_eq!(
        statement.text,
        "DELETE FROM `hr`.`people` WHERE `id` = ? AND `na\"me``` = ? COLLATE BINARY \
         AND `pay` = ? COLLATE BINARY AND `sum` = ? COLLATE BINARY"
    );
}

#[test]
fn an_attribute_without_a_column_is_refused_with_both_names() {
    let object = map(json!({"shoe": 1}));
    let error = insert(&table(Dialect::MySql), Some("1"), &object).unwrap_err();
    assert!(error.message.contains("`shoe`") && error.message.contains("`hr.people`"));
    let error = insert(&table(Dialect::MySql), Some("x"), &Object::new()).unwrap_err();
    assert!(error.message.contains("`x`"));
}

#[test]
fn a_filter_never_carries_a_value_in_its_text() {
    for dialect in [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite] {
        let table = table(dialect);
        let wanted = Filter::parse("na%22me%60 sw \"x' --\" and !(_id eq \"5\")").unwrap();
        let mut statement = Statement::new(dialect, "");
        assert!(filter::push(&mut statement, &table, &wanted));
        assert!(!statement.text.contains("--"), "{}", statement.text);
        assert_eq!(statement.binds.len(), 2);
        let inside = Filter::parse("data/a eq 1 or pay pr").unwrap();
        let mut statement = Statement::new(dialect, "");
        assert!(!filter::push(&mut statement, &table, &inside));
        assert_eq!(statement.text, "");
    }
}
