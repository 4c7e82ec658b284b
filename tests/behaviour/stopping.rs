//! A stop request: who is told, how often, what is said, and when it is over for good.

use std::time::{Duration, Instant};

use crate::support::{
    Finished, Init, Mode, NONE, Outcome, Running, Stream, Test, both_modes, eventually, fixture, init_under_test,
    processes, python,
};

pub fn tests() -> Vec<Test> {
    both_modes![
        a_program_that_only_knows_ctrl_c_cleans_up_at_a_term,
        a_program_that_only_knows_ctrl_c_cleans_up_at_an_int,
        a_program_that_only_knows_term_gets_term_at_an_int,
        a_program_that_handles_both_gets_the_one_that_was_received,
        a_program_that_handles_nothing_dies_of_the_request_at_once,
        a_repeated_request_is_not_passed_on,
        a_start_and_a_clean_end_say_nothing,
        a_stop_says_who_asked_who_got_what_and_how_it_ended,
        a_command_that_ignores_the_request_is_killed_when_the_grace_is_over,
        a_grace_of_zero_kills_at_once,
        an_infinite_grace_never_kills,
        the_grace_without_an_option_is_the_platforms,
        a_stopped_command_is_continued_so_that_it_can_stop,
        one_init_inside_another_tells_the_command_once,
        a_command_that_blocks_term_and_waits_for_it_is_served,
        to_main_tells_the_main_process_even_if_it_is_a_shell,
        to_group_tells_the_whole_group_at_once,
        to_all_tells_other_sessions_too,
        the_last_call_frees_a_parent_that_waits_for_a_child_nobody_told,
    ]
}

/// What the line about a killed process says; others only announce it.
pub const KILLED: &str = "SIGKILL to";

fn stop(init: Init, signal: i32) -> Finished {
    let running = init.start();
    running.wait_for("ready");
    running.signal(signal);
    running.finish()
}

fn a_program_that_only_knows_ctrl_c_cleans_up_at_a_term(mode: Mode) -> Outcome {
    check_ctrl_c_only(mode, libc::SIGTERM)
}

fn a_program_that_only_knows_ctrl_c_cleans_up_at_an_int(mode: Mode) -> Outcome {
    check_ctrl_c_only(mode, libc::SIGINT)
}

fn check_ctrl_c_only(mode: Mode, signal: i32) -> Outcome {
    let running = Init::new(mode).command(python("examples/ctrl_c_only.py", NONE)).start();
    running.wait_for("working");
    running.signal(signal);
    let finished = running.finish();
    finished.check_code(3);
    let place = |text: &str| finished.stdout.iter().position(|line| line == text);
    let (interrupted, done) = (place("interrupted: saving the work"), place("cleanup done"));
    assert!(interrupted.is_some() && interrupted < done, "both steps in order: {finished:#?}");
    finished.check_stderr_lacks("Traceback").check_stderr_lacks(KILLED);
    Ok(())
}

fn a_program_that_only_knows_term_gets_term_at_an_int(mode: Mode) -> Outcome {
    let finished = stop(Init::new(mode).command(fixture("family", ["none", "0", "told:5"])), libc::SIGINT);
    finished.check_code(5).check_stdout_has("main told");
    Ok(())
}

fn a_program_that_handles_both_gets_the_one_that_was_received(mode: Mode) -> Outcome {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let command = fixture("print-signals", ["until", &signal.to_string(), "7"]);
        let finished = stop(Init::new(mode).command(command), signal);
        finished.check_code(7);
        let signals: Vec<_> = finished.stdout.iter().filter(|line| line.starts_with("signal ")).collect();
        assert!(signals.len() == 1 && signals[0].starts_with(&format!("signal {signal} ")), "{signals:?}");
    }
    Ok(())
}

fn a_program_that_handles_nothing_dies_of_the_request_at_once(mode: Mode) -> Outcome {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // It ends at all only because the request itself ends it: nobody is going to kill it.
        let finished = stop(Init::new(mode).options(["--grace", "infinity"]).command(fixture("wait", NONE)), signal);
        finished.check_code(128 + signal);
    }
    Ok(())
}

fn a_repeated_request_is_not_passed_on(mode: Mode) -> Outcome {
    let running = Init::new(mode).command(fixture("print-signals", ["until", "64", "4"])).start();
    running.wait_for("ready");
    running.signal(libc::SIGTERM);
    running.wait_for("signal 15 ");
    for round in 1..=5 {
        running.signal(libc::SIGTERM);
        running.signal(libc::SIGINT);
        // The init takes lower numbers first: when this one is through, it has seen the requests.
        running.signal_value(63, round);
        running.wait_for_nth("signal 63 ", usize::try_from(round)?);
    }
    running.signal(64);
    let finished = running.finish();
    finished.check_code(4).check_stdout_lacks("signal 2 ");
    // INT went nowhere, so only the explanation names it.
    finished.check_stderr_has(&["SIGINT"]);
    assert_eq!(finished.stdout.iter().filter(|line| line.starts_with("signal 15 ")).count(), 1, "{finished:#?}");
    Ok(())
}

fn a_start_and_a_clean_end_say_nothing(mode: Mode) -> Outcome {
    let running =
        Init::new(mode).command(["/bin/sh", "-c", "echo ready; read line; exit 0"]).stdin(Stream::Captured).start();
    running.wait_for("ready");
    let mut running = running;
    running.close_stdin();
    running.finish().check_code(0).check_silent();
    Ok(())
}

fn a_stop_says_who_asked_who_got_what_and_how_it_ended(mode: Mode) -> Outcome {
    let running = Init::new(mode).command(fixture("print-signals", ["until", "15", "7"])).start();
    let pid = ready_pid(&running);
    running.signal(libc::SIGTERM);
    let finished = running.finish();
    finished.check_code(7);
    for line in &finished.stderr {
        assert!(line.starts_with("graceinit: "), "{finished:#?}");
    }
    finished.check_stderr_has(&["SIGTERM"]);
    finished.check_stderr_has(&[&pid.to_string()]);
    finished.check_stderr_lacks(KILLED);
    Ok(())
}

fn a_command_that_ignores_the_request_is_killed_when_the_grace_is_over(mode: Mode) -> Outcome {
    for (grace, length) in
        [("500ms", Duration::from_millis(500)), ("1", Duration::from_secs(1)), ("0m1s", Duration::from_secs(1))]
    {
        let running = Init::new(mode).options(["--grace", grace]).command(fixture("ignore", ["2", "15"])).start();
        let pid = ready_pid(&running);
        let asked = Instant::now();
        running.signal(libc::SIGTERM);
        let finished = running.finish();
        let took = asked.elapsed();
        finished.check_code(137);
        assert!(took >= length, "{grace}: killed after {took:?}");
        check_killed_line(&finished, pid);
    }
    Ok(())
}

fn a_grace_of_zero_kills_at_once(mode: Mode) -> Outcome {
    let running = Init::new(mode).options(["--grace", "0"]).command(fixture("ignore", ["2", "15"])).start();
    let pid = ready_pid(&running);
    running.signal(libc::SIGTERM);
    let finished = running.finish();
    finished.check_code(137);
    check_killed_line(&finished, pid);
    Ok(())
}

fn an_infinite_grace_never_kills(mode: Mode) -> Outcome {
    // With any of the platform's limits in force this would be over after half a second.
    let init = Init::new(mode).env("WEBSITE_SITE_NAME", "site").env("WEBSITES_CONTAINER_STOP_TIME_LIMIT", "1");
    let init = init.options(["--grace", "infinity"]).command(fixture("family", ["group", "1500", "told:3"]));
    let finished = stop(init, libc::SIGTERM);
    finished.check_code(3).check_stdout_has("worker drained").check_stderr_lacks(KILLED);
    Ok(())
}

fn the_grace_without_an_option_is_the_platforms(mode: Mode) -> Outcome {
    let init = Init::new(mode).env("WEBSITE_SITE_NAME", "site").env("WEBSITES_CONTAINER_STOP_TIME_LIMIT", "2");
    let running = init.command(fixture("ignore", ["2", "15"])).start();
    running.wait_for("ready");
    let asked = Instant::now();
    running.signal(libc::SIGTERM);
    running.finish().check_code(137);
    // Two seconds less the margin of half a second.
    assert!(asked.elapsed() >= Duration::from_millis(1500), "killed after {:?}", asked.elapsed());
    Ok(())
}

fn a_stopped_command_is_continued_so_that_it_can_stop(mode: Mode) -> Outcome {
    let running = Init::new(mode)
        .options(["--grace", "infinity"])
        .command(fixture("print-signals", ["until", "15", "7"]))
        .start();
    running.wait_for("ready");
    let command = only_child(&running);
    processes::kill(command, libc::SIGSTOP);
    eventually("a stopped command", || (processes::state(command) == Some('T')).then_some(()));
    running.signal(libc::SIGTERM);
    running.finish().check_code(7).check_stdout_has("signal 15 ");
    Ok(())
}

fn one_init_inside_another_tells_the_command_once(mode: Mode) -> Outcome {
    let mut words = vec![init_under_test().into_os_string(), "--".into()];
    words.extend(fixture("print-signals", ["until", "64", "7"]));
    let running = Init::new(mode).command(words).start();
    running.wait_for("ready");
    running.signal(libc::SIGUSR1);
    running.wait_for("signal 10 ");
    running.signal(libc::SIGTERM);
    running.wait_for("signal 15 ");
    running.signal(64);
    let finished = running.finish();
    finished.check_code(7);
    let signals: Vec<_> = finished.stdout.iter().filter(|line| line.starts_with("signal ")).collect();
    assert_eq!(signals.len(), 3, "each of the three once: {finished:#?}");
    Ok(())
}

fn a_command_that_blocks_term_and_waits_for_it_is_served(mode: Mode) -> Outcome {
    let command = fixture("print-signals", ["wait", "until", "15", "7"]);
    let finished = stop(Init::new(mode).options(["--grace", "infinity"]).command(command), libc::SIGTERM);
    finished.check_code(7).check_stdout_lacks("signal 2 ");
    Ok(())
}

fn to_main_tells_the_main_process_even_if_it_is_a_shell(mode: Mode) -> Outcome {
    // Left to itself the shell would be held until the program below it has ended, and go on.
    let words = fixture("print-signals", ["until", "15", "7"]);
    let words: Vec<_> = words.iter().map(|word| format!("'{}'", word.to_string_lossy())).collect();
    let script = format!("{}; echo the shell went on; exit 0", words.join(" "));
    let start = |to: &str| {
        let init = Init::new(mode).options(["--to", to, "--grace", "20s"]).command(["dash", "-c", &script]);
        stop(init, libc::SIGTERM)
    };
    let finished = start("main");
    finished.check_code(143).check_stdout_has("signal 15 ").check_stdout_lacks("the shell went on");
    let finished = start("auto");
    finished.check_code(0).check_stdout_has("signal 15 ").check_stdout_has("the shell went on");
    Ok(())
}

/// The main process waits for a worker that only ends when it is told.
fn waiting_family(mode: Mode, kind: &str, options: &[&str]) -> Init {
    Init::new(mode).options(options).command(fixture("family", [kind, "0", "stays:3"]))
}

fn to_group_tells_the_whole_group_at_once(mode: Mode) -> Outcome {
    for options in [&["--to", "group"][..], &["-g"]] {
        // Without an end of the grace there is no last call either.
        let init = waiting_family(mode, "group", options).options(["--grace", "infinity"]);
        let finished = stop(init, libc::SIGTERM);
        finished.check_code(3).check_stdout_has("main told").check_stdout_has("worker drained");
    }
    Ok(())
}

fn to_all_tells_other_sessions_too(mode: Mode) -> Outcome {
    for kind in ["group", "session", "daemon"] {
        let init = waiting_family(mode, kind, &["--to", "all", "--grace", "infinity"]);
        let finished = stop(init, libc::SIGTERM);
        finished.check_code(3).check_stdout_has("main told").check_stdout_has("worker drained");
    }
    Ok(())
}

fn the_last_call_frees_a_parent_that_waits_for_a_child_nobody_told(mode: Mode) -> Outcome {
    for to in ["auto", "main"] {
        let running = waiting_family(mode, "group", &["--to", to, "--grace", "2s"]).start();
        running.wait_for("ready");
        let asked = Instant::now();
        running.signal(libc::SIGTERM);
        running.wait_for("worker told");
        // A tenth of the grace before its end, and not earlier.
        assert!(asked.elapsed() >= Duration::from_millis(1800), "last call after {:?}", asked.elapsed());
        let finished = running.finish();
        finished.check_code(3).check_stdout_has("worker drained").check_stderr_lacks(KILLED);
    }
    Ok(())
}

/// The pid that the command itself says it has: in its namespace, as the log lines mean it.
pub fn ready_pid(running: &Running) -> i32 {
    running.wait_for("ready ").trim_start_matches("ready ").parse().unwrap_or_else(|_| running.fail("no pid"))
}

/// The command, as the test sees it.
pub fn only_child(running: &Running) -> i32 {
    let children = processes::children(running.pid());
    children.first().copied().unwrap_or_else(|| running.fail("it has no child"))
}

/// One line names the process that was killed, and says so.
pub fn check_killed_line(finished: &Finished, pid: i32) {
    let pid = pid.to_string();
    let names_it = |line: &&String| line.split(|c: char| !c.is_ascii_digit()).any(|word| word == pid);
    let lines: Vec<_> = finished.stderr.iter().filter(|line| line.contains(KILLED)).filter(names_it).collect();
    assert!(lines.len() == 1, "one line with {KILLED:?} and {pid} expected: {finished:#?}");
    // The fixture is the test binary itself.
    assert!(lines[0].contains("behaviour"), "the name of the process is missing: {lines:?}");
}
