//! The command line, the environment, and what is said when they are wrong.

use std::time::{Duration, Instant};

use crate::support::{Finished, Init, Mode, NONE, Outcome, Test, both_modes, fixture, tests};

pub fn tests() -> Vec<Test> {
    let mut all = tests![
        help_and_version_go_to_standard_output,
        no_command_is_a_usage_error,
        a_bad_option_is_one_line_and_nothing_is_started,
        a_bad_value_is_one_line_that_names_the_option,
        a_bad_value_in_the_environment_is_one_line_that_names_the_variable,
        options_end_at_the_first_other_word,
        a_second_separator_belongs_to_the_command,
        long_and_short_forms_mean_the_same,
    ];
    all.extend(both_modes![
        the_environment_gives_options,
        the_command_line_wins_over_the_environment,
        an_empty_variable_counts_as_unset,
        unknown_variables_are_ignored,
        a_chosen_signal_is_sent_instead_of_the_received_one,
        the_requests_to_stop_can_be_chosen,
        quiet_says_nothing_and_verbose_says_more,
    ]);
    all
}

/// Options alone, without `--` and a command.
fn run_plainly(words: &[&str]) -> Finished {
    Init::new(Mode::Ordinary).without_separator().options(words).run()
}

fn help_and_version_go_to_standard_output() -> Outcome {
    for word in ["--help", "-h"] {
        let finished = run_plainly(&[word]);
        finished.check_code(0).check_silent().check_stdout_has("--grace").check_stdout_has("COMMAND");
    }
    for word in ["--version", "-V"] {
        let finished = run_plainly(&[word]);
        finished.check_code(0).check_silent().check_stdout_has(env!("CARGO_PKG_VERSION"));
        assert!(finished.stdout.len() == 1 && finished.stdout[0].starts_with("graceinit "), "{finished:#?}");
    }
    Ok(())
}

fn no_command_is_a_usage_error() -> Outcome {
    for words in [&[][..], &["--"], &["-v"], &["--grace", "1s"], &["--grace", "1s", "--"]] {
        check_usage_error(&run_plainly(words), &["command"]);
    }
    Ok(())
}

fn a_bad_option_is_one_line_and_nothing_is_started() -> Outcome {
    for option in ["--no-such-option", "-Z", "--grac", "--no-such-option=1"] {
        let finished = Init::new(Mode::Ordinary).options([option]).command(fixture("status", NONE)).run();
        check_usage_error(&finished, &[option.trim_end_matches("=1")]);
    }
    // An option without its value.
    check_usage_error(&run_plainly(&["--grace"]), &["--grace"]);
    check_usage_error(&run_plainly(&["-t"]), &["--grace"]);
    Ok(())
}

const BAD_VALUES: [(&str, &str, &[&str]); 4] = [
    ("--grace", "GRACEINIT_GRACE", &["abc", "-1", "10x", "1m 30", "s", "99999999999999999999s", "1e3", "٣"]),
    ("--signal", "GRACEINIT_SIGNAL", &["FOO", "0", "65", "-15", "SIG", "RTMIN+99", "TERM,INT"]),
    ("--to", "GRACEINIT_TO", &["everybody", "MAIN ", "1"]),
    ("--stop-on", "GRACEINIT_STOP_ON", &["FOO", "TERM,,INT", "TERM INT", "TERM,99"]),
];

fn a_bad_value_is_one_line_that_names_the_option() -> Outcome {
    for (option, _, values) in BAD_VALUES {
        for value in values {
            let finished =
                Init::new(Mode::Ordinary).options([format!("{option}={value}")]).command(fixture("status", NONE)).run();
            check_usage_error(&finished, &[option, value]);
        }
    }
    Ok(())
}

fn a_bad_value_in_the_environment_is_one_line_that_names_the_variable() -> Outcome {
    let switches: [(&str, &str, &[&str]); 2] =
        [("--verbose", "GRACEINIT_VERBOSE", &["yes", "2", "TRUE?"]), ("--quiet", "GRACEINIT_QUIET", &["on", "-1"])];
    for (_, variable, values) in BAD_VALUES.into_iter().chain(switches) {
        for value in values {
            let finished = Init::new(Mode::Ordinary).env(variable, value).command(fixture("status", NONE)).run();
            check_usage_error(&finished, &[variable, value]);
        }
    }
    Ok(())
}

fn options_end_at_the_first_other_word() -> Outcome {
    let start = || Init::new(Mode::Ordinary).without_separator();
    let finished = start().command(["ls", "-d", "/tmp"]).run();
    finished.check_code(0).check_silent();
    assert_eq!(finished.stdout, ["/tmp"]);
    let finished = start().options(["-v"]).command(fixture("arguments", ["--grace", "bad", "--help", "-V"])).run();
    finished.check_code(0);
    assert_eq!(finished.stdout.len(), 4, "all four are the command's: {finished:#?}");
    start().options(["--grace", "3s", "-q"]).command(["sh", "-c", "exit 6"]).run().check_code(6).check_silent();
    Ok(())
}

fn a_second_separator_belongs_to_the_command() -> Outcome {
    let finished = Init::new(Mode::Ordinary).command(fixture("arguments", ["a", "--", "b", "--"])).run();
    finished.check_code(0);
    assert_eq!(finished.stdout, ["argument 61", "argument 2d 2d", "argument 62", "argument 2d 2d"]);
    let finished = Init::new(Mode::Ordinary).without_separator().command(fixture("arguments", ["--", "-v"])).run();
    assert_eq!(finished.stdout, ["argument 2d 2d", "argument 2d 76"]);
    Ok(())
}

fn long_and_short_forms_mean_the_same() -> Outcome {
    for form in [&["--grace", "300ms"][..], &["--grace=300ms"], &["-t", "300ms"], &["-t300ms"], &["-vt", "300ms"]] {
        let running = Init::new(Mode::Ordinary).options(form).command(fixture("ignore", ["2", "15"])).start();
        running.wait_for("ready");
        running.signal(libc::SIGTERM);
        running.finish().check_code(137);
    }
    Ok(())
}

fn the_environment_gives_options(mode: Mode) -> Outcome {
    check_killed_after(Init::new(mode).env("GRACEINIT_GRACE", "300ms"), Duration::from_millis(300));
    let running = Init::new(mode)
        .env("GRACEINIT_SIGNAL", "USR2")
        .env("GRACEINIT_STOP_ON", "HUP")
        .env("GRACEINIT_TO", "main")
        .env("GRACEINIT_QUIET", "1")
        .command(fixture("print-signals", ["until", "12", "8"]))
        .start();
    running.wait_for("ready");
    running.signal(libc::SIGTERM);
    running.wait_for("signal 15 ");
    running.signal(libc::SIGHUP);
    running.finish().check_code(8).check_silent().check_stdout_lacks("signal 1 ");
    // Both words of each truth are known, and false is the default.
    for (name, value) in [("VERBOSE", "0"), ("VERBOSE", "false"), ("QUIET", "0"), ("QUIET", "false"), ("QUIET", "true")]
    {
        let finished = Init::new(mode).env(format!("GRACEINIT_{name}"), value).command(fixture("exit", ["3"])).run();
        finished.check_code(3).check_silent();
    }
    Ok(())
}

fn the_command_line_wins_over_the_environment(mode: Mode) -> Outcome {
    let init = Init::new(mode).env("GRACEINIT_GRACE", "infinity").options(["--grace", "300ms"]);
    check_killed_after(init, Duration::from_millis(300));
    let running = Init::new(mode)
        .env("GRACEINIT_SIGNAL", "KILL")
        .env("GRACEINIT_STOP_ON", "USR1")
        .options(["--signal", "HUP", "--stop-on", "TERM"])
        .command(fixture("print-signals", ["until", "1", "9"]))
        .start();
    running.wait_for("ready");
    running.signal(libc::SIGUSR1);
    running.wait_for("signal 10 ");
    running.signal(libc::SIGTERM);
    running.finish().check_code(9);
    Ok(())
}

fn an_empty_variable_counts_as_unset(mode: Mode) -> Outcome {
    let names = [
        "GRACE", "SIGNAL", "TO", "STOP_ON", "VERBOSE", "QUIET", "LOG", "REPORT", "DRAIN", "PRE_STOP", "MAP", "USER",
        "CHDIR",
    ];
    let init = names.iter().fold(Init::new(mode), |init, name| init.env(format!("GRACEINIT_{name}"), ""));
    let running = init.command(fixture("print-signals", ["until", "15", "5"])).start();
    running.wait_for("ready");
    running.signal(libc::SIGTERM);
    running.finish().check_code(5);
    Ok(())
}

fn unknown_variables_are_ignored(mode: Mode) -> Outcome {
    let init = Init::new(mode).env("GRACEINIT_PORT", "tcp://10.0.0.1:80").env("GRACEINIT_SERVICE_HOST", "10.0.0.1");
    init.env("GRACEINIT_", "x")
        .env("GRACEINIT", "y")
        .command(fixture("exit", ["0"]))
        .run()
        .check_code(0)
        .check_silent();
    Ok(())
}

fn a_chosen_signal_is_sent_instead_of_the_received_one(mode: Mode) -> Outcome {
    for (word, number) in [("INT", 2), ("SIGQUIT", 3), ("10", 10), ("RTMIN+3", 37), ("SIGRTMAX", 64), ("usr2", 12)] {
        let command = fixture("print-signals", ["until", &number.to_string(), "5"]);
        let running = Init::new(mode).options(["-s", word]).command(command).start();
        running.wait_for("ready");
        running.signal(libc::SIGTERM);
        let finished = running.finish();
        finished.check_code(5).check_stdout_lacks("signal 15 ");
        assert_eq!(
            finished.stdout.iter().filter(|line| line.starts_with("signal ")).count(),
            1,
            "{word}: {finished:#?}"
        );
    }
    Ok(())
}

fn the_requests_to_stop_can_be_chosen(mode: Mode) -> Outcome {
    for (words, last) in [("USR1", 10), ("SIGUSR1,HUP", 1), ("RTMIN+1", 35)] {
        let command = fixture("print-signals", ["until", &last.to_string(), "5"]);
        let running = Init::new(mode).options(["--stop-on", words]).command(command).start();
        running.wait_for("ready");
        // TERM and INT are no requests now: each one passes.
        for count in 1..=3 {
            running.signal(libc::SIGTERM);
            running.wait_for_nth("signal 15 ", count);
            running.signal(libc::SIGINT);
            running.wait_for_nth("signal 2 ", count);
        }
        assert!(running.stderr().is_empty(), "no stop was asked for: {:?}", running.stderr());
        running.signal(last);
        let finished = running.finish();
        finished.check_code(5);
        assert!(!finished.stderr.is_empty(), "a stop is explained");
    }
    // What asked to stop is enforced.
    let running = Init::new(mode)
        .options(["--stop-on=HUP", "--grace=300ms"])
        .command(fixture("ignore", ["1", "2", "15"]))
        .start();
    running.wait_for("ready");
    running.signal(libc::SIGHUP);
    running.finish().check_code(137);
    Ok(())
}

fn quiet_says_nothing_and_verbose_says_more(mode: Mode) -> Outcome {
    let said = |options: &[&str]| {
        let running = Init::new(mode).options(options).command(fixture("print-signals", ["until", "15", "5"])).start();
        running.wait_for("ready");
        running.signal(libc::SIGTERM);
        let finished = running.finish();
        finished.check_code(5);
        for line in &finished.stderr {
            assert!(line.starts_with("graceinit: "), "{finished:#?}");
        }
        finished.stderr.len()
    };
    let (quiet, plain, verbose) = (said(&["-q"]), said(&[]), said(&["-v"]));
    assert!(quiet == 0 && plain > 0 && verbose > plain, "quiet {quiet}, plain {plain}, verbose {verbose} lines");
    assert_eq!((said(&["--quiet"]), said(&["--verbose"])), (quiet, verbose));
    Ok(())
}

fn check_killed_after(init: Init, grace: Duration) {
    let running = init.command(fixture("ignore", ["2", "15"])).start();
    running.wait_for("ready");
    let asked = Instant::now();
    running.signal(libc::SIGTERM);
    let finished = running.finish();
    finished.check_code(137);
    assert!(asked.elapsed() >= grace, "killed after {:?}, before the grace of {grace:?} was over", asked.elapsed());
}

fn check_usage_error(finished: &Finished, words: &[&str]) {
    finished.check_code(125);
    assert!(finished.stdout.is_empty(), "nothing was to be started: {finished:#?}");
    assert!(finished.stderr.len() == 1, "one line expected: {finished:#?}");
    let line = finished.stderr[0].to_lowercase();
    assert!(line.starts_with("graceinit: "), "{finished:#?}");
    for word in words {
        assert!(line.contains(&word.to_lowercase()), "{word:?} is not named: {finished:#?}");
    }
}
