//! Where a program gets its token.

use std::{fmt, future::Future, pin::Pin};

use crate::{driver::TokenSource, engine::TokenError};

type Fetched = Pin<Box<dyn Future<Output = Result<String, TokenError>> + Send>>;

/// Gives the client a bearer token whenever it needs one: at the start, and when one has expired.
pub struct Tokens(Box<dyn Fn() -> Fetched + Send + Sync>);

impl Tokens {
    /// Always the same. Once it has expired the client goes on offline.
    pub fn fixed(token: impl Into<String>) -> Self {
        let token = token.into();
        Self::from_fn(move || {
            let token = token.clone();
            async { Ok::<_, TokenError>(token) }
        })
    }

    /// Asks `fetch`. If that fails the client tells it as its status's problem, and asks again later.
    pub fn from_fn<F, E>(fetch: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, E>> + Send + 'static,
        E: fmt::Display,
    {
        Self(Box::new(move || {
            let token = fetch();
            Box::pin(async { token.await.map_err(|error| TokenError(error.to_string())) })
        }))
    }
}

impl TokenSource for Tokens {
    async fn token(&self) -> Result<String, TokenError> {
        (self.0)().await
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}
