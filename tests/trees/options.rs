//! The options that change a stop, on trees with work in flight.

use std::time::{Duration, Instant};

use crate::apps::Place;
use crate::row::{Row, row};
use crate::support::{Mode, Outcome, Running, Test, both_modes};

const TERM: i32 = libc::SIGTERM;

pub(crate) fn rows() -> Vec<Row> {
    let over_app = |name| row(name, ["{app}", "app", "TERM", "0.3"]).ready("app ready").code(0);
    let told = ["app told TERM", "app clean"];
    vec![
        over_app("a_pre_stop_command_runs_before_the_signal")
            .options(["--grace", "20s", "--pre-stop", "sh -c 'sleep 0.3; echo pre-stop in $PWD'"])
            .says(["pre-stop in {dir}", "app told TERM", "app clean"]),
        over_app("a_pre_stop_command_and_a_drain")
            .options(["--grace", "20s", "--drain", "500ms", "--pre-stop", "echo pre-stop"])
            .says(["pre-stop", "app told TERM", "app clean"]),
        over_app("a_pre_stop_command_that_fails_stops_nothing")
            .options(["--grace", "20s", "--pre-stop", "false"])
            .logs(["pre-stop"])
            .says(told),
        over_app("a_pre_stop_command_that_does_not_exist_stops_nothing")
            .options(["--grace", "20s", "--pre-stop", "/nowhere/pre-stop"])
            .logs(["pre-stop"])
            .says(told),
        over_app("the_environment_can_ask_for_a_pre_stop_command").env("GRACEINIT_PRE_STOP", "echo pre-stop").says([
            "pre-stop",
            "app told TERM",
            "app clean",
        ]),
        row("a_stop_signal_can_be_mapped", ["{app}", "app", "QUIT"])
            .options(["--grace", "20s", "--map", "TERM:QUIT"])
            .ready("app ready")
            .says(["app told QUIT", "app clean"])
            .code(0),
        row("a_given_signal_goes_to_whoever_is_in_charge_below_a_shell", ["sh", "-c", "{app} app QUIT; echo after"])
            .options(["--grace", "20s", "--signal", "QUIT"])
            .ready("app ready")
            .says(["app told QUIT", "app clean", "after"])
            .code(0),
        row("int_for_a_node_program_that_only_knows_ctrl_c", ["node", "-e", NODE_WITH_INT])
            .options(["--grace", "20s", "--signal", "INT"])
            .ready("node ready")
            .says(["node told INT", "node clean"])
            .code(0),
        row("an_exit_code_that_is_fine_after_a_stop", ["sh", "-c", "echo ready; exec sleep 1000"])
            .options(["--grace", "infinity", "--ok-exit", "143,130"])
            .ready("ready")
            .code(0)
            .also_int(),
        row("an_exit_code_that_is_fine_after_a_stop_is_kept_without_one", ["sh", "-c", "exit 143"])
            .options(["--ok-exit", "143"])
            .unasked()
            .code(143),
    ]
}

const NODE_WITH_INT: &str = "process.on('SIGINT', () => { console.log('node told INT');
setTimeout(() => { console.log('node clean'); process.exit(0) }, 500) }); setInterval(() => {}, 1000); console.log('node ready')";

pub(crate) fn tests() -> Vec<Test> {
    both_modes![
        requests_that_arrive_during_a_drain_are_answered,
        a_drain_ends_at_half_the_grace,
        a_pre_stop_command_that_hangs_leaves_half_the_grace,
        a_second_request_ends_a_drain,
        a_second_request_ends_the_wait_for_a_pre_stop_command,
        a_forwarded_signal_can_be_mapped_or_dropped,
        a_repeated_request_is_not_passed_on,
        a_repeated_request_can_be_passed_on,
        a_repeated_request_can_kill,
    ]
}

fn start(place: &Place, mode: Mode, options: &[&str], words: &[&str]) -> Running {
    place.init(mode).options(options).command(place.command(words)).start()
}

fn requests_that_arrive_during_a_drain_are_answered(mode: Mode) -> Outcome {
    let place = Place::new();
    let words = ["{bin}/gunicorn", "--bind", "unix:{dir}/socket", "--workers=2", "web:wsgi"];
    let init = place.init(mode).options(["--grace", "20s", "--drain", "3s"]).current_dir(place.fill("{apps}"));
    let running = init.command(place.command(&words)).start();
    running.wait_for_nth_stderr("Booting worker", 2);
    let asked = Instant::now();
    running.signal(TERM);
    place.has_been_asked();
    running.wait_for_stderr("SIGTERM from");
    place.request("/fast").check_answered();
    let slow = place.request("/");
    running.wait_for("request started");
    assert!(!running.stderr().iter().any(|line| line.contains("Handling signal")), "told before the drain was over");
    slow.check_answered();
    place.request("/fast").check_answered();
    running.wait_for_stderr("Handling signal: term");
    assert!(asked.elapsed() >= Duration::from_secs(3), "told after {:?}", asked.elapsed());
    running.finish().check_code(0).check_stderr_lacks("SIGKILL to");
    Ok(())
}

fn a_drain_ends_at_half_the_grace(mode: Mode) -> Outcome {
    is_told_at_half_the_grace(mode, ["--grace", "10s", "--drain", "10s"])
}

fn a_pre_stop_command_that_hangs_leaves_half_the_grace(mode: Mode) -> Outcome {
    is_told_at_half_the_grace(mode, ["--grace", "10s", "--pre-stop", "sleep 1000"])
}

fn is_told_at_half_the_grace(mode: Mode, options: [&str; 4]) -> Outcome {
    let place = Place::new();
    let running = start(&place, mode, &options, &["{app}", "app", "TERM", "0.3"]);
    running.wait_for("app ready");
    let asked = Instant::now();
    running.signal(TERM);
    running.wait_for("app told TERM");
    assert!(asked.elapsed() >= Duration::from_secs(5), "told after {:?}", asked.elapsed());
    running.finish().check_code(0).check_stdout_has("app clean").check_stderr_lacks("SIGKILL to 2 python");
    Ok(())
}

fn a_second_request_ends_a_drain(mode: Mode) -> Outcome {
    let place = Place::new();
    let running = start(&place, mode, &["--grace", "infinity", "--drain", "1h"], &["{app}", "app", "TERM"]);
    running.wait_for("app ready");
    running.signal(TERM);
    running.wait_for_stderr("SIGTERM from");
    running.signal(TERM);
    let finished = running.finish();
    finished.check_code(0).check_stdout_has("app clean");
    check_told(&finished.stdout, 1);
    Ok(())
}

fn a_second_request_ends_the_wait_for_a_pre_stop_command(mode: Mode) -> Outcome {
    let place = Place::new();
    let options = ["--grace", "infinity", "--pre-stop", "sh -c 'echo pre-stop; exec sleep 1000'"];
    let running = start(&place, mode, &options, &["{app}", "app", "TERM"]);
    running.wait_for("app ready");
    running.signal(TERM);
    running.wait_for("pre-stop");
    running.signal(TERM);
    let finished = running.finish();
    finished.check_code(0).check_stdout_has("app clean");
    check_told(&finished.stdout, 1);
    Ok(())
}

fn a_forwarded_signal_can_be_mapped_or_dropped(mode: Mode) -> Outcome {
    let place = Place::new();
    let options = ["--grace", "20s", "--map", "HUP:USR2,USR1:none"];
    let running = start(&place, mode, &options, &["sh", "-c", "{app} app HUP,USR1,USR2,TERM; exit $?"]);
    running.wait_for("app ready");
    running.signal(libc::SIGUSR1);
    running.signal(libc::SIGHUP);
    running.wait_for("app told USR2");
    running.signal(TERM);
    let finished = running.finish();
    finished.check_code(0).check_stdout_has("app clean").check_stdout_lacks("told USR1").check_stdout_lacks("told HUP");
    Ok(())
}

fn a_repeated_request_is_not_passed_on(mode: Mode) -> Outcome {
    let place = Place::new();
    let running = start(&place, mode, &["--grace", "20s"], &["sh", "-c", "{app} app INT; exit $?"]);
    running.wait_for("app ready");
    running.signal(TERM);
    running.wait_for("app told INT");
    // A second interrupt would end its clean-up with a traceback.
    for count in 1..=3 {
        running.signal(if count == 2 { libc::SIGINT } else { TERM });
        running.wait_for_nth_stderr(" from ", count + 1);
    }
    let finished = running.finish();
    finished.check_code(0).check_stdout_has("app clean").check_stderr_lacks("Traceback");
    check_told(&finished.stdout, 1);
    Ok(())
}

fn a_repeated_request_can_be_passed_on(mode: Mode) -> Outcome {
    let place = Place::new();
    let options = ["--grace", "20s", "--repeat", "forward"];
    let running = start(&place, mode, &options, &["sh", "-c", "{app} app TERM 2; exit $?"]);
    running.wait_for("app ready");
    running.signal(TERM);
    running.wait_for("app told TERM");
    running.signal(TERM);
    running.wait_for_nth("app told TERM", 2);
    let finished = running.finish();
    finished.check_code(0).check_stdout_has("app clean");
    check_told(&finished.stdout, 2);
    Ok(())
}

fn a_repeated_request_can_kill(mode: Mode) -> Outcome {
    let place = Place::new();
    let options = ["--grace", "infinity", "--repeat", "kill"];
    let running = start(&place, mode, &options, &["sh", "-c", "{app} app TERM 1000; exit $?"]);
    running.wait_for("app ready");
    running.signal(TERM);
    running.wait_for("app told TERM");
    running.signal(TERM);
    running.finish().check_code(137).check_stdout_lacks("app clean").check_stderr_has(&["SIGKILL"]);
    Ok(())
}

fn check_told(lines: &[String], times: usize) {
    let told = lines.iter().filter(|line| line.contains("app told")).count();
    assert!(told == times, "told {told} times, not {times}: {lines:#?}");
}
