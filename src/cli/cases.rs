//! `recant hooks test`, `backtest`, `record` and `runs`: cases of scripts, and what their runs were given.
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{
    hooks::{files_in, found, read},
    output::{Exit, Failure, Output, Result, Tone},
    service::Service,
    table::{Table, short, text_at, time},
};
use crate::{
    config::{self, Configuration},
    hooks::{
        Limits, Runtime,
        cases::{Bench, Case, CaseFile, Checked, Subject, check},
    },
    model::Object,
};

/// How files of cases end.
const CASES: &str = ".cases.json";
const SCRIPT: &str = ".rhai";

/// A changed script that is to be run on kept runs.
#[derive(Debug, Default)]
pub struct Backtest<'a> {
    /// The name of the script that it is to replace.
    pub name: String,
    /// Its text.
    pub source: String,
    /// How many runs at most.
    pub against: u64,
    /// Only runs of this hook.
    pub hook: Option<&'a str>,
}

/// Runs the cases of the folder and prints those that do not hold.
///
/// # Errors
/// A file cannot be read.
pub async fn test(
    folder: &Path,
    files: &[PathBuf],
    only: Option<&str>,
    output: &mut Output,
) -> Result {
    let hooks = folder.join("hooks");
    let files = match files {
        [] => files_in(&hooks, CASES)?,
        named => named.iter().map(|file| cases_of(&hooks, file)).collect(),
    };
    let configuration = config::load(
        folder,
        &|limits| Runtime::new(limits.clone()),
        &config::process_environment,
    )
    .configuration;
    let limits = configuration
        .as_ref()
        .map_or_else(Limits::default, |known| known.limits.clone());
    let testing = Testing {
        hooks: &hooks,
        bench: Bench::new(limits),
        configuration: configuration.as_ref(),
        only,
    };
    let mut reports = Vec::new();
    for file in &files {
        reports.push(testing.file(file).await?);
    }
    print_reports(&reports, output)
}

struct Testing<'a> {
    hooks: &'a Path,
    bench: Bench,
    configuration: Option<&'a Configuration>,
    only: Option<&'a str>,
}

/// What came of one file of cases.
struct Report {
    file: PathBuf,
    script: String,
    /// Why none of its cases could be run.
    problem: Option<String>,
    checked: Vec<Checked>,
}

impl Testing<'_> {
    async fn file(&self, file: &Path) -> Result<Report> {
        let mut report = Report {
            file: file.to_owned(),
            script: String::new(),
            problem: None,
            checked: Vec::new(),
        };
        let mut cases = match CaseFile::read(&read(file)?) {
            Ok(cases) => cases,
            Err(problem) => {
                report.problem = Some(problem);
                return Ok(report);
            }
        };
        if let Some(only) = self.only {
            cases.cases.retain(|case| case.name.contains(only));
        }
        let Some((name, text)) = self.script(file, &cases) else {
            report.problem = Some(format!(
                "there is no script for it: name one in `script`, or put {} beside it",
                stem(file) + SCRIPT
            ));
            return Ok(report);
        };
        let subject = Subject {
            name: &name,
            text: &text,
        };
        let globals = |case: &Case| self.globals(&name, case);
        match check(&self.bench, subject, &cases, globals).await {
            Ok(checked) => report.checked = checked,
            Err(error) => {
                report.problem = Some(format!(
                    "{name}:{}:{}: {}",
                    error.line, error.column, error.message
                ));
            }
        }
        report.script = name;
        Ok(report)
    }

    /// Name and text of the script: the file that is named, or beside the cases; or one that stands
    /// in the configuration.
    fn script(&self, file: &Path, cases: &CaseFile) -> Option<(String, String)> {
        let named = cases.script.as_ref().map(|name| self.hooks.join(name));
        let beside = || file.with_file_name(stem(file) + SCRIPT);
        let path = named.unwrap_or_else(beside);
        if let Ok(text) = std::fs::read_to_string(&path) {
            let name = path.strip_prefix(self.hooks).unwrap_or(&path);
            return Some((name.display().to_string(), text));
        }
        let hook = cases.cases.iter().find_map(|case| case.hook.as_deref())?;
        let places = self.configuration?.hooks_by_place();
        let script = places.get(hook)?;
        Some((script.name.to_string(), script.text.to_string()))
    }

    fn globals(&self, script: &str, case: &Case) -> Object {
        self.configuration
            .map(|known| known.globals_of(script, case.hook.as_deref()))
            .unwrap_or_default()
    }
}

/// A file's name without `.cases.json` or `.rhai`.
fn stem(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(CASES).unwrap_or(&name);
    name.strip_suffix(SCRIPT).unwrap_or(name).to_owned()
}

/// The cases of what is named: a file of cases, or a script.
fn cases_of(hooks: &Path, file: &Path) -> PathBuf {
    let file = if file.to_string_lossy().ends_with(CASES) {
        file.to_owned()
    } else {
        file.with_file_name(stem(file) + CASES)
    };
    found(hooks, &file)
}

fn print_reports(reports: &[Report], output: &mut Output) -> Result {
    let cases: usize = reports.iter().map(|report| report.checked.len()).sum();
    let failed = |report: &Report| report.checked.iter().filter(|one| !one.passed).count();
    let failures: usize = reports.iter().map(failed).sum();
    let problems = reports.iter().filter(|one| one.problem.is_some()).count();
    if output.is_json() {
        let files: Vec<Value> = reports.iter().map(to_json).collect();
        output.json(&json!({
            "cases": cases, "passed": cases - failures, "failed": failures,
            "problems": problems, "files": files,
        }))?;
    } else {
        for report in reports {
            print_report(report, output)?;
        }
        let held = output.tint(Tone::Good, format!("{} passed", cases - failures));
        let tone = if failures + problems == 0 {
            Tone::Faint
        } else {
            Tone::Bad
        };
        let broken = output.tint(tone, format!("{failures} failed"));
        let files = match reports.len() {
            1 => "1 file".to_owned(),
            count => format!("{count} files"),
        };
        output.line(format!("{held}, {broken}, in {files}"))?;
        if reports.is_empty() {
            output.line(
                "cases stand in hooks/NAME.cases.json; `recant hooks record OPERATION` makes them of \
                 what a hook did",
            )?;
        }
    }
    Ok(if failures + problems == 0 {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn to_json(report: &Report) -> Value {
    json!({
        "file": report.file, "script": report.script,
        "problem": report.problem, "results": report.checked,
    })
}

fn print_report(report: &Report, output: &mut Output) -> Result<()> {
    let file = report.file.display();
    if let Some(problem) = &report.problem {
        let word = output.tint(Tone::Bad, "error");
        return output.line(format!("{word} {file}: {problem}"));
    }
    for one in report.checked.iter().filter(|one| !one.passed) {
        let word = output.tint(Tone::Bad, "FAILED");
        output.line(format!("{word} {file}: {}", one.name))?;
        if let Some(problem) = &one.problem {
            output.line(format!("    {problem}"))?;
        }
        for difference in &one.differences {
            let place = output.tint(Tone::Strong, &difference.place);
            output.line(format!("    {place}"))?;
            let said = |value: &Option<Value>| {
                value
                    .as_ref()
                    .map_or_else(|| "nothing".to_owned(), ToString::to_string)
            };
            let expected = output.tint(Tone::Good, said(&difference.expected));
            let found = output.tint(Tone::Bad, said(&difference.found));
            output.line(format!("      expected  {expected}"))?;
            output.line(format!("      found     {found}"))?;
        }
        for asked in &one.unanswered {
            output.line(format!("    {asked} has no answer in `reads`"))?;
        }
        for line in &one.log {
            output.line(output.tint(Tone::Faint, format!("    log  {line}")))?;
        }
    }
    Ok(())
}

/// What a run took: `0.3 ms, 120 operations`.
pub fn cost(run: &Value) -> String {
    let number = |name: &str| run.get(name).and_then(Value::as_u64).unwrap_or_default();
    let micros = number("durationMicros");
    format!(
        "{}.{:02} ms, {} operations",
        micros / 1_000,
        micros % 1_000 / 10,
        number("operations")
    )
}

/// A changed script with the name of the one that it is to replace.
///
/// # Errors
/// It cannot be read.
pub fn changed<'a>(folder: &Path, file: &Path, name: Option<&str>) -> Result<Backtest<'a>> {
    let hooks = folder.join("hooks");
    let path = found(&hooks, file);
    let inside = path.strip_prefix(&hooks).unwrap_or_else(|_| {
        let name = path.file_name().unwrap_or_default();
        Path::new(name)
    });
    Ok(Backtest {
        name: name.map_or_else(|| inside.display().to_string(), str::to_owned),
        source: read(&path)?,
        ..Backtest::default()
    })
}

/// Runs a changed script on kept runs and prints where it would decide otherwise.
///
/// # Errors
/// It does not compile.
pub async fn backtest(service: &dyn Service, asked: &Backtest<'_>, output: &mut Output) -> Result {
    let question = json!({
        "type": "text/rhai", "file": asked.name, "source": asked.source,
        "against": asked.against, "hook": asked.hook,
    });
    let answer = service.ask_script("backtest", &question).await?;
    let number = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or_default();
    if output.is_json() {
        output.json(&answer)?;
    } else {
        let results = answer.get("results").and_then(Value::as_array);
        for run in results.into_iter().flatten() {
            print_compared(run, output)?;
        }
        if number("runs") == 0 {
            output.line(format!(
                "no run of {} is kept: [hooks] keep_runs says how many are, and changes make them",
                asked.name
            ))?;
        } else {
            output.line(format!(
                "{} runs: {} as before, {} otherwise, {} cannot be told",
                number("runs"),
                output.tint(Tone::Good, number("same").to_string()),
                output.tint(Tone::Bad, number("different").to_string()),
                output.tint(Tone::Warn, number("unknown").to_string()),
            ))?;
        }
    }
    Ok(if number("different") + number("unknown") == 0 {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn print_compared(run: &Value, output: &mut Output) -> Result<()> {
    let place = output.tint(Tone::Strong, text_at(run, "/hook"));
    output.line(format!(
        "{place} {} at {} (operation {})",
        text_at(run, "/object"),
        time(text_at(run, "/at")),
        text_at(run, "/operation")
    ))?;
    if let Some(why) = run.get("unknown").and_then(Value::as_str) {
        let word = output.tint(Tone::Warn, "cannot be told");
        output.line(format!("    {word}: {why}"))?;
    }
    let places = run.get("differences").and_then(Value::as_array);
    for difference in places.into_iter().flatten() {
        let said = |name: &str| match difference.get(name) {
            None | Some(Value::Null) => "nothing".to_owned(),
            Some(value) => value.to_string(),
        };
        output.line(format!(
            "    {}: {} before, {} now",
            text_at(difference, "/place"),
            output.tint(Tone::Good, said("before")),
            output.tint(Tone::Bad, said("after")),
        ))?;
    }
    Ok(())
}

/// Prints kept runs.
///
/// # Errors
/// The store cannot be read.
pub async fn runs(
    service: &dyn Service,
    wanted: &[(&str, &Option<String>)],
    limit: u64,
    output: &mut Output,
) -> Result {
    let mut parameters = vec![("limit", limit.to_string())];
    for (name, value) in wanted {
        parameters.extend(value.iter().map(|value| (*name, value.clone())));
    }
    let runs = service.hook_runs(&parameters).await?;
    if output.is_json() {
        output.json(&json!({"result": runs}))?;
        return Ok(Exit::Done);
    }
    let headings = [
        "time",
        "hook",
        "script",
        "object",
        "verdict",
        "took",
        "operation",
    ];
    let mut table = Table::new(output, &headings);
    for run in &runs {
        let verdict = text_at(run, "/verdict");
        table.row([
            (Tone::Normal, time(text_at(run, "/at"))),
            (Tone::Normal, text_at(run, "/hook").to_owned()),
            (Tone::Normal, text_at(run, "/script").to_owned()),
            (Tone::Normal, text_at(run, "/object").to_owned()),
            (Tone::of(verdict), verdict.to_owned()),
            (Tone::Faint, cost(run)),
            (Tone::Faint, short(run.get("operation"))),
        ]);
    }
    table.print(output, 0)?;
    Ok(Exit::Done)
}

/// A case made of a kept run, and the file that it belongs to.
pub struct Recorded {
    file: String,
    script: String,
    case: Case,
}

/// The kept runs of a change as cases.
///
/// # Errors
/// None was kept.
pub async fn recorded(
    service: &dyn Service,
    wanted: &Value,
    name: Option<&str>,
) -> Result<Vec<Recorded>> {
    let answer = service.ask_script("record", wanted).await?;
    let results = answer.get("result").and_then(Value::as_array);
    let mut recorded = Vec::new();
    for one in results.into_iter().flatten() {
        let case = one.get("case").cloned().unwrap_or_default();
        let mut case: Case = serde_json::from_value(case)
            .map_err(|error| Failure::Other(format!("the case cannot be read: {error}")))?;
        if let Some(name) = name {
            name.clone_into(&mut case.name);
        }
        recorded.push(Recorded {
            file: text_at(one, "/file").to_owned(),
            script: text_at(one, "/script").to_owned(),
            case,
        });
    }
    Ok(recorded)
}

/// Prints cases as they would be written.
///
/// # Errors
/// The writer's.
pub fn print(recorded: &[Recorded], output: &mut Output) -> Result {
    let cases: Vec<&Case> = recorded.iter().map(|one| &one.case).collect();
    output.json(&json!({"cases": cases}))?;
    Ok(Exit::Done)
}

/// Adds cases to the files beside their scripts.
///
/// # Errors
/// A file cannot be read or written.
pub fn write(folder: &Path, recorded: &[Recorded], output: &mut Output) -> Result {
    let mut files = Vec::new();
    for one in recorded {
        let inside = Path::new(&one.file);
        if inside.components().count() != 1 || !one.file.ends_with(CASES) {
            return Err(Failure::Other(format!(
                "`{}` is no file of cases",
                one.file
            )));
        }
        let path = folder.join("hooks").join(inside);
        let mut cases = match path.exists() {
            true => CaseFile::read(&read(&path)?)
                .map_err(|error| Failure::Other(format!("{}: {error}", path.display())))?,
            // A script elsewhere than beside its cases is named in them.
            false => CaseFile {
                script: (one.script.ends_with(SCRIPT) && stem(inside) + SCRIPT != one.script)
                    .then(|| one.script.clone()),
                ..CaseFile::default()
            },
        };
        cases.cases.push(one.case.clone());
        std::fs::write(&path, cases.text()).map_err(|error| {
            Failure::Other(format!("{} cannot be written: {error}", path.display()))
        })?;
        if !output.is_json() {
            output.line(format!("{}: {}", path.display(), one.case.name))?;
        }
        files.push(path);
    }
    if output.is_json() {
        output.json(&json!({"files": files}))?;
    }
    Ok(Exit::Done)
}
