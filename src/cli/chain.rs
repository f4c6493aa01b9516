//! `recant audit verify`, `keygen` and `destinations`: whether the audit chain holds, who signs it, and where it goes.
use std::{io::Write as _, path::Path};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use chrono::DateTime;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    output::{Exit, Failure, Output, Result, Tone},
    service::Service,
    table::{Table, short, text_at, time},
};
use crate::app::Signer;

/// What the chain is to agree with: `{publicKey, checkpoints}`; none where nothing is given.
///
/// # Errors
/// A file cannot be read, or holds something else.
pub fn proof(public_key: Option<&Path>, checkpoints: Option<&Path>) -> Result<Option<Value>> {
    if public_key.is_none() && checkpoints.is_none() {
        return Ok(None);
    }
    let key = public_key.map(read).transpose()?;
    let mut outside = Vec::new();
    if let Some(file) = checkpoints {
        for (index, line) in read(file)?.lines().enumerate() {
            let checkpoint: Value = serde_json::from_str(line).map_err(|error| {
                Failure::Other(format!("{}:{}: {error}", file.display(), index + 1))
            })?;
            outside.push(checkpoint);
        }
    }
    Ok(Some(json!({"publicKey": key, "checkpoints": outside})))
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
    Ok(())
}

/// Makes a key that signs the chain.
///
/// # Errors
/// A file is there already, or cannot be written.
pub fn keygen(file: &Path, output: &mut Output) -> Result {
    let mut seed = Zeroizing::new([0_u8; 32]);
    SystemRandom::new()
        .fill(seed.as_mut())
        .map_err(|_| Failure::Other("this machine gives no random bytes".to_owned()))?;
    let signer = Signer::from_seed(seed.as_ref())
        .map_err(|error| Failure::Other(format!("the fresh key {error}")))?;
    let private = Zeroizing::new(Signer::private_pem(&seed));
    let mut public = file.as_os_str().to_owned();
    public.push(".pub");
    let public = Path::new(&public);
    write_new(public, &signer.verifier().pem(), 0o644)?;
    write_new(file, &private, 0o600)?;
    if output.is_json() {
        let id = signer.verifier().id();
        output.json(&json!({"private": file, "public": public, "key": id}))?;
    } else {
        output.line(format!(
            "{} holds the private key: name it in recant.toml, and let nobody else read it",
            file.display()
        ))?;
        output.line(format!(
            "  [audit]\n  checkpoint_key = \"${{file:{}}}\"",
            file.display()
        ))?;
        output.line(format!(
            "{} holds the public key: give it to whoever verifies (recant audit verify --public-key)",
            public.display()
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
    Ok(Exit::Done)
}
