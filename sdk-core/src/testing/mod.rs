//! Parts for tests: the contract that every store passes, a store that fails on demand, and answers without a client.

mod faulty_store;
pub mod store_contract;

pub use crate::driver::asked;
pub use faulty_store::{Faults, FaultyStore, WriteFault};
