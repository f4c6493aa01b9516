//! Looking back through changes and audit entries for what no index knows, a bounded time at once.
//!
//! Newest first, window by window: the database looks for texts that the stored JSON must hold, each
//! hit is then asked itself. When the patience is over, the answer says where the next look begins.
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ConnectionTrait as _, DbBackend, EntityTrait as _, QueryResult,
    sea_query::{
        Expr, ExprTrait as _, Func, IntoIden as _, Order as Direction, Query, SelectStatement,
    },
};
use serde_json::Value;

use super::{
    Core, Error, Store,
    audit::chained,
    decode::record,
    entity::{audit_entry, operation},
    rows::from_micros,
};
use crate::model::{
    OperationId, OperationRecord, Outcome,
    audit::{ChainedEntry, Topic},
};

/// How many rows the first window has; each next one is twice as large.
const WINDOW: u64 = 2_000;
/// How many rows the largest window has.
const WIDEST: u64 = 16_000;
/// How far the id of a change may be older than its beginning: it waited for its turn meanwhile.
const WAITED: TimeDelta = TimeDelta::hours(1);
/// How far times of entries may run against their order.
const SLACK: TimeDelta = TimeDelta::minutes(1);

/// Which changes are looked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChangeLook {
    /// How they ended.
    pub outcome: Option<OutcomeIs>,
    /// The object, `managed/TYPE/ID`; any of these.
    pub objects: Vec<String>,
    /// A mapping that has a row in it.
    pub mapping: Option<String>,
    /// A target: `system/NAME`, `system/NAME/CLASS`.
    pub target: Option<String>,
    /// A hook that ran: its script's name, or where it stands (`onSync`).
    pub hook: Option<String>,
    /// Who asked.
    pub caller: Option<String>,
    /// Whether nested changes are found, too.
    pub nested: bool,
    /// Not before.
    pub from: Option<DateTime<Utc>>,
    /// Not after.
    pub until: Option<DateTime<Utc>>,
    /// Only those before this one: where the look before ended.
    pub before: Option<OperationId>,
}

/// How a change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeIs {
    /// This way.
    Ended(Outcome),
    /// Diverged, and nobody has ended that.
    OpenDivergence,
    /// Not yet.
    Running,
}

/// Which audit entries are looked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AuditLook {
    /// What they are about.
    pub topic: Option<Topic>,
    /// What they tell: `change`, `hook`, `sync`, …
    pub event: Option<String>,
    /// How the change that they are about ended.
    pub outcome: Option<Outcome>,
    /// Who did it.
    pub user: Option<String>,
    /// A text that an entry holds anywhere: an object, a target, a message.
    pub text: Option<String>,
    /// The change.
    pub operation: Option<String>,
    /// What ties entries together.
    pub transaction: Option<String>,
    /// Not before.
    pub from: Option<DateTime<Utc>>,
    /// Not after.
    pub until: Option<DateTime<Utc>>,
    /// Only those before this place: where the look before ended.
    pub before: Option<i64>,
}

/// What a look found.
#[derive(Debug, Clone, PartialEq)]
pub struct Looked<T, K> {
    /// Newest first.
    pub results: Vec<T>,
    /// Where the next look begins; none: nothing is left.
    pub next: Option<K>,
    /// Whether the patience ended before the page was full.
    pub broke_off: bool,
}

impl<T, K> Looked<T, K> {
    /// The same, where the patience ended before the page was full.
    fn broken_off(self, next: Option<K>) -> Self {
        Self {
            next,
            broke_off: true,
            ..self
        }
    }
}

fn change_id(text: String) -> Option<OperationId> {
    text.parse().ok().map(OperationId)
}

impl Store {
    /// Looks for at most `count` changes, newest first, for about as long as `patience`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn look_for_changes(
        &self,
        look: &ChangeLook,
        count: usize,
        patience: Duration,
    ) -> Result<Looked<OperationRecord, OperationId>, Error> {
        self.flush().await?;
        let core = self.core();
        let started = Instant::now();
        let mut looked = Looked::<OperationRecord, OperationId> {
            results: Vec::new(),
            next: None,
            broke_off: false,
        };
        let latest = look.until.map(|until| bound_id(until + SLACK, 'f'));
        let mut upper = match (look.before.map(|id| id.0.to_string()), latest) {
            (Some(before), Some(latest)) => Some(Ord::min(before, latest)),
            (one, other) => one.or(other),
        };
        let oldest = look.from.map(|from| bound_id(from - WAITED, '0'));
        let mut window = WINDOW;
        loop {
            let lower = match look.is_narrow() {
                true => None,
                false => edge_of_changes(core, upper.as_deref(), window).await?,
            };
            let floor = Ord::max(lower.clone(), oldest.clone());
            let wanted = count.saturating_sub(looked.results.len()) + 1;
            let query = look.query(core, upper.as_deref(), floor.as_deref(), wanted);
            let rows = rows(core, &query).await?;
            let full = rows.len() >= wanted;
            for row in rows {
                let one = record(&text(&row, 0)?)?;
                upper = Some(one.id.0.to_string());
                if !look.fits(&one) {
                    continue;
                }
                if looked.results.len() == count {
                    looked.next = looked.results.last().map(|last| last.id);
                    return Ok(looked);
                }
                looked.results.push(one);
            }
            if full && started.elapsed() < patience {
                continue;
            }
            if full {
                return Ok(looked.broken_off(upper.and_then(change_id)));
            }
            let ended = lower.is_none() || (oldest.is_some() && lower <= oldest);
            if ended {
                return Ok(looked);
            }
            upper = lower;
            window = Ord::min(WIDEST, window * 2);
            if started.elapsed() >= patience {
                return Ok(looked.broken_off(upper.and_then(change_id)));
            }
        }
    }

    /// Looks for at most `count` audit entries, newest first, for about as long as `patience`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn look_for_entries(
        &self,
        look: &AuditLook,
        count: usize,
        patience: Duration,
    ) -> Result<Looked<ChainedEntry, i64>, Error> {
        self.look_for_entries_that(look, count, patience, &|_| true)
            .await
    }

    /// The same with a condition of its own, which no index knows.
    ///
    /// # Errors
    /// The database fails.
    pub async fn look_for_entries_that(
        &self,
        look: &AuditLook,
        count: usize,
        patience: Duration,
        fits: &(dyn Fn(&ChainedEntry) -> bool + Sync),
    ) -> Result<Looked<ChainedEntry, i64>, Error> {
        self.flush().await?;
        let started = Instant::now();
        let core = self.core();
        let newest = self.newest_entry_at(look.until).await?;
        let mut upper = look
            .before
            .map_or(newest + 1, |before| Ord::min(before, newest + 1));
        let oldest = match look.from {
            Some(from) => self.newest_entry_at(Some(from - SLACK * 2)).await?,
            None => 0,
        };
        let mut looked = Looked::<ChainedEntry, i64> {
            results: Vec::new(),
            next: None,
            broke_off: false,
        };
        let mut window = i64::try_from(WINDOW).unwrap_or(i64::MAX);
        loop {
            let lower = match look.is_narrow() {
                true => oldest,
                false => Ord::max(oldest, upper.saturating_sub(window + 1)),
            };
            let wanted = count.saturating_sub(looked.results.len()) + 1;
            let found = look
                .query(core, upper, lower, wanted)
                .all(core.database.reader())
                .await;
            let found = found.map_err(Error::at("look for audit entries"))?;
            let full = found.len() >= wanted;
            for row in found {
                let one = chained(row);
                upper = one.position;
                if !look.fits(&one) || !fits(&one) {
                    continue;
                }
                if looked.results.len() == count {
                    looked.next = looked.results.last().map(|last| last.position);
                    return Ok(looked);
                }
                looked.results.push(one);
            }
            if full && started.elapsed() < patience {
                continue;
            }
            if full {
                return Ok(looked.broken_off(Some(upper)));
            }
            if lower <= oldest {
                return Ok(looked);
            }
            upper = lower + 1;
            window = window.saturating_mul(2);
            if started.elapsed() >= patience {
                return Ok(looked.broken_off(Some(upper)));
            }
        }
    }

    /// The last place of the chain whose entry is not after a time; the last one of all without a
    /// time. Entries stand in the order of time but for moments, so that few of them are read.
    async fn newest_entry_at(&self, until: Option<DateTime<Utc>>) -> Result<i64, Error> {
        let (mut low, mut high) = (0, self.newest_entry().await?);
        let Some(until) = until.and_then(|until| until.checked_add_signed(SLACK)) else {
            return Ok(high);
        };
        while low < high {
            let middle = low + (high - low + 1) / 2;
            match self.time_of_entry(middle).await? {
                Some(time) if time <= until => low = middle,
                _ => high = middle - 1,
            }
        }
        Ok(low)
    }

    async fn time_of_entry(&self, position: i64) -> Result<Option<DateTime<Utc>>, Error> {
        let query = Query::select()
            .column(audit_entry::Column::Timestamp)
            .from(audit_entry::Entity)
            .and_where(Expr::col(audit_entry::Column::Position).lte(position))
            .order_by(audit_entry::Column::Position, Direction::Desc)
            .limit(1)
            .to_owned();
        let step = "find entries by time";
        let row = self.core().database.reader().query_one(&query).await;
        let row = row.map_err(Error::at(step))?;
        row.map(|row| row.try_get_by_index(0).map(from_micros))
            .transpose()
            .map_err(Error::at(step))
    }
}

impl ChangeLook {
    /// Whether an index leaves few rows to look at.
    fn is_narrow(&self) -> bool {
        let by_text = [&self.mapping, &self.target, &self.hook, &self.caller];
        let by_text = by_text.into_iter().any(Option::is_some);
        !self.objects.is_empty() || self.is_rare() || (!by_text && self.from.is_none())
    }

    fn is_rare(&self) -> bool {
        matches!(
            self.outcome,
            Some(OutcomeIs::OpenDivergence | OutcomeIs::Running)
        )
    }

    fn query(
        &self,
        core: &Core,
        upper: Option<&str>,
        lower: Option<&str>,
        count: usize,
    ) -> SelectStatement {
        use operation::Column;
        let mut query = Query::select();
        query
            .column(Column::Record)
            .from(operation::Entity)
            .order_by(Column::Id, Direction::Desc)
            .limit(u64::try_from(count).unwrap_or(u64::MAX));
        if let Some(upper) = upper {
            query.and_where(Expr::col(Column::Id).lt(upper));
        }
        if let Some(lower) = lower {
            query.and_where(Expr::col(Column::Id).gte(lower));
        }
        if !self.nested {
            query.and_where(Expr::col(Column::Depth).eq(0));
        }
        if !self.objects.is_empty() {
            query.and_where(Expr::col(Column::Object).is_in(self.objects.iter().cloned()));
        }
        match self.outcome {
            None => {}
            Some(OutcomeIs::Running) => {
                query.and_where(Expr::col(Column::Outcome).is_null());
            }
            Some(OutcomeIs::Ended(outcome)) => {
                query.and_where(Expr::col(Column::Outcome).eq(outcome.as_str()));
            }
            Some(OutcomeIs::OpenDivergence) => {
                query
                    .and_where(Expr::col(Column::Outcome).eq(Outcome::Diverged.as_str()))
                    .and_where(Expr::col(Column::OpenDivergence).eq(1));
            }
        }
        for needle in self.needles() {
            query.and_where(holds(Column::Record, &needle, core.database.backend()));
        }
        query
    }

    /// Texts that the record's JSON must hold: records are written without spaces.
    fn needles(&self) -> Vec<String> {
        let member =
            |name: &str, value: &String| format!("\"{name}\":{}", Value::from(value.as_str()));
        let mut needles: Vec<String> = Vec::new();
        needles.extend(self.mapping.as_ref().map(|name| member("mapping", name)));
        needles.extend(self.caller.as_ref().map(|name| member("caller", name)));
        needles.extend(
            self.hook
                .as_ref()
                .map(|name| Value::from(name.as_str()).to_string()),
        );
        if let Some(target) = &self.target {
            needles.push(member("target", target).trim_end_matches('"').to_owned());
        }
        needles
    }

    fn fits(&self, record: &OperationRecord) -> bool {
        let of = |wanted: &Option<String>, holds: &dyn Fn(&str) -> bool| {
            wanted.as_deref().is_none_or(holds)
        };
        let target = |name: &str| {
            let below = format!("{name}/");
            let mut writes = record.writes.iter();
            writes.any(|write| write.target == name || write.target.starts_with(&below))
        };
        of(&self.mapping, &|name| {
            record.writes.iter().any(|write| write.mapping == name)
        }) && of(&self.target, &target)
            && of(&self.caller, &|name| record.caller == name)
            && of(&self.hook, &|name| {
                let mut runs = record.hook_runs.iter();
                runs.any(|run| run.name == name || run.hook == name)
            })
            && self.from.is_none_or(|from| record.started_at >= from)
            && self.until.is_none_or(|until| record.started_at <= until)
    }
}

impl AuditLook {
    fn is_narrow(&self) -> bool {
        self.operation.is_some() || self.transaction.is_some()
    }

    fn query(
        &self,
        core: &Core,
        upper: i64,
        lower: i64,
        count: usize,
    ) -> sea_orm::Select<audit_entry::Entity> {
        use audit_entry::Column;
        use sea_orm::{QueryFilter as _, QueryOrder as _, QuerySelect as _};
        let mut query = audit_entry::Entity::find()
            .filter(Expr::col(Column::Position).lt(upper))
            .filter(Expr::col(Column::Position).gt(lower))
            .order_by_desc(Column::Position)
            .limit(u64::try_from(count).unwrap_or(u64::MAX));
        if let Some(topic) = self.topic {
            // Hidden from the index on topics: its rows would all be sorted for each window.
            let topic_column = Func::coalesce([Expr::col(Column::Topic), Expr::val("")]);
            query = query.filter(Expr::expr(topic_column).eq(topic.as_str()));
        }
        if let Some(operation) = &self.operation {
            query = query.filter(Expr::col(Column::Operation).eq(operation.as_str()));
        }
        if let Some(transaction) = &self.transaction {
            query = query.filter(Expr::col(Column::TransactionId).eq(transaction.as_str()));
        }
        for needle in self.needles() {
            query = query.filter(holds(Column::Body, &needle, core.database.backend()));
        }
        query
    }

    fn needles(&self) -> Vec<String> {
        let member =
            |name: &str, value: &String| format!("\"{name}\":{}", Value::from(value.as_str()));
        let mut needles: Vec<String> = Vec::new();
        needles.extend(self.event.as_ref().map(|name| member("eventName", name)));
        needles.extend(self.user.as_ref().map(|name| member("userId", name)));
        let ended = self.outcome.map(|outcome| outcome.as_str().to_owned());
        needles.extend(ended.map(|word| member("outcome", &word)));
        needles.extend(self.text.as_ref().map(|text| {
            let quoted = Value::from(text.as_str()).to_string();
            quoted.trim_matches('"').to_owned()
        }));
        needles
    }

    fn fits(&self, entry: &ChainedEntry) -> bool {
        let at = entry.entry.timestamp;
        let is = |name: &str, wanted: &Option<String>| {
            let found = entry.entry.body.get(name).and_then(Value::as_str);
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let ended = self.outcome.map(|outcome| outcome.as_str().to_owned());
        is("outcome", &ended)
            && is("eventName", &self.event)
            && is("userId", &self.user)
            && self.from.is_none_or(|from| at >= from)
            && self.until.is_none_or(|until| at <= until)
    }
}

/// The id of the change that ends a window of so many rows; none where there are not as many left.
async fn edge_of_changes(
    core: &Core,
    upper: Option<&str>,
    window: u64,
) -> Result<Option<String>, Error> {
    use operation::Column;
    let mut query = Query::select();
    query
        .column(Column::Id)
        .from(operation::Entity)
        .order_by(Column::Id, Direction::Desc)
        .offset(window)
        .limit(1);
    if let Some(upper) = upper {
        query.and_where(Expr::col(Column::Id).lt(upper));
    }
    let found = rows(core, &query).await?;
    found.first().map(|row| text(row, 0)).transpose()
}

/// The first (`0`) or last (`f`) id that a moment can have: a UUIDv7 begins with it.
fn bound_id(at: DateTime<Utc>, fill: char) -> String {
    let moment = format!("{:012x}", Ord::max(at.timestamp_millis(), 0));
    let (high, low) = moment.split_at(Ord::min(8, moment.len()));
    let rest = |count: usize| fill.to_string().repeat(count);
    format!("{high}-{low}-{}-{}-{}", rest(4), rest(4), rest(12))
}

/// Whether a text column holds a text, byte for byte.
pub(super) fn holds(
    column: impl sea_orm::Iden + Copy + 'static,
    needle: &str,
    backend: DbBackend,
) -> Expr {
    let function = match backend {
        DbBackend::Postgres => "strpos",
        _ => "instr",
    };
    let arguments = [Expr::col(column.into_iden()), Expr::val(needle)];
    Expr::expr(Func::cust(function).args(arguments)).gt(0)
}

async fn rows(core: &Core, query: &SelectStatement) -> Result<Vec<QueryResult>, Error> {
    let rows = core.database.reader().query_all(query).await;
    rows.map_err(Error::at("look for changes"))
}

fn text(row: &QueryResult, at: usize) -> Result<String, Error> {
    row.try_get_by_index(at)
        .map_err(Error::at("look for changes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_a_moment_lie_between_its_bounds() {
        let at = DateTime::from_timestamp_millis(1_800_000_000_123).unwrap_or_default();
        let id = uuid::Uuid::new_v7(uuid::Timestamp::from_unix(
            uuid::NoContext,
            1_800_000_000,
            123_000_000,
        ))
        .to_string();
        assert!(bound_id(at, '0') <= id, "{id}");
        assert!(bound_id(at, 'f') >= id, "{id}");
        assert!(bound_id(at + TimeDelta::milliseconds(1), '0') > id);
        assert!(bound_id(at - TimeDelta::milliseconds(1), 'f') < id);
    }
}
