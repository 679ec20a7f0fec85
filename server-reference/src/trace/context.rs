//! W3C trace context (<https://www.w3.org/TR/trace-context/>): which trace a request or a frame belongs to.

use std::fmt;

use sdk_core::wire::{Bad, Reader};

use crate::random;

/// The header, and the member of a frame, that names the trace and the caller's span.
pub(crate) const TRACEPARENT: &str = "traceparent";
/// The one with what tracing systems add to it.
pub(crate) const TRACESTATE: &str = "tracestate";
/// Bytes of a `tracestate` that are carried on, which the specification asks for at least; a longer one is left out.
const MAX_STATE: usize = 512;
/// Bytes of a `traceparent` of the version that we write.
const LENGTH: usize = 55;

/// A place in a trace: the trace, and the span that what is done now belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TraceContext {
    pub(super) trace: u128,
    pub(super) span: u64,
    pub(super) flags: u8,
    pub(super) state: Option<Box<str>>,
}

impl TraceContext {
    /// Reads what came. None if it is none, as the specification wants it: such a request begins a trace of its own.
    pub(crate) fn parse(parent: &str, state: Option<&str>) -> Option<Self> {
        let (version, rest) = parent.split_once('-')?;
        let (trace, rest) = rest.split_once('-')?;
        let (span, rest) = rest.split_once('-')?;
        let (flags, rest) = rest.split_at_checked(2)?;
        let version = hexadecimal(version, 2).filter(|version| *version != 0xff)?;
        // Later versions may have more behind it.
        if !(rest.is_empty() || (version > 0 && rest.starts_with('-'))) {
            return None;
        }
        let nonzero = |text, digits| hexadecimal(text, digits).filter(|number| *number != 0);
        Some(Self {
            trace: nonzero(trace, 32)?,
            span: nonzero(span, 16)?.try_into().ok()?,
            flags: hexadecimal(flags, 2)?.try_into().ok()?,
            state: state.map(str::trim).filter(|state| is_state(state)).map(Box::from),
        })
    }

    /// That of a frame, if it has one: the members `traceparent` and `tracestate` of its body.
    pub(crate) fn of_frame(text: &str) -> Option<Self> {
        // Most have none, and are not read a second time.
        text.contains("\"traceparent\"").then(|| read(text).ok().flatten()).flatten()
    }

    /// A trace of its own, which nobody has asked to be recorded.
    pub(crate) fn root() -> Self {
        let trace = u128::from_be_bytes(random::bytes().unwrap_or_default()).max(1);
        Self { trace, span: random::spread().max(1), flags: 0, state: None }
    }

    /// A span of ours below this one.
    pub(crate) fn child(&self) -> Self {
        Self { span: random::spread().max(1), ..self.clone() }
    }

    /// The name of the trace.
    pub(crate) fn trace(&self) -> impl fmt::Display {
        fmt::from_fn(|f| write!(f, "{:032x}", self.trace))
    }

    /// As a `traceparent`.
    pub(crate) fn parent(&self) -> String {
        let Self { trace, span, flags, .. } = self;
        let mut text = String::with_capacity(LENGTH);
        // Writing to a text cannot fail.
        let _ = fmt::Write::write_fmt(&mut text, format_args!("00-{trace:032x}-{span:016x}-{flags:02x}"));
        text
    }

    /// As a `tracestate`.
    pub(crate) fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

fn read(text: &str) -> Result<Option<TraceContext>, Bad> {
    let (mut parent, mut state) = (None, None);
    Reader::new(text).object(&mut |reader, _| {
        reader.object(&mut |reader, name| {
            match name {
                TRACEPARENT if reader.peek() == Some(b'"') => parent = Some(reader.string()?.into_owned()),
                TRACESTATE if reader.peek() == Some(b'"') => state = Some(reader.string()?.into_owned()),
                _ => drop(reader.skip()?),
            }
            Ok(())
        })
    })?;
    Ok(parent.and_then(|parent| TraceContext::parse(&parent, state.as_deref())))
}

fn is_state(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_STATE && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// A number in so many lowercase hexadecimal digits.
fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let written = text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u128::from_str_radix(text, 16).ok().filter(|_| written)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_context_is_read_and_carried_on_with_another_span() {
        let context = TraceContext::parse(PARENT, Some(" congo=t61rcWkgMzE,rojo=1 ")).unwrap();
        assert_eq!(context.parent(), PARENT);
        assert_eq!(context.state(), Some("congo=t61rcWkgMzE,rojo=1"));
        let child = context.child();
        assert_eq!(child.trace().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(child.parent().ends_with("-01") && child.parent() != PARENT);
        assert_eq!(TraceContext::parse(&child.parent(), child.state()), Some(child));
        assert!(TraceContext::parse(&PARENT.replacen("00", "01", 1), None).is_some(), "a later version");
        assert!(TraceContext::parse(&(PARENT.replacen("00", "cc", 1) + "-more"), None).is_some());
    }

    #[test]
    fn what_is_no_context_is_ignored() {
        for bad in [
            "",
            "00",
            "nonsense",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-é",
        ] {
            assert_eq!(TraceContext::parse(bad, None), None, "{bad}");
        }
        for bad in ["", "a=\u{7f}", &"x".repeat(MAX_STATE + 1)] {
            assert_eq!(TraceContext::parse(PARENT, Some(bad)).unwrap().state(), None, "{bad}");
        }
    }

    #[test]
    fn a_frame_has_it_in_its_body_and_nowhere_else() {
        let frame = format!(r#"{{"push":{{"operations":[],"traceparent":"{PARENT}","tracestate":"a=1"}}}}"#);
        let context = TraceContext::of_frame(&frame).unwrap();
        assert_eq!((context.parent().as_str(), context.state()), (PARENT, Some("a=1")));
        for other in [
            r#"{"push":{"operations":[]}}"#.to_owned(),
            format!(r#"{{"send":{{"data":{{"traceparent":"{PARENT}"}}}}}}"#),
            format!(r#"{{"traceparent":"{PARENT}"}}"#),
            r#"{"push":{"traceparent":7}}"#.to_owned(),
            r#"{"push":{"traceparent":"#.to_owned(),
        ] {
            assert_eq!(TraceContext::of_frame(&other), None, "{other}");
        }
    }
}
