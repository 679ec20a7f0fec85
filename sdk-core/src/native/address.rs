//! The server's address.

use reqwest::Url;

/// Why a text is not the address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidServer {
    /// Not a URL (WHATWG URL Standard).
    #[error("the server's address is not a URL: {0}")]
    NotAUrl(String),
    /// Neither `http` nor `https`.
    #[error("the server's address must begin with http:// or https://, not {0}:")]
    Scheme(String),
    /// It holds a user name, a password, a query or a fragment: places where a secret ends up in logs.
    #[error("the server's address may have a path, but no user, password, query or fragment")]
    Extras,
    /// The machine's trust in certificates cannot be read.
    #[error("https is not possible here: {0}")]
    Tls(String),
}

/// A server, by the address its HTTP routes stand below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address(Url);

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidServer> {
        let mut url = Url::parse(text).map_err(|error| InvalidServer::NotAUrl(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(InvalidServer::Scheme(url.scheme().into()));
        }
        let is_bare = url.username().is_empty() && url.password().is_none();
        if !is_bare || url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidServer::Extras);
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self(url))
    }

    pub(super) fn is_secure(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// A route below the address.
    pub(super) fn route(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{path}", self.0.path()));
        url
    }

    /// The same, where a query may follow the path after a question mark.
    pub(super) fn route_with_query(&self, path: &str) -> Url {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let mut url = self.route(path);
        url.set_query(query);
        url
    }

    /// The same for a WebSocket: `ws` for `http`, `wss` for `https`.
    pub(super) fn socket_route(&self, path: &str) -> String {
        let url = self.route(path);
        // "http" becomes "ws", "https" becomes "wss"; the rest stays as it is.
        url.as_str().replacen("http", "ws", 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_stand_below_the_path_of_the_address() {
        for (text, http, socket) in [
            ("http://127.0.0.1:8787", "http://127.0.0.1:8787/v1/push", "ws://127.0.0.1:8787/v1/push"),
            ("https://example.org/", "https://example.org/v1/push", "wss://example.org/v1/push"),
            ("https://example.org/a/b", "https://example.org/a/b/v1/push", "wss://example.org/a/b/v1/push"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(
                (address.route("v1/push").as_str(), &*address.socket_route("v1/push")),
                (http, socket)
            );
        }
    }

    #[test]
    fn an_address_that_is_not_http_or_carries_more_is_refused() {
        assert!(matches!(Address::parse("127.0.0.1"), Err(InvalidServer::NotAUrl(_))));
        assert_eq!(Address::parse("ws://h"), Err(InvalidServer::Scheme("ws".into())));
        for text in ["http://ada@h", "http://ada:secret@h", "http://h/?token=1", "http://h/#x"] {
            assert_eq!(Address::parse(text), Err(InvalidServer::Extras), "{text}");
        }
    }
}
