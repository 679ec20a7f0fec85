//! Chance, from the operating system.

use sdk_core::protocol::Epoch;

use crate::storage::sqlite::{NewEpoch, events::NewBits};

/// Names epochs by 128 random bits, so that no two histories ever share one.
pub fn epochs() -> NewEpoch {
    Box::new(|| {
        loop {
            if let Ok(epoch) = Epoch::new(&name()) {
                return epoch;
            }
        }
    })
}

/// 16 random bits at a time, by which the epochs of topics differ that begin in one millisecond.
pub fn bits() -> NewBits {
    Box::new(|| u16::from_le_bytes(bytes().unwrap_or_default()))
}

/// 128 random bits in hexadecimal.
pub(crate) fn name() -> String {
    loop {
        // What is not random could be known already.
        match bytes() {
            Some(bytes) => return format!("{:032x}", u128::from_be_bytes(bytes)),
            None => std::thread::yield_now(),
        }
    }
}

/// A number that nobody has to guess: 0 where the system gives nothing random.
pub(crate) fn spread() -> u64 {
    u64::from_le_bytes(bytes().unwrap_or_default())
}

/// Some random bytes, unless the system gives nothing random.
pub(crate) fn bytes<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok().map(|()| bytes)
}
