//! What the built init does, seen from outside: as real PID 1 of a PID namespace and as an ordinary process.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    unreachable_pub,
    reason = "a test may fail in any way, and read the clock for lower bounds"
)]

#[path = "behaviour/exit_codes.rs"]
mod exit_codes;
#[path = "behaviour/forwarding.rs"]
mod forwarding;
#[path = "behaviour/inheritance.rs"]
mod inheritance;
#[path = "behaviour/options.rs"]
mod options;
#[path = "behaviour/reaping.rs"]
mod reaping;
#[path = "behaviour/robustness.rs"]
mod robustness;
#[path = "behaviour/stopping.rs"]
mod stopping;
#[path = "behaviour/survivors.rs"]
mod survivors;

mod support;

fn main() {
    support::main(support::all([
        exit_codes::tests(),
        forwarding::tests(),
        inheritance::tests(),
        options::tests(),
        reaping::tests(),
        robustness::tests(),
        stopping::tests(),
        survivors::tests(),
    ]));
}
