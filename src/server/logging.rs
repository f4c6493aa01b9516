//! Log lines for people or machines, and traces for a collector where the program is built for it.
use std::io::IsTerminal;

use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

use super::Error;
use crate::config::{LogFormat, Telemetry};

type Lines = Box<dyn Layer<Registry> + Send + Sync>;

/// What has to be closed when the program ends, so that no trace is lost.
#[derive(Debug)]
#[must_use = "traces that are not sent yet are lost without `close`"]
pub struct Logging {
    #[cfg(feature = "otel")]
    traces: Option<opentelemetry_sdk::trace::SdkTracerProvider>,
}

/// Starts the log of this process, on standard error. The variable `RECANT_LOG` goes before the
/// configured filter. Where a log is started already, it stays.
///
/// A change runs inside a span with the field `operation`, so that each of its lines names it.
///
/// # Errors
/// The filter cannot be read, or the collector's address cannot be used.
pub fn init(settings: &Telemetry) -> Result<Logging, Error> {
    let filter = match std::env::var("RECANT_LOG") {
        Ok(filter) => filter,
        Err(_) => settings.log_filter.clone(),
    };
    let filter = EnvFilter::builder()
        .parse(&filter)
        .map_err(|error| Error::Logging(format!("`{filter}` is no filter: {error}")))?;
    start(settings, lines(settings.log_format).with_filter(filter))
}

fn lines(format: LogFormat) -> Lines {
    match format {
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(std::io::stderr)
            .boxed(),
        LogFormat::Text => fmt::layer()
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr)
            .boxed(),
    }
}

#[cfg(not(feature = "otel"))]
fn start(
    settings: &Telemetry,
    lines: impl Layer<Registry> + Send + Sync,
) -> Result<Logging, Error> {
    let started = tracing_subscriber::registry()
        .with(lines)
        .try_init()
        .is_ok();
    if started && settings.otlp_endpoint.is_some() {
        tracing::warn!("traces are not sent: this program was built without the feature `otel`");
    }
    Ok(Logging {})
}

#[cfg(feature = "otel")]
fn start(
    settings: &Telemetry,
    lines: impl Layer<Registry> + Send + Sync,
) -> Result<Logging, Error> {
    use opentelemetry::trace::TracerProvider as _;
    let traces = settings
        .otlp_endpoint
        .as_deref()
        .map(provider)
        .transpose()?;
    let layer = traces
        .as_ref()
        .map(|traces| tracing_opentelemetry::layer().with_tracer(traces.tracer("recant")));
    // Where a log is started already, it stays.
    let _ = tracing_subscriber::registry()
        .with(lines)
        .with(layer)
        .try_init();
    Ok(Logging { traces })
}

#[cfg(feature = "otel")]
fn provider(endpoint: &str) -> Result<opentelemetry_sdk::trace::SdkTracerProvider, Error> {
    use opentelemetry_otlp::WithExportConfig as _;
    use opentelemetry_sdk::{
        Resource,
        runtime::Tokio,
        trace::{SdkTracerProvider, span_processor_with_async_runtime::BatchSpanProcessor},
    };
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .build()
        .map_err(|error| Error::Logging(error.to_string()))?;
    Ok(SdkTracerProvider::builder()
        .with_span_processor(BatchSpanProcessor::builder(exporter, Tokio).build())
        .with_resource(Resource::builder().with_service_name("recant").build())
        .build())
}

impl Logging {
    /// Sends what is not sent yet.
    pub fn close(self) {
        #[cfg(feature = "otel")]
        if let Some(traces) = self.traces {
            // Nobody is left to tell.
            let _ = traces.shutdown();
        }
    }
}
