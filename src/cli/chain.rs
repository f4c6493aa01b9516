//! `recant audit verify`, `keygen` and `destinations`: whether the audit chain holds, who signs it, and where it goes.
use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use chrono::DateTime;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    output::{Exit, Failure, Output, Result, Tone},
    service::Service,
    table::{Table, list_at, short, text_at, time},
};
use crate::{
    app::{Checkpoint, Handover, Proof, Signer, Trust, thinned},
    clock::{Clock as _, SystemClock},
};

/// Most checkpoints that are sent: a body has its limit.
const CHECKPOINTS: usize = 1_000;

/// What the chain is to agree with: `{publicKey, handovers, checkpoints}`; none where nothing is given.
///
/// # Errors
/// A file cannot be read, or holds something else.
pub fn proof(
    public_keys: &[PathBuf],
    handovers: &[PathBuf],
    checkpoints: Option<&Path>,
) -> Result<Option<Value>> {
    if public_keys.is_empty() && checkpoints.is_none() {
        return Ok(None);
    }
    let mut keys = Vec::new();
    for file in public_keys {
        let text = read(file)?;
        Trust::from_pems([text.as_str()])
            .map_err(|error| Failure::Usage(format!("{} {error}", file.display())))?;
        keys.push(text);
    }
    let mut handed = Vec::new();
    for file in handovers {
        handed.extend(lines::<Handover>(file)?);
    }
    let outside = match checkpoints {
        Some(file) => thinned(lines::<Checkpoint>(file)?, CHECKPOINTS),
        None => Vec::new(),
    };
    let key = (!keys.is_empty()).then(|| keys.join("\n"));
    Ok(Some(
        json!({"publicKey": key, "handovers": handed, "checkpoints": outside}),
    ))
}

/// The same as the store's walk takes it.
///
/// # Errors
/// A key or a handover does not count.
pub fn brought(proof: &Value) -> Result<Proof> {
    let wrong = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
    let key = proof.get("publicKey").and_then(Value::as_str);
    let mut trust = Trust::from_pems(key).map_err(|error| wrong(&error))?;
    let list = |name: &str| proof.get(name).cloned().unwrap_or_else(|| json!([]));
    let handovers: Vec<Handover> =
        serde_json::from_value(list("handovers")).map_err(|error| wrong(&error))?;
    for handover in &handovers {
        trust
            .accept(handover)
            .map_err(|error| wrong(&format!("a handover does not count: {error}")))?;
    }
    Ok(Proof {
        trust,
        outside: serde_json::from_value(list("checkpoints")).map_err(|error| wrong(&error))?,
        from: None,
    })
}

/// What stands in a file, one in each line. Half a line at the end is what a crash leaves.
fn lines<T: serde::de::DeserializeOwned>(file: &Path) -> Result<Vec<T>> {
    let text = read(file)?;
    let all: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in all.iter().enumerate() {
        match serde_json::from_str(line) {
            Ok(one) => found.push(one),
            Err(_) if line.trim().is_empty() => {}
            Err(_) if index + 1 == all.len() && !text.ends_with('\n') => {}
            Err(error) => {
                let place = format!("{}:{}: {error}", file.display(), index + 1);
                return Err(Failure::Usage(place));
            }
        }
    }
    if found.is_empty() {
        let message = format!("{} holds nothing to compare with", file.display());
        return Err(Failure::Usage(message));
    }
    Ok(found)
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::Other(format!("{} cannot be read: {error}", file.display())))
}

/// Prints what a walk along the chain found.
///
/// # Errors
/// The writer's.
pub fn print(verification: &Value, broken: Option<&Value>, output: &mut Output) -> Result<()> {
    let entries = short(verification.get("entries"));
    match broken {
        None => {
            let whole = output.tint(Tone::Good, "the chain is whole");
            output.line(format!(
                "{whole}: {entries} entries, none edited, missing or moved"
            ))?;
        }
        Some(place) => {
            let broken = output.tint(Tone::Bad, "the chain is broken");
            output.line(format!(
                "{broken} at position {}, entry {}: {}",
                short(place.get("position")),
                short(place.get("id")),
                text_at(place, "/reason")
            ))?;
        }
    }
    if let Some(anchor) = verification.get("anchor") {
        let micros = anchor.get("at").and_then(Value::as_i64).unwrap_or_default();
        let at = DateTime::from_timestamp_micros(micros).unwrap_or_default();
        let signed = match anchor.get("signed").and_then(Value::as_bool) {
            Some(true) => "its anchor is signed",
            _ => "no signature was verified that says so",
        };
        output.line(format!(
            "it begins behind {} entries that were pruned, last on {}; {signed}",
            short(anchor.get("position")),
            at.format("%Y-%m-%d %H:%M UTC"),
        ))?;
    }
    if let Some(signed) = verification.get("signed") {
        let number = |name: &str| signed.get(name).and_then(Value::as_i64).unwrap_or_default();
        let last = verification.get("position").and_then(Value::as_i64);
        let rest = last.unwrap_or_default().saturating_sub(number("position"));
        let how = match signed.get("verified").and_then(Value::as_bool) {
            Some(true) => "verified with the key",
            _ => "not verified: no key was given",
        };
        output.line(format!(
            "{} checkpoints agree, signatures {how}; {} entries since the last one are not signed yet",
            number("checkpoints"),
            rest.max(0),
        ))?;
    }
    let unproven = list_at(verification, "/unproven");
    if !unproven.is_empty() {
        let heading = output.tint(Tone::Warn, "this does not prove:");
        output.line(heading)?;
    }
    for one in unproven {
        output.line(format!("  {}", one.as_str().unwrap_or_default()))?;
    }
    Ok(())
}

/// Makes a key that signs the chain; where there was one before, it hands over to this one.
///
/// # Errors
/// A file is there already, cannot be written, or the old key cannot be read.
pub fn keygen(file: &Path, after: Option<&Path>, output: &mut Output) -> Result {
    let old = match after {
        Some(old) => {
            let pem = Zeroizing::new(read(old)?);
            let signer = Signer::from_pem(&pem);
            Some(signer.map_err(|error| Failure::Usage(format!("{} {error}", old.display())))?)
        }
        None => None,
    };
    let mut seed = Zeroizing::new([0_u8; 32]);
    SystemRandom::new()
        .fill(seed.as_mut())
        .map_err(|_| Failure::Other("this machine gives no random bytes".to_owned()))?;
    let signer = Signer::from_seed(seed.as_ref())
        .map_err(|error| Failure::Other(format!("the fresh key {error}")))?;
    let private = Zeroizing::new(Signer::private_pem(&seed));
    let beside = |ending: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let (public, handover) = (beside(".pub"), beside(".handover"));
    if let Some(taken) = [file, &public].into_iter().find(|place| place.exists()) {
        let message = format!("{} is there already: nothing was made", taken.display());
        return Err(Failure::Other(message));
    }
    if let Some(old) = &old {
        let at = SystemClock.now().timestamp_micros();
        let said = json!(Handover::new(old, signer.verifier(), at));
        write_new(&handover, &format!("{said}\n"), 0o644)?;
    }
    write_new(&public, &signer.verifier().pem(), 0o644)?;
    write_new(file, &private, 0o600)?;
    if output.is_json() {
        let id = signer.verifier().id();
        let handover = old.is_some().then_some(&handover);
        output
            .json(&json!({"private": file, "public": public, "handover": handover, "key": id}))?;
        return Ok(Exit::Done);
    }
    output.line(format!(
        "{} holds the private key: let nobody else read it, and keep it out of version control",
        file.display()
    ))?;
    output.line("under [audit] in recant.toml:")?;
    output.line(format!(
        "  checkpoint_key = \"${{file:{}}}\"",
        file.display()
    ))?;
    if let Some(after) = after {
        output.line(format!(
            "  public_keys = [\"${{file:{}.pub}}\"]   # what signed before, oldest first",
            after.display()
        ))?;
    }
    output.line(format!(
        "{} holds the public key: give it to whoever verifies (recant audit verify --public-key)",
        public.display()
    ))?;
    if let Some(after) = after {
        output.line(format!(
            "{} is signed with the old key: who has {}.pub needs only this to trust the new one \
             (--handover)",
            handover.display(),
            after.display()
        ))?;
    }
    Ok(Exit::Done)
}

fn write_new(file: &Path, text: &str, mode: u32) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let unwritable = |error: std::io::Error| {
        Failure::Other(format!("{} cannot be made: {error}", file.display()))
    };
    let mut open = options.open(file).map_err(unwritable)?;
    open.write_all(text.as_bytes()).map_err(unwritable)
}

/// Prints where else the trail goes.
///
/// # Errors
/// The service's.
pub async fn destinations(service: &dyn Service, output: &mut Output) -> Result {
    let all = service.destinations().await?;
    if output.is_json() {
        output.json(&json!({"result": all}))?;
        return Ok(Exit::Done);
    }
    if all.is_empty() {
        output.line("no destinations: [audit.destinations] in recant.toml names them")?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(
        output,
        &["name", "kind", "state", "behind", "since", "error"],
    );
    for one in &all {
        let state = text_at(one, "/state");
        let tone = match state {
            "current" => Tone::Good,
            "failing" => Tone::Bad,
            _ => Tone::Normal,
        };
        table.row([
            (Tone::Normal, text_at(one, "/name").to_owned()),
            (Tone::Normal, text_at(one, "/kind").to_owned()),
            (tone, state.to_owned()),
            (Tone::Normal, short(one.get("behind"))),
            (Tone::Normal, time(text_at(one, "/behindSince"))),
            (Tone::Normal, text_at(one, "/lastError").to_owned()),
        ]);
    }
    table.print(output, 0)?;
    for one in &all {
        not_taken(one, output)?;
    }
    Ok(Exit::Done)
}

/// What a destination did not take.
fn not_taken(destination: &Value, output: &mut Output) -> Result<()> {
    let entries = list_at(destination, "/notTaken/entries");
    if entries.is_empty() {
        return Ok(());
    }
    let count = |how: &str| {
        let count = destination.pointer(&format!("/notTaken/{how}"));
        count.and_then(Value::as_i64).unwrap_or_default()
    };
    let counts = ["refused", "shortened", "pruned"].map(|how| (count(how), how));
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts
        .map(|(count, how)| format!("{count} {how}"))
        .collect();
    let name = text_at(destination, "/name");
    output.line("")?;
    let heading = format!("{name} did not take: {}", counts.join(", "));
    let heading = output.tint(Tone::Warn, heading);
    output.line(heading)?;
    let mut table = Table::new(output, &["#", "how", "since", "why"]);
    for one in entries {
        let (first, last) = (short(one.get("position")), short(one.get("last")));
        let place = if first == last {
            first
        } else {
            format!("{first}–{last}")
        };
        let how = match one.get("again") {
            Some(Value::Bool(true)) => "is sent again",
            _ => text_at(one, "/how"),
        };
        table.row([
            (Tone::Faint, place),
            (Tone::Normal, how.to_owned()),
            (Tone::Normal, time(text_at(one, "/at"))),
            (Tone::Normal, text_at(one, "/reason").to_owned()),
        ]);
    }
    table.print(output, 2)?;
    output.line(format!(
        "  recant audit resend {name}   sends it again; with --give-up it is not shown any more"
    ))
}

/// Sends again, or gives up, what a destination did not take.
///
/// # Errors
/// The service's.
pub async fn resend(
    service: &dyn Service,
    name: &str,
    (action, position): (&str, Option<i64>),
    output: &mut Output,
) -> Result {
    let done = service.act_on_destination(name, action, position).await?;
    if output.is_json() {
        output.json(&done)?;
    } else if let Some(asked) = done.get("asked") {
        output.line(format!(
            "{asked} entries are sent to {name} again, by the server that delivers to it"
        ))?;
    } else {
        let given_up = short(done.get("givenUp"));
        output.line(format!(
            "{given_up} notes about {name} are given up; the entries stay in the trail"
        ))?;
    }
    Ok(Exit::Done)
}
