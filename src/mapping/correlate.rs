//! Correlation: finding the target of a source that has no link.
use serde_json::Value;

use super::{
    Candidates, Case, Correlation, Failure,
    run::{Bindings, unusable},
};
use crate::{
    hooks::Script,
    model::{Filter, Object, link::DEFAULT_QUALIFIER, object::ID},
};

impl Case<'_> {
    /// What may be the source's target; none where the mapping does not correlate (under this
    /// link qualifier, or for this object: a script may give `()`).
    pub(super) async fn candidates(&self, source: &Object) -> Result<Option<Candidates>, Failure> {
        match &self.mapping.correlation {
            None => Ok(None),
            Some(Correlation::Query(scripts)) => {
                let script = scripts
                    .get(self.qualifier)
                    .or_else(|| scripts.get(DEFAULT_QUALIFIER));
                match script {
                    Some(script) => self.correlation_query(script, source).await,
                    None => Ok(None),
                }
            }
            Some(Correlation::Script(script)) => self.correlation_script(script, source).await,
        }
    }

    async fn correlation_query(
        &self,
        script: &Script,
        source: &Object,
    ) -> Result<Option<Candidates>, Failure> {
        const HOOK: &str = "correlationQuery";
        const EXPECTED: &str = "a query filter, as a text or as #{_queryFilter: \"…\"}";
        let value = self.correlation_value(HOOK, script, source).await?;
        let text = match &value {
            Value::Null => return Ok(None),
            Value::Object(query) => query.get("_queryFilter").and_then(Value::as_str),
            other => other.as_str(),
        };
        text.and_then(|text| Filter::parse(text).ok())
            .map(|filter| Some(Candidates::Query(filter)))
            .ok_or_else(|| unusable(self.mapping, HOOK, EXPECTED))
    }

    async fn correlation_script(
        &self,
        script: &Script,
        source: &Object,
    ) -> Result<Option<Candidates>, Failure> {
        const HOOK: &str = "correlationScript";
        const EXPECTED: &str = "a list of target ids, or of objects with `_id`";
        let value = self.correlation_value(HOOK, script, source).await?;
        let ids: Option<Vec<String>> = match value {
            Value::Null => Some(Vec::new()),
            Value::Array(items) => items.iter().map(id_of).collect(),
            _ => None,
        };
        ids.map(|ids| Some(Candidates::Ids(ids)))
            .ok_or_else(|| unusable(self.mapping, HOOK, EXPECTED))
    }

    async fn correlation_value(
        &self,
        hook: &str,
        script: &Script,
        source: &Object,
    ) -> Result<Value, Failure> {
        let bindings = Bindings::of(script)
            .with_object("source", Some(source))
            .with_case(self);
        self.scripts.value(self.mapping, hook, bindings).await
    }
}

fn id_of(item: &Value) -> Option<String> {
    let id = match item {
        Value::Object(object) => object.get(ID)?,
        id => id,
    };
    match id {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
