//! The reference server of webwaka-realtime.
//!
//! An operation enters by WebSocket or by HTTP, is judged by the store in one transaction, and is
//! acknowledged once that is durable; whoever follows its collection is told.

pub mod auth;
pub mod gateway;
pub mod storage;
pub mod tenant;
