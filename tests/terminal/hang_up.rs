//! The terminal goes away: a closed window, a lost connection.

use crate::pty::{self, CTRL_Z, Log, Terminal};
use crate::support::Test;
use crate::{Place, Under, named};

pub(crate) fn tests() -> Vec<Test> {
    named![with_control:
        a_hang_up_reaches_the_command_when_it_is_the_leader_of_the_session,
        a_hang_up_reaches_the_command_when_it_is_pid_1,
        a_hang_up_ends_a_command_that_does_not_handle_it,
        a_hang_up_reaches_a_job_of_the_shell,
        a_hang_up_ends_a_stopped_job,
        a_command_that_ignores_the_hang_up_goes_on,
    ]
}

fn a_hang_up_reaches_the_command_when_it_is_the_leader_of_the_session(under: Under) {
    a_hang_up_reaches_the_command(Place::Leader, under);
}

fn a_hang_up_reaches_the_command_when_it_is_pid_1(under: Under) {
    a_hang_up_reaches_the_command(Place::Pid1, under);
}

/// The kernel tells only the leader of the session.
fn a_hang_up_reaches_the_command(place: Place, under: Under) {
    let mut log = Log::new();
    let command = format!("app catch=HUP,TERM exit=INT:7 log={}", log.path());
    let (mut terminal, _, receiver) = place.start(Terminal::new(), under, &command);
    terminal.hang_up();
    log.wait_for_line("got HUP");
    pty::send(receiver, "PWR");
    let counts = pty::parse_counts(&log.wait_for_line("so far"));
    assert_eq!((1, 0), (counts["HUP"], counts["TERM"]));
    // It goes on, and is stopped as ever.
    pty::send(receiver, "TERM");
    log.wait_for_line("got TERM");
}

fn a_hang_up_ends_a_command_that_does_not_handle_it(under: Under) {
    let (mut terminal, app, _) = Place::Leader.start(Terminal::new(), under, "app");
    terminal.hang_up();
    terminal.wait_until_gone(app.pid);
    let status = terminal.wait_for_end();
    assert_eq!(129, status);
}

fn a_hang_up_reaches_a_job_of_the_shell(under: Under) {
    let mut log = Log::new();
    let mut terminal = Terminal::shell();
    let app = terminal.run(&under.wrap(&format!("app exit=HUP:7 log={}", log.path())));
    let init = under.receiver(&app);
    terminal.hang_up();
    log.wait_for_line("got HUP");
    log.wait_for_line("cleaning up after HUP");
    terminal.wait_until_gone(app.pid);
    terminal.wait_until_gone(init);
}

fn a_hang_up_ends_a_stopped_job(under: Under) {
    let mut terminal = Terminal::shell();
    let app = terminal.run(&under.wrap("app input=stdin"));
    let init = under.receiver(&app);
    terminal.press(CTRL_Z);
    terminal.wait_for("Stopped");
    terminal.wait_for_prompt();
    terminal.hang_up();
    terminal.wait_until_gone(app.pid);
    terminal.wait_until_gone(init);
}

/// As under `nohup`.
fn a_command_that_ignores_the_hang_up_goes_on(under: Under) {
    let mut log = Log::new();
    let command = format!("app ignore=HUP exit=TERM:7 log={}", log.path());
    let (mut terminal, app, receiver) = Place::Leader.start(Terminal::new(), under, &command);
    terminal.hang_up();
    pty::send(receiver, "PWR");
    log.wait_for_line("so far");
    pty::send(receiver, "TERM");
    log.wait_for_line("cleaning up after TERM");
    terminal.wait_until_gone(app.pid);
    assert_eq!(7, terminal.wait_for_end());
}
