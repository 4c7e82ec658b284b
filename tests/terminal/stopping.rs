//! Stop requests, which come from other processes, while the command has the terminal.

use crate::pty::{self, CTRL_C, CTRL_Z, PROMPT, Terminal};
use crate::support::{Outcome, Test, python_program, repository_file, tests};
use crate::{Place, Under, named};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = named![everywhere: term_stops_a_command_that_has_the_terminal];
    tests.extend(tests![
        term_lets_a_program_that_only_knows_ctrl_c_clean_up,
        ctrl_c_lets_a_program_that_only_knows_ctrl_c_clean_up,
        term_to_a_stopped_job_takes_effect_at_fg,
        term_stops_every_process_of_a_pipeline_that_is_below_the_init,
        a_grace_that_is_over_kills_a_command_that_has_the_terminal,
        ctrl_c_during_a_stop_reaches_the_command,
        the_shell_has_the_terminal_again_after_the_init_was_killed,
    ]);
    tests
}

fn term_stops_a_command_that_has_the_terminal(under: Under, place: Place) {
    let (mut terminal, _, receiver) = place.start(Terminal::new(), under, "app exit=TERM:7 input=stdin");
    pty::send(receiver, "TERM");
    terminal.wait_for_line("cleaning up after TERM");
    place.expect_end(&mut terminal, 7);
}

fn ctrl_c_only() -> String {
    let script = repository_file("examples/ctrl_c_only.py".as_ref());
    format!("graceinit -- {} {}", python_program().display(), script.display())
}

fn term_lets_a_program_that_only_knows_ctrl_c_clean_up() -> Outcome {
    let mut terminal = Terminal::shell();
    terminal.type_line(&format!("{} & fg", ctrl_c_only()));
    terminal.wait_for_line("working");
    let [init] = pty::children(terminal.leader())[..] else { panic!("{}", terminal.describe()) };
    pty::send(init, "TERM");
    terminal.wait_for_line("interrupted: saving the work");
    terminal.wait_for_line("cleanup done");
    terminal.wait_for(PROMPT);
    assert_eq!("3", terminal.status(), "{}", terminal.describe());
    Ok(())
}

fn ctrl_c_lets_a_program_that_only_knows_ctrl_c_clean_up() -> Outcome {
    let mut terminal = Terminal::shell();
    terminal.type_line(&ctrl_c_only());
    terminal.wait_for_line("working");
    terminal.press(CTRL_C);
    terminal.wait_for_line("interrupted: saving the work");
    terminal.wait_for_line("cleanup done");
    terminal.wait_for(PROMPT);
    assert_eq!("3", terminal.status(), "{}", terminal.describe());
    assert!(!terminal.transcript().contains("graceinit:"), "{}", terminal.describe());
    Ok(())
}

fn term_to_a_stopped_job_takes_effect_at_fg() -> Outcome {
    let mut terminal = Terminal::shell();
    let app = terminal.run("graceinit -- app exit=TERM:7 catch=CONT input=stdin");
    terminal.press(CTRL_Z);
    terminal.wait_for("Stopped");
    terminal.wait_for_prompt();
    pty::send(app.init(), "TERM");
    terminal.type_line("fg");
    terminal.wait_for_line("cleaning up after TERM");
    terminal.wait_for(PROMPT);
    assert_eq!("7", terminal.status(), "{}", terminal.describe());
    Ok(())
}

/// Inside the pipeline the command shares the init's group, and the other members of the job are not the init's business.
fn term_stops_every_process_of_a_pipeline_that_is_below_the_init() -> Outcome {
    let mut terminal = Terminal::shell();
    let app = terminal
        .run("graceinit -- app exit=TERM:7 children=2 log=/dev/tty | app label=end input=stdin; echo ${PIPESTATUS[*]}");
    pty::send(app.init(), "TERM");
    terminal.wait_for_line("cleaning up after TERM");
    // The end of the pipeline reads the end of its input: everything that held the pipe is gone, and it was not signalled itself.
    terminal.wait_for_line("end of input");
    terminal.wait_for("7 0");
    Ok(())
}

fn a_grace_that_is_over_kills_a_command_that_has_the_terminal() -> Outcome {
    let mut terminal = Terminal::new().with("GRACEINIT_GRACE", "300ms").start_shell();
    let app = terminal.run("graceinit -- app ignore=TERM,INT input=stdin");
    pty::send(app.init(), "TERM");
    terminal.wait_for("SIGKILL");
    terminal.wait_for(PROMPT);
    assert_eq!("137", terminal.status(), "{}", terminal.describe());
    assert_eq!("it reads", terminal.ask("read line < /dev/tty; echo $line\nit reads"));
    Ok(())
}

/// An impatient person may still interrupt the cleanup: the key goes to the command, whatever graceinit has sent.
fn ctrl_c_during_a_stop_reaches_the_command() -> Outcome {
    let mut terminal = Terminal::shell();
    let app = terminal.run("graceinit -- app catch=TERM exit=INT:7 input=stdin");
    pty::send(app.init(), "TERM");
    terminal.wait_for_line("got TERM");
    terminal.press(CTRL_C);
    terminal.wait_for_line("cleaning up after INT");
    terminal.wait_for(PROMPT);
    assert_eq!("7", terminal.status(), "{}", terminal.describe());
    Ok(())
}

fn the_shell_has_the_terminal_again_after_the_init_was_killed() -> Outcome {
    let mut terminal = Terminal::shell();
    let app = terminal.run("graceinit -- app ignore=TERM,INT,HUP input=stdin");
    pty::send(app.init(), "KILL");
    terminal.wait_for(PROMPT);
    terminal.wait_until_gone(app.pid);
    assert_eq!("137", terminal.status(), "{}", terminal.describe());
    assert_eq!("it reads", terminal.ask("read line < /dev/tty; echo $line\nit reads"));
    Ok(())
}
