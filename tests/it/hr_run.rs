//! A human-resources history goes through Recant into three targets; at the end all agree with a replay.
use crate::support::hr::{history, run};

/// How many changes go through where nobody says otherwise. `cargo bench --bench hr` sends all.
const CHANGES: usize = 1_200;

#[tokio::test(flavor = "multi_thread")]
async fn all_stores_agree_with_a_replay_of_the_history() {
    let figures = run(history(CHANGES)).await;
    assert_eq!(figures.changes, CHANGES);
    assert!(figures.refused > 0 && figures.people > 0);
}
