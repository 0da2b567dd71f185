//! The span that a caller says it is in: the header `traceparent` of W3C Trace
//! Context.

use std::future::Future;

use http::HeaderMap;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;

tokio::task_local! {
    static CALLER: Caller;
}

/// Whose request something is done for.
#[derive(Clone)]
pub(crate) struct Caller(SpanContext);

impl Caller {
    /// Reads the headers of a request; none if they name no span.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        if !headers.contains_key("traceparent") {
            return None;
        }
        let context = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        let span = context.span().span_context().clone();
        span.is_valid().then_some(Self(span))
    }

    /// Does some work for a caller.
    pub(crate) async fn within<T>(caller: Option<Self>, work: impl Future<Output = T>) -> T {
        match caller {
            Some(caller) => CALLER.scope(caller, work).await,
            None => work.await,
        }
    }
}

/// Gives the span of the caller for whom the present work is done, if it named one.
pub(super) fn current() -> Option<SpanContext> {
    CALLER.try_with(|Caller(span)| span.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_knows_the_caller_that_its_headers_name_and_no_other() {
        let known = async |header: Option<&'static str>| {
            let named = header.map(|text| ("traceparent", text));
            let headers = named.into_iter().map(|(name, text)| {
                (
                    http::HeaderName::from_static(name),
                    http::HeaderValue::from_static(text),
                )
            });
            let caller = Caller::of(&headers.collect());
            Caller::within(caller, async { current() })
                .await
                .map(|span| format!("{} {}", span.trace_id(), span.span_id()))
        };
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(
            known(Some(good)).await.as_deref(),
            Some("0af7651916cd43dd8448eb211c80319c b7ad6b7169203331")
        );
        for none in [
            None,
            Some("00-00000000000000000000000000000000-b7ad6b7169203331-01"),
            Some("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"),
            Some("nonsense"),
        ] {
            assert_eq!(known(none).await, None, "{none:?}");
        }
    }
}
