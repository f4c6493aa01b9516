//! What a server says about itself: its controls and its schema.
use std::{collections::BTreeSet, sync::Arc};

use ldap3::Scope;

use super::{
    schema::{Attribute, Schema, Syntax},
    session::Pool,
    settings::Class,
};
use crate::connectors::Error;

/// The assertion control (RFC 4528).
const ASSERTION: &str = "1.3.6.1.1.12";
/// The post-read control (RFC 4527).
const POST_READ: &str = "1.3.6.1.1.13.2";
/// The paged results control (RFC 2696).
const PAGED_RESULTS: &str = "1.2.840.113556.1.4.319";

/// A server as it described itself.
#[derive(Debug, Clone, Default)]
pub struct Server {
    /// What its entries are made of.
    pub schema: Schema,
    controls: BTreeSet<String>,
}

impl Server {
    /// Asks the root entry (RFC 4512, 5.1) and the subschema that it names. A server that shows
    /// neither is taken for one that can do little.
    ///
    /// # Errors
    /// Unavailable where there is no answer.
    pub async fn ask(pool: &Arc<Pool>) -> Result<Self, Error> {
        let wanted = ["supportedControl", "subschemaSubentry"];
        let root = pool
            .search("", Scope::Base, "(objectClass=*)", &wanted)
            .await?;
        let values = |name: &str| {
            root.first()
                .map(|entry| entry.texts(name))
                .unwrap_or_default()
        };
        let controls = values("supportedControl").into_iter().collect();
        let schema = match values("subschemaSubentry").into_iter().next() {
            Some(place) => subschema(pool, &place).await?,
            None => Schema::default(),
        };
        Ok(Self { schema, controls })
    }

    /// Whether a write can be told to happen only if a filter holds.
    #[must_use]
    pub fn asserts(&self) -> bool {
        self.controls.contains(ASSERTION)
    }

    /// Whether the answer to a write can hold the entry as it is then.
    #[must_use]
    pub fn reads_after_writes(&self) -> bool {
        self.controls.contains(POST_READ)
    }

    /// Whether a search can be taken in pages.
    #[must_use]
    pub fn pages(&self) -> bool {
        self.controls.contains(PAGED_RESULTS)
    }

    /// Whether it knows a control.
    #[must_use]
    pub fn knows(&self, control: &str) -> bool {
        self.controls.contains(control)
    }

    /// What an attribute's values are. A password is text, whatever the schema says.
    #[must_use]
    pub fn syntax(&self, class: &Class, name: &str) -> Syntax {
        if class.is_binary(name) {
            Syntax::Binary
        } else if class.is_write_only(name) {
            Syntax::Text
        } else {
            let known = self.schema.attribute(name);
            known.map_or(Syntax::Text, |attribute| attribute.syntax)
        }
    }

    /// Whether one value of an attribute can be named, to remove it or to ask for it.
    #[must_use]
    pub fn can_name_values(&self, class: &Class, name: &str) -> bool {
        let known = self.schema.attribute(name);
        !class.is_write_only(name) && known.is_none_or(|attribute| attribute.has_equality)
    }

    /// Whether a create may set an attribute.
    #[must_use]
    pub fn may_set(&self, name: &str) -> bool {
        let known = self.schema.attribute(name);
        known.is_none_or(|attribute: &Attribute| attribute.is_writable)
    }

    /// Whether the schema knows the words of a class' settings.
    ///
    /// # Errors
    /// Refused, with the word and its key, where it does not.
    pub fn knows_words(&self, name: &str, class: &Class) -> Result<(), Error> {
        let schema = &self.schema;
        if !schema.is_known() {
            return Ok(());
        }
        let unknown = |what: &str, word: &str, key: &str| {
            let message = format!(
                "object class `{name}`: the directory's schema knows no {what} `{word}` (`{key}`)"
            );
            Err(Error::refused(17, message))
        };
        for word in &class.object_classes {
            if !schema.has_class(word) {
                return unknown("object class", word, "objectClasses");
            }
        }
        if let Some(groups) = &class.memberships {
            if schema.attribute(&groups.attribute).is_none() {
                return unknown("attribute", &groups.attribute, "memberships.attribute");
            }
            if schema.attribute(&groups.name).is_some() {
                let message = format!(
                    "object class `{name}`: `{}` is an attribute of the directory: choose another \
                     name for the groups of an account (`memberships.as`)",
                    groups.name
                );
                return Err(Error::refused(17, message));
            }
        }
        let words = [
            ("rdnAttribute", &class.rdn_attribute),
            ("idAttribute", &class.id_attribute),
        ];
        let operational = class.operational.iter().map(|word| ("operational", word));
        for (key, word) in words.into_iter().chain(operational) {
            if schema.attribute(word).is_none() {
                return unknown("attribute", word, key);
            }
        }
        Ok(())
    }
}

async fn subschema(pool: &Arc<Pool>, place: &str) -> Result<Schema, Error> {
    let wanted = ["attributeTypes", "objectClasses"];
    let filter = "(objectClass=subschema)";
    match pool.search(place, Scope::Base, filter, &wanted).await {
        Ok(entries) => Ok(entries.first().map_or_else(Schema::default, |entry| {
            Schema::parse(
                &entry.texts("attributeTypes"),
                &entry.texts("objectClasses"),
            )
        })),
        // Who may not see the schema goes on without it.
        Err(error) if error.kind == crate::model::CauseKind::Refused => Ok(Schema::default()),
        Err(error) => Err(error),
    }
}
