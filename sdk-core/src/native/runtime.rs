//! The machine's clocks, and tokio's tasks.

use std::{
    future::Future,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::runtime::Handle;

use crate::{clock::Millis, driver::Runtime, engine::Now};

/// Runs a client on a tokio runtime, from whichever thread the client is called.
#[derive(Debug)]
pub struct TokioRuntime {
    handle: Handle,
    start: Instant,
}

impl TokioRuntime {
    /// The runtime of the task that calls this.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn current() -> Self {
        Self { handle: Handle::current(), start: Instant::now() }
    }
}

impl Runtime for TokioRuntime {
    fn now(&self) -> Now {
        // A wall clock before 1970 is as wrong as any other that the server will correct.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { monotonic: millis(self.start.elapsed()), wall: millis(wall) }
    }

    fn sleep(&self, duration: Millis) -> impl Future<Output = ()> + Send + 'static {
        let duration = Duration::from_millis(duration.0);
        // Made when it is first polled, which happens on the runtime.
        async move { tokio::time::sleep(duration).await }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(task);
    }
}

fn millis(duration: Duration) -> Millis {
    Millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
