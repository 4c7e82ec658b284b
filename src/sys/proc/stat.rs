//! /proc/PID/stat, as proc(5) has it.

use crate::process::{Dispositions, Pid, Process};
use crate::signal::SignalSet;

/// PF_FORKNOEXEC of include/linux/sched.h: forked, and has not called execve(2) since. Unchanged since Linux 1.3.
const FORK_NO_EXEC: u64 = 0x40;

// Fields, counted from the state, which is proc(5)'s third.
const PARENT: usize = 1;
const GROUP: usize = 2;
const SESSION: usize = 3;
const FLAGS: usize = 6;
const THREADS: usize = 17;
const STARTED: usize = 19;
const BLOCKED: usize = 29;
const IGNORED: usize = 30;
const CAUGHT: usize = 31;

/// Reads a stat line. `None` for the dead, and for what is no such line.
pub(super) fn parse(line: &[u8]) -> Option<Process> {
    // The name may contain anything, `) (` and line ends too: it ends at the last parenthesis.
    let opening = line.iter().position(|&byte| byte == b'(')?;
    let closing = line.iter().rposition(|&byte| byte == b')')?;
    let pid = number(line.get(..opening)?.trim_ascii())?;
    let name = line.get(opening + 1..closing)?;
    let fields: Vec<&[u8]> = line.get(closing + 1..)?.trim_ascii().split(|&byte| byte == b' ').collect();
    let field = |index: usize| fields.get(index).and_then(|text| number(text));
    let small = |index: usize| field(index).and_then(|value| i32::try_from(value).ok()).map(Pid);
    let state = *fields.first()?.first()?;
    // A leader that has left its threads running is a zombie with more than one thread: it is not dead.
    let is_dead = matches!(state, b'Z' | b'X' | b'x') && field(THREADS)? <= 1;
    if is_dead {
        return None;
    }
    let mut process = Process::new(Pid(i32::try_from(pid).ok()?), small(PARENT)?, field(STARTED)?);
    process.group = small(GROUP).unwrap_or_default();
    process.session = small(SESSION).unwrap_or_default();
    process.state = state;
    process.name = name.into();
    process.has_execed = field(FLAGS)? & FORK_NO_EXEC == 0;
    process.dispositions = Some(Dispositions {
        caught: SignalSet(field(CAUGHT)?),
        ignored: SignalSet(field(IGNORED)?),
        blocked: SignalSet(field(BLOCKED)?),
    });
    Some(process)
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Signal;

    const TAIL: &str = "7 8 9 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4711 100 200 18446744073709551615 1 1 0 0 0 0 65536 6 16386 0 0 0 17";

    fn line(name: &str, state: char) -> Vec<u8> {
        format!("42 ({name}) {state} {TAIL}\n").into_bytes()
    }

    #[test]
    fn the_fields_are_found_behind_any_name() {
        for name in ["app", "a) R 1 1", "new\nline", ") (", "", "((("] {
            let process = parse(&line(name, 'S')).unwrap();
            assert_eq!(
                (process.pid(), process.parent, process.group, process.session),
                (Pid(42), Pid(7), Pid(8), Pid(9))
            );
            assert_eq!(process.identity.started, 4711);
            assert_eq!(&*process.name, name.as_bytes());
            let does = process.dispositions.unwrap();
            assert!(does.handles(Signal::TERM) && does.handles(Signal::INT) && does.blocked.0 == 65536);
            assert!(process.has_execed);
        }
    }

    #[test]
    fn the_dead_are_not_there() {
        assert!(parse(&line("app", 'Z')).is_none() && parse(&line("app", 'X')).is_none());
        let threaded = String::from_utf8(line("app", 'Z')).unwrap().replace(" 20 0 1 0 ", " 20 0 3 0 ");
        assert!(parse(threaded.as_bytes()).is_some());
    }

    #[test]
    fn what_is_no_stat_line_is_nobody() {
        for text in ["", "42", "42 (app", "42 (app) ", "42 (app) S 1", "x (app) S 1 2 3", ")("] {
            assert!(parse(text.as_bytes()).is_none(), "{text:?}");
        }
    }
}
