//! Containers, by a real Docker daemon: `docker run`, `docker stop`, and the ways in which people restrict them.
#![allow(
    unsafe_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::exit,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may panic, wait and start processes: the fences are the program's"
)]

#[path = "support/docker.rs"]
mod docker;
#[path = "support/pty.rs"]
mod pty;
mod support;
#[path = "fixtures/tty_app.rs"]
mod tty_app;

use std::process::ExitCode;

use docker::Image;
use pty::{CTRL_C, CTRL_Z, Terminal};
use support::{Outcome, Test, tests};

fn main() -> ExitCode {
    if let Some(code) = tty_app::run_if_called() {
        return code;
    }
    let mut all: Vec<Test> = exit_codes();
    all.extend(tests![
        a_script_without_an_interpreter_line_is_run_by_the_shell,
        output_is_the_commands_own_and_input_reaches_it,
        docker_stop_lets_a_program_that_only_knows_ctrl_c_clean_up,
        docker_stop_lets_it_clean_up_as_an_ordinary_user_without_any_privilege,
        docker_stop_waits_for_a_slow_cleanup,
        docker_stop_reaches_the_program_behind_a_shell,
        docker_stop_by_sigint_stops_as_well,
        docker_stop_by_sigint_stops_a_container_with_a_terminal,
        a_command_that_ignores_the_stop_is_killed_at_the_grace_and_named,
        a_docker_stop_that_is_shorter_than_the_grace_kills_everything,
        docker_kill_passes_any_signal_on,
        a_process_of_docker_exec_does_not_delay_the_end,
        it_works_below_another_init,
        it_works_in_the_pid_namespace_of_the_host,
        it_works_with_everything_restricted,
        it_works_without_dev_null_and_with_closed_descriptors,
        orphans_are_reaped,
        ctrl_c_in_a_container_reaches_the_command_exactly_once,
        ctrl_z_does_not_freeze_a_container,
        a_new_window_size_reaches_a_container,
        an_interactive_shell_in_a_container_has_job_control,
        docker_stop_of_a_container_with_a_terminal_cleans_up,
    ]);
    support::main(all);
    ExitCode::SUCCESS
}

/// The same codes as outside, in an image that holds nothing but the two programs.
fn exit_codes() -> Vec<Test> {
    let cases: [(&str, &[&str], i32); 11] = [
        ("exits_0", &["/app", "code=0"], 0),
        ("exits_3", &["/app", "code=3"], 3),
        ("exits_255", &["/app", "code=255"], 255),
        ("dies_of_sigterm", &["/app", "die=TERM"], 143),
        ("dies_of_sigkill", &["/app", "die=KILL"], 137),
        ("dies_of_sigint", &["/app", "die=INT"], 130),
        ("is_not_there", &["/nothing"], 127),
        ("is_not_in_path", &["nothing"], 127),
        ("is_not_executable", &["/data"], 126),
        ("is_a_directory", &["/"], 126),
        ("needs_a_shell_that_is_not_there", &["/script"], 126),
    ];
    let mut tests: Vec<Test> = Vec::new();
    for (case, command, code) in cases {
        tests.push(Test::new(format!("the_exit_code_is_{code}_when_the_command_{case}"), move || {
            let ended = Image::Scratch.run(&[], command);
            assert_eq!(code, ended.code, "{}", ended.describe());
            // Silent when nothing is wrong; one line when the command can't be started.
            let failed = (126..=127).contains(&code);
            assert_eq!(usize::from(failed), ended.lines.len(), "{}", ended.describe());
            Ok(())
        }));
    }
    for (case, command) in [("there_is_no_command", &[][..]), ("an_option_is_wrong", &["--graze=1", "/app"][..])] {
        tests.push(Test::new(format!("the_exit_code_is_125_when_{case}"), move || {
            let ended = Image::Scratch.run(&["--entrypoint", "/graceinit"], command);
            assert_eq!(125, ended.code, "{}", ended.describe());
            assert!(!ended.lines.is_empty(), "it said nothing");
            Ok(())
        }));
    }
    tests
}

fn a_script_without_an_interpreter_line_is_run_by_the_shell() -> Outcome {
    let ended = Image::Busybox.run(&["--env", "PATH=/:/bin"], &["/script"]);
    assert_eq!(3, ended.code, "{}", ended.describe());
    Ok(())
}

fn output_is_the_commands_own_and_input_reaches_it() -> Outcome {
    let mut container = Image::Scratch.start(&["--interactive"], &["/app", "input=stdin"]);
    container.wait_for("ready pid=");
    container.type_line("hello");
    container.wait_for("read hello");
    container.type_line("exit 5");
    let ended = container.wait();
    assert_eq!(5, ended.code, "{}", ended.describe());
    assert_eq!(2, ended.lines.len(), "{}", ended.describe());
    Ok(())
}

fn docker_stop_lets_a_program_that_only_knows_ctrl_c_clean_up() -> Outcome {
    clean_up_with(&[])
}

fn docker_stop_lets_it_clean_up_as_an_ordinary_user_without_any_privilege() -> Outcome {
    clean_up_with(&RESTRICTED)
}

/// Its own exit code and its cleanup lines: without graceinit it is killed ten seconds later, without either.
fn clean_up_with(options: &[&str]) -> Outcome {
    let mut container = Image::Python.start(options, &["/usr/bin/python3", "/ctrl_c_only.py"]);
    container.wait_for("working");
    container.stop(&["--time", "30"]);
    let ended = container.wait();
    assert_eq!(3, ended.code, "{}", ended.describe());
    assert!(ended.has("interrupted: saving the work") && ended.has("cleanup done"), "{}", ended.describe());
    Ok(())
}

const RESTRICTED: [&str; 8] =
    ["--read-only", "--user", "1000:1000", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--workdir=/"];

fn docker_stop_waits_for_a_slow_cleanup() -> Outcome {
    let mut container = Image::Scratch.start(&[], &["/app", "exit=TERM:7", "slow=2000"]);
    container.wait_for("ready pid=");
    container.stop(&[]);
    let ended = container.wait();
    assert_eq!(7, ended.code, "{}", ended.describe());
    assert!(ended.has("cleaning up after TERM"), "{}", ended.describe());
    Ok(())
}

fn docker_stop_reaches_the_program_behind_a_shell() -> Outcome {
    let mut container = Image::Busybox.start(&[], &["/bin/sh", "-c", "/app exit=TERM:7; exit $?"]);
    container.wait_for("ready pid=");
    container.stop(&["--time", "30"]);
    let ended = container.wait();
    assert!(ended.has("cleaning up after TERM"), "{}", ended.describe());
    assert_ne!(137, ended.code, "{}", ended.describe());
    Ok(())
}

fn docker_stop_by_sigint_stops_as_well() -> Outcome {
    stop_by_sigint(&[])
}

/// There SIGINT is Ctrl+C as well, which is no stop request: who sent it makes the difference.
fn docker_stop_by_sigint_stops_a_container_with_a_terminal() -> Outcome {
    stop_by_sigint(&["--tty"])
}

fn stop_by_sigint(options: &[&str]) -> Outcome {
    let options = [&["--stop-signal", "SIGINT"], options].concat();
    let mut container = Image::Scratch.start(&options, &["/app", "exit=INT:7"]);
    container.wait_for("ready pid=");
    container.stop(&["--time", "30"]);
    let ended = container.wait();
    assert_eq!(7, ended.code, "{}", ended.describe());
    assert!(ended.has("cleaning up after INT"), "{}", ended.describe());
    assert!(ended.has("graceinit: "), "a stop is explained{}", ended.describe());
    Ok(())
}

fn a_command_that_ignores_the_stop_is_killed_at_the_grace_and_named() -> Outcome {
    let options = ["--env", "GRACEINIT_GRACE=500ms"];
    let mut container = Image::Scratch.start(&options, &["/app", "ignore=TERM,INT"]);
    container.wait_for("ready pid=");
    container.stop(&["--time", "30"]);
    let ended = container.wait();
    assert_eq!(137, ended.code, "{}", ended.describe());
    let named = ended.lines.iter().any(|line| line.contains("SIGKILL") && line.contains("app"));
    assert!(named, "{}", ended.describe());
    Ok(())
}

fn a_docker_stop_that_is_shorter_than_the_grace_kills_everything() -> Outcome {
    let mut container = Image::Scratch.start(&[], &["/app", "ignore=TERM,INT", "leave"]);
    container.wait_for("ready pid=");
    container.stop(&["--time", "1"]);
    let ended = container.wait();
    assert_eq!(137, ended.code, "{}", ended.describe());
    Ok(())
}

fn docker_kill_passes_any_signal_on() -> Outcome {
    let mut container = Image::Scratch.start(&[], &["/app", "catch=HUP,QUIT,WINCH", "exit=TERM:7"]);
    container.wait_for("ready pid=");
    for signal in ["HUP", "QUIT", "WINCH"] {
        container.send(signal);
        container.wait_for(&format!("got {signal}"));
    }
    container.stop(&["--time", "30"]);
    let ended = container.wait();
    assert_eq!(7, ended.code, "{}", ended.describe());
    Ok(())
}

/// With an endless grace and ten seconds of docker's own, it would be killed if it waited for the other process.
fn a_process_of_docker_exec_does_not_delay_the_end() -> Outcome {
    let mut container = Image::Scratch.start(&["--env", "GRACEINIT_GRACE=infinity"], &["/app", "exit=TERM:7"]);
    container.wait_for("ready pid=");
    let mut other = container.execute(&["/app", "ignore=TERM,INT,HUP"]);
    container.stop(&["--time", "20"]);
    let ended = container.wait();
    let _ = other.wait();
    assert_eq!(7, ended.code, "{}", ended.describe());
    Ok(())
}

/// `docker run --init`: graceinit is not PID 1, and still everything below it is stopped.
fn it_works_below_another_init() -> Outcome {
    if support::find_program("docker-init").is_none() {
        return support::skip("docker-init");
    }
    let mut container = Image::Busybox.start(&["--init"], &["/bin/sh", "-c", "/app exit=TERM:7; exit $?"]);
    container.wait_for("ready pid=");
    container.stop(&["--time", "30"]);
    let ended = container.wait();
    assert!(ended.has("cleaning up after TERM"), "{}", ended.describe());
    assert_ne!(137, ended.code, "{}", ended.describe());
    Ok(())
}

fn it_works_in_the_pid_namespace_of_the_host() -> Outcome {
    let mut container = Image::Scratch.start(&["--pid", "host"], &["/app", "exit=TERM:7", "children=2", "leave"]);
    let app = pty::App::parse(&container.wait_for("ready pid="));
    assert_ne!(1, app.init(), "it is not PID 1");
    container.stop(&["--time", "30"]);
    let ended = container.wait();
    assert_eq!(7, ended.code, "{}", ended.describe());
    Ok(())
}

fn it_works_with_everything_restricted() -> Outcome {
    let mut container = Image::Scratch.start(&RESTRICTED, &["/app", "exit=TERM:7", "children=2"]);
    container.wait_for("child 1: ready");
    container.wait_for("child 2: ready");
    container.wait_for("ready pid=");
    container.stop(&["--time", "30"]);
    let ended = container.wait();
    assert_eq!(7, ended.code, "{}", ended.describe());
    Ok(())
}

/// Rust's own start-up code opens /dev/null in place of closed descriptors, and aborts where it can't.
fn it_works_without_dev_null_and_with_closed_descriptors() -> Outcome {
    for (closed, code) in [("", 3), ("<&-", 3), ("<&- >&-", 3), ("<&- >&- 2>&-", 3)] {
        let line = format!("rm /dev/null; exec /graceinit -- /app code={code} {closed}");
        let ended = Image::Busybox.run(&["--entrypoint", "/bin/sh"], &["-c", &line]);
        // `app` is a Rust program itself: without /dev/null it does not survive closed descriptors.
        let expected = if closed.is_empty() { code } else { 134 };
        assert_eq!(expected, ended.code, "{closed}{}", ended.describe());
        let line = format!("rm /dev/null; exec /graceinit -- /bin/sh -c 'exit {code}' {closed}");
        let ended = Image::Busybox.run(&["--entrypoint", "/bin/sh"], &["-c", &line]);
        assert_eq!(code, ended.code, "{closed}{}", ended.describe());
    }
    Ok(())
}

fn orphans_are_reaped() -> Outcome {
    // The orphans are the init's children then; a shell that is not their parent sees them in /proc until they are reaped.
    let script = "i=0; while [ $i -lt 50 ]; do (true &); i=$((i+1)); done; echo started; read x < /proc/1/stat; \
                  while grep -l '^State:.Z' /proc/[0-9]*/status; do :; done; echo none is left";
    let ended = Image::Busybox.run(&[], &["/bin/sh", "-c", &script.replace("grep", "/busybox grep")]);
    assert!(ended.has("none is left"), "{}", ended.describe());
    assert_eq!(0, ended.code, "{}", ended.describe());
    Ok(())
}

/// `docker run -it` in a terminal: the keys are typed there and take effect in the container's own terminal.
struct InTerminal {
    terminal: Terminal,
    name: String,
}

impl InTerminal {
    fn start(image: Image, command: &[&str]) -> Self {
        let name = docker::new_name();
        let mut words = vec!["docker".to_owned()];
        words.extend(image.run_words(&name, &["--interactive", "--tty"], command));
        let mut terminal = Terminal::new();
        // The daemon may be somewhere else.
        for variable in ["DOCKER_HOST", "DOCKER_CONTEXT", "HOME"] {
            if let Some(value) = std::env::var_os(variable) {
                terminal = terminal.with(variable, value);
            }
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Self { terminal: terminal.start_words(&words), name }
    }
}

impl Drop for InTerminal {
    fn drop(&mut self) {
        docker::remove(&self.name);
    }
}

fn ctrl_c_in_a_container_reaches_the_command_exactly_once() -> Outcome {
    let mut container = InTerminal::start(Image::Scratch, &["/app", "catch=INT,TERM", "input=stdin"]);
    let terminal = &mut container.terminal;
    terminal.wait_for_app();
    terminal.press(CTRL_C);
    terminal.wait_for_line("got INT from the kernel");
    docker::send(&container.name, "PWR");
    let counts = pty::parse_counts(&terminal.wait_for_line("so far"));
    assert_eq!((1, 0), (counts["INT"], counts["TERM"]), "{}", terminal.describe());
    terminal.type_line("exit 7");
    assert_eq!(7, terminal.wait_for_end(), "{}", terminal.describe());
    Ok(())
}

fn ctrl_z_does_not_freeze_a_container() -> Outcome {
    let mut container = InTerminal::start(Image::Scratch, &["/app", "children=1", "input=stdin"]);
    let terminal = &mut container.terminal;
    terminal.wait_for_app();
    terminal.press(CTRL_Z);
    terminal.type_line("hello");
    terminal.wait_for("read hello");
    docker::send(&container.name, "PWR");
    terminal.wait_for("child 1: so far");
    terminal.type_line("exit 7");
    assert_eq!(7, terminal.wait_for_end(), "{}", terminal.describe());
    Ok(())
}

fn a_new_window_size_reaches_a_container() -> Outcome {
    let mut container = InTerminal::start(Image::Scratch, &["/app", "catch=WINCH", "input=stdin"]);
    let terminal = &mut container.terminal;
    terminal.wait_for_app();
    terminal.resize(33, 111);
    terminal.wait_for_line("got WINCH");
    terminal.type_line("exit 7");
    assert_eq!(7, terminal.wait_for_end(), "{}", terminal.describe());
    Ok(())
}

fn an_interactive_shell_in_a_container_has_job_control() -> Outcome {
    let mut container = InTerminal::start(Image::Busybox, &["/bin/sh", "-i"]);
    let terminal = &mut container.terminal;
    // Its own echo is on: what is typed appears as well, so the texts waited for are not the ones typed.
    terminal.wait_for("# ");
    terminal.type_line("/app input=stdin");
    terminal.wait_for_app();
    terminal.press(CTRL_Z);
    terminal.wait_for("Stopped");
    terminal.type_line("fg");
    terminal.type_line("hello");
    terminal.wait_for("read hello");
    terminal.press(CTRL_C);
    terminal.wait_for("# ");
    terminal.type_line("echo status=$?; exit 7");
    terminal.wait_for_line("status=130");
    assert_eq!(7, terminal.wait_for_end(), "{}", terminal.describe());
    assert!(!terminal.transcript().contains("job control"), "{}", terminal.describe());
    Ok(())
}

fn docker_stop_of_a_container_with_a_terminal_cleans_up() -> Outcome {
    let mut container = InTerminal::start(Image::Python, &["/usr/bin/python3", "/ctrl_c_only.py"]);
    let terminal = &mut container.terminal;
    terminal.wait_for_line("working");
    docker::stop(&container.name, &["--time", "30"]);
    terminal.wait_for_line("interrupted: saving the work");
    terminal.wait_for_line("cleanup done");
    assert_eq!(3, terminal.wait_for_end(), "{}", terminal.describe());
    Ok(())
}
