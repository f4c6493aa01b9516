//! Tests of the translation between the text of a CSV file and objects.
use super::*;
use serde_json::json;

const BADGES: &str = "note,id,name\nkeep,1,\"a,b\"\n,2,é\n";

fn table(text: &str) -> Table {
    Table::parse(text.as_bytes(), "id", b',').unwrap()
}

fn map(value: Value) -> Object {
    value.as_object().cloned().unwrap()
}

fn text(table: &Table) -> String {
    String::from_utf8(table.render()).unwrap()
}

#[test]
fn an_empty_cell_is_no_attribute() {
    let object = table(BADGES).object("2").unwrap().unwrap();
    assert_eq!(object.attributes, map(json!({"name": "é"})));
    assert!(table(BADGES).object("3").unwrap().is_none());
    assert_eq!(table(BADGES).objects().count(), 2);
}

#[test]
fn what_is_not_touched_stays_as_it_was() {
    for written in [BADGES, "\u{feff}id;x\r\n1;a\r\n", "", "id\n"] {
        let delimiter = if written.contains(';') { b';' } else { b',' };
        let table = Table::parse(written.as_bytes(), "id", delimiter).unwrap();
        if !written.is_empty() {
            assert_eq!(text(&table), written);
        }
    }
}

/// Quotes that are not needed, both kinds of line ends, blank lines, a short row, none at the end.
const ODD: &str = "id,name,note\r\n\n1,\"a\",x\n\r\n2,b\r\n\n3,\"c\nd\",\"y\"";

#[test]
fn what_a_write_does_not_touch_stays_byte_by_byte() {
    for text in [ODD, "id,name,note\n1,a,\n\n\n", "id,name,note"] {
        let mut now = table(text);
        assert_eq!(self::text(&now), text);
        let row = map(json!({"name": "n"}));
        let made = now.create(Some("9"), &row, &[], None).unwrap();
        assert_ne!(self::text(&now), text);
        assert!(now.delete(&made).unwrap().is_some());
        assert_eq!(self::text(&now), text);
    }
    let mut now = table(ODD);
    let before = now.object("2").unwrap().unwrap();
    let update = Update {
        before: &before,
        after: &map(json!({"name": "B"})),
        rename: None,
    };
    now.update(&update, None).unwrap();
    assert_eq!(text(&now), ODD.replace("2,b", "2,B,"));
}

#[test]
fn a_row_that_comes_back_stands_where_it_stood_and_as_it_stood() {
    for id in ["1", "2", "3"] {
        let mut now = table(ODD);
        let before = now.object(id).unwrap().unwrap();
        let former = now.delete(&before).unwrap();
        let columns = &[];
        now.create(Some(id), &before.attributes, columns, former.as_ref())
            .unwrap();
        assert_eq!(text(&now), ODD, "{id} deleted");
        let update = Update {
            before: &before,
            after: &map(json!({"name": "other"})),
            rename: Some("7"),
        };
        let (changed, former) = now.update(&update, None).unwrap();
        let back = Update {
            before: &changed,
            after: &before.attributes,
            rename: Some(id),
        };
        now.update(&back, former.as_ref()).unwrap();
        assert_eq!(text(&now), ODD, "{id} changed");
    }
}

#[test]
fn a_row_goes_back_beside_a_neighbour_that_moved() {
    let mut now = table("id,name\n1,a\n2,b\n3,c\n4,d\n");
    let three = now.object("3").unwrap().unwrap();
    let former = now.delete(&three).unwrap();
    let one = now.object("1").unwrap().unwrap();
    now.delete(&one).unwrap();
    let two = now.object("2").unwrap().unwrap();
    now.delete(&two).unwrap();
    now.create(Some("3"), &three.attributes, &[], former.as_ref())
        .unwrap();
    assert_eq!(text(&now), "id,name\n3,c\n4,d\n");
    // Another row of the same id is a new one.
    let three = now.object("3").unwrap().unwrap();
    let former = now.delete(&three).unwrap();
    let other = map(json!({"name": "z"}));
    now.create(Some("3"), &other, &[], former.as_ref()).unwrap();
    assert_eq!(text(&now), "id,name\n4,d\n3,z\n");
}

#[test]
fn the_first_row_makes_the_header() {
    let mut table = table("");
    let made = table
        .create(
            Some("1"),
            &map(json!({"name": "x", "age": 3, "ok": true, "gone": null})),
            &["mail".to_owned(), "name".to_owned()],
            None,
        )
        .unwrap();
    assert_eq!(text(&table), "id,mail,name,age,ok\n1,,x,3,true\n");
    assert_eq!(
        made.attributes,
        map(json!({"name": "x", "age": "3", "ok": "true"}))
    );
    assert_eq!(
        table
            .create(Some("1"), &Object::new(), &[], None)
            .unwrap_err()
            .code,
        409
    );
}

#[test]
fn a_write_is_planned_as_it_will_read() {
    let create = TargetWrite::Create {
        id: Some("1".into()),
        after: map(json!({"age": 42, "ok": true, "name": "x", "note": "", "list": [1]})),
    };
    let planned = refined(create).after().unwrap();
    let wanted =
        json!({"_id": "1", "age": "42", "ok": "true", "name": "x", "note": null, "list": [1]});
    assert_eq!(planned, map(wanted));
    let update = TargetWrite::Update {
        before: TargetObject {
            id: "1".into(),
            attributes: map(json!({"age": "42", "ok": "true"})),
            version: None,
        },
        after: map(json!({"age": 42, "ok": true, "note": "", "name": null})),
        rename: None,
    };
    assert!(refined(update).difference().is_empty());
}

#[test]
fn what_does_not_fit_is_refused_and_named() {
    let mut table = table(BADGES);
    let error = table
        .create(Some("3"), &map(json!({"colour": "red"})), &[], None)
        .unwrap_err();
    assert!(error.message.contains("`colour`"), "{error}");
    let error = table
        .create(Some("3"), &map(json!({"name": ["x"]})), &[], None)
        .unwrap_err();
    assert!(error.message.contains("`name`"), "{error}");
    assert!(table.create(None, &Object::new(), &[], None).is_err());
    assert!(
        table
            .create(Some("3"), &map(json!({"id": "4"})), &[], None)
            .is_err()
    );
    assert_eq!(text(&table), BADGES);
}

#[test]
fn only_changed_columns_have_to_be_as_they_were() {
    let mut now = table(BADGES);
    let before = TargetObject {
        id: "1".to_owned(),
        attributes: map(json!({"note": "stale", "name": "a,b"})),
        version: None,
    };
    let after = map(json!({"note": "stale", "name": "c"}));
    let update = Update {
        before: &before,
        after: &after,
        rename: Some("9"),
    };
    now.update(&update, None).unwrap();
    assert_eq!(text(&now), "note,id,name\nkeep,9,c\n,2,é\n");
    assert_eq!(now.update(&update, None).unwrap_err().code, 412);
    let mut now = table(BADGES);
    let stale = Update {
        after: &map(json!({"name": "a,b"})),
        rename: None,
        ..update
    };
    assert_eq!(now.update(&stale, None).unwrap_err().code, 412);
}

#[test]
fn a_delete_wants_the_whole_row_as_it_was() {
    let mut now = table(BADGES);
    let mut before = now.object("1").unwrap().unwrap();
    before.attributes.shift_remove("note");
    assert_eq!(now.delete(&before).unwrap_err().code, 412);
    let before = now.object("1").unwrap().unwrap();
    assert!(now.delete(&before).unwrap().is_some());
    assert!(now.delete(&before).unwrap().is_none());
    assert_eq!(text(&now), "note,id,name\n,2,é\n");
}

#[test]
fn a_file_that_is_no_table_says_where() {
    for (text, part) in [
        ("a,b\n1,2\n", "no column `id`"),
        ("id,a,a\n", "two columns `a`"),
        ("id,a\n1,2\n1,2,3\n", "line 3"),
    ] {
        let error = Table::parse(text.as_bytes(), "id", b',').unwrap_err();
        assert!(error.message.contains(part), "{error}");
    }
    let error = Table::parse(b"id\n\xff\n", "id", b',').unwrap_err();
    assert!(error.message.contains("line 2"), "{error}");
    assert_eq!(table("id,a\n1,x\n1,y\n").object("1").unwrap_err().code, 409);
    assert!(table("id,a\n1\n").object("1").unwrap().is_some());
}
