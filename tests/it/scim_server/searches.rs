//! Filters, orders and pages.
use serde_json::{Value, json};

use super::service::{BADGE, ENTERPRISE, Service, USER, assert_error};

async fn people(service: &Service) {
    for (name, title, active, level, mail, skills) in [
        (
            "ada",
            "Countess",
            true,
            3,
            "ada@WORK.example",
            json!(["maths", "Poetry"]),
        ),
        ("Bob", "Builder", false, 10, "bob@work.example", json!([])),
        (
            "Élodie",
            "Countess of X",
            true,
            7,
            "elo@home.example",
            json!(["poetry"]),
        ),
    ] {
        let body = json!({
            "schemas": [USER], "userName": name, "title": title, "active": active,
            "name": {"familyName": format!("{name}son")},
            "emails": [{"type": "work", "value": mail}], "externalId": format!("X-{name}"),
            ENTERPRISE: {"manager": {"value": format!("boss-{name}")}},
            BADGE: {"level": level, "skills": skills, "hired": format!("200{level}-01-01T00:00:00Z").replace("20010", "2010")},
        });
        service.create("Users", body).await;
    }
    service.user("plain").await;
}

#[tokio::test]
async fn every_operator_finds_what_it_means() {
    let service = Service::start().await;
    people(&service).await;
    for (filter, expected) in [
        ("userName eq \"ADA\"", "ada"),
        ("userName eq \"éLODIE\"", "Élodie"),
        (
            "urn:ietf:params:scim:schemas:core:2.0:User:userName sw \"a\"",
            "ada",
        ),
        ("userName ne \"ada\"", "Bob plain Élodie"),
        ("userName co \"LO\"", "Élodie"),
        ("userName sw \"b\"", "Bob"),
        ("userName ew \"OB\"", "Bob"),
        ("externalId eq \"X-ada\"", "ada"),
        ("externalId eq \"x-ada\"", ""),
        ("title pr", "Bob ada Élodie"),
        ("not (title pr)", "plain"),
        ("title eq null", "plain"),
        ("active eq true", "ada Élodie"),
        ("active eq \"True\"", "ada Élodie"),
        ("active ne true", "Bob plain"),
        ("title co \"count\" and not (userName eq \"ada\")", "Élodie"),
        (
            "userName eq \"ada\" or userName eq \"bob\" and active eq true",
            "ada",
        ),
        (
            "(userName eq \"ada\" or userName eq \"bob\") and active eq false",
            "Bob",
        ),
        ("name.familyName gt \"c\"", "Élodie"),
        ("emails eq \"ada@work.example\"", "ada"),
        ("emails.value ew \"@work.EXAMPLE\"", "Bob ada"),
        ("emails[type eq \"work\" and value co \"home\"]", "Élodie"),
        ("emails[type eq \"home\"]", ""),
        ("emails[type eq \"work\"].value sw \"bob\"", "Bob"),
        ("emails.type eq \"WORK\"", "Bob ada Élodie"),
        ("emails pr", "Bob ada Élodie"),
        ("emails[primary eq true]", "Bob ada Élodie"),
        (
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value eq \"boss-ada\"",
            "ada",
        ),
        ("manager eq \"boss-Bob\"", "Bob"),
        ("level gt 3", "Bob Élodie"),
        ("level le 7", "ada Élodie"),
        ("skills eq \"POETRY\"", "ada Élodie"),
        ("skills sw \"ma\"", "ada"),
        ("hired ge \"2007-01-01T01:00:00+01:00\"", "Bob Élodie"),
        (
            "schemas eq \"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User\"",
            "Bob ada Élodie",
        ),
        (
            "meta.resourceType eq \"User\" and userName eq \"ada\"",
            "ada",
        ),
        (
            "meta.created gt \"2011-05-13T04:42:34Z\"",
            "Bob ada plain Élodie",
        ),
        ("meta.lastModified lt \"2011-05-13T04:42:34Z\"", ""),
    ] {
        let found = service.found("Users", filter).await.join(" ");
        assert_eq!(found, expected, "{filter}");
    }
    let user = service
        .get("/Users?filter=userName%20eq%20%22ada%22")
        .await
        .json();
    let user = &user["Resources"][0];
    let by = |path: &str, value: &Value| format!("{path} eq {value}");
    for filter in [
        by("id", &user["id"]),
        by("meta.lastModified", &user["meta"]["lastModified"]),
        by("meta.version", &user["meta"]["version"]) + " and userName eq \"ada\"",
    ] {
        assert_eq!(service.found("Users", &filter).await, ["ada"], "{filter}");
    }
}

#[tokio::test]
async fn values_of_a_list_are_looked_at_one_by_one() {
    let service = Service::start().await;
    let device = |serial: &str, ports: Value| json!({"schemas": ["urn:recant:scim:schemas:2.0:Device"], "serial": serial, "weight": 1.5, "ports": ports});
    let ports = json!([{"name": "A", "speed": 10}, {"name": "B", "speed": 100}]);
    service.create("Devices", device("one", ports)).await;
    service
        .create(
            "Devices",
            device("two", json!([{"name": "B", "speed": 10}])),
        )
        .await;
    for (filter, expected) in [
        ("ports[name eq \"b\" and speed eq 10]", "two"),
        ("ports[name eq \"b\" and speed gt 10]", "one"),
        ("ports.name eq \"b\" and ports.speed eq 10", "one two"),
        ("not (ports[speed eq 100])", "two"),
        ("weight eq 1.5", "one two"),
        ("serial eq \"ONE\"", ""),
    ] {
        assert_eq!(
            service.found("Devices", filter).await.join(" "),
            expected,
            "{filter}"
        );
    }
}

#[tokio::test]
async fn wrong_filters_are_refused_and_secrets_not_searched() {
    let service = Service::start().await;
    for (query, scim_type) in [
        ("filter=userName", "invalidFilter"),
        ("filter=nothing%20eq%201", "invalidFilter"),
        ("filter=name%20eq%20%22x%22", "invalidFilter"),
        ("filter=active%20gt%20true", "invalidFilter"),
        ("filter=groups.value%20eq%20%22x%22", "invalidFilter"),
        ("filter=meta.created%20gt%20%22now%22", "invalidFilter"),
        ("filter=password%20sw%20%22a%22", "sensitive"),
        ("sortBy=password", "invalidPath"),
        ("sortBy=nothing", "invalidPath"),
        ("cursor=abc", "invalidCursor"),
        ("count=x", "invalidCount"),
    ] {
        let refused = service.get(&format!("/Users?{query}")).await;
        assert_eq!(refused.status, 400, "{query}: {refused:#?}");
        assert_error(&refused, 400, Some(scim_type));
    }
    let deep = service.get("/Users?sortBy=title&startIndex=20000").await;
    assert_error(&deep, 400, Some("tooMany"));
}

#[tokio::test]
async fn lists_are_sorted_and_cut_into_pages() {
    let service = Service::start().await;
    for number in 0..23 {
        let name = format!(
            "{}{number:02}",
            if number % 2 == 0 { "User" } else { "user" }
        );
        let body =
            json!({"schemas": [USER], "userName": name, "title": format!("T{}", number % 3)});
        service.create("Users", body).await;
    }
    let names = |list: &Value| -> Vec<String> {
        let resources = list["Resources"].as_array().unwrap().iter();
        resources
            .map(|it| it["userName"].as_str().unwrap().to_lowercase())
            .collect()
    };
    let mut seen = Vec::new();
    for start in [1, 11, 21, 31] {
        let query = format!("/Users?sortBy=userName&startIndex={start}&count=10");
        let page = service.get(&query).await.expect(200).json();
        assert_eq!(
            (&page["totalResults"], &page["startIndex"]),
            (&json!(23), &json!(start))
        );
        assert_eq!(
            page["itemsPerPage"],
            page["Resources"].as_array().unwrap().len()
        );
        seen.extend(names(&page));
    }
    let expected: Vec<String> = (0..23).map(|number| format!("user{number:02}")).collect();
    assert_eq!(seen, expected);
    let newest = service
        .get("/Users?sortBy=meta.created&sortOrder=descending&count=3")
        .await
        .json();
    assert_eq!(names(&newest), ["user22", "user21", "user20"]);
    let (mut cursor, mut seen) = (String::new(), Vec::new());
    loop {
        let page = service
            .get(&format!(
                "/Users?cursor={cursor}&count=9&filter=title%20ne%20%22t1%22"
            ))
            .await
            .expect(200)
            .json();
        assert_eq!(
            (&page["totalResults"], page.get("startIndex")),
            (&json!(15), None)
        );
        seen.extend(names(&page));
        match page.get("nextCursor") {
            Some(next) => cursor = next.as_str().unwrap().to_owned(),
            None => break,
        }
    }
    assert_eq!(seen.len(), 15);
    let unsorted = service.get("/Users?startIndex=20&count=50").await.json();
    assert_eq!(names(&unsorted).len(), 4);
    let none = service.get("/Users?count=0").await.json();
    assert_eq!(
        (&none["totalResults"], &none["Resources"]),
        (&json!(23), &json!([]))
    );
    let few = service.get("/Users?count=-5&startIndex=-1").await.json();
    assert_eq!(
        (&few["itemsPerPage"], &few["startIndex"]),
        (&json!(0), &json!(1))
    );
}

#[tokio::test]
async fn searches_by_post_reach_one_kind_or_all() {
    let service = Service::start().await;
    people(&service).await;
    service
        .create(
            "Groups",
            json!({"schemas": [super::service::GROUP], "displayName": "ada"}),
        )
        .await;
    let search = |filter: &str, more: Value| {
        let mut body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": filter});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let one = search(
        "userName eq \"ada\"",
        json!({"attributes": ["userName", "emails.value"]}),
    );
    let found = service
        .send("POST", "/Users/.search", &one)
        .await
        .expect(200)
        .json();
    let user = found["Resources"][0].as_object().unwrap();
    let names: Vec<&String> = user.keys().collect();
    assert_eq!(names, ["schemas", "id", "userName", "emails"]);
    assert_eq!(user["emails"], json!([{"value": "ada@WORK.example"}]));
    let both = search(
        "userName eq \"ada\" or displayName eq \"ADA\"",
        json!({"excludedAttributes": ["meta"]}),
    );
    let found = service
        .send("POST", "/.search", &both)
        .await
        .expect(200)
        .json();
    assert_eq!(found["totalResults"], 2);
    assert!(
        found["Resources"]
            .as_array()
            .unwrap()
            .iter()
            .all(|it| it.get("meta").is_none())
    );
    let page = service
        .get("/?startIndex=4&count=2")
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&page["totalResults"], &page["itemsPerPage"]),
        (&json!(5), &json!(2))
    );
    assert_error(
        &service.send("POST", "/.search", &json!({})).await,
        400,
        Some("invalidSyntax"),
    );
}

#[tokio::test]
async fn parts_of_meta_are_chosen_like_any_others() {
    let service = Service::start().await;
    let id = service.user("ada").await;
    let meta = async |query: &str| {
        let reply = service
            .get(&format!("/Users/{id}?{query}"))
            .await
            .expect(200);
        let mut names: Vec<String> = match reply.json().get("meta") {
            Some(Value::Object(meta)) => meta.keys().cloned().collect(),
            _ => Vec::new(),
        };
        names.sort();
        assert!(reply.header("etag").starts_with("W/"), "{query}");
        names.join(" ")
    };
    let all = "created lastModified location resourceType version";
    for (query, expected) in [
        ("", all),
        ("attributes=meta", all),
        ("attributes=userName", ""),
        (
            "attributes=META.lastmodified,meta.version",
            "lastModified version",
        ),
        (
            "excludedAttributes=meta.version,title",
            "created lastModified location resourceType",
        ),
        ("excludedAttributes=meta", ""),
    ] {
        assert_eq!(meta(query).await, expected, "{query}");
    }
    // An empty parameter asks for nothing.
    let list = service
        .get("/Users?filter=&sortBy=&attributes=")
        .await
        .expect(200);
    assert_eq!(list.json()["totalResults"], 1);
    let head = service
        .send("HEAD", &format!("/Users/{id}"), &Value::Null)
        .await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
}
