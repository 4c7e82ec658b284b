//! The controlling terminal and the process groups around it.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

use nix::unistd::{self, getpgrp, getpid, getsid, tcgetpgrp, tcsetpgrp};

use super::{checked, fds};
use crate::process::Pid;

/// Our controlling terminal.
#[derive(Debug)]
pub struct Terminal {
    fd: OwnedFd,
}

impl Terminal {
    /// The controlling terminal, if there is one: one of stdin, stdout and stderr, or else /dev/tty, since a command whose three
    /// are redirected can still be reached by Ctrl+C.
    #[must_use]
    pub fn controlling() -> Option<Self> {
        let standard = (0..=2).filter(|&number| fds::is_open(number)).find_map(|number| {
            // SAFETY: it is open, and this program closes none of 0 to 2.
            let fd = unsafe { BorrowedFd::borrow_raw(number) };
            tcgetpgrp(fd).ok()?;
            duplicate(fd).ok()
        });
        let opened = || {
            let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open("/dev/tty").ok()?;
            fds::above_stdio(file.into()).ok()
        };
        Some(Self { fd: standard.or_else(opened)? })
    }

    /// Its descriptor's number.
    #[must_use]
    pub fn number(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Whether our process group is its foreground group.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        tcgetpgrp(self.fd.as_fd()).is_ok_and(|group| group == getpgrp() && group.as_raw() > 0)
    }

    /// Makes `group` the foreground group. SIGTTOU, which this raises in the background, is blocked like every signal.
    ///
    /// # Errors
    /// EPERM, when the group is not of our session.
    pub fn give_to(&self, group: Pid) -> io::Result<()> {
        Ok(tcsetpgrp(self.fd.as_fd(), unistd::Pid::from_raw(group.0))?)
    }

    /// Takes the terminal back from `group`, or from a group that is gone; a living group that somebody else put in the
    /// foreground keeps it.
    pub fn take_back_from(&self, group: Pid) {
        let Ok(holder) = tcgetpgrp(self.fd.as_fd()) else { return };
        // SAFETY: signal 0 only asks whether the group exists.
        let is_gone = holder.as_raw() <= 0 || unsafe { libc::kill(-holder.as_raw(), 0) } == -1;
        if holder.as_raw() == group.0 || is_gone {
            // A terminal that has hung up refuses: there is nothing to give back then.
            let _ = tcsetpgrp(self.fd.as_fd(), getpgrp());
        }
    }
}

fn duplicate(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: fcntl with F_DUPFD_CLOEXEC only reads the number.
    let number = checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: the kernel has just made this descriptor, and nobody else has its number.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Our own pid.
#[must_use]
pub fn own_pid() -> Pid {
    Pid(getpid().as_raw())
}

/// Our process group; 0 where it is one of an outer PID namespace.
#[must_use]
pub fn own_group() -> Pid {
    Pid(getpgrp().as_raw())
}

/// Whether we lead our session.
#[must_use]
pub fn leads_session() -> bool {
    getsid(None).is_ok_and(|session| session == getpid())
}

/// Whether stdout or stderr is a pipe.
#[must_use]
pub fn writes_to_pipe() -> bool {
    (1..=2).filter(|&number| fds::is_open(number)).any(|number| {
        // SAFETY: it is open, and this program closes neither 1 nor 2.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        let file = fd.try_clone_to_owned().map(std::fs::File::from);
        file.and_then(|file| file.metadata()).is_ok_and(|data| data.file_type().is_fifo())
    })
}
