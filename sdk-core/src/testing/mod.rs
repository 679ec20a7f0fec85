//! Parts for tests: the contract that every store passes, and a store that fails on demand.

mod faulty_store;
pub mod store_contract;

pub use faulty_store::{Faults, FaultyStore, WriteFault};
