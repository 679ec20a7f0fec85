//! What the two requests do, without a clock or a socket: the server calls it with its own, the simulator with
//! simulated ones.

use sdk_core::{
    clock::Millis,
    protocol::{
        ActorId, ErrorCode, Limits, MAX_COLLECTIONS, ProtocolError, PullReply, PullRequest, PushReply,
        PushRequest, Resume, VERSIONS, decode, encode,
    },
};

use crate::{
    gateway::{
        check_rejected,
        publishing::{Publishing, publish},
        session::welcome,
        too_many_operations,
    },
    storage::{Batch, Committed, Documents, Page, StorageError, events::Publications, refusals::Refusals},
    tenant::TenantScope,
};

/// The actor of whoever is no client: none is given out with this name.
const NOBODY: ActorId = ActorId(0);

/// Answers the body of a push at a Unix time. Resolves once everything in it is durable.
///
/// # Errors
/// Nothing was acknowledged; what was stored all the same gets the same judgements when it comes again.
pub async fn push(
    documents: &dyn Documents,
    events: &dyn Publications,
    refusals: &dyn Refusals,
    limits: &Limits,
    scope: TenantScope,
    body: &str,
    now: Millis,
) -> Result<PushReply, ProtocolError> {
    let PushRequest { client, collections, operations, publications } = decode(body)?;
    let count = operations.len() + publications.len();
    if count > limits.batch_operations {
        return Err(too_many_operations(count, limits));
    }
    check(&collections)?;
    let batch = Batch { scope: scope.clone(), client, collections, operations, holds: None, now };
    let Committed { actor, mut judgements, has_letters, .. } = documents.commit(batch).await.map_err(told)?;
    if !publications.is_empty() {
        let publishing = Publishing { scope: scope.clone(), client, publications, has_letters, now };
        judgements.extend(publish(events, refusals, limits, publishing).await?.into_iter().flatten());
    }
    Ok(PushReply { welcome: welcome(VERSIONS[0], actor, &scope, *limits, now), judgements })
}

/// Answers the body of a pull at a Unix time, with at most half a frame of documents.
///
/// # Errors
/// Nothing was read.
pub async fn pull(
    documents: &dyn Documents,
    limits: &Limits,
    scope: TenantScope,
    body: &str,
    now: Millis,
) -> Result<PullReply, ProtocolError> {
    let PullRequest { client, collections, rejected } = decode(body)?;
    check_rejected(rejected.as_deref())?;
    check(&collections)?;
    // Makes client and collections known, as a hello does.
    let named = collections.clone();
    let batch = Batch {
        scope: scope.clone(),
        client,
        collections: named,
        operations: Vec::new(),
        holds: rejected,
        now,
    };
    // A super admin looks, and is no client.
    let (actor, applied) = if scope.leave().is_some() {
        (NOBODY, Vec::new())
    } else {
        let committed = documents.commit(batch).await.map_err(told)?;
        (committed.actor, committed.applied)
    };

    let mut room = limits.frame_bytes / 2;
    let mut changes = Vec::with_capacity(collections.len());
    for Resume { collection, after, .. } in collections {
        // With no room left a collection is still told of, with `more` if there is any.
        let page = Page { collection, after, bytes: room };
        let read = documents.changes(scope.clone(), page).await.map_err(told)?;
        let used: usize = read.documents.iter().map(|changed| encode(changed).len()).sum();
        room = room.saturating_sub(used);
        changes.push(read);
    }
    let welcome = welcome(VERSIONS[0], actor, &scope, *limits, now);
    Ok(PullReply { welcome, changes, judgements: applied })
}

fn check(collections: &[Resume]) -> Result<(), ProtocolError> {
    if collections.len() > MAX_COLLECTIONS {
        let message = format!("a request names at most {MAX_COLLECTIONS} collections");
        return Err(ProtocolError::new(ErrorCode::TooMany, message));
    }
    Ok(())
}

fn told(error: StorageError) -> ProtocolError {
    ProtocolError::from(&error)
}
