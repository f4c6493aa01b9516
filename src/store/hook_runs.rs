//! Runs of hooks that are kept: found again by change, script or hook, and bounded in number.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sea_orm::{
    EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{Cond, Expr, ExprTrait as _, Query},
};

use super::{
    Core, Error, Refusal, Store,
    entity::hook_run,
    keys::{Place, Sealed},
    rotation::BATCH,
    rows::{Encoder, micros},
};
use crate::model::hook_run::{Kept, KeptRun};

/// Most bytes of a kept run: it is written together with what ends changes, and must not hold that up.
const MOST_BYTES: usize = 256 * 1024;

/// Which kept runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunSearch {
    /// Those of this change.
    pub operation: Option<String>,
    /// Those of this hook.
    pub hook: Option<String>,
    /// Those of this script.
    pub script: Option<String>,
    /// How many at most, the newest.
    pub limit: u64,
}

impl Store {
    /// Kept runs, newest first.
    ///
    /// # Errors
    /// The database fails, or a run is encrypted with an unknown key.
    pub async fn hook_runs(&self, search: &RunSearch) -> Result<Vec<KeptRun>, Error> {
        use hook_run::Column;
        let step = "read kept runs of hooks";
        self.keep_what_waits().await;
        self.flush().await?;
        let mut query = hook_run::Entity::find()
            .order_by_desc(Column::Id)
            .limit(search.limit);
        for (column, wanted) in [
            (Column::Operation, &search.operation),
            (Column::Hook, &search.hook),
            (Column::Script, &search.script),
        ] {
            if let Some(wanted) = wanted {
                query = query.filter(Expr::col(column).eq(wanted.as_str()));
            }
        }
        let rows = query.all(self.core().database.reader()).await;
        let rows = rows.map_err(Error::at(step))?;
        rows.into_iter()
            .map(|row| kept_run(self.core(), row).map_err(Error::at(step)))
            .collect()
    }

    /// Drops runs that began before `before`, and of each hook all but the newest `most`; tells how
    /// many.
    ///
    /// # Errors
    /// The database fails.
    pub async fn forget_hook_runs(&self, before: DateTime<Utc>, most: u64) -> Result<u64, Error> {
        use hook_run::Column;
        let step = "drop old runs of hooks";
        let core = self.core();
        let old = Query::delete()
            .from_table(hook_run::Entity)
            .and_where(Expr::col(Column::At).lt(micros(before)))
            .to_owned();
        let mut dropped = core.database.execute(&old).await.map_err(Error::at(step))?;
        let hooks: Vec<String> = hook_run::Entity::find()
            .select_only()
            .column(Column::Hook)
            .distinct()
            .into_tuple()
            .all(core.database.reader())
            .await
            .map_err(Error::at(step))?;
        for hook in hooks {
            let beyond: Option<String> = hook_run::Entity::find()
                .select_only()
                .column(Column::Id)
                .filter(Expr::col(Column::Hook).eq(hook.as_str()))
                .order_by_desc(Column::Id)
                .offset(most)
                .limit(1)
                .into_tuple()
                .one(core.database.reader())
                .await
                .map_err(Error::at(step))?;
            let Some(beyond) = beyond else { continue };
            let statement = Query::delete()
                .from_table(hook_run::Entity)
                .and_where(Expr::col(Column::Hook).eq(hook))
                .and_where(Expr::col(Column::Id).lte(beyond))
                .to_owned();
            let deleted = core.database.execute(&statement).await;
            dropped += deleted.map_err(Error::at(step))?;
        }
        Ok(dropped)
    }

    /// Encrypts kept runs anew that are not under the first key; tells how many.
    pub(super) async fn reencrypt_hook_runs(&self, first: &str) -> Result<u64, Error> {
        use hook_run::Column;
        let step = "encrypt kept runs of hooks anew";
        let (core, mut count) = (self.core(), 0);
        let mut after = String::new();
        loop {
            let other_key = Cond::any()
                .add(Expr::col(Column::Key).is_null())
                .add(Expr::col(Column::Key).ne(first));
            let rows = hook_run::Entity::find()
                .filter(Expr::col(Column::Id).gt(after.as_str()))
                .filter(other_key)
                .order_by_asc(Column::Id)
                .limit(BATCH)
                .all(core.database.reader())
                .await
                .map_err(Error::at(step))?;
            let Some(last) = rows.last() else {
                return Ok(count);
            };
            after.clone_from(&last.id);
            for row in rows {
                let id = row.id.clone();
                let clear = clear_body(core, row).map_err(Error::at(step))?;
                let sealed = core.keys.seal(&run_place(&[&id]), &clear);
                let Some(sealed) = sealed.map_err(Error::at(step))? else {
                    continue;
                };
                let update = Query::update()
                    .table(hook_run::Entity)
                    .value(Column::Key, sealed.key)
                    .value(Column::Body, sealed.data)
                    .and_where(Expr::col(Column::Id).eq(id))
                    .to_owned();
                let updated = core.database.execute(&update).await;
                count += updated.map_err(Error::at(step))?;
            }
        }
    }
}

impl Encoder<'_> {
    /// The row of a kept run, encrypted where there is a key; none where it is too large.
    pub(super) fn hook_run(&self, kept: &KeptRun) -> Result<Option<hook_run::Model>, Refusal> {
        let run = &kept.run;
        let Some(clear) = json_within(run.as_ref(), MOST_BYTES) else {
            return Ok(None);
        };
        let (key, body) = match self.keys.seal(&run_place(&[&kept.id]), &clear)? {
            Some(sealed) => (Some(sealed.key), sealed.data),
            None => (None, clear),
        };
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        Ok(Some(hook_run::Model {
            id: kept.id.clone(),
            hook: bounded(&run.hook),
            script: bounded(&run.script),
            digest: run.digest.clone(),
            operation: kept.operation.to_string(),
            object: kept.object.to_string(),
            verdict: run.ended.verdict.clone(),
            at: micros(run.at),
            micros: number(run.micros),
            operations: number(run.operations),
            key,
            body,
        }))
    }
}

/// A value as JSON; none where that has more bytes, which is found out without making all of it.
fn json_within(value: &impl serde::Serialize, most: usize) -> Option<String> {
    struct Within(Vec<u8>, usize);
    impl std::io::Write for Within {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.0.len() + bytes.len() > self.1 {
                return Err(std::io::ErrorKind::FileTooLarge.into());
            }
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut text = Within(Vec::new(), most);
    serde_json::to_writer(&mut text, value).ok()?;
    String::from_utf8(text.0).ok()
}

/// Names as their column holds them.
fn bounded(name: &str) -> String {
    name.chars().take(255).collect()
}

fn kept_run(core: &Core, row: hook_run::Model) -> Result<KeptRun, Refusal> {
    let damaged = || Refusal::Damaged("a kept run of a hook");
    let (id, operation, object) = (row.id.clone(), row.operation.clone(), row.object.clone());
    let clear = clear_body(core, row)?;
    let run: Kept = serde_json::from_str(&clear).map_err(|_| damaged())?;
    Ok(KeptRun {
        id,
        operation: operation.parse().map_err(|_| damaged())?,
        object: object.parse().map_err(|_| damaged())?,
        run: Arc::new(run),
    })
}

fn clear_body(core: &Core, row: hook_run::Model) -> Result<String, Refusal> {
    let Some(key) = row.key else {
        return Ok(row.body);
    };
    let sealed = Sealed {
        key,
        data: row.body,
    };
    core.keys.open(&run_place(&[&row.id]), &sealed)
}

fn run_place<'a>(row: &'a [&'a str]) -> Place<'a> {
    Place {
        table: "hook_run",
        row,
        attribute: "body",
    }
}
