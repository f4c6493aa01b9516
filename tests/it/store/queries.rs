//! Queries: the databases find, sort and page exactly as `Filter::matches` says.
use std::collections::BTreeSet;

use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use recant::{
    model::{
        Filter, Object, Outcome,
        audit::Topic,
        filter::{Operator, Relation, Test, Texts, Within},
        pointer::Pointer,
    },
    store::{Count, Found, Refusal, Search, SortKey, Store, StoredObject},
};
use serde_json::{Value, json};

use super::{audit, end, places, put, record, search, stored};

/// Texts that a careless translation would stumble over.
const TEXTS: [&str; 14] = [
    "", "a", "A", "ab", "a b", "100%", "a_b", "axb", "\"", "\\", "é", "e\u{301}", "\u{0}", "😀\n",
];
const FIELDS: [&str; 6] = ["a", "b", "b/c", "b/0", "d\"e", "_id"];

#[tokio::test(flavor = "multi_thread")]
async fn filters_find_what_they_match() {
    let mut runner = TestRunner::deterministic();
    let objects: Vec<Value> = draw(&mut runner, &contents(), 90);
    let filters: Vec<Filter> = draw(&mut runner, &filter(), 150);
    for place in places().await {
        let store = place.open().await;
        let all = fill(&store, &objects).await;
        for filter in &filters {
            let mut expected: Vec<&str> = all
                .iter()
                .filter(|object| filter.matches(object))
                .map(id)
                .collect();
            expected.sort_unstable();
            let search = Search {
                filter: filter.clone(),
                count: Count::Exact,
                ..search("true")
            };
            let found = store.objects("user", &search).await.unwrap();
            assert_eq!(ids(&found), expected, "{filter} on {}", place.url);
            assert_eq!(found.total, Some(expected.len() as u64));
        }
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_each_match_once_in_order() {
    let mut runner = TestRunner::deterministic();
    let objects: Vec<Value> = draw(&mut runner, &contents(), 70);
    let searches: Vec<(Filter, Vec<SortKey>, usize)> =
        draw(&mut runner, &(filter(), sort(), 1_usize..30), 40);
    for place in places().await {
        let store = place.open().await;
        let all = fill(&store, &objects).await;
        for (filter, sort, size) in &searches {
            let whole = Search {
                filter: filter.clone(),
                sort: sort.clone(),
                ..search("true")
            };
            let whole = store.objects("user", &whole).await.unwrap();
            let matching = all.iter().filter(|object| filter.matches(object)).count();
            assert_eq!(whole.results.len(), matching, "{filter} {sort:?}");
            assert!(is_sorted(&whole, sort), "{filter} {sort:?}");
            let mut paged = Vec::new();
            let mut cookie = None;
            loop {
                let page = Search {
                    filter: filter.clone(),
                    sort: sort.clone(),
                    page_size: Some(*size),
                    cookie,
                    ..search("true")
                };
                let page = store.objects("user", &page).await.unwrap();
                assert!(page.results.len() <= *size);
                paged.extend(page.results);
                cookie = page.cookie;
                if cookie.is_none() {
                    break;
                }
            }
            assert_eq!(paged, whole.results, "{filter} {sort:?} {size}");
        }
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn pages_stay_in_place_beside_writers_and_cookies_belong_to_their_query() {
    for place in places().await {
        let store = place.open().await;
        for number in (0..20).step_by(2) {
            stored(&store, &format!("{number:02}"), json!({"n": number})).await;
        }
        let page = |cookie, filter: &str| Search {
            page_size: Some(4),
            cookie,
            ..search(filter)
        };
        let first = store.objects("user", &page(None, "n ge 0")).await.unwrap();
        assert_eq!(ids(&first), ["00", "02", "04", "06"]);
        stored(&store, "05", json!({"n": 5})).await;
        stored(&store, "07", json!({"n": 7})).await;
        let second = store
            .objects("user", &page(first.cookie.clone(), "n ge 0"))
            .await
            .unwrap();
        assert_eq!(ids(&second), ["07", "08", "10", "12"]);
        for (cookie, filter) in [
            (first.cookie.clone(), "n ge 1"),
            (Some("x".into()), "n ge 0"),
        ] {
            let error = store
                .objects("user", &page(cookie, filter))
                .await
                .unwrap_err();
            assert_eq!(error.refusal(), Some(&Refusal::ForeignCookie));
        }
        let error = store
            .operations(&page(first.cookie, "n ge 0"))
            .await
            .unwrap_err();
        assert_eq!(error.refusal(), Some(&Refusal::ForeignCookie));
        let offset = Search {
            offset: 3,
            ..page(None, "true")
        };
        let found = store.objects("user", &offset).await.unwrap();
        assert_eq!(ids(&found), ["05", "06", "07", "08"]);
        assert!(
            store
                .objects("group", &search("true"))
                .await
                .unwrap()
                .results
                .is_empty()
        );
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn operations_are_found_by_columns_and_by_record() {
    for place in places().await {
        let store = place.open().await;
        let mut all = Vec::new();
        for number in 0..12 {
            let mut entry = put(&format!("user{number}"), json!({}), None);
            entry.record.caller = format!("caller{}", number % 3);
            store.journal(entry.clone()).await.unwrap();
            let outcome = [Outcome::Synced, Outcome::Diverged, Outcome::Partial][number % 3];
            if number % 4 == 0 {
                all.push(entry.record);
            } else {
                let settlement = end(&store, &entry, outcome);
                all.push(settlement.records[0].clone());
                let _ = store.settle(settlement);
            }
        }
        all.reverse();
        let first = all[5].id;
        for filter in [
            "true",
            "false",
            "!(outcome pr)",
            "outcome pr",
            "outcome eq \"diverged\"",
            "!(outcome eq \"diverged\")",
            "!(parent eq \"x\")",
            "object sw \"managed/user/user1\"",
            "object eq \"managed/user/user7\" or object eq \"managed/user/user8\"",
            "caller eq \"caller1\" and !(outcome eq \"synced\")",
            "depth eq 0",
            "depth gt 0",
            &format!("_id eq \"{first}\""),
            &format!("_id ge \"{first}\""),
            &format!("transactionId eq \"{first}\""),
            "resolution/kind pr",
            "startedAt gt \"2020\"",
        ] {
            let parsed = Filter::parse(filter).unwrap();
            let expected: Vec<_> = all
                .iter()
                .filter(|record| parsed.matches(record.to_value().as_object().unwrap()))
                .cloned()
                .collect();
            let search = Search {
                count: Count::Exact,
                ..search(filter)
            };
            let found = store.operations(&search).await.unwrap();
            assert_eq!(found.results, expected, "{filter}");
            assert_eq!(found.total, Some(expected.len() as u64), "{filter}");
        }
        let mut by_start = search("true");
        by_start.page_size = Some(5);
        by_start.sort = vec![key("startedAt", false)];
        let page = store.operations(&by_start).await.unwrap();
        by_start.cookie = page.cookie;
        let mut found = page.results;
        found.extend(store.operations(&by_start).await.unwrap().results);
        all.reverse();
        assert_eq!(found, all[..10]);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn audit_entries_are_found_as_they_are_shown() {
    for place in places().await {
        let store = place.open().await;
        let record = record(&super::name("ann"));
        let mut entries = Vec::new();
        for number in 0..30 {
            let mut entry = audit(&record, Topic::ALL[number % 6]);
            entry.timestamp -= chrono::Duration::milliseconds(731 * (number as i64 % 7));
            entry.body = json!({"status": "SUCCESS", "number": number}).to_string();
            if number % 5 == 0 {
                entry.operation = None;
                entry.transaction_id = "other".into();
            }
            entries.push(entry);
        }
        let settlement = recant::store::Settlement {
            audit: entries,
            ..Default::default()
        };
        store.settle(settlement).wait().await.unwrap();
        let all = store.audit(None, &search("true")).await.unwrap().results;
        assert_eq!(all.len(), 30);
        let shown = all[8].to_value();
        let middle = shown["timestamp"].as_str().unwrap();
        for filter in [
            "transactionId eq \"other\"".to_owned(),
            "!(transactionId eq \"other\")".into(),
            format!("operation eq \"{}\"", record.id),
            format!("!(operation eq \"{}\")", record.id),
            "operation pr and number gt 7".into(),
            "topic eq \"sync\" or topic eq \"recon\"".into(),
            "position gt 20".into(),
            format!("timestamp eq \"{middle}\""),
            format!("timestamp lt \"{middle}\""),
            format!("timestamp ge \"{middle}\""),
            format!("_id eq {}", shown["_id"]),
            "resourceName eq \"managed/user/ann\"".into(),
        ] {
            let parsed = Filter::parse(&filter).unwrap();
            let matches = |value: Value| parsed.matches(value.as_object().unwrap());
            let expected: Vec<_> = all
                .iter()
                .filter(|one| matches(one.to_value()))
                .cloned()
                .collect();
            let found = store.audit(None, &search(&filter)).await.unwrap().results;
            assert_eq!(found, expected, "{filter}");
        }
        let sync = store
            .audit(Some(Topic::Sync), &search("true"))
            .await
            .unwrap()
            .results;
        assert!(sync.iter().all(|one| one.entry.topic == Topic::Sync) && sync.len() == 5);
        let mut newest = search("true");
        newest.sort = vec![key("timestamp", true)];
        newest.page_size = Some(7);
        let mut found = Vec::new();
        loop {
            let page = store.audit(None, &newest).await.unwrap();
            found.extend(page.results);
            newest.cookie = page.cookie;
            if newest.cookie.is_none() {
                break;
            }
        }
        let mut expected = all.clone();
        expected.sort_by_key(|one| (std::cmp::Reverse(one.entry.timestamp), one.position));
        assert_eq!(found, expected);
        store.close().await.unwrap();
    }
}

fn draw<S: Strategy>(runner: &mut TestRunner, strategy: &S, count: usize) -> Vec<S::Value> {
    (0..count)
        .map(|_| strategy.new_tree(runner).unwrap().current())
        .collect()
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(TEXTS.to_vec()).prop_map(str::to_owned)
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => text().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => (-3_i64..4).prop_map(Value::from),
        1 => prop::sample::select(vec![json!(1.0), json!(-0.5), json!(9_007_199_254_740_993_i64),
            json!(9_007_199_254_740_992.0), json!(u64::MAX), json!(1e300)]),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => scalar(),
        1 => prop::collection::vec(scalar(), 0..4).prop_map(Value::from),
        1 => scalar().prop_map(|value| json!({"c": value})),
        1 => scalar().prop_map(|value| json!([{"c": value}])),
    ]
}

fn contents() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["a", "b", "d\"e", "x"]);
    prop::collection::btree_map(name, value(), 0..4).prop_map(|members| json!(members))
}

fn field() -> impl Strategy<Value = Pointer> {
    prop::sample::select(FIELDS.to_vec()).prop_map(|text| Pointer::parse(text).unwrap())
}

fn filter() -> impl Strategy<Value = Filter> {
    let operator = prop::sample::select(Operator::ALL.to_vec());
    let leaf = prop_oneof![
        1 => any::<bool>().prop_map(Filter::Literal),
        2 => field().prop_map(Filter::Present),
        8 => (field(), operator, scalar())
            .prop_map(|(field, operator, value)| Filter::Compare { field, operator, value }),
        2 => (0..90_usize).prop_map(|number| Filter::Compare {
            field: Pointer::attribute("_id"),
            operator: Operator::Equal,
            value: json!(format!("user{number:03}")),
        }),
        6 => within(),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Filter::Or),
            inner.prop_map(|inner| Filter::Not(Box::new(inner))),
        ]
    })
}

/// A test of values through lists, as SCIM's filters make it.
fn within() -> impl Strategy<Value = Filter> {
    let relation = prop::sample::select(vec![
        Relation::Equal,
        Relation::Contains,
        Relation::StartsWith,
        Relation::EndsWith,
        Relation::Less,
        Relation::GreaterOrEqual,
    ]);
    let texts = prop::sample::select(vec![Texts::Exact, Texts::Folded, Texts::Moments]);
    let words = prop_oneof![scalar(), Just(json!("True")), Just(json!("A\"É"))];
    let compare = (relation, words, texts).prop_map(|(relation, value, texts)| Test::Compare {
        relation,
        value,
        texts,
    });
    let test = prop_oneof![1 => Just(Test::Present), 5 => compare];
    let element = (Just(Pointer::attribute("c")), test.clone())
        .prop_map(|(field, test)| Test::Element(Box::new(Filter::Within(Within { field, test }))));
    (field(), prop_oneof![3 => test, 1 => element])
        .prop_map(|(field, test)| Filter::Within(Within { field, test }))
}

fn sort() -> impl Strategy<Value = Vec<SortKey>> {
    let one = (field(), any::<bool>()).prop_map(|(field, descending)| SortKey {
        field,
        descending,
        texts: Texts::Exact,
    });
    prop::collection::vec(one, 0..3)
}

fn key(name: &str, descending: bool) -> SortKey {
    SortKey {
        field: Pointer::attribute(name),
        descending,
        texts: Texts::Exact,
    }
}

async fn fill(store: &Store, objects: &[Value]) -> Vec<Object> {
    for (number, content) in objects.iter().enumerate() {
        stored(store, &format!("user{number:03}"), content.clone()).await;
    }
    store.flush().await.unwrap();
    let found = store
        .objects("user", &search("true"))
        .await
        .unwrap()
        .results;
    assert_eq!(found.len(), objects.len());
    for (found, content) in found.iter().zip(objects) {
        let kept = content.as_object().unwrap().iter();
        kept.for_each(|(name, value)| assert_eq!(&found.object[name], value));
    }
    found.into_iter().map(|found| found.object).collect()
}

/// Checked only for what has one order everywhere: texts against texts, ids at last.
fn is_sorted(found: &Found<StoredObject>, sort: &[SortKey]) -> bool {
    let unique: BTreeSet<&str> = found.results.iter().map(|one| id(&one.object)).collect();
    let Some(first) = sort.first() else {
        return ids(found).is_sorted() && unique.len() == found.results.len();
    };
    let texts: Vec<&str> = found
        .results
        .iter()
        .filter_map(|one| first.field.get(&one.object).and_then(Value::as_str))
        .collect();
    if first.descending {
        texts.is_sorted_by(|left, right| left >= right)
    } else {
        texts.is_sorted()
    }
}

fn id(object: &Object) -> &str {
    object["_id"].as_str().unwrap()
}

fn ids(found: &Found<StoredObject>) -> Vec<&str> {
    found.results.iter().map(|one| id(&one.object)).collect()
}
