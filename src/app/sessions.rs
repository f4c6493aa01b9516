//! Sessions of browsers: signing in and out, and who is at a page.
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};

use super::{
    App, Error, Identity,
    access::{self, derived, fresh_secret, same},
    cookies::Carrier,
    door::Arrival,
};
use crate::{audit::By, oidc, store::BrowserSession};

/// How often it is noted that a session is in use.
const NOTED: TimeDelta = TimeDelta::minutes(1);
/// What the token in forms is derived for.
const FORMS: &str = "recant forms";
/// What the token in the form of the sign-in page is derived for.
const DOOR: &str = "recant door";
/// How many sessions of somebody are listed.
const LISTED: u64 = 50;

/// Who is at a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Who it is.
    pub identity: Identity,
    /// What every form must send along; another site's page cannot know it.
    pub form_token: String,
    /// When it ends, whatever happens; none: nobody has to sign in on this server.
    pub ends_at: Option<DateTime<Utc>>,
}

/// Whether looking at a session counts as its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Noted,
    InPassing,
}

/// A session that has just begun.
#[derive(Debug)]
pub struct SignedIn {
    /// Who signed in.
    pub session: Session,
    /// The value of the browser's cookie; kept nowhere.
    pub secret: SecretString,
}

/// A session as its holder sees it among others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldSession {
    /// When it began.
    pub began: DateTime<Utc>,
    /// When it was last used, by the minute.
    pub used: DateTime<Utc>,
    /// When it ends, whatever happens.
    pub ends: DateTime<Utc>,
}

impl App {
    /// How browsers reach the pages: what their cookies look like.
    #[must_use]
    pub fn carrier(&self) -> Carrier {
        let configuration = self.configuration();
        let settings = &configuration.server;
        let outside = settings.public_url.as_deref().unwrap_or_default();
        if settings.tls.is_some() || outside.starts_with("https:") {
            Carrier::Encrypted
        } else {
            Carrier::Plain
        }
    }

    /// Begins a session for whoever holds a bearer token, and notes it in the audit.
    ///
    /// # Errors
    /// 401 for a token that is not valid, 403 for the page of another site.
    pub async fn sign_in(&self, bearer: &str, arrival: &Arrival<'_>) -> Result<SignedIn, Error> {
        arrival.check_same_origin()?;
        self.fresh_tokens().await?;
        if !self.is_guarded() {
            // A session that needed no credential would outlive the open door.
            return Err(Error::new(409, "nobody has to sign in on this server"));
        }
        let found = self.identify(arrival, Some(bearer)).await;
        if let Err(error) = &found {
            let (code, message) = (error.code, error.message.as_str());
            self.note_sign_in(arrival, access::ANONYMOUS, "sign in", code, message)
                .await;
        }
        let identity = found?;
        self.begin_session(identity, arrival).await
    }

    /// Begins a session for somebody who is known already.
    pub(super) async fn begin_session(
        &self,
        identity: Identity,
        arrival: &Arrival<'_>,
    ) -> Result<SignedIn, Error> {
        let secret = fresh_secret().map_err(|error| Error::new(500, error.to_string()))?;
        let now = self.clock().now();
        let longest = self.longest_of(&identity);
        let ends_at = now + TimeDelta::from_std(longest).unwrap_or(TimeDelta::days(1));
        let kept = BrowserSession {
            hash: access::hash(secret.expose_secret()),
            caller: identity.name.clone(),
            roles: identity.roles,
            token: identity.token.clone(),
            created_at: now,
            used_at: now,
            ends_at,
        };
        self.store().add_session(&kept).await?;
        self.note_sign_in(arrival, &identity.name, "sign in", 200, "signed in")
            .await;
        let session = Session {
            identity,
            form_token: derived(secret.expose_secret(), FORMS),
            ends_at: Some(ends_at),
        };
        Ok(SignedIn { session, secret })
    }

    /// Who is at a page: the session that the browser's cookie names, if it lasts; whoever is at this
    /// machine, where nobody has to say who they are. None: somebody who has to sign in first.
    ///
    /// # Errors
    /// 403 for a foreign host or page on a server that asks nobody, 503 where the store is silent.
    pub async fn session(
        &self,
        arrival: &Arrival<'_>,
        secret: Option<&str>,
    ) -> Result<Option<Session>, Error> {
        self.session_of(arrival, secret, Use::Noted).await
    }

    /// As [`App::session`] where a page asks by itself, without somebody at work: that keeps no
    /// session from ending idle.
    ///
    /// # Errors
    /// As [`App::session`].
    pub async fn session_in_passing(
        &self,
        arrival: &Arrival<'_>,
        secret: Option<&str>,
    ) -> Result<Option<Session>, Error> {
        self.session_of(arrival, secret, Use::InPassing).await
    }

    async fn session_of(
        &self,
        arrival: &Arrival<'_>,
        secret: Option<&str>,
        using: Use,
    ) -> Result<Option<Session>, Error> {
        self.fresh_tokens().await?;
        if !self.is_guarded() {
            arrival.check_unguarded()?;
            return Ok(Some(self.without_secret(Identity::anonymous())));
        }
        let Some(secret) = secret else {
            let holder = self.by_certificate(arrival).ok();
            return Ok(holder.map(|holder| self.without_secret(holder)));
        };
        let Some(kept) = self.store().session(&access::hash(secret)).await? else {
            return Ok(None);
        };
        let now = self.clock().now();
        let Some(identity) = self.behind(&kept, now) else {
            return Ok(None);
        };
        if using == Use::Noted && now - kept.used_at >= NOTED {
            self.store().use_session(&kept.hash, now).await?;
        }
        Ok(Some(Session {
            identity,
            form_token: derived(secret, FORMS),
            ends_at: Some(kept.ends_at),
        }))
    }

    /// Somebody who is at a page without having signed in there.
    fn without_secret(&self, identity: Identity) -> Session {
        let seed = derived(self.parts.door.open_secret(), &identity.name);
        Session {
            form_token: derived(&seed, FORMS),
            identity,
            ends_at: None,
        }
    }

    /// Ends the session of a browser. Nothing happens where there is none. Gives where the browser
    /// goes to sign out at the provider, too, that it signed in through.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn sign_out(
        &self,
        secret: &str,
        arrival: &Arrival<'_>,
    ) -> Result<Option<String>, Error> {
        let hash = access::hash(secret);
        let Some(kept) = self.store().session(&hash).await? else {
            return Ok(None);
        };
        self.store().end_session(&hash).await?;
        self.note_sign_in(arrival, &kept.caller, "sign out", 200, "signed out")
            .await;
        match self.provider() {
            Some(provider) if kept.caller.starts_with(oidc::PREFIX) => {
                let configuration = self.configuration();
                let outside = configuration.server.public_url.as_deref();
                let back = format!("{}/ui", outside.unwrap_or_default());
                Ok(provider.leave(&back).await)
            }
            _ => Ok(None),
        }
    }

    /// What stands in the form of the sign-in page, for a browser that has this cookie.
    #[must_use]
    pub fn door_form(&self, cookie: &str) -> String {
        derived(cookie, DOOR)
    }

    /// A fresh cookie for a browser that is to sign in.
    ///
    /// # Errors
    /// 500 where this machine has no random bytes to give.
    pub fn door_cookie(&self) -> Result<SecretString, Error> {
        fresh_secret().map_err(|error| Error::new(500, error.to_string()))
    }

    /// Lets the form of the sign-in page pass: nobody can be signed in by the page of another site.
    ///
    /// # Errors
    /// 403 for a form that this browser was not given.
    pub fn check_door(&self, cookie: Option<&str>, form_token: Option<&str>) -> Result<(), Error> {
        let is_own = cookie
            .zip(form_token)
            .is_some_and(|(cookie, sent)| same(sent, &derived(cookie, DOOR)));
        if is_own {
            return Ok(());
        }
        Err(Error::new(
            403,
            "the form was not given to this browser, or too long ago; send it again",
        ))
    }

    /// The sessions of a caller that last, newest first, as far as they are listed.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn sessions_of(&self, caller: &str) -> Result<Vec<HeldSession>, Error> {
        let now = self.clock().now();
        let kept = self.store().sessions_of(caller, now, LISTED).await?;
        let lasting = kept.iter().filter(|one| self.behind(one, now).is_some());
        Ok(lasting
            .map(|one| HeldSession {
                began: one.created_at,
                used: one.used_at,
                ends: one.ends_at,
            })
            .collect())
    }

    /// Ends every session that was begun with a token, and leaves the token as it is; tells how many
    /// there were.
    ///
    /// # Errors
    /// 404 where there is no such token.
    pub async fn end_sessions_of_token(&self, id: &str, by: By<'_>) -> Result<u64, Error> {
        let tokens = self.store().tokens().await?;
        if !tokens.iter().any(|token| token.id == id) {
            return Err(Error::missing(format!("token {id}")));
        }
        let ended = self.store().end_sessions_of_token(id).await?;
        let message = format!("{ended} sessions ended");
        let what = format!("end the sessions of token {id}");
        self.note_keeping(by, &what, 200, &message).await;
        Ok(ended)
    }

    /// Ends every session of a caller; tells how many there were.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn end_sessions(&self, caller: &str, by: By<'_>) -> Result<u64, Error> {
        let ended = self.store().end_sessions_of(caller).await?;
        let message = format!("{ended} sessions ended");
        let what = format!("end the sessions of {caller}");
        self.note_keeping(by, &what, 200, &message).await;
        Ok(ended)
    }

    /// Drops sessions that are over.
    pub(super) async fn forget_sessions(&self) -> Result<u64, Error> {
        let now = self.clock().now();
        let idle = self.idle();
        let used = now.checked_sub_signed(idle).unwrap_or(now);
        Ok(self.store().forget_sessions(now, used).await?)
    }

    /// Who is behind a session, while it lasts. One that began with a token lasts no longer than the
    /// token does, and may what the token may now.
    fn behind(&self, kept: &BrowserSession, now: DateTime<Utc>) -> Option<Identity> {
        if now >= kept.ends_at || now - kept.used_at >= self.idle() {
            return None;
        }
        match &kept.token {
            Some(id) => self.token_book().identify_id(id, now),
            // The provider's word counts as long as the provider does.
            None if !kept.caller.starts_with(oidc::PREFIX) => None,
            None => self.provider().map(|_| Identity {
                name: kept.caller.clone(),
                roles: kept.roles,
                token: None,
            }),
        }
    }

    /// How long a session may last: one by a provider's word shorter, for the provider is not asked
    /// again what somebody may do.
    fn longest_of(&self, identity: &Identity) -> std::time::Duration {
        let configuration = self.configuration();
        let sessions = &configuration.auth.sessions;
        let is_by_provider = identity.token.is_none() && identity.name.starts_with(oidc::PREFIX);
        match is_by_provider {
            true => sessions.longest.min(sessions.by_provider),
            false => sessions.longest,
        }
    }

    fn idle(&self) -> TimeDelta {
        TimeDelta::from_std(self.configuration().auth.sessions.idle)
            .unwrap_or(TimeDelta::minutes(30))
    }

    pub(super) async fn note_sign_in(
        &self,
        arrival: &Arrival<'_>,
        caller: &str,
        what: &str,
        status: u16,
        message: &str,
    ) {
        let by = By {
            caller,
            transaction_id: arrival.transaction_id,
        };
        self.note_keeping(by, what, status, message).await;
    }
}

impl Session {
    /// Lets a form of this session's own pages pass.
    ///
    /// # Errors
    /// 403 for a form of another site, or one that was not given out in this session.
    pub fn check_form(&self, arrival: &Arrival<'_>, form_token: Option<&str>) -> Result<(), Error> {
        arrival.check_same_origin()?;
        if form_token.is_some_and(|sent| same(sent, &self.form_token)) {
            return Ok(());
        }
        Err(Error::new(
            403,
            "the form does not belong to this session; load the page again",
        ))
    }
}
