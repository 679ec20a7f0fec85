//! One WebSocket.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
};

use sdk_core::{
    driver::{Link, TransportError},
    protocol::{SUBPROTOCOL, with_traceparent},
};
use wasm_bindgen::{JsCast, closure::Closure};
use web_sys::{MessageEvent, WebSocket};

use super::Traces;
use crate::held::hold;

/// Bytes that may wait to be received. A server sends a frame of at most half a megabyte at a time; what
/// comes so much faster than it is worked off is better asked for again from the last position.
const MOST_RECEIVED: usize = 8 << 20;
/// Bytes that may wait to leave. The engine limits what is in flight; this holds where the network stands still.
const MOST_SENT: u32 = 16 << 20;

/// An open WebSocket. Closes when it is dropped.
pub struct Socket {
    inner: WebSocket,
    inbox: Rc<RefCell<Inbox>>,
    _on_event: Closure<dyn FnMut(MessageEvent)>,
    traces: Traces,
}

#[derive(Default)]
struct Inbox {
    state: State,
    frames: VecDeque<String>,
    size: usize,
    waiting: Option<Waker>,
}

#[derive(Default, PartialEq)]
enum State {
    #[default]
    Connecting,
    Open,
    Closed,
}

impl Socket {
    pub(super) async fn open(url: &str, traces: Traces) -> Result<Self, TransportError> {
        let inner = WebSocket::new_with_str(url, SUBPROTOCOL)
            .map_err(|_| TransportError::new("the address is not one a WebSocket can have"))?;
        hold("socket", &inner);
        let inbox = Rc::new(RefCell::new(Inbox::default()));
        // One handler for all: it lives as long as the socket, and is attached before anything can happen.
        let on_event = Closure::<dyn FnMut(MessageEvent)>::new({
            let inbox = Rc::clone(&inbox);
            move |event: MessageEvent| inbox.borrow_mut().take(&event)
        });
        let handler = Some(on_event.as_ref().unchecked_ref());
        inner.set_onopen(handler);
        inner.set_onmessage(handler);
        inner.set_onclose(handler);
        let socket = Self { inner, inbox, _on_event: on_event, traces };
        poll_fn(|context| {
            let mut inbox = socket.inbox.borrow_mut();
            if inbox.state == State::Connecting {
                inbox.waiting = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        // A browser closes the connection itself where the server has not agreed to the subprotocol.
        if socket.inbox.borrow().state == State::Open {
            Ok(socket)
        } else {
            Err(TransportError::new("the WebSocket could not be opened"))
        }
    }
}

impl Inbox {
    fn take(&mut self, event: &MessageEvent) {
        match event.type_().as_str() {
            "open" => self.state = State::Open,
            "message" => match event.data().as_string() {
                Some(text) if self.size + text.len() <= MOST_RECEIVED => {
                    self.size += text.len();
                    self.frames.push_back(text);
                }
                // Too much, or binary, which is no part of the protocol.
                _ => self.state = State::Closed,
            },
            _ => self.state = State::Closed,
        }
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

impl Link for Socket {
    fn send(&self, text: String) {
        if self.inner.buffered_amount() > MOST_SENT {
            self.close();
        } else {
            let text = match self.traces.current() {
                Some(parent) => with_traceparent(text, &parent),
                None => text,
            };
            // Fails only while it connects, which is over; afterwards the browser ignores it.
            let _ = self.inner.send_with_str(&text);
        }
    }

    async fn receive(&self) -> Option<String> {
        poll_fn(|context| {
            let mut inbox = self.inbox.borrow_mut();
            if let Some(text) = inbox.frames.pop_front() {
                inbox.size -= text.len();
                return Poll::Ready(Some(text));
            }
            if inbox.state == State::Closed {
                return Poll::Ready(None);
            }
            inbox.waiting = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn close(&self) {
        let mut inbox = self.inbox.borrow_mut();
        inbox.state = State::Closed;
        inbox.frames.clear();
        inbox.size = 0;
        if let Some(waker) = inbox.waiting.take() {
            waker.wake();
        }
        let _ = self.inner.close();
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.inner.set_onopen(None);
        self.inner.set_onmessage(None);
        self.inner.set_onclose(None);
        let _ = self.inner.close();
    }
}
