//! The command starts exactly as if the init were not there, and the init keeps nothing of what is the command's.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsRawFd, OwnedFd};

use crate::support::{
    Finished, Init, Mode, NONE, Outcome, Stream, TemporaryFolder, Test, both_modes, eventually, fixture,
};

pub fn tests() -> Vec<Test> {
    both_modes![
        the_command_inherits_what_it_would_without_an_init,
        odd_masks_and_ignored_signals_are_inherited,
        odd_descriptors_are_inherited,
        closed_standard_streams_stay_closed,
        the_command_leads_a_group_of_its_own,
        listen_pid_and_watchdog_pid_name_the_command_where_they_named_the_init,
        listen_pid_of_somebody_else_is_left_alone,
        the_init_moves_to_the_root_and_the_command_does_not,
        the_init_keeps_no_descriptor_open,
        a_parent_that_ignores_sigchld_costs_no_exit_code,
        sigpipe_ends_a_pipeline_as_it_does_without_an_init,
    ]
}

/// The facts that the fixture `status` prints, without and with the init.
fn compare(mode: Mode, what: &str, prepare: impl Fn(Init) -> Init) -> [Finished; 2] {
    let [plain, wrapped] =
        [Init::none(mode), Init::new(mode)].map(|init| prepare(init).command(fixture("status", NONE)).run());
    plain.check_code(0);
    wrapped.check_code(0);
    // Its own group is the one difference, and a test of its own.
    let facts = |finished: &Finished| {
        let own = |line: &&String| !line.starts_with("pid ") && !line.starts_with("leads its group");
        finished.stdout.iter().filter(own).cloned().collect::<Vec<_>>()
    };
    let (expected, found) = (facts(&plain), facts(&wrapped));
    let lost: Vec<_> = expected.iter().filter(|line| !found.contains(line)).collect();
    let added: Vec<_> = found.iter().filter(|line| !expected.contains(line)).collect();
    assert!(lost.is_empty() && added.is_empty(), "{what}: the init takes away {lost:#?} and adds {added:#?}");
    assert_eq!(expected, found, "{what}: another order");
    [plain, wrapped]
}

fn the_command_inherits_what_it_would_without_an_init(mode: Mode) -> Outcome {
    let folder = TemporaryFolder::new();
    let [plain, _] = compare(mode, "a plain start", |init| init);
    // The comparison would be worth nothing if there were nothing to compare.
    for fact in
        ["SigIgn:\t0000000000000000", "SigBlk:\t0000000000000000", "descriptor 0", "directory /", "variable PATH="]
    {
        plain.check_stdout_has(fact);
    }
    let [_, wrapped] = compare(mode, "a folder and odd variables", |init| {
        init.current_dir(folder.path())
            .env("EMPTY", "")
            .env("ODD", "a=b\n\u{1}ä")
            .env("GRACEINIT_PORT", "tcp://1.2.3.4")
    });
    let real = folder.path().canonicalize()?;
    wrapped.check_stdout_has(&format!("directory {}", real.display())).check_stdout_has("variable EMPTY=");
    compare(mode, "limits, a mask for files and a priority", |init| {
        let script = "umask 027; ulimit -c 0; ulimit -n 1234; exec nice -n 5 \"$@\"";
        init.wrapper(["/bin/sh", "-c", script, "sh"])
    });
    Ok(())
}

fn odd_masks_and_ignored_signals_are_inherited(mode: Mode) -> Outcome {
    let all = || (1..=64).filter(|n| ![libc::SIGKILL, libc::SIGSTOP, 32, 33].contains(n));
    compare(mode, "ignored: HUP PIPE", |init| init.ignoring([libc::SIGHUP, libc::SIGPIPE]));
    compare(mode, "ignored: everything", |init| init.ignoring(all()));
    compare(mode, "blocked: TERM, USR2, 34, 64", |init| init.blocking([libc::SIGTERM, libc::SIGUSR2, 34, 64]));
    compare(mode, "blocked: everything", |init| init.blocking(1..=64));
    let [plain, _] = compare(mode, "both", |init| {
        let ignored = [libc::SIGINT, libc::SIGTTOU, libc::SIGTTIN, libc::SIGTSTP, 40];
        init.ignoring(ignored).wrapper(IGNORING_SIGCHLD).blocking([
            libc::SIGINT,
            libc::SIGCHLD,
            libc::SIGPIPE,
            libc::SIGSEGV,
        ])
    });
    // INT, CHLD, TSTP, TTIN, TTOU and 40; INT, SEGV, PIPE and CHLD.
    plain.check_stdout_has("SigIgn:\t0000008000390002").check_stdout_has("SigBlk:\t0000000000011402");
    Ok(())
}

fn odd_descriptors_are_inherited(mode: Mode) -> Outcome {
    let folder = TemporaryFolder::new();
    let path = folder.path().join("data");
    fs::write(&path, "data")?;
    let [plain, _] = compare(mode, "a file, a pipe and a socket", |init| {
        let (reader, _) = io::pipe().unwrap();
        let (socket, _) = std::os::unix::net::UnixStream::pair().unwrap();
        init.descriptor(File::open(&path).unwrap(), 200).descriptor(reader, 250).descriptor(socket, 999)
    });
    for number in [200, 250, 999] {
        plain.check_stdout_has(&format!("descriptor {number} "));
    }
    Ok(())
}

fn closed_standard_streams_stay_closed(mode: Mode) -> Outcome {
    let [plain, _] = compare(mode, "no stdin", |init| init.stdin(Stream::Closed));
    plain.check_stdout_lacks("descriptor 0 ");
    let [plain, _] = compare(mode, "no stderr", |init| init.stderr(Stream::Closed));
    plain.check_stdout_lacks("descriptor 2 ");
    compare(mode, "no stdin and no stderr", |init| init.stdin(Stream::Closed).stderr(Stream::Closed));
    // Without a standard output only the exit code can speak.
    Init::new(mode).stdout(Stream::Closed).command(["/bin/sh", "-c", "test ! -e /proc/self/fd/1"]).run().check_code(0);
    Ok(())
}

fn the_command_leads_a_group_of_its_own(mode: Mode) -> Outcome {
    let finished = Init::new(mode).command(fixture("status", NONE)).run();
    finished.check_stdout_has("leads its group: true").check_stdout_has("leads its session: false");
    Ok(())
}

fn listen_pid_and_watchdog_pid_name_the_command_where_they_named_the_init(mode: Mode) -> Outcome {
    let script = "export LISTEN_PID=$$ WATCHDOG_PID=$$ LISTEN_FDS=1; exec \"$@\"";
    let finished = Init::new(mode).wrapper(["/bin/sh", "-c", script, "sh"]).command(fixture("status", NONE)).run();
    let own = finished.stdout.iter().find_map(|line| line.strip_prefix("pid ")).unwrap_or_default();
    for name in ["LISTEN_PID", "WATCHDOG_PID"] {
        let named: Vec<_> =
            finished.stdout.iter().filter(|line| line.starts_with(&format!("variable {name}="))).collect();
        assert_eq!(named, [&format!("variable {name}={own}")], "once, and the command: {finished:#?}");
    }
    finished.check_stdout_has("variable LISTEN_FDS=1");
    Ok(())
}

fn listen_pid_of_somebody_else_is_left_alone(mode: Mode) -> Outcome {
    for value in ["99999", "", "abc", "1x"] {
        compare(mode, "somebody else's", |init| init.env("LISTEN_PID", value).env("WATCHDOG_PID", value));
    }
    Ok(())
}

fn the_init_moves_to_the_root_and_the_command_does_not(mode: Mode) -> Outcome {
    let folder = TemporaryFolder::new();
    let running =
        Init::new(mode).current_dir(folder.path()).command(["/bin/sh", "-c", "pwd -P; exec sleep 1000"]).start();
    let real = folder.path().canonicalize()?;
    assert_eq!(running.wait_for("/"), real.to_string_lossy());
    let link = format!("/proc/{}/cwd", running.pid());
    eventually("a move to /", || (fs::read_link(&link).ok()?.as_os_str() == "/").then_some(()));
    running.signal(libc::SIGTERM);
    running.finish().check_code(143);
    Ok(())
}

fn the_init_keeps_no_descriptor_open(mode: Mode) -> Outcome {
    let (mut reader, writer) = io::pipe()?;
    let number = reader.as_raw_fd();
    let running = Init::new(mode).descriptor(OwnedFd::from(writer), 200).command(fixture("close-from", ["3"])).start();
    running.wait_for("closed");
    let folder = format!("/proc/{}/fd", running.pid());
    eventually("an init that has closed its copy", || {
        let mut entries = fs::read_dir(&folder).ok()?.flatten();
        entries.all(|entry| entry.file_name() != "200").then_some(())
    });
    if mode == Mode::Pid1 {
        // unshare(1) waits outside the namespace and has a copy too.
        running.signal(libc::SIGTERM);
        running.finish().check_code(0);
        return Ok(());
    }
    // SAFETY: a flag on a descriptor of ours.
    #[allow(unsafe_code, reason = "std can't make a pipe non-blocking")]
    let _ = unsafe { libc::fcntl(number, libc::F_SETFL, libc::O_NONBLOCK) };
    // The pipe ends when the last one who can write to it has closed it.
    eventually("the end of the pipe", || match reader.read(&mut [0]) {
        Ok(0) => Some(()),
        Ok(_) => None,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            None
        }
    });
    running.signal(libc::SIGTERM);
    running.finish().check_code(0);
    Ok(())
}

/// As a wrapper, because unshare(1) sets SIGCHLD to its default.
const IGNORING_SIGCHLD: [&str; 2] = ["env", "--ignore-signal=CHLD"];

fn a_parent_that_ignores_sigchld_costs_no_exit_code(mode: Mode) -> Outcome {
    for code in [0, 3] {
        Init::new(mode).wrapper(IGNORING_SIGCHLD).command(fixture("exit", [code.to_string()])).run().check_code(code);
    }
    // With SIGCHLD blocked as well it can't be waited for by the signal alone.
    Init::new(mode).blocking([libc::SIGCHLD]).command(fixture("exit", ["4"])).run().check_code(4);
    let running = Init::new(mode)
        .wrapper(IGNORING_SIGCHLD)
        .blocking(1..=64)
        .command(fixture("print-signals", ["wait", "until", "15", "5"]))
        .start();
    running.wait_for("ready");
    running.signal(libc::SIGTERM);
    running.finish().check_code(5);
    Ok(())
}

fn sigpipe_ends_a_pipeline_as_it_does_without_an_init(mode: Mode) -> Outcome {
    // bash tells how the first part of the pipeline ended.
    let script = "yes | head -n 1; echo \"${PIPESTATUS[0]}\"";
    let finished = Init::new(mode).command(["bash", "-c", script]).run();
    finished.check_code(0).check_stdout_has("141");
    Ok(())
}
