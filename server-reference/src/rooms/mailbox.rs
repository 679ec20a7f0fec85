//! What waits for one session: it has a budget, and nobody who fills it waits.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sdk_core::protocol::{ClientId, RoomName};
use tokio::sync::Notify;

use crate::{access::Access, tenant::TenantScope};

/// Bytes that may wait for one session, beyond the first frame.
pub(super) const BUDGET: usize = 256 * 1024;

/// Where a session gets what rooms and people have for it.
#[derive(Debug)]
pub struct Mailbox {
    pub(super) scope: TenantScope,
    pub(super) client: ClientId,
    /// What the newest token of the session covers.
    access: Mutex<Access>,
    waiting: Mutex<Waiting>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    posts: VecDeque<Post>,
    bytes: usize,
    /// Rooms of which something was left out, and which are to be told in full.
    behind: BTreeSet<RoomName>,
    overflowed: bool,
}

/// A frame for a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// Whose it is, for the session to compare.
    pub tenant: Arc<str>,
    /// What it is about.
    pub about: About,
    /// Its text.
    pub frame: Arc<str>,
}

/// What a frame is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// Who is in a room, for who is in it.
    Members(RoomName),
    /// That the session is not in a room of this name.
    Over(String),
    /// Something that was said, or what became of it.
    Message,
}

/// The next thing in a mailbox.
#[derive(Debug, PartialEq, Eq)]
pub enum Mail {
    /// A frame.
    Post(Post),
    /// Something was left out of what became of a room.
    Behind(RoomName),
    /// A message did not fit in.
    Overflowed,
}

impl Mailbox {
    pub(super) fn new(scope: TenantScope, client: ClientId) -> Self {
        let access = Mutex::new(scope.access().clone());
        Self { scope, client, access, waiting: Mutex::default(), more: Notify::new() }
    }

    /// What the session may do now.
    pub(super) fn access(&self) -> Access {
        self.access.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The session may do something else from now on.
    pub(super) fn grant(&self, access: Access) {
        *self.access.lock().unwrap_or_else(PoisonError::into_inner) = access;
    }

    /// Posts who is in a room now. What does not fit is not told one by one: all of the room is, later.
    pub(super) fn show(&self, room: &RoomName, frame: &Arc<str>) {
        let mut waiting = self.waiting();
        if waiting.behind.contains(room) {
            return;
        }
        if !waiting.add(self.post(About::Members(room.clone()), frame)) {
            // What waits of the room is in what it will be told, too.
            waiting.forget(room);
            waiting.behind.insert(room.clone());
        }
        drop(waiting);
        self.more.notify_one();
    }

    /// Posts what may not be left out. If it does not fit, the session ends.
    pub(super) fn say(&self, about: About, frame: &Arc<str>) {
        let mut waiting = self.waiting();
        waiting.overflowed |= !waiting.add(self.post(about, frame));
        drop(waiting);
        self.more.notify_one();
    }

    /// Waits for the next. Cancel safe.
    pub async fn next(&self) -> Mail {
        loop {
            if let Some(mail) = self.waiting().take() {
                return mail;
            }
            // One that comes in between has left its mark.
            self.more.notified().await;
        }
    }

    fn post(&self, about: About, frame: &Arc<str>) -> Post {
        Post { tenant: self.scope.tenant().clone(), about, frame: frame.clone() }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing in here panics between two changes that belong together.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn add(&mut self, post: Post) -> bool {
        if !self.posts.is_empty() && self.bytes + post.frame.len() > BUDGET {
            return false;
        }
        self.bytes += post.frame.len();
        self.posts.push_back(post);
        true
    }

    fn forget(&mut self, room: &RoomName) {
        self.posts.retain(|post| !matches!(&post.about, About::Members(of) if of == room));
        self.bytes = self.posts.iter().map(|post| post.frame.len()).sum();
    }

    fn take(&mut self) -> Option<Mail> {
        if self.overflowed {
            return Some(Mail::Overflowed);
        }
        if let Some(post) = self.posts.pop_front() {
            self.bytes -= post.frame.len();
            return Some(Mail::Post(post));
        }
        // Memory of a burst is not kept for a session that idles.
        self.posts = VecDeque::new();
        self.behind.pop_first().map(Mail::Behind)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::fixtures::scope;

    fn mailbox() -> Mailbox {
        Mailbox::new(scope("acme", "ada"), ClientId::from_random([1; 16]))
    }

    fn room(name: &str) -> RoomName {
        RoomName::new(name).unwrap()
    }

    fn frame(bytes: usize) -> Arc<str> {
        "x".repeat(bytes).into()
    }

    fn next(mailbox: &Mailbox) -> Option<Mail> {
        mailbox.next().now_or_never()
    }

    #[test]
    fn of_a_room_that_does_not_fit_all_is_told_later_and_the_other_rooms_go_on() {
        let mailbox = mailbox();
        mailbox.show(&room("busy"), &frame(BUDGET / 2));
        mailbox.show(&room("calm"), &frame(10));
        mailbox.show(&room("busy"), &frame(BUDGET / 2));
        mailbox.show(&room("busy"), &frame(10));
        mailbox.show(&room("calm"), &frame(20));
        let post = |bytes| {
            let (tenant, about) = ("acme".into(), About::Members(room("calm")));
            Some(Mail::Post(Post { tenant, about, frame: frame(bytes) }))
        };
        assert_eq!(next(&mailbox), post(10));
        assert_eq!(next(&mailbox), post(20));
        assert_eq!(next(&mailbox), Some(Mail::Behind(room("busy"))));
        assert_eq!(next(&mailbox), None);
        mailbox.show(&room("busy"), &frame(BUDGET * 2));
        assert!(matches!(next(&mailbox), Some(Mail::Post(_))), "one frame fits whatever its size");
    }

    #[test]
    fn a_message_is_not_left_out_silently() {
        let mailbox = mailbox();
        mailbox.say(About::Message, &frame(BUDGET));
        mailbox.say(About::Message, &frame(1));
        assert_eq!(next(&mailbox), Some(Mail::Overflowed));
    }
}
