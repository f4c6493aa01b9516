//! Reconciliation from outside: what a run finds, what it does, and what it leaves alone.
mod bounds;
mod directions;
mod drift;
mod inward;
mod meanwhile;
mod nodes;
mod resumed;
mod safety;
mod situations;
mod windows;

use recant::{
    app::{App, Count, Search},
    model::{
        Filter,
        recon::{Entry, Run, Wanted},
    },
};
use serde_json::{Value, json};

use crate::support::world::{Shape, World};

/// One target, whose mapping has these further keys.
fn world(mapping: Value) -> World {
    World::new(&Shape {
        targets: 1,
        on_sync: None,
        mapping,
        ..Shape::default()
    })
}

fn wanted() -> Wanted {
    Wanted::full("user_t1")
}

fn dry(wanted: Wanted) -> Wanted {
    Wanted {
        dry_run: true,
        ..wanted
    }
}

/// A run to its end.
async fn reconcile(app: &App, wanted: Wanted) -> Run {
    let run = app
        .start_recon(wanted, "test", "transaction")
        .await
        .unwrap();
    app.wait_for_recon(run.id).await.unwrap()
}

async fn entries(app: &App, run: &Run) -> Vec<Entry> {
    matching(app, run, "true").await
}

async fn matching(app: &App, run: &Run, filter: &str) -> Vec<Entry> {
    let search = Search {
        filter: Filter::parse(filter).unwrap(),
        sort: Vec::new(),
        page_size: None,
        cookie: None,
        offset: 0,
        count: Count::None,
    };
    app.recon_entries(run.id, &search).await.unwrap().results
}

/// What the entries say, in few words: `SITUATION ACTION operation STATUS source target`.
async fn story(app: &App, run: &Run) -> Vec<String> {
    let word = |value: Value| value.as_str().unwrap_or("-").to_owned();
    let mut lines: Vec<String> = entries(app, run)
        .await
        .into_iter()
        .map(|entry| {
            [
                word(json!(entry.situation)),
                word(json!(entry.action)),
                word(json!(entry.operation)),
                word(json!(entry.status)),
                word(json!(entry.source_object_id)),
                word(json!(entry.target_object_id)),
            ]
            .join(" ")
        })
        .collect();
    lines.sort();
    lines
}
