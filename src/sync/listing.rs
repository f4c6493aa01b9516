//! Reading many objects of a system for reconciliation, a page at a time.
use crate::{
    connectors::{Changes, Error, IdPage, Page, Query},
    mapping::{
        Effects, LinkQualifiers, Mapping, Scripts, Source, after_reconciliation, link_qualifiers,
    },
    model::{Container, Filter, TargetObject},
};

use super::{Engine, Setup, calls, setup::Target};

impl Engine {
    /// A page of a system's objects; retried while the target is unavailable.
    ///
    /// # Errors
    /// As [`crate::connectors::Connector::query`], and *unavailable* for an unknown container.
    pub async fn list(
        &self,
        container: &Container,
        filter: &Filter,
        cursor: Option<String>,
        page_size: usize,
    ) -> Result<Page, Error> {
        let setup = self.setup();
        let (target, class) = place(&setup, container)?;
        let query = Query {
            filter: filter.clone(),
            page_size,
            cursor,
        };
        calls::retried(&target.calls, || target.connector.query(class, &query)).await
    }

    /// The ids of a page of a system's objects; none where it tells them only with the objects.
    ///
    /// # Errors
    /// As [`Engine::list`].
    pub async fn list_ids(
        &self,
        container: &Container,
        filter: &Filter,
        cursor: Option<String>,
        page_size: usize,
    ) -> Result<Option<IdPage>, Error> {
        let setup = self.setup();
        let (target, class) = place(&setup, container)?;
        let query = Query {
            filter: filter.clone(),
            page_size,
            cursor,
        };
        calls::retried(&target.calls, || target.connector.list_ids(class, &query)).await
    }

    /// Those of a system's objects with these ids that exist; none where it cannot give them in one
    /// request.
    ///
    /// # Errors
    /// As [`Engine::list`].
    pub async fn read_many(
        &self,
        container: &Container,
        ids: &[String],
    ) -> Result<Option<Vec<TargetObject>>, Error> {
        let setup = self.setup();
        let (target, class) = place(&setup, container)?;
        calls::retried(&target.calls, || target.connector.read_many(class, ids)).await
    }

    /// What changed in a system's object class since a token; without one, only the newest token.
    ///
    /// # Errors
    /// As [`crate::connectors::Connector::changes`], and *unavailable* for an unknown container.
    pub async fn changes(
        &self,
        container: &Container,
        since: Option<&str>,
    ) -> Result<Changes, Error> {
        let setup = self.setup();
        let (target, class) = place(&setup, container)?;
        calls::retried(&target.calls, || target.connector.changes(class, since)).await
    }

    /// Runs a mapping's `result` hook; why it failed, if it did.
    pub async fn after_reconciliation(
        &self,
        mapping: &Mapping,
        run: &str,
        statistics: &serde_json::Value,
    ) -> Option<String> {
        let setup = self.setup();
        let reader = self.reader();
        let scripts = Scripts {
            runtime: &setup.scripts,
            reader: Some(&reader),
            context: &serde_json::Value::Null,
            effects: Effects::Wanted,
        };
        let ran = after_reconciliation(mapping, scripts, run, statistics).await?;
        for line in &ran.log {
            tracing::info!(hook = ran.hook, level = %line.level, "{}", line.message);
        }
        ran.failure.map(|failure| failure.to_string())
    }

    /// Every link qualifier that a mapping may use.
    ///
    /// # Errors
    /// Where the mapping's script fails.
    pub async fn qualifiers(&self, mapping: &Mapping) -> Result<Vec<String>, String> {
        if let LinkQualifiers::Static(names) = &mapping.link_qualifiers {
            return Ok(names.clone());
        }
        let setup = self.setup();
        let scripts = Scripts {
            runtime: &setup.scripts,
            reader: None,
            context: &serde_json::Value::Null,
            effects: Effects::Wanted,
        };
        link_qualifiers(mapping, Source::NONE, scripts)
            .await
            .map(std::borrow::Cow::into_owned)
            .map_err(|failure| failure.to_string())
    }
}

fn place<'a>(setup: &'a Setup, container: &'a Container) -> Result<(&'a Target, &'a str), Error> {
    setup
        .target(container)
        .ok_or_else(|| Error::unavailable(503, format!("{container} is not configured")))
}
