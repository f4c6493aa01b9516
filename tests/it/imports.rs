//! Imports do not fetch twice what is known: counted bodies and questions.
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use recant::{
    connectors::{Error, ImportPage, Imported, Importer, MakeImporter, SharedKnown},
    feed::{Force, Import},
};
use serde_json::json;

use crate::support::{
    server::eventually,
    world::{Process, Shape, World, object},
};

const PAGES: usize = 4;
const PER_PAGE: usize = 25;

/// Counts what an importer does.
#[derive(Debug, Default)]
struct Counts {
    bodies: AtomicUsize,
    questions: AtomicUsize,
}

/// Lists of ids are cheap here, bodies are not.
#[derive(Debug)]
struct Documents {
    known: SharedKnown,
    counts: Arc<Counts>,
}

#[async_trait]
impl Importer for Documents {
    async fn page(&self, cursor: Option<&str>) -> Result<ImportPage, Error> {
        let number: usize = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        let ids: Vec<String> = (0..PER_PAGE)
            .map(|one| format!("d{number}-{one}"))
            .collect();
        self.counts.questions.fetch_add(1, Ordering::SeqCst);
        let known = self.known.existing(&ids).await?;
        let new = ids.into_iter().filter(|id| !known.contains(id));
        let records = new.map(|id| {
            self.counts.bodies.fetch_add(1, Ordering::SeqCst);
            Imported {
                record: object(json!({"name": id})),
                external_id: id,
                updated_at: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            }
        });
        let next = number + 1;
        Ok(ImportPage {
            records: records.collect(),
            cursor: (next < PAGES).then(|| next.to_string()),
        })
    }
}

fn import(process: &Process, force: Force) -> (Import, usize, usize) {
    let counts = Arc::new(Counts::default());
    let counted = Arc::clone(&counts);
    let make: MakeImporter = Arc::new(move |known| {
        let counts = Arc::clone(&counted);
        Box::new(Documents { known, counts })
    });
    let done = process
        .run(process.app.import("t1", "account", &make, force))
        .unwrap();
    let count = |count: &AtomicUsize| count.load(Ordering::SeqCst);
    (done, count(&counts.bodies), count(&counts.questions))
}

#[test]
fn importing_twice_fetches_and_changes_as_much_as_importing_once() {
    let world = World::new(&Shape {
        targets: 2,
        ..Shape::default()
    });
    let properties = json!([{"source": "name", "target": "name"}]);
    let mappings = json!({"mappings": [
        {"name": "in", "source": "system/t1/account", "target": "managed/user", "properties": properties},
        {"name": "out", "source": "managed/user", "target": "system/t2/account", "properties": properties},
    ]});
    world.write("conf/sync.json", &mappings.to_string());
    let process = world.start();
    let all = PAGES * PER_PAGE;
    let (first, bodies, questions) = import(&process, Force::Nothing);
    assert_eq!((bodies, questions), (all, PAGES));
    assert_eq!(
        (first.pages, first.fetched, first.stored),
        (PAGES, all, all)
    );
    // Known while they are still on their way, too.
    let (again, bodies, questions) = import(&process, Force::Nothing);
    assert_eq!((again.fetched, bodies, questions), (0, 0, PAGES));
    process.run(eventually("all are there", || async {
        world.targets[1].dump().len() == all
    }));
    process.until_settled();
    let changes = process.operations().len();
    assert_eq!(import(&process, Force::Nothing).1, 0);
    let some = ["d0-1", "d3-7"].map(str::to_owned).into();
    assert_eq!(import(&process, Force::Ids(some)).1, 2);
    assert_eq!(import(&process, Force::All).1, all);
    process.run(eventually("all events have ended", || async {
        let due = process.app.engine().store().due_integrations(&[], 1).await;
        due.unwrap().is_empty()
    }));
    assert_eq!(
        process.operations().len(),
        changes,
        "nothing was changed again"
    );
}
