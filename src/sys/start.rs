//! The C `main`, in place of the one that Rust's runtime brings.
//!
//! That one, before it calls any Rust `main`, ignores SIGPIPE, hooks SIGSEGV and SIGBUS, opens /dev/null on closed descriptors
//! 0 to 2 (which the command would inherit), and aborts where /dev/null is missing. The command must start as if graceinit
//! were not there, and an image may hold nothing but graceinit and the command.
#![expect(unsafe_code, reason = "a C main, and the array of C strings that it gets")]

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;

// SAFETY: no other `main` is linked: the crate is `no_main`.
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, arguments: *const *const c_char) -> c_int {
    // Not std::env::args: it has nothing to tell on musl, where only the runtime's start fills it.
    let mut found: Vec<OsString> = Vec::new();
    // SAFETY: the kernel and the C library give a null-terminated array of strings, which nobody changes.
    unsafe {
        let mut argument = arguments;
        while !argument.is_null() && !(*argument).is_null() {
            found.push(OsStr::from_bytes(CStr::from_ptr(*argument).to_bytes()).to_owned());
            argument = argument.add(1);
        }
    }
    c_int::from(crate::run(found))
}

/// A variable of the environment.
#[expect(clippy::disallowed_methods, reason = "this is the place where the environment is read")]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}
