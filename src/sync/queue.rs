//! Queued mappings: what a change leaves to be written later, and carrying that out as a change of
//! its own, under a lane of its own, so that a slow target holds nobody up.
use std::sync::Arc;

use serde_json::json;

use crate::{
    managed::ManagedType,
    mapping::Mapping,
    model::{
        ChangeKind, ChangeRequest, Container, Lineage, Object, OperationId, Purpose, Requested,
        ResourceName,
        integration::{Direction, IntegrationEvent, Payload, Replay, State},
    },
    store::Arrival,
};

use super::{
    Engine, Setup,
    change::{Change, Context},
    error::{Answer, Refusal},
};

/// The name of no type: types are named by admins, who cannot use `$`.
const QUEUE: &str = "$queue:";

/// What a queued mapping is to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Queued {
    /// The mapping's name.
    pub mapping: String,
    /// The source object's id.
    pub id: String,
    /// What happened to it.
    pub kind: ChangeKind,
    /// The object before.
    pub before: Option<Object>,
    /// The object after.
    pub after: Option<Object>,
    /// Who asked for the change.
    pub caller: String,
    /// What ties audit entries together.
    pub transaction_id: String,
    /// Set where a recorded event is told again.
    pub replay: Option<Replay>,
}

/// What hooks see of the request: a replay says that it is one.
fn request_of(place: &ResourceName, replay: Option<Replay>) -> serde_json::Value {
    let (method, parameters) = match replay {
        None => ("queuedSync", json!({})),
        Some(replay) => {
            let effects = replay == Replay::WithEffects;
            ("replay", json!({"replayed": true, "sideEffects": effects}))
        }
    };
    json!({
        "method": method,
        "resourcePath": place.to_string(),
        "additionalParameters": parameters,
    })
}

/// The lane of one mapping for one object; the name of no real object.
pub(super) fn place(mapping: &str, id: &str) -> ResourceName {
    Container::managed(&format!("{QUEUE}{mapping}")).object(id)
}

/// The mapping of a queued change; none of any other change.
pub(super) fn mapping_of<'a>(
    setup: &'a Setup,
    lineage: &Lineage,
    container: &Container,
) -> Option<&'a Arc<Mapping>> {
    if !is_of_queue(lineage) {
        return None;
    }
    let Container::Managed(name) = container else {
        return None;
    };
    let name = name.strip_prefix(QUEUE)?;
    setup.mappings.iter().find(|mapping| mapping.name == name)
}

/// Whether a change may be one in the lane of a queue: a queue's own, or a reconciliation's of what
/// the queue would write.
fn is_of_queue(lineage: &Lineage) -> bool {
    matches!(lineage.purpose, Purpose::Queued | Purpose::Reconciliation)
}

/// The type of the object that changes. That of a queued change is without its hooks: they had their
/// say when the object itself changed.
pub(super) fn type_of(
    setup: &Setup,
    lineage: &Lineage,
    container: &Container,
) -> Option<Arc<ManagedType>> {
    let queued = mapping_of(setup, lineage, container);
    if !is_of_queue(lineage) || queued.is_none() && lineage.purpose != Purpose::Queued {
        return setup.managed(container).cloned();
    }
    let mapping = queued?;
    let managed = setup.managed(&mapping.source)?;
    let mut managed = ManagedType::clone(managed);
    managed.hooks.clear();
    Some(Arc::new(managed))
}

impl Engine {
    /// Carries out what a mapping was queued for: its row is planned, journaled, applied and audited
    /// like any other, and nothing else.
    pub async fn change_queued(&self, id: OperationId, queued: Queued) -> Answer {
        let name = place(&queued.mapping, &queued.id);
        let request = ChangeRequest {
            unseen: Vec::new(),
            container: name.container.clone(),
            request: request_of(&name, queued.replay),
            requested: Requested::Notify {
                kind: queued.kind,
                id: queued.id,
                old: queued.before,
                new: queued.after,
            },
            caller: queued.caller,
            transaction_id: queued.transaction_id,
            idempotency: None,
        };
        let lineage = Lineage {
            purpose: Purpose::Queued,
            ..Lineage::root(id)
        };
        self.change_in(id, lineage, request).await
    }

    /// What a change that stands leaves to queued mappings.
    pub(super) fn left_to_queues(&self, context: &Context) -> Vec<Arrival> {
        let change = &context.change;
        if !matches!(change.lineage.purpose, Purpose::Request | Purpose::FollowUp) {
            return Vec::new();
        }
        let mappings = context.setup.mappings.iter();
        let queued = mappings
            .filter(|mapping| mapping.is_queued_for(&change.object.container))
            .filter(|mapping| change.lineage.came_from.as_ref() != Some(&mapping.target));
        queued
            .map(|mapping| self.arrival(mapping, change))
            .collect()
    }

    /// What brings an object to a mapping's target once more, as it is now; none where the mapping
    /// is for other objects.
    ///
    /// # Errors
    /// 404 for an unknown mapping.
    pub fn queued_again(
        &self,
        mapping: &str,
        object: &ResourceName,
        before: Option<Object>,
        now: Option<Object>,
        replay: Replay,
    ) -> Result<Option<Arrival>, Refusal> {
        let setup = self.setup();
        let found = setup.mappings.iter().find(|known| known.name == mapping);
        let found =
            found.ok_or_else(|| Refusal::new(404, format!("there is no mapping {mapping}")))?;
        if found.source != object.container {
            return Ok(None);
        }
        let id = self.fresh_operation();
        let change = Change {
            id,
            lineage: Lineage::root(id),
            object: object.clone(),
            kind: match now {
                Some(_) => ChangeKind::Update,
                None => ChangeKind::Delete,
            },
            notified: true,
            caller: "replay".to_owned(),
            transaction_id: id.to_string(),
            idempotency: None,
            request: json!({"method": "replay"}),
            old: before,
            new: now,
            started_at: self.clock().now(),
            attempt: 1,
        };
        let mut arrival = self.arrival(found, &change);
        arrival.event.replay = Some(replay);
        arrival.payload.replay = Some(replay);
        Ok(Some(arrival))
    }

    fn arrival(&self, mapping: &Mapping, change: &Change) -> Arrival {
        let now = self.clock().now();
        let connector = match &mapping.target {
            Container::System { connector, .. } => connector.clone(),
            Container::Managed(name) => name.clone(),
        };
        Arrival {
            event: IntegrationEvent {
                id: self.clock().fresh_id(),
                direction: Direction::Outbound,
                connector,
                external_id: change.object.id.clone(),
                updated_at: now,
                kind: change.kind,
                cached_id: None,
                cached_type: None,
                record_id: Some(change.object.id.clone()),
                record_type: Some(change.object.container.to_string()),
                mapping: Some(mapping.name.clone()),
                state: State::Queued,
                canceled_by: None,
                duplicate_of: None,
                ignored_for_id: None,
                ignored_for_type: None,
                attempts: 0,
                next_attempt_at: None,
                last_error: None,
                operation: None,
                created_at: now,
                started_at: None,
                ended_at: None,
                replay: None,
            },
            payload: Payload {
                before: change.old.clone(),
                after: change.new.clone(),
                caller: change.caller.clone(),
                transaction_id: change.transaction_id.clone(),
                ..Payload::default()
            },
            delivery: None,
        }
    }
}
