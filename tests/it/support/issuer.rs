//! A small OpenID Connect provider: makes keys, tokens and codes, and does wrong where a test wants it.
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use axum::{
    Form, Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The provider; stops when it is dropped.
pub struct Issuer {
    /// Its address, as its tokens name it.
    pub address: String,
    inside: Arc<Inside>,
    task: tokio::task::JoinHandle<()>,
}

/// A key that it signs with.
#[derive(Clone)]
pub struct Key {
    pub id: String,
    pub algorithm: Algorithm,
    pub encoding: EncodingKey,
}

#[derive(Default)]
struct Inside {
    address: Mutex<String>,
    published: Mutex<Vec<Value>>,
    signing: Mutex<Option<Key>>,
    codes: Mutex<HashMap<String, HashMap<String, String>>>,
    /// Laid over the claims of ID tokens.
    claims: Mutex<Value>,
    asked: AtomicUsize,
    redeemed: AtomicUsize,
    silent: AtomicBool,
}

type Parameters = HashMap<String, String>;

impl Issuer {
    /// Starts it with one key for ES256.
    pub async fn start() -> Self {
        let inside = Arc::new(Inside::default());
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(describe))
            .route("/keys", get(keys))
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .with_state(Arc::clone(&inside));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        inside.address.lock().unwrap().clone_from(&address);
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let issuer = Self {
            address,
            inside,
            task,
        };
        issuer.rotate(Key::es256("first"));
        issuer
    }

    /// Publishes a key beside the others and signs with it from now on.
    pub fn rotate(&self, key: Key) {
        self.publish(key.jwk());
        self.sign_with(key);
    }

    /// Signs with a key, published or not.
    pub fn sign_with(&self, key: Key) {
        *self.inside.signing.lock().unwrap() = Some(key);
    }

    /// Publishes what may be a key.
    pub fn publish(&self, key: Value) {
        self.inside.published.lock().unwrap().push(key);
    }

    /// Publishes nothing any more.
    pub fn withdraw(&self) {
        self.inside.published.lock().unwrap().clear();
    }

    /// Answers with 503, or not.
    pub fn be_silent(&self, silent: bool) {
        self.inside.silent.store(silent, Ordering::SeqCst);
    }

    /// How often somebody came with a code.
    pub fn redeemed(&self) -> usize {
        self.inside.redeemed.load(Ordering::SeqCst)
    }

    /// How often its keys were asked for.
    pub fn asked(&self) -> usize {
        self.inside.asked.load(Ordering::SeqCst)
    }

    /// Lays these claims over those of the ID tokens that it gives from now on.
    pub fn claim(&self, claims: Value) {
        *self.inside.claims.lock().unwrap() = claims;
    }

    /// Claims of a token that is good for an hour, with these laid over them.
    pub fn claims(&self, over: Value) -> Value {
        laid_over(good(&self.address), over)
    }

    /// A bearer token with these claims laid over good ones.
    pub fn token(&self, over: Value) -> String {
        self.inside.sign(&self.claims(over))
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Key {
    pub fn es256(id: &str) -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self::of(id, Algorithm::ES256, EncodingKey::from_ec_der(key.as_ref()))
    }

    pub fn ed25519(id: &str) -> Self {
        let key = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
        Self::of(id, Algorithm::EdDSA, EncodingKey::from_ed_der(key.as_ref()))
    }

    /// One and the same RSA key: making one takes long.
    pub fn rs256(id: &str) -> Self {
        let pem: String = include_str!("certificates/issuer.key")
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let der = STANDARD.decode(pem).unwrap();
        Self::of(id, Algorithm::RS256, EncodingKey::from_rsa_der(&der))
    }

    fn of(id: &str, algorithm: Algorithm, encoding: EncodingKey) -> Self {
        Self {
            id: id.to_owned(),
            algorithm,
            encoding,
        }
    }

    /// Its public half.
    pub fn jwk(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.encoding, self.algorithm).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk
    }
}

impl Inside {
    fn sign(&self, claims: &Value) -> String {
        let key = self.signing.lock().unwrap().clone().unwrap();
        let mut header = Header::new(key.algorithm);
        header.kid = Some(key.id);
        encode(&header, claims, &key.encoding).unwrap()
    }

    fn answer(&self, answer: impl IntoResponse) -> Response {
        if self.silent.load(Ordering::SeqCst) {
            return (StatusCode::SERVICE_UNAVAILABLE, "not now").into_response();
        }
        answer.into_response()
    }
}

async fn describe(State(inside): State<Arc<Inside>>) -> Response {
    let address = inside.address.lock().unwrap().clone();
    let description = json!({
        "issuer": address,
        "jwks_uri": format!("{address}/keys"),
        "authorization_endpoint": format!("{address}/authorize"),
        "token_endpoint": format!("{address}/token"),
        "end_session_endpoint": format!("{address}/logout"),
        "authorization_response_iss_parameter_supported": true,
    });
    inside.answer(Json(description))
}

async fn keys(State(inside): State<Arc<Inside>>) -> Response {
    inside.asked.fetch_add(1, Ordering::SeqCst);
    let keys = inside.published.lock().unwrap().clone();
    inside.answer(Json(json!({"keys": keys})))
}

/// Signs everybody in at once and sends the browser back with a code.
async fn authorize(State(inside): State<Arc<Inside>>, Query(asked): Query<Parameters>) -> Response {
    let code = format!("code-{}", inside.codes.lock().unwrap().len());
    let address = inside.address.lock().unwrap().clone();
    let mut back = url::Url::parse(&asked["redirect_uri"]).unwrap();
    back.query_pairs_mut()
        .append_pair("code", &code)
        .append_pair("state", &asked["state"])
        .append_pair("iss", &address);
    inside.codes.lock().unwrap().insert(code, asked);
    inside.answer(Redirect::to(back.as_str()))
}

/// Gives an ID token for a code, once, to whoever has its verifier and the client's secret.
async fn token(
    State(inside): State<Arc<Inside>>,
    headers: HeaderMap,
    Form(form): Form<Parameters>,
) -> Response {
    inside.redeemed.fetch_add(1, Ordering::SeqCst);
    let asked = inside.codes.lock().unwrap().remove(&form["code"]);
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
    let expected = format!("Basic {}", STANDARD.encode("recant-pages:hush+hush"));
    let known = headers
        .get("authorization")
        .is_some_and(|value| value.to_str().unwrap() == expected);
    let asked = asked.filter(|asked| {
        known
            && asked["code_challenge"] == challenge
            && asked["code_challenge_method"] == "S256"
            && asked["redirect_uri"] == form["redirect_uri"]
            && form["grant_type"] == "authorization_code"
    });
    let Some(asked) = asked else {
        let refused = Json(json!({"error": "invalid_grant"}));
        return inside.answer((StatusCode::BAD_REQUEST, refused));
    };
    let address = inside.address.lock().unwrap().clone();
    let own = json!({"aud": asked["client_id"], "nonce": asked["nonce"]});
    let claims = laid_over(good(&address), own);
    let claims = laid_over(claims, inside.claims.lock().unwrap().clone());
    let token = inside.sign(&claims);
    inside.answer(Json(
        json!({"id_token": token, "access_token": "x", "token_type": "Bearer"}),
    ))
}

fn good(issuer: &str) -> Value {
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp();
    json!({
        "iss": issuer,
        "aud": "recant",
        "sub": "ann",
        "roles": ["auditor"],
        "iat": now,
        "nbf": now,
        "exp": now + 3600,
    })
}

fn laid_over(mut claims: Value, over: Value) -> Value {
    let Value::Object(over) = over else {
        return claims;
    };
    for (name, value) in over {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(&name),
            value => claims.as_object_mut().unwrap().insert(name, value),
        };
    }
    claims
}
