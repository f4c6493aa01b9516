//! Tests of a watched connector: which ends of calls count, and what is never held up.
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use futures::poll;

use super::*;
use crate::connectors::health::CircuitSettings;

/// A target that answers each call with what it is told, or never.
#[derive(Debug, Default)]
struct Told {
    kind: Mutex<Option<CauseKind>>,
    is_silent: Mutex<bool>,
    /// Whether it says where the target answers.
    tells: std::sync::atomic::AtomicBool,
    calls: AtomicUsize,
}

impl Told {
    fn says(&self, kind: impl Into<Option<CauseKind>>) {
        *self.kind.lock().unwrap() = kind.into();
    }
}

#[async_trait]
impl Connector for Told {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            precondition: false,
            recreate_with_id: true,
            changes: false,
        }
    }

    fn classes(&self) -> Vec<String> {
        vec!["a".into()]
    }

    fn tells_answers(&self) -> bool {
        self.tells.load(Ordering::SeqCst)
    }

    async fn test(&self) -> Result<(), Error> {
        signs::answered();
        self.delete("a", &object()).await
    }

    async fn read(&self, _: &str, _: &str) -> Result<Option<TargetObject>, Error> {
        self.test().await.map(|()| None)
    }

    async fn query(&self, _: &str, _: &Query) -> Result<Page, Error> {
        self.test().await.map(|()| Page::default())
    }

    async fn create(&self, _: &str, _: Option<&str>, _: &Object) -> Result<Written, Error> {
        Err(Error::refused(405, "not here"))
    }

    async fn update(&self, _: &str, _: &Update<'_>) -> Result<Written, Error> {
        Err(Error::refused(405, "not here"))
    }

    async fn delete(&self, _: &str, _: &TargetObject) -> Result<(), Error> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let is_silent = *self.is_silent.lock().unwrap();
        if is_silent {
            std::future::pending::<()>().await;
        }
        match *self.kind.lock().unwrap() {
            None => Ok(()),
            Some(CauseKind::Refused) => Err(Error::refused(409, "no")),
            Some(CauseKind::Unavailable) => Err(Error::unavailable(503, "closed today")),
            Some(CauseKind::Unknown) => Err(Error::unknown(502, "who knows")),
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);

fn object() -> TargetObject {
    TargetObject {
        id: "1".into(),
        attributes: Object::new(),
        version: None,
    }
}

/// A watch that a test moves, in milliseconds.
#[derive(Clone, Default)]
struct Hands(Arc<AtomicU64>);

impl Hands {
    fn advance(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    fn watch(&self) -> Watch {
        let (start, hands) = (Instant::now(), self.clone());
        Watch(Arc::new(move || {
            start + Duration::from_millis(hands.0.load(Ordering::SeqCst))
        }))
    }
}

fn watched() -> (Arc<Told>, Guarded, Hands) {
    let (told, hands) = (Arc::new(Told::default()), Hands::default());
    let settings = Settings {
        circuit: Some(CircuitSettings {
            failures: 2,
            open: Duration::from_secs(1),
        }),
        ..Settings::OFF
    };
    let connector = Arc::clone(&told) as SharedConnector;
    let guarded = Guarded::new("t", connector, &settings, TIMEOUT, hands.watch());
    (told, guarded, hands)
}

fn circuit(connector: &Guarded) -> State {
    connector.health().unwrap().circuit
}

#[tokio::test]
async fn calls_without_an_answer_open_the_circuit_and_refusals_never_do() {
    for (kind, opens) in [
        (CauseKind::Unavailable, true),
        (CauseKind::Unknown, true),
        (CauseKind::Refused, false),
    ] {
        let (told, connector, _) = watched();
        told.says(kind);
        for _ in 0..3 {
            assert!(connector.read("a", "1").await.is_err());
        }
        assert_eq!(connector.admit().is_err(), opens, "{kind:?}");
        assert_eq!(circuit(&connector) == State::Open, opens, "{kind:?}");
    }
}

#[tokio::test]
async fn a_call_that_runs_out_of_its_time_counts_and_one_given_up_early_does_not() {
    let (told, connector, hands) = watched();
    *told.is_silent.lock().unwrap() = true;
    for _ in 0..4 {
        let mut early = connector.read("a", "1");
        assert!(poll!(&mut early).is_pending());
        hands.advance(TIMEOUT / 2);
    }
    assert_eq!(circuit(&connector), State::Closed);
    for _ in 0..2 {
        let before = object();
        let mut late = connector.delete("a", &before);
        assert!(poll!(&mut late).is_pending());
        hands.advance(TIMEOUT);
    }
    assert_eq!(circuit(&connector), State::Open);
    let (message, _) = connector.health().unwrap().last_failure.unwrap();
    assert_eq!(message, "no answer within 10000 ms");
}

#[tokio::test]
async fn what_is_under_way_goes_through_while_changes_are_held_off() {
    let (told, connector, _) = watched();
    told.says(CauseKind::Unavailable);
    for _ in 0..2 {
        assert!(connector.read("a", "1").await.is_err());
    }
    let error = connector.admit().unwrap_err();
    assert_eq!(error.kind, CauseKind::Unavailable);
    assert_eq!(error.retry_after, Some(Duration::from_secs(1)));
    // What the target said to one caller is not for another one.
    assert_eq!(error.message, "`t` does not answer (unavailable, code 503)");
    let (message, _) = connector.health().unwrap().last_failure.unwrap();
    assert_eq!(message, "unavailable, code 503");
    // An undo write reaches the target all the same, and its success lets changes in again.
    let before = told.calls.load(Ordering::SeqCst);
    told.says(None);
    connector.delete("a", &object()).await.unwrap();
    assert_eq!(told.calls.load(Ordering::SeqCst), before + 1);
    assert_eq!(circuit(&connector), State::Closed);
    assert!(connector.admit().is_ok());
}

#[tokio::test]
async fn a_trial_closes_the_circuit_or_opens_it_anew() {
    let (told, connector, hands) = watched();
    told.says(CauseKind::Unknown);
    for _ in 0..2 {
        assert!(connector.read("a", "1").await.is_err());
    }
    for answer in [Some(CauseKind::Unknown), None] {
        hands.advance(Duration::from_secs(1));
        assert_eq!(circuit(&connector), State::HalfOpen);
        // Whoever only looks what would happen uses no trial up.
        assert!(connector.admit().is_ok());
        *told.is_silent.lock().unwrap() = true;
        let mut early = connector.read("a", "1");
        assert!(poll!(&mut early).is_pending());
        let error = connector.admit().unwrap_err();
        assert_eq!(error.retry_after, Some(TIMEOUT), "one trial at a time");
        hands.advance(TIMEOUT / 2);
        let wait = connector.admit().unwrap_err().retry_after;
        assert_eq!(wait, Some(TIMEOUT / 2), "and for as long as it takes");
        drop(early);
        assert!(connector.admit().is_ok(), "it was given up early");
        *told.is_silent.lock().unwrap() = false;
        told.says(answer);
        let _ = connector.read("a", "1").await;
        assert_eq!(connector.admit().is_ok(), answer.is_none());
    }
}

#[tokio::test]
async fn a_call_without_a_place_says_so_and_does_not_count() {
    let told = Arc::new(Told::default());
    *told.is_silent.lock().unwrap() = true;
    let settings = Settings {
        concurrent: Some(1),
        ..Settings::OFF
    };
    let timeout = Duration::from_millis(40);
    let connector = guarded(
        "t",
        Arc::clone(&told) as SharedConnector,
        &settings,
        timeout,
    );
    let mut first = connector.read("a", "1");
    assert!(poll!(&mut first).is_pending());
    assert_eq!(connector.health().unwrap().in_flight, 1);
    let error = connector.read("a", "1").await.unwrap_err();
    assert_eq!(error.kind, CauseKind::Unavailable);
    assert!(error.message.contains("limits.concurrent"), "{error}");
    assert_eq!(told.calls.load(Ordering::SeqCst), 1);
    assert_eq!(connector.health().unwrap().failures, 0);
}

#[tokio::test]
async fn an_undo_write_reaches_a_target_whose_places_are_all_taken() {
    let told = Arc::new(Told::default());
    *told.is_silent.lock().unwrap() = true;
    let settings = Settings {
        concurrent: Some(1),
        ..Settings::OFF
    };
    let timeout = Duration::from_millis(40);
    let connector = guarded(
        "t",
        Arc::clone(&told) as SharedConnector,
        &settings,
        timeout,
    );
    let mut first = connector.read("a", "1");
    assert!(poll!(&mut first).is_pending());
    *told.is_silent.lock().unwrap() = false;
    connector.delete("a", &object()).await.unwrap();
    assert_eq!(told.calls.load(Ordering::SeqCst), 2);
}

#[test]
fn a_failure_is_told_by_kind_and_code_alone() {
    for (error, told) in [
        (Error::unavailable(503, "hush"), "unavailable, code 503"),
        (
            Error::unknown("08006", "hush"),
            "unknown outcome, code 08006",
        ),
        (Error::unavailable("no code: hush", "hush"), "unavailable"),
    ] {
        assert_eq!(without_words(&error), told);
    }
}

#[test]
fn what_is_not_watched_stays_as_it_is() {
    let told: SharedConnector = Arc::new(Told::default());
    let same = guarded("t", Arc::clone(&told), &Settings::OFF, TIMEOUT);
    assert!(Arc::ptr_eq(&told, &same));
}

#[tokio::test]
async fn what_a_connector_says_by_itself_is_no_answer_of_its_target() {
    let (told, guarded, hands) = watched();
    told.tells.store(true, Ordering::SeqCst);
    told.says(CauseKind::Unavailable);
    for _ in 0..2 {
        guarded.read("a", "1").await.unwrap_err();
    }
    assert_eq!(guarded.health().unwrap().circuit, State::Open);
    // A refusal of the connector's own, and an object that it knows not to be there.
    told.says(CauseKind::Refused);
    guarded.delete("a", &object()).await.unwrap_err();
    told.says(None);
    guarded.delete("a", &object()).await.unwrap();
    assert_eq!(guarded.health().unwrap().circuit, State::Open);
    assert_eq!(guarded.health().unwrap().failures, 2);
    hands.advance(Duration::from_secs(1));
    guarded.admit().unwrap();
    guarded.delete("a", &object()).await.unwrap();
    assert_eq!(guarded.health().unwrap().circuit, State::HalfOpen);
    told.says(CauseKind::Refused);
    guarded.read("a", "1").await.unwrap_err();
    assert_eq!(guarded.health().unwrap().circuit, State::Closed);
}
