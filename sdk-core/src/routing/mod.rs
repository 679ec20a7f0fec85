//! The class table: what happens to an interaction, by its class and the state of the link.

use crate::wire::words;

/// How much an interaction depends on the network, and on being done once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// A: who is here, cursors, typing.
    LivePresence,
    /// B: feeds, notifications, logs.
    EventStreaming,
    /// C: shared documents, edits.
    LowLatency,
    /// D: payments, ledger entries, bookings.
    CriticalTransaction,
}

/// What the client can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "typescript", derive(tsify::Tsify), serde(rename_all = "camelCase"))]
pub enum LinkState {
    /// The server, over WebSocket.
    Up,
    /// The server, over plain HTTP only.
    Degraded,
    /// Nothing.
    #[default]
    Down,
}

words!(LinkState { Up: "up", Degraded: "degraded", Down: "down" });

/// What becomes of an interaction now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// It goes over the WebSocket.
    Socket,
    /// It goes over HTTP and may be repeated without harm.
    Http,
    /// It waits in the outbox.
    Queue,
    /// It is forgotten; a newer one will take its place.
    Drop,
    /// It goes over HTTPS as one request with an idempotency key, and its caller waits for the answer.
    Transaction,
    /// Its caller hears at once that it cannot be done now.
    Refuse,
}

/// The table.
pub const fn route(class: Class, link: LinkState) -> Route {
    use {Class::*, LinkState::*};
    match (class, link) {
        (LivePresence, Up) => Route::Socket,
        (LivePresence, Degraded | Down) => Route::Drop,
        (EventStreaming | LowLatency, Up) => Route::Socket,
        (EventStreaming | LowLatency, Degraded) => Route::Http,
        (EventStreaming | LowLatency, Down) => Route::Queue,
        (CriticalTransaction, Up | Degraded) => Route::Transaction,
        (CriticalTransaction, Down) => Route::Refuse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINKS: [LinkState; 3] = [LinkState::Up, LinkState::Degraded, LinkState::Down];

    #[test]
    fn a_critical_transaction_is_never_queued_and_never_on_the_socket() {
        for link in LINKS {
            let route = route(Class::CriticalTransaction, link);
            assert!(matches!(route, Route::Transaction | Route::Refuse), "{link:?}");
        }
    }

    #[test]
    fn an_edit_always_has_somewhere_to_go() {
        assert_eq!(
            LINKS.map(|link| route(Class::LowLatency, link)),
            [Route::Socket, Route::Http, Route::Queue]
        );
    }

    #[test]
    fn presence_has_no_fallback() {
        assert_eq!(
            LINKS.map(|link| route(Class::LivePresence, link)),
            [Route::Socket, Route::Drop, Route::Drop]
        );
    }
}
