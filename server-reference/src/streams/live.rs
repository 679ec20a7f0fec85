//! Waiting for what is yet to come.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{problem::Refusal, request::Query};
use crate::{
    clock::wall,
    hub::{Follower, Notice},
    limits::{Meter, Room, Seat, Unit},
    service::Service,
    storage::events::{After, Fresh, News, Read, Slice, TopicName},
    sync::Problem,
    tenant::TenantScope,
};

/// Bytes of events that are read for a reader that waits.
const PAGE: usize = 256 * 1024;

/// The place of a reader that waits, among the connections of everybody whom it concerns.
pub(super) struct Waiting {
    _seat: Seat,
    _known: Option<Seat>,
}

/// Counts a connection that is going to wait.
pub(super) fn admit(service: &Service, meter: &Meter) -> Result<Waiting, Problem> {
    let seat = meter.seat(Unit::Connections, &service.live)?;
    Ok(Waiting { _seat: seat, _known: meter.known_seat(Unit::Connections)? })
}

/// A reader that follows a topic from a position on. No event is missed between its reading and its waiting, since it
/// follows before it reads.
pub(super) struct Tail {
    service: Arc<Service>,
    meter: Arc<Meter>,
    scope: TenantScope,
    topic: TopicName,
    follower: Follower<News>,
    after: After,
    /// Whether what is read at once is of one epoch.
    within_epoch: bool,
    /// The slice before, which tells what does not change of the topic.
    last: Option<Slice>,
}

/// A slice, and room for what is made of it. None is held while a reader waits.
pub(super) struct Page {
    pub(super) slice: Slice,
    pub(super) room: Room,
}

impl Tail {
    pub(super) fn new(
        service: Arc<Service>,
        meter: Arc<Meter>,
        scope: TenantScope,
        topic: TopicName,
        query: &Query,
    ) -> Self {
        let follower = service.news.follow(&scope, vec![topic.clone()]);
        let after = query.after.unwrap_or(After::Start);
        Self { service, meter, scope, topic, follower, after, within_epoch: query.within_epoch, last: None }
    }

    pub(super) fn service(&self) -> &Arc<Service> {
        &self.service
    }

    pub(super) fn scope(&self) -> &TenantScope {
        &self.scope
    }

    /// Reads on, without waiting. Counts as use of the topic.
    pub(super) async fn read(&mut self) -> Result<Page, Refusal> {
        let room = self.room(PAGE).await?;
        let read = Read { after: self.after, bytes: PAGE, within_epoch: self.within_epoch };
        let slice = self.service.events.read(self.scope.clone(), self.topic.clone(), read, wall()).await?;
        Ok(Page { slice: self.took(slice), room })
    }

    /// Waits until there is something to read, for as long as a long-poll may, and reads it.
    pub(super) async fn poll(&mut self) -> Result<Page, Refusal> {
        let deadline = Instant::now() + self.service.streams.long_poll;
        let mut page = self.read().await?;
        while page.slice.events.is_empty() && !page.slice.closed {
            // Nothing is held meanwhile.
            page.room = self.room(0).await?;
            match self.wait(deadline).await? {
                Some(more) => page = more,
                None => break,
            }
        }
        Ok(page)
    }

    /// Waits until the topic moves on, and reads; none when it did not in time, or the server is about to stop.
    /// What comes may be empty. Cancel safe.
    pub(super) async fn wait(&mut self, deadline: Instant) -> Result<Option<Page>, Refusal> {
        let notice = tokio::select! {
            // What is ready first is not left to chance: a simulated run is the same each time.
            biased;
            notice = timeout_at(deadline, self.follower.next()) => notice,
            () = self.service.stopping.cancelled() => return Ok(None),
        };
        match notice {
            Err(_) => Ok(None),
            Ok(Notice::Advanced(news)) => {
                match news.events.as_ref().filter(|fresh| self.met(fresh).is_some()) {
                    Some(fresh) => {
                        let room = self.room(fresh.events.bytes().len()).await?;
                        Ok(self.carried(fresh).map(|slice| Page { slice: self.took(slice), room }))
                    }
                    None => self.read().await.map(Some),
                }
            }
            Ok(Notice::Lagged) => self.read().await.map(Some),
        }
    }

    /// Reads at once where there is `more`, and waits where there is not.
    pub(super) async fn go_on(&mut self, more: bool, deadline: Instant) -> Result<Option<Page>, Refusal> {
        if more { self.read().await.map(Some) } else { self.wait(deadline).await }
    }

    /// How long the topic lives without being read.
    pub(super) fn idle(&self) -> Option<Duration> {
        self.last.as_ref()?.idle.map(Duration::from_secs)
    }

    /// Room for what is made of so many bytes.
    async fn room(&self, most: usize) -> Result<Room, Problem> {
        Ok(self.meter.room(most).await?)
    }

    /// The slice before, if news go on from it.
    fn met(&self, fresh: &Fresh) -> Option<&Slice> {
        self.last.as_ref().filter(|last| last.up_to_date && last.to == fresh.from)
    }

    /// The news as a slice, if it goes on where this reader stands.
    fn carried(&self, fresh: &Fresh) -> Option<Slice> {
        let last = self.met(fresh)?;
        Some(Slice {
            content_type: last.content_type.clone(),
            from: fresh.from,
            to: fresh.to,
            events: fresh.events.clone(),
            up_to_date: true,
            closed: fresh.closed,
            idle: last.idle,
        })
    }

    fn took(&mut self, slice: Slice) -> Slice {
        self.after = After::Position(slice.to);
        self.last = Some(Slice { events: Default::default(), ..slice.clone() });
        slice
    }
}
