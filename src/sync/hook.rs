//! Runs one hook of a change, and keeps what the record and the audit say about it.
use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    clock::Clock,
    hooks::{Reader, Run, Script, Variable, Variables},
    managed::HookPoint,
    model::{
        Object, OperationRecord,
        hook_run::{Kept, KeptRun},
        record::HookRun,
        secret::Redactor,
    },
};

use super::{Engine, change::Context};

/// What every hook of a change sees beside its objects.
pub(super) fn common(context: &Context) -> Variables {
    let change = &context.change;
    vec![
        (
            "resourceName",
            Variable::Constant(json!(change.object.to_string())),
        ),
        ("request", Variable::Constant(change.request.clone())),
        ("context", Variable::Constant(surroundings(context))),
    ]
}

/// An object, or `()`.
pub(super) fn constant(object: Option<&Object>) -> Variable {
    Variable::Constant(object.cloned().map_or(Value::Null, Value::Object))
}

pub(super) fn surroundings(context: &Context) -> Value {
    let change = &context.change;
    let replayed = change.request.pointer("/additionalParameters/replayed");
    json!({
        "replayed": replayed == Some(&Value::Bool(true)),
        "caller": change.caller,
        "transactionId": change.transaction_id,
        "operation": change.id,
        "root": change.lineage.root,
        "depth": change.lineage.depth,
    })
}

impl Engine {
    /// Runs the hook at `point`, if the type has one there.
    pub(super) async fn hook(
        &self,
        context: &Context,
        point: HookPoint,
        variables: impl Fn() -> Variables,
    ) -> Option<(Run, HookRun)> {
        if point == HookPoint::OnSync && context.is_reconciliation() {
            // The object does not change: there is nothing that a hook could take back.
            return None;
        }
        let script = context.managed.as_ref()?.hooks.get(&point)?;
        let all = || {
            let mut all = variables();
            all.extend(common(context));
            all
        };
        let place = format!("{}/{}", context.change.object.container, point.key());
        let reader = Some(self.reader_in(context));
        let scripts = &context.setup.scripts;
        let keep = scripts.keeper().begin(&place);
        let (run, keeping) = scripts
            .run_keeping((&place, keep), script, all(), reader)
            .await;
        let kept = keeping.and_then(|keeping| {
            let again = keeping.lacks_variables().then(all);
            keeping.kept(script, &run, again.as_ref())
        });
        let report = report(point.key(), script, &run, kept, &context.redactor);
        write_log(&report);
        metrics::counter!("recant_hook_runs_total", "hook" => point.key(), "verdict" => run.verdict_word())
            .increment(1);
        Some((run, report))
    }

    fn reader_in(&self, context: &Context) -> Arc<dyn Reader> {
        Arc::new(super::reader::HookReader::new(
            self.store().clone(),
            Arc::clone(&context.setup),
        ))
    }
}

/// Puts the lines that a hook logged into the server's log, under the span of its change.
fn write_log(report: &HookRun) {
    let (hook, script) = (report.hook.as_str(), report.name.as_str());
    for line in &report.log {
        match line.split_once(": ") {
            Some(("debug", text)) => tracing::debug!(hook, script, "{text}"),
            Some(("warn", text)) => tracing::warn!(hook, script, "{text}"),
            Some(("error", text)) => tracing::error!(hook, script, "{text}"),
            Some((_, text)) => tracing::info!(hook, script, "{text}"),
            None => {}
        }
    }
}

/// What the record says about a run.
fn report(
    hook: &str,
    script: &Script,
    run: &Run,
    kept: Option<Kept>,
    redactor: &Redactor,
) -> HookRun {
    HookRun {
        hook: hook.to_owned(),
        name: script.name.to_string(),
        digest: script.digest.to_string(),
        verdict: run.verdict_word().to_owned(),
        error: run
            .result
            .as_ref()
            .err()
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
        kept: sealed(kept, redactor),
    }
}

/// A kept run together with what is confidential in it.
pub(super) fn sealed(kept: Option<Kept>, redactor: &Redactor) -> Option<Arc<Kept>> {
    kept.map(|kept| {
        Arc::new(Kept {
            secrets: redactor.secrets().to_vec(),
            ..kept
        })
    })
}

/// The runs of a change that has ended, as far as they are kept.
pub(super) fn kept_runs(clock: &dyn Clock, record: &OperationRecord) -> Vec<KeptRun> {
    let runs = record.hook_runs.iter();
    runs.filter_map(|run| run.kept.as_ref())
        .map(|run| KeptRun {
            id: clock.fresh_id().to_string(),
            operation: record.id,
            object: record.object.clone(),
            run: Arc::clone(run),
        })
        .collect()
}
