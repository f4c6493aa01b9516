//! `recant hooks`: compiling scripts and trying them.
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{
    output::{Exit, Failure, Output, Result, Tone},
    service::Service,
    table::text_at,
};
use crate::hooks::{Limits, Runtime};

/// Compiles scripts and prints where they are wrong; `files` none: every script of the folder.
///
/// # Errors
/// A script cannot be read.
pub fn check(folder: &Path, files: &[PathBuf], output: &mut Output) -> Result {
    let hooks = folder.join("hooks");
    let files = if files.is_empty() {
        scripts_in(&hooks)?
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

/// Runs a script and prints its value.
///
/// # Errors
/// The script fails.
pub async fn run(service: &dyn Service, script: &Value, output: &mut Output) -> Result {
    let value = service.eval(script).await?;
    output.json(&value)?;
    Ok(Exit::Done)
}

/// A script as it is named, or in the folder's `hooks`.
fn found(hooks: &Path, file: &Path) -> PathBuf {
    let inside = hooks.join(file);
    if !file.exists() && inside.exists() {
        inside
    } else {
        file.to_owned()
    }
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::Other(format!("{} cannot be read: {error}", file.display())))
}

fn scripts_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable =
        |error| Failure::Other(format!("{} cannot be read: {error}", folder.display()));
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "rhai")
            {
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
