//! Cases of hooks: kept runs as cases, cases run, and a changed script run on what was kept.
//!
//! Nothing that a script asks for here is carried out, and whatever leaves is masked.
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    hooks::{
        CompileError, Script,
        cases::{Bench, Case, CaseFile, Subject, check, differences},
    },
    model::{
        Object, OperationId,
        hook_run::{Ended, Kept, KeptRun},
        secret::Redactor,
    },
    store::RunSearch,
};

use super::{App, Error, scripts::not_compiled};

/// How many kept runs a changed script is run on if nobody says.
const AGAINST: u64 = 100;
/// Most runs that one question is about.
const MOST: u64 = 1_000;
/// How long a back-test may take before it stops where it is.
const PATIENCE: Duration = Duration::from_secs(30);

impl App {
    /// Kept runs of hooks, newest first: `{_id, hook, script, digest, operation, object, verdict, at,
    /// durationMicros, operations, error, log}`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn hook_runs(&self, search: &RunSearch) -> Result<Vec<Value>, Error> {
        let limit = search.limit.clamp(1, MOST);
        let search = RunSearch {
            limit,
            ..search.clone()
        };
        let runs = self.store().hook_runs(&search).await?;
        Ok(runs.iter().map(|run| self.summary(run)).collect())
    }

    /// The kept runs of a change as cases: `{file, script, case}` each, `file` being where it belongs
    /// in the folder `hooks`. `hook` (`onSync`, or whole: `managed/user/onSync`) picks some.
    ///
    /// # Errors
    /// 404 where none was kept.
    pub async fn record_cases(
        &self,
        operation: OperationId,
        hook: Option<&str>,
    ) -> Result<Vec<Value>, Error> {
        let search = RunSearch {
            operation: Some(operation.to_string()),
            limit: MOST,
            ..RunSearch::default()
        };
        let mut runs = self.store().hook_runs(&search).await?;
        runs.reverse();
        let is_meant = |run: &KeptRun| {
            hook.is_none_or(|hook| {
                run.run.hook == hook || run.run.hook.ends_with(&format!("/{hook}"))
            })
        };
        runs.retain(is_meant);
        if runs.is_empty() {
            return Err(Error::missing(format!(
                "kept run of {} for operation {operation}: of runs that follow quickly on each \
                 other only some are kept, of each hook the last [hooks] keep_runs, and none that is \
                 larger than 256 KiB",
                hook.map_or_else(|| "a hook".to_owned(), |hook| format!("`{hook}`"))
            )));
        }
        Ok(runs.iter().map(|run| self.case(run)).collect())
    }

    /// Runs the cases of a script: `{file, source}`, the text in force where `source` is left out,
    /// on `cases` or on the folder's `hooks/NAME.cases.json`. Gives `{script, cases, passed,
    /// results}`.
    ///
    /// # Errors
    /// 400 for a script or cases that cannot be read, 404 where there are none.
    pub async fn test_cases(&self, asked: &Value) -> Result<Value, Error> {
        let name = file_of(asked)?;
        let text = self.text_of(asked, name)?;
        let file = match asked.get("cases") {
            None | Some(Value::Null) => self.cases_in_folder(name)?,
            Some(cases) => CaseFile::read(&cases.to_string())
                .map_err(|error| Error::new(400, format!("/cases: {error}")))?,
        };
        let configuration = self.configuration();
        let bench = Bench::new(configuration.runtime.limits().clone());
        let subject = Subject { name, text: &text };
        let globals = |case: &Case| configuration.globals_of(name, case.hook.as_deref());
        let results = check(&bench, subject, &file, globals)
            .await
            .map_err(|error| not_compiled(&error))?;
        let passed = results.iter().filter(|one| one.passed).count();
        Ok(json!({"script": name, "cases": results.len(), "passed": passed, "results": results}))
    }

    /// Runs a changed script on the last kept runs of it, and says where it would have decided
    /// otherwise: `{file, source, hook, against}` in; `{script, digest, runs, same, different,
    /// unknown, stopped, results}` out, `results` being the runs that differ or of which it cannot
    /// be told. Nothing is carried out.
    ///
    /// # Errors
    /// 400 for a script that does not compile.
    pub async fn backtest(&self, asked: &Value) -> Result<Value, Error> {
        let name = file_of(asked)?;
        let text = self.text_of(asked, name)?;
        let against = asked.get("against").and_then(Value::as_u64);
        let search = RunSearch {
            script: Some(name.to_owned()),
            hook: text_at(asked, "hook").map(str::to_owned),
            limit: against.unwrap_or(AGAINST).clamp(1, MOST),
            ..RunSearch::default()
        };
        let configuration = self.configuration();
        let mut comparing = Comparing {
            bench: Bench::new(configuration.runtime.limits().clone()),
            text: &text,
            compiled: HashMap::new(),
            in_force: configuration.hooks_by_place(),
            name,
        };
        // A script that is wrong is told even where nothing was kept.
        let checked = comparing
            .bench
            .compile(name, &text, configuration.globals_of(name, None))
            .map_err(|error| not_compiled(&error))?;
        let deadline = Instant::now() + PATIENCE;
        let mut tally = BTreeMap::from([("same", 0), ("different", 0), ("unknown", 0)]);
        let (mut results, mut stopped) = (Vec::new(), false);
        for run in self.store().hook_runs(&search).await? {
            if Instant::now() >= deadline {
                stopped = true;
                break;
            }
            // A script could take a secret apart and tell it in pieces: none ever sees one.
            let compared = comparing.compare(&self.masked(&run)).await;
            let compared = compared.map_err(|error| not_compiled(&error))?;
            if let Some(count) = tally.get_mut(compared.word()) {
                *count += 1;
            }
            results.extend(compared.told(self.summary(&run), &self.redactor(&run)));
        }
        let runs: i32 = tally.values().sum();
        Ok(json!({
            "script": name,
            "digest": checked.digest.as_ref(),
            "runs": runs,
            "same": tally.get("same"),
            "different": tally.get("different"),
            "unknown": tally.get("unknown"),
            "stopped": stopped,
            "results": results,
        }))
    }

    pub(super) fn case(&self, kept: &KeptRun) -> Value {
        let run = self.masked(kept);
        let name = format!(
            "{} of {} {}",
            run.hook,
            kept.object,
            match run.ended.verdict.as_str() {
                "accept" => "is accepted",
                "reject" => "is refused",
                "revert" => "is taken back",
                _ => "fails",
            }
        );
        let stem = run.script.trim_end_matches(".rhai").replace('/', ".");
        let file = format!("{stem}.cases.json");
        let case = Case::of(&run, name, kept.operation.to_string());
        json!({"file": file, "script": run.script, "case": case})
    }

    fn summary(&self, kept: &KeptRun) -> Value {
        let run = &kept.run;
        let redactor = self.redactor(kept);
        json!({
            "_id": kept.id,
            "hook": run.hook,
            "script": run.script,
            "digest": run.digest,
            "operation": kept.operation,
            "object": kept.object.to_string(),
            "at": run.at,
            "verdict": run.ended.verdict,
            "durationMicros": run.micros,
            "operations": run.operations,
            "error": run.ended.error.as_deref().map(|error| redactor.text(error)),
            "log": redactor.value(&json!(run.ended.log)),
        })
    }

    /// What is confidential in a kept run: what was when it was kept, and what has become so since.
    fn redactor(&self, kept: &KeptRun) -> Redactor {
        let run = &kept.run;
        let configuration = self.configuration();
        let names: Vec<&String> = configuration
            .types
            .values()
            .flat_map(|managed| &managed.confidential)
            .collect();
        let objects = run
            .inputs
            .variables
            .values()
            .chain(run.ended.changed.values());
        let objects: Vec<&Object> = objects.filter_map(Value::as_object).collect();
        let values = objects
            .iter()
            .flat_map(|object| names.iter().filter_map(|name| object.get(*name)));
        Redactor::of_texts(run.secrets.iter().cloned()).and(values)
    }

    fn masked(&self, kept: &KeptRun) -> Kept {
        let redactor = self.redactor(kept);
        let mut run = Kept::clone(&kept.run);
        run.secrets.clear();
        run.inputs.variables = masked_members(&redactor, &run.inputs.variables);
        for read in &mut run.inputs.reads {
            read.answer = redactor.value(&read.answer);
            read.error = read.error.as_deref().map(|error| redactor.text(error));
        }
        run.ended = masked_end(&redactor, &run.ended);
        run
    }

    fn text_of(&self, asked: &Value, name: &str) -> Result<String, Error> {
        if let Some(source) = text_at(asked, "source") {
            return Ok(source.to_owned());
        }
        let configuration = self.configuration();
        let script = configuration.scripts.get(name);
        let in_place = || configuration.hooks_by_place().get(name).copied().cloned();
        let script = script.cloned().or_else(in_place);
        script
            .map(|script| script.text.to_string())
            .ok_or_else(|| Error::missing(format!("script {name}")))
    }

    fn cases_in_folder(&self, name: &str) -> Result<CaseFile, Error> {
        let configuration = self.configuration();
        if !configuration.scripts.contains_key(name) {
            return Err(Error::missing(format!("script {name}")));
        }
        let file = format!("{}.cases.json", name.trim_end_matches(".rhai"));
        let path = configuration.folder.join("hooks").join(&file);
        let text = std::fs::read_to_string(path)
            .map_err(|_| Error::missing(format!("file hooks/{file}")))?;
        CaseFile::read(&text).map_err(|error| Error::new(400, format!("hooks/{file}: {error}")))
    }
}

/// A script that is run on what another one was run on.
struct Comparing<'a> {
    bench: Bench,
    name: &'a str,
    text: &'a str,
    /// The new and the old script, by hook: each has variables of its own.
    compiled: HashMap<String, (Script, Option<Script>)>,
    in_force: BTreeMap<String, &'a Script>,
}

enum Compared {
    Same,
    Different(Box<(Ended, Ended)>),
    Unknown(String),
}

impl Comparing<'_> {
    async fn compare(&mut self, run: &Kept) -> Result<Compared, CompileError> {
        let (new, old) = self.scripts(run)?;
        let ended = match self.bench.run(&new, &run.inputs, Some(run.at)).await {
            Err(problem) => return Ok(Compared::Unknown(problem)),
            Ok((after, answers)) => match answers.missing().first() {
                Some(asked) => {
                    let why = format!("it asks {asked}, which the kept run did not");
                    return Ok(Compared::Unknown(why));
                }
                None => after.ended(),
            },
        };
        if differences(&run.ended, &ended).is_empty() {
            return Ok(Compared::Same);
        }
        // What takes the time or a fresh id gives something else each time: both are run here then.
        // So does what decided by a secret, which is masked here.
        let before = match old {
            Some(old) => match self.bench.run(&old, &run.inputs, Some(run.at)).await {
                Ok((before, _)) => before.ended(),
                Err(_) => run.ended.clone(),
            },
            None => run.ended.clone(),
        };
        if differences(&before, &ended).is_empty() {
            return Ok(Compared::Same);
        }
        Ok(Compared::Different(Box::new((before, ended))))
    }

    fn scripts(&mut self, run: &Kept) -> Result<(Script, Option<Script>), CompileError> {
        if let Some(known) = self.compiled.get(&run.hook) {
            return Ok(known.clone());
        }
        let old = self.in_force.get(&run.hook).copied();
        let globals = old.map_or_else(Object::new, |old| Object::clone(&old.globals));
        let new = self.bench.compile(self.name, self.text, globals.clone())?;
        let same = old.filter(|old| *old.digest == *run.digest);
        let old = same.and_then(|old| self.bench.compile(&old.name, &old.text, globals).ok());
        let pair = (new, old);
        self.compiled.insert(run.hook.clone(), pair.clone());
        Ok(pair)
    }
}

impl Compared {
    fn word(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Different(..) => "different",
            Self::Unknown(_) => "unknown",
        }
    }

    /// The run with what would have been otherwise; none where nothing would.
    fn told(self, summary: Value, redactor: &Redactor) -> Option<Value> {
        let mut told = summary;
        let members = told.as_object_mut()?;
        match self {
            Self::Same => return None,
            Self::Unknown(why) => {
                members.insert("unknown".into(), json!(redactor.text(&why)));
            }
            Self::Different(both) => {
                let (before, after) = *both;
                let places = differences(&before, &after).into_iter().map(|mut one| {
                    one.expected = one.expected.map(|value| redactor.value(&value));
                    one.found = one.found.map(|value| redactor.value(&value));
                    json!({"place": one.place, "before": one.expected, "after": one.found})
                });
                members.insert("differences".into(), places.collect());
                members.insert("before".into(), json!(masked_end(redactor, &before)));
                members.insert("after".into(), json!(masked_end(redactor, &after)));
            }
        }
        Some(told)
    }
}

fn masked_members(redactor: &Redactor, members: &Object) -> Object {
    let members = members.iter();
    members
        .map(|(name, value)| (name.clone(), redactor.value(value)))
        .collect()
}

fn masked_end(redactor: &Redactor, ended: &Ended) -> Ended {
    Ended {
        verdict: ended.verdict.clone(),
        result: redactor.value(&ended.result),
        throws: ended.throws.as_ref().map(|thrown| redactor.value(thrown)),
        error: ended.error.as_deref().map(|error| redactor.text(error)),
        asks: ended
            .asks
            .iter()
            .map(|asked| redactor.value(asked))
            .collect(),
        changed: masked_members(redactor, &ended.changed),
        log: ended.log.iter().map(|line| redactor.text(line)).collect(),
    }
}

fn text_at<'a>(asked: &'a Value, name: &str) -> Option<&'a str> {
    asked.get(name).and_then(Value::as_str)
}

fn file_of(asked: &Value) -> Result<&str, Error> {
    text_at(asked, "file")
        .filter(|file| !file.is_empty())
        .ok_or_else(|| {
            Error::new(
                400,
                "/file: expected the name of a script, such as \"compensate.rhai\"",
            )
        })
}
