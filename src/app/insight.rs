//! What people look at first: outcomes over time, what needs somebody, how hooks do, and looking back.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::{
    model::{Object, OperationId, OperationRecord, Outcome, audit::ChainedEntry, recon::Syncable},
    store::{
        AuditLook, ChangeLook, Looked, MOST_SEARCHES, SPEEDS, SavedSearch, StuckEvents, Tally,
    },
    sync::shown,
};

use super::{App, Error};

/// How long counts are shown before they are counted anew.
const FRESH: Duration = Duration::from_secs(4);
/// How many of the latest audit entries of activity tell how hooks do.
pub const HOOK_SAMPLE: u64 = 2_000;
/// How many of them are looked through for rejections.
const REJECTION_SAMPLE: u64 = 8_000;
/// How long one look back may take before it tells where it stands.
const PATIENCE: Duration = Duration::from_millis(80);
/// The longest name of a kept search.
const LONGEST_NAME: usize = 100;
/// The longest query of a kept search, in bytes.
const LONGEST_QUERY: usize = 2_000;

/// How changes went in one span of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// When it begins.
    pub at: DateTime<Utc>,
    /// How many changes ended in each way, as [`Outcome::ALL`] lists them.
    pub outcomes: [u64; 5],
    /// How many have not ended.
    pub running: u64,
    /// Half of them took at most so many milliseconds; none where none ended.
    pub median_ms: Option<i64>,
    /// 95 of 100 took at most so many.
    pub slow_ms: Option<i64>,
}

/// How changes went over a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Trend {
    /// One after the other, without gaps.
    pub spans: Vec<Span>,
    /// How long each is.
    pub width: TimeDelta,
    /// All of them together.
    pub whole: Span,
    /// Rejections before this time are not counted; none: all are.
    pub rejections_since: Option<DateTime<Utc>>,
}

/// How the runs of one script went among the latest changes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScriptRuns {
    /// How often it ran.
    pub runs: u64,
    /// How often it broke.
    pub errors: u64,
    /// How often it said no, or asked for a revert.
    pub refusals: u64,
    /// How long all runs took, in milliseconds.
    pub total_ms: u64,
    /// How long the longest run took.
    pub longest_ms: u64,
    /// Why it broke the last time.
    pub last_error: Option<String>,
    /// The change in which that was.
    pub failed_in: Option<OperationId>,
}

/// Counts that are shown again for a while: pages are looked at more often than counts are worth.
#[derive(Debug, Default)]
pub(super) struct Counted {
    trends: Mutex<BTreeMap<i64, (Instant, Arc<Trend>)>>,
    scripts: Mutex<Option<(Instant, Arc<RunsByScript>)>>,
}

/// How the runs of scripts went, by the script's name.
pub type RunsByScript = BTreeMap<String, ScriptRuns>;

impl App {
    /// How changes went since so long ago, in spans of `width`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn trend(&self, since: TimeDelta, width: TimeDelta) -> Result<Arc<Trend>, Error> {
        let key = since.num_seconds();
        let counted = &self.parts.counted.trends;
        let known = locked(counted).get(&key).cloned();
        if let Some((_, trend)) = known.filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(trend);
        }
        let now = self.clock().now();
        let begin = rounded(now - since, width);
        let tallies = self.store().tally(begin, width).await?;
        let (rejections, since) = self.store().rejections(begin, REJECTION_SAMPLE).await?;
        let mut trend = Trend::of(&tallies, begin, now, width);
        trend.take_rejections(&rejections, since);
        let trend = Arc::new(trend);
        locked(counted).insert(key, (Instant::now(), Arc::clone(&trend)));
        Ok(trend)
    }

    /// How scripts did in the latest [`HOOK_SAMPLE`] audit entries of activity, by the script's name;
    /// those of rejected changes, which leave no other trace, are among them.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn script_runs(&self) -> Result<Arc<RunsByScript>, Error> {
        let counted = &self.parts.counted.scripts;
        let known = locked(counted).clone();
        if let Some((_, runs)) = known.filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(runs);
        }
        let entries = self.store().latest_hook_entries(HOOK_SAMPLE).await?;
        let mut scripts = RunsByScript::new();
        for (operation, fields) in &entries {
            let script = fields.get("script").and_then(|script| script.get("name"));
            if let Some(name) = script.and_then(Value::as_str) {
                let runs = scripts.entry(name.to_owned()).or_default();
                runs.take(fields, operation.map(OperationId));
            }
        }
        let scripts = Arc::new(scripts);
        *locked(counted) = Some((Instant::now(), Arc::clone(&scripts)));
        Ok(scripts)
    }

    /// Changes whose divergence waits for somebody, newest first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn open_divergences(&self, count: u64) -> Result<Vec<OperationRecord>, Error> {
        Ok(self.store().open_divergences(count).await?)
    }

    /// Integration events and deliveries that failed.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn stuck_events(&self) -> Result<Vec<StuckEvents>, Error> {
        Ok(self.store().stuck_events().await?)
    }

    /// Mappings whose schedule pauses because their runs fail.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn quarantined(&self) -> Result<Vec<Syncable>, Error> {
        let now = self.clock().now();
        let mut found = self.syncables().await?;
        found.retain(|one| one.quarantined_until.is_some_and(|until| until > now));
        Ok(found)
    }

    /// What is known of each connector's health without asking it: `{name, type, health}`.
    #[must_use]
    pub fn connector_health(&self) -> Vec<Value> {
        let setup = self.engine().setup();
        let configuration = self.configuration();
        let now = self.clock().now();
        let one = |(name, target): (&String, &crate::sync::Target)| {
            let kind = configuration.connectors.get(name).map(|one| one.word());
            let health = target.connector.health();
            serde_json::json!({
                "name": name,
                "connectorType": kind,
                "objectTypes": target.connector.classes(),
                "health": health.map(|health| super::targets::health_value(&health, now)),
            })
        };
        setup.targets.iter().map(one).collect()
    }

    /// Looks back through changes for about a tenth of a second.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn look_for_changes(
        &self,
        look: &ChangeLook,
        count: usize,
    ) -> Result<Looked<OperationRecord, OperationId>, Error> {
        let mut looked = self.store().look_for_changes(look, count, PATIENCE).await?;
        for record in &mut looked.results {
            if record.outcome.is_none()
                && let Some(stored) = self.store().operation(record.id).await?
            {
                *record = shown(stored);
            }
        }
        Ok(looked)
    }

    /// Looks back through the audit trail for about a tenth of a second.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn look_for_entries(
        &self,
        look: &AuditLook,
        count: usize,
    ) -> Result<Looked<ChainedEntry, i64>, Error> {
        self.look_for_entries_that(look, count, &|_| true).await
    }

    /// The same with a condition of its own.
    pub(super) async fn look_for_entries_that(
        &self,
        look: &AuditLook,
        count: usize,
        fits: &(dyn Fn(&ChainedEntry) -> bool + Sync),
    ) -> Result<Looked<ChainedEntry, i64>, Error> {
        let store = self.store();
        let looked = store.look_for_entries_that(look, count, PATIENCE, fits);
        Ok(looked.await?)
    }

    /// A number that moves whenever anything was settled, on any node.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn pulse(&self) -> Result<i64, Error> {
        Ok(self.store().newest_entry().await?)
    }

    /// Keeps a search of a caller for a page, in place of the one of the same name.
    ///
    /// # Errors
    /// 400 for a name that is empty or too long, or a query that is, 409 for one too many.
    pub async fn keep_search(
        &self,
        caller: &str,
        page: &str,
        name: &str,
        query: &str,
    ) -> Result<(), Error> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > LONGEST_NAME {
            let message =
                format!("a kept search needs a name of at most {LONGEST_NAME} characters");
            return Err(Error::new(400, message));
        }
        if query.len() > LONGEST_QUERY {
            let message = format!("a search of more than {LONGEST_QUERY} characters is not kept");
            return Err(Error::new(400, message));
        }
        let search = SavedSearch {
            id: self.clock().fresh_id().to_string(),
            caller: caller.to_owned(),
            page: page.to_owned(),
            name: name.to_owned(),
            query: query.to_owned(),
        };
        if self.store().add_search(&search).await? {
            return Ok(());
        }
        let message = format!("you keep {MOST_SEARCHES} searches of this page: forget one first");
        Err(Error::new(409, message))
    }

    /// The searches of a caller for a page.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn searches(&self, caller: &str, page: &str) -> Result<Vec<SavedSearch>, Error> {
        Ok(self.store().searches(caller, page).await?)
    }

    /// Forgets a search of a caller.
    ///
    /// # Errors
    /// 404 where there is none.
    pub async fn forget_search(&self, caller: &str, id: &str) -> Result<(), Error> {
        match self.store().forget_search(caller, id).await? {
            true => Ok(()),
            false => Err(Error::missing(format!("kept search {id}"))),
        }
    }
}

impl ScriptRuns {
    fn take(&mut self, fields: &Object, operation: Option<OperationId>) {
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let taken = fields
            .get("durationMs")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        self.runs += 1;
        self.total_ms += taken;
        self.longest_ms = self.longest_ms.max(taken);
        match text("verdict").unwrap_or_default() {
            "error" => {
                self.errors += 1;
                // The latest runs come first.
                if self.failed_in.is_none() {
                    self.failed_in = operation;
                    self.last_error = text("message").map(str::to_owned);
                }
            }
            "reject" | "revert" => self.refusals += 1,
            _ => {}
        }
    }
}

impl Trend {
    fn of(tallies: &[Tally], begin: DateTime<Utc>, now: DateTime<Utc>, width: TimeDelta) -> Self {
        let starts = std::iter::successors(Some(begin), |at| at.checked_add_signed(width));
        let spans = starts
            .take_while(|at| *at <= now)
            .map(|at| {
                let own = tallies.iter().filter(|tally| tally.at == at);
                Span::of(at, own)
            })
            .collect();
        Self {
            spans,
            width,
            whole: Span::of(begin, tallies.iter()),
            rejections_since: None,
        }
    }

    /// Counts rejections by the audit, which has them all, in place of the journal.
    fn take_rejections(&mut self, rejections: &[DateTime<Utc>], since: Option<DateTime<Utc>>) {
        let place = Outcome::ALL
            .iter()
            .position(|one| *one == Outcome::Rejected);
        let set = |span: &mut Span, count: usize| {
            if let Some(own) = place.and_then(|place| span.outcomes.get_mut(place)) {
                *own = count as u64;
            }
        };
        for span in &mut self.spans {
            let end = span.at + self.width;
            let own = rejections.iter().filter(|at| **at >= span.at && **at < end);
            set(span, own.count());
        }
        set(&mut self.whole, rejections.len());
        self.rejections_since = since;
    }
}

impl Span {
    fn of<'a>(at: DateTime<Utc>, tallies: impl Iterator<Item = &'a Tally>) -> Self {
        let mut outcomes = [0; 5];
        let mut running = 0;
        let mut speeds = [0_u64; SPEEDS.len() + 1];
        for tally in tallies {
            let place = tally
                .outcome
                .and_then(|outcome| Outcome::ALL.into_iter().position(|other| other == outcome));
            match place.and_then(|place| outcomes.get_mut(place)) {
                Some(count) => {
                    *count += tally.count;
                    if let Some(class) = speeds.get_mut(tally.speed) {
                        *class += tally.count;
                    }
                }
                None => running += tally.count,
            }
        }
        Self {
            at,
            outcomes,
            running,
            median_ms: quantile(&speeds, 50),
            slow_ms: quantile(&speeds, 95),
        }
    }

    /// How many changes began in it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.outcomes.iter().sum::<u64>() + self.running
    }

    /// How many ended in one way.
    #[must_use]
    pub fn ended(&self, outcome: Outcome) -> u64 {
        let pairs = Outcome::ALL.into_iter().zip(self.outcomes);
        pairs
            .filter(|(other, _)| *other == outcome)
            .map(|(_, count)| count)
            .sum()
    }
}

/// The bound of the class in which this share (of 100) of all durations is reached.
fn quantile(speeds: &[u64], share: u64) -> Option<i64> {
    let total: u64 = speeds.iter().sum();
    let wanted = (total * share).div_ceil(100);
    let mut seen = 0;
    for (class, count) in speeds.iter().enumerate() {
        seen += count;
        if total > 0 && seen >= wanted {
            let slower = SPEEDS.last().map(|last| last * 2);
            return SPEEDS.get(class).copied().or(slower);
        }
    }
    None
}

/// A time moved back to a whole multiple of the width.
fn rounded(at: DateTime<Utc>, width: TimeDelta) -> DateTime<Utc> {
    let width = width.num_microseconds().unwrap_or(1).max(1);
    let micros = at.timestamp_micros();
    DateTime::from_timestamp_micros(micros - micros.rem_euclid(width)).unwrap_or(at)
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(minute: i64, outcome: Option<Outcome>, speed: usize, count: u64) -> Tally {
        Tally {
            at: DateTime::UNIX_EPOCH + TimeDelta::minutes(minute),
            outcome,
            speed,
            count,
        }
    }

    #[test]
    fn spans_follow_each_other_without_gaps_and_count_everything() {
        let tallies = [
            tally(0, Some(Outcome::Synced), 0, 90),
            tally(0, Some(Outcome::Diverged), 5, 10),
            tally(2, None, 12, 3),
        ];
        let now = DateTime::UNIX_EPOCH + TimeDelta::minutes(2);
        let trend = Trend::of(&tallies, DateTime::UNIX_EPOCH, now, TimeDelta::minutes(1));
        let totals: Vec<u64> = trend.spans.iter().map(Span::total).collect();
        assert_eq!(totals, [100, 0, 3]);
        assert_eq!(trend.whole.total(), 103);
        assert_eq!(trend.whole.ended(Outcome::Synced), 90);
        assert_eq!(trend.whole.running, 3);
        assert_eq!(trend.whole.median_ms, Some(2));
        assert_eq!(trend.whole.slow_ms, Some(100));
        assert_eq!(trend.spans.get(1).unwrap().median_ms, None);
    }

    #[test]
    fn times_are_rounded_to_the_width() {
        let at = DateTime::UNIX_EPOCH + TimeDelta::seconds(125);
        let minute = rounded(at, TimeDelta::minutes(1));
        assert_eq!(minute, DateTime::UNIX_EPOCH + TimeDelta::minutes(2));
    }
}
