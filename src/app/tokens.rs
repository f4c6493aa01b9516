//! Bearer tokens: made, listed, revoked, and kept in memory for every request.
use std::{sync::Arc, time::Duration};

use secrecy::SecretString;

use crate::{model::Role, store::Token};

use super::{
    App, Error, Identity,
    access::{TokenBook, fresh_token},
};

impl App {
    /// Whose token this is, if it holds now. Answers from memory; tokens that another process made
    /// or revoked are seen within two seconds.
    #[must_use]
    pub fn authenticate(&self, bearer: &str) -> Option<Identity> {
        self.token_book().identify(bearer, self.clock().now())
    }

    /// Makes a token and gives its text, which is shown once and kept nowhere.
    ///
    /// # Errors
    /// 400 for an unknown role or none, or an empty name.
    pub async fn make_token(
        &self,
        name: &str,
        roles: &[String],
        lifetime: Option<Duration>,
    ) -> Result<(SecretString, Token), Error> {
        check(name, roles)?;
        let now = self.clock().now();
        let expires_at = match lifetime {
            None => None,
            Some(lifetime) => {
                let lifetime = chrono::Duration::from_std(lifetime)
                    .map_err(|_| Error::new(400, "the lifetime is too long"))?;
                let end = now.checked_add_signed(lifetime);
                Some(end.ok_or_else(|| Error::new(400, "the lifetime is too long"))?)
            }
        };
        let (text, hash) = fresh_token().map_err(|error| Error::new(500, error.to_string()))?;
        let token = Token {
            id: self.clock().fresh_id().to_string(),
            name: name.to_owned(),
            roles: roles.to_vec(),
            hash,
            created_at: now,
            expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        self.store().add_token(&token).await?;
        self.refresh_tokens().await?;
        Ok((text, token))
    }

    /// All tokens, revoked and ended ones too; their hashes do not serialize.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn tokens(&self) -> Result<Vec<Token>, Error> {
        Ok(self.store().tokens().await?)
    }

    /// Revokes a token by its id.
    ///
    /// # Errors
    /// 404 where there is none.
    pub async fn revoke_token(&self, id: &str) -> Result<(), Error> {
        if !self.store().revoke_token(id, self.clock().now()).await? {
            return Err(Error::missing(format!("token {id}")));
        }
        self.refresh_tokens().await
    }

    /// Reads the tokens anew.
    pub(super) async fn refresh_tokens(&self) -> Result<(), Error> {
        let tokens = self.store().tokens().await?;
        self.keep_token_book(Arc::new(TokenBook::new(tokens)));
        Ok(())
    }
}

fn check(name: &str, roles: &[String]) -> Result<(), Error> {
    if name.trim().is_empty() {
        return Err(Error::new(400, "a token needs a name"));
    }
    let known = Role::ALL.map(Role::as_str).join(", ");
    if roles.is_empty() {
        return Err(Error::new(400, format!("a token needs a role: {known}")));
    }
    match roles.iter().find(|role| Role::parse(role).is_none()) {
        None => Ok(()),
        Some(role) => Err(Error::new(
            400,
            format!("there is no role `{role}`: use {known}"),
        )),
    }
}
