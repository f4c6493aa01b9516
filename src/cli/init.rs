//! `recant init`: a commented project folder that runs.
use std::path::Path;

use serde_json::json;

use super::output::{Exit, Failure, Output, Result, Tone, with_causes};
use crate::config;

/// Makes a project folder and says what to do with it.
///
/// # Errors
/// There is a project already, or something cannot be written.
pub async fn run(folder: &Path, output: &mut Output) -> Result {
    let files = config::init(folder)
        .await
        .map_err(|error| Failure::Other(with_causes(&error)))?;
    if output.is_json() {
        output.json(&json!({"folder": folder, "files": files}))?;
        return Ok(Exit::Done);
    }
    let place = folder.display();
    let made = output.tint(Tone::Good, "made");
    output.line(format!("{made} {place}, with {} files", files.len()))?;
    for file in &files {
        output.line(output.tint(Tone::Faint, format!("  {}", file.display())))?;
    }
    output.line("")?;
    let enter = if folder == Path::new(".") {
        String::new()
    } else {
        format!("cd {place} && ")
    };
    output.line(format!(
        "README.md in it explains them. To begin:  {enter}recant check"
    ))?;
    Ok(Exit::Done)
}
