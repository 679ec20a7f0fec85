//! Whatever reads what others have written, under inputs that nobody wrote. Each test of this crate is a target: on its own it
//! runs what its folder below `src/__fuzz__` has, `corpus` as examples and `crashes` as what once showed a bug; under
//! `cargo xtask fuzz` libFuzzer looks for more, and leaves what it found in `crashes`.
//!
//! A target claims more than that nothing panics: what was read is written as it was, little memory is taken for little input,
//! and nothing is believed that was not proved.

#![cfg(test)]

mod answers;
mod audit;
mod engine;
mod frames;
mod merge;
mod requests;
mod session;
mod stored;
mod tokens;

/// Bytes that reading may take at one time whatever the input: tables that are made once, buffers of a first size.
const AT_LEAST: u64 = 16 * 1024;
/// Bytes that it may take for each of the input.
const FOR_EACH: u64 = 256;

/// Reads something, and holds what that takes against what there was to read.
fn within_bounds<T>(input: usize, read: impl FnOnce() -> T) -> T {
    let mut result = None;
    let taken = allocation_counter::measure(|| result = Some(read())).bytes_max;
    let most = AT_LEAST + FOR_EACH * input as u64;
    assert!(taken <= most, "{taken} bytes for {input} of input");
    result.expect("it has run")
}
