//! The platform-neutral core of webwaka-realtime.
//!
//! Dependencies point one way: `protocol, clock <- reconcile, routing, outbox, stream, presence, connection <- engine <- driver <- client`.
//! The server uses the first three; everything else is behind the feature `client`.

pub mod clock;
pub mod protocol;
pub mod reconcile;
pub mod sorted;
pub mod wire;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
pub mod connection;
#[cfg(feature = "client")]
pub mod driver;
#[cfg(feature = "client")]
pub mod engine;
#[cfg(feature = "native")]
pub mod native;
#[cfg(feature = "client")]
pub mod outbox;
#[cfg(feature = "client")]
pub mod presence;
#[cfg(feature = "client")]
pub mod routing;
#[cfg(feature = "client")]
pub mod snapshot;
#[cfg(feature = "client")]
pub mod stream;
#[cfg(feature = "testing")]
pub mod testing;

/// Compiles the quick start in the README.
#[cfg(all(doctest, feature = "native"))]
#[doc = include_str!("../../README.md")]
struct Readme;
