//! Every signal arrives, with its value, and none is lost while the command is being started.

use std::env;
use std::thread;
use std::time::Duration;

use crate::support::{
    Failure, Init, Mode, NONE, Outcome, Running, Test, both_modes, eventually, fixture, processes, watchdog,
};

/// Those that ask to stop are sent last: what follows them is a stop.
const STOP_REQUESTS: [i32; 2] = [libc::SIGTERM, libc::SIGINT];

pub fn tests() -> Vec<Test> {
    both_modes![
        every_signal_reaches_a_command_with_handlers,
        every_signal_reaches_a_command_that_blocks_and_waits_for_them,
        a_signal_carries_its_value,
        real_time_signals_are_neither_lost_nor_merged,
        a_storm_of_one_signal_still_delivers_the_last,
        a_signal_that_is_no_stop_request_only_passes,
        other_signals_pass_during_a_stop,
        signals_that_nobody_handles_act_on_the_command,
        no_term_is_lost_while_the_command_is_being_started,
    ]
}

fn every_signal_reaches_a_command_with_handlers(mode: Mode) -> Outcome {
    // libc lets nobody install handlers for 32 and 33.
    send_each(mode, "handlers", (1..=64).filter(|n| ![32, 33].contains(n)))
}

fn every_signal_reaches_a_command_that_blocks_and_waits_for_them(mode: Mode) -> Outcome {
    send_each(mode, "wait", 1..=64)
}

fn send_each(mode: Mode, kind: &str, signals: impl Iterator<Item = i32>) -> Outcome {
    let running = Init::new(mode).command(fixture("print-signals", [kind, "until", "15", "6"])).start();
    running.wait_for("ready");
    let never = [libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD];
    for signal in signals.filter(|n| !never.contains(n) && !STOP_REQUESTS.contains(n)) {
        running.signal(signal);
        running.wait_for(&format!("signal {signal} "));
    }
    assert!(running.stderr().is_empty(), "forwarding is silent: {:?}", running.stderr());
    running.signal(libc::SIGTERM);
    let finished = running.finish();
    finished.check_code(6);
    let mut seen = Vec::new();
    for line in finished.stdout.iter().filter(|line| line.starts_with("signal ")) {
        let number = line.split(' ').nth(1).unwrap_or_default();
        // CONT may also follow the stop signal.
        assert!(number == "18" || !seen.contains(&number), "signal {number} arrived twice: {:?}", finished.stdout);
        seen.push(number);
    }
    Ok(())
}

fn a_signal_carries_its_value(mode: Mode) -> Outcome {
    let running = Init::new(mode).command(fixture("print-signals", ["until", "15", "0"])).start();
    running.wait_for("ready");
    for (signal, value) in [(libc::SIGUSR1, 4711), (libc::SIGHUP, -5), (34, 1), (40, i32::MAX), (64, i32::MIN)] {
        running.signal_value(signal, value);
        let line = running.wait_for(&format!("signal {signal} "));
        assert!(line.contains(&format!("code {} value {value} ", libc::SI_QUEUE)), "value {value} expected: {line}");
    }
    running.signal(libc::SIGTERM);
    running.finish().check_code(0);
    Ok(())
}

fn real_time_signals_are_neither_lost_nor_merged(mode: Mode) -> Outcome {
    const COUNT: i32 = 2000;
    let running = Init::new(mode).command(fixture("print-signals", ["wait", "until", "64", "0"])).start();
    running.wait_for("ready");
    for value in 0..COUNT {
        running.signal_value(42, value);
    }
    running.wait_for(&format!("signal 42 code {} value {} ", libc::SI_QUEUE, COUNT - 1));
    running.signal(64);
    let finished = running.finish();
    finished.check_code(0);
    let word =
        |line: &String| line.strip_prefix("signal 42 ").and_then(|rest| rest.split(' ').nth(3)?.parse::<i32>().ok());
    let values: Vec<_> = finished.stdout.iter().filter_map(word).collect();
    assert_eq!(values, (0..COUNT).collect::<Vec<_>>(), "each one, in order");
    Ok(())
}

fn a_storm_of_one_signal_still_delivers_the_last(mode: Mode) -> Outcome {
    let running = Init::new(mode).command(fixture("print-signals", ["wait", "until", "64", "0"])).start();
    running.wait_for("ready");
    for round in 1..=20 {
        for value in 0..500 {
            running.signal_value(libc::SIGUSR1, value);
        }
        // It comes after all of them, and higher numbers are taken later: once it is through, so are they.
        running.signal_value(63, round);
        running.wait_for(&format!("signal 63 code {} value {round} ", libc::SI_QUEUE));
        let lines = running.stdout();
        let place = |text: &str| lines.iter().rposition(|line| line.contains(text));
        let (last, before) =
            (place("signal 10 "), place(&format!("signal 63 code {} value {} ", libc::SI_QUEUE, round - 1)));
        assert!(
            last > before,
            "round {round}: no SIGUSR1 arrived: {:?}",
            lines.iter().rev().take(5).collect::<Vec<_>>()
        );
    }
    running.signal(64);
    running.finish().check_code(0);
    Ok(())
}

fn a_signal_that_is_no_stop_request_only_passes(mode: Mode) -> Outcome {
    let running = Init::new(mode).command(fixture("print-signals", ["until", "12", "4"])).start();
    running.wait_for("ready");
    for signal in [libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGWINCH, 37] {
        for count in 1..=3 {
            running.signal(signal);
            running.wait_for_nth(&format!("signal {signal} "), count);
        }
    }
    running.signal(libc::SIGUSR2);
    running.finish().check_code(4).check_silent();
    Ok(())
}

fn other_signals_pass_during_a_stop(mode: Mode) -> Outcome {
    let running = Init::new(mode).command(fixture("print-signals", ["until", "12", "4"])).start();
    running.wait_for("ready");
    running.signal(libc::SIGTERM);
    running.wait_for("signal 15 ");
    for signal in [libc::SIGHUP, libc::SIGUSR1, 50] {
        running.signal(signal);
        running.wait_for(&format!("signal {signal} "));
    }
    running.signal(libc::SIGUSR2);
    running.finish().check_code(4);
    Ok(())
}

fn signals_that_nobody_handles_act_on_the_command(mode: Mode) -> Outcome {
    for signal in
        [libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGSEGV, libc::SIGPIPE, libc::SIGALRM, 32, 33, 34, 35, 64]
    {
        let running = Init::new(mode).wrapper(["prlimit", "--core=0", "--"]).command(fixture("wait", NONE)).start();
        running.wait_for("ready");
        running.signal(signal);
        running.finish().check_code(128 + signal);
    }
    Ok(())
}

/// The window between fork and exec is where other inits lose them. `GRACEINIT_TEST_EARLY_TERMS=10000` for the full count.
fn no_term_is_lost_while_the_command_is_being_started(mode: Mode) -> Outcome {
    let count = env::var("GRACEINIT_TEST_EARLY_TERMS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let (mut sent, mut lost) = (0, 0);
    while sent < count {
        // The command ends by itself, soon, so that a lost one is only counted.
        let running = Init::new(mode).command(["/bin/sleep", "5"]).start();
        if !signal_when_a_child_shows(&running) {
            continue;
        }
        sent += 1;
        match running.finish().code {
            143 => {}
            0 => lost += 1,
            other => return Err(Failure::Failed(format!("exit code {other} instead of 143"))),
        }
    }
    assert!(lost == 0, "{lost} of {count} SIGTERMs were lost");
    Ok(())
}

/// Returns whether it was sent: on a busy machine the command may have come and gone.
fn signal_when_a_child_shows(running: &Running) -> bool {
    let init = running.pid();
    let mut rounds = 0_u32;
    while processes::next_child(init).is_none() && (rounds % 4 != 3 || processes::children(init).is_empty()) {
        rounds += 1;
        if running.has_ended() {
            return false;
        }
        if running.started().elapsed() > watchdog() {
            running.fail("watchdog: the command did not show");
        }
        thread::yield_now();
    }
    running.signal(libc::SIGTERM);
    true
}

/// Waits until the init sleeps: then it has nothing left to do.
pub fn wait_until_idle(running: &Running) {
    let pid = running.pid();
    let mut last = None;
    eventually("an idle init", || {
        let now = (processes::state(pid), processes::status_field(pid, "voluntary_ctxt_switches"));
        let idle = now.0 == Some('S') && last.as_ref() == Some(&now);
        last = Some(now);
        thread::sleep(Duration::from_millis(50));
        idle.then_some(())
    });
}
