//! What changed since a token, by `meta.lastModified`. A deletion leaves nothing to read there: only
//! a resource that was deactivated is known to be gone.
use std::collections::BTreeMap;

use chrono::{DateTime, FixedOffset, SecondsFormat, TimeDelta};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    client::Scim,
    dialect::Filtering,
    known::Known,
    wire::{Resource, Site},
};
use crate::{
    connectors::{Change, Changes, Error},
    model::Object,
};

/// How many changes are told at once at most.
const MOST: usize = 1000;
/// How long before the newest change Recant looks again: a service may tell whole seconds only, and
/// may finish a write after one that carries a later time.
const OVERLAP: TimeDelta = TimeDelta::seconds(2);

/// A place in the stream of changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// When the newest change that was told happened; none where there was none yet.
    at: Option<String>,
    /// What was told of the time shortly before: which state of which resource.
    seen: BTreeMap<String, String>,
}

/// A resource with the time of its last change.
struct Dated {
    at: DateTime<FixedOffset>,
    state: String,
    resource: Resource,
}

impl Token {
    /// Reads a token.
    ///
    /// # Errors
    /// Refused where no connector of this kind made it.
    fn parse(text: &str) -> Result<Self, Error> {
        let wrong = || Error::refused(400, "this is no token of this object class");
        let token: Self = serde_json::from_str(text).map_err(|_| wrong())?;
        match &token.at {
            Some(at) => time(at).map(|_| token.clone()).ok_or_else(wrong),
            None => Ok(token),
        }
    }

    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From when on changes may be new.
    fn from(&self) -> Option<DateTime<FixedOffset>> {
        Some(time(self.at.as_deref()?)? - OVERLAP)
    }

    /// The token after these changes were told, too.
    fn after(&self, told: &[Dated]) -> Self {
        let newest = told.iter().map(|dated| dated.at).max();
        let old = self.at.as_deref().and_then(time);
        let Some(at) = newest.max(old) else {
            return self.clone();
        };
        let recent = told.iter().filter(|dated| dated.at >= at - OVERLAP);
        let recent = recent.map(|dated| (dated.resource.id.clone(), dated.state.clone()));
        // What was told before stays told for as long as it is looked at again.
        let mut seen = match old {
            Some(old) if old >= at - OVERLAP => self.seen.clone(),
            _ => BTreeMap::new(),
        };
        seen.extend(recent);
        Self {
            at: Some(at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            seen,
        }
    }
}

impl Dated {
    fn of(resource: Resource) -> Result<Self, Error> {
        let told = resource.last_modified.as_deref();
        let at = told.and_then(time).ok_or_else(|| {
            let message =
                "the service does not tell when a resource was changed (`meta.lastModified`)";
            Error::refused(501, message)
        })?;
        let state = state(
            told.unwrap_or_default(),
            &resource.attributes,
            resource.is_active,
        );
        Ok(Self {
            at,
            state,
            resource,
        })
    }
}

/// What tells one state of a resource from another, though both carry the same time.
fn state(at: &str, attributes: &Object, is_active: bool) -> String {
    let mut digest = Sha256::new();
    digest.update(at);
    digest.update([u8::from(is_active)]);
    digest.update(serde_json::to_vec(attributes).unwrap_or_default());
    let digest = digest.finalize();
    digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn time(text: &str) -> Option<DateTime<FixedOffset>> {
    DateTime::parse_from_rfc3339(text).ok()
}

impl Scim {
    /// The changes since a token; without one, only the newest token.
    pub(super) async fn changes_in(
        &self,
        known: &Known,
        site: &Site<'_>,
        since: Option<&str>,
    ) -> Result<Changes, Error> {
        let token = since.map_or_else(|| Ok(Token::default()), Token::parse)?;
        let from = token.from();
        let filtering = known.filtering(&self.settings);
        let filter = from
            .filter(|_| filtering == Filtering::Announced)
            .map(|at| {
                let at = at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
                format!("meta.lastModified ge \"{at}\"")
            });
        let dated = self
            .collect(known, site, filter.as_deref(), |resource| {
                Some(Dated::of(resource))
            })
            .await?;
        let mut dated: Vec<Dated> = dated.into_iter().collect::<Result<_, _>>()?;
        dated.retain(|it| {
            from.is_none_or(|from| it.at >= from)
                && token.seen.get(&it.resource.id) != Some(&it.state)
        });
        dated.sort_by(|left, right| {
            let by_id = || left.resource.id.cmp(&right.resource.id);
            left.at.cmp(&right.at).then_with(by_id)
        });
        if since.is_none() {
            return Ok(Changes {
                changes: Vec::new(),
                token: token.after(&dated).text(),
                more: false,
            });
        }
        let more = dated.len() > MOST;
        dated.truncate(MOST);
        let token = token.after(&dated).text();
        let mut changes = Vec::with_capacity(dated.len());
        for dated in dated {
            let id = dated.resource.known_as();
            changes.push(match self.seen(known, site, dated.resource).await? {
                Some(object) => Change::Present(object),
                None => Change::Gone(id),
            });
        }
        Ok(Changes {
            changes,
            token,
            more,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn dated(id: &str, at: &str, name: &str) -> Dated {
        let mut attributes = Object::new();
        attributes.insert("name".to_owned(), json!(name));
        Dated::of(Resource {
            id: id.to_owned(),
            key: None,
            attributes,
            version: None,
            last_modified: Some(at.to_owned()),
            is_active: true,
        })
        .unwrap()
    }

    #[test]
    fn what_was_told_of_the_last_seconds_stays_in_the_token() {
        let first = Token::default().after(&[
            dated("old", "2026-01-01T00:00:00Z", "x"),
            dated("a", "2026-01-01T00:01:00Z", "x"),
        ]);
        assert_eq!(first.at.as_deref(), Some("2026-01-01T00:01:00Z"));
        assert_eq!(first.seen.keys().collect::<Vec<_>>(), ["a"]);
        let second = first.after(&[dated("b", "2026-01-01T00:01:01Z", "x")]);
        assert_eq!(second.seen.keys().collect::<Vec<_>>(), ["a", "b"]);
        let late = second.after(&[dated("c", "2026-01-01T00:00:59.5Z", "x")]);
        assert_eq!(
            late.at, second.at,
            "a late one does not move the token back"
        );
        let third = late.after(&[dated("d", "2026-01-01T00:09:00Z", "x")]);
        assert_eq!(third.seen.keys().collect::<Vec<_>>(), ["d"]);
        assert_eq!(Token::parse(&third.text()).unwrap(), third);
        assert!(Token::parse("yesterday").is_err());
    }

    #[test]
    fn two_states_of_one_second_differ() {
        let (one, other) = (
            dated("a", "2026-01-01T00:00:00Z", "x"),
            dated("a", "2026-01-01T00:00:00Z", "y"),
        );
        assert_ne!(one.state, other.state);
    }
}
