//! Topics of this log for groups that are in another database.

use std::sync::Arc;

use futures::future::FutureExt;
use rusqlite::Connection;
use sdk_core::clock::Millis;

use super::{EventStore, groups::Shared, row::Topic};
use crate::storage::{
    events::{After, Answer, LineRef, Lines, LogError, Numbered, Standing, TopicName},
    sql::groups::Line,
};

impl Lines for EventStore {
    fn line(&self, tenant: Arc<str>, topic: TopicName, used: bool, now: Millis) -> Answer<'_, Standing> {
        async move {
            let (whose, which) = (tenant.clone(), topic.clone());
            let read = move |connection: &Connection| {
                let topic = Topic::by_name(connection, &tenant, &topic)?.ok_or(LogError::NoSuchTopic)?;
                if topic.hidden || topic.expired(now) {
                    return Err(if topic.forks > 0 { LogError::Deleted } else { LogError::NoSuchTopic });
                }
                let touch = used && topic.wants_touch(now);
                Ok((standing(connection, topic)?, touch))
            };
            let (standing, touch) = self.readers.read(read).await?;
            if touch {
                self.ask(move |group| group.touch(&whose, &which, now)).await?;
            }
            Ok(standing)
        }
        .boxed()
    }

    fn offset(&self, of: LineRef, after: After) -> Answer<'_, u64> {
        self.readers.read(move |connection| shared(connection, &of)?.offset(after)).boxed()
    }

    fn take(&self, of: LineRef, after: u64, most: usize, bytes: usize) -> Answer<'_, Vec<Numbered>> {
        let take = move |connection: &Connection| {
            let shared = shared(connection, &of)?;
            shared.take(after.max(shared.state().earliest.offset), most, bytes)
        };
        self.readers.read(take).boxed()
    }

    fn pick(&self, of: LineRef, numbers: Vec<u64>, bytes: usize) -> Answer<'_, Vec<Numbered>> {
        let pick = move |connection: &Connection| {
            let shared = shared(connection, &of)?;
            let (mut found, mut size) = (Vec::new(), 0);
            for number in numbers {
                let Some((at, body)) = shared.event(number)? else { continue };
                size += body.len();
                if !found.is_empty() && size > bytes {
                    break;
                }
                found.push((number, at, body));
            }
            Ok(found)
        };
        self.readers.read(pick).boxed()
    }

    fn newest_within(&self, of: LineRef, from: u64, bytes: u64) -> Answer<'_, u64> {
        self.readers.read(move |connection| shared(connection, &of)?.newest_within(from, bytes)).boxed()
    }
}

fn shared<'a>(connection: &'a Connection, of: &LineRef) -> Result<Shared<'a>, LogError> {
    let topic = Topic::by_name(connection, &of.tenant, &of.topic)?.ok_or(LogError::NoSuchTopic)?;
    let shared = Shared::of(connection, topic)?;
    let state = shared.state();
    if state.epoch == of.epoch {
        Ok(shared)
    } else {
        Err(LogError::PositionLost { earliest: state.earliest })
    }
}

fn standing(connection: &Connection, topic: Topic) -> Result<Standing, LogError> {
    let sql = "SELECT coalesce(made, epoch), sure FROM topics WHERE key = ?1";
    let (made, sure): (u64, Option<u64>) =
        connection.prepare_cached(sql)?.query_row([topic.key], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let state = Shared::of(connection, topic)?.state().clone();
    Ok(Standing { id: made.to_string(), sure: sure.unwrap_or(state.tail), state })
}
