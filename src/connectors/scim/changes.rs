//! What changed since a token, by `meta.lastModified`. A deletion leaves nothing to read there: only
//! a resource that was deactivated is known to be gone.
use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

use super::{
    client::Scim,
    dialect::Filtering,
    known::Known,
    wire::{Resource, Site},
};
use crate::{
    connectors::{Change, Changes, Error, watermark::Watermark},
    model::{TargetObject, object::ID},
};

/// How many changes are told at once at most.
const MOST: usize = 1000;
/// How long before the newest change Recant looks again, in seconds: a service may tell whole
/// seconds only, and may finish a write after one that carries a later time.
const OVERLAP: f64 = 2.0;
/// What tells when a resource was changed.
const BY: &str = "meta.lastModified";

/// A resource, and what tells this state of it from every other.
struct Dated {
    state: TargetObject,
    resource: Resource,
}

impl Dated {
    fn of(resource: Resource) -> Result<Self, Error> {
        let told = resource.last_modified.as_deref();
        let at = told.and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        let at = at.ok_or_else(|| {
            let message =
                "the service does not tell when a resource was changed (`meta.lastModified`)";
            Error::refused(501, message)
        })?;
        let mut attributes = resource.attributes.clone();
        let at = at.to_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true);
        attributes.insert(BY.to_owned(), json!(at));
        attributes.insert(ID.to_owned(), json!([resource.key, resource.is_active]));
        Ok(Self {
            state: TargetObject {
                id: resource.id.clone(),
                attributes,
                version: None,
            },
            resource,
        })
    }

    fn at(&self) -> Option<&str> {
        self.state.attributes.get(BY).and_then(Value::as_str)
    }
}

impl Scim {
    /// The changes since a token; without one, only the newest token.
    pub(super) async fn changes_in(
        &self,
        known: &Known,
        site: &Site<'_>,
        since: Option<&str>,
    ) -> Result<Changes, Error> {
        let name = &site.class.name;
        let mut mark = match since {
            Some(token) => Watermark::from_token(name, BY, token)?,
            None => Watermark::new(name, BY),
        };
        // Everything that is there counts as told where somebody only wants to know from now on.
        let most = since.map_or(usize::MAX, |_| MOST);
        let (mut told, more) = self.pass(known, site, &mut mark, most).await?;
        if since.is_none() {
            told.clear();
        }
        let mut changes = Vec::with_capacity(told.len());
        for dated in told {
            let id = dated.resource.known_as();
            changes.push(match self.seen(known, site, dated.resource).await? {
                Some(object) => Change::Present(object),
                None => Change::Gone(id),
            });
        }
        Ok(Changes {
            changes,
            token: mark.to_token(),
            more,
        })
    }

    /// What is new, the oldest first, and whether there is more.
    async fn pass(
        &self,
        known: &Known,
        site: &Site<'_>,
        mark: &mut Watermark,
        most: usize,
    ) -> Result<(Vec<Dated>, bool), Error> {
        let from = mark.from(OVERLAP);
        let from = from.as_ref().and_then(Value::as_str);
        let filtering = known.filtering(&self.settings);
        let filter = from
            .filter(|_| filtering == Filtering::Announced)
            .map(|at| format!("{BY} ge \"{at}\""));
        let found = self.collect(known, site, filter.as_deref(), |resource| {
            Some(Dated::of(resource))
        });
        let mut found: Vec<Dated> = found.await?.into_iter().collect::<Result<_, _>>()?;
        found.retain(|dated| !mark.is_past(&dated.state) && !mark.is_before(&dated.state, OVERLAP));
        found.sort_by(|left, right| {
            let times = time(left.at()).cmp(&time(right.at()));
            times.then_with(|| left.state.id.cmp(&right.state.id))
        });
        let mut told = Vec::new();
        let mut left = found.len();
        for dated in found {
            left -= 1;
            let state = dated.state.clone();
            if mark.note(&state) {
                told.push(dated);
            }
            if told.len() == most && left > 0 {
                mark.stop_at(&state);
                return Ok((told, true));
            }
        }
        mark.end(OVERLAP);
        Ok((told, false))
    }
}

fn time(text: Option<&str>) -> Option<DateTime<chrono::FixedOffset>> {
    DateTime::parse_from_rfc3339(text?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Object;

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
    fn two_states_of_one_second_differ_and_late_ones_are_news() {
        let mut mark = Watermark::new("a", BY);
        let mut note = |id, at, name| mark.note(&dated(id, at, name).state);
        assert!(note("a", "2026-01-01T00:01:00Z", "x"));
        assert!(!note("a", "2026-01-01T00:01:00+00:00", "x"));
        assert!(note("a", "2026-01-01T00:01:00Z", "y"));
        assert!(note("b", "2026-01-01T00:00:59.5Z", "x"));
        mark.end(OVERLAP);
        let mut mark = Watermark::from_token("a", BY, &mark.to_token()).unwrap();
        assert!(!mark.note(&dated("b", "2026-01-01T00:00:59.5Z", "x").state));
        assert!(mark.is_before(&dated("c", "2026-01-01T00:00:57Z", "x").state, OVERLAP));
        assert!(!mark.is_before(&dated("c", "2026-01-01T00:00:58Z", "x").state, OVERLAP));
    }

    #[test]
    fn a_token_stays_small_however_many_share_a_second() {
        let mut mark = Watermark::new("a", BY);
        for number in 0..20_000 {
            mark.note(&dated(&format!("{number:05}"), "2026-01-01T00:00:00Z", "x").state);
        }
        mark.end(OVERLAP);
        assert!(mark.to_token().len() < 300_000, "{}", mark.to_token().len());
    }
}
