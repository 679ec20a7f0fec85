//! Appending, and what fences producers from one another.

use sdk_core::clock::Millis;

use super::{
    group::{Group, State},
    row::MAX_EVENTS,
};
use crate::{
    access::Right,
    storage::events::{Append, Appended, LogError, Producer, TopicName, allow},
    tenant::TenantScope,
};

pub(super) fn append(
    group: &mut Group<'_>,
    scope: &TenantScope,
    name: &TopicName,
    append: &Append,
    now: Millis,
) -> Result<Appended, LogError> {
    allow(scope, name, Right::Write)?;
    let key = group.find(scope.tenant(), name, now)?.ok_or(LogError::NoSuchTopic)?;
    if group.topic(key)?.hidden {
        return Err(LogError::Deleted);
    }
    let state = match &append.producer {
        Some(producer) => group.producer(key, &producer.id)?,
        None => None,
    };
    let topic = group.topic(key)?;
    let (tail, closed) = (topic.tail(), topic.closed);
    if let Some(newest) =
        append.producer.as_ref().map(|producer| fence(producer, state, closed)).transpose()?.flatten()
    {
        // What was acknowledged stays acknowledged, also of a topic that was closed since.
        return Ok(Appended { fresh: false, tail, closed, newest: Some(newest) });
    }
    if closed {
        let again = append.close && append.events.is_empty() && append.producer.is_none();
        return if again {
            Ok(Appended { fresh: false, tail, closed, newest: None })
        } else {
            Err(LogError::Closed { tail })
        };
    }
    if !append.events.is_empty() && append.content_type.as_ref() != Some(&topic.content_type) {
        return Err(LogError::ContentTypeMismatch);
    }
    if let (Some(sequence), Some(last)) = (&append.sequence, &topic.sequence)
        && sequence.as_bytes() <= last.as_bytes()
    {
        return Err(LogError::SequenceRegression);
    }
    if topic.tail.saturating_add(append.events.len() as u64) > MAX_EVENTS {
        return Err(LogError::TopicFull);
    }
    if let (Some(_), None) = (&append.producer, state) {
        group.room_for_producer(key, now)?;
    }

    // From here on nothing is refused.
    group.write(key, &append.events, now)?;
    if append.sequence.is_some() {
        group.change(key)?.sequence.clone_from(&append.sequence);
    }
    if let Some(Producer { id, epoch, sequence }) = &append.producer {
        group.advance(key, id, *epoch, *sequence)?;
    }
    if append.close {
        group.close(key)?;
    }
    let newest = append.producer.as_ref().map(|producer| producer.sequence);
    Ok(Appended { fresh: true, tail: group.topic(key)?.tail(), closed: append.close, newest })
}

/// The newest sequence of a batch that was taken before; none of one that is the next.
fn fence(batch: &Producer, state: Option<State>, closed: bool) -> Result<Option<u64>, LogError> {
    let gap = |expected| LogError::ProducerGap { expected, received: batch.sequence };
    let Some(State { epoch, sequence, .. }) = state else {
        return if batch.sequence == 0 || closed { Ok(None) } else { Err(gap(0)) };
    };
    if batch.epoch < epoch {
        Err(LogError::StaleProducer { current: epoch })
    } else if batch.epoch > epoch {
        if batch.sequence == 0 || closed { Ok(None) } else { Err(LogError::ProducerEpochStart) }
    } else if batch.sequence <= sequence {
        Ok(Some(sequence))
    } else if batch.sequence == sequence + 1 || closed {
        Ok(None)
    } else {
        Err(gap(sequence + 1))
    }
}
