//! What a client is made of.

use super::{MaybeSend, MaybeSync, Rules, Runtime, Store, TokenSource, Transport};
use crate::engine::Event;

/// The kinds of parts that one platform provides.
pub trait Platform: 'static {
    /// Where it keeps things.
    type Store: Store;
    /// How it reaches the server.
    type Transport: Transport;
    /// Its clocks and tasks.
    type Runtime: Runtime;
    /// Where its token comes from.
    type Tokens: TokenSource;
    /// Who hears its events.
    type Events: EventSink;
}

/// The parts themselves.
pub struct Parts<P: Platform> {
    /// Where it keeps things.
    pub store: P::Store,
    /// How it reaches the server.
    pub transport: P::Transport,
    /// Its clocks and tasks.
    pub runtime: P::Runtime,
    /// Where its token comes from.
    pub tokens: P::Tokens,
    /// Who hears its events.
    pub events: P::Events,
    /// What the application decides.
    pub rules: Box<dyn Rules>,
}

/// Hears what happens.
pub trait EventSink: MaybeSend + MaybeSync + 'static {
    /// Takes events in their order. May call the driver back.
    fn emit(&self, events: Vec<Event>);
}
