//! Taking the signals over, and reading them as data: every signal is blocked and queued, none has a handler, so none can
//! interrupt anything and none is lost.
//!
//! The masks are raw 64-bit words and the calls raw system calls: musl's sigfillset leaves 32 to 34 out, and signal 34,
//! SIGRTMIN to a glibc program, would kill us.

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::{checked, checked_long, fds};
use crate::process::{Pid, Received, Sender};
use crate::signal::{Signal, SignalSet};

/// The kernel's size of a signal set in bytes; glibc's sigset_t is larger.
const SET_SIZE: usize = size_of::<u64>();

// The core's numbers are asm-generic's; on an architecture with others (mips, sparc, alpha) this must not compile.
const _: () = {
    assert!(libc::SIGHUP == 1 && libc::SIGINT == 2 && libc::SIGKILL == 9 && libc::SIGUSR1 == 10 && libc::SIGUSR2 == 12);
    assert!(libc::SIGTERM == 15 && libc::SIGCHLD == 17 && libc::SIGCONT == 18 && libc::SIGSTOP == 19);
    assert!(
        libc::SIGTSTP == 20 && libc::SIGURG == 23 && libc::SIGWINCH == 28 && libc::SIGPWR == 30 && libc::SIGSYS == 31
    );
};

/// What graceinit was given, to be handed on to the command unchanged.
#[derive(Clone, Copy, Debug)]
pub struct Inherited {
    /// The blocked signals.
    pub mask: SignalSet,
    /// Whether SIGCHLD was ignored: the kernel then reaps for us and the exit code is lost, so it is reset here and restored
    /// in the command.
    pub child_ignored: bool,
}

/// Blocks every signal there is. From here on nothing is lost, and the default action of none is taken.
///
/// # Errors
/// None on a kernel that works: rt_sigprocmask(2) with these arguments fails only when a sandbox forbids it.
pub fn take_over() -> io::Result<Inherited> {
    let mask = set_mask(SignalSet::ALL)?;
    let child_ignored = disposition(libc::SIGCHLD)? == libc::SIG_IGN;
    if child_ignored {
        set_disposition(libc::SIGCHLD, libc::SIG_DFL)?;
    }
    Ok(Inherited { mask, child_ignored })
}

/// Sets the blocked signals and returns those that were blocked before.
///
/// # Errors
/// As `take_over`.
pub fn set_mask(mask: SignalSet) -> io::Result<SignalSet> {
    let mut before = 0_u64;
    // SAFETY: both pointers are to words of SET_SIZE bytes that live through the call.
    checked_long(unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask.0, &raw mut before, SET_SIZE)
    })?;
    Ok(SignalSet(before))
}

/// Whether a signal waits for us.
#[must_use]
pub fn is_pending(signal: Signal) -> bool {
    let mut pending = 0_u64;
    // SAFETY: the pointer is to a word of SET_SIZE bytes.
    let asked = unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut pending, SET_SIZE) };
    asked == 0 && SignalSet(pending).contains(signal)
}

fn disposition(signal: libc::c_int) -> io::Result<libc::sighandler_t> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with a null new action sigaction only writes the old one to the place given, which is large enough.
    checked(unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) })?;
    // SAFETY: all zeroes is a valid sigaction, and the call has filled it.
    Ok(unsafe { action.assume_init() }.sa_sigaction)
}

/// Sets a signal to SIG_DFL or SIG_IGN. Async-signal-safe: the child uses it between fork and exec.
pub(super) fn set_disposition(signal: libc::c_int, handler: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: all zeroes is a valid sigaction: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler;
    // SAFETY: the pointer is to a whole sigaction, and the handler is SIG_DFL or SIG_IGN, so no code of ours is ever called.
    checked(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) }).map(drop)
}

/// The queue of signals: a signalfd(2).
#[derive(Debug)]
pub struct Queue {
    fd: OwnedFd,
}

/// How many signals are read at once: what is left is still there after the deadline has been looked at.
const BATCH: usize = 16;

impl Queue {
    /// Opens the queue. The signals must have been taken over.
    ///
    /// # Errors
    /// EMFILE, ENFILE and ENOMEM, as signalfd(2) has them.
    pub fn open() -> io::Result<Self> {
        let all = SignalSet::ALL.0;
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: the mask is a word of SET_SIZE bytes that lives through the call.
        let fd = checked_long(unsafe { libc::syscall(libc::SYS_signalfd4, -1, &raw const all, SET_SIZE, flags) })?;
        let fd = RawFd::try_from(fd).map_err(|_| io::Error::from_raw_os_error(libc::EMFILE))?;
        // SAFETY: the kernel has just made this descriptor, and nobody else has its number.
        let fd = fds::above_stdio(unsafe { OwnedFd::from_raw_fd(fd) })?;
        Ok(Self { fd })
    }

    /// The descriptor's number.
    #[must_use]
    pub fn number(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Takes some of the signals that are waiting and hands each to `take`. Never blocks.
    pub fn read(&self, mut take: impl FnMut(Received)) {
        const SIZE: usize = size_of::<libc::signalfd_siginfo>();
        // SAFETY: all zeroes is a valid signalfd_siginfo, which is plain integers.
        let mut batch: [libc::signalfd_siginfo; BATCH] = unsafe { mem::zeroed() };
        // SAFETY: the buffer is BATCH times SIZE bytes long, and any bytes are valid in it.
        let got = unsafe { libc::read(self.fd.as_raw_fd(), batch.as_mut_ptr().cast(), BATCH * SIZE) };
        // EAGAIN: nothing was waiting.
        let count = usize::try_from(got).unwrap_or(0) / SIZE;
        batch.iter().take(count).filter_map(decode).for_each(&mut take);
    }
}

fn decode(info: &libc::signalfd_siginfo) -> Option<Received> {
    let signal = Signal::from_number(i64::from(info.ssi_signo))?;
    let sender = match info.ssi_code {
        libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL => match i32::try_from(info.ssi_pid) {
            Ok(pid) if pid > 0 => Sender::Process(Pid(pid)),
            _ => Sender::Outside,
        },
        _ => Sender::Kernel,
    };
    Some(Received { signal, sender, value: (info.ssi_code == libc::SI_QUEUE).then_some(info.ssi_ptr) })
}

/// How often the queue is read when poll(2) itself does not work.
const DEGRADED: Duration = Duration::from_millis(50);

/// Waits. Only for what cannot be waited for in any other way.
pub(super) fn pause(time: Duration) {
    let time = *TimeSpec::from(time).as_ref();
    // SAFETY: the first pointer is to a whole timespec, and the second may be null: the rest of the time is not wanted.
    unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) };
}

/// Waits until the queue or one of the watched processes has something, or the time is over; `None` waits without an end.
/// Returns the indices of the watched descriptors that are ready.
#[must_use]
pub fn wait<'a>(queue: &'a Queue, watched: impl Iterator<Item = &'a OwnedFd>, time: Option<Duration>) -> Vec<usize> {
    let mut polled = vec![PollFd::new(queue.fd.as_fd(), PollFlags::POLLIN)];
    polled.extend(watched.map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
    match ppoll(&mut polled, time.map(TimeSpec::from), None) {
        Ok(_) => {}
        // Only a stopped and continued graceinit sees this.
        Err(Errno::EINTR) => return Vec::new(),
        // ENOMEM, or EINVAL after somebody took our limit on open files away (prlimit(1)): slow, but neither blind nor spinning.
        Err(_) => {
            pause(time.unwrap_or(DEGRADED).min(DEGRADED));
            return Vec::new();
        }
    }
    let ready = polled.iter().skip(1).enumerate();
    ready.filter(|(_, fd)| fd.revents().is_some_and(|events| !events.is_empty())).map(|(index, _)| index).collect()
}
