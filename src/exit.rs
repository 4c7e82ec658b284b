//! Exit codes, all of them.
//!
//! | code | meaning |
//! |---|---|
//! | 0-255 | the command's own |
//! | 128+n | a signal n ended the command, as every shell reports it |
//! | 125 | graceinit itself failed, or was used wrongly; nothing was started |
//! | 126 | the command was found but cannot be executed |
//! | 127 | the command was not found |
//!
//! 125 to 127 are the codes of docker run, timeout(1), env(1) and POSIX shells.
#![forbid(unsafe_code)]

use crate::process::End;

/// graceinit failed before anything was started, or its command line is wrong.
pub const OURS: u8 = 125;
/// The command is there and cannot be executed.
pub const NOT_EXECUTABLE: u8 = 126;
/// There is no such command.
pub const NOT_FOUND: u8 = 127;

/// The code that tells how a process ended.
#[must_use]
pub fn code(end: End) -> u8 {
    match end {
        End::Exited(code) => code,
        End::Killed(signal) => u8::try_from(128 + signal.number()).unwrap_or(u8::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Signal;

    #[test]
    fn a_code_is_the_commands_own_or_128_and_the_signal() {
        assert_eq!(code(End::Exited(3)), 3);
        assert_eq!(code(End::Killed(Signal::TERM)), 143);
        assert_eq!(code(End::Killed(Signal::KILL)), 137);
        assert_eq!(code(End::Killed(Signal::parse("RTMAX").unwrap())), 192);
    }
}
