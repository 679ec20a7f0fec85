//! Merges two histories and prints operations per second: `bench-merge <operations> <documents> <fields>`.

use std::{env, time::Instant};

use anyhow::{Context, Result, ensure};
use bench_merge::{Shape, history, merge};

fn main() -> Result<()> {
    let numbers = env::args().skip(1).map(|word| word.parse()).collect::<Result<Vec<usize>, _>>()?;
    let &[operations, documents, fields] = numbers.as_slice() else {
        anyhow::bail!("operations, documents and fields are wanted")
    };
    let shape = Shape { operations, documents, fields };
    let histories = ["ada", "bola"].map(|writer| history(shape, writer));
    let start = Instant::now();
    let merged = merge(&histories).context("the histories cannot be merged")?;
    let seconds = start.elapsed().as_secs_f64();
    ensure!(merged.len() == documents, "the merge has {} documents", merged.len());
    println!("{}", (2 * operations) as f64 / seconds);
    Ok(())
}
