//! Which request, session and trace something is done for: in the log, in answers, and on the way to others.
//!
//! A request has an id and a session has one; whatever is logged for them is within a span that has it, and the tenant
//! once that is known. Where the caller names a trace (W3C trace context, in headers or in a frame), what is done goes on
//! in it. **No span and no line of the log has a token, a ticket, a header or a payload.**

mod context;
mod log;
#[cfg(feature = "otlp")]
mod otlp;
mod request;
mod session;

use std::sync::Arc;

use tracing::{Span, field::Empty};

pub(crate) use context::{TRACEPARENT, TRACESTATE, TraceContext};
pub use log::{LogForm, Logging, StartLog, start};
pub(crate) use request::{REQUEST_ID, SENT, traced};
pub(crate) use session::{Traced, session};

use crate::tenant::TenantScope;

tokio::task_local! {
    static WORK: Work;
}

/// What the current task is at work on.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    /// The id of the request; none of a frame's.
    request: Option<Arc<str>>,
    context: Option<TraceContext>,
}

impl Work {
    /// For a request within a span.
    fn new(id: String, context: Option<TraceContext>, span: &Span) -> Self {
        Self { request: Some(id.into()), context: within(context, span) }
    }

    /// For a frame within a span.
    pub(crate) fn of_frame(context: TraceContext, span: &Span) -> Self {
        Self { request: None, context: within(Some(context), span) }
    }

    /// Does something for it.
    pub(crate) async fn scope<T>(self, task: impl Future<Output = T>) -> T {
        WORK.scope(self, task).await
    }
}

/// The place in a trace that a span has, which comes below a context. None if there is neither.
fn within(context: Option<TraceContext>, span: &Span) -> Option<TraceContext> {
    #[cfg(feature = "otlp")]
    if let Some(exported) = otlp::place(span, context.as_ref()) {
        return Some(exported);
    }
    let _ = span;
    context.map(|context| context.child())
}

/// Names a span for those that it is exported to: a server's, or a client's where somebody else is called.
fn named(span: &Span, kind: &'static str, name: impl std::fmt::Display) {
    // Only then, as the log has it in other words.
    if cfg!(feature = "otlp") {
        span.record("otel.kind", kind);
        span.record("otel.name", tracing::field::display(name));
    }
}

/// The id of the request that is being answered.
pub(crate) fn request_id() -> Option<Arc<str>> {
    WORK.try_with(|work| work.request.clone()).ok().flatten()
}

/// The place in a trace of what is done now.
pub(crate) fn current() -> Option<TraceContext> {
    WORK.try_with(|work| work.context.clone()).ok().flatten()
}

/// Does something that goes on in a trace; in none, if there is none.
pub(crate) async fn because<T>(context: Option<TraceContext>, task: impl Future<Output = T>) -> T {
    Work { request: None, context }.scope(task).await
}

/// A call of a webhook, and the place in a trace that it is told: in that of what it is called for, or in one of its own.
pub(crate) fn webhook(tenant: &str, subscription: &str) -> (Span, TraceContext) {
    let span = tracing::info_span!(
        "webhook",
        otel.kind = Empty,
        otel.name = Empty,
        tenant,
        subscription,
        trace = Empty
    );
    named(&span, "client", "webhook");
    let context = current();
    if let Some(context) = &context {
        span.record("trace", tracing::field::display(context.trace()));
    }
    let place = within(context, &span).unwrap_or_else(TraceContext::root);
    (span, place)
}

/// Tells on whose behalf the current span is.
pub(crate) fn on_behalf_of(scope: &TenantScope) {
    let span = Span::current();
    span.record("tenant", tracing::field::display(scope.tenant()));
    span.record("subject", tracing::field::display(scope.subject()));
}
