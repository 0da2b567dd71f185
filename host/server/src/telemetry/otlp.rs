//! Sending traces and metrics: OTLP over HTTP, in protobuf.
//!
//! What the configuration does not say the variables of OpenTelemetry do
//! (`OTEL_EXPORTER_OTLP_*`, `OTEL_METRIC_EXPORT_INTERVAL`, `OTEL_SERVICE_NAME`,
//! `OTEL_RESOURCE_ATTRIBUTES`).

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use opentelemetry::{Key, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    MetricExporter, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::PeriodicReader;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanExporter as _, SpanProcessor as _,
};
use tokio::runtime::Handle;
use tokio::time::timeout;
use uuid::Uuid;

use crate::http_client::{self, Client};

/// How many spans wait to be sent. Beyond, they are dropped.
const QUEUE: usize = 65_536;

/// How many are sent at once, and how long they wait for each other.
const BATCH: usize = 2_048;
const DELAY: Duration = Duration::from_secs(1);

/// How long a receiver has to answer, by the default of OTLP.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest answer of a receiver that is read.
const ANSWER: usize = 64 * 1_024;

/// Sends figures, each minute if the environment does not say how often.
pub(crate) type MetricSender = PeriodicReader<MetricExporter>;

/// Starts to send metrics to the receiver at `endpoint`, or to the one that the
/// environment names.
pub(crate) fn metrics(endpoint: Option<&str>) -> anyhow::Result<MetricSender> {
    let mut builder = MetricExporter::builder()
        .with_http()
        .with_http_client(Sender::new("metrics")?);
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(url(endpoint, "metrics"));
    }
    let exporter = builder.build().context("cannot send metrics")?;
    Ok(PeriodicReader::builder(exporter).build())
}

/// Starts to send spans to the receiver at `endpoint`, or to the one that the
/// environment names.
pub(super) fn spans(endpoint: Option<&str>) -> anyhow::Result<BatchSpanProcessor> {
    let mut builder = SpanExporter::builder()
        .with_http()
        .with_http_client(Sender::new("traces")?);
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(url(endpoint, "traces"));
    }
    let mut exporter = builder.build().context("cannot send traces")?;
    exporter.set_resource(&resource());
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(DELAY);
    let mut processor = BatchSpanProcessor::builder(exporter)
        .with_batch_config(config.build())
        .build();
    processor.set_resource(&resource());
    Ok(processor)
}

fn url(endpoint: &str, signal: &str) -> String {
    format!("{}/v1/{signal}", endpoint.trim_end_matches('/'))
}

/// Says who sends.
pub(super) fn resource() -> Resource {
    let name = Key::from_static_str("service.name");
    let read = Resource::builder().build();
    let is_named = read
        .get(&name)
        .is_some_and(|given| !given.as_str().starts_with("unknown_service"));
    let builder = Resource::builder().with_attributes([
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", Uuid::new_v4().to_string()),
    ]);
    if is_named {
        builder.build()
    } else {
        builder.with_service_name("formwork").build()
    }
}

/// Sends requests on the threads of the runtime: the exporter has one of its own,
/// on which nothing of the kind can run.
#[derive(Debug)]
struct Sender {
    what: &'static str,
    client: Client,
    runtime: Handle,
    /// Whether the last one failed.
    fails: Arc<AtomicBool>,
}

impl Sender {
    fn new(what: &'static str) -> anyhow::Result<Self> {
        let client = http_client::new();
        Ok(Self {
            what,
            client: client
                .with_context(|| format!("cannot speak HTTP to the receiver of {what}"))?,
            runtime: Handle::current(),
            fails: Arc::default(),
        })
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let exchange = async move {
            let response = client.request(request.map(Full::new)).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(head, body))
        };
        // The timer belongs to the runtime, and is made there.
        let sending = async move { timeout(PATIENCE, exchange).await };
        let sent = match self.runtime.spawn(sending).await {
            Ok(Ok(sent)) => sent,
            Ok(Err(late)) => Err(late.into()),
            Err(lost) => Err(lost.into()),
        };
        let failure = match &sent {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it answers {}", response.status())),
            Err(error) => Some(why(error.as_ref())),
        };
        let failed_before = self.fails.swap(failure.is_some(), Ordering::Relaxed);
        if let Some(failure) = failure.filter(|_| !failed_before) {
            tracing::warn!(
                error = failure,
                "{} are lost: their receiver does not take them",
                self.what
            );
        }
        sent
    }
}

/// Says what an error says, and its causes.
fn why(error: &(dyn Error + Send + Sync + 'static)) -> String {
    formwork_host::engine::Causes(error).to_string()
}
