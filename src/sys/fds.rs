//! File descriptors: where ours live, and which of the inherited ones graceinit gives up.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::{checked, checked_long};

/// Moves a descriptor of ours above 2 and marks it close-on-exec. If graceinit was started with a closed 0, 1 or 2, the kernel
/// would give that number to the next file opened here, and a log line would be written into it.
///
/// # Errors
/// EMFILE, when the limit on open files leaves no room.
pub fn above_stdio(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    // SAFETY: fcntl with F_DUPFD_CLOEXEC only reads the number; `fd` is open, since it is owned.
    let moved = checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: the kernel has just made this descriptor, and nobody else has its number.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}

/// Whether this number is an open descriptor.
#[must_use]
pub fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD only reads the descriptor table.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// Closes everything above 2 but `keep`: what the command inherited is the command's, and a pipe's reader must see its end
/// when the command closes it.
pub fn close_inherited(keep: &[RawFd]) {
    let mut keep = keep.to_vec();
    keep.sort_unstable();
    let mut first = 3;
    for &kept in keep.iter().filter(|&&fd| fd >= 3) {
        close_range(first, kept - 1);
        first = kept + 1;
    }
    close_range(first, RawFd::MAX);
}

fn close_range(first: RawFd, last: RawFd) {
    if first > last {
        return;
    }
    // SAFETY: the caller keeps every descriptor that is owned by a value in this program.
    let done = checked_long(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) });
    if done.is_err() {
        close_each(first, last);
    }
}

/// For kernels before 5.9, and sandboxes that refuse close_range(2).
fn close_each(first: RawFd, last: RawFd) {
    let listed: Option<Vec<RawFd>> = fs::read_dir("/proc/self/fd")
        .ok()
        .map(|entries| entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect());
    let close = |fd: RawFd| {
        // SAFETY: as in close_range: not a descriptor that a value of this program owns. EBADF is harmless.
        unsafe { libc::close(fd) };
    };
    match listed {
        Some(fds) => fds.into_iter().filter(|fd| (first..=last).contains(fd)).for_each(close),
        None => (first..=last.min(open_files_limit())).for_each(close),
    }
}

fn open_files_limit() -> RawFd {
    const FALLBACK: RawFd = 1024;
    const MOST: RawFd = 65_536;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit writes one rlimit to the place it is given.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if got == -1 { FALLBACK } else { RawFd::try_from(limit.rlim_cur).unwrap_or(MOST).min(MOST) }
}
