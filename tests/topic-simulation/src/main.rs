//! Runs seeds of clients that publish and read.

use std::process::ExitCode;

fn main() -> ExitCode {
    bus_simulation::program("topics", "--topics", topic_simulation::run)
}
