//! Tables of the codes that one kind of request may be refused with.

use sdk_core::protocol::ErrorCode;

use crate::{identity, streams, transactions};

/// An enum of codes, each with its stable text, its HTTP status and what it means.
macro_rules! codes {
    ($(#[$doc:meta])* $($name:ident = $text:literal, $status:literal, $meaning:literal;)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = $meaning] $name,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable text.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// The status of the answer.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status),* }
            }
        }
    };
}

pub(crate) use codes;

/// Every code that there is, with its status. One that two tables have comes twice.
pub fn all() -> Vec<(&'static str, u16)> {
    let mut all: Vec<_> = ErrorCode::ALL.iter().map(|code| (code.as_str(), code.status())).collect();
    all.extend(streams::Code::ALL.iter().map(|code| (code.as_str(), code.status())));
    all.extend(transactions::Code::ALL.iter().map(|code| (code.as_str(), code.status())));
    all.extend(identity::Code::ALL.iter().map(|code| (code.as_str(), code.status())));
    all.extend(identity::grants::Code::ALL.iter().map(|code| (code.as_str(), code.status())));
    all
}

/// The codes that a section of the protocol's page lists, each with its status.
#[cfg(test)]
pub(crate) fn listed(section: &str) -> Vec<String> {
    let with_status =
        |(code, status): (String, String)| Some(format!("{code} {}", status.parse::<u16>().ok()?));
    rows(section).into_iter().filter_map(with_status).collect()
}

/// The codes of the tables in a section of the protocol's page, each with what stands in the second column.
#[cfg(test)]
pub(crate) fn rows(section: &str) -> Vec<(String, String)> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/protocol.md");
    let page = std::fs::read_to_string(page).expect("the page can be read");
    let section =
        page.split("\n## ").find(|text| text.starts_with(section)).expect("there is such a section");
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let code = cells.next()?.strip_suffix('`')?;
        Some((code.to_owned(), cells.next()?.to_owned()))
    };
    section.lines().filter_map(row).collect()
}
