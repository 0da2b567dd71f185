//! Sending traces: OTLP over HTTP, in protobuf.

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
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
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

/// Starts to send spans to the receiver at `endpoint`, or to the one that the
/// variables of OpenTelemetry name, which also say the rest (`OTEL_EXPORTER_OTLP_*`,
/// `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`).
pub(super) fn start(endpoint: Option<&str>) -> anyhow::Result<BatchSpanProcessor> {
    let client = Sender {
        client: http_client::new().context("cannot speak HTTP to the receiver of traces")?,
        runtime: Handle::current(),
        fails: Arc::default(),
    };
    let mut builder = SpanExporter::builder().with_http().with_http_client(client);
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')));
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

/// Says who sends.
fn resource() -> Resource {
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
    client: Client,
    runtime: Handle,
    /// Whether the last one failed.
    fails: Arc<AtomicBool>,
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
                "traces are lost: their receiver does not take them"
            );
        }
        sent
    }
}

/// Says what an error says, and its causes.
fn why(error: &(dyn Error + Send + Sync + 'static)) -> String {
    formwork_host::engine::Causes(error).to_string()
}
