//! Calling a webhook, and which addresses may be called.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use reqwest::{
    Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};

use crate::trace::{TRACEPARENT, TRACESTATE, TraceContext};

/// How long a webhook may take to answer.
const DEADLINE: Duration = Duration::from_secs(30);
/// Bytes of an answer that are looked at.
const MAX_ANSWER: usize = 16 * 1024;

/// Calls webhooks. Nothing of this machine or its network is called, other than this machine in development.
pub(super) struct Caller {
    http: Client,
    local: bool,
}

impl Caller {
    pub(super) fn new(local: bool) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            // A redirect could lead where no webhook may.
            .redirect(Policy::none())
            .no_proxy()
            // Of an answer no more is read than comes, also in a program that has this library decompress for others.
            .no_gzip()
            .timeout(DEADLINE)
            .dns_resolver(Arc::new(Public { local }))
            .build()?;
        Ok(Self { http, local })
    }

    /// Whether a URL may be called at all.
    pub(super) fn may_call(&self, url: &str) -> bool {
        let Ok(url) = Url::parse(url) else { return false };
        let Some(host) = url.host_str() else { return false };
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let plain = url.username().is_empty() && url.password().is_none();
        let named_local = host == "localhost" || host.ends_with(".localhost");
        let loopback = named_local || address.as_ref().is_ok_and(IpAddr::is_loopback);
        match url.scheme() {
            _ if !plain => false,
            "http" => self.local && loopback,
            "https" if loopback => self.local,
            "https" => address.map_or(true, |address| is_public(&address)),
            _ => false,
        }
    }

    /// Posts a body, and says whether the answer ends the work; none if it did not arrive.
    pub(super) async fn call(
        &self,
        url: &str,
        body: String,
        signature: String,
        place: &TraceContext,
    ) -> Option<bool> {
        let post = self.http.post(url).header("content-type", "application/json");
        let post = post.header(TRACEPARENT, place.parent());
        let post = place.state().into_iter().fold(post, |post, state| post.header(TRACESTATE, state));
        let mut answer = post.header("webhook-signature", signature).body(body).send().await.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.ok()? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_ANSWER {
                return Some(false);
            }
        }
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        Some(value["done"] == true)
    }
}

/// Resolves names to addresses that may be called. At the moment of the call, so that a name cannot change its mind.
struct Public {
    local: bool,
}

impl Resolve for Public {
    fn resolve(&self, name: Name) -> Resolving {
        let local = self.local;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let may =
                |address: &SocketAddr| is_public(&address.ip()) || (local && address.ip().is_loopback());
            let allowed: Vec<SocketAddr> = found.filter(may).collect();
            if allowed.is_empty() {
                return Err("the name leads to no address that may be called".into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the internet's, and not of a machine or a private network.
fn is_public(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let special =
                a == 0 || a >= 240 || (a == 192 && b == 0 && c == 0) || (a == 198 && (b == 18 || b == 19));
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_documentation()
                || *v4 == Ipv4Addr::BROADCAST
                || shared
                || special)
        }
        IpAddr::V6(v6) => {
            let segments = v6.segments();
            // Global unicast, without what stands for an address of version 4 or for examples.
            match v6.to_ipv4_mapped() {
                Some(v4) => is_public(&IpAddr::V4(v4)),
                None => {
                    segments[0] & 0xe000 == 0x2000
                        && segments[0] != 0x2002
                        && !(segments[0] == 0x2001 && (segments[1] < 0x200 || segments[1] == 0xdb8))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_webhook_reaches_this_machine_or_its_network() {
        let caller = Caller::new(false).unwrap();
        for good in ["https://hooks.example/x", "https://93.184.216.34/", "https://[2606:4700::1]/"] {
            assert!(caller.may_call(good), "{good}");
        }
        for bad in [
            "http://hooks.example/",
            "https://localhost/",
            "https://a.localhost/",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://10.0.0.1/",
            "https://172.16.0.1/",
            "https://192.168.1.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://100.64.0.1/",
            "https://0.0.0.0/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[fd00::1]/",
            "https://[fe80::1]/",
            "https://[2002:0a00:0001::]/",
            "https://user@hooks.example/",
            "ftp://hooks.example/",
            "file:///etc/passwd",
            "nonsense",
        ] {
            assert!(!caller.may_call(bad), "{bad}");
        }
        let local = Caller::new(true).unwrap();
        assert!(local.may_call("http://127.0.0.1:1/") && local.may_call("http://localhost:1/"));
        assert!(!local.may_call("http://10.0.0.1/") && !local.may_call("http://hooks.example/"));
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_not_called() {
        let name = || "localhost".parse::<Name>().unwrap();
        assert!(Public { local: false }.resolve(name()).await.is_err());
        assert!(Public { local: true }.resolve(name()).await.is_ok());
    }
}
