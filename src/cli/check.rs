//! `recant check`: every problem of the project folder, one line each.
use std::path::Path;

use super::output::{Exit, Output, Result, Tone};
use crate::{
    config::{self, Problem},
    hooks::Runtime,
};

/// Prints every problem of the folder. It needs no store and no target.
///
/// # Errors
/// The writer's. Problems are no error here: they are printed, and the exit code tells.
pub fn run(folder: &Path, output: &mut Output) -> Result {
    let loaded = config::load(
        folder,
        &|limits| Runtime::new(limits.clone()),
        &config::process_environment,
    );
    let problems = &loaded.problems;
    if output.is_json() {
        output.json(&config::to_json(problems))?;
    } else {
        for problem in problems {
            output.line(coloured(problem, output))?;
        }
        if problems.is_empty() {
            let good = output.tint(Tone::Good, "no problems");
            output.line(good)?;
        }
    }
    Ok(if problems.iter().any(Problem::is_error) {
        Exit::Failed
    } else {
        Exit::Done
    })
}

/// The problem's line, its first word coloured.
fn coloured(problem: &Problem, output: &Output) -> String {
    let line = problem.to_string();
    match line.split_once(' ') {
        Some((word, rest)) => format!("{} {rest}", output.tint(Tone::of(word), word)),
        None => line,
    }
}
