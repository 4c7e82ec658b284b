//! Platforms with ways of their own: Heroku, which signals every process itself, and shells that somebody left open.

use crate::apps::{Place, need};
use crate::support::{Finished, Mode, Outcome, Running, Test, both_modes, processes, tests};

const TERM: i32 = libc::SIGTERM;

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = tests![
        on_heroku_a_program_below_a_shell_is_told_once,
        on_heroku_a_program_is_told_once_whoever_is_signalled_first,
        on_heroku_gunicorn_answers_the_request_in_flight,
        on_heroku_the_shield_lets_a_program_that_only_knows_ctrl_c_clean_up,
        on_heroku_the_shield_covers_a_program_below_a_shell,
        an_open_shell_of_an_operator_does_not_delay_the_exit,
        an_open_shell_of_an_operator_does_not_delay_the_exit_of_a_program_that_ends_by_itself,
    ];
    tests.extend(both_modes![
        a_broadcast_can_be_announced,
        without_a_broadcast_the_shield_changes_nothing_for_a_program_that_knows_term,
    ]);
    tests
}

/// TERM to every process at once, as Heroku does it: to graceinit first, or last.
fn signal_everybody(running: &Running, init_first: bool) {
    let mut pids = processes::descendants(running.pid());
    pids.insert(if init_first { 0 } else { pids.len() }, running.pid());
    for pid in pids {
        processes::kill(pid, TERM);
    }
}

fn on_heroku(options: &[&str], words: &[&str], ready: &str, init_first: bool) -> Finished {
    let place = Place::new();
    let options = [&["--grace", "20s"], options].concat();
    let init = place.init(Mode::Pid1).env("DYNO", "web.1").options(options);
    let running = init.command(place.command(words)).start();
    running.wait_for(ready);
    signal_everybody(&running, init_first);
    running.finish()
}

fn check_told_once(finished: &Finished, what: &str) {
    finished.check_stdout_has("app clean").check_stderr_lacks("SIGKILL to").check_stderr_lacks("Traceback");
    let told = finished.stdout.iter().filter(|line| line.contains("app told")).collect::<Vec<_>>();
    assert!(told.len() == 1 && told[0].contains(what), "told {what} once: {finished:#?}");
}

fn on_heroku_a_program_below_a_shell_is_told_once() -> Outcome {
    let finished = on_heroku(&[], &["sh", "-c", "{app} app TERM; echo after"], "app ready", false);
    check_told_once(&finished, "TERM");
    Ok(())
}

fn on_heroku_a_program_is_told_once_whoever_is_signalled_first() -> Outcome {
    for init_first in [true, false] {
        let finished = on_heroku(&[], &["{app}", "app", "TERM"], "app ready", init_first);
        finished.check_code(0);
        check_told_once(&finished, "TERM");
    }
    Ok(())
}

fn on_heroku_gunicorn_answers_the_request_in_flight() -> Outcome {
    let place = Place::new();
    let words = ["{bin}/gunicorn", "--bind", "unix:{dir}/socket", "--workers=2", "web:wsgi"];
    let init =
        place.init(Mode::Pid1).env("DYNO", "web.1").options(["--grace", "20s"]).current_dir(place.fill("{apps}"));
    let running = init.command(place.command(&words)).start();
    running.wait_for_nth_stderr("Booting worker", 2);
    let request = place.request("/");
    running.wait_for("request started");
    signal_everybody(&running, false);
    place.has_been_asked();
    request.check_answered();
    running.finish().check_code(0).check_stderr_lacks("SIGKILL to");
    Ok(())
}

fn on_heroku_the_shield_lets_a_program_that_only_knows_ctrl_c_clean_up() -> Outcome {
    for init_first in [true, false] {
        let finished = on_heroku(&["--shield"], &["{app}", "app", "INT"], "app ready", init_first);
        finished.check_code(0);
        check_told_once(&finished, "INT");
    }
    Ok(())
}

fn on_heroku_the_shield_covers_a_program_below_a_shell() -> Outcome {
    let finished = on_heroku(&["--shield"], &["sh", "-c", "{app} app INT; echo after $?"], "app ready", false);
    finished.check_code(0).check_stdout_has("after 0");
    check_told_once(&finished, "INT");
    Ok(())
}

/// Where the platform cannot be recognised.
fn a_broadcast_can_be_announced(mode: Mode) -> Outcome {
    let place = Place::new();
    let init = place.init(mode).options(["--grace", "20s", "--broadcast", "always"]);
    let running = init.command(place.command(&["{app}", "app", "TERM"])).start();
    running.wait_for("app ready");
    signal_everybody(&running, false);
    let finished = running.finish();
    finished.check_code(0);
    check_told_once(&finished, "TERM");
    Ok(())
}

fn without_a_broadcast_the_shield_changes_nothing_for_a_program_that_knows_term(mode: Mode) -> Outcome {
    let place = Place::new();
    let init = place.init(mode).options(["--grace", "20s", "--shield"]);
    let running = init.command(place.command(&["sh", "-c", "{app} app TERM; echo after"])).start();
    running.wait_for("app ready");
    running.signal(TERM);
    let finished = running.finish();
    finished.check_code(0).check_stdout_has("after");
    check_told_once(&finished, "TERM");
    Ok(())
}

fn an_open_shell_of_an_operator_does_not_delay_the_exit() -> Outcome {
    with_an_open_shell(&["{app}", "app", "INT"], |running| {
        running.signal(TERM);
    })
}

fn an_open_shell_of_an_operator_does_not_delay_the_exit_of_a_program_that_ends_by_itself() -> Outcome {
    with_an_open_shell(&["sh", "-c", "echo app ready; read line; echo app clean"], |running| running.write("go\n"))
}

/// What `docker exec` and `kubectl exec` do: a process in the PID namespace that does not descend from graceinit.
fn with_an_open_shell(words: &[&str], end: impl FnOnce(&mut Running)) -> Outcome {
    need("nsenter");
    let place = Place::new();
    let init = place.init(Mode::Pid1).options(["--grace", "infinity"]).stdin(crate::support::Stream::Captured);
    let mut running = init.command(place.command(words)).start();
    running.wait_for("app ready");
    let target = running.pid().to_string();
    let mut entering = vec!["nsenter", "--target", &target, "--pid", "--mount"];
    if !processes::are_root() {
        entering.extend(["--user", "--preserve-credentials"]);
    }
    entering.extend(["--", "sh", "-c", "echo inside >{dir}/shell; trap '' TERM INT; sleep 1000; sleep 1000"]);
    let shell = place.start_beside(&entering);
    place.wait_for_file("shell", "inside");
    end(&mut running);
    running.finish().check_code(0).check_stdout_has("app clean");
    // The kernel ended it with the namespace.
    let (succeeded, _) = shell.finish();
    assert!(!succeeded, "the shell ended by itself");
    Ok(())
}
