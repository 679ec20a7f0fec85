//! A deterministic simulation of topics from end to end: real clients, from the facade down to the reading of an answer's
//! bytes, and the real server, from its routes and sessions down to its log on a disk. Between them is a network of proxies
//! that mean well, under them are storage and clocks with faults. Whatever happens follows from a seed.
//!
//! What is claimed:
//!
//! - A reader is given what was published and nothing else, in order. Its position never goes back within an epoch but to
//!   where its client's store has it; what it cannot be given it is told of, with the right number.
//! - Of a topic that is closed nothing comes after its last event, and its readers come to an end there; of one that is
//!   deleted they are told, and of the history it has when it is made anew. Where a topic has lost its end within its epoch,
//!   who had read further is told to go back.
//! - What the store has of a reader's position is never beyond what the application is done with.
//! - Whatever gets through, be it plain requests only, brings events on within a bounded time; the state of the link is told
//!   as it is, and once a WebSocket works again the client is back on it. What brings nothing is asked for now and then.
//! - An event that a client took is in its topic once, or its refusal was told and somebody has decided; of those that take
//!   each other's place the last is there. The order of a client's events for a topic is kept, and nothing overtakes one
//!   that was refused. What the client did not take is never there.
//! - Storage that lies costs what it has lied about and nothing else: a client that is put back to what it was once, or is a
//!   copy of another, has what is stored then, and all of it comes to its topic, whoever of them sends it.

mod books;
mod client;
mod ledger;
mod log;
mod network;
mod operator;
mod plan;
mod publisher;
mod reader;
mod server;
mod sim;
mod store;
mod transport;
mod truth;
mod world;

use bus_simulation::Ended;
use tokio::runtime::Builder;

/// Runs one seed; `verbose` tells every step.
pub fn run(seed: u64, verbose: bool) -> Ended {
    // Its clock stands still while there is something to do, and then goes on to the next moment that somebody waits for.
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime needs memory alone").block_on(world::run(seed, verbose))
}
