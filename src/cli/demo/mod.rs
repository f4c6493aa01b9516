//! `recant demo`: three targets on this machine, a refusal, a compensation, a divergence and its end.
//!
//! It runs the real thing on a temporary folder, and checks everything that it claims by reading the
//! targets themselves, past Recant: a claim that does not hold fails the demo.
mod directory;
mod folder;
mod people;
mod play;
mod scenes;
mod stage;
mod targets;

use std::time::Duration;

use serde_json::json;

use super::{
    arguments::Demo,
    output::{Exit, Failure, Output, Result, Tone, tint, with_causes},
};
use crate::{
    app::App,
    clock::{Clock, SystemClock},
};
use directory::Directory;
use folder::{Folder, Keep};
use play::Play;
use stage::Stage;

const PATIENCE: Duration = Duration::from_secs(10);

/// Plays the demo.
///
/// # Errors
/// The demo cannot be set up on this machine. A claim that does not hold is printed, and the exit
/// code tells.
pub async fn run(verb: &Demo, output: &mut Output) -> Result {
    let name = SystemClock.fresh_id().simple().to_string();
    let directory = Directory::start().await.map_err(|error| {
        Failure::Other(format!(
            "cannot listen on a loopback port: {}",
            with_causes(&error)
        ))
    })?;
    let keep = if verb.keep { Keep::Yes } else { Keep::No };
    let folder = Folder::make(&name, directory.address, keep).await?;
    let app = App::open(&folder.path).await?;
    let mut play = Play {
        app: app.clone(),
        folder: &folder,
        directory: &directory,
        stage: Stage::new(output),
    };
    let played = play.all().await;
    let (claims, broken, scenes) = play.stage.result();
    app.close(PATIENCE).await;
    played?;
    let kept = (keep == Keep::Yes).then(|| folder.path.display().to_string());
    if output.is_json() {
        output.json(&json!({
            "holds": broken.is_empty(),
            "claims": claims,
            "scenes": scenes,
            "folder": kept,
        }))?;
    } else {
        farewell(claims, &broken, kept.as_deref(), output)?;
    }
    Ok(if broken.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn farewell(
    claims: usize,
    broken: &[String],
    kept: Option<&str>,
    output: &mut Output,
) -> Result<()> {
    let colours = output.colours;
    output.line("")?;
    if broken.is_empty() {
        let all = tint(colours, Tone::Good, &format!("All {claims} claims hold"));
        output.line(format!(
            "{all}, each checked by reading the three systems themselves."
        ))?;
    } else {
        let some = format!("{} of {claims} claims do not hold:", broken.len());
        output.line(tint(colours, Tone::Bad, &some))?;
        for claim in broken {
            output.line(format!("  {claim}"))?;
        }
    }
    match kept {
        Some(path) => output.line(format!("The folder is {path}")),
        None => output.line("Your own begins with `recant init DIR`."),
    }
}
