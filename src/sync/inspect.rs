//! One record of a reconciliation: looked at under its lane, by one mapping, and put right like any
//! change is carried out.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::json;
use tokio::time::Instant;

use crate::{
    mapping::{Mapping, Occasion},
    model::{
        CauseKind, ChangeKind, ChangeRequest, Container, Lineage, Link, Object, OperationId,
        Outcome, PlannedRow, Precondition, Purpose, Requested, ResourceName, Step, TargetWrite,
        object::{ID, REV},
    },
    store::{Admission, JournalError},
};

use super::{
    Engine, Setup,
    admit::Attempt,
    calls::own_cause,
    change::{Change, Context},
    error::Refusal,
    finding::{Inspected, Standing, agreement, end_of, fail, finding},
    fingerprint::{Fingerprint, fingerprint},
    plan::{
        Plan,
        inspect::{Examined, Sight},
    },
    queue,
};

/// How often a plan that went stale is made anew.
const TRIES: u32 = 5;
/// HTTP's word for a precondition that does not hold.
const PRECONDITION_FAILED: u16 = 412;
/// The pause while another change of the same object is in flight.
const PAUSE: Duration = Duration::from_millis(20);

/// What a reconciliation asks the engine to look at.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The mapping's name.
    pub mapping: String,
    /// Which record.
    pub subject: Subject,
    /// The reconciliation's id.
    pub run: String,
    /// Who asked for it.
    pub caller: String,
    /// What ties audit entries together.
    pub transaction_id: String,
    /// What may be done about what is found.
    pub deeds: Deeds,
    /// Target objects that count as linked to another source: a dry run sets no links.
    pub taken: Vec<String>,
    /// Only this link qualifier; none: every one that the mapping has for the record.
    pub qualifier: Option<String>,
}

/// The record that is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The source object with this id, be it there or not.
    Source(String),
    /// A target object without a link.
    Target {
        /// Under this link qualifier.
        qualifier: String,
        /// With this id.
        id: String,
    },
}

/// What may be done about what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deeds {
    /// Nothing: a dry run.
    Nothing,
    /// Everything but deletions, which are told as held back.
    AllButDeletions,
    /// Everything.
    Everything,
}

/// What was read under the lane.
pub(super) struct Looked {
    context: Context,
    pub(super) examined: Vec<Examined>,
    latest: Option<OperationId>,
    pub(super) source: Option<Fingerprint>,
    /// The revisions of linked managed objects before a system's record was read.
    pub(super) revisions: BTreeMap<String, String>,
}

impl Engine {
    /// Looks at one record with one mapping and does what its policies say, under the lane of its
    /// source (a target without a link: its own), so that no live change comes between.
    ///
    /// # Errors
    /// 404 for an unknown mapping, 409 where the lane is full, 503 where a source or the store
    /// cannot be read. What fails at the target is told in its finding.
    pub async fn inspect(&self, inspection: Inspection) -> Result<Inspected, Refusal> {
        let engine = self.clone();
        let task = self
            .parts
            .tasks
            .spawn(async move { Box::pin(engine.inspect_in_turn(inspection)).await });
        task.await
            .unwrap_or_else(|_| Err(Refusal::new(500, "the look at a record was interrupted")))
    }

    async fn inspect_in_turn(&self, inspection: Inspection) -> Result<Inspected, Refusal> {
        let id = self.fresh_operation();
        let _work = self.parts.working.begin(id);
        let object = self.lane_of(&inspection)?;
        let queue = self.queue_of(&inspection)?;
        // What a queue writes is excluded, on every node, by the one row that the queue takes.
        let place = queue.as_ref().unwrap_or(&object).clone();
        let own = needs_turn(&inspection, &object).then_some(&object);
        let mut turns = Vec::new();
        for lane in own.into_iter().chain(&queue) {
            let turn = self.lanes().enter(lane).await;
            turns.push(turn.map_err(|_| Refusal::busy())?);
        }
        let deadline = Instant::now() + self.lanes().bounds().patience;
        let mut tries = 0;
        loop {
            let setup = self.setup();
            let mapping = mapping_of(&setup, &inspection.mapping)?;
            let queued = match &queue {
                Some(queue) => Some(self.store().admission(queue).await?),
                None => None,
            };
            // Its links are read behind that: what the queue has written is known.
            let mut admission = self.store().admission(&object).await?;
            let mut in_flight = admission.in_flight;
            if let Some(queued) = queued {
                admission.latest = queued.latest;
                in_flight = queued.in_flight.or(in_flight);
            }
            if in_flight.is_some() && inspection.deeds != Deeds::Nothing {
                if Instant::now() >= deadline {
                    return Err(Refusal::busy());
                }
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let looked = self
                .look_under_lane(id, &inspection, &setup, &mapping, &place, admission)
                .await?;
            if tries < TRIES
                && self
                    .has_moved_on(&inspection, &setup, &mapping, &looked)
                    .await?
            {
                tries += 1;
                continue;
            }
            match self.act_on(&inspection, &mapping, looked).await {
                // The object was another one by then: what was found of it counts no more.
                Ok((_, Changed::Meanwhile)) if tries < TRIES => tries += 1,
                Ok((inspected, _)) => return Ok(inspected),
                Err(JournalError::Stale | JournalError::InFlight(_)) if tries < TRIES => tries += 1,
                Err(JournalError::Store(error)) => return Err(error.into()),
                Err(error) => return Err(Refusal::new(503, error.to_string())),
            }
        }
    }

    fn lane_of(&self, inspection: &Inspection) -> Result<ResourceName, Refusal> {
        let setup = self.setup();
        let mapping = mapping_of(&setup, &inspection.mapping)?;
        Ok(match &inspection.subject {
            Subject::Source(id) => mapping.source.object(id),
            Subject::Target { id, .. } => mapping.target.object(id),
        })
    }

    /// The lane under which a mapping's queue writes what this is a look at.
    fn queue_of(&self, inspection: &Inspection) -> Result<Option<ResourceName>, Refusal> {
        let setup = self.setup();
        let mapping = mapping_of(&setup, &inspection.mapping)?;
        Ok(match &inspection.subject {
            Subject::Source(id)
                if mapping.queued_sync.is_some() && inspection.deeds != Deeds::Nothing =>
            {
                Some(queue::place(&mapping.name, id))
            }
            _ => None,
        })
    }

    async fn look_under_lane(
        &self,
        id: OperationId,
        inspection: &Inspection,
        setup: &Arc<Setup>,
        mapping: &Mapping,
        object: &ResourceName,
        admission: Admission,
    ) -> Result<Looked, Refusal> {
        let mut looked = self
            .looked(id, inspection, setup, mapping, object, admission)
            .await?;
        if let Some(only) = &inspection.qualifier {
            let examined = &mut looked.examined;
            examined.retain(|one| one.row.link_qualifier == *only);
        }
        Ok(looked)
    }

    async fn looked(
        &self,
        id: OperationId,
        inspection: &Inspection,
        setup: &Arc<Setup>,
        mapping: &Mapping,
        object: &ResourceName,
        admission: Admission,
    ) -> Result<Looked, Refusal> {
        let links = match &inspection.subject {
            Subject::Source(id) => self.links_under(mapping, id, admission.links).await?,
            Subject::Target { .. } => Vec::new(),
        };
        let revisions = self.revisions_before(inspection, mapping, &links).await?;
        let source = match (&inspection.subject, &mapping.source) {
            (Subject::Target { .. }, _) => None,
            (Subject::Source(_), Container::Managed(_)) => {
                admission.object.map(|stored| stored.object)
            }
            (Subject::Source(id), container) => self.system_source(setup, container, id).await?,
        };
        let print = source.as_ref().map(|source| source_print(mapping, source));
        let change = self.unchanged(id, inspection, object, source);
        let context = Context::new(change, Arc::clone(setup));
        let sight = match &inspection.subject {
            Subject::Source(_) => {
                return Ok(Looked {
                    revisions,
                    examined: self
                        .examine(
                            &context,
                            mapping,
                            Sight::Source(&links, &inspection.taken),
                            Occasion::Reconciliation(&inspection.run),
                        )
                        .await,
                    context,
                    latest: admission.latest,
                    source: print,
                });
            }
            Subject::Target { qualifier, id } => Sight::Target { qualifier, id },
        };
        let examined = self
            .examine(
                &context,
                mapping,
                sight,
                Occasion::Reconciliation(&inspection.run),
            )
            .await;
        Ok(Looked {
            context,
            examined,
            latest: admission.latest,
            source: None,
            revisions,
        })
    }

    /// The source object of a mapping that reads a system.
    pub(super) async fn system_source(
        &self,
        setup: &Setup,
        container: &Container,
        id: &str,
    ) -> Result<Option<Object>, Refusal> {
        let shelf = Self::shelf(setup, container)
            .ok_or_else(|| Refusal::new(503, format!("{container} is not configured")))?;
        let found = self.take_down(shelf, id).await.map_err(|error| {
            Refusal::new(503, format!("{container}/{id} cannot be read: {error}"))
        })?;
        Ok(found.map(|found| found.to_object()))
    }

    /// The links of a source object under the mapping's type.
    pub(super) async fn links_under(
        &self,
        mapping: &Mapping,
        source_id: &str,
        own: Vec<Link>,
    ) -> Result<Vec<Link>, Refusal> {
        if mapping.links_reversed {
            let found = self.store().links_of_target(&mapping.link_type, source_id);
            return Ok(found.await?);
        }
        let mut links = own;
        links.retain(|link| link.link_type == mapping.link_type);
        Ok(links)
    }

    /// The change that a record put right is, as far as its object goes: it stays as it is.
    fn unchanged(
        &self,
        id: OperationId,
        inspection: &Inspection,
        object: &ResourceName,
        source: Option<Object>,
    ) -> Change {
        Change {
            id,
            lineage: Lineage {
                purpose: Purpose::Reconciliation,
                ..Lineage::root(id)
            },
            object: object.clone(),
            kind: ChangeKind::Update,
            notified: true,
            caller: inspection.caller.clone(),
            transaction_id: inspection.transaction_id.clone(),
            idempotency: None,
            request: request_of(inspection, object),
            old: source.clone(),
            new: source,
            started_at: self.clock().now(),
            attempt: 1,
        }
    }

    /// Carries out what is to be carried out, and tells the rest.
    async fn act_on(
        &self,
        inspection: &Inspection,
        mapping: &Mapping,
        looked: Looked,
    ) -> Result<(Inspected, Changed), JournalError> {
        let Looked {
            context,
            examined,
            latest,
            source,
            revisions: _,
        } = looked;
        let mut findings = Vec::with_capacity(examined.len());
        let mut todo = Vec::new();
        for one in examined {
            let mut finding = finding(&context, mapping, &one.row, inspection.deeds);
            finding.agreement = agreement(source.as_ref(), &one);
            finding.met.clone_from(&one.met);
            if finding.standing == Standing::Done {
                todo.push((findings.len(), one));
            }
            findings.push(finding);
        }
        let mut inspected = Inspected {
            findings,
            operation: None,
        };
        let inward = matches!(mapping.target, Container::Managed(_));
        let (managed, own): (Vec<_>, Vec<_>) = todo
            .into_iter()
            .partition(|(_, one)| inward && matches!(one.row.step, Step::Write { .. }));
        let mut changed = Changed::ByNobody;
        for (index, one) in managed {
            let asked = self.change_object(&context, index, one.row, &mut inspected);
            if asked.await == Changed::Meanwhile {
                changed = Changed::Meanwhile;
            }
        }
        if !own.is_empty() {
            self.write_rows(context, own, latest, source.as_ref(), &mut inspected)
                .await?;
        }
        Ok((inspected, changed))
    }

    /// Writes to a target (or a link only): a change whose object stays as it is.
    async fn write_rows(
        &self,
        context: Context,
        todo: Vec<(usize, Examined)>,
        latest: Option<OperationId>,
        source: Option<&Fingerprint>,
        inspected: &mut Inspected,
    ) -> Result<(), JournalError> {
        let id = context.change.id;
        let (places, examined): (Vec<usize>, Vec<Examined>) = todo.into_iter().unzip();
        let varies = examined.iter().any(|one| one.varies);
        let plan = Plan::of_rows(context, examined, latest);
        let journaled = self.journal(plan).await?;
        inspected.operation = Some(id);
        let rows = journaled.rows().to_vec();
        let applied = self.apply(journaled, &[]).await;
        let applied = applied.map_err(|_| JournalError::LeaseLost)?;
        for ((place, row), end) in places.iter().zip(&rows).zip(applied.ends()) {
            if let Some(finding) = inspected.findings.get_mut(*place) {
                end_of(finding, row, end, source);
                finding.agreement = finding.agreement.take().filter(|_| !varies);
            }
        }
        let settled = self.settle(applied).await;
        let settled = settled.map_err(|_| JournalError::LeaseLost)?;
        // What comes next must see the links; the next look at this record flushes them otherwise.
        self.afterwards(settled, None).await;
        Ok(())
    }

    /// Changes a managed object for a mapping that reads a system: a change like any other, with
    /// its own hooks, targets and compensation, that sets the mapping's link when it stands.
    async fn change_object(
        &self,
        context: &Context,
        index: usize,
        row: PlannedRow,
        inspected: &mut Inspected,
    ) -> Changed {
        let Some(finding) = inspected.findings.get_mut(index) else {
            return Changed::ByNobody;
        };
        let requested = match requested_of(&row) {
            Ok(requested) => requested,
            Err(message) => {
                fail(finding, own_cause(CauseKind::Refused, 400, message));
                return Changed::ByNobody;
            }
        };
        let origin = PlannedRow {
            step: Step::Nothing,
            ..row
        };
        let request = ChangeRequest {
            unseen: Vec::new(),
            container: origin.target.clone(),
            requested,
            caller: context.change.caller.clone(),
            transaction_id: context.change.transaction_id.clone(),
            idempotency: None,
            request: context.change.request.clone(),
        };
        let id = self.fresh_operation();
        let _work = self.parts.working.begin(id);
        let attempt = Attempt {
            origin: Some(Box::new(origin)),
            ..self.attempt(id, Lineage::root(id), request)
        };
        let answer = Box::pin(self.all_the_way(attempt, None)).await;
        inspected.operation = Some(id);
        let was_rejected = answer.outcome == Some(Outcome::Rejected);
        let Err(refusal) = answer.result else {
            return Changed::ByNobody;
        };
        let code = refusal.code;
        fail(
            finding,
            own_cause(CauseKind::Refused, code, refusal.message),
        );
        if was_rejected && code == PRECONDITION_FAILED {
            Changed::Meanwhile
        } else {
            Changed::ByNobody
        }
    }
}

/// Whether a managed object was another one than what was read of it when its change had its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changed {
    ByNobody,
    Meanwhile,
}

pub(super) fn mapping_of(setup: &Setup, name: &str) -> Result<Arc<Mapping>, Refusal> {
    let found = setup.mappings.iter().find(|mapping| mapping.name == name);
    found
        .cloned()
        .ok_or_else(|| Refusal::new(404, format!("there is no mapping {name}")))
}

/// Whether a look must wait for its object's turn. A managed object without a source is written by
/// a change of its own, which waits for that very turn and goes on only at the revision that was
/// seen here.
fn needs_turn(inspection: &Inspection, object: &ResourceName) -> bool {
    let changes_itself = matches!(inspection.subject, Subject::Target { .. })
        && matches!(object.container, Container::Managed(_));
    inspection.deeds != Deeds::Nothing && !changes_itself
}

fn request_of(inspection: &Inspection, object: &ResourceName) -> serde_json::Value {
    json!({
        "method": "recon",
        "resourcePath": object.to_string(),
        "content": null,
        "additionalParameters": {"reconId": inspection.run, "mapping": inspection.mapping},
    })
}

/// What tells that a source is as it was.
pub(super) fn source_print(mapping: &Mapping, source: &Object) -> Fingerprint {
    let revision = source.get(REV).and_then(serde_json::Value::as_str);
    match (&mapping.source, revision) {
        (Container::Managed(_), Some(revision)) => revision.to_owned(),
        _ => fingerprint(source),
    }
}

/// The change of a managed object that a row's write is; only if the object still is what was read.
pub(super) fn requested_of(row: &PlannedRow) -> Result<Requested, String> {
    let Step::Write { write } = &row.step else {
        return Err("nothing is to be written".to_owned());
    };
    let revision = |version: &Option<String>| match version {
        Some(revision) => Precondition::Revision(revision.clone()),
        None => Precondition::Exists,
    };
    Ok(match write {
        TargetWrite::Create { id, after } => Requested::Create {
            id: id.clone(),
            content: after.clone(),
        },
        TargetWrite::Update {
            rename: Some(id), ..
        } => return Err(format!("{} cannot be renamed to `{id}`", row.target)),
        TargetWrite::Update { before, after, .. } => Requested::Replace {
            id: before.id.clone(),
            content: with_id(&before.id, after),
            precondition: revision(&before.version),
        },
        TargetWrite::Delete { before } => Requested::Delete {
            id: before.id.clone(),
            precondition: revision(&before.version),
        },
    })
}

fn with_id(id: &str, attributes: &Object) -> Object {
    let mut object = Object::with_capacity(attributes.len() + 1);
    object.insert(ID.to_owned(), json!(id));
    object.extend(attributes.clone());
    object
}
