//! Applications that publish.

use std::sync::Arc;

use sdk_core::client::{CloudEvent, Operation, Publishing, SubmitError};

use crate::{
    client::{Handle, Tasks},
    ledger::number_of,
    server::name,
    sim::Sim,
};

/// Keys by which an event takes another's place.
const KEYS: u8 = 3;

/// An event of a number, with an id or with what its client gives it. Its time is not left to the client, which goes by the
/// server's clock: that is the real one.
fn event(id: Option<usize>, number: usize) -> CloudEvent {
    let event = CloudEvent::new("counted").with("time", "2026-01-01T00:00:00Z").with("data", number);
    let name = |id: usize| event.clone().with("source", "urn:simulation").with("id", id.to_string());
    id.map_or_else(|| event.clone(), name)
}

/// Publishes one event after the other until the process ends or `until` has come.
pub(crate) async fn run(sim: Arc<Sim>, client: Handle, tasks: Tasks, number: usize, until: u64) {
    while sim.now() < until {
        sim.wait(sim.plan.pace).await;
        for _ in 0..sim.up_to(4) {
            publish(&sim, &client, &tasks, number).await;
        }
        if sim.chance(sim.plan.care) {
            care(&sim, &client, number).await;
        }
    }
}

async fn publish(sim: &Arc<Sim>, client: &Handle, tasks: &Tasks, device: usize) {
    let topic = sim.random(|random| random.usize(0..sim.plan.topics));
    let key = sim.chance(400).then(|| sim.random(|random| random.u8(0..KEYS)));
    let twin = sim.books().ledger.appended_of(topic).filter(|_| key.is_none() && sim.chance(60));
    let number = sim.books().ledger.ask(device, topic, key, twin);
    sim.note(format_args!("client {device} publishes {number} to {topic} with {key:?}, as {twin:?}"));
    let how = key.map_or_else(Publishing::default, |key| Publishing::default().coalesce(&key.to_string()));
    let handle = client.topic(name(topic).as_str()).expect("it is a name");
    let id = twin.or_else(|| sim.chance(700).then_some(number));
    let answer = handle.publish_with(&event(id, number), how).await;
    sim.note(format_args!("client {device} has {number}: {}", answer.is_ok()));
    match answer {
        Ok(operation) => {
            {
                let mut books = sim.books();
                let found = books.ledger.taken(number, operation.id().seq);
                books.hold(found);
            }
            follow(sim.clone(), tasks, number, operation);
        }
        Err(SubmitError::Refused(_)) => sim.books().ledger.refused(number),
        // The process ends.
        Err(SubmitError::Closed(_)) => {}
        Err(error) => sim.violate(format!("event {number} was refused: {error}")),
    }
}

/// Waits for how an event ends.
fn follow(sim: Arc<Sim>, tasks: &Tasks, number: usize, operation: Operation) {
    tasks.spawn(async move {
        if let Ok(outcome) = operation.outcome().await {
            sim.note(format_args!("event {number} ended: {outcome:?}"));
            sim.books().ended(number, &outcome);
        }
    });
}

/// Looks after the events that the server refused: each is dropped, or another takes its place.
pub(crate) async fn care(sim: &Sim, client: &Handle, device: usize) {
    for letter in client.unpublished().into_iter().filter(|letter| letter.reason.is_some()) {
        let Some(before) = number_of(letter.event.as_str()) else { continue };
        if sim.chance(500) {
            sim.books().decided(before);
            sim.note(format_args!("client {device} drops {before}"));
            client.discard(letter.seq);
            continue;
        }
        let number = sim.books().ledger.mend(device, before);
        sim.note(format_args!("client {device} puts {number} in the place of {before}"));
        match client.republish(letter.seq, &event(Some(number), number)).await {
            Ok(operation) => {
                let mut books = sim.books();
                books.decided(before);
                let found = books.ledger.taken(number, operation.id().seq);
                books.hold(found);
            }
            Err(SubmitError::Refused(_)) => sim.books().ledger.refused(number),
            Err(SubmitError::Closed(_)) => {}
            Err(error) => sim.violate(format!("event {number} was refused: {error}")),
        }
    }
}
