//! Publishing to topics.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Client, EncodeError, Operation, SubmitError, Topic};
use crate::{
    driver::Platform,
    engine::{Amendment, Unpublished},
    protocol::{Json, Seq, TopicName, complete_event},
};

/// An event as an application describes it: a CloudEvent. What it does not say of its id, source and time is added when
/// it is published.
#[derive(Debug, Clone, PartialEq)]
pub struct CloudEvent(Map<String, Value>);

impl CloudEvent {
    /// An event of a type, such as `order.placed`.
    pub fn new(kind: &str) -> Self {
        Self(Map::new()).with("type", kind)
    }

    /// What it is about. Events with the same subject keep their order also among the workers of a group.
    #[must_use]
    pub fn subject(self, subject: &str) -> Self {
        self.with("subject", subject)
    }

    /// What it carries.
    ///
    /// # Errors
    /// The value has no JSON form.
    pub fn data(self, data: &impl Serialize) -> Result<Self, EncodeError> {
        let data = serde_json::to_value(data)?;
        Ok(self.with("data", data))
    }

    /// Any other attribute, such as `id`, `source`, `time` (RFC 3339), `datacontenttype`, or an extension. An event is in
    /// its topic once, known by its source and id together.
    #[must_use]
    pub fn with(mut self, attribute: &str, value: impl Into<Value>) -> Self {
        self.0.insert(attribute.to_owned(), value.into());
        self
    }

    /// The whole event, as this client publishes it.
    fn of<P: Platform>(&self, client: &Client<P>) -> Result<Json, EncodeError> {
        let described = Json::parse(serde_json::to_string(&self.0)?)?;
        let (id, now) = client.driver.name();
        let source = format!("urn:webwaka:client:{}", client.id());
        complete_event(&described, &id.to_string(), &source, now).map_err(EncodeError::Event)
    }
}

/// How an event is published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Publishing {
    coalesce: Option<String>,
    after: Vec<Seq>,
}

impl Publishing {
    /// The event takes the place of an earlier one for the topic with this key, if that was certainly not sent: of what is
    /// published while there is no network, the latest of each key goes out. Both handles are then of one operation.
    /// What an earlier run of the program left goes out as it is: whether it was sent is not stored, for that would cost each
    /// event a commit of its own before it leaves.
    #[must_use]
    pub fn coalesce(self, key: &str) -> Self {
        Self { coalesce: Some(key.to_owned()), ..self }
    }

    /// The event is sent once these have been applied, as with [`Collection::after`](super::Collection::after).
    #[must_use]
    pub fn after(self, operations: &[&Operation]) -> Self {
        Self { after: operations.iter().map(|operation| operation.id().seq).collect(), ..self }
    }
}

impl<P: Platform> Topic<P> {
    /// Publishes an event, with or without a network. Resolves once it is durable on this device, not once it is in the
    /// topic; await [`Operation::outcome`] for that, which is then
    /// [`Published`](crate::protocol::Outcome::Published) with its position. However often it is sent, it is in the topic
    /// once. The events of this client for the topic arrive in the order in which they were published. A topic that is
    /// missing is made.
    ///
    /// One that the server refuses becomes a dead letter ([`unpublished`](Client::unpublished)), and those behind it wait
    /// until it is [mended](Client::republish), [tried again](Client::retry), [withdrawn](Client::abort) or
    /// [dropped](Client::discard).
    ///
    /// # Errors
    /// [`SubmitError`]
    pub async fn publish(&self, event: &CloudEvent) -> Result<Operation, SubmitError> {
        self.publish_with(event, Publishing::default()).await
    }

    /// The same, with something to say of how.
    ///
    /// # Errors
    /// [`SubmitError`]
    pub async fn publish_with(&self, event: &CloudEvent, how: Publishing) -> Result<Operation, SubmitError> {
        let event = event.of(&self.client)?;
        let Publishing { coalesce, after } = how;
        let topic: TopicName = self.name.clone();
        let driver = &self.client.driver;
        self.client.ask(|ticket| driver.publish(ticket, topic, event, coalesce, after)).await
    }
}

impl<P: Platform> Client<P> {
    /// The events that are not in their topics: those that wait, and those that the server refused and nobody has
    /// discarded, oldest first.
    pub fn unpublished(&self) -> Vec<Unpublished> {
        self.driver.unpublished()
    }

    /// Puts another event in the place of one that was certainly never sent, or was refused; it keeps its place before those
    /// that wait behind it. Otherwise as [`edit`](Self::edit).
    ///
    /// # Errors
    /// As [`edit`](Self::edit).
    pub async fn republish(&self, seq: Seq, event: &CloudEvent) -> Result<Operation, SubmitError> {
        self.amend(seq, Amendment::Republish(event.of(self)?)).await
    }
}
