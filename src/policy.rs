//! What the user asked for: plain data, from the command line and the environment.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::signal::{Signal, SignalSet};

/// How graceinit deals with signals and time.
#[derive(Clone, Debug)]
pub struct Policy {
    /// From the stop request to SIGKILL, everything included; `None` never kills.
    pub grace: Option<Duration>,
    /// The stop signal; `None` is the one that was received, translated for each process that does not handle it.
    pub signal: Option<Signal>,
    /// Who gets it first.
    pub to: Whom,
    /// How long to go on serving before the first signal.
    pub drain: Duration,
    /// Whether a command is to run before the first signal.
    pub pre_stop: bool,
    /// Forwarded signals to translate, or to drop.
    pub map: Vec<(Signal, Option<Signal>)>,
    /// Which signals are stop requests.
    pub stop_on: SignalSet,
    /// What a repeated stop request does.
    pub repeat: Repeat,
    /// Whether the platform signals every process itself (rule 16).
    pub broadcast: Broadcast,
    /// Whether the command is started with SIGTERM ignored (rule 16).
    pub shield: bool,
    /// Whether a received INT means TERM, because the platform always asks with INT (rule 15).
    pub interrupt_is_stop: bool,
    /// Exit codes that count as 0 after a stop request.
    pub ok_exit: Vec<u8>,
}

/// Who gets the first delivery of the stop signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Whom the plan finds.
    Auto,
    /// The main process.
    Main,
    /// The command's process group.
    Group,
    /// Every descendant.
    All,
}

/// What a repeated stop request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Nothing but a log line.
    Ignore,
    /// It goes to those in charge again.
    Forward,
    /// SIGKILL now.
    Kill,
}

/// Whether the platform sends SIGTERM to every process itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broadcast {
    /// It does not.
    Never,
    /// It does when the request came from its own PID 1, or from outside.
    FromInit,
    /// It does.
    Always,
}
