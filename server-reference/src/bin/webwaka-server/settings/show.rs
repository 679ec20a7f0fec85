//! The settings that count, as a file has them.

use std::fmt::Write as _;

use clap::{Arg, ArgMatches, parser::ValueSource};

use super::{Kind, Settings};

impl Settings {
    /// Every setting with where it comes from, in TOML. A password within an address is left out.
    pub(crate) fn show(&self) -> String {
        let matches = self.innermost();
        let mut text = String::new();
        for arg in self.options() {
            let Some(key) = arg.get_long() else { continue };
            let from = match matches.value_source(arg.get_id().as_str()) {
                Some(ValueSource::CommandLine) => "command line",
                Some(ValueSource::EnvVariable) => "environment",
                _ if self.in_file.iter().any(|known| known == key) => "file",
                _ => "default",
            };
            // Writing to a text cannot fail.
            let _ = match value(arg, matches) {
                Some(value) => writeln!(text, "{key} = {value} # {from}"),
                None => writeln!(text, "# {key} is not set"),
            };
        }
        text
    }
}

fn value(arg: &Arg, matches: &ArgMatches) -> Option<String> {
    let id = arg.get_id().as_str();
    let kind = Kind::of(arg);
    if kind == Kind::Flag {
        return Some(matches.get_flag(id).to_string());
    }
    let raw = matches.get_raw(id).into_iter().flatten();
    let raw: Vec<String> = raw.map(|value| without_password(&value.to_string_lossy())).collect();
    match kind {
        Kind::List => {
            let split = raw.iter().flat_map(|value| value.split(',')).map(quoted);
            Some(format!("[{}]", split.collect::<Vec<_>>().join(", ")))
        }
        Kind::Number => raw.into_iter().next(),
        _ => raw.first().map(|value| quoted(value)),
    }
}

/// A basic string of TOML, of which those of JSON are some.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// An address without the name and password that may stand before its host.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    match host.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://[redacted]@{host}{path}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        assert_eq!(without_password("https://a:b@h.example/x@y"), "https://[redacted]@h.example/x@y");
        assert_eq!(without_password("https://h.example/x@y"), "https://h.example/x@y");
        assert_eq!(without_password("data@home"), "data@home");
    }
}
