//! The topics that a session reads.

use sdk_core::protocol::{ServerFrame, Subscribe};

use super::{Effect, Session, State};
use crate::{
    gateway::topics::{Follow, Told},
    storage::events::{LogError, News, Slice},
};

impl Session {
    pub(super) fn subscribe(&mut self, asked: Subscribe) {
        let State::Open(open) = &mut self.state else { return };
        match open.topics.subscribe(asked) {
            // Before the first read, so that what is appended after it is not missed.
            Ok(Some(Follow { topic, sub, level })) => {
                self.effects.push_back(Effect::FollowTopic(open.scope.clone(), topic, sub, level));
            }
            Ok(None) => {}
            Err(ended) => self.send(&ServerFrame::Ended(ended)),
        }
        self.read_next_topic();
    }

    pub(super) fn topic_read(&mut self, result: Result<Slice, LogError>) {
        let State::Open(open) = &mut self.state else { return };
        match open.topics.read(result) {
            Ok(told) => {
                self.tell(told);
                self.read_next_topic();
            }
            Err(error) => self.refuse(error),
        }
    }

    pub(super) fn topic_moved(&mut self, news: &News) {
        let State::Open(open) = &mut self.state else { return };
        // As with advances.
        if *news.tenant != **open.scope.tenant() {
            return;
        }
        open.topics.moved(news).into_iter().for_each(|told| self.tell(told));
        self.read_next_topic();
    }

    pub(super) fn missed_news(&mut self) {
        if let State::Open(open) = &mut self.state {
            open.topics.lagged();
            self.read_next_topic();
        }
    }

    pub(super) fn read_next_topic(&mut self) {
        let State::Open(open) = &mut self.state else { return };
        if let Some((topic, read)) = open.topics.next_read(self.limits.frame_bytes / 2) {
            self.effects.push_back(Effect::ReadTopic(open.scope.clone(), topic, read));
        }
    }

    pub(super) fn tell(&mut self, told: Told) {
        self.effects.extend(told.frames.into_iter().map(Effect::Send));
        self.effects.extend(told.unfollow.map(Effect::UnfollowTopic));
        self.effects.extend(told.level.map(Effect::Level));
    }
}
