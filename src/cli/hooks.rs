//! `recant hooks`: compiling scripts and trying them.
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{
    output::{Exit, Failure, Output, Result, Tone},
    service::Service,
    table::text_at,
};
use crate::{
    hooks::{Limits, Runtime},
    model::OperationId,
};

/// `recant hooks`
#[derive(Debug, Subcommand)]
pub enum Hooks {
    /// Compile scripts, and say where they are wrong
    Check {
        /// Which; every script of the folder if left out
        files: Vec<PathBuf>,
    },
    /// Run the cases beside the scripts (`hooks/NAME.cases.json`), and say which do not hold
    Test {
        /// Scripts or files of cases; all of the folder if left out
        files: Vec<PathBuf>,
        /// Only cases whose name holds this text
        #[arg(long, value_name = "TEXT")]
        case: Option<String>,
    },
    /// Run a script with variables and print its value; it changes nothing. What it logged and took
    /// goes to the standard error
    Run {
        /// The script
        file: PathBuf,
        /// The variables, as a JSON object
        #[arg(long, value_name = "JSON", default_value = "{}")]
        data: String,
        /// Print everything of the run as JSON, in place of its value
        #[arg(long)]
        trace: bool,
    },
    /// Run a changed script on the last kept runs of it, and show where it would decide otherwise;
    /// nothing is carried out. Exit code 1 if it would
    Backtest {
        /// The script: a file, or its name in the folder `hooks`
        file: PathBuf,
        /// How many runs at most
        #[arg(long, value_name = "N", default_value_t = 100)]
        against: u64,
        /// The name of the script whose runs are meant; that of the file if left out
        #[arg(long = "as", value_name = "NAME")]
        name: Option<String>,
        /// Only runs of this hook, such as managed/user/onSync
        #[arg(long, value_name = "HOOK")]
        hook: Option<String>,
    },
    /// List kept runs of hooks, newest first
    Runs {
        /// Only runs of this script
        #[arg(long, value_name = "NAME")]
        script: Option<String>,
        /// Only runs of this hook, such as managed/user/onSync
        #[arg(long, value_name = "HOOK")]
        hook: Option<String>,
        /// Only runs for this change
        #[arg(long, value_name = "ID")]
        operation: Option<String>,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u64,
    },
    /// Make cases of the kept runs of a change, beside their scripts
    Record {
        /// The change's id
        operation: OperationId,
        /// Only runs of this hook, such as onSync or managed/user/onSync
        #[arg(long, value_name = "HOOK")]
        hook: Option<String>,
        /// What the cases show; made up if left out
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        /// Print the cases, and write no file
        #[arg(long)]
        print: bool,
    },
    /// Write definition files for editors, and the JSON schema of files of cases
    Definitions {
        /// Where to
        #[arg(default_value = "hooks/definitions")]
        folder: PathBuf,
    },
    /// Print the pages of every variable and function that scripts have
    Docs {
        /// In which form
        #[arg(long, value_enum, default_value_t = DocsForm::Markdown)]
        format: DocsForm,
        /// Only names that hold this text
        search: Option<String>,
    },
}

/// How the pages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DocsForm {
    /// Markdown
    Markdown,
    /// Plain text
    Plain,
}

/// Compiles scripts and prints where they are wrong; `files` none: every script of the folder.
///
/// # Errors
/// A script cannot be read.
pub fn check(folder: &Path, files: &[PathBuf], output: &mut Output) -> Result {
    let hooks = folder.join("hooks");
    let files = if files.is_empty() {
        files_in(&hooks, ".rhai")?
    } else {
        files.iter().map(|file| found(&hooks, file)).collect()
    };
    let runtime = Runtime::new(Limits::default());
    let mut problems = Vec::new();
    for file in &files {
        let text = read(file)?;
        let name = file.display().to_string();
        if let Err(error) = runtime.compile(&name, &text, serde_json::Map::new()) {
            problems.push(json!({
                "file": name,
                "line": error.line,
                "column": error.column,
                "message": error.message,
            }));
        }
    }
    print_problems(&problems, files.len(), output)?;
    Ok(if problems.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn print_problems(problems: &[Value], files: usize, output: &mut Output) -> Result<()> {
    if output.is_json() {
        return output.json(&json!({"scripts": files, "problems": problems}));
    }
    for problem in problems {
        let word = output.tint(Tone::Bad, "error");
        output.line(format!(
            "{word} {}:{}:{}: {}",
            text_at(problem, "/file"),
            problem["line"],
            problem["column"],
            text_at(problem, "/message")
        ))?;
    }
    if problems.is_empty() {
        output.line(format!("{files} scripts, no errors"))?;
    }
    Ok(())
}

/// The script and its variables, as a server wants them.
///
/// # Errors
/// The script or the variables cannot be read.
pub fn script(folder: &Path, file: &Path, data: &str) -> Result<Value> {
    let globals: Value = serde_json::from_str(data)
        .map_err(|error| Failure::Usage(format!("--data is not JSON: {error}")))?;
    let text = read(&found(&folder.join("hooks"), file))?;
    Ok(json!({"type": "text/rhai", "source": text, "globals": globals}))
}

/// How much of a run is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// The script's value; the rest goes to the standard error.
    Value,
    /// Everything, as JSON.
    Everything,
}

/// Runs a script and prints its value.
///
/// # Errors
/// The script fails.
pub async fn run(
    service: &dyn Service,
    script: &Value,
    shown: Shown,
    output: &mut Output,
) -> Result {
    let run = service.ask_script("trace", script).await?;
    if shown == Shown::Everything {
        output.json(&run)?;
        return Ok(match text_at(&run, "/verdict") {
            "error" | "reject" => Exit::Failed,
            _ => Exit::Done,
        });
    }
    if let Some(failure) = failure(&run) {
        return Err(failure);
    }
    output.json(run.get("result").unwrap_or(&Value::Null))?;
    output.flush()?;
    for line in run
        .get("log")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        super::say(line.as_str().unwrap_or_default());
    }
    if !output.is_json() {
        super::say(&format!("({})", super::cases::cost(&run)));
    }
    Ok(Exit::Done)
}

/// Why a script has no value, in the form of the server's errors.
fn failure(run: &Value) -> Option<Failure> {
    let thrown = run.get("throws");
    let message = match (thrown, run.get("error")) {
        (Some(thrown), _) => text_at(thrown, "/message").to_owned(),
        (None, Some(error)) => format!("the script hook failed: {}", error.as_str()?),
        (None, None) => return None,
    };
    let code = thrown.and_then(|thrown| thrown.get("code")?.as_u64());
    let code = match (thrown, code) {
        (None, _) => 500,
        (Some(_), None) => 400,
        (Some(_), Some(code @ 400..=499)) => code,
        (Some(_), Some(_)) => 500,
    };
    let mut body = json!({"code": code, "message": message});
    let detail = thrown.and_then(|thrown| thrown.get("detail"));
    if let (Some(detail), Some(members)) = (detail, body.as_object_mut()) {
        members.insert("detail".into(), detail.clone());
    }
    Some(Failure::Refused {
        body,
        message,
        operation: None,
        outcome: None,
    })
}

/// A script as it is named, or in the folder's `hooks`.
pub(super) fn found(hooks: &Path, file: &Path) -> PathBuf {
    let inside = hooks.join(file);
    if !file.exists() && inside.exists() {
        inside
    } else {
        file.to_owned()
    }
}

pub(super) fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::Other(format!("{} cannot be read: {error}", file.display())))
}

/// The files of a folder and those inside it whose name ends so, in order.
pub(super) fn files_in(folder: &Path, end: &str) -> Result<Vec<PathBuf>> {
    let unreadable =
        |error| Failure::Other(format!("{} cannot be read: {error}", folder.display()));
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(end) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Writes the definition files that editors complete scripts with.
///
/// # Errors
/// The folder cannot be written.
pub fn definitions(folder: &Path, output: &mut Output) -> Result {
    let unwritable = |error: std::io::Error| {
        Failure::Other(format!("{} cannot be written: {error}", folder.display()))
    };
    std::fs::create_dir_all(folder).map_err(unwritable)?;
    let mut files = Vec::new();
    for (name, text) in Runtime::new(Limits::default()).definitions() {
        let file = folder.join(name);
        std::fs::write(&file, text).map_err(unwritable)?;
        files.push(file);
    }
    if output.is_json() {
        output.json(&json!({"files": files}))?;
    } else {
        for file in files {
            output.line(file.display().to_string())?;
        }
    }
    Ok(Exit::Done)
}

/// Prints the pages of variables and functions.
///
/// # Errors
/// The writer's.
pub fn docs(form: DocsForm, search: Option<&str>, output: &mut Output) -> Result {
    let runtime = Runtime::new(Limits::default());
    let search = search.unwrap_or_default();
    if output.is_json() {
        let functions: Vec<_> = runtime
            .functions()
            .into_iter()
            .filter(|function| function.name.contains(search))
            .collect();
        let variables = runtime.variables();
        let variables: Vec<_> = variables
            .iter()
            .filter(|page| page.name.contains(search))
            .collect();
        output.json(&json!({"variables": variables, "functions": functions}))?;
        return Ok(Exit::Done);
    }
    let pages = runtime.docs(search);
    match form {
        DocsForm::Markdown => output.line(pages.trim_end())?,
        DocsForm::Plain => {
            for line in pages.trim_end().lines() {
                let line = line.trim_start_matches('#').replace('`', "");
                output.line(line.strip_prefix(' ').unwrap_or(&line))?;
            }
        }
    }
    Ok(Exit::Done)
}
