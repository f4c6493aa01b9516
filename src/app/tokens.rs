//! Bearer tokens: made, listed, revoked, and kept in memory for every request.
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use tokio::time::Instant;

use super::{
    App, Error, Identity,
    access::{ANONYMOUS, TokenBook, fresh_token, hash},
};
use crate::{
    audit::{self, By},
    model::Role,
    oidc,
    store::{Settlement, Token},
};

/// For how long tokens are taken as they were read: one that another node revokes opens nothing any
/// more after that.
const FRESH: Duration = Duration::from_millis(200);
/// After how long one request reads them anew, while others still go by what is known.
const RENEW: Duration = Duration::from_millis(100);
/// For how long they still serve while the store does not answer.
const USABLE: Duration = Duration::from_secs(30);
/// How long the store may take to tell them.
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest name of a token.
const LONGEST_NAME: usize = 190;
/// Who makes tokens in programs that embed Recant.
const PROGRAM: &str = "program";

/// A token that is wished for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Whom it is for; the `caller` of changes and audit entries.
    pub name: String,
    /// What it may do.
    pub roles: Vec<String>,
    /// When it ends; none: never.
    pub expires_at: Option<DateTime<Utc>>,
}

impl App {
    /// Makes a token for a program that embeds Recant and gives its text, which is shown once and
    /// kept nowhere.
    ///
    /// # Errors
    /// As [`App::create_token`].
    pub async fn make_token(
        &self,
        name: &str,
        roles: &[String],
        lifetime: Option<Duration>,
    ) -> Result<(SecretString, Token), Error> {
        let too_long = || Error::new(400, "the lifetime is too long");
        let expires_at = lifetime.map(|lifetime| {
            let lifetime = chrono::Duration::from_std(lifetime).map_err(|_| too_long())?;
            let end = self.clock().now().checked_add_signed(lifetime);
            end.ok_or_else(too_long)
        });
        let wanted = NewToken {
            name: name.to_owned(),
            roles: roles.to_vec(),
            expires_at: expires_at.transpose()?,
        };
        self.create_token(&wanted, program()).await
    }

    /// Makes a token and gives its text, which is shown once and kept nowhere.
    ///
    /// # Errors
    /// 400 for an unknown role or none, an end that has passed, or a name that cannot be.
    pub async fn create_token(
        &self,
        wanted: &NewToken,
        by: By<'_>,
    ) -> Result<(SecretString, Token), Error> {
        let now = self.clock().now();
        check(wanted, now)?;
        // Whoever may do this without a name is on a server that no token guards yet.
        let is_admin = wanted.roles.iter().any(|role| role == Role::Admin.as_str());
        if by.caller == ANONYMOUS && !is_admin {
            return Err(Error::new(
                400,
                "the first token must have the role `admin`: nobody could make another one over HTTP",
            ));
        }
        let (text, hash) = fresh_token().map_err(|error| Error::new(500, error.to_string()))?;
        let token = Token {
            id: self.clock().fresh_id().to_string(),
            name: wanted.name.clone(),
            roles: wanted.roles.clone(),
            hash,
            created_at: now,
            expires_at: wanted.expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        self.store().add_token(&token).await?;
        let roles = token.roles.join(", ");
        let what = format!("create token {} for {}", token.id, token.name);
        self.note_keeping(by, &what, 201, &roles).await;
        self.refresh_tokens().await?;
        Ok((text, token))
    }

    /// All tokens, revoked and ended ones too; their hashes do not serialize.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn tokens(&self) -> Result<Vec<Token>, Error> {
        self.note_uses().await?;
        Ok(self.store().tokens().await?)
    }

    /// Revokes a token by its id, for a program that embeds Recant.
    ///
    /// # Errors
    /// As [`App::withdraw_token`].
    pub async fn revoke_token(&self, id: &str) -> Result<(), Error> {
        self.withdraw_token(id, program()).await.map(|_| ())
    }

    /// Revokes a token by its id; one that is revoked already stays as it is. Sessions that were
    /// begun with it end.
    ///
    /// # Errors
    /// 404 where there is none.
    pub async fn withdraw_token(&self, id: &str, by: By<'_>) -> Result<Token, Error> {
        if !self.store().revoke_token(id, self.clock().now()).await? {
            return Err(Error::missing(format!("token {id}")));
        }
        let what = format!("revoke token {id}");
        self.note_keeping(by, &what, 200, "revoked").await;
        self.refresh_tokens().await?;
        let tokens = self.store().tokens().await?;
        let revoked = tokens.into_iter().find(|token| token.id == id);
        revoked.ok_or_else(|| Error::missing(format!("token {id}")))
    }

    /// Reads the tokens anew.
    pub(super) async fn refresh_tokens(&self) -> Result<(), Error> {
        let began = Instant::now();
        let tokens = self.store().tokens().await?;
        self.keep_token_book(TokenBook::new(tokens, began));
        Ok(())
    }

    /// Reads the tokens anew where that was too long ago. One request reads for all.
    ///
    /// A server that nobody has to name themselves at looks for every request: another node may have
    /// made the first token just now, and that shuts the door everywhere.
    ///
    /// # Errors
    /// 503 where the store has not answered for long.
    pub(super) async fn fresh_tokens(&self) -> Result<(), Error> {
        if !self.is_guarded() {
            return self.tokens_since(Instant::now(), Duration::ZERO).await;
        }
        let age = self.token_book().age();
        if age < RENEW {
            return Ok(());
        }
        let now = Instant::now();
        if age < FRESH {
            return match self.parts.door.reading.try_lock() {
                Ok(_reading) => self.read_tokens(USABLE).await,
                Err(_) => Ok(()),
            };
        }
        self.tokens_since(now.checked_sub(FRESH).unwrap_or(now), USABLE)
            .await
    }

    /// Waits for a reading of the tokens that began at this time or later; what was read before
    /// serves for so long where the store does not answer.
    async fn tokens_since(&self, time: Instant, usable: Duration) -> Result<(), Error> {
        let _reading = self.parts.door.reading.lock().await;
        if self.token_book().began() >= Some(time) {
            return Ok(());
        }
        self.read_tokens(usable).await
    }

    async fn read_tokens(&self, usable: Duration) -> Result<(), Error> {
        let read = tokio::time::timeout(PATIENCE, self.refresh_tokens()).await;
        match read {
            Ok(Ok(())) => Ok(()),
            _ if self.token_book().age() < usable => Ok(()),
            _ => Err(Error::new(503, "the store does not tell which tokens hold")),
        }
    }

    /// Who presents a token that this node does not know yet.
    pub(super) async fn newly_made(&self, bearer: &str) -> Result<Option<Identity>, Error> {
        if self.store().token_by_hash(&hash(bearer)).await?.is_none() {
            return Ok(None);
        }
        self.refresh_tokens().await?;
        Ok(self.token_book().identify(bearer, self.clock().now()))
    }

    /// Writes down when tokens were used.
    pub(super) async fn note_uses(&self) -> Result<(), Error> {
        for (id, at) in self.parts.door.take_uses() {
            self.store().use_token(&id, at).await?;
        }
        Ok(())
    }

    pub(super) async fn note_keeping(&self, by: By<'_>, what: &str, status: u16, message: &str) {
        let clock = self.clock();
        let transaction = match by.transaction_id {
            "" => clock.fresh_id().to_string(),
            known => known.to_owned(),
        };
        let entry = audit::about_access(clock, &transaction, by.caller, what, status, message);
        let settlement = Settlement {
            audit: vec![entry],
            ..Settlement::default()
        };
        self.engine().write_down(settlement).await;
    }
}

/// A program that embeds Recant.
fn program() -> By<'static> {
    By {
        caller: PROGRAM,
        transaction_id: "",
    }
}

fn check(wanted: &NewToken, now: DateTime<Utc>) -> Result<(), Error> {
    check_name(&wanted.name)?;
    let known = Role::ALL.map(Role::as_str).join(", ");
    if wanted.roles.is_empty() {
        return Err(Error::new(400, format!("a token needs a role: {known}")));
    }
    let unknown = wanted.roles.iter().find(|role| Role::parse(role).is_none());
    if let Some(role) = unknown {
        let message = format!("there is no role `{role}`: use {known}");
        return Err(Error::new(400, message));
    }
    if wanted.expires_at.is_some_and(|end| end <= now) {
        return Err(Error::new(400, "the token would have ended already"));
    }
    Ok(())
}

/// Callers are told apart by their names: nobody gets one that stands for somebody else.
fn check_name(name: &str) -> Result<(), Error> {
    let wrong = |message: String| Err(Error::new(400, message));
    if name.trim().is_empty() {
        return wrong("a token needs a name".to_owned());
    }
    if name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        return wrong(format!(
            "a token's name has at most {LONGEST_NAME} characters, all visible"
        ));
    }
    if name == ANONYMOUS {
        return wrong(format!(
            "`{ANONYMOUS}` stands for those who do not say who they are"
        ));
    }
    match [oidc::PREFIX, "cli:"]
        .into_iter()
        .find(|prefix| name.starts_with(prefix))
    {
        None => Ok(()),
        Some(prefix) => wrong(format!("names that begin with `{prefix}` are others'")),
    }
}
