//! Where somebody comes from.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Addresses of a header that are looked at, from its end.
const MAX_HOPS: usize = 32;

/// What counts as one address: an IPv4 address, or the 2^64 of IPv6 that one customer is given at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Address(IpAddr);

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            address => Self(address),
        }
    }
}

/// The proxies whose word is taken for whom they speak.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies(Vec<IpNet>);

impl From<Vec<IpNet>> for Proxies {
    fn from(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }
}

impl Proxies {
    /// Nobody's.
    pub(super) const NONE: Self = Self(Vec::new());

    /// Whether an address is that of a proxy.
    pub(crate) fn hold(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Who made a request that a peer has sent: the peer itself, or, if that is a proxy, the last address of `Forwarded`
    /// (RFC 7239) or `X-Forwarded-For` that is none. Whatever stands further left came from outside, and anybody may
    /// have written it.
    pub(crate) fn source(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.hold(peer) {
            return peer;
        }
        let told = (
            self.behind(peer, headers, &header::FORWARDED, forwarded),
            self.behind(peer, headers, &X_FORWARDED_FOR, |hop| Some(hop.trim())),
        );
        match told {
            (Some(one), None) | (None, Some(one)) => one,
            (Some(one), Some(other)) if one == other => one,
            // A proxy writes one of the two and passes on what the client wrote into the other. Which is which nobody
            // knows, so such a client can choose no address but that of the proxy.
            _ => peer,
        }
    }

    /// What one header says; none if it is not there.
    fn behind(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
        name: &HeaderName,
        read: impl Fn(&str) -> Option<&str>,
    ) -> Option<IpAddr> {
        headers.get(name)?;
        let mut last = peer;
        let lines = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or_default());
        let hops: Vec<&str> = lines.flat_map(|line| parts(line, ',')).collect();
        for hop in hops.into_iter().rev().take(MAX_HOPS) {
            // Behind what is no address nothing is known.
            let Some(address) = read(hop).and_then(address) else { break };
            last = address;
            if !self.hold(address) {
                break;
            }
        }
        Some(last)
    }
}

/// Whether a request says for whom it is.
pub(super) fn speaks_for_others(headers: &HeaderMap) -> bool {
    headers.contains_key(header::FORWARDED) || headers.contains_key(X_FORWARDED_FOR)
}

/// The parts between separators. One within quotes is none.
fn parts(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |letter| {
        quoted ^= letter == '"' && !escaped;
        escaped = quoted && letter == '\\' && !escaped;
        letter == separator && !quoted
    })
}

/// For whom an element of `Forwarded` is.
fn forwarded(hop: &str) -> Option<&str> {
    let pairs = parts(hop, ';').filter_map(|pair| pair.split_once('='));
    let mut named = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    named.next().map(|(_, value)| value.trim().trim_matches('"'))
}

/// An address with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None if text.matches(':').count() == 1 => text.split_once(':')?.0,
        None => text,
    };
    bare.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies() -> Proxies {
        Proxies(["10.0.0.0/8", "::1/128"].iter().map(|network| network.parse().unwrap()).collect())
    }

    fn source(peer: &str, lines: &[(&str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        proxies().source(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_a_proxy_is_believed() {
        let lines = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")];
        assert_eq!(source("198.51.100.1", &lines), "198.51.100.1");
        assert_eq!(source("10.1.2.3", &lines), "203.0.113.9");
        assert_eq!(source("::ffff:10.1.2.3", &lines), "203.0.113.9");
        assert_eq!(source("10.1.2.3", &[]), "10.1.2.3");
    }

    #[test]
    fn it_is_the_right_most_that_is_no_proxy() {
        for (name, value, expected) in [
            ("x-forwarded-for", "1.1.1.1, 203.0.113.9, 10.0.0.1", "203.0.113.9"),
            ("x-forwarded-for", "203.0.113.9:4711,10.0.0.1:80", "203.0.113.9"),
            ("x-forwarded-for", "10.0.0.7", "10.0.0.7"),
            ("x-forwarded-for", "1.1.1.1, unknown, 10.0.0.7", "10.0.0.7"),
            ("x-forwarded-for", "", "10.0.0.1"),
            (
                "forwarded",
                r#"for=1.1.1.1, For="[2001:db8::17]:4711";proto=https, for=10.0.0.2"#,
                "2001:db8::17",
            ),
            ("forwarded", r#"by=a;host="x,for=9.9.9.9";for=203.0.113.9"#, "203.0.113.9"),
            ("forwarded", r#"host="\";for=9.9.9.9;x=";for=203.0.113.9"#, "203.0.113.9"),
            ("forwarded", "for=1.1.1.1, for=_hidden", "10.0.0.1"),
            ("forwarded", "proto=https", "10.0.0.1"),
        ] {
            assert_eq!(source("10.0.0.1", &[(name, value)]), expected, "{value}");
        }
        let lines = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.9")];
        assert_eq!(source("10.0.0.1", &lines), "203.0.113.9", "lines follow one another");
    }

    #[test]
    fn a_client_that_writes_the_header_its_proxy_does_not_chooses_nothing() {
        let lines = [("forwarded", "for=1.1.1.1"), ("x-forwarded-for", "203.0.113.9")];
        assert_eq!(source("10.0.0.1", &lines), "10.0.0.1");
    }

    #[test]
    fn a_customer_has_one_address() {
        let of = |text: &str| Address::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
