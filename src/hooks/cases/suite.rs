//! Runs the cases of a script and tells which hold.
use serde::Serialize;

use super::{Bench, Case, CaseFile, Difference};
use crate::{
    hooks::{CompileError, Script},
    model::Object,
};

/// What came of one case.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// The case.
    pub name: String,
    /// Whether everything was as expected.
    pub passed: bool,
    /// Where it was not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// Why it could not be run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What it read and the case does not answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<String>,
    /// What it logged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// How many operations it took.
    pub operations: u64,
    /// How long it ran, in microseconds.
    pub duration_micros: u64,
}

/// A script that cases are run on.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its name in messages.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// Runs every case of a file; `globals` gives the variables of the configuration for a case.
///
/// # Errors
/// The script does not compile.
pub async fn check(
    bench: &Bench,
    subject: Subject<'_>,
    file: &CaseFile,
    globals: impl Fn(&Case) -> Object,
) -> Result<Vec<Checked>, CompileError> {
    let mut checked = Vec::with_capacity(file.cases.len());
    for case in &file.cases {
        let mut known = globals(case);
        known.extend(case.globals.clone());
        let script = bench.compile(subject.name, subject.text, known)?;
        checked.push(check_one(bench, &script, case).await);
    }
    Ok(checked)
}

async fn check_one(bench: &Bench, script: &Script, case: &Case) -> Checked {
    let mut checked = Checked {
        name: case.name.clone(),
        passed: false,
        differences: Vec::new(),
        problem: None,
        unanswered: Vec::new(),
        log: Vec::new(),
        operations: 0,
        duration_micros: 0,
    };
    match bench.run(script, &case.inputs(), case.now).await {
        Err(problem) => checked.problem = Some(problem),
        Ok((run, answers)) => {
            let ended = run.ended();
            checked.differences = case.expect.differences(&ended);
            checked.passed = checked.differences.is_empty();
            checked.unanswered = answers.missing();
            checked.log = ended.log;
            checked.operations = run.operations;
            checked.duration_micros = u64::try_from(run.duration.as_micros()).unwrap_or(u64::MAX);
        }
    }
    checked
}
