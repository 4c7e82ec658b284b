//! Ctrl+C, Ctrl+\ and Ctrl+Z, and a change of the window's size: each reaches the command once and means nothing else.

use crate::pty::{self, CTRL_BACKSLASH, CTRL_C, CTRL_Z, PROMPT, Terminal};
use crate::support::Test;
use crate::{Place, Under, named};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = named![everywhere:
        ctrl_c_reaches_the_command_exactly_once,
        a_new_window_size_reaches_the_command_exactly_once,
        ctrl_c_is_not_a_stop_request,
        every_process_of_the_command_gets_ctrl_c_once,
        a_second_ctrl_c_arrives_as_well,
    ];
    tests.extend(named![with_control:
        ctrl_backslash_reaches_a_job_exactly_once,
        ctrl_backslash_reaches_the_command_of_a_session_exactly_once,
        ctrl_backslash_reaches_the_command_of_pid_1_exactly_once,
        ctrl_c_ends_a_command_that_does_not_handle_it,
        ctrl_backslash_ends_a_command_that_does_not_handle_it,
        ctrl_c_ends_a_loop_of_the_shell,
        ctrl_c_ends_a_bash_script,
        ctrl_c_ends_a_dash_script,
        ctrl_z_does_not_freeze_the_leader_of_the_session,
        ctrl_z_does_not_freeze_pid_1,
        a_terminal_in_raw_mode_passes_the_keys_on,
    ]);
    tests
}

fn ctrl_c_reaches_the_command_exactly_once(under: Under, place: Place) {
    let (mut terminal, _, receiver) = place.start(Terminal::new(), under, "app catch=INT,QUIT,TERM,HUP input=stdin");
    terminal.press(CTRL_C);
    terminal.wait_for_line("got INT");
    let counts = terminal.counts(receiver);
    assert_eq!((1, 0, 0, 0), (counts["INT"], counts["QUIT"], counts["TERM"], counts["HUP"]), "{}", terminal.describe());
    terminal.type_line("hello");
    terminal.wait_for("read hello");
    terminal.type_line("exit 7");
    place.expect_end(&mut terminal, 7);
}

fn ctrl_backslash_reaches_a_job_exactly_once(under: Under) {
    ctrl_backslash_reaches_the_command_exactly_once(Place::Job, under);
}

fn ctrl_backslash_reaches_the_command_of_a_session_exactly_once(under: Under) {
    ctrl_backslash_reaches_the_command_exactly_once(Place::Leader, under);
}

fn ctrl_backslash_reaches_the_command_of_pid_1_exactly_once(under: Under) {
    ctrl_backslash_reaches_the_command_exactly_once(Place::Pid1, under);
}

fn ctrl_backslash_reaches_the_command_exactly_once(place: Place, under: Under) {
    let (mut terminal, _, receiver) = place.start(Terminal::new(), under, "app catch=INT,QUIT,TERM input=stdin");
    terminal.press(CTRL_BACKSLASH);
    terminal.wait_for_line("got QUIT");
    let counts = terminal.counts(receiver);
    assert_eq!((0, 1, 0), (counts["INT"], counts["QUIT"], counts["TERM"]), "{}", terminal.describe());
    terminal.type_line("exit 7");
    place.expect_end(&mut terminal, 7);
}

fn a_new_window_size_reaches_the_command_exactly_once(under: Under, place: Place) {
    let (mut terminal, _, receiver) = place.start(Terminal::new(), under, "app catch=WINCH input=stdin");
    terminal.resize(30, 100);
    terminal.wait_for_line("got WINCH");
    assert_eq!(1, terminal.counts(receiver)["WINCH"], "{}", terminal.describe());
    terminal.type_line("exit 7");
    place.expect_end(&mut terminal, 7);
}

/// With a grace of 200 ms, a plan would have told and killed the command long before it answers.
fn ctrl_c_is_not_a_stop_request(under: Under, place: Place) {
    let terminal = Terminal::new().with("GRACEINIT_GRACE", "200ms");
    let (mut terminal, ..) = place.start(terminal, under, "app catch=INT,TERM,HUP,CONT input=stdin");
    terminal.press(CTRL_C);
    terminal.wait_for_line("got INT");
    terminal.type_line("after 700");
    let meanwhile = terminal.wait_for("700 ms passed");
    assert!(!meanwhile.contains("got"), "{}", terminal.describe());
    terminal.type_line("exit 7");
    place.expect_end(&mut terminal, 7);
    assert!(!terminal.transcript().contains("graceinit:"), "{}", terminal.describe());
}

fn every_process_of_the_command_gets_ctrl_c_once(under: Under, place: Place) {
    let (mut terminal, _, receiver) = place.start(Terminal::new(), under, "app catch=INT children=2 exit=TERM:7");
    terminal.press(CTRL_C);
    for _ in 0..3 {
        terminal.wait_for_line("got INT");
    }
    pty::send(receiver, "PWR");
    let mut reports: Vec<String> = (0..3).map(|_| terminal.wait_for_line("so far: ")).collect();
    reports.sort();
    let counts = reports.iter().map(|report| pty::parse_counts(report)["INT"]);
    assert!(counts.eq([1, 1, 1]), "{}", terminal.describe());
    pty::send(receiver, "TERM");
    place.expect_end(&mut terminal, 7);
}

fn a_second_ctrl_c_arrives_as_well(under: Under, place: Place) {
    let (mut terminal, _, receiver) = place.start(Terminal::new(), under, "app catch=INT input=stdin");
    for _ in 0..3 {
        terminal.press(CTRL_C);
        terminal.wait_for_line("got INT");
    }
    assert_eq!(3, terminal.counts(receiver)["INT"], "{}", terminal.describe());
}

fn ctrl_c_ends_a_command_that_does_not_handle_it(under: Under) {
    let mut terminal = Terminal::shell();
    terminal.run(&under.wrap("app"));
    terminal.press(CTRL_C);
    terminal.wait_for_prompt();
    assert_eq!("130", terminal.status());
    assert!(!terminal.transcript().contains("graceinit:"), "{}", terminal.describe());
}

fn ctrl_backslash_ends_a_command_that_does_not_handle_it(under: Under) {
    let mut terminal = Terminal::shell();
    terminal.run(&under.wrap("app"));
    terminal.press(CTRL_BACKSLASH);
    terminal.wait_for_prompt();
    assert_eq!("131", terminal.status());
}

/// The shell ends a loop only when it sees that the command died *of* Ctrl+C; an exit code of 130 does not say so.
fn ctrl_c_ends_a_loop_of_the_shell(under: Under) {
    let mut terminal = Terminal::shell();
    terminal.run(&format!("for i in 1 2 3; do {}; done", under.wrap("app")));
    terminal.press(CTRL_C);
    let rest = terminal.wait_for_prompt();
    assert!(!rest.contains("ready"), "the loop went on\n{}", terminal.describe());
}

fn ctrl_c_ends_a_bash_script(under: Under) {
    ctrl_c_ends_a_script("bash", under);
}

fn ctrl_c_ends_a_dash_script(under: Under) {
    ctrl_c_ends_a_script("dash", under);
}

fn ctrl_c_ends_a_script(shell: &str, under: Under) {
    let mut terminal = Terminal::shell();
    terminal.run(&format!("{shell} -c '{}; echo the next line'", under.wrap("app")));
    terminal.press(CTRL_C);
    let rest = terminal.wait_for_prompt();
    assert!(!rest.contains("the next line"), "the script went on\n{}", terminal.describe());
}

/// There is nobody who could continue it. The line typed afterwards is read: it goes on as if nothing had happened.
fn ctrl_z_does_not_freeze_the_leader_of_the_session(under: Under) {
    ctrl_z_does_not_freeze(Place::Leader, under);
}

fn ctrl_z_does_not_freeze_pid_1(under: Under) {
    ctrl_z_does_not_freeze(Place::Pid1, under);
}

fn ctrl_z_does_not_freeze(place: Place, under: Under) {
    let (mut terminal, _, receiver) =
        place.start(Terminal::new(), under, "app catch=INT exit=TERM:9 input=stdin children=2");
    for word in ["one", "two", "three"] {
        terminal.press(CTRL_Z);
        terminal.type_line(word);
        terminal.wait_for(&format!("read {word}"));
    }
    // Its children go on as well.
    pty::send(receiver, "PWR");
    for _ in 0..3 {
        terminal.wait_for_line("so far: ");
    }
    terminal.type_line("exit 7");
    place.expect_end(&mut terminal, 7);
}

fn a_terminal_in_raw_mode_passes_the_keys_on(under: Under) {
    let mut terminal = Terminal::shell();
    terminal.run(&format!("stty -isig; {}", under.wrap("app catch=INT,TSTP input=stdin")));
    terminal.type_line(&format!("{CTRL_C}{CTRL_Z}"));
    terminal.wait_for(&format!("read {CTRL_C}{CTRL_Z}"));
    terminal.type_line("exit 7");
    terminal.wait_for(PROMPT);
    assert_eq!("7", terminal.status());
}
