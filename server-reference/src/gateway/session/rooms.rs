//! A session's part in live presence and messages.

use std::collections::BTreeSet;

use sdk_core::{
    clock::Millis,
    protocol::{
        EndReason, Enter, ErrorCode, Leave, ProtocolError, RoomName, RoomNews, Send, Sent, ServerFrame,
    },
};

use super::{Effect, HEARTBEAT, Now, Session, State};
use crate::{
    gateway::open::Open,
    rooms::{About, Call, Code, Mail, Post},
};

/// Milliseconds between pings to who is in a room, so that the others see soon when somebody has dropped.
pub const ROOM_HEARTBEAT: u64 = 5_000;
/// Milliseconds of silence after which somebody is not shown in rooms any more. The session goes on; whoever is heard
/// again is shown again.
pub const ROOM_SILENCE: u64 = 12_000;

/// Where a session is.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Whereabouts {
    rooms: BTreeSet<RoomName>,
    /// The others have been told that it is gone.
    away: bool,
}

impl Open {
    /// Milliseconds between pings.
    pub(super) fn heartbeat(&self) -> u64 {
        if self.whereabouts.rooms.is_empty() { HEARTBEAT } else { ROOM_HEARTBEAT }
    }

    /// When it is not shown in its rooms any more, if nothing is heard until then.
    pub(super) fn fades(&self) -> Option<Millis> {
        let Whereabouts { rooms, away } = &self.whereabouts;
        // As with a session's silence.
        let heard = !self.is_storing() && !rooms.is_empty() && !away;
        heard.then(|| self.last_heard.plus(ROOM_SILENCE))
    }

    /// It is shown in its rooms, or is not.
    pub(super) fn set_away(&mut self, away: bool) -> Option<Effect> {
        let Whereabouts { rooms, away: before } = &mut self.whereabouts;
        let changed = std::mem::replace(before, away) != away && !rooms.is_empty();
        changed.then(|| Effect::Rooms(Call::Away(rooms.iter().cloned().collect(), away)))
    }
}

impl Session {
    pub(super) fn enter(&mut self, now: Now, enter: Enter) {
        let State::Open(open) = &mut self.state else { return };
        if let Ok(room) = RoomName::new(&enter.room) {
            let rooms = &mut open.whereabouts.rooms;
            if !rooms.contains(&room) && rooms.len() >= self.limits.rooms {
                let message = format!("a session is in {} rooms at most", self.limits.rooms);
                let over = Some(EndReason { code: Code::TooMany.as_str().to_owned(), message });
                self.send(&ServerFrame::Room(RoomNews { room: enter.room, over, ..RoomNews::default() }));
                return;
            }
            rooms.insert(room);
            open.next_ping = open.next_ping.min(now.monotonic.plus(ROOM_HEARTBEAT));
        }
        self.effects.push_back(Effect::Rooms(Call::Enter(enter)));
    }

    pub(super) fn leave(&mut self, Leave { room }: &Leave) {
        let State::Open(open) = &mut self.state else { return };
        if let Ok(room) = RoomName::new(room)
            && open.whereabouts.rooms.remove(&room)
        {
            self.effects.push_back(Effect::Rooms(Call::Leave(room)));
        }
    }

    pub(super) fn say(&mut self, send: Send) {
        if let Some(reason) = self.hurried() {
            return self.send(&ServerFrame::Sent(Sent { id: send.id, count: 0, reason: Some(reason) }));
        }
        self.effects.push_back(Effect::Rooms(Call::Send(send)));
    }

    pub(super) fn mail(&mut self, mail: Mail) {
        let State::Open(open) = &mut self.state else { return };
        match mail {
            // The rooms are the tenant's own; a mistake there must not become a leak here.
            Mail::Post(Post { tenant, .. }) if tenant != *open.scope.tenant() => {}
            Mail::Post(Post { about, frame, .. }) => {
                let rooms = &mut open.whereabouts.rooms;
                match about {
                    About::Members(room) if !rooms.contains(&room) => return,
                    About::Over(room) => rooms.retain(|entered| entered.as_str() != room),
                    About::Members(_) | About::Message => {}
                }
                self.effects.push_back(Effect::Send(frame));
            }
            Mail::Behind(room) => self.effects.push_back(Effect::Rooms(Call::CatchUp(room))),
            Mail::Overflowed => {
                let message = "messages were not taken as fast as they came; those that waited are lost";
                self.refuse(ProtocolError::new(ErrorCode::SlowConsumer, message));
            }
        }
    }
}
