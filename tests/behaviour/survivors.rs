//! The grace covers everything that is left, ends when nothing is left, and nothing outlives the init.
//!
//! Every `finish` of an ordinary process checks that no process of this start is left; as PID 1 the kernel sees to it.

use std::time::{Duration, Instant};

use super::stopping::{KILLED, check_killed_line, only_child, ready_pid};
use crate::support::{
    Finished, Init, Mode, Outcome, Running, Test, all, both_modes, eventually, fixture, processes, tests,
};

/// Where a worker lives: in the group of the main process, in a session of its own, or adopted by the init.
const KINDS: [&str; 3] = ["group", "session", "daemon"];

pub fn tests() -> Vec<Test> {
    let both = both_modes![
        workers_that_drain_longer_than_the_main_process_are_waited_for,
        the_stop_is_over_as_soon_as_nothing_is_left,
        what_the_main_process_leaves_behind_is_told_and_waited_for,
        a_request_while_the_rest_drains_changes_nothing,
        what_ignores_the_request_is_killed_and_the_exit_code_kept,
        a_child_made_during_the_stop_is_waited_for,
        a_process_that_keeps_moving_is_caught,
        many_survivors_are_all_killed,
    ];
    let one = tests![
        after_a_main_process_that_left_by_itself_an_infinite_grace_is_ten_seconds,
        an_ordinary_init_adopts_orphans,
        an_init_that_is_killed_takes_the_command_with_it,
        the_group_is_not_shared_with_the_parent,
    ];
    all([both, one])
}

fn start(mode: Mode, kind: &str, worker: &str, main: &str, grace: &str) -> Running {
    let running = Init::new(mode).options(["--grace", grace]).command(fixture("family", [kind, worker, main])).start();
    running.wait_for("ready");
    running
}

fn worker_pid(finished: &Finished) -> i32 {
    let line = finished.stdout.iter().find_map(|line| line.strip_prefix("worker ")?.parse().ok());
    line.unwrap_or_else(|| panic!("no pid of the worker: {finished:#?}"))
}

fn workers_that_drain_longer_than_the_main_process_are_waited_for(mode: Mode) -> Outcome {
    for kind in KINDS {
        let running = start(mode, kind, "1000", "told:3", "infinity");
        let asked = Instant::now();
        running.signal(libc::SIGTERM);
        let finished = running.finish();
        assert!(asked.elapsed() >= Duration::from_secs(1), "{kind}: cut off after {:?}", asked.elapsed());
        finished
            .check_code(3)
            .check_stdout_has("main told")
            .check_stdout_has("worker told")
            .check_stdout_has("worker drained");
        finished.check_stderr_lacks(KILLED);
    }
    Ok(())
}

fn the_stop_is_over_as_soon_as_nothing_is_left(mode: Mode) -> Outcome {
    for kind in KINDS {
        // If any of the grace were slept out, the watchdog would end this.
        let running = start(mode, kind, "50", "told:0", "1h");
        running.signal(libc::SIGTERM);
        running.finish().check_code(0).check_stdout_has("worker drained");
    }
    Ok(())
}

fn what_the_main_process_leaves_behind_is_told_and_waited_for(mode: Mode) -> Outcome {
    for kind in KINDS {
        for grace in ["20s", "infinity"] {
            let running = start(mode, kind, "300", "leaves:5", grace);
            running.finish().check_code(5).check_stdout_has("worker told").check_stdout_has("worker drained");
        }
    }
    Ok(())
}

fn a_request_while_the_rest_drains_changes_nothing(mode: Mode) -> Outcome {
    for kind in KINDS {
        let running = start(mode, kind, "1000", "leaves:5", "20s");
        running.wait_for("worker told");
        running.signal(libc::SIGTERM);
        running.signal(libc::SIGINT);
        running.finish().check_code(5).check_stdout_has("worker drained").check_stderr_lacks(KILLED);
    }
    Ok(())
}

fn what_ignores_the_request_is_killed_and_the_exit_code_kept(mode: Mode) -> Outcome {
    for kind in KINDS {
        for main in ["told:3", "leaves:3"] {
            let running = start(mode, kind, "ignores", main, "700ms");
            if main == "told:3" {
                running.signal(libc::SIGTERM);
            }
            let finished = running.finish();
            finished.check_code(3);
            check_killed_line(&finished, worker_pid(&finished));
        }
    }
    Ok(())
}

fn a_child_made_during_the_stop_is_waited_for(mode: Mode) -> Outcome {
    let init = Init::new(mode).options(["--grace", "infinity"]).command(fixture("forks-when-told", ["700", "4"]));
    let running = init.start();
    running.wait_for("ready");
    running.signal(libc::SIGTERM);
    running.finish().check_code(4).check_stdout_has("child of the stop done");
    Ok(())
}

fn a_process_that_keeps_moving_is_caught(mode: Mode) -> Outcome {
    let running = Init::new(mode).options(["--grace", "300ms"]).command(fixture("hop", ["20"])).start();
    running.wait_for("ready");
    running.signal(libc::SIGTERM);
    running.finish().check_code(137);
    Ok(())
}

fn many_survivors_are_all_killed(mode: Mode) -> Outcome {
    // A shell that ignores TERM and everything below it, in the group and in other sessions.
    let script = "trap '' TERM INT; i=0; while [ $i -lt 60 ]; do sleep 1000 & setsid sleep 1000 & i=$((i + 1)); done; echo ready; wait";
    let running = Init::new(mode).options(["--grace", "500ms"]).command(["dash", "-c", script]).start();
    running.wait_for("ready");
    eventually("120 sleepers", || (processes::descendants(running.pid()).len() >= 121).then_some(()));
    running.signal(libc::SIGTERM);
    running.finish().check_code(137);
    Ok(())
}

fn after_a_main_process_that_left_by_itself_an_infinite_grace_is_ten_seconds() -> Outcome {
    let running = start(Mode::Ordinary, "group", "ignores", "leaves:6", "infinity");
    let started = running.started();
    let finished = running.finish();
    assert!(started.elapsed() >= Duration::from_secs(10), "killed after {:?}", started.elapsed());
    finished.check_code(6);
    check_killed_line(&finished, worker_pid(&finished));
    Ok(())
}

fn an_ordinary_init_adopts_orphans() -> Outcome {
    let running = start(Mode::Ordinary, "daemon", "0", "told:3", "infinity");
    let worker: i32 = running.wait_for("worker ").trim_start_matches("worker ").parse()?;
    assert_eq!(processes::parent(worker), Some(running.pid()), "the init is its parent");
    running.signal(libc::SIGTERM);
    running.finish().check_code(3).check_stdout_has("worker drained");
    Ok(())
}

fn an_init_that_is_killed_takes_the_command_with_it() -> Outcome {
    let running = Init::new(Mode::Ordinary).command(fixture("ignore", ["2", "15"])).leftovers_are_fine().start();
    let command = ready_pid(&running);
    running.signal(libc::SIGKILL);
    eventually("the end of the command", || processes::state(command).is_none_or(|state| state == 'Z').then_some(()));
    assert_eq!(running.wait_for_exit(), 137);
    Ok(())
}

fn the_group_is_not_shared_with_the_parent() -> Outcome {
    let running = Init::new(Mode::Ordinary).command(fixture("print-signals", ["until", "15", "2"])).start();
    let command = ready_pid(&running);
    assert_eq!(processes::group(command), Some(command), "it leads its own group");
    assert_eq!(only_child(&running), command);
    running.signal(libc::SIGTERM);
    running.finish().check_code(2);
    Ok(())
}
