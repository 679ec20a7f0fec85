//! Headers of the protocol.

use axum::http::{HeaderName, HeaderValue};

pub(super) const START_OFFSET: HeaderName = HeaderName::from_static("stream-start-offset");
pub(super) const NEXT_OFFSET: HeaderName = HeaderName::from_static("stream-next-offset");
pub(super) const EARLIEST_OFFSET: HeaderName = HeaderName::from_static("stream-earliest-offset");
pub(super) const UP_TO_DATE: HeaderName = HeaderName::from_static("stream-up-to-date");
pub(super) const CLOSED: HeaderName = HeaderName::from_static("stream-closed");
pub(super) const CURSOR: HeaderName = HeaderName::from_static("stream-cursor");
pub(super) const TTL: HeaderName = HeaderName::from_static("stream-ttl");
pub(super) const EXPIRES_AT: HeaderName = HeaderName::from_static("stream-expires-at");
pub(super) const RETENTION: HeaderName = HeaderName::from_static("stream-retention");
pub(super) const REDELIVERY: HeaderName = HeaderName::from_static("stream-redelivery");
pub(super) const SEQUENCE: HeaderName = HeaderName::from_static("stream-seq");
pub(super) const FORKED_FROM: HeaderName = HeaderName::from_static("stream-forked-from");
pub(super) const FORK_OFFSET: HeaderName = HeaderName::from_static("stream-fork-offset");
pub(super) const FORK_SUB_OFFSET: HeaderName = HeaderName::from_static("stream-fork-sub-offset");
pub(super) const DATA_ENCODING: HeaderName = HeaderName::from_static("stream-sse-data-encoding");
pub(super) const PRODUCER_ID: HeaderName = HeaderName::from_static("producer-id");
pub(super) const PRODUCER_EPOCH: HeaderName = HeaderName::from_static("producer-epoch");
pub(super) const PRODUCER_SEQUENCE: HeaderName = HeaderName::from_static("producer-seq");
pub(super) const PRODUCER_EXPECTED: HeaderName = HeaderName::from_static("producer-expected-seq");
pub(super) const PRODUCER_RECEIVED: HeaderName = HeaderName::from_static("producer-received-seq");
pub(super) const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
pub(super) const NO_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

pub(super) const TRUE: HeaderValue = HeaderValue::from_static("true");

/// What a page of another origin may send.
pub(crate) const SENT: [HeaderName; 20] = [
    TTL,
    EXPIRES_AT,
    RETENTION,
    REDELIVERY,
    SEQUENCE,
    CLOSED,
    FORKED_FROM,
    FORK_OFFSET,
    FORK_SUB_OFFSET,
    PRODUCER_ID,
    PRODUCER_EPOCH,
    PRODUCER_SEQUENCE,
    axum::http::header::IF_NONE_MATCH,
    HeaderName::from_static("ce-specversion"),
    HeaderName::from_static("ce-id"),
    HeaderName::from_static("ce-source"),
    HeaderName::from_static("ce-type"),
    HeaderName::from_static("ce-time"),
    HeaderName::from_static("ce-subject"),
    HeaderName::from_static("ce-dataschema"),
];

/// What a page of another origin may see.
pub(crate) const TOLD: [HeaderName; 17] = [
    START_OFFSET,
    NEXT_OFFSET,
    EARLIEST_OFFSET,
    UP_TO_DATE,
    CLOSED,
    CURSOR,
    TTL,
    EXPIRES_AT,
    RETENTION,
    REDELIVERY,
    DATA_ENCODING,
    PRODUCER_EPOCH,
    PRODUCER_SEQUENCE,
    PRODUCER_EXPECTED,
    PRODUCER_RECEIVED,
    axum::http::header::ETAG,
    axum::http::header::LOCATION,
];
