//! A session and its frames.

use tracing::{Instrument, Span, field::Empty};

use super::{Work, context::TraceContext, named, request_id};
use crate::{metrics::kind, random};

/// The span of a connection, which has an id of its own beside that of the request which opened it.
pub(crate) fn session() -> Span {
    // Not within that of its request, which is over once it is open.
    tracing::info_span!(
        parent: None,
        "session",
        connection = format_args!("{:016x}", random::spread()),
        request = request_id().as_deref(),
        tenant = Empty,
        subject = Empty,
    )
}

/// A frame that names a trace. Others have no span: there are very many of them, and each line of the log has its session.
pub(crate) struct Traced {
    span: Span,
    work: Work,
}

impl Traced {
    /// Looks whether a frame is one.
    pub(crate) fn frame(text: &str) -> Option<Box<Self>> {
        let context = TraceContext::of_frame(text)?;
        let kind = kind(text);
        let span = tracing::info_span!(
            "frame",
            otel.kind = Empty,
            otel.name = Empty,
            kind,
            trace = %context.trace(),
        );
        named(&span, "server", format_args!("frame {kind}"));
        let work = Work::of_frame(context, &span);
        Some(Box::new(Self { span, work }))
    }

    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Does something for it.
    pub(crate) fn run<T>(self, task: impl Future<Output = T>) -> impl Future<Output = T> {
        self.work.scope(task.instrument(self.span))
    }
}
