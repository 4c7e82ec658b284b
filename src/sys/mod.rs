//! The kernel, behind safe functions. The only folder that may name nix or libc, and the only one with `unsafe` in it.
//!
//! It reports facts and carries out orders; it decides nothing.
#![expect(
    unsafe_code,
    reason = "system calls that nix does not wrap, or wraps with a trap; each block argues its safety"
)]

pub mod child;
pub mod clock;
pub mod fds;
pub mod proc;
pub mod signals;
pub mod stderr;
pub mod tty;

use std::io;

/// Turns libc's -1 into the errno it left.
fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The same for `syscall(2)` and the calls that return a size.
fn checked_long(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
