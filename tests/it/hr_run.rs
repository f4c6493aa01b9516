//! A human-resources history goes through Recant into three targets, or comes in as events in any
//! order; at the end all agree with a replay.
use std::{io::Write as _, time::Duration};

use chrono::{DateTime, Utc};
use recant::{
    app::{Received, Search},
    model::Filter,
};
use serde_json::json;

use crate::{
    integrations::{Dice, agree, everything, receive, received, world},
    support::{
        hr::{self, history, run},
        world::Process,
    },
};

/// How many changes go through where nobody says otherwise. `cargo bench --bench hr` sends all.
const CHANGES: usize = 1_200;

#[tokio::test(flavor = "multi_thread")]
async fn all_stores_agree_with_a_replay_of_the_history() {
    let figures = run(history(CHANGES)).await;
    assert_eq!(figures.changes, CHANGES);
    assert!(figures.refused > 0 && figures.people > 0);
}

/// How many changes are sent shuffled where nobody says otherwise; `RECANT_HR_CHANGES` says.
const HISTORY: usize = 600;

#[test]
fn a_shuffled_history_with_repeats_ends_like_the_ordered_one() {
    let world = world(json!({}));
    let process = world.start();
    let size = std::env::var("RECANT_HR_CHANGES").map_or(HISTORY, |size| size.parse().unwrap());
    let all: Vec<Received> = (0..)
        .zip(hr::records(size))
        .map(|(number, (employee, record))| {
            let text = |name: &str| record.get(name).cloned().unwrap_or_default();
            let person = json!({"name": text("first_name"), "mail": text("status"),
                "department": text("title")});
            received(&employee, number, Some(person))
        })
        .collect();
    let mut sent = all.clone();
    sent.extend(all.iter().step_by(5).cloned());
    Dice(7).shuffle(&mut sent);
    let began = std::time::Instant::now();
    for batch in sent.chunks(60) {
        receive(&process, batch.to_vec());
    }
    until_quiet(&process, sent.len() as u64);
    let _ = writeln!(
        std::io::stderr(),
        "{} events of {} changes in {:?}",
        sent.len(),
        all.len(),
        began.elapsed()
    );
    agree(&world, &process, &all);
    let stored = process.app.engine().store().clone();
    let settled = process.run(stored.forget_integrations(DateTime::<Utc>::MAX_UTC));
    assert_eq!(
        settled.unwrap(),
        sent.len() as u64,
        "every event has come to its end"
    );
}

/// Waits until nothing waits any more; asks for one event only, for there may be many.
fn until_quiet(process: &Process, most: u64) {
    let search = Search {
        filter: Filter::parse(
            "state eq \"queued\" or state eq \"processing\" or state eq \"errored\"",
        )
        .unwrap(),
        page_size: Some(1),
        ..everything()
    };
    for _ in 0..2_000 + most {
        let open = process
            .run(process.app.integrations("t3", &search))
            .unwrap();
        if open.results.is_empty() {
            return;
        }
        process.run(async { tokio::time::sleep(Duration::from_millis(20)).await });
    }
    panic!("events are still open");
}
