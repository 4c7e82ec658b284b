//! What a single process makes of the stop signal (rules 1 and 3).
#![forbid(unsafe_code)]

use super::Request;
use crate::process::{Process, Waiting};
use crate::signal::Signal;

/// Rule 3a: shells. They never stand in for what they run, and are never translated: bash catches INT for itself while it
/// waits, throws it away and goes on with its loop.
const SHELLS: &[&[u8]] = &[b"sh", b"bash", b"dash", b"ash", b"zsh", b"ksh", b"ksh93", b"mksh"];

/// Rule 3a: programs that run another one and hand the signals on. They are held, and what they run is told itself: that
/// way it gets the signal it can act on, and gets it once.
const FORWARDERS: &[&[u8]] = &[
    b"tini",
    b"tini-static",
    b"docker-init",
    b"podman-init",
    b"dumb-init",
    b"catatonit",
    b"timeout",
    b"sudo",
    b"su",
    b"runuser",
    b"uv",
];

/// Rule 1: what a process makes of the stop signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handling {
    Handles(Signal),
    Ignores,
    Nothing,
    Unreadable,
}

pub(super) fn handling(process: &Process, request: &Request<'_>) -> Handling {
    let Some(does) = process.dispositions else { return Handling::Unreadable };
    if does.handles(request.signal) {
        return Handling::Handles(request.signal);
    }
    let shielded = request.shield && request.signal == Signal::TERM;
    if does.ignored.contains(request.signal) && !shielded {
        // Not even the other one: PostgreSQL's checkpointer ignores TERM, and INT would shut it down early.
        return Handling::Ignores;
    }
    if let Some(other) = other(request).filter(|&other| does.handles(other) && !is_shell(process)) {
        return Handling::Handles(other);
    }
    if process.waiting == Some(Waiting::Signals) { Handling::Handles(request.signal) } else { Handling::Nothing }
}

pub(super) fn best_signal(process: &Process, request: &Request<'_>) -> Signal {
    match handling(process, request) {
        Handling::Handles(signal) => signal,
        Handling::Ignores | Handling::Nothing | Handling::Unreadable => request.signal,
    }
}

/// The other of TERM and INT, where the signal may be translated.
pub(super) fn other(request: &Request<'_>) -> Option<Signal> {
    match request.signal {
        Signal::TERM if request.translate => Some(Signal::INT),
        Signal::INT if request.translate => Some(Signal::TERM),
        _ => None,
    }
}

pub(super) fn handles(process: &Process, signal: Signal) -> bool {
    process.dispositions.is_some_and(|does| does.handles(signal))
}

pub(super) fn ignores(process: &Process, signal: Signal) -> bool {
    process.dispositions.is_some_and(|does| does.ignored.contains(signal))
}

pub(super) fn is_shell(process: &Process) -> bool {
    SHELLS.contains(&process.program())
}

pub(super) fn is_wrapper(process: &Process) -> bool {
    is_shell(process) || FORWARDERS.contains(&process.program())
}

/// Rule 3b: the signal that runs a shell's trap, if it has one. A caught INT may be a trap or the shell's own waiting, and is
/// sent all the same, for it does no harm; but where TERM is caught as well, that one is a trap for sure.
pub(super) fn trapped(process: &Process, request: &Request<'_>) -> Option<Signal> {
    let surely = other(request).filter(|&other| other == Signal::TERM);
    if has_exit_trap(process) {
        return None;
    }
    // A blocked signal is no trap: dash blocks all of them for a moment each time it starts a program.
    let traps = |signal| process.dispositions.is_some_and(|does| does.caught.contains(signal));
    surely.into_iter().chain([request.signal]).find(|&signal| is_shell(process) && traps(signal))
}

/// bash with `trap ... EXIT` catches whatever would end it, and at TERM runs that trap at once and dies, while its program is
/// still cleaning up. It runs the trap in any case, so it is held like a shell without a trap, and runs it at its end.
fn has_exit_trap(process: &Process) -> bool {
    const ENDING: [Signal; 6] = [Signal::HUP, Signal::ALRM, Signal::USR1, Signal::USR2, Signal::XCPU, Signal::VTALRM];
    process.dispositions.is_some_and(|does| ENDING.iter().all(|&signal| does.caught.contains(signal)))
}

/// A job that a shell started with `&`: it ignores INT and QUIT (POSIX, 2.9.3.1).
pub(super) fn is_background(process: &Process) -> bool {
    ignores(process, Signal::INT) && !handles(process, Signal::INT)
}

/// Rule 3c: whether the process only runs this child and waits for its end. Python's `subprocess.run` is the case: INT makes
/// it SIGKILL the child a quarter of a second later. Helpers of multiprocessing are workers, not programs that it wraps.
pub(super) fn only_waits_for(process: &Process, child: &Process) -> bool {
    let waits = match &process.waiting {
        Some(Waiting::Child(None)) => true,
        Some(Waiting::Child(Some(pid))) => *pid == child.pid(),
        Some(Waiting::Pipes(pipes)) => child.outputs.iter().any(|pipe| pipes.contains(pipe)),
        Some(Waiting::Signals | Waiting::Running | Waiting::Other | Waiting::Unreadable) | None => false,
    };
    let helper = child.arguments.windows(b"multiprocessing".len()).any(|part| part == b"multiprocessing");
    waits && child.has_execed && !helper
}
