//! Log lines: one bounded write each, which never blocks, never raises a signal that kills, and never gets lost uncounted.
//!
//! O_NONBLOCK is no way to do it: that flag belongs to the open file, which the command shares.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{checked_long, fds};

/// The longest line in bytes: PIPE_BUF, so that no other writer's line gets into the middle of it (pipe(7)).
pub const LONGEST: usize = 4096;

const STDERR: libc::c_int = 2;

/// How a write to this kind of file is kept from blocking.
#[derive(Debug)]
enum Way {
    /// Nothing to write to: stderr was closed when graceinit was started.
    Nowhere,
    /// pwritev2(2) with RWF_NOWAIT.
    Pipe,
    /// A pipe on a kernel without that: the same pipe opened anew, so that O_NONBLOCK is ours alone.
    Reopened(File),
    /// send(2) with MSG_DONTWAIT.
    Socket,
    /// poll(2) first: terminals and devices. Files never block in this sense.
    Polled,
}

/// stderr, for log lines.
#[derive(Debug)]
pub struct Log {
    way: Way,
    lost: u64,
}

impl Log {
    /// Looks at what stderr is.
    #[must_use]
    pub fn open() -> Self {
        let way = if !fds::is_open(STDERR) {
            Way::Nowhere
        } else {
            match kind() {
                Some(kind) if kind.is_fifo() => Way::Pipe,
                Some(kind) if kind.is_socket() => Way::Socket,
                Some(_) | None => Way::Polled,
            }
        };
        Self { way, lost: 0 }
    }

    /// Writes a line, its end included, or counts it as lost. The next line that can be written tells how many were.
    pub fn line(&mut self, text: &str) {
        let lost = match self.lost {
            0 => String::new(),
            lost => format!("graceinit: {lost} log lines were lost: nobody read stderr\n"),
        };
        let mut bytes = lost.into_bytes();
        bytes.extend_from_slice(text.as_bytes());
        bytes.truncate(LONGEST - 1);
        bytes.push(b'\n');
        if self.write(&bytes) { self.lost = 0 } else { self.lost = self.lost.saturating_add(1) }
    }

    fn write(&mut self, bytes: &[u8]) -> bool {
        let result = match &mut self.way {
            Way::Nowhere => return false,
            Way::Pipe => write_without_waiting(bytes),
            Way::Reopened(file) => file.write(bytes),
            Way::Socket => send(bytes),
            Way::Polled => write_if_ready(bytes),
        };
        match result {
            Ok(_) => true,
            Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL)) => {
                let fallback = match self.way {
                    Way::Pipe => reopen().map_or(Way::Polled, Way::Reopened),
                    Way::Nowhere | Way::Reopened(_) | Way::Socket | Way::Polled => return false,
                };
                self.way = fallback;
                self.write(bytes)
            }
            Err(_) => false,
        }
    }
}

fn borrowed() -> BorrowedFd<'static> {
    // SAFETY: number 2 is never closed by this program, and `Way::Nowhere` keeps us from it where it was never open.
    unsafe { BorrowedFd::borrow_raw(STDERR) }
}

fn kind() -> Option<std::fs::FileType> {
    let file = File::from(borrowed().try_clone_to_owned().ok()?);
    file.metadata().ok().map(|data| data.file_type())
}

fn write_without_waiting(bytes: &[u8]) -> io::Result<usize> {
    let part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // The offset -1 (in two halves, as the kernel's ABI has it) means the file's own, as for a pipe.
    // SAFETY: one iovec that covers exactly `bytes`, which the kernel only reads.
    let written = checked_long(unsafe {
        libc::syscall(libc::SYS_pwritev2, STDERR, &raw const part, 1, -1_i64, -1_i64, libc::RWF_NOWAIT)
    })?;
    Ok(usize::try_from(written).unwrap_or(0))
}

fn reopen() -> Option<File> {
    OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open("/proc/self/fd/2").ok()
}

fn send(bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the pointer and length are those of `bytes`, which the kernel only reads.
    let sent = unsafe { libc::send(STDERR, bytes.as_ptr().cast(), bytes.len(), flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

fn write_if_ready(bytes: &[u8]) -> io::Result<usize> {
    let stderr = borrowed();
    let mut polled = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut polled, PollTimeout::ZERO)? == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    Ok(nix::unistd::write(stderr, bytes)?)
}

/// Writes a text to stdout as a whole, before anything was started: here waiting for a slow reader is right.
///
/// # Errors
/// As write(2).
pub fn print(text: &str) -> io::Result<()> {
    const STDOUT: libc::c_int = 1;
    if !fds::is_open(STDOUT) {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: it is open, and this program does not close it.
    let stdout = unsafe { BorrowedFd::borrow_raw(STDOUT) };
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let written = nix::unistd::write(stdout, rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    Ok(())
}
