//! The values that options take. An error says what is accepted.
#![forbid(unsafe_code)]

use std::ffi::CString;
use std::time::Duration;

use super::FOREVER;
use crate::policy::{Broadcast, Repeat, Whom};
use crate::signal::{Signal, SignalSet};

type Parsed<T> = Result<T, &'static str>;

const DURATION: &str = "a duration such as 10 (seconds), 1m30s, 500ms or 0";
const GRACE: &str = "a duration such as 10 (seconds), 1m30s, 500ms or 0, or infinity, or auto";
const SIGNAL: &str = "a signal such as TERM, SIGINT, 15 or RTMIN+3, or auto";
const SIGNALS: &str = "a comma list of signals such as TERM,INT,QUIT (KILL, STOP and CHLD cannot be asked with)";
const MAP: &str = "FROM:TO with two signals, or none for TO, such as HUP:QUIT or USR1:none, or a comma list of such";
const CODES: &str = "a comma list of exit codes from 0 to 255, such as 143,130";

/// `auto` is `None`; `infinity` is `Some(None)`.
pub(super) fn grace(text: &str) -> Parsed<Option<Option<Duration>>> {
    match text {
        "auto" => Ok(None),
        "infinity" => Ok(Some(FOREVER)),
        other => duration(other).map(|time| Some(Some(time))).map_err(|_| GRACE),
    }
}

pub(super) fn duration(text: &str) -> Parsed<Duration> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map(Duration::from_secs).map_err(|_| DURATION);
    }
    // humantime would take other spellings of numbers and a trailing zero without a unit: one form is enough.
    humantime::parse_duration(text).map_err(|_| DURATION)
}

pub(super) fn signal_or_auto(text: &str) -> Parsed<Option<Signal>> {
    if text == "auto" { Ok(None) } else { Signal::parse(text).map(Some).ok_or(SIGNAL) }
}

pub(super) fn whom(text: &str) -> Parsed<Whom> {
    match text {
        "auto" => Ok(Whom::Auto),
        "main" => Ok(Whom::Main),
        "group" => Ok(Whom::Group),
        "all" => Ok(Whom::All),
        _ => Err("auto, main, group or all"),
    }
}

pub(super) fn stop_on(text: &str) -> Parsed<SignalSet> {
    let receivable = |signal: &Signal| ![Signal::KILL, Signal::STOP, Signal::CHLD].contains(signal);
    text.split(',').map(|name| Signal::parse(name.trim()).filter(receivable).ok_or(SIGNALS)).collect()
}

pub(super) fn default_stop_on() -> SignalSet {
    [Signal::TERM, Signal::INT].into_iter().collect()
}

pub(super) fn map(text: &str) -> Parsed<Vec<(Signal, Option<Signal>)>> {
    let pair = |pair: &str| {
        let (from, to) = pair.trim().split_once(':')?;
        let to = if to == "none" { None } else { Some(Signal::parse(to)?) };
        Some((Signal::parse(from)?, to))
    };
    text.split(',').map(|text| pair(text).ok_or(MAP)).collect()
}

pub(super) fn repeat(text: &str) -> Parsed<Repeat> {
    match text {
        "ignore" => Ok(Repeat::Ignore),
        "forward" => Ok(Repeat::Forward),
        "kill" => Ok(Repeat::Kill),
        _ => Err("ignore, forward or kill"),
    }
}

/// `auto` is `None`.
pub(super) fn broadcast(text: &str) -> Parsed<Option<Broadcast>> {
    match text {
        "auto" => Ok(None),
        "always" => Ok(Some(Broadcast::Always)),
        "never" => Ok(Some(Broadcast::Never)),
        _ => Err("auto, always or never"),
    }
}

pub(super) fn codes(text: &str) -> Parsed<Vec<u8>> {
    text.split(',').map(|code| code.trim().parse().map_err(|_| CODES)).collect()
}

pub(super) fn boolean(text: &str) -> Parsed<bool> {
    match text {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err("1, 0, true or false"),
    }
}

pub(super) fn words(text: &str) -> Parsed<Vec<CString>> {
    const WORDS: &str = "a command with its arguments, quoted as for a shell";
    let words = shlex::split(text).filter(|words| !words.is_empty()).ok_or(WORDS)?;
    words.into_iter().map(|word| CString::new(word).map_err(|_| WORDS)).collect()
}
