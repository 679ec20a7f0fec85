//! Questions to the server's application: what the records of its critical transactions say.

use super::{
    Client,
    patience::{Patience, WITHIN},
    transaction::{Problem, Refusal, retry},
};
use crate::{
    driver::{HttpGet, HttpReply, Platform, TokenSource, Transport},
    protocol::{InvalidId, Json, Retry, TransactionName, decode},
    routing::{Class, Route, route},
};

/// A question that was not asked yet, such as for a balance. It changes nothing, and is never stored.
#[must_use = "nothing is asked before `ask`"]
pub struct Question<P: Platform> {
    client: Client<P>,
    path: String,
    within: u64,
}

/// What the application on the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryAnswer {
    /// It has an answer. It was so at one moment, which is over.
    Done(Json),
    /// It gives none.
    Refused {
        /// The application's stable code.
        code: String,
        /// The same in words.
        message: String,
    },
}

/// There is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionError {
    /// The server is not within reach; nothing was asked.
    #[error("there is no connection; nothing was asked")]
    Offline,
    /// The application gave no token; nothing was asked.
    #[error("there is no token; nothing was asked: {0}")]
    NoToken(String),
    /// The server does not answer that.
    #[error("{code}: {message}")]
    NotTaken {
        /// The stable reason, as in `docs/protocol.md`.
        code: String,
        /// The same in words.
        message: String,
        /// What to do about it.
        retry: Retry,
        /// Milliseconds to wait at least before asking again, if the server has said so.
        retry_after: Option<u64>,
    },
    /// No answer came in time.
    #[error("no answer came in time")]
    NoAnswer,
}

impl QuestionError {
    /// What to do about it.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Offline | Self::NoAnswer => Retry::Later,
            Self::NoToken(_) => Retry::Reauthenticate,
            Self::NotTaken { retry, .. } => *retry,
        }
    }
}

impl<P: Platform> Client<P> {
    /// A question to the server's application, to be [asked](Question::ask).
    ///
    /// # Errors
    /// The name is none.
    pub fn question(&self, name: &str, parameters: &[(&str, &str)]) -> Result<Question<P>, InvalidId> {
        let name = TransactionName::new(name)?;
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let path = format!("v1/transactions/{name}?{query}");
        Ok(Question { client: self.clone(), path, within: WITHIN })
    }
}

impl<P: Platform> Question<P> {
    /// For how many milliseconds to try, instead of 30,000.
    pub fn within(self, millis: u64) -> Self {
        Self { within: millis, ..self }
    }

    /// Asks, and waits for the answer. One that gets lost has it asked again. Where the server is out of reach from the beginning it is
    /// refused at once. To drop the future ends it.
    ///
    /// # Errors
    /// [`QuestionError`]
    pub async fn ask(&self) -> Result<QueryAnswer, QuestionError> {
        let driver = &self.client.driver;
        if route(Class::CriticalTransaction, driver.status().link) != Route::Transaction {
            return Err(QuestionError::Offline);
        }
        let mut patience = Patience::new(driver, self.within);
        loop {
            let (error, least) = match patience.wait_for(self.attempt()).await {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err((error, Some(least)))) => (error, least),
                Some(Err((error, None))) => return Err(error),
                None => return Err(QuestionError::NoAnswer),
            };
            if !patience.again(least).await {
                return Err(error);
            }
        }
    }

    /// One attempt. What failed is worth another after so many milliseconds at least, if any are told.
    async fn attempt(&self) -> Result<QueryAnswer, (QuestionError, Option<u64>)> {
        let driver = &self.client.driver;
        let token = driver.parts().tokens.token().await;
        let token = token.map_err(|error| (QuestionError::NoToken(error.to_string()), None))?;
        let get = HttpGet { path: self.path.clone(), token, bypass: true, waits: false };
        let reply = driver.parts().transport.get(get, &|_| true).await;
        reply.ok().and_then(|reply| read(&reply)).unwrap_or(Err((QuestionError::NoAnswer, Some(0))))
    }
}

/// What the server says; none if it is somebody else who answers.
fn read(reply: &HttpReply) -> Option<Result<QueryAnswer, (QuestionError, Option<u64>)>> {
    if reply.status == 200 {
        return Some(Ok(QueryAnswer::Done(Json::parse(&reply.body).ok()?)));
    }
    let Problem { code, detail: message, error } = decode(&reply.body).ok()?;
    if let Some(Refusal { code, message }) = error.filter(|_| reply.status == 409) {
        return Some(Ok(QueryAnswer::Refused { code, message }));
    }
    let retry = retry(reply.status);
    // A fault of the application's is likely to come again.
    let again = retry == Retry::Later && reply.status != 500;
    let retry_after = reply.retry_after();
    let least = again.then(|| retry_after.unwrap_or_default());
    Some(Err((QuestionError::NotTaken { code, message, retry, retry_after }, least)))
}
