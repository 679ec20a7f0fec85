//! What servers say to one another.

use aws_lc_rs::digest::{SHA256, digest};
use sdk_core::{
    protocol::RoomName,
    wire::{Bad, Decode, Encode, Reader, record, tagged},
};

use crate::{
    data::hex,
    rooms::{Person, ServerId, Spot, Word},
};

/// A message, and which server it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) from: ServerId,
    pub(super) message: Message,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// The server is there, and since when in Unix time.
    Here(Here),
    /// It will not be there any more.
    Gone {},
    /// Something of a room.
    Room(OfRoom),
    /// A frame for a person.
    Write(Write),
    /// To how many sessions of a person it was handed.
    Written(Written),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Here {
    pub(super) since: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OfRoom {
    pub(super) tenant: String,
    pub(super) room: RoomName,
    pub(super) word: Word,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) tenant: String,
    pub(super) subject: String,
    pub(super) frame: String,
    /// What the answer is to name.
    pub(super) number: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) number: u64,
    pub(super) count: u64,
}

record!(Envelope { from: "from"; message: "message"; });
record!(Here { since: "since"; });
record!(OfRoom { tenant: "tenant"; room: "room"; word: "word"; });
record!(Write { tenant: "tenant"; subject: "subject"; frame: "frame"; number: "number"; });
record!(Written { number: "number"; count: "count"; });
tagged!(Message {
    "here" => Here, "room" => Room, "write" => Write, "written" => Written
} { "gone" => Gone });

impl Envelope {
    pub(super) fn parse(text: &str) -> Result<Self, Bad> {
        let mut reader = Reader::new(text);
        let envelope = Self::read(&mut reader)?;
        reader.end()?;
        Ok(envelope)
    }
}

impl Encode for ServerId {
    fn write(&self, out: &mut String) {
        self.number().write(out);
    }
}

impl Decode for ServerId {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        u64::read(reader).map(Self::of)
    }
}

/// Where all servers are heard.
pub(super) const SERVERS: &str = "servers";

/// Where one server is written to.
pub(super) fn of_server(server: ServerId) -> String {
    format!("server:{server}")
}

/// Where those are heard who have somebody in a room.
pub(super) fn of_room((tenant, room): &Spot) -> String {
    named("room", tenant, room.as_str())
}

/// Where those are heard who have a session of a person.
pub(super) fn of_person((tenant, subject): &Person) -> String {
    named("person", tenant, subject)
}

/// Of a fixed length, whatever the names are. A message says itself whom it is about, so two that shared a channel would hear too
/// much, and mix nothing up.
fn named(kind: &str, tenant: &str, name: &str) -> String {
    let text = format!("{}:{tenant}{name}", tenant.len());
    format!("{kind}:{}", hex(&digest(&SHA256, text.as_bytes()).as_ref()[..16]))
}
