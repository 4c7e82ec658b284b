//! Jobs of an interactive shell: Ctrl+Z, `fg`, `bg`, `jobs`, background jobs, and an interactive shell as the command itself.

use crate::pty::{self, App, CTRL_C, CTRL_Z, PROMPT, Terminal};
use crate::support::Test;
use crate::{Place, Under, named};

pub(crate) fn tests() -> Vec<Test> {
    named![with_control:
        ctrl_z_stops_the_job_and_fg_revives_it_with_its_input,
        ctrl_z_and_fg_work_many_times,
        ctrl_z_and_fg_work_many_times_below_a_script,
        ctrl_z_right_after_fg_does_not_hang_the_terminal,
        ctrl_z_and_fg_work_for_a_bash_script,
        ctrl_z_and_fg_work_for_a_dash_script,
        ctrl_z_and_fg_work_for_a_shell_as_the_command,
        ctrl_z_and_fg_work_at_the_head_of_a_pipeline,
        ctrl_z_and_fg_work_at_the_end_of_a_pipeline,
        ctrl_z_and_fg_work_for_the_children_of_the_command,
        ctrl_z_and_fg_work_for_one_in_the_other,
        bg_lets_the_job_go_on_and_fg_gives_it_the_terminal_again,
        bg_of_a_job_that_reads_stops_it_until_fg,
        tstp_from_another_process_stops_the_job,
        a_job_that_reads_only_later_gets_the_terminal_then,
        a_background_job_that_reads_is_stopped_until_fg,
        a_background_pipeline_works_after_fg,
        a_background_job_that_writes_is_stopped_where_the_terminal_says_so,
        a_background_job_that_does_neither_goes_on,
        a_command_that_suspends_itself_can_be_continued,
        a_command_that_ignores_ctrl_z_goes_on,
        a_command_stopped_by_sigstop_shows_as_stopped,
        a_command_killed_while_it_is_stopped_ends_the_job,
        kill_of_a_stopped_job_ends_it,
        the_shell_has_the_terminal_again_after_a_normal_end,
        the_shell_has_the_terminal_again_after_the_command_was_killed,
        the_shell_has_the_terminal_again_when_something_was_left_behind,
        the_terminal_goes_back_to_the_group_it_came_from,
        a_line_editing_shell_works_as_before_after_a_job,
        an_interactive_shell_as_the_command_has_job_control,
        an_interactive_shell_as_the_command_can_suspend_itself,
        an_interactive_shell_as_the_leader_of_the_session_has_job_control,
        an_interactive_shell_as_pid_1_has_job_control,
    ]
}

/// With a job at the prompt that was stopped: it is shown as stopped, `fg` revives it, it gets its input and Ctrl+C, and its end is the shell's.
fn expect_stop_and_revival(terminal: &mut Terminal, app: &App) {
    stop_by_key(terminal, app);
    let jobs = terminal.ask("jobs -l");
    assert!(jobs.contains("Stopped") && !jobs.contains("signal"), "jobs: {jobs}\n{}", terminal.describe());
    terminal.type_line("fg");
    terminal.type_line("hello");
    terminal.wait_for("read hello");
    terminal.type_line("where");
    terminal.wait_for("in the foreground");
    terminal.press(CTRL_C);
    terminal.wait_for_line("got INT");
}

fn stop_by_key(terminal: &mut Terminal, app: &App) {
    terminal.press(CTRL_Z);
    terminal.wait_for("Stopped");
    terminal.wait_for_prompt();
    // The shell knows of its own children only: below a script the command may still be on its way, and read what is typed next.
    terminal.wait_until_stopped(app.pid);
}

fn expect_status(terminal: &mut Terminal, status: &str) {
    terminal.wait_for(PROMPT);
    assert_eq!(status, terminal.status(), "{}", terminal.describe());
    assert_eq!("", terminal.ask("jobs"), "{}", terminal.describe());
}

fn ctrl_z_stops_the_job_and_fg_revives_it_with_its_input(under: Under) {
    let mut terminal = Terminal::shell();
    let app = terminal.run(&under.wrap("app catch=INT,CONT input=stdin"));
    let receiver = under.receiver(&app);
    expect_stop_and_revival(&mut terminal, &app);
    let counts = terminal.counts(receiver);
    assert_eq!((1, 1), (counts["INT"], counts["CONT"]), "{}", terminal.describe());
    terminal.type_line("exit 7");
    expect_status(&mut terminal, "7");
}

fn ctrl_z_and_fg_work_many_times(under: Under) {
    let mut terminal = Terminal::shell();
    let app = terminal.run(&under.wrap("app catch=INT input=stdin"));
    for _ in 0..5 {
        expect_stop_and_revival(&mut terminal, &app);
    }
    let receiver = under.receiver(&app);
    assert_eq!(5, terminal.counts(receiver)["INT"], "{}", terminal.describe());
    terminal.type_line("exit 7");
    expect_status(&mut terminal, "7");
}

/// The shell watches the script and not what is below it: `fg` may come before an init below it has seen that its command
/// was stopped. What stops itself after that, nobody continues.
fn ctrl_z_and_fg_work_many_times_below_a_script(under: Under) {
    let mut terminal = Terminal::shell();
    let app = terminal.run(&format!("bash -c '{}; exit 9'", under.wrap("app input=stdin")));
    for _ in 0..300 {
        stop_by_key(&mut terminal, &app);
        terminal.type_line("fg");
        terminal.type_line("hello");
        terminal.wait_for("read hello");
    }
    terminal.type_line("exit 7");
    expect_status(&mut terminal, "9");
}

/// The key may reach the job before the job goes on. One more press has to do, whatever was lost.
fn ctrl_z_right_after_fg_does_not_hang_the_terminal(under: Under) {
    let mut terminal = Terminal::shell();
    terminal.run(&under.wrap("app input=stdin"));
    terminal.press(CTRL_Z);
    terminal.wait_for("Stopped");
    terminal.wait_for_prompt();
    for _ in 0..200 {
        terminal.type_line("fg");
        terminal.wait_until("the job has the terminal", || terminal.foreground_group() != Some(terminal.leader()));
        terminal.press_until(CTRL_Z, "Stopped");
        terminal.wait_for_prompt();
    }
    terminal.type_line("fg");
    terminal.type_line("exit 7");
    expect_status(&mut terminal, "7");
}

fn ctrl_z_and_fg_work_for_a_bash_script(under: Under) {
    ctrl_z_and_fg_work_in(under, &format!("bash -c '{}; exit 9'", under.wrap("app catch=INT input=stdin")), BASH);
}

fn ctrl_z_and_fg_work_for_a_dash_script(under: Under) {
    // dash dies of a Ctrl+C that came while it waited.
    ctrl_z_and_fg_work_in(under, &format!("dash -c '{}; exit 9'", under.wrap("app catch=INT input=stdin")), "130");
}

fn ctrl_z_and_fg_work_for_a_shell_as_the_command(under: Under) {
    ctrl_z_and_fg_work_in(under, &under.wrap("bash -c 'app catch=INT input=stdin; exit 9'"), BASH);
}

/// The other end of the pipeline passes on what it reads, so that it surely runs when the command seems ready.
fn ctrl_z_and_fg_work_at_the_head_of_a_pipeline(under: Under) {
    let command = under.wrap("app catch=INT input=/dev/tty");
    ctrl_z_and_fg_work_in(under, &format!("{command} | app label=end ignore=INT input=stdin"), "0");
}

fn ctrl_z_and_fg_work_at_the_end_of_a_pipeline(under: Under) {
    ctrl_z_and_fg_work_in(under, &format!("app print=1 | {}", under.wrap("app pager catch=INT")), "7");
}

fn ctrl_z_and_fg_work_for_the_children_of_the_command(under: Under) {
    ctrl_z_and_fg_work_in(under, &under.wrap("app catch=INT exit=TERM:9 input=stdin children=2"), "7");
}

fn ctrl_z_and_fg_work_for_one_in_the_other(under: Under) {
    ctrl_z_and_fg_work_in(under, &under.wrap(&under.wrap("app catch=INT input=stdin")), "7");
}

/// bash goes on after a Ctrl+C that its program has survived, or, if it looks at the wrong moment, ends of it.
const BASH: &str = "9|130";

fn ctrl_z_and_fg_work_in(under: Under, line: &str, accepted: &str) {
    let mut terminal = Terminal::shell();
    let app = terminal.run(line);
    expect_stop_and_revival(&mut terminal, &app);
    let receiver = under.receiver(&app);
    assert_eq!(1, terminal.counts(receiver)["INT"], "{}", terminal.describe());
    terminal.type_line("exit 7");
    terminal.wait_for(PROMPT);
    let status = terminal.status();
    assert!(accepted.split('|').any(|code| code == status), "{status}: {}", terminal.describe());
    assert_eq!("", terminal.ask("jobs"), "{}", terminal.describe());
}

fn bg_lets_the_job_go_on_and_fg_gives_it_the_terminal_again(under: Under) {
    let mut terminal = Terminal::shell();
    let app = terminal.run(&under.wrap("app catch=INT,CONT exit=INT:7"));
    terminal.press(CTRL_Z);
    terminal.wait_for("Stopped");
    terminal.wait_for_prompt();
    terminal.type_line("bg");
    terminal.wait_for_line("got CONT");
    let receiver = under.receiver(&app);
    assert_eq!(1, terminal.counts(receiver)["CONT"], "{}", terminal.describe());
    terminal.wait_until_the_shell_answers();
    terminal.type_line("fg");
    terminal.wait_for_line("app catch");
    terminal.wait_until("the job has the terminal", || terminal.foreground_group() != Some(terminal.leader()));
    terminal.press(CTRL_C);
    terminal.wait_for_line("cleaning up after INT");
    expect_status(&mut terminal, "7");
}

fn bg_of_a_job_that_reads_stops_it_until_fg(under: Under) {
    let mut terminal = Terminal::shell();
    let app = terminal.run(&under.wrap("app catch=INT,CONT input=stdin"));
    terminal.press(CTRL_Z);
    terminal.wait_for("Stopped");
    terminal.wait_for_prompt();
    terminal.wait_until_stopped(app.pid);
    terminal.type_line("bg");
    terminal.wait_for_prompt();
    wait_until_the_job_is_stopped(&mut terminal, under, &app);
    let jobs = terminal.ask("jobs -l");
    assert!(jobs.contains("Stopped (tty input)"), "jobs: {jobs}\n{}", terminal.describe());
    terminal.type_line("fg");
    terminal.type_line("hello");
    terminal.wait_for("read hello");
    terminal.press(CTRL_C);
    terminal.wait_for_line("got INT");
    terminal.type_line("exit 7");
    expect_status(&mut terminal, "7");
}

fn tstp_from_another_process_stops_the_job(under: Under) {
    let mut terminal = Terminal::shell();
    let app = terminal.run(&under.wrap("app catch=INT input=stdin"));
    pty::send(under.receiver(&app), "TSTP");
    terminal.wait_for("Stopped");
    terminal.wait_for_prompt();
    wait_until_the_job_is_stopped(&mut terminal, under, &app);
    terminal.type_line("fg");
    terminal.type_line("hello");
    terminal.wait_for("read hello");
    terminal.type_line("exit 7");
    expect_status(&mut terminal, "7");
}

/// `fg` of a job that runs sends it nothing: who waits for a signal to take the terminal along waits in vain.
fn a_job_that_reads_only_later_gets_the_terminal_then(under: Under) {
    let mut terminal = Terminal::shell();
    let app = terminal.run(&format!("{} &", under.wrap("app catch=INT start=HUP input=stdin")));
    terminal.wait_until_the_shell_answers();
    terminal.type_line("fg");
    terminal.wait_until("the job has the terminal", || terminal.foreground_group() != Some(terminal.leader()));
    pty::send(under.receiver(&app), "HUP");
    terminal.wait_for_line("got HUP");
    terminal.type_line("hello");
    terminal.wait_for("read hello");
    terminal.press(CTRL_C);
    terminal.wait_for_line("got INT");
    assert_eq!(1, terminal.counts(under.receiver(&app))["INT"], "{}", terminal.describe());
    terminal.type_line("exit 7");
    expect_status(&mut terminal, "7");
}

fn a_background_job_that_reads_is_stopped_until_fg(under: Under) {
    let mut terminal = Terminal::shell();
    let app = terminal.run(&format!("{} &", under.wrap("app catch=INT input=stdin")));
    wait_until_the_job_is_stopped(&mut terminal, under, &app);
    let jobs = terminal.ask("jobs -l");
    assert!(jobs.contains("Stopped (tty input)"), "jobs: {jobs}\n{}", terminal.describe());
    terminal.type_line("fg");
    terminal.type_line("hello");
    terminal.wait_for("read hello");
    terminal.press(CTRL_C);
    terminal.wait_for_line("got INT");
    terminal.type_line("exit 7");
    expect_status(&mut terminal, "7");
}

fn a_background_pipeline_works_after_fg(under: Under) {
    let mut terminal = Terminal::shell();
    // The whole group is stopped when the command reads: perhaps before the other end has said a word.
    let command = under.wrap("app catch=INT input=/dev/tty log=/dev/tty");
    let app = terminal.run(&format!("{command} | app label=end ignore=INT input=stdin &"));
    wait_until_the_job_is_stopped(&mut terminal, under, &app);
    terminal.type_line("fg");
    terminal.type_line("hello");
    terminal.wait_for("read hello");
    // No Ctrl+C: the other end may not have come to ignoring it.
    stop_by_key(&mut terminal, &app);
    terminal.type_line("fg");
    terminal.type_line("hello again");
    terminal.wait_for("read hello again");
    terminal.type_line("exit 7");
    expect_status(&mut terminal, "0");
}

fn a_background_job_that_writes_is_stopped_where_the_terminal_says_so(under: Under) {
    let mut terminal = Terminal::shell();
    terminal.ask("stty tostop");
    terminal.type_line(&format!("{} &", under.wrap("app catch=INT exit=INT:7")));
    // It is stopped before its first line: the shell says so before a prompt.
    while !terminal.ask("jobs -l").contains("Stopped (tty output)") {
        assert!(terminal.is_in_time(), "{}", terminal.describe());
    }
    terminal.type_line("fg");
    terminal.wait_for_app();
    terminal.press(CTRL_C);
    terminal.wait_for_line("cleaning up after INT");
    expect_status(&mut terminal, "7");
}

fn a_background_job_that_does_neither_goes_on(under: Under) {
    let mut terminal = Terminal::shell();
    let app = terminal.run(&format!("{} &", under.wrap("app catch=INT,WINCH exit=TERM:7")));
    terminal.wait_until_the_shell_answers();
    // These are for the shell in front, not for the job.
    terminal.press(CTRL_C);
    terminal.resize(30, 100);
    terminal.wait_for_prompt();
    let receiver = under.receiver(&app);
    let counts = terminal.counts(receiver);
    assert_eq!((0, 0), (counts["INT"], counts["WINCH"]), "{}", terminal.describe());
    terminal.type_line("kill %1; wait %1");
    terminal.wait_for_line("cleaning up after TERM");
    expect_status(&mut terminal, "7");
}

/// An editor catches Ctrl+Z to restore the screen, and then stops itself.
fn a_command_that_suspends_itself_can_be_continued(under: Under) {
    let mut terminal = Terminal::shell();
    terminal.run(&under.wrap("app catch=INT,TSTP,CONT suspend input=stdin"));
    for _ in 0..2 {
        terminal.press(CTRL_Z);
        terminal.wait_for_line("got TSTP from the kernel");
        terminal.wait_for("Stopped");
        terminal.wait_for_prompt();
        terminal.type_line("fg");
        terminal.wait_for_line("got CONT");
        terminal.type_line("hello");
        terminal.wait_for("read hello");
    }
    assert_eq!(2, terminal.transcript().matches("got TSTP").count(), "{}", terminal.describe());
    terminal.type_line("exit 7");
    expect_status(&mut terminal, "7");
}

fn a_command_that_ignores_ctrl_z_goes_on(under: Under) {
    let mut terminal = Terminal::shell();
    terminal.run(&under.wrap("app ignore=TSTP input=stdin"));
    terminal.press(CTRL_Z);
    terminal.type_line("hello");
    terminal.wait_for("read hello");
    terminal.type_line("exit 7");
    expect_status(&mut terminal, "7");
}

fn a_command_stopped_by_sigstop_shows_as_stopped(under: Under) {
    let mut terminal = Terminal::shell();
    let app = terminal.run(&under.wrap("app catch=INT input=stdin"));
    pty::send(app.pid, "STOP");
    terminal.wait_for("Stopped");
    terminal.wait_for_prompt();
    terminal.type_line("fg");
    terminal.type_line("hello");
    terminal.wait_for("read hello");
    terminal.type_line("exit 7");
    expect_status(&mut terminal, "7");
}

fn a_command_killed_while_it_is_stopped_ends_the_job(under: Under) {
    let mut terminal = Terminal::shell();
    let app = terminal.run(&under.wrap("app catch=INT input=stdin"));
    terminal.press(CTRL_Z);
    terminal.wait_for("Stopped");
    terminal.wait_for_prompt();
    pty::send(app.pid, "KILL");
    // Without graceinit the shell may learn of it before the next line: then it says so, and there is no job to revive.
    terminal.wait_until("it is dead", || matches!(pty::state(app.pid), None | Some('Z')));
    if under == Under::Graceinit {
        terminal.type_line("fg");
        expect_status(&mut terminal, "137");
    }
}

/// The shell continues a stopped job that it sends TERM.
fn kill_of_a_stopped_job_ends_it(under: Under) {
    let mut terminal = Terminal::shell();
    let app = terminal.run(&under.wrap("app exit=TERM:7"));
    terminal.press(CTRL_Z);
    terminal.wait_for("Stopped");
    terminal.wait_for_prompt();
    terminal.type_line("kill %1");
    terminal.wait_for_line("cleaning up after TERM");
    terminal.wait_until_gone(app.pid);
}

fn the_shell_has_the_terminal_again_after_a_normal_end(under: Under) {
    let mut terminal = Terminal::shell();
    terminal.run(&under.wrap("app input=stdin"));
    terminal.type_line("exit 0");
    terminal.wait_for_prompt();
    expect_the_shell_in_front(&mut terminal);
}

fn the_shell_has_the_terminal_again_after_the_command_was_killed(under: Under) {
    let mut terminal = Terminal::shell();
    let app = terminal.run(&under.wrap("app input=stdin"));
    pty::send(app.pid, "KILL");
    terminal.wait_for_prompt();
    assert_eq!("137", terminal.status());
    expect_the_shell_in_front(&mut terminal);
}

fn the_shell_has_the_terminal_again_when_something_was_left_behind(under: Under) {
    let mut terminal = Terminal::shell();
    terminal.run(&under.wrap("app leave input=stdin"));
    terminal.type_line("exit 5");
    expect_status(&mut terminal, "5");
    expect_the_shell_in_front(&mut terminal);
}

fn expect_the_shell_in_front(terminal: &mut Terminal) {
    assert_eq!(Some(terminal.leader()), terminal.foreground_group(), "{}", terminal.describe());
    assert_eq!("it reads", terminal.ask("read line < /dev/tty; echo $line\nit reads"));
}

/// Shells take the terminal back themselves. Here somebody starts the job who leaves it where it is.
fn the_terminal_goes_back_to_the_group_it_came_from(under: Under) {
    for end in ["code=5", "die=KILL"] {
        let mut terminal = Terminal::shell();
        terminal.type_line(&format!("app launch {}", under.wrap(&format!("app {end}"))));
        terminal.wait_for_line("the terminal is where it was");
        expect_status(&mut terminal, if end == "code=5" { "5" } else { "137" });
    }
}

/// With readline, as people use it: it changes the terminal's settings for itself and back for the job.
fn a_line_editing_shell_works_as_before_after_a_job(under: Under) {
    let mut terminal = Terminal::new().start_leader("bash --norc --noprofile -i");
    terminal.wait_for_prompt();
    terminal.run(&under.wrap("app catch=INT input=stdin"));
    terminal.press(CTRL_C);
    terminal.wait_for_line("got INT");
    terminal.press(CTRL_Z);
    terminal.wait_for("Stopped");
    terminal.wait_for_prompt();
    terminal.type_line("fg");
    terminal.type_line("exit 7");
    terminal.wait_for_prompt();
    // Ctrl+A goes to the beginning of the line, where `echo` is put.
    terminal.press("status=$?\x01echo \n");
    terminal.wait_for_line("status=7");
}

fn an_interactive_shell_as_the_command_has_job_control(under: Under) {
    let mut terminal = Terminal::shell();
    terminal.type_line(&under.wrap("bash --norc --noprofile --noediting -i"));
    terminal.wait_for_prompt();
    expect_job_control(&mut terminal);
    terminal.type_line("exit 7");
    expect_status(&mut terminal, "7");
    expect_the_shell_in_front(&mut terminal);
}

fn an_interactive_shell_as_the_command_can_suspend_itself(under: Under) {
    let mut terminal = Terminal::shell();
    terminal.type_line(&under.wrap("bash --norc --noprofile --noediting -i"));
    terminal.wait_for_prompt();
    terminal.type_line("suspend");
    terminal.wait_for("Stopped");
    terminal.wait_for_prompt();
    assert_eq!(terminal.leader().to_string(), terminal.ask("echo $$"));
    terminal.type_line("fg");
    terminal.wait_for_prompt();
    expect_job_control(&mut terminal);
    terminal.type_line("exit 7");
    expect_status(&mut terminal, "7");
}

fn an_interactive_shell_as_the_leader_of_the_session_has_job_control(under: Under) {
    expect_job_control_at(Place::Leader, under);
}

fn an_interactive_shell_as_pid_1_has_job_control(under: Under) {
    expect_job_control_at(Place::Pid1, under);
}

fn expect_job_control_at(place: Place, under: Under) {
    let command = under.wrap("bash --norc --noprofile --noediting -i");
    let mut terminal = match place {
        Place::Leader => Terminal::lead(&command),
        _ => Terminal::pid_1(&command),
    };
    terminal.wait_for_prompt();
    // Ctrl+Z means nothing at a prompt.
    terminal.press(CTRL_Z);
    expect_job_control(&mut terminal);
    terminal.type_line("exit 7");
    assert_eq!(7, terminal.wait_for_end(), "{}", terminal.describe());
}

fn expect_job_control(terminal: &mut Terminal) {
    for complaint in ["cannot set terminal process group", "no job control"] {
        assert!(!terminal.transcript().contains(complaint), "{}", terminal.describe());
    }
    let app = terminal.run("app input=stdin");
    terminal.press(CTRL_Z);
    terminal.wait_for("Stopped");
    terminal.wait_for_prompt();
    assert!(terminal.ask("jobs").contains("Stopped"), "{}", terminal.describe());
    terminal.type_line("fg");
    terminal.type_line("hello");
    terminal.wait_for("read hello");
    terminal.press(CTRL_C);
    terminal.wait_for_prompt();
    assert_eq!("130", terminal.status(), "{}", terminal.describe());
    assert!(app.group == app.pid, "it had a group of its own");
}

/// No line of output tells it, for stopped programs do not write. The shell has to know it as well: it continues only what it takes for stopped.
fn wait_until_the_job_is_stopped(terminal: &mut Terminal, under: Under, app: &App) {
    terminal.wait_until_stopped(app.pid);
    terminal.wait_until_stopped(under.receiver(app));
    terminal.wait_until_the_shell_answers();
    while terminal.ask("jobs -s").is_empty() {
        assert!(terminal.is_in_time(), "{}", terminal.describe());
    }
}
