//! Rooms, and messages between people: for those who are there now. Nothing of it is stored or queued.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures::{StreamExt, channel::mpsc};
use serde::{Serialize, de::DeserializeOwned};

use super::{Client, Closed, EncodeError, Router};
use crate::{
    driver::{Driver, Platform},
    engine::{Attendance, QueryId, Unsent},
    presence::{Heard, Person, Room as Seen},
    protocol::{EndReason, InvalidId, Json, MAX_MESSAGE, MAX_STATE, Recipient, RoomName, TopicName},
};

/// A message was not sent, as far as is known; it is not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The value has no JSON form.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// It is over its limit.
    #[error("it has {bytes} bytes; {limit} are allowed")]
    TooLarge {
        /// Bytes it has.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// There is no link, or the server refused it.
    #[error(transparent)]
    Unsent(#[from] Unsent),
    /// The client was closed meanwhile.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// A room, for as long as one is in it.
pub struct Room<P: Platform> {
    client: Client<P>,
    name: RoomName,
    way: Way<P>,
}

/// Who is in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Show {
    /// Whether that is known: there is a link, and the server has told.
    pub loaded: bool,
    /// The people, by name.
    pub people: Vec<Person>,
    /// Why one is not in the room.
    pub over: Option<EndReason>,
}

/// A message that somebody has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The sender, as their token names them.
    pub from: String,
    /// What it says.
    pub data: Json,
    /// Messages before it that were not taken in time and are gone.
    pub dropped: u64,
}

impl Message {
    /// The message as a type of the application.
    ///
    /// # Errors
    /// It is not of that type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.data.as_str())
    }
}

/// A way into a room, which is closed when this is dropped.
struct Way<P: Platform> {
    driver: Driver<P>,
    router: Arc<Router>,
    id: QueryId,
    changed: mpsc::Receiver<()>,
}

impl<P: Platform> Way<P> {
    fn open(client: &Client<P>, room: Option<RoomName>, listen: bool, interval: Option<Duration>) -> Self {
        let (id, changed) = client.router.watch();
        let interval = interval.map(|interval| u64::try_from(interval.as_millis()).unwrap_or(u64::MAX));
        client.driver.attend(id, Attendance { room, listen, interval, state: None });
        Self { driver: client.driver.clone(), router: Arc::clone(&client.router), id, changed }
    }

    async fn next(&mut self) -> Result<Seen, Closed> {
        self.changed.next().await.ok_or(Closed)?;
        self.driver.room(self.id).ok_or(Closed)
    }
}

impl<P: Platform> Drop for Way<P> {
    fn drop(&mut self) {
        self.driver.close(self.id);
        self.router.unwatch(self.id);
    }
}

impl<P: Platform> Room<P> {
    pub(super) fn enter(client: &Client<P>, name: RoomName, interval: Option<Duration>) -> Self {
        let way = Way::open(client, Some(name.clone()), false, interval);
        Self { client: client.clone(), name, way }
    }

    /// Wants to be seen in this state, at most so often as the room was opened for; in between the newest counts. While
    /// there is no link nothing is sent, and afterwards the newest. At most [`MAX_STATE`] bytes of JSON.
    ///
    /// # Errors
    /// [`SendError::Encode`], [`SendError::TooLarge`]
    pub fn show<T: Serialize>(&self, state: &T) -> Result<(), SendError> {
        let state = json(state, MAX_STATE)?;
        self.way.driver.present(self.way.id, Some(state));
        Ok(())
    }

    /// Does not want to be seen any more, and goes on to see.
    pub fn hide(&self) {
        self.way.driver.present(self.way.id, None);
    }

    /// Who is there now.
    ///
    /// # Errors
    /// [`Closed`], also if the client is in as many rooms as it may be.
    pub fn people(&self) -> Result<Show, Closed> {
        self.way.driver.room(self.way.id).map(Show::from).ok_or(Closed)
    }

    /// Waits until that has changed since the last call, and returns it. Changes in quick succession come as one. Cancel
    /// safe.
    ///
    /// # Errors
    /// As [`people`](Self::people).
    pub async fn changed(&mut self) -> Result<Show, Closed> {
        self.way.next().await.map(Show::from)
    }

    /// Says something to everybody else who is in the room now. Resolves to the number of sessions that it went to. At
    /// most [`MAX_MESSAGE`] bytes of JSON.
    ///
    /// # Errors
    /// [`SendError`]
    pub async fn send<T: Serialize>(&self, data: &T) -> Result<u64, SendError> {
        self.client.say(Recipient::Room(self.name.as_str().to_owned()), data).await
    }

    /// What is said in the room from now on.
    pub fn messages(&self) -> RoomMessages<P> {
        RoomMessages::new(Way::open(&self.client, Some(self.name.clone()), true, None))
    }
}

/// Messages, one after the other, until it is dropped. While there is no link none come.
pub struct RoomMessages<P: Platform> {
    way: Way<P>,
    waiting: VecDeque<Heard>,
    dropped: u64,
}

impl<P: Platform> RoomMessages<P> {
    fn new(way: Way<P>) -> Self {
        Self { way, waiting: VecDeque::new(), dropped: 0 }
    }

    pub(super) fn direct(client: &Client<P>) -> Self {
        Self::new(Way::open(client, None, true, None))
    }

    /// The next message. Cancel safe.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn next(&mut self) -> Result<Message, Closed> {
        loop {
            if let Some(Heard { number, from, data }) = self.waiting.pop_front() {
                self.way.driver.heard(self.way.id, number);
                return Ok(Message { from, data, dropped: std::mem::take(&mut self.dropped) });
            }
            let seen = self.way.next().await?;
            self.waiting = seen.messages.into();
            self.dropped = seen.dropped;
        }
    }
}

/// Somebody of the same tenant.
pub struct User<P: Platform> {
    client: Client<P>,
    subject: String,
}

impl<P: Platform> User<P> {
    pub(super) fn new(client: Client<P>, subject: &str) -> Self {
        Self { client, subject: subject.to_owned() }
    }

    /// Says something to this person at all of their devices that are connected now. Resolves to the number of sessions
    /// that it went to; 0 if there is none. What has to arrive goes to their [`inbox`](Self::inbox).
    ///
    /// # Errors
    /// [`SendError`]
    pub async fn send<T: Serialize>(&self, data: &T) -> Result<u64, SendError> {
        self.client.say(Recipient::User(self.subject.clone()), data).await
    }

    /// The topic in which what was published for this person stays, for all of their devices.
    ///
    /// # Errors
    /// The subject is too long for a topic's name.
    pub fn inbox(&self) -> Result<super::Topic<P>, InvalidId> {
        let name = TopicName::inbox(&self.subject)?;
        self.client.topic(name.as_str())
    }
}

impl<P: Platform> Client<P> {
    async fn say<T: Serialize>(&self, to: Recipient, data: &T) -> Result<u64, SendError> {
        let data = json(data, MAX_MESSAGE)?;
        let (ticket, answer) = self.router.message();
        self.driver.say(ticket, to, data);
        Ok(answer.await.map_err(|_| Closed)??)
    }
}

fn json<T: Serialize>(value: &T, limit: usize) -> Result<Json, SendError> {
    let text = serde_json::to_string(value).map_err(EncodeError::from)?;
    let bytes = text.len();
    if bytes > limit {
        return Err(SendError::TooLarge { bytes, limit });
    }
    Ok(Json::parse(text).map_err(EncodeError::from)?)
}

impl From<Seen> for Show {
    fn from(Seen { loaded, people, over, .. }: Seen) -> Self {
        Self { loaded, people, over }
    }
}
