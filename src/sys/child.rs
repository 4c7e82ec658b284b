//! Processes: starting the command, signalling, reaping, and stopping or ending ourselves.

mod spawn;

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::{checked, checked_long, proc, signals};
use crate::process::{End, Identity, Pid};
use crate::signal::{Signal, SignalSet};

pub use spawn::{Launch, SpawnError, current_directory, spawn};

/// What waitpid(2) had to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// A child ended, and is reaped now.
    Ended(Pid, End),
    /// A child was stopped by this signal, and still is.
    Paused(Pid, Signal),
    /// A child was continued.
    Continued(Pid),
    /// Nothing more at the moment.
    Nothing,
    /// There is no child any more, dead or alive.
    Alone,
}

/// Asks for one change of a child's state, without waiting.
///
/// libc's waitpid, decoded here: nix's has reaped the child already when it fails on one that died of a real-time signal.
#[must_use]
pub fn reap() -> Waited {
    let mut status = 0;
    // SAFETY: the status is written to a whole int.
    let pid = unsafe {
        libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED | libc::__WALL)
    };
    match pid {
        0 => Waited::Nothing,
        -1 if Errno::last() == Errno::ECHILD => Waited::Alone,
        -1 => Waited::Nothing,
        pid => decode(Pid(pid), status),
    }
}

fn decode(pid: Pid, status: libc::c_int) -> Waited {
    let signal = |number: libc::c_int| Signal::from_number(i64::from(number));
    if libc::WIFSTOPPED(status) {
        return signal(libc::WSTOPSIG(status)).map_or(Waited::Nothing, |signal| Waited::Paused(pid, signal));
    }
    if libc::WIFCONTINUED(status) {
        return Waited::Continued(pid);
    }
    let end = if libc::WIFSIGNALED(status) { signal(libc::WTERMSIG(status)).map(End::Killed) } else { None };
    Waited::Ended(pid, end.unwrap_or(End::Exited(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX))))
}

/// Sends a signal to a process that is our unreaped child: nobody else can have its pid.
///
/// # Errors
/// EPERM, when it has become another user's.
pub fn signal_child(pid: Pid, signal: Signal, value: Option<u64>) -> io::Result<()> {
    match value {
        None => kill(pid.0, signal),
        Some(value) => {
            let info = queued(signal, value);
            // SAFETY: the kernel reads one siginfo_t, which lives through the call.
            let sent = unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, pid.0, signal.number(), &raw const info) };
            checked_long(sent).map(drop)
        }
    }
}

/// Sends a signal to a process that may end, and whose pid may be another's, at any moment. If it has ended, that is as good.
///
/// # Errors
/// EPERM, when it is another user's.
pub fn signal_process(identity: Identity, signal: Signal, value: Option<u64>) -> io::Result<()> {
    let handle = open_process(identity.pid);
    // From here on the handle is this one process's; is it the one that was meant?
    if !proc::is_there(identity) {
        return Ok(());
    }
    let sent = match handle {
        Ok(Some(handle)) => signal_through(&handle, signal, value),
        Ok(None) => return Ok(()),
        // No pidfd on this kernel, or no descriptor left.
        Err(_) => signal_child(identity.pid, signal, value),
    };
    existing(sent).map(drop)
}

/// Sends a signal to a process that has exactly `children` living children at this moment. Returns whether that was so; else
/// nothing is sent. Kernels that do not list children (no CONFIG_PROC_CHILDREN) count as having told.
///
/// # Errors
/// As `signal_process`.
pub fn signal_parent(identity: Identity, signal: Signal, children: usize) -> io::Result<bool> {
    if proc::living_children(identity.pid).is_some_and(|living| living != children) {
        return Ok(false);
    }
    signal_process(identity, signal, None).map(|()| true)
}

/// Whether the target existed.
fn existing(sent: io::Result<()>) -> io::Result<bool> {
    match sent {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
        other => other.map(|()| true),
    }
}

fn signal_through(handle: &OwnedFd, signal: Signal, value: Option<u64>) -> io::Result<()> {
    let info = value.map(|value| queued(signal, value));
    let info = info.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let fd = handle.as_raw_fd();
    // SAFETY: the kernel reads one siginfo_t where the pointer is not null, and it lives through the call.
    checked_long(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal.number(), info, 0) }).map(drop)
}

/// A handle that becomes readable when the process ends, and that never means another one. `None`: there is no such process.
///
/// # Errors
/// ENOSYS before Linux 5.3; EMFILE.
pub fn open_process(pid: Pid) -> io::Result<Option<OwnedFd>> {
    // SAFETY: pidfd_open takes two integers; the descriptor it makes is close-on-exec.
    let fd = match checked_long(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.0, 0) }) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
        other => other?,
    };
    let fd = RawFd::try_from(fd).map_err(|_| io::Error::from_raw_os_error(libc::EMFILE))?;
    // SAFETY: the kernel has just made this descriptor, and nobody else has its number.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Sends a signal to a process group. Returns whether it has a member.
///
/// # Errors
/// EPERM, when not a single member may be signalled.
pub fn signal_group(group: Pid, signal: Signal) -> io::Result<bool> {
    // 0 and -1 mean other things to kill(2).
    if group.0 <= 1 { Ok(false) } else { existing(kill(-group.0, signal)) }
}

/// Whether a process group has a member.
#[must_use]
pub fn group_exists(group: Pid) -> bool {
    // SAFETY: signal 0 only asks. EPERM means that somebody is there.
    group.0 > 1 && (unsafe { libc::kill(-group.0, 0) } == 0 || Errno::last() != Errno::ESRCH)
}

/// Sends a signal to every process of the PID namespace but ourselves; for anybody but PID 1 that would be the whole system,
/// so nothing is sent. Returns whether there was anybody.
///
/// # Errors
/// EPERM, when not a single one may be signalled.
pub fn signal_everybody(signal: Signal) -> io::Result<bool> {
    if super::tty::own_pid() == Pid(1) { existing(kill(-1, signal)) } else { Ok(false) }
}

/// Sends SIGSTOP to all our children, on kernels that list them (CONFIG_PROC_CHILDREN).
pub fn stop_children() {
    // They are unreaped, so their pids are theirs.
    let children = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    for pid in children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()) {
        let _ = kill(pid, Signal::STOP);
    }
}

fn kill(target: libc::pid_t, signal: Signal) -> io::Result<()> {
    // SAFETY: kill takes two integers.
    checked(unsafe { libc::kill(target, signal.number()) }).map(drop)
}

/// The kernel's siginfo_t for SI_QUEUE on a 64-bit system: number, errno, code, then pid, uid and value.
#[repr(C)]
struct Queued {
    signo: libc::c_int,
    errno: libc::c_int,
    code: libc::c_int,
    #[cfg(target_pointer_width = "64")]
    padding: libc::c_int,
    pid: libc::pid_t,
    uid: libc::uid_t,
    value: usize,
    rest: [u8; 96],
}

fn queued(signal: Signal, value: u64) -> Queued {
    Queued {
        signo: signal.number(),
        errno: 0,
        code: libc::SI_QUEUE,
        #[cfg(target_pointer_width = "64")]
        padding: 0,
        pid: super::tty::own_pid().0,
        uid: nix::unistd::getuid().as_raw(),
        value: usize::try_from(value).unwrap_or(usize::MAX),
        rest: [0; 96],
    }
}

const _: () = assert!(size_of::<Queued>() == size_of::<libc::siginfo_t>());

/// Makes ourselves the parent of descendants whose own parents die.
///
/// # Errors
/// EINVAL before Linux 3.4.
pub fn become_subreaper() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Stops ourselves with `signal`, as the command was stopped, and with `whole_group` everybody else in our group too. Returns
/// after a SIGCONT, with `true`; or at once with `false`, where the kernel refuses because nobody could revive us (an orphaned
/// group, PID 1).
#[must_use]
pub fn suspend(command: Pid, signal: Signal, whole_group: bool) -> bool {
    // A stop signal takes a SIGCONT that waits out of the queue, and the other way round (signal(7)).
    if signals::is_pending(Signal::CONT) {
        return true;
    }
    // The terminal stops the whole group, the command first: its signal for us may have come only now.
    let whole_group = whole_group && !signals::is_pending(signal);
    let _ = kill(super::tty::own_pid().0, signal);
    // A SIGCONT that comes from here on wins. Did it come before, for the whole job? Then the command runs again.
    if was_continued(command) {
        return true;
    }
    if whole_group {
        let _ = kill(0, signal);
    }
    // Letting it through for a moment stops us here.
    let Ok(all) = signals::set_mask(SignalSet::ALL.without(signal)) else { return false };
    let _ = signals::set_mask(all);
    // The next Ctrl+Z takes a SIGCONT out of the queue that has not been read yet, and is there instead.
    signals::is_pending(Signal::CONT) || signals::is_pending(signal)
}

/// Whether a child that was stopped runs again; the news is left for `reap`.
fn was_continued(child: Pid) -> bool {
    let Ok(id) = libc::id_t::try_from(child.0) else { return false };
    // SAFETY: all zeroes is a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WCONTINUED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel writes one siginfo_t to the place given.
    let asked = unsafe { libc::waitid(libc::P_PID, id, &raw mut info, options) };
    // SAFETY: after waitid the field is the pid, or 0 for nothing to tell.
    asked == 0 && unsafe { info.si_pid() } == child.0
}

/// Ends ourselves by the signal that ended the command, so that a shell which lets Ctrl+C end its script or loop only when its
/// child died of it does so. Returns where that is not possible (PID 1).
pub fn end_by(signal: Signal) {
    // The command has left the core dump, if any.
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: setrlimit reads one whole rlimit.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    let _ = signals::set_disposition(signal.number(), libc::SIG_DFL);
    let _ = kill(super::tty::own_pid().0, signal);
    let _ = signals::set_mask(SignalSet::ALL.without(signal));
}
