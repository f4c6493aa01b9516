//! Recant inside another program: opens a project folder, changes a record, and shows what happened.
//!
//! `cargo run --example embed` makes a folder with `recant init`'s content in a temporary place.

#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "an example prints what it found"
)]

use std::{error::Error, time::Duration};

use recant::{
    app::App,
    config,
    model::{ChangeRequest, Container, Precondition, Requested},
};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let folder = temporary.path().join("project");
    config::init(&folder).await?;

    let app = App::open(&folder).await?;
    let content = json!({
        "userName": "ada", "givenName": "Ada", "sn": "Lovelace", "mail": "ada@example.org",
    });
    let request = put("ada", &content);

    // What would happen: nothing is written.
    let plan = app.plan(request.clone()).await?;
    for write in plan["writes"].as_array().into_iter().flatten() {
        println!(
            "would {} {} {}",
            write["operation"], write["target"], write["after"]
        );
    }

    // And now for real.
    let changed = app.change(request).await?;
    println!("{} {}", changed.outcome, changed.body);
    let record = app.operation(changed.operation).await?;
    for write in &record.writes {
        println!(
            "{} {:?} after {} ms",
            write.target, write.result, write.duration_ms
        );
    }

    app.close(Duration::from_secs(10)).await;
    Ok(())
}

/// The request to create `managed/user/ID` or to replace it.
fn put(id: &str, content: &Value) -> ChangeRequest {
    ChangeRequest {
        unseen: Vec::new(),
        container: Container::managed("user"),
        requested: Requested::Replace {
            id: id.to_owned(),
            content: content.as_object().cloned().unwrap_or_default(),
            precondition: Precondition::None,
        },
        caller: "embed example".to_owned(),
        transaction_id: "example-1".to_owned(),
        idempotency: None,
        request: json!({"method": "update", "content": content}),
    }
}
