//! The server's side of a connection, whatever its peer says.

use std::{net::Ipv4Addr, panic::AssertUnwindSafe, str::from_utf8, sync::Arc};

use bolero::check;
use sdk_core::{
    clock::Millis,
    protocol::{ActorId, Limits, ServerFrame, decode},
};
use server_reference::{
    dev::DevIssuer,
    gateway::session::{Effect, Input, Now, Session},
    limits::{Limiter, Quotas},
    storage::{Committed, StorageError},
    tenant::TenantScope,
};

const NOW: Millis = Millis(1_700_000_000_000);

fn scope() -> TenantScope {
    let issuer = DevIssuer::from_secret([7; 32]);
    let token = issuer.mint("acme", "ada", 3_600, NOW).expect("a key of 32 bytes signs");
    TenantScope::of(issuer.verifier().verify(&token, NOW).expect("it was just made"))
}

/// Frames are lines. Whatever is said is a frame of the protocol, and the last thing is that the connection ends.
#[test]
fn of_any_client() {
    let scope = scope();
    let limiter = AssertUnwindSafe(Limiter::new(Quotas::default()));
    check!().with_iterations(0).for_each(|input: &[u8]| {
        let Ok(text) = from_utf8(input) else { return };
        let mut at = 1_000;
        let meter = limiter.meter(Ipv4Addr::LOCALHOST.into(), Millis(at));
        let now = |at: u64| Now { monotonic: Millis(at), wall: NOW };
        let mut session = Session::new(Limits::default(), Arc::new(meter), now(at));
        let mut frames = text.split('\n');
        let mut inputs = std::collections::VecDeque::new();
        let mut closed = false;
        for _ in 0..1_000 {
            let next = match inputs.pop_front() {
                Some(input) => Some(input),
                None if session.wants_frame() => frames.next().map(|text| Input::Received(text.to_owned())),
                None => None,
            };
            let Some(next) = next else { break };
            at += 1;
            session.handle(now(at), next);
            while let Some(effect) = session.poll_effect() {
                assert!(!closed, "after its end there is nothing more: {effect:?}");
                match effect {
                    Effect::Verify(_) => inputs.push_back(Input::Verified(Ok(scope.clone()))),
                    Effect::Commit(batch) if batch.operations.is_empty() => {
                        let committed = Committed {
                            actor: ActorId(1),
                            judgements: vec![],
                            applied: vec![],
                            has_letters: false,
                            advances: vec![],
                        };
                        inputs.push_back(Input::Committed(Ok(committed)));
                    }
                    Effect::Commit(batch) => {
                        assert!(batch.operations.len() <= Limits::default().batch_operations);
                        let ill = StorageError::Unavailable("the disk is ill".into());
                        inputs.push_back(Input::Committed(Err(ill)));
                    }
                    Effect::Publish(publishing) => {
                        let judged = publishing.publications.iter().map(|_| None).collect();
                        inputs.push_back(Input::Published(Ok(judged)));
                    }
                    Effect::Send(text) => assert!(decode::<ServerFrame>(&text).is_ok(), "{text}"),
                    Effect::Close(_) => closed = true,
                    _ => {}
                }
            }
            assert_eq!(session.is_closed(), closed);
        }
    });
}
