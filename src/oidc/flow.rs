//! Signing in at the pages: a browser goes to the provider and comes back with a code (authorization
//! code flow with PKCE).
//!
//! Nothing of it is kept here. A secret in the browser's cookie stands for the sign-in; `state`,
//! `nonce` and the PKCE verifier follow from it, so that only the browser that left can come back.
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use url::Url;

use super::{Client, Person, Provider, Rejection, Whence, claims, fetch::safe_address};

/// How long a browser may stay at the provider.
const PATIENCE: TimeDelta = TimeDelta::minutes(10);
/// Where a browser goes that does not say where it wants to return to.
const HOME: &str = "/ui";
/// The longest address that is returned to.
const LONGEST_RETURN: usize = 1024;

/// A browser's way to the provider.
#[derive(Debug)]
pub struct Departure {
    /// Where it goes.
    pub address: String,
    /// The value of the cookie that it keeps until it comes back.
    pub cookie: SecretString,
}

/// What a browser brings back from the provider.
#[derive(Debug, Clone, Copy, Default)]
pub struct Return<'a> {
    /// The parameter `code`.
    pub code: Option<&'a str>,
    /// The parameter `state`.
    pub state: Option<&'a str>,
    /// The parameter `iss`.
    pub issuer: Option<&'a str>,
    /// The parameter `error`.
    pub error: Option<&'a str>,
}

/// What a cookie says, once it is read.
struct Sign<'a> {
    seed: &'a str,
    back: String,
}

impl Provider {
    /// Sends a browser to the provider; `secret` are fresh random bits.
    ///
    /// # Errors
    /// Nobody signs in through this provider, or it cannot be asked.
    pub async fn depart(&self, secret: &str, back: &str) -> Result<Departure, Rejection> {
        let client = self.client()?;
        let known = self.parts.keys.known().await?;
        let address = known.authorization.as_deref().ok_or_else(nowhere)?;
        let mut address = safe_address(address, "send a browser to the provider")
            .map_err(|error| Rejection::Unreachable(error.to_string()))?;
        let seed = format!("{secret}.{}", self.parts.clock.now().timestamp());
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(derived(&seed, "verifier")));
        address
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &client.id)
            .append_pair("redirect_uri", &client.redirect)
            .append_pair("scope", &client.scopes.join(" "))
            .append_pair("state", &derived(&seed, "state"))
            .append_pair("nonce", &derived(&seed, "nonce"))
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        let back = URL_SAFE_NO_PAD.encode(safe_return(back));
        Ok(Departure {
            address: address.into(),
            cookie: format!("{seed}.{back}").into(),
        })
    }

    /// Takes a browser back that the provider has sent; gives who it is and where it wanted to go.
    ///
    /// # Errors
    /// It is not the browser that left, the provider refuses, or what it says is not believed.
    pub async fn arrive(
        &self,
        cookie: Option<&str>,
        back: &Return<'_>,
        whence: Whence,
    ) -> Result<(Person, String), Rejection> {
        let client = self.client()?;
        let sign = cookie
            .and_then(|cookie| self.sign(cookie))
            .ok_or(Rejection::Invalid(
                "the sign-in was not begun by this browser, or too long ago; begin again",
            ))?;
        let state = back.state.unwrap_or_default();
        if !bool::from(
            state
                .as_bytes()
                .ct_eq(derived(sign.seed, "state").as_bytes()),
        ) {
            return Err(Rejection::Invalid(
                "the sign-in was not begun by this browser; begin again",
            ));
        }
        let known = self.parts.keys.known().await?;
        let named = back.issuer.is_some() || known.names_itself;
        if named && back.issuer != Some(self.settings().issuer.as_str()) {
            return Err(Rejection::Invalid("the answer is that of another provider"));
        }
        let code = match (back.code, back.error) {
            (Some(code), None) => code,
            (_, Some("access_denied")) => {
                return Err(Rejection::Invalid("the provider did not let you in"));
            }
            _ => return Err(Rejection::Invalid("the provider refused the sign-in")),
        };
        let address = known.token.as_deref().ok_or_else(nowhere)?;
        let redeeming = &self.parts.redeeming;
        let turn = redeeming.turn(whence, self.parts.clock.now());
        let turn = turn.map_err(Rejection::Busy)?;
        let token = self.redeem(client, address, code, sign.seed).await;
        drop(turn);
        if matches!(token, Err(Rejection::Invalid(_))) {
            redeeming.failed(self.parts.clock.now());
        }
        let token = token?;
        let claims = self.claims(&token).await?;
        claims::check_sign_in(&claims, client, &derived(sign.seed, "nonce"))?;
        Ok((claims::person(&claims, self.settings())?, sign.back))
    }

    /// Where a browser goes to sign out at the provider, too.
    pub async fn leave(&self, back: &str) -> Option<String> {
        let client = self.settings().client.as_ref()?;
        let known = self.parts.keys.known().await.ok()?;
        let mut address = safe_address(known.end_session.as_deref()?, "sign out").ok()?;
        address
            .query_pairs_mut()
            .append_pair("client_id", &client.id)
            .append_pair("post_logout_redirect_uri", back);
        Some(address.into())
    }

    /// The ID token that the provider gives for a code.
    async fn redeem(
        &self,
        client: &Client,
        address: &str,
        code: &str,
        seed: &str,
    ) -> Result<String, Rejection> {
        let verifier = derived(seed, "verifier");
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", client.redirect.as_str()),
            ("code_verifier", verifier.as_str()),
        ];
        let basic = client.secret.as_ref().map(|secret| {
            let secret = encoded(secret.expose_secret());
            (encoded(&client.id), SecretString::from(secret))
        });
        if basic.is_none() {
            fields.push(("client_id", client.id.as_str()));
        }
        let basic = basic
            .as_ref()
            .map(|(id, secret)| (id.as_str(), secret.expose_secret()));
        let fetcher = self.parts.keys.fetcher();
        let step = "redeem the code of a sign-in";
        let answer = fetcher.form(address, &fields, basic, step).await;
        let (status, body) = answer.map_err(|error| Rejection::Unreachable(error.to_string()))?;
        let token = body.get("id_token").and_then(Value::as_str);
        match (status, token) {
            (200, Some(token)) => Ok(token.to_owned()),
            (500.., _) => Err(Rejection::Unreachable(format!(
                "{step}: the provider answers with status {status}"
            ))),
            _ => Err(Rejection::Invalid("the provider does not honour the code")),
        }
    }

    fn client(&self) -> Result<&Client, Rejection> {
        let client = self.settings().client.as_ref();
        client.ok_or(Rejection::Invalid("nobody signs in through this provider"))
    }

    /// What the cookie of a sign-in says, if it is not too old.
    fn sign<'a>(&self, cookie: &'a str) -> Option<Sign<'a>> {
        let (seed, back) = cookie.rsplit_once('.')?;
        let (_, begun) = seed.split_once('.')?;
        let begun = chrono::DateTime::from_timestamp(begun.parse().ok()?, 0)?;
        let age = self.parts.clock.now() - begun;
        let back = String::from_utf8(URL_SAFE_NO_PAD.decode(back).ok()?).ok()?;
        (age < PATIENCE && age > -PATIENCE).then(|| Sign {
            seed,
            back: safe_return(&back),
        })
    }
}

/// An address of these pages that a browser may be sent to: what was wished for, if it is one, else
/// the first page. Addresses of other sites look like many things (`//evil`, `/\evil`), so only what
/// certainly is none passes.
#[must_use]
pub fn safe_return(wished: &str) -> String {
    let plain = wished
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'<' | b'>' | b'"'));
    let inside = wished == HOME
        || [format!("{HOME}/"), format!("{HOME}?")]
            .iter()
            .any(|beginning| wished.starts_with(beginning.as_str()));
    let base = Url::parse("http://recant.invalid/").ok();
    let stays = base
        .and_then(|base| base.join(wished).ok())
        .is_some_and(|url| {
            url.host_str() == Some("recant.invalid")
                && (url.path() == HOME || url.path().starts_with(&format!("{HOME}/")))
        });
    if plain && inside && stays && wished.len() <= LONGEST_RETURN {
        wished.to_owned()
    } else {
        HOME.to_owned()
    }
}

/// A secret that follows from the seed, for one purpose.
fn derived(seed: &str, purpose: &str) -> String {
    let mut hasher = Sha256::new();
    for part in ["recant sign-in", purpose, seed] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    URL_SAFE_NO_PAD.encode(hasher.finalize())
}

/// As RFC 6749, section 2.3.1 wants ids and secrets before they are put into a header.
fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn nowhere() -> Rejection {
    Rejection::Unreachable("its description names no address for signing in".to_owned())
}
