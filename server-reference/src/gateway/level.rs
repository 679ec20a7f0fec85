//! Readers that have all of a topic, and get what is appended to it without their session.

use std::{
    hint::black_box,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use sdk_core::protocol::TopicPosition;
use tokio_tungstenite::tungstenite::protocol::frame::{
    Frame,
    coding::{Data, OpCode},
};

use super::topics::events_frame;
use crate::{
    hub::Shortcut,
    line::{Wire, Written},
    metrics::Metrics,
    storage::events::{Fresh, News},
};

/// Bytes of the longest head of a frame.
const MAX_HEAD: usize = 10;

/// Where the reader of a topic stands that has all of it. The session shares it with whoever learns first of what was
/// appended; each looks and moves on in one step, so that no event is sent twice or left out.
#[derive(Debug, Default)]
pub struct Level(Mutex<Standing>);

#[derive(Debug, Default)]
struct Standing {
    at: Option<TopicPosition>,
    /// The session has more than one reader of the topic, and sends to each of them itself.
    crowded: bool,
    /// All that the session has sent is out, so that others may send what comes next.
    open: bool,
}

/// What events are to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meets {
    /// They come next.
    Next,
    /// It has them.
    Had,
    /// There is something before them that it does not have.
    Ahead,
}

impl Level {
    /// From now on the session alone sends to the reader, who stands there if it has all of the topic.
    pub(super) fn set(&self, at: Option<TopicPosition>) {
        let mut standing = self.standing();
        (standing.at, standing.open) = (at, false);
    }

    /// From now on the session alone sends to the reader. Returns where it stands.
    pub(super) fn take(&self) -> Option<TopicPosition> {
        let mut standing = self.standing();
        standing.open = false;
        standing.at.take()
    }

    /// The session moves on by what was appended, if that comes next; it alone sends from now on.
    pub(super) fn meet(&self, fresh: &Fresh) -> Meets {
        let mut standing = self.standing();
        match standing.at {
            Some(at) if at == fresh.from => {
                (standing.at, standing.open) = (Some(fresh.to), false);
                Meets::Next
            }
            Some(at) if at.epoch == fresh.to.epoch && at.offset >= fresh.to.offset => Meets::Had,
            _ => Meets::Ahead,
        }
    }

    /// Whether the session has more than one reader of the topic. From now on it alone sends to the reader.
    pub(super) fn crowd(&self, crowded: bool) {
        let mut standing = self.standing();
        (standing.crowded, standing.open) = (crowded, false);
    }

    /// All that the session has sent is out: others may send what comes next.
    pub(super) fn open(&self) {
        let mut standing = self.standing();
        standing.open = !standing.crowded;
    }

    /// Sends what was appended, if it comes next and others than the session may send it.
    fn pass(&self, fresh: &Fresh, send: impl FnOnce() -> Written) -> Written {
        let mut standing = self.standing();
        if !standing.open || standing.at != Some(fresh.from) {
            return Written::Nothing;
        }
        let written = send();
        if written != Written::Nothing {
            standing.at = Some(fresh.to);
        }
        // Otherwise the session sends it.
        standing.open = written == Written::All;
        written
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        // Nothing in here panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way past a session for one subscription.
pub(super) struct Past {
    pub(super) wire: Wire,
    pub(super) sub: u64,
    pub(super) level: Arc<Level>,
    pub(super) metrics: Arc<Metrics>,
}

impl Shortcut<News> for Past {
    fn take(&self, news: &News) -> bool {
        // The end of a topic is the session's to tell.
        let Some(fresh) = news.events.as_ref().filter(|fresh| !fresh.closed) else { return false };
        let written = self.level.pass(fresh, || match fresh.message(self.sub, message) {
            Some(bytes) => {
                let written = self.wire.write(&bytes);
                if written != Written::Nothing {
                    self.metrics.sent.count_events(bytes.len());
                }
                written
            }
            None => Written::Nothing,
        });
        written == Written::All
    }

    fn approach(&self) {
        self.wire.approach();
        black_box(Arc::strong_count(&self.level));
    }
}

/// What was appended as a text message of a server, as it goes out.
fn message(fresh: &Fresh, sub: u64) -> Option<Bytes> {
    let text = events_frame(fresh, sub)?;
    let mut bytes = Vec::with_capacity(text.len() + MAX_HEAD);
    Frame::message(text, OpCode::Data(Data::Text), true).format(&mut bytes).ok()?;
    Some(bytes.into())
}

#[cfg(test)]
mod tests {
    use sdk_core::protocol::LogEpoch;

    use super::*;
    use crate::storage::events::Events;

    fn at(offset: u64) -> TopicPosition {
        TopicPosition { epoch: LogEpoch(7), offset }
    }

    fn fresh(from: u64, to: u64) -> Fresh {
        Fresh::new(at(from), at(to), Events::default(), false)
    }

    #[test]
    fn others_send_only_what_comes_next_and_only_while_they_may() {
        let level = Level::default();
        let all = || Written::All;
        let never = || -> Written { unreachable!("nothing may be sent") };
        assert_eq!(level.pass(&fresh(0, 1), never), Written::Nothing);
        level.set(Some(at(1)));
        assert_eq!(level.pass(&fresh(1, 2), never), Written::Nothing);
        level.open();
        assert_eq!(level.pass(&fresh(1, 2), all), Written::All);
        assert_eq!(level.pass(&fresh(2, 3), all), Written::All);
        assert_eq!(level.pass(&fresh(4, 5), never), Written::Nothing);
        level.crowd(true);
        level.open();
        assert_eq!(level.pass(&fresh(3, 4), never), Written::Nothing);
        assert_eq!(level.take(), Some(at(3)));
    }

    #[test]
    fn what_others_could_not_send_is_the_sessions_and_what_they_sent_is_not() {
        let level = Level::default();
        level.set(Some(at(1)));
        level.open();
        assert_eq!(level.pass(&fresh(1, 2), || Written::Nothing), Written::Nothing);
        assert_eq!(level.meet(&fresh(1, 2)), Meets::Next);
        level.open();
        assert_eq!(level.pass(&fresh(2, 3), || Written::Some), Written::Some);
        assert_eq!(level.meet(&fresh(2, 3)), Meets::Had);
        assert_eq!(level.meet(&fresh(4, 5)), Meets::Ahead);
    }
}
