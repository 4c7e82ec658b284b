//! Signals that ask for no stop: they reach those that catch them, and nobody dies of them who does not.

use crate::apps::{Place, need, need_root};
use crate::support::{Mode, Outcome, Test, both_modes, tests};

const TERM: i32 = libc::SIGTERM;
/// The first real-time signal of glibc, which is also RTMIN for graceinit.
const RTMIN: i32 = 34;

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = both_modes![
        hup_reloads_gunicorn_and_the_request_in_flight_is_answered,
        quit_makes_a_jvm_print_its_threads_and_go_on,
        a_signal_below_a_shell_does_not_end_the_shell,
        a_signal_below_bash_does_not_end_it,
        a_signal_below_subprocess_run_does_not_end_the_wrapper,
        a_signal_below_a_nested_init_arrives_once,
        a_shells_trap_for_hup_and_the_program_below_both_get_it,
        a_signal_that_nobody_catches_goes_to_the_group,
        a_signal_to_a_master_does_not_reach_its_worker,
    ];
    tests.extend(tests![usr2_below_a_shell_of_another_user_arrives_once]);
    tests
}

/// A group-wide HUP would end the workers, and with them the request.
fn hup_reloads_gunicorn_and_the_request_in_flight_is_answered(mode: Mode) -> Outcome {
    let place = Place::new();
    let words = ["{bin}/gunicorn", "--bind", "unix:{dir}/socket", "--workers=2", "web:wsgi"];
    let running = place.init(mode).options(["--grace", "20s"]).current_dir(place.fill("{apps}"));
    let running = running.command(place.command(&words)).start();
    running.wait_for_nth_stderr("Booting worker", 2);
    let before = place.request("/");
    running.wait_for("request started");
    running.signal(libc::SIGHUP);
    place.has_been_asked();
    running.wait_for_stderr("Handling signal: hup");
    let old = before.check_answered();
    running.wait_for_nth_stderr("Booting worker", 4);
    running.wait_for_nth_stderr("Worker exiting", 2);
    let new = place.request("/fast").check_answered();
    assert!(worker(&old) != worker(&new), "the same worker after the reload: {new}");
    running.signal(TERM);
    running.finish().check_code(0).check_stderr_lacks("SIGKILL to");
    Ok(())
}

fn worker(answer: &str) -> Option<&str> {
    answer.lines().find_map(|line| line.strip_prefix("answered by "))
}

fn quit_makes_a_jvm_print_its_threads_and_go_on(mode: Mode) -> Outcome {
    let place = Place::new();
    let running = place.init(mode).command(place.command(&["java", "{apps}/java/Hook.java"])).start();
    running.wait_for("java ready");
    running.signal(libc::SIGQUIT);
    running.wait_for("Full thread dump");
    // The dump ends with the heap; whoever can still be asked was not stopped by the first one.
    running.signal(libc::SIGQUIT);
    running.wait_for_nth("Full thread dump", 2);
    running.signal(TERM);
    running.finish().check_code(143).check_stdout_has("hook ran");
    Ok(())
}

fn a_signal_below_a_shell_does_not_end_the_shell(mode: Mode) -> Outcome {
    forwards_all(mode, &["sh", "-c", "{app} app HUP,USR1,USR2,WINCH,RTMIN+3,TERM; echo after $?"], "after 0")
}

fn a_signal_below_bash_does_not_end_it(mode: Mode) -> Outcome {
    need("bash");
    forwards_all(mode, &["bash", "-c", "{app} app HUP,USR1,USR2,WINCH,RTMIN+3,TERM; echo after $?"], "after 0")
}

fn a_signal_below_subprocess_run_does_not_end_the_wrapper(mode: Mode) -> Outcome {
    let words = ["{python}", "{apps}/run.py", "plain", "{app}", "app", "HUP,USR1,USR2,WINCH,RTMIN+3,TERM"];
    forwards_all(mode, &words, "wrapper saw 0")
}

fn a_signal_below_a_nested_init_arrives_once(mode: Mode) -> Outcome {
    forwards_all(mode, &["tini", "-s", "--", "{app}", "app", "HUP,USR1,USR2,WINCH,RTMIN+3,TERM"], "app clean")
}

/// Sends each signal, waits until the program has been told it, then stops the tree.
fn forwards_all(mode: Mode, words: &[&str], last_words: &str) -> Outcome {
    let place = Place::new();
    let running = place.init(mode).options(["--grace", "20s"]).command(place.command(words)).start();
    running.wait_for("app ready");
    let signals = [
        (libc::SIGHUP, "HUP"),
        (libc::SIGUSR1, "USR1"),
        (libc::SIGUSR2, "USR2"),
        (libc::SIGWINCH, "WINCH"),
        (RTMIN + 3, "RTMIN+3"),
    ];
    for (signal, name) in signals {
        running.signal(signal);
        running.wait_for(&format!("app told {name}"));
    }
    running.signal(TERM);
    let finished = running.finish();
    finished.check_code(0).check_stdout_has("app clean").check_stdout_has(last_words).check_stderr_lacks("SIGKILL to");
    let told = finished.stdout.iter().filter(|line| line.contains("app told")).count();
    assert!(told == 6, "each of the six signals once: {finished:#?}");
    Ok(())
}

fn a_shells_trap_for_hup_and_the_program_below_both_get_it(mode: Mode) -> Outcome {
    let place = Place::new();
    let words = ["sh", "-c", "trap 'echo shell told HUP' HUP; {app} app HUP,TERM; echo after"];
    let running = place.init(mode).options(["--grace", "20s"]).command(place.command(&words)).start();
    running.wait_for("app ready");
    running.signal(libc::SIGHUP);
    running.wait_for("app told HUP");
    running.signal(TERM);
    // A trap runs when the foreground command has ended.
    running
        .finish()
        .check_code(0)
        .check_stdout_has("app clean")
        .check_stdout_has("shell told HUP")
        .check_stdout_has("after");
    Ok(())
}

fn a_signal_that_nobody_catches_goes_to_the_group(mode: Mode) -> Outcome {
    let place = Place::new();
    let words = ["sh", "-c", "echo ready; sleep 1000; echo after"];
    let running = place.init(mode).options(["--grace", "infinity"]).command(place.command(&words)).start();
    running.wait_for("ready");
    running.signal(libc::SIGUSR1);
    running.finish().check_code(128 + libc::SIGUSR1).check_stdout_lacks("after");
    Ok(())
}

/// The worker below a master that catches the signal would die of it.
fn a_signal_to_a_master_does_not_reach_its_worker(mode: Mode) -> Outcome {
    let place = Place::new();
    let words = ["bash", "-c", "trap 'echo master told USR1' USR1; {app} worker TERM & wait; wait; wait; echo done"];
    let running = place.init(mode).options(["--grace", "20s"]).command(place.command(&words)).start();
    running.wait_for("worker ready");
    running.signal(libc::SIGUSR1);
    running.wait_for("master told USR1");
    running.signal(TERM);
    running
        .finish()
        .check_stdout_has("worker told TERM")
        .check_stdout_has("worker clean")
        .check_stderr_lacks("SIGKILL to");
    Ok(())
}

fn usr2_below_a_shell_of_another_user_arrives_once() -> Outcome {
    need_root();
    let place = Place::for_another_user();
    let words = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--",
        "sh",
        "-c",
        "{app} app USR2,TERM; echo after",
    ];
    let init =
        place.init(Mode::Pid1).options(["--grace", "20s"]).wrapper(["setpriv", "--bounding-set=-sys_ptrace", "--"]);
    let running = init.command(place.command(&words)).start();
    running.wait_for("app ready");
    running.signal(libc::SIGUSR2);
    running.wait_for("app told USR2");
    running.signal(TERM);
    let finished = running.finish();
    finished.check_code(0).check_stdout_has("app clean").check_stdout_has("after");
    assert!(finished.stdout.iter().filter(|line| line.contains("told USR2")).count() == 1, "{finished:#?}");
    Ok(())
}
