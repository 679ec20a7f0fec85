//! The WebSocket around a [`Session`]: it performs effects and brings back what came of them.
//!
//! Memory per connection is bounded by construction: a frame is taken from the socket only while the session wants one,
//! a frame is in the buffer, which has a bound, before the next input is looked at, and the hub's queue is short. A peer
//! that does not take what it is sent within the configured time is dropped.

use std::{convert::Infallible, pin::Pin, sync::Arc, task::Poll, time::Duration};

use axum::{
    Router,
    extract::{
        ConnectInfo, Extension, RawQuery, State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code},
    },
    http::{HeaderMap, header},
    response::Response,
    routing::get,
};
use futures::{
    FutureExt, SinkExt, StreamExt,
    future::{BoxFuture, pending, poll_fn, ready},
    stream::{FuturesUnordered, SplitSink, SplitStream},
};
use sdk_core::protocol::{ErrorCode, ProtocolError, SUBPROTOCOL};
use tokio::{
    sync::watch,
    time::{Sleep, error::Elapsed, sleep, timeout},
};
use tracing::{Instrument, Span};
use tungstenite::error::Error as SocketError;

use super::{
    level::{Level, Past},
    publishing::publish,
    session::{Closing, Effect, Input, Session},
};
use crate::{
    auth::AuthError,
    clock::Clock,
    hub::{Follower, Notice, Shortcut},
    identity::tickets::admitted,
    limits::{Meter, Metered, Seat, Unit},
    line::Wire,
    rooms::Presence,
    service::Service,
    storage::{Advance, events::News, transactions::Misuse},
    sync::Problem,
    tenant::TenantScope,
    trace::{self, Traced},
    transactions::misused,
};

/// How long a connection stays after its last frame, so that the peer can read it.
const LINGER: Duration = Duration::from_secs(1);
/// What a client is told when the server stops.
const GOING_AWAY: &str = "going_away";
/// Bytes that one connection reads ahead.
const READ_BUFFER: usize = 4 * 1024;
/// Bytes that the outgoing buffer may hold beyond one frame.
const WRITE_SLACK: usize = 64 * 1024;

pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/v1/realtime", get(upgrade))
}

async fn upgrade(
    State(service): State<Arc<Service>>,
    wire: Option<Extension<ConnectInfo<Wire>>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    Metered(meter): Metered,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Problem> {
    if let Some(origin) = headers.get(header::ORIGIN)
        && !origin.to_str().is_ok_and(|origin| service.origins.allow(origin))
    {
        tracing::info!(?origin, "origin refused");
        return Err(ProtocolError::new(ErrorCode::Forbidden, "this origin is not allowed").into());
    }
    let upgrade = upgrade.protocols([SUBPROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        let message = format!("the WebSocket must offer the subprotocol {SUBPROTOCOL}");
        return Err(ProtocolError::new(ErrorCode::UnsupportedVersion, message).into());
    }
    let seat = meter.seat(Unit::Connections, &service.sessions)?;
    let greeting = meter.greet(&service.greetings).await?;

    let ticket = admitted(&service, &meter, query.as_deref())?.map(Box::new);
    let wire = wire.map(|Extension(ConnectInfo(wire))| wire);
    let limits = service.limits;
    let span = trace::session();
    Ok(upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(READ_BUFFER)
        // A frame of events has one at least, however large.
        .max_write_buffer_size(limits.frame_bytes.max(service.streams.event_bytes) + WRITE_SLACK)
        .max_message_size(limits.frame_bytes)
        .max_frame_size(limits.frame_bytes)
        .on_upgrade(move |socket| {
            let going_on = async move {
                let _seat = seat;
                Connection::new(service, socket, meter, greeting, ticket, wire).run().await;
            };
            going_on.instrument(span)
        }))
}

struct Connection {
    service: Arc<Service>,
    sink: SplitSink<WebSocket, Message>,
    /// Resting here while no frame is wanted; otherwise one of the events is the next message.
    stream: Option<SplitStream<WebSocket>>,
    session: Session,
    clock: Clock,
    /// What is waited for and seldom comes: only what was woken of it is polled. At most one commit, one batch
    /// of events, one read of documents and one of events, one verification, one message and the server's end.
    events: FuturesUnordered<BoxFuture<'static, Event>>,
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

/// Something that was waited for.
enum Event {
    Answer(Input),
    Message(Option<Result<Message, axum::Error>>, SplitStream<WebSocket>),
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
    fn new(
        service: Arc<Service>,
        socket: WebSocket,
        meter: Arc<Meter>,
        greeting: Seat,
        ticket: Option<Box<TenantScope>>,
        wire: Option<Wire>,
    ) -> Self {
        let (sink, stream) = socket.split();
        let clock = service.clock;
        let stopping = service.stopping.clone();
        let stops = stopping.cancelled_owned().map(|()| Event::Answer(Input::Shutdown));
        Self {
            session: Session::new(service.limits, meter.clone(), clock.now()),
            sink,
            stream: Some(stream),
            clock,
            events: FuturesUnordered::from_iter([stops.boxed()]),
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

    async fn run(mut self) {
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
        if self.session.wants_frame()
            && let Some(stream) = self.stream.take()
        {
            let message = stream.into_future().map(|(message, stream)| Event::Message(message, stream));
            self.events.push(message.boxed());
        }
        let deadline = self.session.poll_timeout().and_then(|at| self.clock.at(at));
        if let Some(at) = deadline.filter(|at| *at != self.alarm.deadline()) {
            self.alarm.as_mut().reset(at);
        }
        loop {
            let notice = async {
                match &mut self.follower {
                    Some(follower) => follower.next().await,
                    None => pending().await,
                }
            };
            let news = async {
                match &mut self.reader {
                    Some(reader) => reader.next().await,
                    None => pending().await,
                }
            };
            let mail = async {
                match &self.presence {
                    Some(presence) => presence.mailbox().next().await,
                    None => pending().await,
                }
            };
            // Polled last, when nothing else is to be done. Completes if the peer has to be waited for, or is gone.
            let flush = poll_fn(|context| match self.sink.poll_flush_unpin(context) {
                Poll::Ready(Ok(())) => {
                    self.level.drain(..).for_each(|level| level.open());
                    Poll::Pending
                }
                Poll::Ready(Err(_)) => Poll::Ready(Err(Gone::Lost)),
                Poll::Pending => Poll::Ready(Ok(())),
            });
            tokio::select! {
                biased;
                Some(event) = self.events.next() => match event {
                    Event::Answer(input) => return Ok(input),
                    Event::Message(message, stream) => {
                        self.stream = Some(stream);
                        self.broken = matches!(message, Some(Err(_)));
                        if let Some(Ok(Message::Text(text))) = &message {
                            self.service.metrics.received.count(text);
                            self.traced = Traced::frame(text).or(self.traced.take());
                        }
                        return received(message).ok_or(Gone::Lost);
                    }
                },
                () = self.alarm.as_mut(), if deadline.is_some() => return Ok(Input::Timeout),
                Ok(()) = self.revoked.changed() => match self.withdrawn() {
                    Some(error) => return Ok(Input::Withdrawn(error)),
                    None => continue,
                },
                notice = notice => return Ok(match notice {
                    Notice::Advanced(advance) => Input::Advanced(advance),
                    Notice::Lagged => Input::Lagged,
                }),
                notice = news => return Ok(match notice {
                    Notice::Advanced(news) => Input::Moved(news),
                    Notice::Lagged => Input::MissedNews,
                }),
                mail = mail => return Ok(Input::Mail(mail)),
                waits = flush => waits?,
            }
            taken(timeout(self.service.write_deadline, self.sink.flush()).await)?;
        }
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
            Effect::Misused(scope) => {
                // The session ends and is not waited for.
                tokio::spawn(misused(self.service.clone(), scope, Misuse::Socket).in_current_span());
            }
            Effect::Send(text) => {
                self.service.metrics.sent.count(&text);
                let message = Message::Text((&*text).into());
                return taken(timeout(self.service.write_deadline, self.sink.feed(message)).await);
            }
            Effect::Close(closing) => {
                self.close(closing).await;
                return Err(Gone::Closed(closing));
            }
        }
        Ok(())
    }

    fn answer(&mut self, input: impl Future<Output = Input> + Send + 'static) {
        self.events.push(input.map(Event::Answer).boxed());
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
            Closing::GoingAway => (close_code::AWAY, GOING_AWAY),
            Closing::Refused(code) => (close_number(code), code.as_str()),
        };
        let frame = CloseFrame { code, reason: reason.into() };
        let close = self.sink.send(Message::Close(Some(frame)));
        if taken(timeout(self.service.write_deadline, close).await).is_err() {
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
        while self.stream.is_none() {
            match self.events.next().await {
                Some(Event::Message(Some(Ok(_)), stream)) => self.stream = Some(stream),
                Some(Event::Answer(_)) => {}
                Some(Event::Message(..)) | None => return,
            }
        }
        if let Some(stream) = &mut self.stream {
            while let Some(Ok(_)) = stream.next().await {}
        }
    }
}

/// What became of a frame that was to be taken in time.
fn taken(result: Result<Result<(), axum::Error>, Elapsed>) -> Result<(), Gone> {
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Gone::Lost),
        Err(_) => {
            tracing::info!("slow consumer dropped: a frame was not taken in time");
            Err(Gone::Slow)
        }
    }
}

/// The input that a message makes; none if the connection is gone.
fn received(message: Option<Result<Message, axum::Error>>) -> Option<Input> {
    match message? {
        Ok(Message::Text(text)) => Some(Input::Received(text.as_str().to_owned())),
        Ok(Message::Binary(_)) => Some(Input::Unreadable(ErrorCode::Malformed)),
        // Answered by the socket itself; what counts for liveness are the protocol's own pings.
        Ok(Message::Ping(_) | Message::Pong(_)) => Some(Input::Timeout),
        Ok(Message::Close(_)) => None,
        Err(error) => match error.into_inner().downcast_ref::<SocketError>()? {
            SocketError::Capacity(_) => Some(Input::Unreadable(ErrorCode::FrameTooLarge)),
            SocketError::Utf8(_) => Some(Input::Unreadable(ErrorCode::Malformed)),
            _ => None,
        },
    }
}

/// The WebSocket close code (RFC 6455, section 7.4.1) beside one of ours.
fn close_number(code: ErrorCode) -> u16 {
    match code {
        ErrorCode::FrameTooLarge => close_code::SIZE,
        ErrorCode::Overloaded | ErrorCode::StorageUnavailable => close_code::AGAIN,
        ErrorCode::Internal => close_code::ERROR,
        _ => close_code::POLICY,
    }
}
