//! The options: their names and their help.
#![forbid(unsafe_code)]

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command, value_parser};

const AFTER_HELP: &str = "\
Every option but --help and --version has an environment variable: GRACEINIT_ and its long name in capitals
(GRACEINIT_GRACE=25s, GRACEINIT_STOP_ON=TERM,QUIT). The command line wins; an empty variable counts as unset.

Exit codes: the command's own; 128+n if signal n ended it; 125 graceinit failed or was used wrongly; 126 the command cannot be
executed; 127 it was not found.";

const EXAMPLES: &str = "\
Examples:
  ENTRYPOINT [\"graceinit\", \"--\"]                  in a Dockerfile: the CMD stops cleanly, whatever it handles
  web: graceinit -- gunicorn app:app              in a Procfile
  graceinit -t 25s -- python worker.py            SIGKILL not before 25 seconds after the stop request
  graceinit -s QUIT -- nginx -g 'daemon off;'     nginx finishes its requests at SIGQUIT only

";

/// The command line's definition.
pub(super) fn definition() -> Command {
    let mut long = String::from(EXAMPLES);
    long.push_str(AFTER_HELP);
    Command::new("graceinit")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Runs a command, forwards signals to it, reaps zombies, and stops everything cleanly")
        .override_usage("graceinit [OPTIONS] [--] COMMAND [ARG...]")
        .after_help(AFTER_HELP)
        .after_long_help(long)
        .args_override_self(true)
        .next_line_help(false)
        .args([
            value("grace", "DURATION", "Time from the stop request to SIGKILL [default: auto]")
                .short('t')
                .long_help("Time from the stop request to SIGKILL, everything included: 10 (seconds), 1m30s, 500ms, 0 (kill at once), \
                            infinity (never kill), auto (what the platform allows, less a margin; 9s where none is known) [default: auto]"),
            value("signal", "SIGNAL", "What stops the command [default: auto]").short('s').long_help(
                "What stops the command. auto: the signal that was received, translated for each process that does not handle it. \
                 INT, SIGQUIT, 15, RTMIN+3: exactly that one [default: auto]",
            ),
            value("to", "WHO", "Who gets it first: auto, main, group, all [default: auto]").long_help(
                "Who gets the stop signal first: auto (those who can act on it), main (the main process), group (the whole process \
                 group), all (every descendant) [default: auto]",
            ),
            flag("group", "The same as --to group").long(None).short('g').conflicts_with("to"),
            value("drain", "DURATION", "Keep serving this long before the first signal [default: 0]").long_help(
                "Keep serving this long before the first signal, so that load balancers notice; inside the grace, and at most half of it. \
                 A second stop request ends it [default: 0]",
            ),
            value("pre-stop", "COMMAND", "Run this before the first signal").long_help(
                "Run this before the first signal; inside the grace, and for at most half of it. Split into words as a shell does, but \
                 run without one",
            ),
            value("map", "FROM:TO", "Translate a forwarded signal; TO = none drops it")
                .action(ArgAction::Append)
                .long_help("Translate a forwarded signal by name (HUP:QUIT); TO = none drops it. May be repeated, or a comma list"),
            value("stop-on", "SIGNALS", "Which signals are stop requests [default: TERM,INT]")
                .long_help("Which signals are stop requests; all others are only forwarded [default: TERM,INT]"),
            value("repeat", "WHAT", "A repeated stop request: ignore, forward, kill [default: ignore]").long_help(
                "What a repeated stop request does: ignore (each process is told once), forward (to those in charge again), kill (SIGKILL \
                 now) [default: ignore]",
            ),
            value("broadcast", "WHEN", "Whether the platform signals every process itself [default: auto]").long_help(
                "Whether the platform sends SIGTERM to every process itself: auto (on Heroku), always, never. Processes that catch it \
                 are then not told again [default: auto]",
            ),
            flag("shield", "Start the command with SIGTERM ignored").long_help(
                "Start the command with SIGTERM ignored, for platforms that signal every process themselves: a program that only handles \
                 Ctrl+C survives that and gets SIGINT from graceinit. Shells below it cannot trap TERM then",
            ),
            value("ok-exit", "CODES", "Report these exit codes as 0 after a stop request")
                .long_help("Report these exit codes as 0, when the command was asked to stop (143,130)"),
            flag("verbose", "Tell more: the plan, each forwarded signal, each reaped process")
                .short('v')
                .overrides_with("quiet"),
            flag("quiet", "Tell only what went wrong").short('q').overrides_with("verbose"),
            Arg::new("command")
                .value_name("COMMAND")
                .help("The command to run, and its arguments")
                .num_args(1..)
                .trailing_var_arg(true)
                .required(true)
                .hide(true)
                .value_parser(value_parser!(OsString)),
        ])
}

fn value(name: &'static str, value_name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value_name).value_parser(value_parser!(OsString)).help(help)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}
