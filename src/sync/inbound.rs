//! What an external record means for managed objects: the one place where a source record and an
//! inbound mapping become a change of a managed object.
use std::sync::Arc;

use serde_json::json;

use crate::{
    hooks::Reader,
    mapping::{self, Candidates, Case, Found, Hit, Mapping, Scripts, Source},
    model::{
        ChangeRequest, Container, Filter, Lineage, Link, LinkChange, Object, OperationId,
        Precondition, Requested, ResourceName, Step, TargetObject, TargetWrite,
        link::DEFAULT_QUALIFIER,
        object::{ID, REV},
    },
    store::{Count, Search},
};

use super::{
    Engine, Setup,
    error::{Answer, Refusal},
    reader::HookReader,
};

/// How many objects a correlation looks at: more than one is ambiguous already.
const ENOUGH: usize = 2;

/// A record of an external system, as it came from there.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// Where it came from, `system/CONNECTOR/CLASS`.
    pub source: Container,
    /// Its id there.
    pub id: String,
    /// What it was, where that is known.
    pub before: Option<Object>,
    /// What it is; none: it is gone.
    pub after: Option<Object>,
    /// Who brings it.
    pub caller: String,
    /// What ties audit entries together.
    pub transaction_id: String,
}

/// What a record means.
#[derive(Debug, Clone, PartialEq)]
pub struct Meaning {
    /// The managed object that it is about, where there is one already.
    pub object: Option<ResourceName>,
    /// The change that it asks for; none: the object holds all of it.
    pub request: Option<ChangeRequest>,
    /// The link between record and object. Its second id may be known only after the change.
    pub link: Option<LinkChange>,
}

/// The mapping that brings records of a container in.
pub(super) fn mapping_from<'a>(setup: &'a Setup, source: &Container) -> Option<&'a Arc<Mapping>> {
    let mappings = setup.mappings.iter();
    let mut inbound = mappings.filter(|mapping| mapping.enable_sync && mapping.source == *source);
    inbound.find(|mapping| matches!(mapping.target, Container::Managed(_)))
}

impl Engine {
    /// What an external record means under the first enabled mapping of its class. Reads only.
    ///
    /// # Errors
    /// 404 where no mapping brings such records in; a mapping's own failure; 503 where the store
    /// cannot be read.
    pub async fn meaning(&self, incoming: &Incoming) -> Result<Meaning, Refusal> {
        let setup = self.setup();
        let Some(mapping) = mapping_from(&setup, &incoming.source) else {
            let message = format!("no mapping brings records of {} in", incoming.source);
            return Err(Refusal::new(404, message));
        };
        let surroundings = json!({
            "caller": incoming.caller,
            "transactionId": incoming.transaction_id,
        });
        let reader: Arc<dyn Reader> =
            Arc::new(HookReader::new(self.store().clone(), Arc::clone(&setup)));
        let scripts = Scripts {
            runtime: &setup.scripts,
            reader: Some(&reader),
            context: &surroundings,
        };
        let link = self.link_of_record(mapping, &incoming.id).await?;
        let (before, after) = (
            named(incoming, &incoming.before),
            named(incoming, &incoming.after),
        );
        let case = Case {
            mapping,
            qualifier: DEFAULT_QUALIFIER,
            source: Source {
                id: &incoming.id,
                old: before.as_ref(),
                new: after.as_ref(),
            },
            link: link.as_ref(),
            scripts,
        };
        let decision = match case.prepare().await {
            Ok(prepared) => {
                let found = self.managed_found(&prepared).await?;
                prepared.decide(found).await
            }
            Err(decision) => *decision,
        };
        self.meaning_of(mapping, decision, incoming).await
    }

    /// The name of the mapping that brings records of a container in.
    #[must_use]
    pub fn brings_in(&self, source: &Container) -> Option<String> {
        let setup = self.setup();
        mapping_from(&setup, source).map(|mapping| mapping.name.clone())
    }

    /// Carries out what a record means; what came from its system is not written back there.
    pub async fn change_from(
        &self,
        id: OperationId,
        source: &Container,
        request: ChangeRequest,
    ) -> Answer {
        let lineage = Lineage {
            came_from: Some(source.clone()),
            ..Lineage::root(id)
        };
        self.change_in(id, lineage, request).await
    }

    /// The link of a record with its object, after a change of the object that stands: none where
    /// the record is gone, or no mapping brings it in.
    #[must_use]
    pub fn link_between(
        &self,
        incoming: &Incoming,
        object: Option<&ResourceName>,
    ) -> Option<LinkChange> {
        let setup = self.setup();
        let mapping = mapping_from(&setup, &incoming.source)?;
        let (first_id, second_id) = match (mapping.links_reversed, object?.id.clone()) {
            (true, object) => (object, incoming.id.clone()),
            (false, object) => (incoming.id.clone(), object),
        };
        let (link_type, link_qualifier) = (mapping.link_type.clone(), DEFAULT_QUALIFIER.to_owned());
        Some(match incoming.after {
            Some(_) => LinkChange::Set {
                link_type,
                link_qualifier,
                first_id,
                second_id: Some(second_id),
            },
            None => LinkChange::Remove(Link {
                link_type,
                link_qualifier,
                first_id,
                second_id,
            }),
        })
    }

    async fn meaning_of(
        &self,
        mapping: &Mapping,
        mut decision: mapping::Decision,
        incoming: &Incoming,
    ) -> Result<Meaning, Refusal> {
        if let Some(id) = decision.unread.clone()
            && self.managed_object(&mapping.target, &id).await?.is_some()
        {
            decision.taken();
        }
        let row = decision.row;
        let object = row.target_id.as_deref().map(|id| mapping.target.object(id));
        let requested = match row.step {
            Step::Failed { cause } => {
                let code = cause
                    .code
                    .as_u64()
                    .and_then(|code| u16::try_from(code).ok());
                return Err(Refusal::new(code.unwrap_or(409), cause.message));
            }
            Step::Nothing => None,
            Step::Write { write } => Some(requested(write)?),
        };
        let request = requested.map(|requested| ChangeRequest {
            container: mapping.target.clone(),
            requested,
            caller: incoming.caller.clone(),
            transaction_id: incoming.transaction_id.clone(),
            idempotency: None,
            request: json!({
                "method": "integration",
                "resourcePath": object.as_ref().map(ToString::to_string),
                "additionalParameters": {"mapping": mapping.name, "source": incoming.source},
            }),
        });
        Ok(Meaning {
            object,
            request,
            link: row.link,
        })
    }

    async fn managed_found(&self, prepared: &mapping::Prepared<'_>) -> Result<Found, Refusal> {
        let (case, lookup) = (prepared.case(), prepared.lookup());
        let target = &case.mapping.target;
        let object = match &lookup.id {
            Some(id) => self.managed_object(target, id).await?,
            None => None,
        };
        let candidates = match &lookup.candidates {
            Some(Candidates::Query(filter)) => self.managed_matching(target, filter).await?,
            Some(Candidates::Ids(ids)) => {
                let mut found = Vec::new();
                for id in ids {
                    found.extend(self.managed_object(target, id).await?);
                }
                found
            }
            None => Vec::new(),
        };
        let mut hits = Vec::with_capacity(candidates.len());
        for object in candidates {
            let link = self.link_of_object(case.mapping, &object.id).await?;
            hits.push(Hit { object, link });
        }
        Ok(Found { object, hits })
    }

    async fn managed_object(
        &self,
        container: &Container,
        id: &str,
    ) -> Result<Option<TargetObject>, Refusal> {
        let stored = self.store().object(&container.object(id)).await?;
        Ok(stored.map(|stored| as_target(stored.object)))
    }

    async fn managed_matching(
        &self,
        container: &Container,
        filter: &Filter,
    ) -> Result<Vec<TargetObject>, Refusal> {
        let Container::Managed(name) = container else {
            return Ok(Vec::new());
        };
        let search = Search {
            filter: filter.clone(),
            sort: Vec::new(),
            page_size: Some(ENOUGH),
            cookie: None,
            offset: 0,
            count: Count::None,
        };
        let found = self.store().objects(name, &search).await?.results;
        Ok(found.into_iter().map(|one| as_target(one.object)).collect())
    }

    /// The link of an external record, whichever side of it the record is.
    async fn link_of_record(&self, mapping: &Mapping, id: &str) -> Result<Option<Link>, Refusal> {
        self.link_at(mapping, id, mapping.links_reversed).await
    }

    /// The link of a managed object, whichever side of it the object is.
    async fn link_of_object(&self, mapping: &Mapping, id: &str) -> Result<Option<Link>, Refusal> {
        self.link_at(mapping, id, !mapping.links_reversed).await
    }

    async fn link_at(
        &self,
        mapping: &Mapping,
        id: &str,
        is_second: bool,
    ) -> Result<Option<Link>, Refusal> {
        if is_second {
            let link_type = &mapping.link_type;
            let found = self
                .store()
                .link_of_target(link_type, DEFAULT_QUALIFIER, id);
            return Ok(found.await?);
        }
        let types = [mapping.link_type.clone()];
        let mut links = self.store().links_of_source(&types, id).await?.into_iter();
        Ok(links.find(|link| link.link_qualifier == DEFAULT_QUALIFIER))
    }
}

/// The record with its id, as scripts and properties see it.
fn named(incoming: &Incoming, record: &Option<Object>) -> Option<Object> {
    let record = record.as_ref()?;
    let mut named = Object::with_capacity(record.len() + 1);
    named.insert(ID.to_owned(), json!(incoming.id));
    named.extend(record.clone().into_iter().filter(|(name, _)| name != ID));
    Some(named)
}

/// A managed object as a mapping sees a target; its revision is its version.
fn as_target(mut object: Object) -> TargetObject {
    let text = |value: Option<serde_json::Value>| value?.as_str().map(str::to_owned);
    let id = text(object.shift_remove(ID)).unwrap_or_default();
    let version = text(object.shift_remove(REV));
    TargetObject {
        id,
        attributes: object,
        version,
    }
}

/// The change that a write of a managed object is; only if the object still is what was read.
fn requested(write: TargetWrite) -> Result<Requested, Refusal> {
    let as_read = |version: Option<String>| match version {
        Some(revision) => Precondition::Revision(revision),
        None => Precondition::Exists,
    };
    Ok(match write {
        TargetWrite::Create { id, after } => Requested::Create { id, content: after },
        TargetWrite::Update {
            rename: Some(id), ..
        } => {
            let message = format!("a managed object cannot be renamed to `{id}`");
            return Err(Refusal::new(400, message));
        }
        TargetWrite::Update { before, after, .. } => Requested::Replace {
            id: before.id,
            content: after,
            precondition: as_read(before.version),
        },
        TargetWrite::Delete { before } => Requested::Delete {
            id: before.id,
            precondition: as_read(before.version),
        },
    })
}
