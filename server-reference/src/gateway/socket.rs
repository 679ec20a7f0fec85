//! The WebSocket around a [`Session`]: it performs effects and brings back what came of them.
//!
//! Memory per connection is bounded by construction: a frame is taken from the socket only while the session wants one,
//! a frame is sent before the next input is looked at, and the hub's queue is short. A peer that does not take what it
//! is sent within the configured time is dropped.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{
        State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code},
    },
    http::{HeaderMap, header},
    response::Response,
    routing::get,
};
use futures::{
    FutureExt, SinkExt, StreamExt,
    future::{BoxFuture, ready},
    stream::{FuturesUnordered, SplitSink, SplitStream},
};
use sdk_core::protocol::{ErrorCode, ProtocolError, SUBPROTOCOL};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{sleep, sleep_until, timeout},
};
use tungstenite::error::Error as SocketError;

use super::session::{Closing, Effect, Input, Session};
use crate::{
    clock::Clock,
    hub::{Follower, Notice},
    service::Service,
    storage::{Advance, events::News},
    sync::Problem,
    tenant::TenantScope,
};

/// How long a connection stays after its last frame, so that the peer can read it.
const LINGER: Duration = Duration::from_secs(1);
/// How long a connection waits for its turn when very many greet at once.
const GREETING_QUEUE: Duration = Duration::from_secs(5);
/// Bytes that one connection reads ahead.
const READ_BUFFER: usize = 16 * 1024;
/// Bytes that the outgoing buffer may hold beyond one frame.
const WRITE_SLACK: usize = 64 * 1024;

pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/v1/realtime", get(upgrade))
}

async fn upgrade(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
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
    let busy = || ProtocolError::new(ErrorCode::Overloaded, "too many connections");
    let session = service.sessions.clone().try_acquire_owned().map_err(|_| busy())?;
    let greeting = timeout(GREETING_QUEUE, service.greetings.clone().acquire_owned()).await;
    let greeting = greeting.map_err(|_| busy())?.map_err(|_| busy())?;

    let limits = service.limits;
    Ok(upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(READ_BUFFER)
        // A frame of events has one at least, however large.
        .max_write_buffer_size(limits.frame_bytes.max(service.streams.event_bytes) + WRITE_SLACK)
        .max_message_size(limits.frame_bytes)
        .max_frame_size(limits.frame_bytes)
        .on_upgrade(move |socket| async move {
            let _session = session;
            Connection::new(service, socket, greeting).run().await;
        }))
}

struct Connection {
    service: Arc<Service>,
    sink: SplitSink<WebSocket, Message>,
    stream: SplitStream<WebSocket>,
    session: Session,
    clock: Clock,
    /// At most one commit, one batch of events, one read of documents and one of events, and one verification.
    answers: FuturesUnordered<BoxFuture<'static, Input>>,
    follower: Option<Follower<Advance>>,
    /// Of topics; none before the first is followed.
    reader: Option<Follower<News>>,
    greeting: Option<OwnedSemaphorePermit>,
    stopping: watch::Receiver<bool>,
    told_to_stop: bool,
    /// The socket gave an error, and nothing more can be read from it.
    broken: bool,
}

/// The connection is gone.
struct Gone;

impl Connection {
    fn new(service: Arc<Service>, socket: WebSocket, greeting: OwnedSemaphorePermit) -> Self {
        let (sink, stream) = socket.split();
        let clock = Clock::start();
        Self {
            session: Session::new(service.limits, clock.now()),
            sink,
            stream,
            clock,
            answers: FuturesUnordered::new(),
            follower: None,
            reader: None,
            greeting: Some(greeting),
            stopping: service.stopping.clone(),
            told_to_stop: false,
            broken: false,
            service,
        }
    }

    async fn run(mut self) {
        while let Ok(()) = self.perform_all().await {
            let Ok(input) = self.next_input().await else { return };
            self.session.handle(self.clock.now(), input);
        }
    }

    async fn next_input(&mut self) -> Result<Input, Gone> {
        let deadline = self.session.poll_timeout().and_then(|at| self.clock.at(at));
        let alarm = async {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let notice = async {
            match &mut self.follower {
                Some(follower) => follower.next().await,
                None => std::future::pending().await,
            }
        };
        let news = async {
            match &mut self.reader {
                Some(reader) => reader.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(input) = self.answers.next() => Ok(input),
            message = self.stream.next(), if self.session.wants_frame() => {
                self.broken = matches!(message, Some(Err(_)));
                received(message).ok_or(Gone)
            }
            notice = notice => Ok(match notice {
                Notice::Advanced(advance) => Input::Advanced(advance),
                Notice::Lagged => Input::Lagged,
            }),
            notice = news => Ok(match notice {
                Notice::Advanced(news) => Input::Moved(news),
                Notice::Lagged => Input::MissedNews,
            }),
            () = alarm => Ok(Input::Timeout),
            _ = self.stopping.wait_for(|stopping| *stopping), if !self.told_to_stop => {
                self.told_to_stop = true;
                Ok(Input::Shutdown)
            }
        }
    }

    async fn perform_all(&mut self) -> Result<(), Gone> {
        while let Some(effect) = self.session.poll_effect() {
            self.perform(effect).await?;
        }
        Ok(())
    }

    async fn perform(&mut self, effect: Effect) -> Result<(), Gone> {
        match effect {
            Effect::Verify(token) => {
                let verified = self.service.verifier.verify(&token, crate::clock::wall());
                if let Err(error) = &verified {
                    tracing::info!(%error, "token refused");
                }
                let verified = verified.map(TenantScope::of);
                self.answers.push(ready(Input::Verified(verified)).boxed());
            }
            Effect::Follow(scope, collections) => {
                tracing::debug!(tenant = %scope.tenant(), subject = %scope.subject(), "session open");
                self.follower = Some(self.service.hub.follow(&scope, collections));
                self.greeting = None;
            }
            Effect::Commit(batch) => {
                let documents = self.service.documents.clone();
                self.answers.push(async move { Input::Committed(documents.commit(batch).await) }.boxed());
            }
            Effect::Publish(scope, batch, now) => {
                let events = self.service.events.clone();
                self.answers
                    .push(async move { Input::Published(events.publish(scope, batch, now).await) }.boxed());
            }
            Effect::Read(scope, page) => {
                let documents = self.service.documents.clone();
                self.answers.push(async move { Input::Read(documents.changes(scope, page).await) }.boxed());
            }
            Effect::FollowTopic(scope, topic) => match &mut self.reader {
                Some(reader) => reader.add(&scope, topic),
                None => self.reader = Some(self.service.news.follow(&scope, vec![topic])),
            },
            Effect::UnfollowTopic(topic) => {
                if let Some(reader) = &mut self.reader {
                    reader.remove(&topic);
                }
            }
            Effect::ReadTopic(scope, topic, read) => {
                let events = self.service.events.clone();
                let answer = async move {
                    Input::TopicRead(events.read(scope, topic, read, crate::clock::wall()).await)
                };
                self.answers.push(answer.boxed());
            }
            Effect::Send(text) => return self.send(Message::Text((&*text).into())).await,
            Effect::Close(closing) => {
                self.close(closing).await;
                return Err(Gone);
            }
        }
        Ok(())
    }

    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        match timeout(self.service.write_deadline, self.sink.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Gone),
            Err(_) => {
                tracing::info!("slow consumer dropped: a frame was not taken in time");
                Err(Gone)
            }
        }
    }

    async fn close(&mut self, closing: Closing) {
        tracing::debug!(?closing, "session closed");
        let (code, reason) = match closing {
            Closing::GoingAway => (close_code::AWAY, "going_away"),
            Closing::Refused(code) => (close_number(code), code.as_str()),
        };
        let frame = CloseFrame { code, reason: reason.into() };
        if self.send(Message::Close(Some(frame))).await.is_err() {
            return;
        }
        // To close on a peer that is still sending would reset the connection and could destroy what it has not read.
        if self.broken {
            sleep(LINGER).await;
        } else {
            let peer_closed = async { while let Some(Ok(_)) = self.stream.next().await {} };
            // Either way the connection ends here.
            let _ = timeout(LINGER, peer_closed).await;
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
