//! The plan: every target read, every mapping decided, the exact writes. Plain data; what a dry run
//! shows is what `apply` carries out, and nothing is computed again.
pub(super) mod inspect;

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use serde_json::{Value, json};

use crate::{
    connectors::Error,
    hooks::Reader,
    mapping::{self, Candidates, Case, Decision, Found, Hit, Mapping, ScriptRun, Scripts, Source},
    model::{
        CauseKind, Container, Link, Object, OperationId, PlannedRow, Purpose, RowResult, Step,
        link::DEFAULT_QUALIFIER,
        object::same_record,
        record::HookRun,
        secret::{Redactor, masked},
    },
};

use super::{
    Engine,
    admissions::Admissions,
    admit::Admitted,
    calls::{cause, find, own_cause, read, read_by_id},
    change::{Change, Context, RowEnd},
    compare::ids,
    details::failure_status,
    follow::Asked,
    hook::{sealed, surroundings},
    queue,
    reader::HookReader,
    refine::{is_only_asked_for, refine},
    setup::Target,
};

/// What a change will do.
#[derive(Debug)]
pub(super) struct Plan {
    context: Context,
    rows: Vec<PlannedRow>,
    hook_runs: Vec<HookRun>,
    follow_ups: Vec<Asked>,
    latest: Option<OperationId>,
    status: Option<u16>,
    held_off: Option<Duration>,
}

/// What rows are planned on.
struct Ground<'a> {
    links: &'a [Link],
    admissions: Admissions,
}

/// One row with what else its making brought.
struct Made {
    row: PlannedRow,
    runs: Vec<ScriptRun>,
    /// The HTTP status that the row's failure means while nothing is written.
    status: Option<u16>,
}

impl Plan {
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    pub(super) fn rows(&self) -> &[PlannedRow] {
        &self.rows
    }

    pub(super) fn hook_runs(&self) -> &[HookRun] {
        &self.hook_runs
    }

    pub(super) fn follow_ups(&self) -> &[Asked] {
        &self.follow_ups
    }

    pub(super) fn latest(&self) -> Option<OperationId> {
        self.latest
    }

    /// The HTTP status of the first row that could not be planned, if one could not.
    pub(super) fn failure(&self) -> Option<u16> {
        self.status
    }

    /// How long to stay away, where a target holds changes off.
    pub(super) fn held_off(&self) -> Option<Duration> {
        self.held_off
    }

    /// How the rows stand while nothing is written: failed ones failed, all others skipped.
    pub(super) fn preflight_ends(&self) -> Vec<RowEnd> {
        self.rows
            .iter()
            .map(|row| match &row.step {
                Step::Failed { cause } => super::apply::failed_end(cause.clone()),
                Step::Write { .. } | Step::Nothing => RowEnd::of(RowResult::Skipped),
            })
            .collect()
    }

    pub(super) fn into_parts(self) -> (Context, Vec<PlannedRow>, Vec<HookRun>, Vec<Asked>) {
        (self.context, self.rows, self.hook_runs, self.follow_ups)
    }

    /// The plan as a dry run shows it (SPEC 4), masked.
    pub(super) fn to_value(&self) -> Value {
        let change = &self.context.change;
        let (writes, skipped): (Vec<_>, Vec<_>) = self
            .rows
            .iter()
            .partition(|row| matches!(row.step, Step::Write { .. }));
        let shown = change.new.as_ref().or(change.old.as_ref());
        json!({
            "object": shown.map(|object| self.context.masked(object)),
            "operation": change.kind,
            "writes": writes.into_iter().map(row_value).collect::<Vec<_>>(),
            "skipped": skipped.into_iter().map(row_value).collect::<Vec<_>>(),
        })
    }
}

impl Engine {
    /// Plans an admitted change: reads the targets of all immediate mappings in parallel and
    /// decides what to write. Writes nothing.
    pub(super) async fn plan(&self, admitted: Admitted) -> Plan {
        let Admitted {
            context,
            mut hook_runs,
            follow_ups,
            latest,
            links,
        } = admitted;
        let ground = Ground {
            links: &links,
            admissions: Admissions::default(),
        };
        let mut made = origin_row(&context);
        made.extend(self.rows(&context, &ground).await);
        refuse_second_writes(&mut made);
        let status = made.iter().find_map(|made| made.status);
        let mut rows = Vec::with_capacity(made.len());
        let mut runs = Vec::new();
        for one in made {
            runs.extend(one.runs);
            rows.push(one.row);
        }
        // What the scripts saw of the targets is secret where the rows say so.
        let context = context.hiding(&rows);
        hook_runs.extend(runs.iter().map(|run| report(run, &context.redactor)));
        Plan {
            context,
            rows,
            hook_runs,
            follow_ups,
            latest,
            status,
            held_off: ground.admissions.longest_wait(),
        }
    }

    /// Whether another node has changed the object, or is about to, since planning began: what a
    /// target was found to hold may be its work.
    pub(super) async fn is_outdated(&self, plan: &Plan) -> bool {
        match self.store().admission(&plan.context.change.object).await {
            Ok(now) => now.in_flight.is_some() || now.latest != plan.latest(),
            Err(_) => false,
        }
    }

    async fn rows(&self, context: &Context, ground: &Ground<'_>) -> Vec<Made> {
        let change = &context.change;
        let queued = change.lineage.purpose == Purpose::Queued;
        if change.notified && !queued && is_without_difference(change) {
            return Vec::new();
        }
        let source = Source {
            id: &change.object.id,
            old: change.old.as_ref(),
            new: change.new.as_ref(),
        };
        let surroundings = surroundings(context);
        let reader: Arc<dyn Reader> = Arc::new(HookReader::new(
            self.store().clone(),
            Arc::clone(&context.setup),
        ));
        let scripts = Scripts {
            runtime: &context.setup.scripts,
            reader: Some(&reader),
            context: &surroundings,
            effects: context.effects(),
        };
        let mappings = mappings_of(context).into_iter();
        let made = mappings.map(|mapping| self.mapping(context, mapping, source, scripts, ground));
        join_all(made.map(Box::pin))
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    async fn mapping(
        &self,
        context: &Context,
        mapping: &Mapping,
        source: Source<'_>,
        scripts: Scripts<'_>,
        ground: &Ground<'_>,
    ) -> Vec<Made> {
        let case = |qualifier| Case {
            mapping,
            qualifier,
            source,
            link: None,
            scripts,
        };
        let qualifiers = match mapping::link_qualifiers(mapping, source, scripts).await {
            Ok(qualifiers) => qualifiers,
            Err(failure) => {
                let status = failure.code();
                let mut cause = failure.cause();
                cause.message = context.redactor.text(&cause.message);
                let decision = case(DEFAULT_QUALIFIER).failed(cause);
                return vec![made(decision, Some(status))];
            }
        };
        let Some((target, class)) = context.setup.target(&mapping.target) else {
            let message = format!("{} is not configured", mapping.target);
            let cause = own_cause(CauseKind::Unavailable, 503, message);
            return vec![made(case(DEFAULT_QUALIFIER).failed(cause), Some(503))];
        };
        join_all(qualifiers.iter().map(|qualifier| {
            let link = ground.links.iter().find(|link| {
                link.link_type == mapping.link_type && link.link_qualifier == *qualifier
            });
            self.row_of(
                context,
                Case {
                    link,
                    ..case(qualifier)
                },
                (target, class),
                &ground.admissions,
            )
        }))
        .await
    }

    async fn row_of(
        &self,
        context: &Context,
        case: Case<'_>,
        (target, class): (&Target, &str),
        admissions: &Admissions,
    ) -> Made {
        let prepared = match case.prepare().await {
            Ok(prepared) => prepared,
            Err(decision) => return decided(*decision, &context.redactor),
        };
        let unread = |error: Error| {
            let status = failure_status(error.kind);
            made(case.failed(cause(&error, &context.redactor)), Some(status))
        };
        let admit = || admissions.ask(&case.mapping.target, target);
        let reads = prepared.lookup().id.is_some() || prepared.lookup().candidates.is_some();
        if let Some(error) = reads.then(admit).and_then(Result::err) {
            return unread(error);
        }
        let found = match self.look_up(&prepared, target, class).await {
            Ok(found) => found,
            Err(LookUp::Target(error)) => return unread(error),
            Err(LookUp::Store(error)) => {
                return unread(Error::unavailable(503, error.to_string()).because(error));
            }
        };
        let mut decision = prepared.decide(found).await;
        if let Err(failed) = refine(&case, (target, class), &mut decision).await {
            let (cause, status) = failed.told(&context.redactor);
            decision.row.step = Step::Failed { cause };
            return made(decision, Some(status));
        }
        let writes = matches!(decision.row.step, Step::Write { .. });
        if let Some(error) = writes.then(admit).and_then(Result::err) {
            return unread(error);
        }
        if let Some(id) = decision.unread.clone() {
            match read(target, class, &id).await {
                Ok(None) => {}
                Ok(Some(_)) => decision.taken(),
                Err(error) => return unread(error),
            }
        }
        decided(decision, &context.redactor)
    }

    async fn look_up(
        &self,
        prepared: &mapping::Prepared<'_>,
        target: &Target,
        class: &str,
    ) -> Result<Found, LookUp> {
        let lookup = prepared.lookup();
        let object = match &lookup.id {
            Some(_) if is_only_asked_for(prepared.case(), target, class) => None,
            Some(id) => read_by_id(target, class, id).await?,
            None => None,
        };
        let candidates = match &lookup.candidates {
            Some(Candidates::Query(filter)) => find(target, class, filter).await?,
            Some(Candidates::Ids(ids)) => {
                let reads = join_all(ids.iter().map(|id| read(target, class, id))).await;
                reads
                    .into_iter()
                    .filter_map(Result::transpose)
                    .collect::<Result<_, _>>()?
            }
            None => Vec::new(),
        };
        let mut hits = Vec::with_capacity(candidates.len());
        for object in candidates {
            let case = prepared.case();
            let link = self
                .store()
                .link_of_target(&case.mapping.link_type, case.qualifier, &object.id)
                .await
                .map_err(LookUp::Store)?;
            hits.push(Hit { object, link });
        }
        Ok(Found { object, hits })
    }
}

/// The row of the mapping that the change comes from, which writes nothing more.
fn origin_row(context: &Context) -> Vec<Made> {
    let row = context.origin.iter().map(|row| Made {
        row: PlannedRow::clone(row),
        runs: Vec::new(),
        status: None,
    });
    row.collect()
}

/// Why the targets of a case could not be read.
enum LookUp {
    Target(Error),
    Store(crate::store::Error),
}

impl From<Error> for LookUp {
    fn from(error: Error) -> Self {
        Self::Target(error)
    }
}

fn decided(mut decision: Decision, redactor: &Redactor) -> Made {
    let status = match &mut decision.row.step {
        Step::Failed { cause } => {
            // What a script threw may hold anything that it saw.
            cause.message = redactor.text(&cause.message);
            Some(own_status(&cause.code))
        }
        Step::Write { .. } | Step::Nothing => None,
    };
    made(decision, status)
}

fn made(decision: Decision, status: Option<u16>) -> Made {
    Made {
        row: decision.row,
        runs: decision.runs,
        status,
    }
}

/// The mappings that a change runs: the immediate ones of its object, or the one that was queued.
fn mappings_of(context: &Context) -> Vec<&Arc<Mapping>> {
    let (change, setup) = (&context.change, &context.setup);
    if change.lineage.purpose == Purpose::Queued {
        let queued = queue::mapping_of(setup, &change.lineage, &change.object.container);
        return queued.into_iter().collect();
    }
    let mappings = setup.mappings.iter();
    mappings
        .filter(|mapping| mapping.is_immediate_for(&change.object.container))
        .filter(|mapping| change.lineage.came_from.as_ref() != Some(&mapping.target))
        .collect()
}

/// Fails each row that would write what a row before it writes already: it was planned from what
/// the target holds before either of them.
fn refuse_second_writes(made: &mut [Made]) {
    let mut taken: Vec<(&Container, &str)> = Vec::with_capacity(made.len());
    let mut second = Vec::new();
    for (index, one) in made.iter().enumerate() {
        let Step::Write { write } = &one.row.step else {
            continue;
        };
        let (new, old) = ids(write);
        let own: Vec<_> = new
            .into_iter()
            .chain(old)
            .map(|id| (&one.row.target, id))
            .collect();
        match own.iter().find(|place| taken.contains(place)) {
            Some((target, id)) => second.push((index, format!("{target}/{id}"))),
            None => taken.extend(own),
        }
    }
    for (index, object) in second {
        if let Some(one) = made.get_mut(index) {
            let message = format!("another mapping of this change writes {object} already");
            let cause = own_cause(CauseKind::Refused, 409, message);
            one.row.step = Step::Failed { cause };
            one.status = Some(409);
        }
    }
}

/// The status of a decision's own failure: its code where that is an HTTP status.
fn own_status(code: &Value) -> u16 {
    code.as_u64()
        .and_then(|code| u16::try_from(code).ok())
        .filter(|code| (400..600).contains(code))
        .unwrap_or(409)
}

fn is_without_difference(change: &Change) -> bool {
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => same_record(old, new),
        _ => false,
    }
}

fn report(run: &ScriptRun, redactor: &Redactor) -> HookRun {
    HookRun {
        hook: run.hook.clone(),
        name: run.script.name.to_string(),
        digest: run.script.digest.to_string(),
        verdict: if run.failure.is_some() {
            "error"
        } else {
            "accept"
        }
        .to_owned(),
        error: run
            .failure
            .as_ref()
            .map(|failure| redactor.text(&failure.to_string())),
        compensating: false,
        log: run
            .log
            .iter()
            .map(|line| format!("{}: {}", line.level, redactor.text(&line.message)))
            .collect(),
        duration_ms: u64::try_from(run.duration.as_millis()).unwrap_or(u64::MAX),
        duration_micros: u64::try_from(run.duration.as_micros()).unwrap_or(u64::MAX),
        operations: run.operations,
        kept: sealed(run.kept.as_deref().cloned(), redactor),
    }
}

fn row_value(row: &PlannedRow) -> Value {
    let hide = |object: Object| masked(object, row.confidential.iter().map(String::as_str));
    let mut value = json!({
        "mapping": row.mapping,
        "linkQualifier": row.link_qualifier,
        "situation": row.situation,
        "action": row.action,
        "target": row.target.to_string(),
        "targetId": row.target_id,
    });
    let Some(members) = value.as_object_mut() else {
        return value;
    };
    match &row.step {
        Step::Write { write } => {
            members.insert("operation".into(), json!(write.operation()));
            members.insert("before".into(), json!(write.before().map(hide)));
            members.insert("after".into(), json!(write.after().map(hide)));
        }
        Step::Nothing => {
            members.insert("reason".into(), json!("nothing to write"));
        }
        Step::Failed { cause } => {
            members.insert("cause".into(), json!(cause));
        }
    }
    value
}
