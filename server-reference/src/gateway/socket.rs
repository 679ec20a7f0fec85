//! The WebSocket around a [`Session`]: it performs effects and brings back what came of them.
//!
//! Memory per connection is bounded by construction: a frame is taken from the socket only while the session wants one,
//! a frame is in the buffer, which has a bound, before the next input is looked at, and the hub's queue is short. A peer
//! that does not take what it is sent within the configured time is dropped.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, pending, poll_fn, ready},
    stream::FuturesUnordered,
};
use sdk_core::protocol::ErrorCode;
use tokio::{
    sync::watch,
    time::{Sleep, sleep, timeout},
};
use tokio_tungstenite::tungstenite::{
    Message,
    error::Error as SocketError,
    protocol::{CloseFrame, frame::coding::CloseCode},
};
use tracing::{Instrument, Span};

use super::{
    level::{Level, Past},
    publishing::publish,
    session::{Closing, Effect, Input, Session},
    websocket::WebSocket,
};
use crate::{
    attempts::Way,
    auth::AuthError,
    clock::Clock,
    hub::{Follower, Notice, Shortcut},
    limits::{Meter, Seat},
    line::{NO_MEMORY, TOO_MUCH, Wire},
    rooms::Presence,
    service::Service,
    storage::{Advance, events::News, transactions::Misuse},
    tenant::TenantScope,
    trace::{self, Traced},
    transactions::misused,
};

/// How long a connection stays after its last frame, so that the peer can read it.
const LINGER: Duration = Duration::from_secs(1);
/// What a client is told when the server stops.
const GOING_AWAY: &str = "going_away";

/// A WebSocket and its session.
pub(super) struct Connection {
    service: Arc<Service>,
    socket: WebSocket,
    session: Session,
    clock: Clock,
    /// What is waited for and seldom comes: only what was woken of it is polled. At most one commit, one batch
    /// of events, one read of documents and one of events, one verification and the server's end.
    answers: FuturesUnordered<BoxFuture<'static, Input>>,
    alarm: Pin<Box<Sleep>>,
    follower: Option<Follower<Advance>>,
    /// Changes when a token that counted may count no longer.
    revoked: watch::Receiver<()>,
    /// Its part in rooms; none before the session is open.
    presence: Option<Presence>,
    /// Of topics; none before the first is followed.
    reader: Option<Follower<News>>,
    greeting: Option<Seat>,
    /// Who is charged.
    meter: Arc<Meter>,
    /// Whose session it is if its hello has no token.
    ticket: Option<Box<TenantScope>>,
    /// Where others may write whole messages; none if the listener is somebody else's.
    wire: Option<Wire>,
    /// Readers to whom others may send when all that waits is out.
    level: Vec<Arc<Level>>,
    /// The socket gave an error, and nothing more can be read from it.
    broken: bool,
    /// The newest frame that named a trace, until a store is at work for it.
    traced: Option<Box<Traced>>,
}

/// What a connection comes to when it has done all that it was asked for.
enum Turn {
    Input(Input),
    Message(Option<Result<Message, SocketError>>),
    /// Some token counts no longer.
    Revoked,
    /// The peer has to be waited for, or is gone.
    Flush,
    /// Nothing is to be done, and memory can be given back.
    Idle,
}

/// The connection is gone.
enum Gone {
    /// This side has closed it.
    Closed(Closing),
    /// The peer did not take in time what it was sent.
    Slow,
    /// The peer or the network has ended it.
    Lost,
}

impl Gone {
    fn reason(&self) -> &'static str {
        match self {
            Self::Closed(Closing::GoingAway) => GOING_AWAY,
            Self::Closed(Closing::Refused(code)) => code.as_str(),
            Self::Slow => "slow_consumer",
            Self::Lost => "gone",
        }
    }
}

impl Connection {
    pub(super) fn new(
        service: Arc<Service>,
        socket: WebSocket,
        meter: Arc<Meter>,
        greeting: Seat,
        ticket: Option<Box<TenantScope>>,
        wire: Option<Wire>,
    ) -> Self {
        let clock = service.clock;
        let stopping = service.stopping.clone();
        let stops = stopping.cancelled_owned().map(|()| Input::Shutdown);
        Self {
            session: Session::new(service.limits, meter.clone(), clock.now()),
            socket,
            clock,
            answers: FuturesUnordered::from_iter([stops.boxed()]),
            alarm: Box::pin(sleep(Duration::ZERO)),
            follower: None,
            revoked: service.verifier.revoked().changes(),
            presence: None,
            reader: None,
            greeting: Some(greeting),
            meter,
            ticket,
            wire,
            level: Vec::new(),
            broken: false,
            traced: None,
            service,
        }
    }

    /// Until the connection is gone.
    pub(super) async fn run(&mut self) {
        let Err(gone) = self.go_on().await;
        self.service.metrics.closed(gone.reason());
    }

    async fn go_on(&mut self) -> Result<Infallible, Gone> {
        loop {
            self.perform_all().await?;
            let input = self.next_input().await?;
            let verified = matches!(input, Input::Verified(_));
            let now = self.clock.now();
            let span = self.traced.as_ref().map_or_else(Span::none, |traced| traced.span());
            span.in_scope(|| self.session.handle(now, input));
            // What was taken back between its verification and this is not told again.
            if verified && let Some(error) = self.withdrawn() {
                self.session.handle(self.clock.now(), Input::Withdrawn(error));
            }
        }
    }

    /// The next input. Frames that are to be sent wait while there is one, so that those that come together share a
    /// write; while the peer does not take what is sent, no input is taken either.
    async fn next_input(&mut self) -> Result<Input, Gone> {
        let deadline = self.session.poll_timeout().and_then(|at| self.clock.at(at));
        if let Some(at) = deadline.filter(|at| *at != self.alarm.deadline()) {
            self.alarm.as_mut().reset(at);
        }
        loop {
            match self.next_turn(deadline.is_some()).await {
                Turn::Input(input) => return Ok(input),
                Turn::Message(message) => {
                    self.broken = matches!(message, Some(Err(_)));
                    if let (Some(Ok(Message::Text(_) | Message::Binary(_))), Some(wire)) =
                        (&message, &self.wire)
                    {
                        wire.delivered();
                    }
                    if let Some(Ok(Message::Text(text))) = &message {
                        self.service.metrics.received.count(text);
                        self.traced = Traced::frame(text).or(self.traced.take());
                    }
                    return received(message).ok_or(Gone::Lost);
                }
                Turn::Revoked => {
                    if let Some(error) = self.withdrawn() {
                        return Ok(Input::Withdrawn(error));
                    }
                }
                Turn::Flush => {
                    let (unsent, deadline) = (self.socket.unsent(), self.service.write_deadline);
                    in_time(self.socket.flush(), unsent, &self.meter, deadline).await?;
                }
                Turn::Idle => self.socket.slim().await,
            }
        }
    }

    async fn next_turn(&mut self, has_deadline: bool) -> Turn {
        let Self { session, socket, answers, alarm, revoked, follower, presence, reader, level, .. } = self;
        let wants_frame = session.wants_frame();
        let mut revoked = pin!(revoked.changed());
        let mut notice = pin!(async {
            match follower {
                Some(follower) => follower.next().await,
                None => pending().await,
            }
        });
        let mut news = pin!(async {
            match reader {
                Some(reader) => reader.next().await,
                None => pending().await,
            }
        });
        let mut mail = pin!(async {
            match presence {
                Some(presence) => presence.mailbox().next().await,
                None => pending().await,
            }
        });
        poll_fn(|context| {
            if let Poll::Ready(Some(input)) = answers.poll_next_unpin(context) {
                return Poll::Ready(Turn::Input(input));
            }
            if wants_frame && let Poll::Ready(message) = socket.poll_next(context) {
                return Poll::Ready(Turn::Message(message));
            }
            if has_deadline && alarm.as_mut().poll(context).is_ready() {
                return Poll::Ready(Turn::Input(Input::Timeout));
            }
            // An error would mean that nobody is left who could take one back.
            if let Poll::Ready(Ok(())) = revoked.as_mut().poll(context) {
                return Poll::Ready(Turn::Revoked);
            }
            if let Poll::Ready(notice) = notice.as_mut().poll(context) {
                return Poll::Ready(Turn::Input(match notice {
                    Notice::Advanced(advance) => Input::Advanced(advance),
                    Notice::Lagged => Input::Lagged,
                }));
            }
            if let Poll::Ready(notice) = news.as_mut().poll(context) {
                return Poll::Ready(Turn::Input(match notice {
                    Notice::Advanced(news) => Input::Moved(news),
                    Notice::Lagged => Input::MissedNews,
                }));
            }
            if let Poll::Ready(mail) = mail.as_mut().poll(context) {
                return Poll::Ready(Turn::Input(Input::Mail(mail)));
            }
            // Last, when nothing else is to be done.
            match socket.poll_flush(context) {
                Poll::Ready(Ok(())) => level.drain(..).for_each(|level| level.open()),
                Poll::Ready(Err(_)) | Poll::Pending => return Poll::Ready(Turn::Flush),
            }
            if socket.is_fat() { Poll::Ready(Turn::Idle) } else { Poll::Pending }
        })
        .await
    }

    /// Why the session may not go on, if its token was taken back.
    fn withdrawn(&self) -> Option<AuthError> {
        let scope = self.session.scope()?;
        self.service.verifier.stands(scope).err()
    }

    async fn perform_all(&mut self) -> Result<(), Gone> {
        while let Some(effect) = self.session.poll_effect() {
            self.perform(effect).await?;
        }
        // What waits behind a commit belongs to the next one.
        if !self.session.is_storing() {
            self.traced = None;
        }
        Ok(())
    }

    async fn perform(&mut self, effect: Effect) -> Result<(), Gone> {
        match effect {
            Effect::Verify(token) => {
                if let Some(scope) = self.ticket.take()
                    && token.is_empty()
                {
                    self.answer(ready(Input::Verified(Ok(*scope))));
                    return Ok(());
                }
                let (service, meter) = (self.service.clone(), self.meter.clone());
                self.answer(async move {
                    let verified = service.verifier.verify_renewed(&token, crate::clock::wall()).await;
                    if let Err(error) = &verified {
                        service.token_refused(&meter, error);
                    }
                    Input::Verified(verified.map(TenantScope::of))
                });
            }
            Effect::Follow(scope, collections) => {
                trace::on_behalf_of(&scope);
                tracing::debug!("session open");
                self.follower = Some(self.service.hub.follow(&scope, collections));
                self.greeting = None;
                if let Some(wire) = &self.wire {
                    wire.expect(self.service.limits.frame_bytes, &self.meter);
                }
            }
            Effect::Attach(scope, client) => self.presence = Some(self.service.rooms.attach(scope, client)),
            Effect::Rooms(call) => {
                if let Some(presence) = &mut self.presence {
                    presence.call(call);
                }
            }
            Effect::Commit(batch) => {
                let documents = self.service.documents.clone();
                self.answer_traced(async move { Input::Committed(documents.commit(batch).await) });
            }
            Effect::Publish(publishing) => {
                let service = self.service.clone();
                self.answer_traced(async move {
                    let tenant = publishing.scope.tenant().clone();
                    let topics = publishing.publications.iter().map(|publication| &publication.topic);
                    let _causes: Vec<_> =
                        topics.map(|topic| service.subscriptions.cause(&tenant, topic)).collect();
                    let (events, refusals) = (&*service.events, &*service.client_letters);
                    Input::Published(publish(events, refusals, &service.limits, publishing).await)
                });
            }
            Effect::Read(scope, page) => {
                let documents = self.service.documents.clone();
                self.answer(async move { Input::Read(documents.changes(scope, page).await) });
            }
            Effect::FollowTopic(scope, topic, sub, level) => {
                let metrics = self.service.metrics.clone();
                let past = self.wire.clone().map(|wire| Past { wire, sub, level, metrics });
                let shortcut = past.map(|past| Box::new(past) as Box<dyn Shortcut<News>>);
                let news = &self.service.news;
                let reader = self.reader.get_or_insert_with(|| news.follow(&scope, Vec::new()));
                reader.add(&scope, topic, shortcut);
            }
            Effect::Level(level) => self.level.push(level),
            Effect::UnfollowTopic(topic) => {
                if let Some(reader) = &mut self.reader {
                    reader.remove(&topic);
                }
            }
            Effect::ReadTopic(scope, topic, read) => {
                let events = self.service.events.clone();
                self.answer(async move {
                    Input::TopicRead(events.read(scope, topic, read, crate::clock::wall()).await)
                });
            }
            Effect::Foreign(pair) => {
                let service = self.service.clone();
                tokio::spawn(async move {
                    let (own, other) = *pair;
                    service.attempted(&own, None, Way::Refresh, &other.holder().to_string()).await;
                    if own.tenant() != other.tenant() {
                        service.attempted(&other, None, Way::Token, &own.holder().to_string()).await;
                    }
                });
            }
            Effect::Misused(scope) => {
                // The session ends and is not waited for.
                tokio::spawn(misused(self.service.clone(), scope, Misuse::Socket).in_current_span());
            }
            Effect::Send(text) => {
                self.service.metrics.sent.count(&text);
                let message = Message::text(&*text);
                let (unsent, deadline) = (self.socket.unsent() + message.len(), self.service.write_deadline);
                return in_time(self.socket.feed(message), unsent, &self.meter, deadline).await;
            }
            Effect::Close(closing) => {
                self.close(closing).await;
                return Err(Gone::Closed(closing));
            }
        }
        Ok(())
    }

    fn answer(&mut self, input: impl Future<Output = Input> + Send + 'static) {
        self.answers.push(input.boxed());
    }

    /// The same, for the frame that named a trace.
    fn answer_traced(&mut self, input: impl Future<Output = Input> + Send + 'static) {
        match self.traced.take() {
            Some(traced) => self.answer(traced.run(input)),
            None => self.answer(input),
        }
    }

    async fn close(&mut self, closing: Closing) {
        tracing::debug!(?closing, "session closed");
        // Nobody sends past a session that is over, or sees it.
        (self.reader, self.presence) = (None, None);
        let (code, reason) = match closing {
            Closing::GoingAway => (CloseCode::Away, GOING_AWAY),
            Closing::Refused(code) => (close_number(code), code.as_str()),
        };
        let frame = CloseFrame { code, reason: reason.into() };
        let unsent = self.socket.unsent();
        let close = async {
            self.socket.feed(Message::Close(Some(frame))).await?;
            self.socket.flush().await
        };
        if in_time(close, unsent, &self.meter, self.service.write_deadline).await.is_err() {
            return;
        }
        // To close on a peer that is still sending would reset the connection and could destroy what it has not read.
        if self.broken {
            sleep(LINGER).await;
        } else {
            // Either way the connection ends here.
            let _ = timeout(LINGER, self.peer_closed()).await;
        }
    }

    async fn peer_closed(&mut self) {
        while let Some(Ok(_)) = poll_fn(|context| self.socket.poll_next(context)).await {}
    }
}

/// Writes within a time. While the peer does not take it, so many bytes are in memory, which has room for so much only.
async fn in_time(
    write: impl Future<Output = Result<(), SocketError>>,
    unsent: usize,
    meter: &Meter,
    deadline: Duration,
) -> Result<(), Gone> {
    let mut write = pin!(write);
    if let Some(written) = write.as_mut().now_or_never() {
        return written.map_err(|_| Gone::Lost);
    }
    let Ok(_weight) = meter.weigh(unsent) else {
        tracing::info!("slow consumer dropped: too much waits for those who do not take it");
        return Err(Gone::Slow);
    };
    match timeout(deadline, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Gone::Lost),
        Err(_) => {
            tracing::info!("slow consumer dropped: a frame was not taken in time");
            Err(Gone::Slow)
        }
    }
}

/// The input that a message makes; none if the connection is gone.
fn received(message: Option<Result<Message, SocketError>>) -> Option<Input> {
    match message? {
        Ok(Message::Text(text)) => Some(Input::Received(text.as_str().to_owned())),
        Ok(Message::Binary(_)) => Some(Input::Unreadable(ErrorCode::Malformed)),
        // Answered by the socket itself; what counts for liveness are the protocol's own pings.
        Ok(Message::Ping(bytes) | Message::Pong(bytes)) => Some(Input::Pinged(bytes.len())),
        Ok(Message::Close(_) | Message::Frame(_)) => None,
        Err(SocketError::Capacity(_)) => Some(Input::Unreadable(ErrorCode::FrameTooLarge)),
        Err(SocketError::Utf8(_)) => Some(Input::Unreadable(ErrorCode::Malformed)),
        Err(SocketError::Io(error)) => match error.kind() {
            TOO_MUCH => Some(Input::Unreadable(ErrorCode::FrameTooLarge)),
            NO_MEMORY => Some(Input::Unreadable(ErrorCode::Overloaded)),
            _ => None,
        },
        Err(_) => None,
    }
}

/// The WebSocket close code (RFC 6455, section 7.4.1) beside one of ours.
fn close_number(code: ErrorCode) -> CloseCode {
    match code {
        ErrorCode::FrameTooLarge => CloseCode::Size,
        ErrorCode::Overloaded | ErrorCode::StorageUnavailable => CloseCode::Again,
        ErrorCode::Internal => CloseCode::Error,
        _ => CloseCode::Policy,
    }
}
