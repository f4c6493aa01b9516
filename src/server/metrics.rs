//! Collecting what the rooms measure, for `/metrics`.
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::Error;
use crate::model::metrics::{ALL, Kind};

/// Upper bounds of the histograms, in seconds.
const BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// How often samples are moved out of the way of those who emit.
const UPKEEP: Duration = Duration::from_secs(5);

/// A process has one recorder, whatever the number of servers in it.
static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// What renders everything that this process has measured; installs the recorder the first time.
///
/// # Errors
/// Another recorder is installed in this process.
pub fn recorder() -> Result<PrometheusHandle, Error> {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*installed {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets(&BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| Error::Metrics(error.to_string()))?;
    describe();
    *installed = Some(handle.clone());
    Ok(handle)
}

/// Keeps the recorder's memory small while a server runs.
pub(super) async fn upkeep(handle: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}

fn describe() {
    for (name, kind, sentence) in ALL {
        match kind {
            Kind::Counter => describe_counter!(name, sentence),
            Kind::Gauge => describe_gauge!(name, sentence),
            Kind::Seconds => describe_histogram!(name, Unit::Seconds, sentence),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metrics::{CHANGES, HTTP_SECONDS};

    #[test]
    fn what_is_emitted_is_rendered_in_buckets_with_its_sentence() {
        let handle = recorder().unwrap();
        metrics::counter!(CHANGES, "outcome" => "synced").increment(1);
        metrics::histogram!(HTTP_SECONDS, "route" => "/x").record(0.02);
        let text = recorder().unwrap().render();
        assert_eq!(text, handle.render());
        assert!(
            text.contains("# HELP recant_changes_total Changes that ended"),
            "{text}"
        );
        assert!(
            text.contains("recant_changes_total{outcome=\"synced\"} 1"),
            "{text}"
        );
        let bucket = "recant_http_request_duration_seconds_bucket{route=\"/x\",le=\"0.025\"} 1";
        assert!(text.contains(bucket), "{text}");
    }
}
