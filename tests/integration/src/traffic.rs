//! What goes over a network: what clients ask, what they are answered, and when.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Clients tell time in whole milliseconds, and so may be early by a part of one.
const WHOLE_MILLISECOND: Duration = Duration::from_millis(1);

/// All that clients said, in whatever order, and what they asked for.
#[derive(Default)]
pub struct Traffic {
    said: Mutex<Vec<u8>>,
    exchanges: Mutex<Vec<Exchange>>,
}

/// One request.
#[derive(Debug)]
struct Exchange {
    /// The first line of it.
    asked: String,
    /// Not before the client sent it.
    at: Instant,
    answer: Option<Answer>,
}

/// What it was answered.
#[derive(Debug)]
struct Answer {
    /// Not after the client has it.
    at: Instant,
    /// What a `Retry-After` says.
    wait: Option<Duration>,
}

/// One connection. What is asked over it is answered before the next is.
pub(crate) struct Line {
    traffic: Arc<Traffic>,
    /// Which exchange is under way.
    newest: Mutex<Option<usize>>,
}

impl Traffic {
    /// How often something was asked for whose first line begins like this.
    pub fn asked(&self, begins: &str) -> usize {
        lock(&self.exchanges).iter().filter(|exchange| exchange.asked.starts_with(begins)).count()
    }

    /// How often that was refused for a while.
    pub fn refused(&self, begins: &str) -> usize {
        let exchanges = lock(&self.exchanges);
        let asked = exchanges.iter().filter(|exchange| exchange.asked.starts_with(begins));
        asked.filter_map(|exchange| exchange.answer.as_ref()?.wait).count()
    }

    /// Forgets what was asked so far.
    pub fn forget(&self) {
        for exchange in lock(&self.exchanges).iter_mut() {
            exchange.asked.clear();
        }
    }

    /// That a client who was refused for a while waited at least so long before it asked for any of these again, however
    /// slow this machine is: a wait is measured from before the refusal is passed on until after the next request has come.
    /// Where it has so many requests under way `at_once`, the others may have been sent before it heard. Returns how many
    /// refusals there were.
    ///
    /// # Panics
    /// If it did not wait.
    pub fn is_paced(&self, begin: &[&str], at_once: usize) -> usize {
        let exchanges = lock(&self.exchanges);
        let asked = |exchange: &&Exchange| begin.iter().any(|begins| exchange.asked.starts_with(begins));
        let asked: Vec<&Exchange> = exchanges.iter().filter(asked).collect();
        let mut refusals = 0;
        for refused in &asked {
            let Some(Answer { at, wait: Some(wait), .. }) = refused.answer else { continue };
            refusals += 1;
            let early = |next: &&&Exchange| next.at > at && next.at + WHOLE_MILLISECOND < at + wait;
            if let Some(next) = asked.iter().filter(early).nth(at_once - 1) {
                let after = next.at - at;
                panic!("{} waited {after:?} and not {wait:?} after {refused:?}", next.asked);
            }
        }
        refusals
    }

    /// Whether a client said this.
    pub(crate) fn heard(&self, text: &str) -> bool {
        String::from_utf8_lossy(&lock(&self.said)).contains(text)
    }
}

impl Line {
    pub(crate) fn of(traffic: &Arc<Traffic>) -> Self {
        Self { traffic: Arc::clone(traffic), newest: Mutex::default() }
    }

    /// A client has said something.
    pub(crate) fn asks(&self, said: &[u8]) {
        lock(&self.traffic.said).extend_from_slice(said);
        // A request begins what is read, since nobody sends one before the last was answered.
        let line = said.split(|byte| *byte == b'\r').next().unwrap_or_default();
        if let Some(asked) = std::str::from_utf8(line).ok().filter(|line| line.ends_with(" HTTP/1.1")) {
            let mut exchanges = lock(&self.traffic.exchanges);
            *lock(&self.newest) = Some(exchanges.len());
            exchanges.push(Exchange { asked: asked.to_owned(), at: Instant::now(), answer: None });
        }
    }

    /// The server has said something, which the client is told of after this.
    pub(crate) fn answers(&self, said: &[u8]) {
        let Some(newest) = *lock(&self.newest) else { return };
        let at = Instant::now();
        let head = String::from_utf8_lossy(&said[..said.len().min(4_096)]).to_ascii_lowercase();
        if !head.starts_with("http/1.1 ") {
            return;
        }
        let head = head.split("\r\n\r\n").next().unwrap_or_default();
        let wait = head.lines().find_map(|line| line.strip_prefix("retry-after: ")?.trim().parse().ok());
        let answer = Answer { at, wait: wait.map(Duration::from_secs) };
        lock(&self.traffic.exchanges)[newest].answer = Some(answer);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
