//! The stop plan, seen by users: trees of real programs with work in flight, and what became of the work.
//!
//! Most are rows of a table (`trees/row.rs` explains its columns). tests/apps/install puts the programs there.
#![allow(
    unsafe_code,
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may fail in any way, wait, print and start processes: the fences are the program's"
)]

#[path = "support/apps.rs"]
mod apps;
#[path = "trees/families.rs"]
mod families;
#[path = "trees/options.rs"]
mod options;
#[path = "trees/platforms.rs"]
mod platforms;
#[path = "trees/row.rs"]
mod row;
#[path = "trees/servers.rs"]
mod servers;
#[path = "trees/signals.rs"]
mod signals;
#[path = "trees/wrappers.rs"]
mod wrappers;

mod support;

fn main() {
    let rows = [wrappers::rows(), families::rows(), servers::rows(), options::rows()].concat();
    let rows = rows.iter().flat_map(row::Row::tests).collect();
    support::main(support::all([rows, servers::tests(), signals::tests(), options::tests(), platforms::tests()]));
}
