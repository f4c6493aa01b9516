//! `recant integrations` and `recant deliveries`: what came in, what goes out, what failed for good.
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    arguments::Listing,
    ops::both,
    output::{Exit, Output, Result, Tone},
    service::{Place, Search, Service},
    table::{Table, short, text_at, time},
};

/// How many events are asked for at a time.
const PAGE: usize = 500;
/// How often it is looked whether what was imported has been carried out.
const LOOK: Duration = Duration::from_millis(200);
/// What finds events that failed for good.
const DEAD: &str = "state eq \"errored\" and deadLetter eq true";

/// `recant integrations`
#[derive(Debug, Subcommand)]
pub enum Integrations {
    /// List events from and to a system, oldest first
    List {
        /// The connector
        #[arg(value_name = "NAME")]
        name: String,
        /// Which events.
        #[command(flatten)]
        which: Which,
    },
    /// List what waits to go out to queued mappings, or failed to
    Queue {
        /// Which events.
        #[command(flatten)]
        which: Which,
    },
    /// Take events up again that failed, were canceled, or came while the integration was off
    Retry(Move),
    /// End events that wait or failed
    Cancel(Move),
    /// Bring in the records of an object class, as its connector lists them
    Import {
        /// The connector
        connector: String,
        /// The object class
        class: String,
        /// Bring in what is known, too
        #[arg(long)]
        force: bool,
        /// Bring this record in even if it is known; may be given more than once
        #[arg(long = "force-id", value_name = "ID", conflicts_with = "force")]
        force_ids: Vec<String>,
        /// Come back when the records are stored, before they are carried out
        #[arg(long)]
        detach: bool,
    },
}

/// `recant deliveries`
#[derive(Debug, Subcommand)]
pub enum Deliveries {
    /// List deliveries to a subscription, oldest first
    List {
        /// The subscription
        #[arg(value_name = "NAME")]
        name: String,
        /// Which deliveries.
        #[command(flatten)]
        which: Which,
    },
    /// Send deliveries again that failed or were given up
    Retry(Move),
    /// Give deliveries up that wait or failed
    Cancel(Move),
}

/// Which events are listed.
#[derive(Debug, Args)]
pub struct Which {
    /// Only those in this state, such as errored
    #[arg(long)]
    state: Option<String>,
    /// Only dead letters: those that are not tried again by themselves
    #[arg(long, conflicts_with = "state")]
    dead: bool,
    /// How many, and which.
    #[command(flatten)]
    listing: Listing,
}

/// Which events are moved.
#[derive(Debug, Args)]
pub struct Move {
    /// The connector or subscription
    #[arg(value_name = "NAME")]
    name: String,
    /// Their ids
    #[arg(value_name = "ID", required_unless_present_any = ["dead", "filter"])]
    ids: Vec<Uuid>,
    /// Every dead letter
    #[arg(long, conflicts_with = "ids")]
    dead: bool,
    /// Every one that this filter finds, such as 'state eq "disabled"'; with --dead: dead letters only
    #[arg(long, conflicts_with = "ids")]
    filter: Option<String>,
}

/// Does what `recant integrations` asks for.
///
/// # Errors
/// There is no such connector or event, or the event's state does not allow it.
pub async fn run(service: &dyn Service, verb: &Integrations, output: &mut Output) -> Result {
    let of = |name: &String| Place::Integration(name.clone());
    match verb {
        Integrations::List { name, which } => list(service, &of(name), which, output).await,
        Integrations::Queue { which } => list(service, &Place::Queue, which, output).await,
        Integrations::Retry(asked) => {
            moved(service, &of(&asked.name), asked, "retry", output).await
        }
        Integrations::Cancel(asked) => {
            moved(service, &of(&asked.name), asked, "cancel", output).await
        }
        Integrations::Import {
            connector,
            class,
            force,
            force_ids,
            detach,
        } => {
            let mut asked = json!({"class": class, "force": force});
            if let (Some(members), false) = (asked.as_object_mut(), force_ids.is_empty()) {
                members.insert("forceIds".into(), json!(force_ids));
            }
            let done = service.import(connector, &asked).await?;
            if !detach {
                until_carried_out(service, &of(connector)).await?;
            }
            told(&done, output)
        }
    }
}

/// Does what `recant deliveries` asks for.
///
/// # Errors
/// There is no such subscription or delivery, or the delivery's state does not allow it.
pub async fn deliveries(service: &dyn Service, verb: &Deliveries, output: &mut Output) -> Result {
    let to = |name: &String| Place::Deliveries(name.clone());
    match verb {
        Deliveries::List { name, which } => list(service, &to(name), which, output).await,
        Deliveries::Retry(asked) => moved(service, &to(&asked.name), asked, "retry", output).await,
        Deliveries::Cancel(asked) => {
            moved(service, &to(&asked.name), asked, "cancel", output).await
        }
    }
}

async fn list(service: &dyn Service, place: &Place, which: &Which, output: &mut Output) -> Result {
    let state = which.state.as_ref();
    let state = state.map(|state| format!("state eq \"{}\"", state.to_lowercase()));
    let own = if which.dead {
        Some(DEAD.to_owned())
    } else {
        state
    };
    let filter = both(own, which.listing.filter.clone());
    let limit = which.listing.limit;
    let (found, more) = fetch(service, place, filter, limit).await?;
    if output.is_json() {
        output.json(&json!({"result": found, "more": more}))?;
        return Ok(Exit::Done);
    }
    if found.is_empty() {
        output.line("no events")?;
        return Ok(Exit::Done);
    }
    let headings = ["arrived", "direction", "record", "state", "tries", "id"];
    let mut table = Table::new(output, &headings);
    table.at_least(5, 38);
    for event in &found {
        table.row([
            (Tone::Normal, time(text_at(event, "/createdAt"))),
            (Tone::Normal, text_at(event, "/direction").to_owned()),
            (
                Tone::Normal,
                text_at(event, "/integrationExternalId").to_owned(),
            ),
            (tone(event), state_of(event)),
            (Tone::Normal, short(event.get("attempts"))),
            (Tone::Faint, text_at(event, "/_id").to_owned()),
        ]);
    }
    table.print(output, 0)?;
    if more {
        let hint = format!("the first {limit}; --limit N shows more");
        output.line(output.tint(Tone::Faint, hint))?;
    }
    Ok(Exit::Done)
}

fn state_of(event: &Value) -> String {
    let state = text_at(event, "/state");
    match text_at(event, "/lastError") {
        "" => state.to_owned(),
        why if is_dead(event) => format!("dead letter: {why}"),
        why => format!("{state}: {why}"),
    }
}

fn tone(event: &Value) -> Tone {
    if is_dead(event) {
        Tone::Bad
    } else {
        Tone::Normal
    }
}

fn is_dead(event: &Value) -> bool {
    event.get("deadLetter") == Some(&Value::Bool(true))
}

/// Moves the events that are named, or every dead letter.
async fn moved(
    service: &dyn Service,
    place: &Place,
    asked: &Move,
    action: &str,
    output: &mut Output,
) -> Result {
    let mut ids = asked.ids.clone();
    let dead = asked.dead.then(|| DEAD.to_owned());
    if let Some(filter) = both(dead, asked.filter.clone()) {
        let (found, _) = fetch(service, place, Some(filter), usize::MAX).await?;
        let found = found.iter().map(|event| text_at(event, "/_id"));
        ids.extend(found.filter_map(|id| id.parse::<Uuid>().ok()));
    }
    let mut done = Vec::with_capacity(ids.len());
    for id in ids {
        done.push(service.move_event(place, id, action).await?);
    }
    if output.is_json() {
        output.json(&json!({"result": done}))?;
        return Ok(Exit::Done);
    }
    let word = if action == "retry" {
        "taken up again"
    } else {
        "ended"
    };
    output.line(format!("{} {word}", done.len()))?;
    Ok(Exit::Done)
}

/// Waits until nothing that came in waits for its turn; what failed is tried again without us.
async fn until_carried_out(service: &dyn Service, place: &Place) -> Result<()> {
    let open = "direction eq \"inbound\" and (state eq \"queued\" or state eq \"processing\")";
    loop {
        let (waiting, _) = fetch(service, place, Some(open.to_owned()), 1).await?;
        if waiting.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn told(done: &Value, output: &mut Output) -> Result {
    if output.is_json() {
        output.json(done)?;
        return Ok(Exit::Done);
    }
    let count = |name: &str| short(done.get(name));
    output.line(format!(
        "{}: {} pages, {} records taken, {} events stored",
        text_at(done, "/class"),
        count("pages"),
        count("fetched"),
        count("stored"),
    ))?;
    Ok(Exit::Done)
}

/// At most `limit` events, and whether there are more.
async fn fetch(
    service: &dyn Service,
    place: &Place,
    filter: Option<String>,
    limit: usize,
) -> Result<(Vec<Value>, bool)> {
    let (mut found, mut cursor) = (Vec::new(), None);
    while found.len() < limit {
        let search = Search {
            filter: filter.clone(),
            sort: None,
            size: PAGE.min(limit - found.len()),
            cursor,
        };
        let page = service.integration_events(place, &search).await?;
        found.extend(page.results);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok((found, cursor.is_some()))
}
