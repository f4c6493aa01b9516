//! REST services with habits of their own: tokens, pages by link, repeated POSTs, odd statuses.
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use recant::{
    connectors::{
        Error, Kind, Settings, SharedConnector, open,
        shape::{Shape, Shaper, Shaping},
    },
    model::{CauseKind, Filter},
};
use serde_json::{Value, json};

use super::{
    connector,
    suite::{self, Subject, map},
};
use crate::support::people::People;

const CLASS: &str = "account";

/// What the service holds, knows and was asked.
#[derive(Debug, Default)]
struct Shop {
    people: Vec<Value>,
    /// Objects by the key that they were created under.
    keys: HashMap<String, Value>,
    /// The token that is good now; each one that is given replaces it.
    token: Option<String>,
    given: usize,
    /// How long tokens live, as the service says.
    life: Option<Value>,
    /// What the token service answers instead of a token.
    refusal: Option<(u16, Value)>,
    /// What the forms held that asked for tokens, and the `Authorization` beside them.
    asked: Vec<(BTreeMap<String, String>, String)>,
    /// Whether the third page leads back to the second.
    circle: bool,
    /// The answer to the next POST.
    odd: Option<(u16, &'static str)>,
    /// Where the first page says that the next one is.
    next: Option<String>,
    /// Whether it gives the first page whatever it is asked for.
    ignores_pages: bool,
}

type Shared = Arc<Mutex<Shop>>;

struct Service {
    base: String,
    shop: Shared,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Service {
    async fn start() -> Self {
        let shop = Shared::default();
        let router = Router::new()
            .route("/token", post(token))
            .route("/api/people", get(list).post(create))
            .with_state(Arc::clone(&shop));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { base, shop, task }
    }

    fn connector(&self, more: &Value) -> SharedConnector {
        let mut value = json!({
            "type": "rest", "baseUrl": format!("{}/api", self.base),
            "auth": {"oauth2": {"tokenUrl": format!("{}/token", self.base),
                "clientId": "re cant", "clientSecret": "hu:sh", "scope": "people.write"}},
            "objects": {"account": {"path": "/people", "list": {"linkHeader": true}}},
        });
        for (key, member) in more.as_object().unwrap() {
            value[key] = member.clone();
        }
        connector(&value, Path::new("/"))
    }

    fn shop(&self) -> std::sync::MutexGuard<'_, Shop> {
        self.shop.lock().unwrap()
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()
}

async fn token(State(shop): State<Shared>, headers: HeaderMap, body: String) -> Response {
    // Gives others the time to ask for a token of their own, if they would.
    tokio::task::yield_now().await;
    let mut shop = shop.lock().unwrap();
    let form = url::form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    let shown = bearer(&headers).unwrap_or_default().to_owned();
    shop.asked.push((form, shown));
    if let Some((status, body)) = &shop.refusal {
        return (StatusCode::from_u16(*status).unwrap(), Json(body.clone())).into_response();
    }
    shop.given += 1;
    let token = format!("token-{}", shop.given);
    shop.token = Some(token.clone());
    let mut granted = json!({"access_token": token, "token_type": "bearer"});
    if let Some(life) = &shop.life {
        granted["expires_in"] = life.clone();
    }
    Json(granted).into_response()
}

fn is_let_in(shop: &Shop, headers: &HeaderMap) -> bool {
    let wanted = shop.token.as_ref().map(|token| format!("Bearer {token}"));
    wanted.is_some() && bearer(headers) == wanted.as_deref()
}

async fn list(
    State(shop): State<Shared>,
    Query(query): Query<HashMap<String, usize>>,
    headers: HeaderMap,
) -> Response {
    let shop = shop.lock().unwrap();
    if !is_let_in(&shop, &headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let page = match shop.ignores_pages {
        true => 0,
        false => query.get("page").copied().unwrap_or(0),
    };
    let people: Vec<&Value> = shop.people.iter().skip(page * 2).take(2).collect();
    let mut response = Json(json!(people)).into_response();
    if shop.people.len() > page * 2 + 2 {
        let after = if shop.circle && page == 2 {
            1
        } else {
            page + 1
        };
        let own = format!("</api/people?page={after}>; rel=\"next\"");
        let next = shop.next.clone().unwrap_or(own);
        let headers = response.headers_mut();
        headers.append("link", "</api/people>; rel=\"first\"".parse().unwrap());
        headers.append("link", next.parse().unwrap());
    }
    response
}

async fn create(
    State(shop): State<Shared>,
    headers: HeaderMap,
    Json(mut person): Json<Value>,
) -> Response {
    let mut shop = shop.lock().unwrap();
    if !is_let_in(&shop, &headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if let Some((status, body)) = shop.odd.take() {
        return (StatusCode::from_u16(status).unwrap(), body).into_response();
    }
    let key = headers
        .get("idempotency-key")
        .map(|key| key.to_str().unwrap());
    if let Some(known) = key.and_then(|key| shop.keys.get(key)) {
        return (StatusCode::CREATED, Json(known.clone())).into_response();
    }
    person["id"] = json!(shop.people.len().to_string());
    shop.people.push(person.clone());
    if let Some(key) = key {
        shop.keys.insert(key.to_owned(), person.clone());
    }
    (StatusCode::CREATED, Json(person)).into_response()
}

async fn count(connector: &SharedConnector, page_size: usize) -> Result<usize, Error> {
    let mut query = recant::connectors::Query {
        filter: Filter::parse("true").unwrap(),
        page_size,
        cursor: None,
    };
    let mut found = 0;
    loop {
        let page = connector.query(CLASS, &query).await?;
        found += page.objects.len();
        match page.cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return Ok(found),
        }
    }
}

#[tokio::test]
async fn callers_share_one_token_and_fetch_another_when_it_ends() {
    let service = Service::start().await;
    let connector = service.connector(&json!({}));
    let calls = (0..20).map(|_| count(&connector, 10));
    for found in futures::future::join_all(calls).await {
        assert_eq!(found.unwrap(), 0);
    }
    assert_eq!(service.shop().given, 1);
    let (form, shown) = service.shop().asked[0].clone();
    let form: Vec<(&str, &str)> = form
        .iter()
        .map(|(name, it)| (name.as_str(), it.as_str()))
        .collect();
    assert_eq!(
        form,
        [
            ("grant_type", "client_credentials"),
            ("scope", "people.write")
        ]
    );
    // `re+cant:hu%3Ash`, as RFC 6749 has it.
    assert_eq!(shown, "Basic cmUrY2FudDpodSUzQXNo");

    // Revoked before its end: a 401 gets another one, once for all who saw it.
    service.shop().token = Some("revoked".into());
    let calls = (0..20).map(|_| count(&connector, 10));
    for found in futures::future::join_all(calls).await {
        assert_eq!(found.unwrap(), 0);
    }
    assert_eq!(service.shop().given, 2);

    // One that lives for no time at all is fetched for each call.
    service.shop().life = Some(json!(0));
    service.shop().token = None;
    count(&connector, 10).await.unwrap();
    count(&connector, 10).await.unwrap();
    assert_eq!(service.shop().given, 4);

    // Some services write it as a text.
    service.shop().life = Some(json!("3600"));
    count(&connector, 10).await.unwrap();
    count(&connector, 10).await.unwrap();
    assert_eq!(service.shop().given, 5);
}

#[tokio::test]
async fn a_write_that_was_not_let_in_is_made_again_with_another_token() {
    let service = Service::start().await;
    let connector = service.connector(&json!({}));
    connector
        .create(CLASS, None, &map(json!({"name": "A"})))
        .await
        .unwrap();
    service.shop().token = Some("revoked".into());
    connector
        .create(CLASS, None, &map(json!({"name": "B"})))
        .await
        .unwrap();
    assert_eq!(service.shop().people.len(), 2);
}

#[tokio::test]
async fn what_the_token_service_says_is_told_without_the_secret() {
    let service = Service::start().await;
    let auth = json!({"auth": {"oauth2": {"tokenUrl": format!("{}/token", service.base),
        "clientId": "me", "clientSecret": "hush", "clientAuthentication": "body",
        "parameters": {"audience": "crm"}}}});
    let connector = service.connector(&auth);
    service.shop().refusal = Some((
        401,
        json!({"error": "invalid_client",
        "error_description": "unknown secret hush"}),
    ));
    let error = connector.test().await.unwrap_err();
    assert_eq!((error.kind, &error.code), (CauseKind::Refused, &json!(401)));
    assert!(error.message.contains("auth.oauth2"), "{error}");
    assert!(
        !format!("{error:?} {connector:?}").contains("hush"),
        "{error:?}"
    );
    let form = service.shop().asked[0].0.clone();
    assert_eq!(
        (form["client_secret"].as_str(), form["audience"].as_str()),
        ("hush", "crm")
    );

    service.shop().refusal = Some((500, json!({})));
    let created = connector.create(CLASS, None, &map(json!({}))).await;
    // The target itself was not asked: nothing can have happened there.
    assert_eq!(created.unwrap_err().kind, CauseKind::Unavailable);
    service.shop().refusal = None;
    connector.test().await.expect("a good target");
}

#[tokio::test]
async fn pages_are_followed_by_their_links_and_never_to_another_service() {
    let service = Service::start().await;
    service.shop().people = (0..7).map(|id| json!({"id": id.to_string()})).collect();
    let connector = service.connector(&json!({}));
    for page_size in [1, 2, 3, 100] {
        assert_eq!(
            count(&connector, page_size).await.unwrap(),
            7,
            "{page_size}"
        );
    }
    service.shop().next = Some("<http://127.0.0.2:9/people?page=1>; rel=\"next\"".into());
    let error = count(&connector, 100).await.unwrap_err();
    assert!(error.message.contains("another service"), "{error}");
    let stolen = recant::connectors::Query {
        filter: Filter::parse("true").unwrap(),
        page_size: 1,
        cursor: Some("0.0.0:http://127.0.0.2:9/people".into()),
    };
    let error = connector.query(CLASS, &stolen).await.unwrap_err();
    assert!(error.message.contains("another service"), "{error}");
}

#[tokio::test]
async fn a_service_that_ignores_the_paging_parameter_is_refused() {
    let service = Service::start().await;
    service.shop().people = (0..7).map(|id| json!({"id": id.to_string()})).collect();
    for paging in [
        json!({"pageParameter": "page", "firstPage": 0}),
        json!({"offsetParameter": "from"}),
    ] {
        service.shop().ignores_pages = true;
        let connector = service.connector(&json!({"objects": {"account": {
            "path": "/people", "list": paging}}}));
        for page_size in [1, 2, 3, 100] {
            let error = count(&connector, page_size).await.unwrap_err();
            assert_eq!((error.kind, &error.code), (CauseKind::Refused, &json!(502)));
            assert!(error.message.contains("paging parameter"), "{error}");
        }
    }
    service.shop().ignores_pages = false;
    let heeded = service.connector(&json!({"objects": {"account": {
        "path": "/people", "list": {"pageParameter": "page", "firstPage": 0}}}}));
    assert_eq!(count(&heeded, 3).await.unwrap(), 7);
}

#[tokio::test]
async fn links_that_lead_round_in_circles_are_refused() {
    let service = Service::start().await;
    service.shop().people = (0..7).map(|id| json!({"id": id.to_string()})).collect();
    let connector = service.connector(&json!({}));
    // The first page leads to the second, and that and the third to each other.
    service.shop().circle = true;
    for page_size in [1, 2, 3, 100] {
        let error = count(&connector, page_size).await.unwrap_err();
        assert!(error.message.contains("read before"), "{error}");
    }
}

#[tokio::test]
async fn a_post_under_the_same_key_makes_one_object() {
    let service = Service::start().await;
    let keyed = service.connector(&json!({"idempotencyHeader": "Idempotency-Key"}));
    assert!(keyed.repeats_creates(CLASS));
    let person = map(json!({"name": "A"}));
    let first = keyed.create_once(CLASS, None, &person, "k1").await.unwrap();
    let again = keyed.create_once(CLASS, None, &person, "k1").await.unwrap();
    assert_eq!(first.id, again.id);
    keyed.create_once(CLASS, None, &person, "k2").await.unwrap();
    assert_eq!(service.shop().people.len(), 2);
    assert!(!service.connector(&json!({})).repeats_creates(CLASS));
}

#[tokio::test]
async fn rules_say_what_odd_answers_mean() {
    let service = Service::start().await;
    let connector = service.connector(&json!({"errors": [
        {"status": [200], "body": "\"ok\": *false", "means": "refused"},
        {"status": [500], "body": "maintenance", "means": "unavailable"},
    ]}));
    for (odd, kind) in [
        (
            (200, "{\"ok\": false, \"message\": \"name is taken\"}"),
            CauseKind::Refused,
        ),
        ((500, "maintenance until six"), CauseKind::Unavailable),
        ((500, "oops"), CauseKind::Unknown),
    ] {
        service.shop().odd = Some(odd);
        let error = connector
            .create(CLASS, None, &map(json!({})))
            .await
            .unwrap_err();
        assert_eq!((error.kind, error.code), (kind, json!(odd.0)));
    }
    assert!(service.shop().people.is_empty());
}

/// Puts everything but the id into `person`, and takes it out again.
#[derive(Debug)]
struct Wrapped;

#[async_trait]
impl Shaper for Wrapped {
    async fn shape(&self, operation: &'static str, value: Value) -> Result<Value, String> {
        let mut object = value.as_object().cloned().ok_or("no object")?;
        let id = object.shift_remove("id");
        let mut shaped = match operation {
            "read" => object.shift_remove("person").unwrap_or_default(),
            _ => json!({"person": object}),
        };
        if let Some(id) = id {
            shaped["id"] = id;
        }
        Ok(shaped)
    }
}

#[tokio::test]
async fn a_service_whose_objects_are_shaped_keeps_the_contract() {
    for (create, update) in [("put", "patch"), ("post", "put")] {
        let people = People::start().await;
        let value = People::settings(people.address, create, update);
        let mut settings = Settings::parse("subject", &value, Path::new("/")).unwrap();
        let Kind::Rest(rest) = &mut settings.kind else {
            panic!("a REST service");
        };
        let class = rest.classes.get_mut(CLASS).unwrap();
        let by = Shape::By(Shaping::new("wrapped", Arc::new(Wrapped)));
        (class.on_request, class.on_response) = (by.clone(), by);
        let subject = Subject {
            connector: open(&settings).unwrap(),
            renames: false,
            versions: true,
            types: true,
        };
        suite::run(&subject).await;
        subject.create("kept", &map(json!({"name": "K"}))).await;
        let held = people.shop().people["kept"].1.clone();
        assert_eq!(
            Value::Object(held),
            json!({"id": "kept", "person": {"name": "K"}})
        );
    }
}
