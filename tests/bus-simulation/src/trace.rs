//! What happened, as a hash; and as text for whoever wants to read it.

use std::fmt::{self, Write as _};

/// FNV-1a over every line. Two runs of a seed are the same run if their hashes are.
#[derive(Debug)]
pub struct Trace {
    hash: Fnv,
    verbose: bool,
}

#[derive(Debug)]
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
    pub fn new(verbose: bool) -> Self {
        Self { hash: Fnv(0xcbf2_9ce4_8422_2325), verbose }
    }

    /// Notes something that happened at a simulated time, in milliseconds.
    pub fn note(&mut self, at: u64, what: fmt::Arguments<'_>) {
        // Writing into a hash cannot fail.
        let _ = write!(self.hash, "{at} {what}");
        if self.verbose {
            println!("{at} {what}");
        }
    }

    /// The hash of everything noted.
    pub fn hash(&self) -> u64 {
        self.hash.0
    }
}
