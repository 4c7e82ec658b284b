//! graceinit: a tiny init for containers and a wrapper for processes. Whatever way an app is able to stop cleanly, it does
//! stop cleanly.
//!
//! The library is the program without its `main`; docs/architecture.md tells how the parts work together. The core
//! ([`signal`], [`process`], [`plan`], [`lifecycle`], [`report`]) is pure: data in, data out, time included. [`sys`] is the
//! kernel. [`supervise`] is the only place that knows both.

pub mod cli;
pub mod exit;
pub mod lifecycle;
pub mod placement;
pub mod plan;
pub mod platform;
pub mod policy;
pub mod process;
pub mod report;
pub mod signal;
pub mod supervise;
pub mod sys;
