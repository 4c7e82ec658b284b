//! The one clock: CLOCK_MONOTONIC, so that setting the date moves no deadline.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The time since some fixed moment before the start.
#[must_use]
pub fn now() -> Duration {
    // clock_gettime(2) can fail for an unknown clock only, and every Linux has this one.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}
