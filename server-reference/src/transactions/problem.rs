//! Refusals, each with a stable code.

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use sdk_core::protocol::{Json, ProtocolError};
use serde_json::json;

use super::handler::{Limit, Refusal};
use crate::{
    codes::codes,
    storage::transactions::NotRun,
    sync::{Problem, document},
};

codes! {
    /// What a request about transactions may be refused with, beside the codes of all requests.

    BadKey = "bad_idempotency_key", 400, "No `Idempotency-Key`, more than one, or not a string of structured fields.";
    NoSuchTransaction = "no_such_transaction", 404, "There is no such transaction, or none for this subject.";
    Refused = "transaction_refused", 409, "The application has decided against it: `error` has its own code and message. Nothing was changed, and the same key gets the same answer.";
    KeyReused = "idempotency_key_reused", 422, "The key was used for another transaction, or with another body.";
    TooManyKeys = "too_many_idempotency_keys", 429, "The tenant has used as many keys as are kept.";
    TooManyRecords = "too_many_records", 429, "The tenant has as many records as it may.";
    Failed = "transaction_failed", 500, "The application's handler failed, or went beyond a limit. Nothing was changed or stored.";
    Backlog = "events_backlog", 503, "Too many events of the tenant wait to be appended to their topics. Nothing was changed or stored.";
}

/// An answer that says no.
#[derive(Debug)]
pub(super) enum No {
    /// Of a kind that all requests share.
    Common(Problem),
    /// About transactions.
    Coded(Code, String),
    /// A handler's decision.
    Refused(Refusal),
}

impl From<Problem> for No {
    fn from(problem: Problem) -> Self {
        Self::Common(problem)
    }
}

impl From<ProtocolError> for No {
    fn from(error: ProtocolError) -> Self {
        Self::Common(error.into())
    }
}

impl From<NotRun> for No {
    fn from(error: NotRun) -> Self {
        let code = match error {
            NotRun::Storage(error) => return Self::Common(error.into()),
            NotRun::KeyReused => Code::KeyReused,
            NotRun::TooManyKeys => Code::TooManyKeys,
            NotRun::Limit(Limit::Records) => Code::TooManyRecords,
            NotRun::Limit(Limit::Waiting) => Code::Backlog,
            NotRun::Limit(Limit::Handler(_)) | NotRun::Panicked => Code::Failed,
        };
        Self::Coded(code, error.to_string())
    }
}

impl IntoResponse for No {
    fn into_response(self) -> Response {
        let (code, detail, error) = match self {
            Self::Common(problem) => return problem.into_response(),
            Self::Coded(code, detail) => (code, detail, None),
            Self::Refused(Refusal { code, message }) => {
                let error = json!({ "code": code, "message": message }).to_string();
                (Code::Refused, message, Json::parse(error).ok())
            }
        };
        let mut response = document(code.status(), code.as_str(), &detail, error);
        if code == Code::Backlog {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes;

    #[test]
    fn the_page_of_the_protocol_lists_every_code_with_its_status() {
        let listed = codes::listed("Transactions");
        let expected: Vec<String> =
            Code::ALL.iter().map(|code| format!("{} {}", code.as_str(), code.status())).collect();
        assert_eq!(listed, expected);
    }
}
