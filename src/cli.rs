//! The command line and the environment, made into plain data.
#![forbid(unsafe_code)]

mod options;
mod values;

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, parser::ValueSource};

use crate::platform::Platform;
use crate::policy::{Broadcast, Policy, Repeat, Whom};
use crate::report::{Level, printable};

/// Everything graceinit was told.
#[derive(Clone, Debug)]
pub struct Config {
    /// How it deals with signals and time.
    pub policy: Policy,
    /// The command and its arguments; never empty.
    pub command: Vec<CString>,
    /// The pre-stop command; empty if there is none.
    pub pre_stop: Vec<CString>,
    /// How much it tells.
    pub level: Level,
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Asked {
    /// To run a command.
    Run(Box<Config>),
    /// To print this text, and no more.
    Print(String),
}

/// Reads the command line, `argv[0]` included, and the environment.
///
/// # Errors
/// One line that names what is wrong, where, and what is accepted.
pub fn parse(arguments: Vec<OsString>, environment: impl Fn(&str) -> Option<OsString>) -> Result<Asked> {
    let matches = match options::definition().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Ok(Asked::Print(error.render().to_string()));
        }
        Err(error) => bail!("{}", in_one_line(&error)),
    };
    // An empty variable counts as unset: Compose passes `${X:-}`.
    let environment = |name: &str| environment(name).filter(|value| !value.is_empty());
    let settings = Settings { matches: &matches, environment: &environment };
    let platform = Platform::detect(|name| environment(name).is_some());
    let given_grace = settings.read("grace", values::grace)?.flatten();
    let drain = settings.read("drain", values::duration)?.unwrap_or_default();
    let pre_stop = settings.read("pre-stop", values::words)?.unwrap_or_default();
    if given_grace.flatten().is_some_and(|grace| grace < drain) {
        bail!("the drain is longer than the grace: it has to fit inside");
    }
    let to = if matches.get_flag("group") { Some(Whom::Group) } else { settings.read("to", values::whom)? };
    let policy = Policy {
        grace: given_grace.unwrap_or(Some(platform.grace)),
        signal: settings.read("signal", values::signal_or_auto)?.flatten(),
        to: to.unwrap_or(Whom::Auto),
        drain,
        pre_stop: !pre_stop.is_empty(),
        map: settings.read_all("map", values::map)?,
        stop_on: settings.read("stop-on", values::stop_on)?.unwrap_or_else(values::default_stop_on),
        repeat: settings.read("repeat", values::repeat)?.unwrap_or(Repeat::Ignore),
        broadcast: settings.read("broadcast", values::broadcast)?.flatten().unwrap_or(if platform.signals_everybody {
            Broadcast::FromInit
        } else {
            Broadcast::Never
        }),
        shield: settings.flag("shield")?,
        interrupt_is_stop: platform.asks_with_interrupt,
        ok_exit: settings.read("ok-exit", values::codes)?.unwrap_or_default(),
    };
    let level = match (settings.flag("verbose")?, settings.flag("quiet")?) {
        (true, _) => Level::Debug,
        (false, true) => Level::Error,
        (false, false) => Level::Info,
    };
    let command = matches.get_many::<OsString>("command").into_iter().flatten().cloned();
    let command = command.map(|word| CString::new(word.into_vec()));
    let command = command.collect::<Result<Vec<_>, _>>().map_err(|_| anyhow!("an argument contains a NUL byte"))?;
    Ok(Asked::Run(Box::new(Config { policy, command, pre_stop, level })))
}

/// The variable that stands for an option.
fn variable(option: &str) -> String {
    format!("GRACEINIT_{}", option.to_ascii_uppercase().replace('-', "_"))
}

/// What was given for each option: on the command line, or else in the environment.
struct Settings<'a> {
    matches: &'a ArgMatches,
    environment: &'a dyn Fn(&str) -> Option<OsString>,
}

impl Settings<'_> {
    fn read<T>(&self, option: &str, parse: impl Fn(&str) -> Result<T, &'static str>) -> Result<Option<T>> {
        if let Some(value) = self.matches.get_one::<OsString>(option) {
            return one(&format!("--{option}"), value, &parse).map(Some);
        }
        let name = variable(option);
        (self.environment)(&name).map(|value| one(&name, &value, &parse)).transpose()
    }

    fn read_all<T>(&self, option: &str, parse: impl Fn(&str) -> Result<Vec<T>, &'static str>) -> Result<Vec<T>> {
        let Some(values) = self.matches.get_many::<OsString>(option) else {
            return Ok(self.read(option, parse)?.unwrap_or_default());
        };
        let lists = values.map(|value| one(&format!("--{option}"), value, &parse));
        Ok(lists.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// A flag given on the command line is on, whatever the environment says; the flag that is its opposite, if given there,
    /// turns it off.
    fn flag(&self, option: &str) -> Result<bool> {
        let given = |name: &str| self.matches.value_source(name) == Some(ValueSource::CommandLine);
        if given(option) {
            return Ok(true);
        }
        let opposite = match option {
            "verbose" => "quiet",
            "quiet" => "verbose",
            _ => option,
        };
        if given(opposite) {
            return Ok(false);
        }
        let name = variable(option);
        Ok((self.environment)(&name).map(|value| one(&name, &value, &values::boolean)).transpose()?.unwrap_or(false))
    }
}

fn one<T>(whose: &str, value: &OsStr, parse: &impl Fn(&str) -> Result<T, &'static str>) -> Result<T> {
    let shown = || printable(value.as_bytes());
    let text = value.to_str().ok_or_else(|| anyhow!("{whose} '{}': not valid UTF-8", shown()))?;
    parse(text).map_err(|accepted| anyhow!("{whose} '{}': expected {accepted}", shown()))
}

/// clap's errors are paragraphs; a usage error here is one line.
fn in_one_line(error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => printable(text.as_bytes()),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    };
    let argument = context(ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::UnknownArgument => format!("unknown option '{argument}'; graceinit --help lists the options"),
        ErrorKind::MissingRequiredArgument => {
            "no command given; usage: graceinit [OPTIONS] [--] COMMAND [ARG...]".to_owned()
        }
        ErrorKind::InvalidValue => format!("the option '{argument}' needs a value; graceinit --help tells which"),
        ErrorKind::TooManyValues => format!("the option '{argument}' takes no value"),
        ErrorKind::ArgumentConflict => {
            format!("'{argument}' cannot be used together with '{}'", context(ContextKind::PriorArg))
        }
        kind => format!("{}; graceinit --help lists the options", kind.as_str().unwrap_or("wrong usage")),
    }
}

/// How long something may be that has no end.
pub(crate) const FOREVER: Option<Duration> = None;

#[cfg(test)]
mod tests;
