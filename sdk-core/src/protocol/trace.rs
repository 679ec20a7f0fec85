//! W3C trace context of a frame: a member of its body that servers of before ignore.

/// Bytes of a `traceparent`.
const LENGTH: usize = 55;

/// Whether a text has the form of a `traceparent` (<https://www.w3.org/TR/trace-context/>), so that it may be sent.
pub fn is_traceparent(text: &str) -> bool {
    text.len() == LENGTH && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}

/// A frame of a client as it is with a `traceparent`. One without a body, or with what is none, stays as it is.
pub fn with_traceparent(frame: String, parent: &str) -> String {
    // The first colon is the one behind the frame's name.
    let body = frame.bytes().position(|byte| byte == b':').map(|at| at + 2);
    match body.and_then(|at| frame.split_at_checked(at)) {
        Some((name, body)) if is_traceparent(parent) && body.as_bytes().first() != Some(&b'}') => {
            [name, "\"traceparent\":\"", parent, "\",", body].concat()
        }
        _ => frame,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{ClientFrame, Refresh, decode, encode};

    #[test]
    fn a_frame_with_a_trace_is_the_same_frame() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let frame = ClientFrame::Refresh(Refresh { token: "a:{}".into() });
        let traced = with_traceparent(encode(&frame), parent);
        assert_eq!(traced, format!(r#"{{"refresh":{{"traceparent":"{parent}","token":"a:{{}}"}}}}"#));
        assert_eq!(decode::<ClientFrame>(&traced), Ok(frame.clone()));
        let pong = encode(&ClientFrame::Pong {});
        assert_eq!(with_traceparent(pong.clone(), parent), pong);
        for bad in ["", "00", &parent.replace('0', "\""), &parent.to_uppercase()] {
            assert_eq!(with_traceparent(encode(&frame), bad), encode(&frame), "{bad}");
        }
    }
}
