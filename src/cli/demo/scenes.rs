//! The scenes of the demo, and what each claims.
use serde_json::{Value, json};

use super::{
    super::{
        audit,
        output::{Result, Tone},
        table::text_at,
    },
    people,
    play::{Ended, Landed, Play, Wanted},
    targets::{NAMES, Targets},
};
use crate::model::{Object, OperationRecord, Outcome, Precondition, Requested, patch::Patch};

impl Play<'_> {
    /// Plays all scenes.
    pub async fn all(&mut self) -> Result<()> {
        self.opening().await?;
        self.lands_everywhere().await?;
        self.is_taken_back().await?;
        let transaction = self.diverges_and_heals().await?;
        self.is_on_record(&transaction).await
    }

    async fn opening(&mut self) -> Result<()> {
        self.stage.scene("Three systems, one truth")?;
        self.stage.tell(
            "A lantern maker keeps its people in three systems. Recant holds the record of each \
             person and writes every change to all three, in this order:",
        )?;
        let address = format!("http://{}/people", self.directory.address);
        let rows = [
            ("payroll", "a table in SQLite", "payroll.db"),
            ("badges", "a CSV file", "badges.csv"),
            ("directory", "a REST service", address.as_str()),
        ];
        let rows = rows.map(|(name, kind, place)| {
            vec![
                (Tone::Strong, name.to_owned()),
                (Tone::Normal, kind.to_owned()),
                (Tone::Faint, place.to_owned()),
            ]
        });
        self.stage.table(&["target", "what it is", "where"], rows)?;
        let people = people::all();
        let began = std::time::Instant::now();
        let mut hired = 0;
        for (id, person) in &people {
            let ended = self.change(create(id, person), "hired").await;
            hired += usize::from(ended.outcome == Some(Outcome::Synced));
        }
        let took = began.elapsed().as_millis();
        self.stage.gap()?;
        let targets = self.targets().await?;
        let everywhere = targets.counts() == [people.len(); 3];
        self.stage.claim(
            hired == people.len() && everywhere,
            &format!("{hired} people hired in {took} ms; all three systems hold all of them"),
        )
    }

    async fn lands_everywhere(&mut self) -> Result<()> {
        self.stage.scene("A change lands everywhere")?;
        self.stage.tell(
            "Ada Quill goes from the workshop to design, with a raise. The HR platform sends one \
             change:",
        )?;
        let (id, patch) = ("ada", json!({"department": "Design", "salary": 55000}));
        self.command(id, &patch)?;
        let before = self.targets().await?;
        let ended = self.change(change(id, patch), "moved").await;
        let now = self.targets().await?;
        let wanted = [
            ("payroll", "department", "Design"),
            ("payroll", "salary", "55000"),
            ("badges", "zone", "DESIGN"),
            ("directory", "department", "Design"),
        ];
        self.steps(&ended).await?;
        self.values(id, &wanted, &before, &now, Landed::Yes)?;
        self.ended(&ended, Outcome::Synced)?;
        self.stage.claim(
            holds(&now, id, &wanted),
            "all three systems hold the new data",
        )?;
        self.stage.claim(
            now.without(id) == before.without(id),
            "nobody else's record changed",
        )
    }

    async fn is_taken_back(&mut self) -> Result<()> {
        self.stage.scene("One target refuses, so all go back")?;
        self.stage.tell(
            "Bruno Tamm is to join Moonshots, a department that the directory has never heard of. \
             By the time it says so, payroll and badges have taken the change. The hook \
             hooks/compensate.rhai asks for a revert, and Recant undoes them in reverse:",
        )?;
        let (id, patch) = ("bruno", json!({"department": "Moonshots"}));
        self.command(id, &patch)?;
        let (before, record_before) = (self.targets().await?, self.record(id).await);
        let ended = self.change(change(id, patch), "refused").await;
        let now = self.targets().await?;
        let wanted = [
            ("payroll", "department", "Moonshots"),
            ("badges", "zone", "MOONSHOTS"),
            ("directory", "department", "Moonshots"),
        ];
        self.steps(&ended).await?;
        self.values(id, &wanted, &before, &now, Landed::No)?;
        self.ended(&ended, Outcome::Compensated)?;
        self.stage.claim(
            ended.code == 409,
            "the platform was told 409 Conflict, and why",
        )?;
        self.stage.claim(
            now == before,
            "every record in all three systems is exactly what it was",
        )?;
        let record = self.record(id).await;
        self.stage.claim(
            record.is_some() && record == record_before,
            "so is Recant's own record of him",
        )
    }

    async fn diverges_and_heals(&mut self) -> Result<String> {
        self.stage.scene("The way back is blocked, too")?;
        self.stage.tell(
            "The accountant closes the books: from now on payroll lets no salary fall. Cora \
             Denholm is to join Moonshots, with a raise. Payroll takes the raise, the directory \
             refuses her, and payroll refuses to take the raise back:",
        )?;
        let (id, patch) = ("cora", json!({"department": "Moonshots", "salary": 60000}));
        self.command(id, &patch)?;
        self.folder.close_the_books().await?;
        let before = self.targets().await?;
        let ended = self.change(change(id, patch), "blocked").await;
        let now = self.targets().await?;
        let wanted = [
            ("payroll", "department", "Moonshots"),
            ("payroll", "salary", "60000"),
            ("badges", "zone", "MOONSHOTS"),
            ("directory", "department", "Moonshots"),
        ];
        self.steps(&ended).await?;
        self.values(id, &wanted, &before, &now, Landed::No)?;
        self.ended(&ended, Outcome::Diverged)?;
        let record = self.operation(&ended).await;
        self.diverged(id, record.as_ref(), &before, &now)?;
        self.heal(&ended, id, &wanted, &before).await?;
        Ok(record.map_or_else(String::new, |record| record.transaction_id))
    }

    /// What a divergence leaves behind is a list that says exactly who differs.
    fn diverged(
        &mut self,
        id: &str,
        record: Option<&OperationRecord>,
        before: &Targets,
        now: &Targets,
    ) -> Result<()> {
        let listed: Vec<&str> = record
            .map(|record| &record.diverged)
            .into_iter()
            .flatten()
            .map(|row| row.mapping.as_str())
            .collect();
        let differ: Vec<&str> = NAMES
            .into_iter()
            .filter(|name| now.person(name, id) != before.person(name, id))
            .collect();
        self.stage.claim(
            listed == differ && differ == ["payroll"],
            "its record lists who differs: payroll, and nobody else",
        )?;
        self.stage.claim(
            now.without(id) == before.without(id),
            "nobody else's record changed",
        )
    }

    async fn heal(
        &mut self,
        ended: &Ended,
        id: &str,
        wanted: &[Wanted],
        before: &Targets,
    ) -> Result<()> {
        let Some(operation) = ended.operation else {
            return self.stage.claim(false, "the change has a record");
        };
        self.stage.tell(
            "Nothing is hidden: `recant ops list --outcome diverged` shows it until somebody ends \
             it. The accountant opens the books again, and then:",
        )?;
        self.stage.gap()?;
        self.stage
            .command(&format!("recant ops heal {operation}"))?;
        self.folder.open_the_books().await?;
        let healed = self.app.heal(operation, "demo").await;
        let now = self.targets().await?;
        self.values(id, wanted, before, &now, Landed::No)?;
        let healed = healed.is_ok_and(|record| {
            record.outcome == Some(Outcome::Compensated) && record.healed_at.is_some()
        });
        self.stage.claim(
            healed,
            "the outcome is now compensated, with the time of healing",
        )?;
        self.stage.claim(
            now == *before,
            "every record in all three systems is exactly what it was",
        )
    }

    async fn is_on_record(&mut self, transaction: &str) -> Result<()> {
        self.stage.scene("It is all on record")?;
        self.stage.tell(
            "Every attempt, write, hook run, undo, divergence and healing is an audit entry. This \
             is what it says about Cora Denholm's change:",
        )?;
        let entries = self.entries(transaction).await?;
        self.stage.table(
            &["topic", "what", "object", "how"],
            entries.iter().map(audit::story_row),
        )?;
        self.stage.gap()?;
        let of = |topic: &str| {
            entries
                .iter()
                .filter(|entry| text_at(entry, "/topic") == topic)
                .count()
        };
        self.stage.claim(
            of("activity") > 0 && of("sync") >= 3 && of("compensation") >= 2,
            "it names the attempt, the three writes, the undo writes and the divergence",
        )?;
        let verification = self.app.verify_audit().await?;
        self.stage.claim(
            verification.broken.is_none() && verification.entries > 0,
            &format!(
                "the chain of all {} entries is whole: none edited, missing or moved",
                verification.entries
            ),
        )
    }
}

fn holds(targets: &Targets, id: &str, wanted: &[Wanted]) -> bool {
    wanted
        .iter()
        .all(|(target, attribute, value)| targets.attribute(target, id, attribute) == *value)
}

fn create(id: &str, person: &Object) -> Requested {
    Requested::Create {
        id: Some(id.to_owned()),
        content: person.clone(),
    }
}

fn change(id: &str, patch: Value) -> Requested {
    Requested::Patch {
        id: id.to_owned(),
        patch: Patch::Merge(patch.as_object().cloned().unwrap_or_default()),
        precondition: Precondition::None,
    }
}
