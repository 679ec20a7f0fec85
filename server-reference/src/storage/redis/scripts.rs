//! What Redis runs.

use std::sync::LazyLock;

/// A script with its hash.
pub(super) struct Script {
    text: String,
    hash: String,
    writes: bool,
}

impl Script {
    fn new(flags: &str, parts: &[&str]) -> Self {
        let text = format!("#!lua{flags}\n{}", parts.concat());
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash, writes: !flags.contains("no-writes") }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn hash(&self) -> &str {
        &self.hash
    }

    /// Whether it may write.
    pub(super) fn writes(&self) -> bool {
        self.writes
    }
}

macro_rules! scripts {
    ($($name:ident: $flags:literal, [$($file:literal),*];)*) => {$(
        pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new($flags, &[$(include_str!(concat!("scripts/", $file, ".lua"))),*]));
    )*};
}

// One without flags is refused before its first step where Redis has no memory left. What makes room is not.
scripts! {
    APPEND: "", ["topic", "write", "append"];
    PUBLISH: "", ["topic", "write", "publish"];
    CREATE: "", ["topic", "write", "create"];
    TIDY: " flags=allow-oom", ["topic", "write", "tidy"];
    REMOVE: " flags=allow-oom", ["topic", "remove"];
    RELEASE: " flags=allow-oom", ["topic", "release"];
    REFER: "", ["topic", "refer"];
    RENEW: " flags=allow-oom", ["topic", "renew"];
    TOUCH: " flags=allow-oom", ["topic", "touch"];
    SLICE: " flags=no-writes", ["topic", "slice"];
    SEEK: " flags=no-writes", ["topic", "seek"];
    PICK: " flags=no-writes", ["topic", "pick"];
    WEIGH: " flags=no-writes", ["topic", "weigh"];
    REGISTRY: " flags=allow-oom", ["registry"];
    KEEP: "", ["keep"];
    FORGET: " flags=allow-oom", ["forget"];
}
