//! Access tokens by the OAuth 2.0 client credentials grant (RFC 6749, section 4.4).
use std::{
    fmt,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::{
    Client,
    header::{ACCEPT, AUTHORIZATION, HeaderValue},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::{sync::Mutex, time::timeout};

use super::{
    answer::{Answer, Call, failure},
    client::exchange,
    settings::{ClientAuthentication, OAuth2},
};
use crate::{
    connectors::{Error, settings::Secret},
    model::CauseKind,
};

/// A token that says nothing about its life is fetched again after this time, or a 401.
const UNTOLD_LIFE: Duration = Duration::from_secs(3_600);
/// How long before its end a token is fetched again, at most; at least a fifth of its life is used.
const MARGIN: Duration = Duration::from_secs(30);

/// Fetches tokens and keeps the latest one. Callers that come while it is fetched wait for it.
#[derive(Debug)]
pub(super) struct TokenSource {
    settings: OAuth2,
    client: Client,
    /// How long a caller waits for a token.
    patience: Duration,
    latest: Mutex<Option<Token>>,
}

/// A token, as the service gets to see it.
#[derive(Clone, PartialEq)]
pub(super) struct Token {
    header: HeaderValue,
    fresh_until: Instant,
}

/// What a token endpoint answers (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct Granted {
    access_token: Secret,
    token_type: Option<String>,
    /// Seconds, which some services write as a text.
    expires_in: Option<Value>,
}

impl TokenSource {
    /// A source that asks with this client, which knows no credentials of the service itself. A
    /// token that does not come within `patience` leaves time to say so.
    pub(super) fn new(settings: OAuth2, client: Client, patience: Duration) -> Self {
        Self {
            settings,
            client,
            patience,
            latest: Mutex::default(),
        }
    }

    /// A token that is good for now.
    ///
    /// # Errors
    /// *Unavailable* where the token service does not answer, *refused* where it gives none; the
    /// target has not been asked yet.
    pub(super) async fn token(&self) -> Result<Token, Error> {
        self.in_time(self.good()).await
    }

    /// What is asked of the token service, as long as a caller waits for it.
    async fn in_time(
        &self,
        asked: impl Future<Output = Result<Token, Error>>,
    ) -> Result<Token, Error> {
        let late = |_| {
            let waited = self.patience.as_millis();
            let message = format!("no token came within {waited} ms");
            Err(self.explain(Error::unavailable(503, message)))
        };
        timeout(self.patience, asked).await.unwrap_or_else(late)
    }

    async fn good(&self) -> Result<Token, Error> {
        let mut latest = self.latest.lock().await;
        if let Some(token) = latest.as_ref().filter(|it| Instant::now() < it.fresh_until) {
            return Ok(token.clone());
        }
        let token = self.fetch().await?;
        *latest = Some(token.clone());
        Ok(token)
    }

    /// A token other than one that the target did not accept.
    ///
    /// # Errors
    /// As [`TokenSource::token`].
    pub(super) async fn other_than(&self, refused: &Token) -> Result<Token, Error> {
        self.in_time(self.another(refused)).await
    }

    async fn another(&self, refused: &Token) -> Result<Token, Error> {
        let mut latest = self.latest.lock().await;
        // Another caller may have fetched one since.
        if let Some(token) = latest.as_ref().filter(|it| it.header != refused.header) {
            return Ok(token.clone());
        }
        *latest = None;
        let token = self.fetch().await?;
        *latest = Some(token.clone());
        Ok(token)
    }

    async fn fetch(&self) -> Result<Token, Error> {
        let asked = Instant::now();
        let request = self
            .client
            .post(&self.settings.token_url)
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        let mut form: Vec<(&str, &str)> = vec![("grant_type", "client_credentials")];
        if let Some(scope) = &self.settings.scope {
            form.push(("scope", scope));
        }
        let parameters = &self.settings.parameters;
        form.extend(
            parameters
                .iter()
                .map(|(name, it)| (name.as_str(), it.expose())),
        );
        let request = match self.settings.client_authentication {
            ClientAuthentication::Basic => request.header(AUTHORIZATION, self.pair()?),
            ClientAuthentication::Body => {
                form.push(("client_id", &self.settings.client_id));
                form.push(("client_secret", self.settings.client_secret.expose()));
                request
            }
        };
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let request = request
            .header(
                reqwest::header::CONTENT_TYPE,
                HeaderValue::from_static("application/x-www-form-urlencoded"),
            )
            .body(form);
        // To fetch a token changes nothing at the target.
        let answer = exchange(request, Call::Read)
            .await
            .map_err(|error| self.explain(error))?;
        match answer.status {
            200 => self.granted(&answer, asked),
            _ => Err(self.explain(failure(&answer, Call::Read))),
        }
    }

    fn granted(&self, answer: &Answer, asked: Instant) -> Result<Token, Error> {
        let unusable = || {
            let message = "the answer holds no bearer token in `access_token`";
            self.explain(Error::refused(502, message))
        };
        let granted: Granted = serde_json::from_slice(&answer.body).map_err(|_| unusable())?;
        let is_bearer = |kind: &String| kind.eq_ignore_ascii_case("bearer");
        if !granted.token_type.as_ref().is_none_or(is_bearer) {
            return Err(unusable());
        }
        let mut header = HeaderValue::try_from(format!("Bearer {}", granted.access_token.expose()))
            .map_err(|_| unusable())?;
        header.set_sensitive(true);
        Ok(Token {
            header,
            fresh_until: fresh_until(asked, granted.expires_in.as_ref()),
        })
    }

    /// Id and secret as RFC 6749, section 2.3.1, wants them: each form-encoded, then as RFC 7617.
    fn pair_text(&self) -> String {
        let id = encoded(&self.settings.client_id);
        let secret = encoded(self.settings.client_secret.expose());
        BASE64_STANDARD.encode(format!("{id}:{secret}"))
    }

    fn pair(&self) -> Result<HeaderValue, Error> {
        let mut value = HeaderValue::try_from(format!("Basic {}", self.pair_text()))
            .map_err(|_| Error::refused(400, "`auth.oauth2` makes no valid header"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// What a token service said without what it was shown, in whichever shape it repeats that: as
    /// it is, form-encoded, and in base64.
    fn masked(&self, said: &str) -> String {
        let secrets = std::iter::once(&self.settings.client_secret);
        let mut shapes = vec![self.pair_text()];
        for secret in secrets.chain(self.settings.parameters.values()) {
            let secret = secret.expose();
            if !secret.is_empty() {
                shapes.extend([
                    secret.to_owned(),
                    encoded(secret),
                    BASE64_STANDARD.encode(secret),
                ]);
            }
        }
        // A shape may hold a shorter one, which would leave the rest of it there.
        shapes.sort_by_key(|shape| std::cmp::Reverse(shape.len()));
        shapes
            .iter()
            .fold(said.to_owned(), |said, shape| said.replace(shape, "***"))
    }

    /// An error of the token service, told apart from one of the target; its code is not the target's.
    fn explain(&self, mut error: Error) -> Error {
        let said = self.masked(&error.message);
        let url = &self.settings.token_url;
        error.message = match error.kind {
            CauseKind::Refused => {
                error.code = 401.into();
                format!("`{url}` gives no token (`auth.oauth2`): {said}")
            }
            _ => {
                error.code = 503.into();
                format!("`{url}` does not answer (`auth.oauth2.tokenUrl`): {said}")
            }
        };
        error
    }
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

impl Token {
    /// The value of the `Authorization` header.
    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(***)")
    }
}

/// Until when a token is used that was asked for at this time; `life` is what the service says.
fn fresh_until(asked: Instant, life: Option<&Value>) -> Instant {
    let seconds: Option<f64> = match life {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .and_then(|life| asked.checked_add(used_for(life)))
        .unwrap_or_else(|| asked + used_for(UNTOLD_LIFE))
}

/// How much of a token's life it is used for.
fn used_for(life: Duration) -> Duration {
    life.saturating_sub(MARGIN).max(life / 5)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn source(secret: &str, parameters: &[(&str, &str)]) -> TokenSource {
        let secret_of = |text: &str| serde_json::from_value::<Secret>(json!(text)).unwrap();
        let named = |(name, value): &(&str, &str)| ((*name).to_owned(), secret_of(value));
        let settings = OAuth2 {
            token_url: "http://x/token".to_owned(),
            client_id: "re cant".to_owned(),
            client_secret: secret_of(secret),
            scope: None,
            client_authentication: ClientAuthentication::Basic,
            parameters: parameters.iter().map(named).collect(),
        };
        TokenSource::new(settings, Client::new(), Duration::from_secs(1))
    }

    #[test]
    fn no_shape_of_a_secret_is_repeated() {
        let source = source("hu:sh&now", &[("resource_key", "k/1"), ("empty", "")]);
        let shapes = [
            "hu:sh&now".to_owned(),
            encoded("hu:sh&now"),
            BASE64_STANDARD.encode("hu:sh&now"),
            source.pair_text(),
            "k/1".to_owned(),
            encoded("k/1"),
            BASE64_STANDARD.encode("k/1"),
        ];
        let said = format!("not [{}]", shapes.join("] ["));
        assert_eq!(
            source.masked(&said),
            format!("not [{}]", ["***"; 7].join("] ["))
        );
        let shown = format!("{source:?}");
        assert!(
            !shown.contains("k/1") && !shown.contains("hu:sh"),
            "{shown}"
        );
    }

    #[test]
    fn an_empty_secret_masks_nothing() {
        let said = "the client is not known";
        assert_eq!(source("", &[("a", "")]).masked(said), said);
    }

    #[test]
    fn a_token_is_fetched_again_before_it_ends() {
        let seconds = |life| used_for(Duration::from_secs(life)).as_secs();
        assert_eq!(
            [seconds(3_600), seconds(60), seconds(20), seconds(0)],
            [3_570, 30, 4, 0]
        );
    }

    #[test]
    fn the_life_of_a_token_is_a_number_or_a_text_or_not_told() {
        let asked = Instant::now();
        for (told, seconds) in [
            (json!(3_600), 3_570),
            (json!(3_600.0), 3_570),
            (json!("60"), 30),
            (json!(0), 0),
            // None of these tells anything that can be used.
            (json!("soon"), 3_570),
            (json!("NaN"), 3_570),
            (json!(-5), 3_570),
            (json!(null), 3_570),
            (json!({}), 3_570),
            (json!(u64::MAX), 3_570),
            (json!(1e19), 3_570),
        ] {
            let until = fresh_until(asked, Some(&told));
            assert_eq!((until - asked).as_secs(), seconds, "{told}");
        }
        assert_eq!((fresh_until(asked, None) - asked).as_secs(), 3_570);
    }
}
