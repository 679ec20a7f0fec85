//! What happened, as a hash; and as text for whoever wants to read it.

use std::fmt::{self, Write as _};

/// FNV-1a over every line. Two runs of a seed are the same run if their hashes are.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    hash: Fnv,
    steps: u64,
    verbose: bool,
}

#[derive(Debug, Clone)]
struct Fnv(u64);

impl fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

impl Trace {
    /// A trace that prints what it hears if `verbose`.
    pub(crate) fn new(verbose: bool) -> Self {
        Self { hash: Fnv(0xcbf2_9ce4_8422_2325), steps: 0, verbose }
    }

    /// Notes something that happened at a simulated time.
    pub(crate) fn note(&mut self, at: u64, line: fmt::Arguments<'_>) {
        self.steps += 1;
        // Writing into a hash cannot fail.
        let _ = writeln!(self.hash, "{at} {line}");
        if self.verbose {
            println!("{:>10.3}  {line}", at as f64 / 1_000.0);
        }
    }

    /// The hash of everything noted.
    pub(crate) fn hash(&self) -> u64 {
        self.hash.0
    }

    /// How much was noted.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }
}

/// The hash of several traces, in order.
pub fn hash_of(hashes: impl IntoIterator<Item = u64>) -> u64 {
    let mut all = Fnv(0xcbf2_9ce4_8422_2325);
    for hash in hashes {
        let _ = write!(all, "{hash:016x}");
    }
    all.0
}
