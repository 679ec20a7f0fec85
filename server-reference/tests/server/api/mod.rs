//! `docs/openapi.yaml` and `docs/asyncapi.yaml`, held to the server: what it has is described, what is described it has, and
//! whatever is sent to it is answered as they say.
//!
//! Both are written by hand. Where a test here fails after a change of the server, its message says which of them lacks what.

mod answers;
mod caps;
mod description;
mod frames;
mod generate;
mod known;
mod requests;
mod routes;
mod sessions;
mod tour;
