//! What the tests of the native client against the real server share: the server as a process, a network in
//! between that can be disturbed, clients, and a look into the server's database.

mod client;
mod group;
mod ledger;
mod proxy;
mod server;
mod teller;
mod topic;
mod traffic;

pub use client::{client, eventually, open, values, waits};
pub use group::{Claimed, Delivery, Group, Said};
pub use ledger::Ledger;
pub use proxy::{Proxy, Weather};
pub use server::Server;
pub use teller::Teller;
pub use topic::{Page, Topic};
pub use traffic::Traffic;
