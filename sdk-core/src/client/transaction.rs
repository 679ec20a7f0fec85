//! Critical transactions: requests over HTTPS whose caller waits for the outcome.

use serde::Serialize;

use super::{
    Client, EncodeError,
    patience::{Patience, WITHIN},
};
use crate::{
    driver::{HttpReply, Platform, TokenSource, Transact, TransactionRequest},
    protocol::{IdempotencyKey, InvalidId, Json, Retry, TransactionName, decode},
    routing::{Class, Route, route},
    wire::record,
};

/// A critical transaction that was not sent yet: a payment, a booking.
///
/// It can be sent and nothing else. There is no way to queue it or to send it over a socket, because it is none of the
/// things that are:
///
/// ```
/// # use sdk_core::{client::{CloudEvent, Collection, Publishing, Topic, Transaction}, native::Native};
/// # async fn each(topic: Topic<Native>, collection: Collection<Native>, event: CloudEvent, paid: Transaction<Native>)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// topic.publish_with(&event, Publishing::default()).await?;
/// collection.put("a", &1).await?;
/// paid.send().await?;
/// # Ok(())
/// # }
/// ```
///
/// It is no event,
///
/// ```compile_fail,E0308
/// # use sdk_core::{client::{CloudEvent, Collection, Publishing, Topic, Transaction}, native::Native};
/// # async fn each(topic: Topic<Native>, collection: Collection<Native>, event: CloudEvent, paid: Transaction<Native>)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// topic.publish_with(&paid, Publishing::default()).await?;
/// # Ok(())
/// # }
/// ```
///
/// nor is its outcome,
///
/// ```compile_fail,E0308
/// # use sdk_core::{client::{CloudEvent, Collection, Publishing, Topic, Transaction}, native::Native};
/// # async fn each(topic: Topic<Native>, collection: Collection<Native>, event: CloudEvent, paid: Transaction<Native>)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// topic.publish_with(&paid.send().await?, Publishing::default()).await?;
/// # Ok(())
/// # }
/// ```
///
/// no value of a document or of an event,
///
/// ```compile_fail,E0277
/// # use sdk_core::{client::{CloudEvent, Collection, Publishing, Topic, Transaction}, native::Native};
/// # async fn each(topic: Topic<Native>, collection: Collection<Native>, event: CloudEvent, paid: Transaction<Native>)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// collection.put("a", &paid).await?;
/// # Ok(())
/// # }
/// ```
///
/// no operation that others wait for,
///
/// ```compile_fail,E0308
/// # use sdk_core::{client::{CloudEvent, Collection, Publishing, Topic, Transaction}, native::Native};
/// # async fn each(topic: Topic<Native>, collection: Collection<Native>, event: CloudEvent, paid: Transaction<Native>)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// topic.publish_with(&event, Publishing::default().after(&[&paid])).await?;
/// # Ok(())
/// # }
/// ```
///
/// and no frame:
///
/// ```compile_fail,E0599
/// # use sdk_core::protocol::{ClientFrame, Push};
/// let frame = ClientFrame::Push(Push { operations: Vec::new() });
/// let frame = ClientFrame::Transaction(());
/// ```
#[must_use = "a transaction does nothing until it is sent"]
pub struct Transaction<P: Platform> {
    client: Client<P>,
    name: TransactionName,
    body: Json,
    key: IdempotencyKey,
    within: u64,
}

/// What the server has decided, now or when it was asked before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionOutcome {
    /// It is done.
    Done {
        /// The application's answer.
        answer: Json,
        /// Whether an earlier call of the key has done it.
        replayed: bool,
    },
    /// The application on the server has decided against it. Nothing was changed, and the key gets no other answer.
    Refused {
        /// The application's stable code.
        code: String,
        /// The same in words.
        message: String,
        /// Whether an earlier call of the key was told so.
        replayed: bool,
    },
}

/// There is no outcome to tell.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// The server is not within reach. It was not sent, and never will be: nothing has happened.
    #[error("there is no connection; nothing was sent")]
    Offline {
        /// For another call.
        key: IdempotencyKey,
    },
    /// The application gave no token. Nothing was sent.
    #[error("there is no token; nothing was sent: {message}")]
    NoToken {
        /// For another call.
        key: IdempotencyKey,
        /// Why, in words.
        message: String,
    },
    /// The server did not take it: nothing has happened.
    #[error("{code}: {message}")]
    NotTaken {
        /// For another call.
        key: IdempotencyKey,
        /// The stable reason, as in `docs/protocol.md`.
        code: String,
        /// The same in words.
        message: String,
        /// What to do about it.
        retry: Retry,
        /// Milliseconds to wait at least before another call, if the server has said so.
        retry_after: Option<u64>,
    },
    /// The answer did not come. **It may have happened**: ask again with the same key, name and body; the outcome is told
    /// then, and it happens once.
    #[error("no answer came; it may have happened, and the key {key} will tell")]
    Unknown {
        /// To ask again with.
        key: IdempotencyKey,
    },
}

impl TransactionError {
    /// The key of the call, to ask again with.
    pub fn key(&self) -> &IdempotencyKey {
        match self {
            Self::Offline { key }
            | Self::NoToken { key, .. }
            | Self::NotTaken { key, .. }
            | Self::Unknown { key } => key,
        }
    }

    /// What to do about it: after [`Retry::Later`], the same with the same key.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Offline { .. } | Self::Unknown { .. } => Retry::Later,
            Self::NoToken { .. } => Retry::Reauthenticate,
            Self::NotTaken { retry, .. } => *retry,
        }
    }
}

impl<P: Platform> Client<P>
where
    P::Transport: Transact,
{
    /// A critical transaction of the server's application, to be [sent](Transaction::send).
    ///
    /// # Errors
    /// The body has no JSON form, or the name is none.
    pub fn transaction(&self, name: &str, body: &impl Serialize) -> Result<Transaction<P>, EncodeError> {
        let (name, body) = (TransactionName::new(name)?, Json::parse(serde_json::to_string(body)?)?);
        let (random, _) = self.driver.name();
        let key = IdempotencyKey::new(&random.to_string())?;
        Ok(Transaction { client: self.clone(), name, body, key, within: WITHIN })
    }
}

impl<P: Platform> Transaction<P>
where
    P::Transport: Transact,
{
    /// Under a key of the caller's, which it keeps until it knows the outcome; above all that of an earlier call that had
    /// none. Without one it has a random key, which every error tells.
    ///
    /// # Errors
    /// It can be no key.
    pub fn idempotency_key(self, key: &str) -> Result<Self, InvalidId> {
        Ok(Self { key: IdempotencyKey::new(key)?, ..self })
    }

    /// For how many milliseconds to try, instead of 30,000.
    pub fn within(self, millis: u64) -> Self {
        Self { within: millis, ..self }
    }

    /// Sends it, and waits for the outcome. An answer that gets lost, or a server that cannot store at this moment, has it
    /// sent again with the same key, so that it happens once. Where the server is out of reach from the beginning it is
    /// refused at once.
    ///
    /// Whoever drops the future does not know what became of it, as after [`TransactionError::Unknown`].
    ///
    /// # Errors
    /// [`TransactionError`]
    pub async fn send(self) -> Result<TransactionOutcome, TransactionError> {
        let driver = &self.client.driver;
        if route(Class::CriticalTransaction, driver.status().link) != Route::Transaction {
            return Err(TransactionError::Offline { key: self.key });
        }
        let mut patience = Patience::new(driver, self.within);
        let mut attempts = Attempts { key: &self.key, lost: false };
        loop {
            let (error, least) = match patience.wait_for(attempts.attempt(&self)).await {
                Some(Tried::Over(result)) => return result,
                Some(Tried::Again(error, least)) => (error, least),
                None => return Err(TransactionError::Unknown { key: self.key.clone() }),
            };
            if !patience.again(least).await {
                return Err(error);
            }
        }
    }
}

/// What came of one attempt.
enum Tried {
    Over(Result<TransactionOutcome, TransactionError>),
    /// It is worth another, after so many milliseconds at least; without one, this is what is known.
    Again(TransactionError, u64),
}

/// The attempts of one call.
struct Attempts<'a> {
    key: &'a IdempotencyKey,
    /// Whether one of them may have been taken without an answer: then nothing but a decision tells what became of it.
    lost: bool,
}

impl Attempts<'_> {
    async fn attempt<P: Platform>(&mut self, call: &Transaction<P>) -> Tried
    where
        P::Transport: Transact,
    {
        let driver = &call.client.driver;
        let token = match driver.parts().tokens.token().await {
            Ok(token) => token,
            Err(error) => {
                let message = error.to_string();
                let error = self.unless_lost(TransactionError::NoToken { key: self.key.clone(), message });
                return Tried::Over(Err(error));
            }
        };
        let (name, key, body) = (call.name.clone(), call.key.clone(), call.body.as_str().to_owned());
        let before = std::mem::replace(&mut self.lost, true);
        let reply = driver.parts().transport.transact(TransactionRequest { name, key, token, body }).await;
        let answer = reply.ok().and_then(|reply| self.read(&reply));
        match answer {
            Some(Answer::Decided(outcome)) => Tried::Over(Ok(outcome)),
            Some(Answer::Problem { status, code, message, retry_after }) => {
                self.lost = before;
                let retry = retry(status);
                let key = self.key.clone();
                let error =
                    self.unless_lost(TransactionError::NotTaken { key, code, message, retry, retry_after });
                // A fault of the handler's is likely to come again.
                if retry == Retry::Later && status != 500 {
                    Tried::Again(error, retry_after.unwrap_or_default())
                } else {
                    Tried::Over(Err(error))
                }
            }
            None => Tried::Again(TransactionError::Unknown { key: self.key.clone() }, 0),
        }
    }

    fn unless_lost(&self, error: TransactionError) -> TransactionError {
        if self.lost { TransactionError::Unknown { key: self.key.clone() } } else { error }
    }

    /// What the server says; none if it is somebody else who answers. A decision names the key that it is about.
    fn read(&self, reply: &HttpReply) -> Option<Answer> {
        let replayed = reply.header("idempotent-replayed").is_some();
        let ours = reply.header("idempotency-key") == Some(&self.key.to_field());
        if reply.status == 200 && ours {
            let answer = Json::parse(&reply.body).ok()?;
            return Some(Answer::Decided(TransactionOutcome::Done { answer, replayed }));
        }
        let Problem { code, detail, error } = decode(&reply.body).ok()?;
        match error {
            Some(Refusal { code, message }) if ours && reply.status == 409 => {
                Some(Answer::Decided(TransactionOutcome::Refused { code, message, replayed }))
            }
            _ => {
                let (status, retry_after) = (reply.status, reply.retry_after());
                Some(Answer::Problem { status, code, message: detail, retry_after })
            }
        }
    }
}

enum Answer {
    Decided(TransactionOutcome),
    Problem { status: u16, code: String, message: String, retry_after: Option<u64> },
}

/// A problem document of the server's.
pub(super) struct Problem {
    pub(super) code: String,
    pub(super) detail: String,
    /// The application's own reason.
    pub(super) error: Option<Refusal>,
}

pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) message: String,
}

/// What to do about a status that is none of success.
pub(super) fn retry(status: u16) -> Retry {
    match status {
        401 => Retry::Reauthenticate,
        408 | 429 | 500.. => Retry::Later,
        _ => Retry::Never,
    }
}

record!(Problem { code: "code"; detail: "detail" or String::new(); error: "error"; });
record!(Refusal { code: "code"; message: "message" or String::new(); });
