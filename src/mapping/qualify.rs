//! Which sources and targets a mapping is about: link qualifiers, validSource, sourceCondition,
//! validTarget.
use std::borrow::Cow;

use serde_json::{Value, json};

use super::{
    Case, Failure, LinkQualifiers, Mapping, Scripts, Source,
    condition::View,
    run::{Bindings, unusable},
};
use crate::model::Object;

/// The link qualifiers under which a mapping looks at a source object.
///
/// # Errors
/// Where the mapping's script fails or gives no list of texts.
pub async fn link_qualifiers<'a>(
    mapping: &'a Mapping,
    source: Source<'_>,
    scripts: Scripts<'_>,
) -> Result<Cow<'a, [String]>, Failure> {
    const HOOK: &str = "linkQualifiers";
    let script = match &mapping.link_qualifiers {
        LinkQualifiers::Static(names) => return Ok(Cow::Borrowed(names)),
        LinkQualifiers::Script(script) => script,
    };
    let bindings = Bindings::of(script)
        .with("mapping", || json!(mapping.name))
        .with_object("object", source.object())
        .with_object("source", source.object())
        .with_object("oldValue", source.old)
        .with("returnAll", || json!(source.object().is_none()))
        .with("context", || scripts.context.clone());
    let value = scripts.value(mapping, HOOK, bindings).await?;
    let names: Option<Vec<String>> = value.as_array().and_then(|names| {
        let texts = names.iter().map(|name| name.as_str().map(str::to_owned));
        texts.collect()
    });
    let mut names = names.ok_or_else(|| unusable(mapping, HOOK, "a list of texts"))?;
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Ok(Cow::Owned(names))
}

impl Case<'_> {
    /// Whether `validSource` accepts the source object; true where there is no such script.
    pub(super) async fn has_valid_source(&self) -> Result<bool, Failure> {
        let Some(script) = &self.mapping.valid_source else {
            return Ok(true);
        };
        let bindings = Bindings::of(script)
            .with_object("source", self.source.object())
            .with_case(self);
        let mapping = self.mapping;
        self.scripts.verdict(mapping, "validSource", bindings).await
    }

    /// Whether the source object qualifies: `validSource` and `sourceCondition`.
    pub(super) async fn qualifies(&self) -> Result<bool, Failure> {
        let condition = self.mapping.source_condition.as_ref();
        Ok(self.has_valid_source().await?
            && View::new(*self, None)
                .meets(condition, "sourceCondition")
                .await?)
    }

    /// Whether `validTarget` accepts a target object; true where there is no such script.
    pub(super) async fn has_valid_target(&self, target: &Object) -> Result<bool, Failure> {
        let Some(script) = &self.mapping.valid_target else {
            return Ok(true);
        };
        let bindings = Bindings::of(script)
            .with("target", || Value::Object(target.clone()))
            .with_case(self);
        let mapping = self.mapping;
        self.scripts.verdict(mapping, "validTarget", bindings).await
    }
}
