//! Which web pages may use this server from a browser (RFC 6454).

use std::net::IpAddr;

use axum::http::Uri;

/// The origins that are allowed.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    exact: Vec<String>,
    loopback: bool,
}

impl Origins {
    /// Allows these origins, each as a browser sends it (`https://app.example`, no slash at the end).
    pub fn exactly(origins: Vec<String>) -> Self {
        Self { exact: origins, loopback: false }
    }

    /// Allows these origins, and pages of this machine, of any port.
    pub fn and_loopback(origins: Vec<String>) -> Self {
        Self { exact: origins, loopback: true }
    }

    /// Whether a page of this origin may connect. Scheme, host and port must all be the same.
    pub fn allow(&self, origin: &str) -> bool {
        self.exact.iter().any(|allowed| allowed == origin) || (self.loopback && is_loopback_origin(origin))
    }
}

fn is_loopback_origin(origin: &str) -> bool {
    let Ok(uri) = origin.parse::<Uri>() else { return false };
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    web && uri.authority().is_some_and(|authority| is_loopback_host(authority.as_str()))
}

/// Whether a `host` or `host:port` is this machine.
pub(crate) fn is_loopback_host(host: &str) -> bool {
    let Ok(authority) = host.parse::<axum::http::uri::Authority>() else { return false };
    // Somebody's name before an `@` is no part of a host.
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_allowed_only_as_a_whole() {
        let origins = Origins::exactly(vec!["https://app.example".into()]);
        assert!(origins.allow("https://app.example"));
        for other in [
            "http://app.example",
            "https://app.example:8443",
            // A browser leaves the usual port out, writes small letters, and neither adds nor takes away a dot.
            "https://app.example:443",
            "https://app.example:",
            "https://app.example:0443",
            "HTTPS://app.example",
            "https://App.example",
            "https://app.example.",
            "https://app.example/",
            "https://app.example?",
            " https://app.example",
            "https://app.example ",
            "https://app.example\u{0}",
            "https://app.example, https://evil.example",
            "https://user@app.example",
            "https://xn--app-.example",
            "https://sub.app.example",
            "//app.example",
            "app.example",
            "https://app.example.evil",
            "https://evil",
            "null",
            "NULL",
            "*",
            "",
        ] {
            assert!(!origins.allow(other), "{other}");
        }
        assert!(!origins.allow("http://localhost:5173"));
    }

    #[test]
    fn in_development_pages_of_this_machine_are_allowed_whatever_their_port() {
        let origins = Origins::and_loopback(Vec::new());
        for own in ["http://localhost:5173", "http://127.0.0.1:8787", "http://[::1]:1", "http://localhost"] {
            assert!(origins.allow(own), "{own}");
        }
        for other in
            ["http://localhost.evil:80", "http://127.0.0.1@evil", "http://10.0.0.1", "file://", "null"]
        {
            assert!(!origins.allow(other), "{other}");
        }
    }
}
