//! What a room hears of those who are in it at other servers, and tells them of those who are here.

use std::collections::BTreeSet;

use sdk_core::protocol::ClientId;

use super::{
    super::{
        mailbox::About,
        shared::{Changed, Claim, Guest, ServerId, Word},
    },
    Holder, Outward, Room, Seat, replaced,
};

impl Outward {
    pub(super) fn is_due(&self) -> bool {
        self.all || !self.changed.is_empty() || !self.left.is_empty()
    }
}

impl Room {
    /// Takes what another server has told.
    pub(in crate::rooms) fn hear(&mut self, from: ServerId, word: Word) {
        match word {
            Word::Ask {} => self.retell(),
            Word::All(guests) => {
                // Who came here before it was known who is there came later.
                let first = self.heard.insert(from);
                let there: BTreeSet<ClientId> = guests.iter().map(|guest| guest.client).collect();
                let gone =
                    self.seats.iter().filter(|(client, seat)| seat.is_at(from) && !there.contains(client));
                let gone: Vec<ClientId> = gone.map(|(client, _)| *client).collect();
                gone.into_iter().for_each(|client| self.remove(client));
                guests.into_iter().for_each(|guest| self.seat(from, guest, first));
            }
            Word::News(Changed { guests, left }) => {
                for client in left {
                    if self.seats.get(&client).is_some_and(|seat| seat.is_at(from)) {
                        self.remove(client);
                    }
                }
                guests.into_iter().for_each(|guest| self.seat(from, guest, false));
            }
            Word::Said(frame) => {
                let frame = frame.into();
                let here = self.seats.values().filter_map(Seat::mailbox);
                here.for_each(|mailbox| mailbox.say(About::Message, &frame));
            }
        }
    }

    /// Everybody who is here is to be told of.
    pub(in crate::rooms) fn retell(&mut self) {
        if let Some(outward) = &mut self.outward {
            outward.all = true;
        }
    }

    /// A server is not heard any more: nobody is in the room there.
    pub(in crate::rooms) fn lose(&mut self, server: ServerId) {
        self.heard.remove(&server);
        let gone = self.seats.iter().filter(|(_, seat)| seat.is_at(server)).map(|(client, _)| *client);
        let gone: Vec<ClientId> = gone.collect();
        gone.into_iter().for_each(|client| self.remove(client));
    }

    /// Somebody is in the room at another server. Whoever comes beyond what a room takes is not shown here.
    fn seat(&mut self, from: ServerId, guest: Guest, later: bool) {
        let Guest { client, id, user, since, state } = guest;
        let claim = Claim { at: since, server: from };
        if let Some(seat) = self.seats.get_mut(&client) {
            match &seat.holder {
                Holder::Here(_) if later && seat.claim < claim => {
                    seat.claim.at = claim.at + 1;
                    return self.note(client);
                }
                _ if claim < seat.claim => return,
                _ => {}
            }
        }
        let Ok(bytes) = self.room_for(client, &state) else { return };
        self.bytes = bytes;
        let holder = Holder::There(from, user.into());
        match self.seats.get_mut(&client) {
            None => {
                self.seats.insert(client, Seat { id, claim, holder, state, away: false, shown: false });
            }
            Some(seat) => {
                if let Holder::Here(former) = std::mem::replace(&mut seat.holder, holder) {
                    replaced(&former, &self.name);
                    self.here -= 1;
                    self.newcomers.remove(&client);
                    if let Some(outward) = &mut self.outward {
                        outward.changed.remove(&client);
                    }
                }
                if seat.id != id && seat.shown {
                    self.left.push(seat.id);
                    seat.shown = false;
                }
                (seat.id, seat.claim, seat.state, seat.away) = (id, claim, state, false);
            }
        }
        self.changed.insert(client);
    }

    /// What the others are to be told now.
    pub(in crate::rooms) fn outward(&mut self) -> Option<Word> {
        let outward = self.outward.as_mut().filter(|outward| outward.is_due())?;
        let Outward { changed, left, all } = std::mem::take(outward);
        let guest = |client: &ClientId| {
            let seat = self.seats.get(client)?;
            let user = seat.mailbox()?.scope.subject().to_string();
            let state = seat.visible().cloned();
            Some(Guest { client: *client, id: seat.id, user, since: seat.claim.at, state })
        };
        Some(if all {
            Word::All(self.seats.keys().filter_map(guest).collect())
        } else {
            Word::News(Changed { guests: changed.iter().filter_map(guest).collect(), left })
        })
    }
}
