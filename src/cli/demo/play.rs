//! What the scenes of the demo play with: changing, reading back, and showing both.
use serde_json::{Value, json};

use super::{
    super::{
        output::{Result, Tone},
        table::short,
    },
    directory::Directory,
    folder::Folder,
    stage::Stage,
    targets::Targets,
};
use crate::{
    app::{self, App, Changed, Count, Search},
    clock::{Clock, SystemClock},
    model::{
        ChangeRequest, Container, Filter, Object, OperationId, OperationRecord, Outcome, Requested,
        RowResult, record::WriteRecord,
    },
};

/// Everything that the scenes play with.
pub struct Play<'a> {
    /// Recant at work on the demo's folder.
    pub app: App,
    /// The project folder.
    pub folder: &'a Folder,
    /// The third target.
    pub directory: &'a Directory,
    /// Where it is shown.
    pub stage: Stage<'a>,
}

/// A target, an attribute of it, and what the change wants that to be.
pub type Wanted = (&'static str, &'static str, &'static str);

/// Whether the targets should hold what the change wanted, or what they held before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landed {
    /// What it wanted.
    Yes,
    /// What they held before.
    No,
}

/// How a change ended.
pub struct Ended {
    /// The root change.
    pub operation: Option<OperationId>,
    /// Its outcome.
    pub outcome: Option<Outcome>,
    /// The HTTP status.
    pub code: u16,
    /// What was said.
    pub message: String,
}

impl Play<'_> {
    /// The audit entries of a transaction, in order.
    pub async fn entries(&self, transaction: &str) -> Result<Vec<Value>> {
        let filter = format!("transactionId eq {}", Value::from(transaction));
        let found = self
            .app
            .audit(
                None,
                &Search {
                    filter: Filter::parse(&filter).unwrap_or(Filter::Literal(false)),
                    sort: Vec::new(),
                    page_size: None,
                    cookie: None,
                    offset: 0,
                    count: Count::None,
                },
            )
            .await?;
        Ok(found.results.iter().map(|entry| entry.to_value()).collect())
    }

    /// Shows the command that does the same.
    pub fn command(&mut self, id: &str, patch: &Value) -> Result<()> {
        self.stage.gap()?;
        self.stage
            .command(&format!("recant change patch user/{id} \\"))?;
        self.stage.command_goes_on(&format!("--data '{patch}'"))
    }

    /// Carries a change out.
    pub async fn change(&self, requested: Requested, why: &str) -> Ended {
        let fresh = SystemClock.fresh_id().simple();
        let request = ChangeRequest {
            unseen: Vec::new(),
            container: Container::managed("user"),
            requested,
            caller: "demo".to_owned(),
            transaction_id: format!("demo-{why}-{fresh}"),
            idempotency: None,
            request: json!({}),
        };
        Ended::from(self.app.change(request).await)
    }

    /// What the targets hold now.
    pub async fn targets(&self) -> Result<Targets> {
        Targets::read(self.folder, self.directory).await
    }

    /// Recant's own record, without its revision.
    pub async fn record(&self, id: &str) -> Option<Object> {
        let name = Container::managed("user").object(id);
        let mut object = self.app.read(&name, "demo").await.ok()?;
        object.shift_remove("_rev");
        Some(object)
    }

    /// The record of a change.
    pub async fn operation(&self, ended: &Ended) -> Option<OperationRecord> {
        self.app.operation(ended.operation?).await.ok()
    }

    /// Claims that the change ended as expected.
    pub fn ended(&mut self, ended: &Ended, expected: Outcome) -> Result<()> {
        if let Some(operation) = ended.operation {
            self.stage.note_operation(&operation.to_string());
        }
        let outcome = ended.outcome.map_or("none", |outcome| outcome.as_str());
        let holds = ended.outcome == Some(expected);
        let mut claim = format!("the change ended {expected}");
        if !holds {
            claim.push_str(&format!(" (but: {outcome}, {})", ended.message));
        }
        self.stage.claim(holds, &claim)
    }

    /// What was done, write by write, and what was undone.
    pub async fn steps(&mut self, ended: &Ended) -> Result<()> {
        let Some(record) = self.operation(ended).await else {
            return self.stage.show(Tone::Bad, &ended.message);
        };
        let mut rows: Vec<_> = record.writes.iter().map(|row| step("write", row)).collect();
        for nested in &record.nested {
            if let Ok(nested) = self.app.operation(*nested).await {
                let undone = nested.writes.iter().filter(|row| row.operation.is_some());
                rows.extend(undone.map(|row| step("undo", row)));
            }
        }
        self.stage.table(&["step", "target", "result"], rows)
    }

    /// Before, wanted and now, attribute by attribute.
    pub fn values(
        &mut self,
        id: &str,
        wanted: &[Wanted],
        before: &Targets,
        now: &Targets,
        landed: Landed,
    ) -> Result<()> {
        let rows: Vec<_> = wanted
            .iter()
            .map(|(target, attribute, wanted)| {
                let was = before.attribute(target, id, attribute);
                let is = now.attribute(target, id, attribute);
                let tone = match landed {
                    Landed::Yes if is == *wanted => Tone::Good,
                    Landed::No if is == was => Tone::Good,
                    _ => Tone::Bad,
                };
                vec![
                    (Tone::Normal, (*target).to_owned()),
                    (Tone::Normal, (*attribute).to_owned()),
                    (Tone::Normal, was),
                    (Tone::Faint, (*wanted).to_owned()),
                    (tone, is),
                ]
            })
            .collect();
        let headings = ["target", "attribute", "before", "wanted", "holds now"];
        self.stage.table(&headings, rows)?;
        self.stage.gap()
    }
}

fn step(kind: &str, row: &WriteRecord) -> Vec<(Tone, String)> {
    let (tone, mark) = match row.result {
        Some(RowResult::Successful) => (Tone::Good, "✔".to_owned()),
        Some(RowResult::Skipped) => (Tone::Warn, "skipped".to_owned()),
        _ => (Tone::Bad, "✘".to_owned()),
    };
    let cause = row.cause.as_ref().map(|cause| {
        let code = short(Some(&cause.code));
        format!(" {code}: {}", cause.message)
    });
    vec![
        (Tone::Normal, kind.to_owned()),
        (Tone::Normal, row.mapping.clone()),
        (tone, format!("{mark}{}", cause.unwrap_or_default())),
    ]
}

impl From<std::result::Result<Changed, app::Error>> for Ended {
    fn from(ended: std::result::Result<Changed, app::Error>) -> Self {
        match ended {
            Ok(changed) => Self {
                operation: Some(changed.operation),
                outcome: Some(changed.outcome),
                code: changed.status,
                message: String::new(),
            },
            Err(error) => Self {
                operation: error.operation,
                outcome: error.outcome,
                code: error.code,
                message: error.message,
            },
        }
    }
}
