//! Reading a client's frames, with every limit.

use sdk_core::protocol::{
    self, ClientFrame, ErrorCode, Hello, Limits, MAX_COLLECTIONS, MAX_REJECTED, ProtocolError, Push, Seq,
    VERSIONS,
};
use sdk_core::wire::{Reader, record};

use super::misplaced;

/// Names of the frames that a client may send.
pub const CLIENT_FRAMES: [&str; 11] = [
    "hello",
    "push",
    "publish",
    "pull",
    "subscribe",
    "unsubscribe",
    "enter",
    "leave",
    "send",
    "refresh",
    "pong",
];
/// The name of a frame that there is not: what it would hold must not travel this way.
const TRANSACTION: &str = "transaction";

/// Reads any frame of at most `most` bytes.
pub(super) fn decode(text: &str, most: usize) -> Result<ClientFrame, ProtocolError> {
    within(text, most)?;
    misplaced::check(text)?;
    protocol::decode(text).map_err(|error| match unknown_name(text) {
        Some(name) if name == TRANSACTION => misplaced::misplaced(),
        // A frame of a later version.
        Some(name) if error.code == ErrorCode::Malformed => ProtocolError::new(
            ErrorCode::UnexpectedFrame,
            format!("frame {name:?} is not part of this protocol; nothing was done"),
        ),
        _ => error,
    })
}

/// Reads the first frame and picks the version.
pub(super) fn hello(text: &str, most: usize) -> Result<(Hello, u32), ProtocolError> {
    within(text, most)?;
    // Looked at before the rest, which another version may have changed.
    if let Ok(FirstFrame { hello: Versions { versions } }) = protocol::decode(text) {
        pick_version(&versions)?;
    }
    let ClientFrame::Hello(hello) = decode(text, most)? else {
        return Err(ProtocolError::new(ErrorCode::UnexpectedFrame, "the first frame must be a hello"));
    };
    if hello.resume.len() > MAX_COLLECTIONS {
        let message = format!("a session follows at most {MAX_COLLECTIONS} collections");
        return Err(ProtocolError::new(ErrorCode::TooMany, message));
    }
    let version = pick_version(&hello.versions)?;
    Ok((hello, version))
}

/// Whether a push holds no more than it may.
pub(super) fn check_push(push: &Push, limits: &Limits) -> Result<(), ProtocolError> {
    if push.operations.len() > limits.batch_operations {
        return Err(too_many_operations(push.operations.len(), limits));
    }
    check_rejected(push.rejected.as_deref())
}

/// Whether a client names no more of what it was refused than it may.
pub(crate) fn check_rejected(rejected: Option<&[Seq]>) -> Result<(), ProtocolError> {
    if rejected.is_some_and(|rejected| rejected.len() > MAX_REJECTED) {
        return Err(ProtocolError::new(ErrorCode::TooMany, format!("rejected names at most {MAX_REJECTED}")));
    }
    Ok(())
}

/// A batch over its limit.
pub(crate) fn too_many_operations(count: usize, limits: &Limits) -> ProtocolError {
    let most = limits.batch_operations;
    ProtocolError::new(
        ErrorCode::TooMany,
        format!("a batch holds at most {most} operations, this one {count}"),
    )
}

struct FirstFrame {
    hello: Versions,
}

struct Versions {
    versions: Vec<u32>,
}

record!(FirstFrame { hello: "hello"; });
record!(Versions { versions: "versions"; });

fn pick_version(offered: &[u32]) -> Result<u32, ProtocolError> {
    VERSIONS.iter().copied().find(|version| offered.contains(version)).ok_or_else(|| {
        ProtocolError::new(ErrorCode::UnsupportedVersion, format!("this server speaks versions {VERSIONS:?}"))
    })
}

fn within(text: &str, most: usize) -> Result<(), ProtocolError> {
    if text.len() <= most {
        return Ok(());
    }
    let message = format!("a frame may have {most} bytes here, this one has {}", text.len());
    Err(ProtocolError::new(ErrorCode::FrameTooLarge, message))
}

/// The name of a well-formed frame that is not a client's.
fn unknown_name(text: &str) -> Option<String> {
    let (mut reader, mut names) = (Reader::new(text), Vec::new());
    let read = reader.object(&mut |reader, name| {
        names.push(name.to_owned());
        reader.skip().map(drop)
    });
    read.and_then(|()| reader.end()).ok()?;
    let [name]: [String; 1] = names.try_into().ok()?;
    (!CLIENT_FRAMES.contains(&&*name)).then_some(name)
}
