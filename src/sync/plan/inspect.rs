//! One mapping looked at for one record, in either direction: what a reconciliation plans.
use std::sync::Arc;

use crate::{
    connectors::Error,
    hooks::Reader,
    mapping::{
        self, Candidates, Case, Decision, Found, Hit, Mapping, Occasion, ScriptRun, Scripts, Source,
    },
    model::{
        Action, Cause, CauseKind, Container, Filter, Link, Object, OperationId, PlannedRow,
        Situation, Step, TargetObject,
        link::DEFAULT_QUALIFIER,
        object::{ID, REV},
    },
    store::{Count, Search},
};

use super::{
    super::{
        Engine,
        calls::{cause, find, own_cause, read, read_by_id},
        change::Context,
        fingerprint::{Fingerprint, fingerprint},
        hook::surroundings,
        reader::HookReader,
        refine::{is_only_asked_for, refine},
        setup::Target,
    },
    Plan, report,
};

/// How many hits of a correlation are looked at: more than one is ambiguous already.
const ENOUGH: usize = 2;

/// A row of one mapping, with what else its making brought.
#[derive(Debug)]
pub(in crate::sync) struct Examined {
    pub row: PlannedRow,
    pub runs: Vec<ScriptRun>,
    /// What the target holds, where it agrees with its source and nothing is to be done.
    pub agrees: Option<Fingerprint>,
    /// The target objects without a link that may be the source's: those that correlation found,
    /// and the one that has the id of a create.
    pub met: Vec<String>,
    /// Whether it depends on more than source and target: a script read something else, or the time.
    pub varies: bool,
}

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub(in crate::sync) enum Sight<'a> {
    /// A source object, or what was one, with its links, and target objects that count as linked
    /// to another one.
    Source(&'a [Link], &'a [String]),
    /// A target object that may have no link.
    Target {
        /// The link qualifier.
        qualifier: &'a str,
        /// Its id.
        id: &'a str,
    },
}

/// Where target objects are read.
#[derive(Clone, Copy)]
pub(in crate::sync) enum Shelf<'a> {
    System(&'a Target, &'a str),
    Managed(&'a Container, &'a str),
}

impl Plan {
    /// The plan of a change that consists of these rows.
    pub(in crate::sync) fn of_rows(
        context: Context,
        examined: Vec<Examined>,
        latest: Option<OperationId>,
    ) -> Self {
        let mut hook_runs = Vec::new();
        let mut rows = Vec::with_capacity(examined.len());
        for one in examined {
            hook_runs.extend(one.runs.iter().map(|run| report(run, &context.redactor)));
            rows.push(one.row);
        }
        Self {
            context: context.hiding(&rows),
            rows,
            hook_runs,
            follow_ups: Vec::new(),
            latest,
            status: None,
            held_off: None,
        }
    }
}

impl Engine {
    /// Where the objects of a container are read; none where it is not configured.
    pub(in crate::sync) fn shelf<'a>(
        setup: &'a super::super::Setup,
        container: &'a Container,
    ) -> Option<Shelf<'a>> {
        match container {
            Container::System { .. } => setup
                .target(container)
                .map(|(target, class)| Shelf::System(target, class)),
            Container::Managed(name) => setup
                .managed(container)
                .map(|_| Shelf::Managed(container, name)),
        }
    }

    /// The object with an id as its system holds it; that of a managed type without `_rev`, which is
    /// its version.
    pub(in crate::sync) async fn take_down(
        &self,
        shelf: Shelf<'_>,
        id: &str,
    ) -> Result<Option<TargetObject>, Error> {
        match shelf {
            Shelf::System(target, class) => read_by_id(target, class, id).await,
            Shelf::Managed(..) => self.take_down_named(shelf, id).await,
        }
    }

    /// The same for whatever the system finds under this id or name.
    async fn take_down_named(
        &self,
        shelf: Shelf<'_>,
        id: &str,
    ) -> Result<Option<TargetObject>, Error> {
        match shelf {
            Shelf::System(target, class) => read(target, class, id).await,
            Shelf::Managed(container, _) => {
                let stored = self.store().object(&container.object(id)).await;
                Ok(stored
                    .map_err(unavailable)?
                    .map(|stored| as_target(stored.object)))
            }
        }
    }

    /// The rows of one mapping for what is looked at, whatever the mapping's `enableSync` says.
    pub(in crate::sync) async fn examine(
        &self,
        context: &Context,
        mapping: &Mapping,
        sight: Sight<'_>,
        occasion: Occasion<'_>,
    ) -> Vec<Examined> {
        let surroundings = surroundings(context);
        let own = Arc::new(HookReader::new(
            self.store().clone(),
            Arc::clone(&context.setup),
        ));
        let reader: Arc<dyn Reader> = Arc::<HookReader>::clone(&own);
        let scripts = Scripts {
            runtime: &context.setup.scripts,
            reader: Some(&reader),
            context: &surroundings,
            effects: context.effects(),
        };
        let source = match sight {
            Sight::Source(..) => Source {
                id: &context.change.object.id,
                old: None,
                new: context.change.new.as_ref(),
            },
            Sight::Target { .. } => Source::NONE,
        };
        let examination = Examination {
            engine: self,
            context,
            occasion,
            taken: match sight {
                Sight::Source(_, taken) => taken,
                Sight::Target { .. } => &[],
            },
            case: Case {
                mapping,
                qualifier: DEFAULT_QUALIFIER,
                source,
                link: None,
                scripts,
            },
        };
        let mut examined = match sight {
            Sight::Source(links, _) => examination.source(links).await,
            Sight::Target { qualifier, id } => examination.target(qualifier, id).await,
        };
        // One script may have left to the next what it read.
        let varies = own.has_varied();
        for one in &mut examined {
            one.varies = varies;
        }
        examined
    }

    /// The link that a target object has under a mapping.
    async fn link_of_object(
        &self,
        mapping: &Mapping,
        qualifier: &str,
        target_id: &str,
    ) -> Result<Option<Link>, Error> {
        let found = if mapping.links_reversed {
            let types = [mapping.link_type.clone()];
            let links = self.store().links_of_source(&types, target_id).await;
            links.map(|links| {
                links
                    .into_iter()
                    .find(|link| link.link_qualifier == qualifier)
            })
        } else {
            let link_type = &mapping.link_type;
            self.store()
                .link_of_target(link_type, qualifier, target_id)
                .await
        };
        found.map_err(unavailable)
    }

    async fn matching(
        &self,
        shelf: Shelf<'_>,
        filter: &Filter,
    ) -> Result<Vec<TargetObject>, Error> {
        match shelf {
            Shelf::System(target, class) => find(target, class, filter).await,
            Shelf::Managed(_, name) => {
                let search = Search {
                    filter: filter.clone(),
                    sort: Vec::new(),
                    page_size: Some(ENOUGH),
                    cookie: None,
                    offset: 0,
                    count: Count::None,
                };
                let found = self.store().objects(name, &search).await;
                let found = found.map_err(|error| match error.refusal() {
                    Some(refusal) => Error::refused(400, refusal.to_string()),
                    None => unavailable(error),
                })?;
                Ok(found
                    .results
                    .into_iter()
                    .map(|stored| as_target(stored.object))
                    .collect())
            }
        }
    }
}

/// One mapping at work on one record.
struct Examination<'a> {
    engine: &'a Engine,
    context: &'a Context,
    occasion: Occasion<'a>,
    taken: &'a [String],
    case: Case<'a>,
}

impl<'a> Examination<'a> {
    async fn source(&self, links: &[Link]) -> Vec<Examined> {
        let case = self.case;
        let qualifiers =
            match mapping::link_qualifiers(case.mapping, case.source, case.scripts).await {
                Ok(qualifiers) => qualifiers,
                Err(failure) => return vec![self.failed(&case, failure.cause())],
            };
        let mut examined = Vec::with_capacity(qualifiers.len());
        for qualifier in qualifiers.iter() {
            let link = links.iter().find(|link| link.link_qualifier == *qualifier);
            let case = Case {
                qualifier,
                link,
                ..case
            };
            examined.push(self.row(case).await);
        }
        examined
    }

    async fn row(&self, case: Case<'_>) -> Examined {
        let Some(shelf) = Engine::shelf(&self.context.setup, &case.mapping.target) else {
            return self.unconfigured(&case);
        };
        let prepared = match case.prepare().await {
            Ok(prepared) => prepared,
            Err(decision) => return self.told(*decision, None),
        };
        let found = match self.look_up(&prepared, shelf).await {
            Ok(found) => found,
            Err(error) => return self.unread(&case, &error),
        };
        let met = met(&case, &found);
        let examined = self.decided(prepared, found, shelf).await;
        Examined { met, ..examined }
    }

    async fn decided(
        &self,
        prepared: mapping::Prepared<'_>,
        found: Found,
        shelf: Shelf<'_>,
    ) -> Examined {
        let case = *prepared.case();
        let seen = found.object.as_ref().map(|object| print_of(shelf, object));
        let mut decision = prepared.decide_on(found, self.occasion).await;
        if let Shelf::System(target, class) = shelf
            && let Err(failed) = refine(&case, (target, class), &mut decision).await
        {
            let (cause, _) = failed.told(&self.context.redactor);
            decision.row.step = Step::Failed { cause };
            return self.told(decision, seen);
        }
        if let Some(id) = decision.unread.clone() {
            match self.engine.take_down_named(shelf, &id).await {
                Ok(None) => {}
                Ok(Some(_)) => decision.taken(),
                Err(error) => return self.unread(&case, &error),
            }
        }
        self.told(decision, seen)
    }

    async fn target(&self, qualifier: &str, id: &str) -> Vec<Examined> {
        let case = Case {
            qualifier,
            ..self.case
        };
        let Some(shelf) = Engine::shelf(&self.context.setup, &case.mapping.target) else {
            return vec![self.unconfigured(&case)];
        };
        let linked = self
            .engine
            .link_of_object(case.mapping, qualifier, id)
            .await;
        let found = match linked {
            // Somebody has linked it meanwhile: it is its source's.
            Ok(Some(_)) => return Vec::new(),
            Ok(None) => self.engine.take_down(shelf, id).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(Some(target)) => {
                let decision = case.decide_unlinked(target, self.occasion).await;
                vec![self.told(decision, None)]
            }
            Ok(None) => Vec::new(),
            Err(error) => vec![self.unread(&case, &error)],
        }
    }

    async fn look_up(
        &self,
        prepared: &mapping::Prepared<'_>,
        shelf: Shelf<'_>,
    ) -> Result<Found, Error> {
        let lookup = prepared.lookup();
        let is_asked_for = match shelf {
            Shelf::System(target, class) => is_only_asked_for(prepared.case(), target, class),
            Shelf::Managed(..) => false,
        };
        let object = match &lookup.id {
            Some(_) if is_asked_for => None,
            Some(id) => self.engine.take_down(shelf, id).await?,
            None => None,
        };
        let candidates = match &lookup.candidates {
            Some(Candidates::Query(filter)) => self.engine.matching(shelf, filter).await?,
            Some(Candidates::Ids(ids)) => {
                let mut found = Vec::new();
                for id in ids {
                    found.extend(self.engine.take_down_named(shelf, id).await?);
                }
                found
            }
            None => Vec::new(),
        };
        let mut hits = Vec::with_capacity(candidates.len());
        for object in candidates {
            let case = prepared.case();
            let link = self
                .engine
                .link_of_object(case.mapping, case.qualifier, &object.id)
                .await?
                .or_else(|| self.would_be_linked(case, &object.id));
            hits.push(Hit { object, link });
        }
        Ok(Found { object, hits })
    }

    /// The link that a target object would have by now, if it is one of those that are taken.
    fn would_be_linked(&self, case: &Case<'_>, id: &str) -> Option<Link> {
        self.taken.iter().any(|taken| taken == id).then(|| Link {
            link_type: case.mapping.link_type.clone(),
            link_qualifier: case.qualifier.to_owned(),
            first_id: String::new(),
            second_id: id.to_owned(),
        })
    }

    fn told(&self, mut decision: Decision, seen: Option<Fingerprint>) -> Examined {
        if let Step::Failed { cause } = &mut decision.row.step {
            cause.message = self.context.redactor.text(&cause.message);
        }
        let row = decision.row;
        let agrees = seen.filter(|_| {
            row.situation == Some(Situation::Confirmed)
                && row.action == Some(Action::Update)
                && row.step == Step::Nothing
                && row.link.is_none()
        });
        Examined {
            row,
            runs: decision.runs,
            agrees,
            met: Vec::new(),
            varies: false,
        }
    }

    fn failed(&self, case: &Case<'_>, cause: Cause) -> Examined {
        self.told(case.failed(cause), None)
    }

    fn unread(&self, case: &Case<'_>, error: &Error) -> Examined {
        self.failed(case, cause(error, &self.context.redactor))
    }

    fn unconfigured(&self, case: &Case<'_>) -> Examined {
        let message = format!("{} is not configured", case.mapping.target);
        self.failed(case, own_cause(CauseKind::Unavailable, 503, message))
    }
}

/// The target objects that were read for a source without a link.
fn met(case: &Case<'_>, found: &Found) -> Vec<String> {
    if case.link.is_some() {
        return Vec::new();
    }
    let hits = found.hits.iter().map(|hit| &hit.object);
    let all = hits.chain(&found.object);
    all.map(|object| object.id.clone()).collect()
}

/// What tells that a target is as it was: its revision where it is one of ours.
fn print_of(shelf: Shelf<'_>, object: &TargetObject) -> Fingerprint {
    match (shelf, &object.version) {
        (Shelf::Managed(..), Some(revision)) => revision.clone(),
        _ => fingerprint(&object.attributes),
    }
}

/// A managed object as a target.
fn as_target(mut object: Object) -> TargetObject {
    let text = |value: Option<serde_json::Value>| {
        value.and_then(|value| value.as_str().map(str::to_owned))
    };
    let id = text(object.shift_remove(ID)).unwrap_or_default();
    let version = text(object.shift_remove(REV));
    TargetObject {
        id,
        attributes: object,
        version,
    }
}

fn unavailable(error: crate::store::Error) -> Error {
    Error::unavailable(503, error.to_string()).because(error)
}
