use super::*;
use crate::policy::Repeat;
use crate::signal::Signal;

fn parse_with(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Asked> {
    let arguments = std::iter::once("graceinit").chain(arguments.iter().copied()).map(OsString::from).collect();
    parse(arguments, |name| environment.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value)))
}

fn config(arguments: &[&str], environment: &[(&str, &str)]) -> Config {
    match parse_with(arguments, environment) {
        Ok(Asked::Run(config)) => *config,
        other => panic!("{arguments:?} {environment:?} gave {other:?}"),
    }
}

fn error(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let error = match parse_with(arguments, environment) {
        Err(error) => format!("{error:#}"),
        Ok(asked) => panic!("{arguments:?} {environment:?} gave {asked:?}"),
    };
    assert!(!error.contains('\n'), "more than one line: {error}");
    error
}

fn words(config: &Config) -> Vec<&str> {
    config.command.iter().map(|word| word.to_str().unwrap()).collect()
}

#[test]
fn options_end_at_the_first_word_that_is_none() {
    for (arguments, command) in [
        (&["ls", "-d", "/tmp"][..], &["ls", "-d", "/tmp"][..]),
        (&["--", "ls", "--", "-v"], &["ls", "--", "-v"]),
        (&["ls", "--", "x"], &["ls", "--", "x"]),
        (&["-v", "ls", "-v"], &["ls", "-v"]),
        (&["--", "--", "x"], &["--", "x"]),
        (&["-t", "5", "sh", "-c", "exit 3"], &["sh", "-c", "exit 3"]),
        (&["ls", "--help"], &["ls", "--help"]),
        (&["", "x"], &["", "x"]),
    ] {
        assert_eq!(words(&config(arguments, &[])), command, "{arguments:?}");
    }
}

#[test]
fn the_grace_is_read_in_every_form() {
    let grace = |text| config(&["-t", text, "x"], &[]).policy.grace;
    assert_eq!(grace("10"), Some(Duration::from_secs(10)));
    assert_eq!(grace("1m30s"), Some(Duration::from_secs(90)));
    assert_eq!(grace("500ms"), Some(Duration::from_millis(500)));
    assert_eq!(grace("0"), Some(Duration::ZERO));
    assert_eq!(grace("infinity"), None);
    assert_eq!(grace("auto"), Some(Duration::from_secs(9)));
    assert_eq!(config(&["x"], &[]).policy.grace, Some(Duration::from_secs(9)));
}

#[test]
fn the_command_line_wins_over_the_environment_and_empty_is_unset() {
    let set = [
        ("GRACEINIT_GRACE", "3s"),
        ("GRACEINIT_SIGNAL", ""),
        ("GRACEINIT_STOP_ON", "QUIT"),
        ("GRACEINIT_PORT", "tcp://x"),
    ];
    assert_eq!(config(&["x"], &set).policy.grace, Some(Duration::from_secs(3)));
    assert_eq!(config(&["x"], &set).policy.signal, None);
    assert!(config(&["x"], &set).policy.stop_on.contains(Signal::QUIT));
    assert_eq!(config(&["--grace=7", "x"], &set).policy.grace, Some(Duration::from_secs(7)));
    assert_eq!(config(&["-v", "x"], &[("GRACEINIT_QUIET", "1")]).level, Level::Debug);
    assert_eq!(config(&["-q", "x"], &[("GRACEINIT_VERBOSE", "true")]).level, Level::Error);
    assert_eq!(config(&["x"], &[("GRACEINIT_VERBOSE", "0")]).level, Level::Info);
}

#[test]
fn the_last_of_equal_options_wins() {
    assert_eq!(config(&["-t", "1", "-t", "2", "x"], &[]).policy.grace, Some(Duration::from_secs(2)));
    assert_eq!(config(&["-v", "-q", "x"], &[]).level, Level::Error);
    assert_eq!(config(&["-v", "-v", "x"], &[]).level, Level::Debug);
}

#[test]
fn lists_are_read_whole() {
    let policy =
        config(&["--map", "HUP:QUIT", "--map", "USR1:none,USR2:RTMIN+1", "--ok-exit", "143, 130", "x"], &[]).policy;
    let quit = (Signal::HUP, Some(Signal::QUIT));
    assert_eq!(policy.map, [quit, (Signal::USR1, None), (Signal::USR2, Signal::parse("35"))]);
    assert_eq!(policy.ok_exit, [143, 130]);
    let policy = config(&["x"], &[("GRACEINIT_MAP", "HUP:QUIT"), ("GRACEINIT_REPEAT", "kill")]).policy;
    assert_eq!((policy.map, policy.repeat), (vec![quit], Repeat::Kill));
    assert_eq!(config(&["--pre-stop", "touch 'a b'", "x"], &[]).pre_stop.len(), 2);
}

#[test]
fn a_bad_value_names_the_option_and_what_is_accepted() {
    for (option, variable, bad) in [
        ("--grace", "GRACEINIT_GRACE", "5x"),
        ("--grace", "GRACEINIT_GRACE", "-1"),
        ("--grace", "GRACEINIT_GRACE", "99999999999999999999"),
        ("--signal", "GRACEINIT_SIGNAL", "TERMINATE"),
        ("--to", "GRACEINIT_TO", "everyone"),
        ("--drain", "GRACEINIT_DRAIN", "infinity"),
        ("--map", "GRACEINIT_MAP", "HUP"),
        ("--stop-on", "GRACEINIT_STOP_ON", "TERM,KILL"),
        ("--repeat", "GRACEINIT_REPEAT", "again"),
        ("--broadcast", "GRACEINIT_BROADCAST", "maybe"),
        ("--ok-exit", "GRACEINIT_OK_EXIT", "256"),
        ("--pre-stop", "GRACEINIT_PRE_STOP", "a 'b"),
    ] {
        for text in [error(&[&format!("{option}={bad}"), "x"], &[]), error(&["x"], &[(variable, bad)])] {
            assert!(text.contains(bad) && text.contains("expected"), "{text}");
        }
        assert!(error(&["x"], &[(variable, bad)]).contains(variable));
    }
    assert!(error(&["x"], &[("GRACEINIT_VERBOSE", "yes")]).contains("GRACEINIT_VERBOSE 'yes': expected 1, 0"));
    assert!(error(&["-t", "5\nx", "y"], &[]).contains("5\\nx"));
}

#[test]
fn wrong_usage_is_one_line() {
    assert!(error(&[], &[]).contains("no command given"));
    assert!(error(&["--"], &[]).contains("no command given"));
    assert!(error(&["--frobnicate", "x"], &[]).contains("unknown option '--frobnicate'"));
    assert!(error(&["-x", "y"], &[]).contains("unknown option '-x'"));
    assert!(error(&["--verbose=1", "x"], &[]).contains("takes no value"));
    assert!(error(&["-g", "--to", "main", "x"], &[]).contains("cannot be used"));
    assert!(error(&["--grace"], &[]).contains("--grace"));
    assert!(error(&["-t", "5", "--drain", "6", "x"], &[]).contains("longer than the grace"));
}

#[test]
fn help_and_version_are_texts() {
    for flag in ["-h", "--help", "-V", "--version"] {
        assert!(matches!(parse_with(&[flag], &[]), Ok(Asked::Print(text)) if text.contains("graceinit")), "{flag}");
    }
}
