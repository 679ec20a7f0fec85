//! The record of a resolution, from which it can be replayed.

use sdk_core::{
    clock::Millis,
    protocol::{ClientId, Fields, ResolvedBy, Seq},
    reconcile::{Conflict, Resolution},
    wire::record,
};

/// How a conflict was decided, and what came of it. A resolver that is given `conflict` again decides the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolutionRecord {
    /// Who made the operation that had conflicted.
    pub client: ClientId,
    /// Its place among that client's operations.
    pub seq: Seq,
    /// What was disagreed about: what mine's maker had seen, mine, and theirs.
    pub conflict: Conflict,
    /// What was decided.
    pub resolution: Resolution,
    /// Who chose.
    pub by: ResolvedBy,
    /// Whether this server's resolver was asked, and not the client's side.
    pub on_server: bool,
    /// When it was applied, in Unix time.
    pub at: Millis,
    /// The document afterwards; none if it does not exist.
    pub result: Option<Fields>,
}

record!(ResolutionRecord {
    client: "client";
    seq: "seq";
    conflict: "conflict";
    resolution: "resolution";
    by: "by";
    on_server: "onServer";
    at: "at";
    result: "result";
});
