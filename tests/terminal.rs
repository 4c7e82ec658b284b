//! Terminals: what a person in front of one sees is the same with and without graceinit.
//!
//! Most tests have a control, the same without graceinit, which shows that the expectation is the kernel's and the shell's and not
//! ours: `GRACEINIT_TEST_CONTROLS=1 cargo test --test terminal`. They are not run otherwise, for what they try is bash, which has
//! races of its own (about 1 of 2,000 on a busy machine).
#![allow(
    unsafe_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::exit,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may panic, wait and start processes: the fences are the program's"
)]

#[path = "terminal/hang_up.rs"]
mod hang_up;
#[path = "terminal/job_control.rs"]
mod job_control;
#[path = "terminal/keys.rs"]
mod keys;
#[path = "support/pty.rs"]
mod pty;
#[path = "terminal/shared.rs"]
mod shared;
#[path = "terminal/stopping.rs"]
mod stopping;
mod support;
#[path = "fixtures/tty_app.rs"]
mod tty_app;

use std::process::ExitCode;

use pty::{App, PROMPT, Terminal};
use support::Test;

/// Whether the command runs under graceinit, or as it would without it.
#[derive(Clone, Copy, PartialEq)]
enum Under {
    Graceinit,
    Nothing,
}

impl Under {
    /// The command line as it is typed.
    fn wrap(self, command: &str) -> String {
        match self {
            Self::Graceinit => format!("graceinit -- {command}"),
            Self::Nothing => command.to_owned(),
        }
    }

    /// Who gets a signal that is meant for the command: the init above it.
    fn receiver(self, app: &App) -> i32 {
        match self {
            Self::Graceinit => app.init(),
            Self::Nothing => app.pid,
        }
    }
}

/// What the command is, seen from its terminal.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// A job of an interactive bash.
    Job,
    /// The leader of the session: nobody above it could revive it.
    Leader,
    /// PID 1 and leader of the session, as in `docker run -it`.
    Pid1,
    /// PID 1 of a namespace whose session and groups are outside.
    Pid1OfJob,
}

impl Place {
    const ALL: [(Self, &str); 4] = [
        (Self::Job, "in an interactive shell"),
        (Self::Leader, "as the leader of the session"),
        (Self::Pid1, "as PID 1 with a terminal of its own"),
        (Self::Pid1OfJob, "as PID 1 in somebody else's session"),
    ];

    /// Starts the command there; also returns who gets signals for it.
    fn start(self, terminal: Terminal, under: Under, command: &str) -> (Terminal, App, i32) {
        let command = under.wrap(command);
        let mut terminal = match self {
            Self::Job | Self::Pid1OfJob => terminal.start_shell(),
            Self::Leader => terminal.start_leader(&command),
            Self::Pid1 => terminal.start_pid_1(&command),
        };
        match self {
            Self::Job => terminal.type_line(&command),
            Self::Pid1OfJob => terminal.type_line(&format!("{} {command}", pty::unshare())),
            Self::Leader | Self::Pid1 => {}
        }
        let app = terminal.wait_for_app();
        let receiver = match self {
            Self::Job | Self::Leader => under.receiver(&app),
            // `unshare` waits outside; its child is PID 1.
            Self::Pid1 => only_child(terminal.leader()),
            Self::Pid1OfJob => only_child(only_child(terminal.leader())),
        };
        (terminal, app, receiver)
    }

    /// After the command's end: the shell goes on, or everything is over.
    fn expect_end(self, terminal: &mut Terminal, status: i32) {
        match self {
            Self::Job | Self::Pid1OfJob => {
                terminal.wait_for(PROMPT);
                assert_eq!(status.to_string(), terminal.status(), "{}", terminal.describe());
            }
            Self::Leader | Self::Pid1 => assert_eq!(status, terminal.wait_for_end(), "{}", terminal.describe()),
        }
    }
}

fn only_child(pid: i32) -> i32 {
    match pty::children(pid).as_slice() {
        [child] => *child,
        others => panic!("{pid} has the children {others:?}"),
    }
}

/// The test, and the same without graceinit.
fn with_control(name: &str, run: fn(Under)) -> Vec<Test> {
    let test = |name: String, under| {
        Test::new(name, move || {
            run(under);
            Ok(())
        })
    };
    let mut tests = vec![test(name.to_owned(), Under::Graceinit)];
    if wants_controls() {
        tests.push(test(format!("{name} (without graceinit)"), Under::Nothing));
    }
    tests
}

fn wants_controls() -> bool {
    std::env::var("GRACEINIT_TEST_CONTROLS").is_ok_and(|value| value == "1")
}

/// The test at every place, each with the same without graceinit.
fn everywhere(name: &str, run: fn(Under, Place)) -> Vec<Test> {
    let mut tests = Vec::new();
    for (place, description) in Place::ALL {
        for (under, control) in [(Under::Graceinit, ""), (Under::Nothing, " (without graceinit)")] {
            if under == Under::Nothing && !wants_controls() {
                continue;
            }
            tests.push(Test::new(format!("{name} {description}{control}"), move || {
                run(under, place);
                Ok(())
            }));
        }
    }
    tests
}

/// Names a list of tests after their functions: `named![with_control: a, b]`.
macro_rules! named {
    ($make:ident: $($function:path),* $(,)?) => {{
        let mut tests: Vec<$crate::support::Test> = Vec::new();
        $(tests.extend($crate::$make($crate::support::last_segment(stringify!($function)), $function));)*
        tests
    }};
}
use named;

fn main() -> ExitCode {
    if let Some(code) = tty_app::run_if_called() {
        return code;
    }
    support::main(support::all([
        keys::tests(),
        job_control::tests(),
        shared::tests(),
        stopping::tests(),
        hang_up::tests(),
    ]));
    ExitCode::SUCCESS
}
