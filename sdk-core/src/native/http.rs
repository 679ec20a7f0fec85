//! Plain HTTP: what is left when a WebSocket is refused.

use std::{error::Error, time::Duration};

use reqwest::{
    Client, RequestBuilder, Response, Url,
    header::{CACHE_CONTROL, CONTENT_TYPE},
    redirect,
};

use super::{InvalidServer, MAX_MESSAGE, traces::Traces};
use crate::driver::{
    Each, HEADERS, HttpGet, HttpReply, TRANSACTION_HEADERS, TransactionRequest, TransportError,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// From the first byte sent to the last byte received.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The same for one that waits, and may go on.
const GOES_ON: Duration = Duration::from_secs(90);

#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    traces: Traces,
}

impl Http {
    pub(super) fn new(tls: rustls::ClientConfig, traces: Traces) -> Result<Self, InvalidServer> {
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            // A redirected POST would lose its body or hand the token to somebody else.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| InvalidServer::Tls(chain(&error)))?;
        Ok(Self { client, traces })
    }

    pub(super) async fn post(
        &self,
        url: Url,
        token: String,
        body: String,
    ) -> Result<HttpReply, TransportError> {
        let request = self.client.post(url).bearer_auth(token).header(CONTENT_TYPE, "application/json");
        self.send(request.body(body), &HEADERS, &|_| true).await
    }

    pub(super) async fn transact(
        &self,
        url: Url,
        request: TransactionRequest,
    ) -> Result<HttpReply, TransportError> {
        let TransactionRequest { key, token, body, .. } = request;
        let request = self.client.post(url).bearer_auth(token).header(CONTENT_TYPE, "application/json");
        let request = request.header("idempotency-key", key.to_field());
        self.send(request.body(body), &TRANSACTION_HEADERS, &|_| true).await
    }

    pub(super) async fn get(
        &self,
        url: Url,
        request: HttpGet,
        each: &Each<'_>,
    ) -> Result<HttpReply, TransportError> {
        let HttpGet { token, bypass, waits, .. } = request;
        let request = self.client.get(url).bearer_auth(token);
        let request = if waits { request.timeout(GOES_ON) } else { request };
        // There is no cache in this client; there may be one on the way.
        let request = if bypass { request.header(CACHE_CONTROL, "no-cache") } else { request };
        self.send(request, &HEADERS, each).await
    }

    async fn send(
        &self,
        request: RequestBuilder,
        wanted: &[&'static str],
        each: &Each<'_>,
    ) -> Result<HttpReply, TransportError> {
        let failed = |error: reqwest::Error| TransportError::new(chain(&error));
        let request = match self.traces.current() {
            Some(parent) => request.header("traceparent", parent),
            None => request,
        };
        let response = request.send().await.map_err(failed)?;
        let header =
            |name: &&'static str| Some((*name, response.headers().get(*name)?.to_str().ok()?.to_owned()));
        let headers = wanted.iter().filter_map(header).collect();
        Ok(HttpReply {
            status: response.status().as_u16(),
            headers,
            body: read_body(response, each)
                .await
                .map_err(failed)?
                .ok_or_else(|| TransportError::new("not wanted any more"))?,
        })
    }
}

/// The body up to [`MAX_MESSAGE`]; what follows is not even received. None if no more was wanted.
async fn read_body(mut response: Response, each: &Each<'_>) -> Result<Option<String>, reqwest::Error> {
    let mut body = Vec::new();
    while body.len() < MAX_MESSAGE
        && let Some(chunk) = response.chunk().await?
    {
        let room = MAX_MESSAGE - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if !each(&mut body) {
            return Ok(None);
        }
    }
    let text = String::from_utf8(body);
    Ok(Some(text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())))
}

/// The reason is in the sources: the error itself says only "error sending request".
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}
