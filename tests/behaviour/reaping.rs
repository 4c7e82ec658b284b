//! Nothing stays a zombie, whatever it died of, and the exit code is the main process's.

use crate::support::{Init, Mode, Outcome, Stream, Test, both_modes, eventually, fixture, processes, watchdog};

pub fn tests() -> Vec<Test> {
    both_modes![
        ten_thousand_orphans_leave_no_zombie,
        an_init_that_does_not_reap_is_seen_to_leave_zombies,
        orphans_that_die_by_any_signal_are_reaped,
        orphans_are_reaped_during_a_stop,
        orphans_are_reaped_when_sigchld_was_ignored_and_blocked,
    ]
}

fn ten_thousand_orphans_leave_no_zombie(mode: Mode) -> Outcome {
    let init = Init::new(mode).watchdog(watchdog() * 4).command(fixture("orphans", ["10000", "21"]));
    init.run().check_code(21).check_stdout_has("no zombies").check_silent();
    Ok(())
}

/// The control: the test above can fail.
fn an_init_that_does_not_reap_is_seen_to_leave_zombies(mode: Mode) -> Outcome {
    let words = fixture("init-without-reaping", fixture("orphans", ["20", "0"]));
    let running = Init::none(mode).command(words).start();
    running.wait_for("all orphans made");
    eventually("20 zombies", || {
        let children = processes::children(running.pid()).into_iter();
        (children.filter(|pid| processes::state(*pid) == Some('Z')).count() == 20).then_some(())
    });
    assert_eq!(running.stdout(), ["all orphans made"], "the fixture sees them too");
    Ok(())
}

fn orphans_that_die_by_any_signal_are_reaped(mode: Mode) -> Outcome {
    let harmless = [libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH];
    let stopping = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
    for signal in (1..=64).filter(|n| !harmless.contains(n) && !stopping.contains(n)) {
        let finished = Init::new(mode).command(fixture("orphans", ["2", "22", &signal.to_string()])).run();
        finished.check_code(22).check_stdout_has("no zombies").check_silent();
    }
    Ok(())
}

fn orphans_are_reaped_during_a_stop(mode: Mode) -> Outcome {
    // The command drains for ever (it ignores the request), and makes orphans meanwhile.
    let script = "trap '' TERM; echo ready; read line; \"$@\"; exit 23";
    let mut words = vec!["dash".into(), "-c".into(), script.into(), "sh".into()];
    words.extend(fixture("orphans", ["500", "0"]));
    let mut running = Init::new(mode).options(["--grace", "infinity"]).stdin(Stream::Captured).command(words).start();
    running.wait_for("ready");
    running.signal(libc::SIGTERM);
    running.wait_for_stderr("SIGTERM");
    running.write("go\n");
    // They are reaped though the fixture's parent is the shell: nobody but the init has them as children.
    running.wait_for("all orphans made");
    let init = running.pid();
    eventually("no zombies", || {
        let zombies = processes::children(init).into_iter().filter(|pid| processes::state(*pid) == Some('Z'));
        (zombies.count() == 0).then_some(())
    });
    running.finish().check_code(23);
    Ok(())
}

fn orphans_are_reaped_when_sigchld_was_ignored_and_blocked(mode: Mode) -> Outcome {
    let init = Init::new(mode).wrapper(["env", "--ignore-signal=CHLD"]).blocking([libc::SIGCHLD]);
    // The fixture waits for its children, which works with an ignored SIGCHLD too.
    init.command(fixture("orphans", ["300", "24"])).run().check_code(24).check_stdout_has("no zombies");
    Ok(())
}
