//! A connector whose calls are counted and timed.
use std::{sync::Arc, time::Instant};

use async_trait::async_trait;

use super::{
    Capabilities, Changes, Connector, Error, IdPage, Page, Particulars, Query, SharedConnector,
    Update, Written,
};
use crate::model::{CauseKind, Follows, Object, TargetObject, TargetWrite, metrics};

/// The same connector, with every call of it counted under this name.
#[must_use]
pub fn measured(name: &str, connector: SharedConnector) -> SharedConnector {
    Arc::new(Measured {
        name: name.into(),
        connector,
    })
}

#[derive(Debug)]
struct Measured {
    name: Arc<str>,
    connector: SharedConnector,
}

/// A call under way. One that is dropped has run out of its time.
struct Call<'a> {
    name: &'a Arc<str>,
    kind: &'static str,
    started: Instant,
    result: &'static str,
}

impl Measured {
    fn call(&self, kind: &'static str) -> Call<'_> {
        Call {
            name: &self.name,
            kind,
            started: Instant::now(),
            result: "timeout",
        }
    }
}

impl Call<'_> {
    fn ended<T>(mut self, result: Result<T, Error>) -> Result<T, Error> {
        self.result = match &result {
            Ok(_) => "ok",
            Err(error) => match error.kind {
                CauseKind::Refused => "refused",
                CauseKind::Unavailable => "unavailable",
                CauseKind::Unknown => "unknown",
            },
        };
        result
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let name = || Arc::clone(self.name);
        ::metrics::counter!(metrics::TARGET_CALLS,
            "connector" => name(), "kind" => self.kind, "result" => self.result)
        .increment(1);
        ::metrics::histogram!(metrics::TARGET_CALL_SECONDS,
            "connector" => name(), "kind" => self.kind)
        .record(self.started.elapsed());
    }
}

#[async_trait]
impl Connector for Measured {
    fn capabilities(&self) -> Capabilities {
        self.connector.capabilities()
    }

    fn classes(&self) -> Vec<String> {
        self.connector.classes()
    }

    fn particulars(&self, class: &str) -> Particulars {
        self.connector.particulars(class)
    }

    async fn refine(&self, class: &str, write: TargetWrite) -> Result<TargetWrite, Error> {
        self.connector.refine(class, write).await
    }

    fn follows(&self, class: &str, write: &TargetWrite) -> Option<Follows> {
        self.connector.follows(class, write)
    }

    async fn test(&self) -> Result<(), Error> {
        let call = self.call("test");
        call.ended(self.connector.test().await)
    }

    async fn read(&self, class: &str, id: &str) -> Result<Option<TargetObject>, Error> {
        let call = self.call("read");
        call.ended(self.connector.read(class, id).await)
    }

    async fn read_many(
        &self,
        class: &str,
        ids: &[String],
    ) -> Result<Option<Vec<TargetObject>>, Error> {
        let call = self.call("readMany");
        call.ended(self.connector.read_many(class, ids).await)
    }

    async fn list_ids(&self, class: &str, query: &Query) -> Result<Option<IdPage>, Error> {
        let call = self.call("listIds");
        call.ended(self.connector.list_ids(class, query).await)
    }

    async fn query(&self, class: &str, query: &Query) -> Result<Page, Error> {
        let call = self.call("query");
        call.ended(self.connector.query(class, query).await)
    }

    async fn create(
        &self,
        class: &str,
        id: Option<&str>,
        object: &Object,
    ) -> Result<Written, Error> {
        let call = self.call("create");
        call.ended(self.connector.create(class, id, object).await)
    }

    async fn create_once(
        &self,
        class: &str,
        id: Option<&str>,
        object: &Object,
        key: &str,
    ) -> Result<Written, Error> {
        let call = self.call("create");
        let created = self.connector.create_once(class, id, object, key);
        call.ended(created.await)
    }

    fn repeats_creates(&self, class: &str) -> bool {
        self.connector.repeats_creates(class)
    }

    async fn update(&self, class: &str, update: &Update<'_>) -> Result<Written, Error> {
        let call = self.call("update");
        call.ended(self.connector.update(class, update).await)
    }

    async fn delete(&self, class: &str, before: &TargetObject) -> Result<(), Error> {
        let call = self.call("delete");
        call.ended(self.connector.delete(class, before).await)
    }

    async fn uncreate(
        &self,
        class: &str,
        made: &TargetObject,
        dormant: Option<&Object>,
    ) -> Result<(), Error> {
        let call = self.call("delete");
        let taken_back = self.connector.uncreate(class, made, dormant);
        call.ended(taken_back.await)
    }

    async fn dormant(
        &self,
        class: &str,
        id: Option<&str>,
        object: &Object,
    ) -> Result<Option<Object>, Error> {
        let call = self.call("read");
        call.ended(self.connector.dormant(class, id, object).await)
    }

    fn tells_answers(&self) -> bool {
        self.connector.tells_answers()
    }

    async fn changes(&self, class: &str, since: Option<&str>) -> Result<Changes, Error> {
        let call = self.call("changes");
        call.ended(self.connector.changes(class, since).await)
    }
}
