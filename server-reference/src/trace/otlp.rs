//! Spans by OTLP over HTTP, set up by the variables of OpenTelemetry
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider as _},
};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracerProvider, Tracer},
};
use tracing::{Level, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

use super::{context::TraceContext, log::is_ours};

/// What the spans are of, where `OTEL_SERVICE_NAME` does not say.
const SERVICE: &str = "webwaka-server";
/// Where spans go is said by one of these.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// The exporter. Dropping it sends what waits.
pub(super) struct Exporting(SdkTracerProvider);

impl Drop for Exporting {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            eprintln!("webwaka-server: the last spans could not be exported: {error}");
        }
    }
}

/// What gives spans to an exporter; none if no variable says where to export them, or one says not to.
pub(super) fn layer<S>() -> Result<Option<(impl Layer<S> + Send + Sync, Exporting)>, ExporterBuildError>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
    let is = |name: &str, what: &str| std::env::var(name).is_ok_and(|value| value.eq_ignore_ascii_case(what));
    if !ENDPOINTS.into_iter().any(set)
        || is("OTEL_SDK_DISABLED", "true")
        || is("OTEL_TRACES_EXPORTER", "none")
    {
        return Ok(None);
    }
    let exporter = SpanExporter::builder().with_http().build()?;
    let mut resource = Resource::builder();
    if !set("OTEL_SERVICE_NAME") {
        resource = resource.with_service_name(SERVICE);
    }
    let provider =
        SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
    let tracer: Tracer = provider.tracer(SERVICE);
    let spans =
        filter_fn(|metadata| metadata.is_span() && is_ours(metadata) && *metadata.level() <= Level::DEBUG);
    let layer = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_threads(false)
        .with_location(false)
        .with_filter(spans);
    Ok(Some((layer, Exporting(provider))))
}

/// Puts a span below its caller's, and tells its place; none if it is not exported.
pub(super) fn place(span: &Span, caller: Option<&TraceContext>) -> Option<TraceContext> {
    if let Some(caller) = caller {
        let state = caller.state.as_deref().and_then(|state| state.parse::<TraceState>().ok());
        let remote = SpanContext::new(
            TraceId::from(caller.trace),
            SpanId::from(caller.span),
            TraceFlags::new(caller.flags),
            true,
            state.unwrap_or_default(),
        );
        // It fails only where spans are not exported.
        let _ = span.set_parent(Context::new().with_remote_span_context(remote));
    }
    let context = span.context();
    let here = context.span().span_context().clone();
    here.is_valid().then(|| TraceContext {
        trace: u128::from_be_bytes(here.trace_id().to_bytes()),
        span: u64::from_be_bytes(here.span_id().to_bytes()),
        flags: here.trace_flags().to_u8(),
        state: Some(here.trace_state().header()).filter(|state| !state.is_empty()).map(Into::into),
    })
}
