//! Others in the same process group: pipelines, pagers, scripts, make, command substitutions. Taking the terminal away from them would stop them.

use crate::pty::{self, App, CTRL_C, CTRL_Z, PROMPT, Terminal};
use crate::support::{Test, find_program, skip_now};
use crate::{Under, named};

pub(crate) fn tests() -> Vec<Test> {
    named![with_control:
        a_pager_behind_the_command_reads_the_keys,
        a_pager_behind_the_messages_of_the_command_reads_the_keys,
        less_behind_the_command_shows_its_output,
        less_that_is_left_early_ends_the_command,
        ctrl_c_ends_the_command_and_leaves_less_alone,
        ctrl_c_ends_all_of_a_pipeline_with_the_command_at_its_head,
        ctrl_c_ends_all_of_a_pipeline_with_the_command_at_its_end,
        ctrl_c_reaches_both_ends_of_a_pipeline_once,
        the_command_reads_a_pipe,
        a_command_without_stdin_gets_ctrl_c_once_and_may_use_the_terminal,
        a_command_with_closed_descriptors_gets_ctrl_c_once,
        ctrl_c_ends_a_make_target,
        ctrl_c_reaches_the_command_of_a_make_target_once,
        ctrl_z_and_fg_work_for_a_make_target,
        a_command_substitution_gets_the_output,
        ctrl_c_in_a_command_substitution_reaches_the_command_once,
        ctrl_z_in_a_command_substitution_does_not_stop_the_shell,
        a_script_reads_the_terminal_before_and_after_the_command,
        ctrl_c_reaches_the_command_of_a_script_once,
    ]
}

fn expect_status(terminal: &mut Terminal, status: &str) {
    terminal.wait_for(PROMPT);
    assert_eq!(status, terminal.status(), "{}", terminal.describe());
    assert_eq!("", terminal.ask("jobs"), "{}", terminal.describe());
}

/// Ctrl+C once, counted when nothing can be under way any more.
fn expect_one_ctrl_c(terminal: &mut Terminal, under: Under, app: &App) {
    terminal.press(CTRL_C);
    terminal.wait_for_line("got INT");
    let counts = terminal.counts(under.receiver(app));
    assert_eq!((1, 0), (counts["INT"], counts["TERM"]), "{}", terminal.describe());
}

fn a_pager_behind_the_command_reads_the_keys(under: Under) {
    let mut terminal = Terminal::shell();
    terminal.type_line(&format!("{} | app pager", under.wrap("app print=3")));
    terminal.wait_for("page: line 1");
    let pager = terminal.wait_for_app();
    terminal.type_line("where");
    terminal.wait_for("in the foreground");
    terminal.type_line("exit 7");
    terminal.wait_until_gone(pager.pid);
    // The command in front of it waits for ever, and the shell for all of the pipeline.
    terminal.press(CTRL_C);
    terminal.wait_for_prompt();
    expect_codes_of_the_pipeline(&mut terminal);
}

fn expect_codes_of_the_pipeline(terminal: &mut Terminal) {
    assert_eq!("130 7", terminal.ask("echo ${PIPESTATUS[*]}"), "{}", terminal.describe());
}

/// Of a pipeline the shell starts the later programs when the first one already runs: nobody else is in the group yet.
fn a_pager_behind_the_messages_of_the_command_reads_the_keys(under: Under) {
    let mut terminal = Terminal::shell();
    for _ in 0..10 {
        let command = under.wrap("app print=1 log=/dev/stderr");
        terminal.type_line(&format!("{command} 2>&1 > /dev/null | app pager"));
        terminal.wait_for("page: line 1");
        let pager = terminal.wait_for_app();
        terminal.type_line("where");
        terminal.wait_for("in the foreground");
        terminal.type_line("exit 7");
        terminal.wait_until_gone(pager.pid);
        terminal.press(CTRL_C);
        terminal.wait_for_prompt();
        expect_codes_of_the_pipeline(&mut terminal);
    }
}

fn less() -> &'static str {
    if find_program("less").is_none() {
        skip_now("less");
    }
    "less -X"
}

fn less_behind_the_command_shows_its_output(under: Under) {
    let mut terminal = Terminal::shell();
    terminal.type_line(&format!("{} | {}", under.wrap("app print=100 input=/dev/null"), less()));
    terminal.wait_for("line 20");
    terminal.press("G");
    terminal.wait_for("end of input");
    terminal.press("q");
    expect_status(&mut terminal, "0");
}

fn less_that_is_left_early_ends_the_command(under: Under) {
    let mut terminal = Terminal::shell();
    terminal.type_line(&format!("{} | {}", under.wrap("app print=endless"), less()));
    terminal.wait_for("line 20");
    terminal.press(" ");
    terminal.wait_for("line 40");
    terminal.press("q");
    terminal.wait_for_prompt();
    // It died of SIGPIPE.
    assert_eq!("141 0", terminal.ask("echo ${PIPESTATUS[*]}"), "{}", terminal.describe());
}

fn ctrl_c_ends_the_command_and_leaves_less_alone(under: Under) {
    let mut terminal = Terminal::shell();
    terminal.type_line(&format!("{} | {}", under.wrap("app print=10"), less()));
    terminal.wait_for("ready");
    terminal.press(CTRL_C);
    terminal.wait_for("(END)");
    terminal.press("q");
    terminal.wait_for_prompt();
    assert_eq!("130 0", terminal.ask("echo ${PIPESTATUS[*]}"), "{}", terminal.describe());
}

fn ctrl_c_ends_all_of_a_pipeline_with_the_command_at_its_head(under: Under) {
    ctrl_c_ends_all_of(&format!("{} | cat", under.wrap("app")));
}

fn ctrl_c_ends_all_of_a_pipeline_with_the_command_at_its_end(under: Under) {
    ctrl_c_ends_all_of(&format!("app | {}", under.wrap("cat")));
}

/// What `app` says arrives through the whole pipeline: then all of it runs.
fn ctrl_c_ends_all_of(pipeline: &str) {
    let mut terminal = Terminal::shell();
    let app = terminal.run(pipeline);
    terminal.press(CTRL_C);
    terminal.wait_until_gone(app.pid);
    terminal.wait_for_prompt();
    assert_eq!("130 130", terminal.ask("echo ${PIPESTATUS[*]}"), "{}", terminal.describe());
}

fn ctrl_c_reaches_both_ends_of_a_pipeline_once(under: Under) {
    let mut terminal = Terminal::shell();
    let head = under.wrap("app catch=INT log=/dev/tty");
    let end = under.wrap("app catch=INT input=/dev/tty");
    terminal.type_line(&format!("{head} > /dev/null | {end}"));
    let both = [terminal.wait_for_app(), terminal.wait_for_app()];
    terminal.press(CTRL_C);
    for _ in both {
        terminal.wait_for_line("got INT");
    }
    for app in both {
        assert_eq!(1, terminal.counts(under.receiver(&app))["INT"], "{}", terminal.describe());
    }
    assert_eq!(2, terminal.transcript().matches("got INT").count(), "{}", terminal.describe());
}

fn the_command_reads_a_pipe(under: Under) {
    let mut terminal = Terminal::shell();
    terminal.run(&format!("(echo from the pipe; echo exit 7) | {}", under.wrap("app input=stdin")));
    expect_status(&mut terminal, "7");
    assert!(terminal.transcript().contains("read from the pipe"), "{}", terminal.describe());
}

/// `sudo` and `ssh` ask for a password on /dev/tty whatever stdin is.
fn a_command_without_stdin_gets_ctrl_c_once_and_may_use_the_terminal(under: Under) {
    let mut terminal = Terminal::shell();
    terminal.ask("stty tostop");
    let app = terminal.run(&format!("{} < /dev/null", under.wrap("app catch=INT,TERM input=/dev/tty")));
    terminal.type_line("hello");
    terminal.wait_for("read hello");
    expect_one_ctrl_c(&mut terminal, under, &app);
    terminal.press(CTRL_Z);
    terminal.wait_for("Stopped");
    terminal.wait_for_prompt();
    terminal.type_line("fg");
    terminal.type_line("exit 7");
    expect_status(&mut terminal, "7");
}

fn a_command_with_closed_descriptors_gets_ctrl_c_once(under: Under) {
    for closed in ["0", "1", "2", "0 1 2"] {
        let mut terminal = Terminal::shell();
        let redirections: String = closed.split(' ').map(|descriptor| format!(" {descriptor}>&-")).collect();
        let command = under.wrap("app catch=INT,TERM exit=INT:7 log=/dev/tty");
        // Its own lines appear once by stdout, where that is open, and once by the log.
        let app = terminal.run(&format!("{command}{redirections}"));
        terminal.press(CTRL_C);
        terminal.wait_for_line("cleaning up after INT");
        terminal.wait_until_gone(app.pid);
        expect_status(&mut terminal, "7");
    }
}

fn make(run: &str) -> String {
    if find_program("make").is_none() {
        skip_now("make");
    }
    format!("make -s -f {} RUN='{run}'", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tty_makefile"))
}

fn ctrl_c_ends_a_make_target(under: Under) {
    let mut terminal = Terminal::shell();
    terminal.run(&make(&under.wrap("app")));
    terminal.press(CTRL_C);
    let rest = terminal.wait_for_prompt();
    assert!(!rest.contains("the next target"), "{}", terminal.describe());
    assert_ne!("0", terminal.status(), "{}", terminal.describe());
}

fn ctrl_c_reaches_the_command_of_a_make_target_once(under: Under) {
    let mut terminal = Terminal::shell();
    let app = terminal.run(&make(&under.wrap("app catch=INT,TERM input=stdin")));
    terminal.type_line("hello");
    terminal.wait_for("read hello");
    // make itself sends TERM to its children when it was interrupted; only Ctrl+C is ours here.
    terminal.press(CTRL_C);
    terminal.wait_for_line("got INT");
    assert_eq!(1, terminal.counts(under.receiver(&app))["INT"], "{}", terminal.describe());
    terminal.type_line("exit 0");
    terminal.wait_for_prompt();
}

fn ctrl_z_and_fg_work_for_a_make_target(under: Under) {
    let mut terminal = Terminal::shell();
    let app = terminal.run(&make(&under.wrap("app input=stdin")));
    terminal.press(CTRL_Z);
    terminal.wait_for("Stopped");
    terminal.wait_for_prompt();
    // make is the shell's child, not the command: that may still be on its way, and read what is typed next.
    terminal.wait_until_stopped(app.pid);
    terminal.type_line("fg");
    terminal.type_line("hello");
    terminal.wait_for("read hello");
    terminal.type_line("exit 0");
    terminal.wait_for("the next target");
    expect_status(&mut terminal, "0");
}

fn a_command_substitution_gets_the_output(under: Under) {
    let mut terminal = Terminal::shell();
    terminal.run(&format!("result=$({}); echo \"result: $result\"", under.wrap("app input=stdin log=/dev/tty")));
    terminal.type_line("hello");
    terminal.wait_for_line("read hello");
    terminal.type_line("exit 7");
    terminal.wait_for("result: ready");
    terminal.wait_for("read hello");
    expect_status(&mut terminal, "0");
}

fn ctrl_c_in_a_command_substitution_reaches_the_command_once(under: Under) {
    let mut terminal = Terminal::shell();
    let command = under.wrap("app catch=INT,TERM input=stdin log=/dev/tty");
    let app = terminal.run(&format!("result=$({command}); echo \"result: $result\""));
    expect_one_ctrl_c(&mut terminal, under, &app);
    terminal.type_line("exit 7");
    terminal.wait_for_prompt();
    assert_eq!("the shell answers", terminal.ask("echo the shell answers"));
}

/// There the command is in the group of the shell itself, which must not be stopped: nobody could revive it.
fn ctrl_z_in_a_command_substitution_does_not_stop_the_shell(under: Under) {
    let mut terminal = Terminal::shell();
    let command = under.wrap("app catch=INT input=stdin log=/dev/tty");
    let app = terminal.run(&format!("result=$({command}); echo \"result: $result\""));
    terminal.press(CTRL_Z);
    terminal.type_line("hello");
    terminal.wait_for_line("read hello");
    expect_one_ctrl_c(&mut terminal, under, &app);
    terminal.type_line("exit 7");
    terminal.wait_for_prompt();
    assert_eq!("the shell answers", terminal.ask("echo the shell answers"));
}

fn a_script_reads_the_terminal_before_and_after_the_command(under: Under) {
    let mut terminal = Terminal::shell();
    let command = under.wrap("app input=stdin");
    terminal
        .type_line(&format!("dash -c 'read a; echo a=$a; {command}; read b; echo b=$b; {command}; read c; echo c=$c'"));
    terminal.type_line("one");
    terminal.wait_for("a=one");
    for (word, reply) in [("two", "b=two"), ("three", "c=three")] {
        terminal.wait_for_app();
        terminal.type_line("exit 7");
        terminal.type_line(word);
        terminal.wait_for(reply);
    }
    expect_status(&mut terminal, "0");
}

fn ctrl_c_reaches_the_command_of_a_script_once(under: Under) {
    let mut terminal = Terminal::shell();
    let app = terminal.run(&format!("bash -c '{}; exit 9'", under.wrap("app catch=INT,TERM input=stdin")));
    // A Ctrl+C before it waits would end bash itself.
    terminal.wait_until_it_catches(pty::parent(under.receiver(&app)), "INT");
    expect_one_ctrl_c(&mut terminal, under, &app);
    terminal.type_line("exit 7");
    expect_status(&mut terminal, "9");
}
