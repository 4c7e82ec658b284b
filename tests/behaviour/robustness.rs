//! PID 1 never dies, blocks or spins, wherever it runs.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant};

use super::forwarding::wait_until_idle;
use super::stopping::{KILLED, ready_pid};
use crate::support::{
    Init, Mode, Outcome, Running, Stream, TemporaryFolder, Test, both_modes, fixture, init_under_test, processes, skip,
};

pub fn tests() -> Vec<Test> {
    both_modes![
        an_idle_init_uses_no_processor_and_never_wakes_up,
        a_waiting_stop_uses_no_processor,
        with_a_closed_stderr_everything_is_on_time,
        with_a_full_stderr_that_nobody_reads_everything_is_on_time,
        with_a_stderr_whose_reader_is_gone_everything_is_on_time,
        with_all_standard_streams_closed_it_works,
        its_own_broken_stderr_sends_no_sigpipe_to_the_command,
        a_flood_of_signals_does_not_hold_back_the_deadline,
        without_proc_everything_in_reach_is_told_and_waited_for,
        a_read_only_root_is_enough,
        another_user_is_enough,
        a_command_that_may_not_be_signalled_is_named_and_not_waited_for_for_ever,
    ]
}

fn an_idle_init_uses_no_processor_and_never_wakes_up(mode: Mode) -> Outcome {
    let running = Init::new(mode).command(fixture("print-signals", ["until", "15", "0"])).start();
    running.wait_for("ready");
    check_idle(&running, Duration::from_secs(3));
    running.signal(libc::SIGTERM);
    running.finish().check_code(0);
    Ok(())
}

fn a_waiting_stop_uses_no_processor(mode: Mode) -> Outcome {
    // The command has been told and takes its time; without an end of the grace there is nothing to wake up for.
    let running = Init::new(mode)
        .options(["--grace", "infinity"])
        .command(fixture("print-signals", ["until", "10", "0"]))
        .start();
    running.wait_for("ready");
    running.signal(libc::SIGTERM);
    running.wait_for("signal 15 ");
    wait_until_idle(&running);
    let before = processes::cpu_ticks(running.pid());
    thread::sleep(Duration::from_secs(1));
    assert_eq!(before, processes::cpu_ticks(running.pid()), "it used the processor");
    running.signal(libc::SIGUSR1);
    running.finish().check_code(0);
    Ok(())
}

fn check_idle(running: &Running, window: Duration) {
    wait_until_idle(running);
    let pid = running.pid();
    let facts = || {
        let switches = |name| processes::status_field(pid, name);
        (processes::cpu_ticks(pid), switches("voluntary_ctxt_switches"), switches("nonvoluntary_ctxt_switches"))
    };
    let before = facts();
    thread::sleep(window);
    assert_eq!(before, facts(), "ticks and switches over {window:?}");
}

fn with_a_closed_stderr_everything_is_on_time(mode: Mode) -> Outcome {
    check_stop_and_reaping(mode, || Stream::Closed)
}

fn with_a_full_stderr_that_nobody_reads_everything_is_on_time(mode: Mode) -> Outcome {
    check_stop_and_reaping(mode, || Stream::FullPipe)
}

fn with_a_stderr_whose_reader_is_gone_everything_is_on_time(mode: Mode) -> Outcome {
    check_stop_and_reaping(mode, broken_pipe)
}

fn broken_pipe() -> Stream {
    let (_, writer) = std::io::pipe().unwrap_or_else(|error| panic!("pipe: {error}"));
    Stream::Given(writer.into())
}

/// A clean stop, a kill at the deadline, orphans, and many lines of log: nothing of it may depend on stderr.
fn check_stop_and_reaping(mode: Mode, stderr: fn() -> Stream) -> Outcome {
    let start = |options: &[&str], words: Vec<OsString>| {
        let running = Init::new(mode).options(options).stderr(stderr()).command(words).start();
        running.wait_for("ready");
        running
    };
    let running = start(&["-v"], fixture("print-signals", ["until", "15", "7"]));
    for count in 1..=3 {
        running.signal(libc::SIGUSR1);
        running.wait_for_nth("signal 10 ", count);
    }
    running.signal(libc::SIGTERM);
    running.finish().check_code(7);

    let running = start(&["-v", "--grace", "500ms"], fixture("ignore", ["2", "15"]));
    let asked = Instant::now();
    (0..20).for_each(|_| running.signal(libc::SIGTERM));
    running.finish().check_code(137);
    assert!(asked.elapsed() >= Duration::from_millis(500), "too early: {:?}", asked.elapsed());

    let init = Init::new(mode).options(["-v"]).stderr(stderr()).command(fixture("orphans", ["1000", "8"]));
    init.run().check_code(8).check_stdout_has("no zombies");
    // A usage error has its code even if nobody can read the line.
    Init::new(mode).options(["--grace", "never"]).stderr(stderr()).command(["true"]).run().check_code(125);
    Ok(())
}

fn with_all_standard_streams_closed_it_works(mode: Mode) -> Outcome {
    let closed = |options: &[&str]| {
        Init::new(mode).options(options).stdin(Stream::Closed).stdout(Stream::Closed).stderr(Stream::Closed)
    };
    closed(&["-v"]).command(fixture("exit", ["5"])).run().check_code(5);
    // The descriptors of the init must not become the command's standard streams, nor be written to as such.
    let script = "for n in 0 1 2; do test ! -e /proc/self/fd/$n || exit 9; done; kill -TERM $PPID; sleep 1000";
    closed(&["-v", "--grace", "5s"]).command(["dash", "-c", script]).run().check_code(143);
    Ok(())
}

fn its_own_broken_stderr_sends_no_sigpipe_to_the_command(mode: Mode) -> Outcome {
    let running = Init::new(mode)
        .options(["-v", "--grace", "20s"])
        .stderr(broken_pipe())
        .command(fixture("print-signals", ["until", "64", "3"]))
        .start();
    running.wait_for("ready");
    running.signal(libc::SIGTERM);
    running.wait_for("signal 15 ");
    // Each repeated request is one more line of log.
    for round in 1..=10 {
        running.signal(libc::SIGTERM);
        running.signal(50);
        running.wait_for_nth("signal 50 ", round);
    }
    running.signal(64);
    running.finish().check_code(3).check_stdout_lacks("signal 13 ");
    Ok(())
}

fn a_flood_of_signals_does_not_hold_back_the_deadline(mode: Mode) -> Outcome {
    let running = Init::new(mode).options(["--grace", "1s"]).command(fixture("ignore", ["1", "2", "10", "15"])).start();
    running.wait_for("ready");
    running.signal(libc::SIGTERM);
    let pid = running.pid();
    // The flood ends only when the init has ended, or the watchdog ends both.
    let limit = Instant::now() + Duration::from_secs(25);
    while !running.has_ended() && Instant::now() < limit {
        for _ in 0..500 {
            processes::kill(pid, libc::SIGUSR1);
            processes::kill(pid, libc::SIGHUP);
        }
    }
    assert!(running.has_ended(), "the flood held the deadline back");
    running.finish().check_code(137);
    Ok(())
}

/// Runs this script in the mount namespace of the start, then the init.
fn prepared(mode: Mode, script: &str) -> Init {
    let script = format!("{script} && exec \"$@\"");
    let namespace: &[&str] = if mode == Mode::Pid1 {
        &[]
    } else if processes::are_root() {
        &["unshare", "--mount"]
    } else {
        &["unshare", "--user", "--map-root-user", "--mount"]
    };
    Init::new(mode).wrapper(namespace).wrapper(["/bin/sh", "-c", &script, "sh"])
}

fn without_proc_everything_in_reach_is_told_and_waited_for(mode: Mode) -> Outcome {
    let hide = "mount -t tmpfs none /proc";
    let init =
        prepared(mode, hide).options(["--grace", "infinity"]).command(fixture("print-signals", ["until", "15", "7"]));
    let running = init.start();
    running.wait_for("ready");
    running.signal(libc::SIGTERM);
    running.finish().check_code(7);
    for kind in ["group", "session", "daemon"] {
        // What left the group can be found without /proc only where a signal to -1 means the namespace.
        let in_reach = kind == "group" || mode == Mode::Pid1;
        let grace = if in_reach { "1h" } else { "1s" };
        let init = prepared(mode, hide).options(["--grace", grace]).leftovers_are_fine();
        let running = init.command(fixture("family", [kind, "300", "told:3"])).start();
        running.wait_for("ready");
        running.signal(libc::SIGTERM);
        let finished = running.finish();
        finished.check_code(3).check_stdout_has("main told");
        if in_reach {
            finished.check_stdout_has("worker drained").check_stderr_lacks(KILLED);
            assert!(finished.outlived.is_empty(), "{kind}: {finished:#?}");
        }
    }
    let running = prepared(mode, hide).options(["--grace", "500ms"]).command(fixture("ignore", ["2", "15"])).start();
    running.wait_for("ready");
    running.signal(libc::SIGTERM);
    running.finish().check_code(137);
    Ok(())
}

fn a_read_only_root_is_enough(mode: Mode) -> Outcome {
    if !processes::are_root() {
        return skip("root, to make a root file system read-only");
    }
    let script = "mount -o remount,bind,ro / && ! touch /graceinit-test-file 2>/dev/null";
    let running = prepared(mode, script).command(fixture("print-signals", ["until", "15", "7"])).start();
    running.wait_for("ready");
    running.signal(libc::SIGTERM);
    running.finish().check_code(7);
    Ok(())
}

fn another_user_is_enough(mode: Mode) -> Outcome {
    if !processes::are_root() {
        return skip("root, to become another user");
    }
    let folder = TemporaryFolder::new();
    let init = readable_copy(&folder, &init_under_test().into_os_string());
    let mut words = fixture("family", ["session", "300", "told:3"]);
    words[0] = readable_copy(&folder, &words[0]);
    let nobody =
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--bounding-set=-all"];
    let running =
        Init::new(mode).program(init.as_ref()).wrapper(nobody).options(["--grace", "20s"]).command(words).start();
    running.wait_for("ready");
    running.signal(libc::SIGTERM);
    running.finish().check_code(3).check_stdout_has("worker drained");
    Ok(())
}

fn a_command_that_may_not_be_signalled_is_named_and_not_waited_for_for_ever(mode: Mode) -> Outcome {
    if !processes::are_root() {
        return skip("root, for a setuid program");
    }
    let folder = TemporaryFolder::new();
    let init = readable_copy(&folder, &init_under_test().into_os_string());
    let mut words = fixture("become-root", ["5"]);
    words[0] = readable_copy(&folder, &words[0]);
    fs::set_permissions(&words[0], fs::Permissions::from_mode(0o4755))?;
    let start = || {
        let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        let builder =
            Init::new(mode).program(init.as_ref()).wrapper(nobody).stdin(Stream::Captured).leftovers_are_fine();
        builder.options(["--grace", "300ms"]).command(&words).start()
    };
    let mut running = start();
    if running.wait_for("r").contains("not root") {
        return skip("a folder for temporary files without the mount option nosuid");
    }
    // Signals that can't be delivered are no reason to die: tini does.
    for signal in [libc::SIGUSR1, libc::SIGHUP, libc::SIGCONT, 40] {
        running.signal(signal);
    }
    wait_until_idle(&running);
    running.close_stdin();
    running.finish().check_code(5);

    let running = start();
    let pid = ready_pid(&running);
    running.signal(libc::SIGTERM);
    // Its stdout is still open in the survivor, as an ordinary process; as PID 1 the kernel ends it.
    assert_eq!(running.wait_for_exit(), 137);
    // The last word about it, after all that was tried.
    let named = running.wait_for_stderr("SIGKILL did not end");
    assert!(named.starts_with("graceinit: ") && named.contains(&pid.to_string()), "{named}");
    Ok(())
}

fn readable_copy(folder: &TemporaryFolder, file: &OsString) -> OsString {
    let name = std::path::Path::new(file).file_name().map(OsString::from).unwrap_or_default();
    let copy = folder.path().join(name);
    // A child writes it: see `processes::write_executable`.
    let copied = std::process::Command::new("cp").arg(file).arg(&copy).status();
    assert!(copied.is_ok_and(|status| status.success()), "{} could not be copied", copy.display());
    let open = fs::Permissions::from_mode(0o755);
    let set = fs::set_permissions(&copy, open.clone()).and_then(|()| fs::set_permissions(folder.path(), open));
    assert!(set.is_ok(), "{set:?}");
    copy.into_os_string()
}
