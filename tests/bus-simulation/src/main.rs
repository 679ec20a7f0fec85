//! Runs seeds of the event bus.

use std::process::ExitCode;

fn main() -> ExitCode {
    bus_simulation::program("event bus", "--bus", bus_simulation::run)
}
