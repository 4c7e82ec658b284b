//! What happened, as data, and how it reads.
#![forbid(unsafe_code)]

mod tree;

use std::fmt;
use std::time::Duration;

use crate::plan::{Order, Plan, Rule};
use crate::process::{End, Pid, Process, Received, Sender, Snapshot};
use crate::signal::Signal;

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What went wrong: `--quiet` shows only this.
    Error,
    /// How a stop goes.
    Info,
    /// Everything: `--verbose`.
    Debug,
}

/// A process's name and pid, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named(Pid, Box<[u8]>);

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A stop was asked for.
    Asked {
        /// The signal and its sender.
        received: Received,
        /// The time until SIGKILL.
        grace: Option<Duration>,
    },
    /// It was asked for again.
    Repeated {
        /// The signal and its sender.
        received: Received,
        /// The time until SIGKILL.
        left: Option<Duration>,
    },
    /// `--map` drops this signal.
    Dropped(Signal),
    /// Signals were sent: by signal and rule, to whom.
    Sent {
        /// What was sent to whom, and why.
        groups: Vec<(Signal, Rule, Vec<Named>)>,
        /// The signal that was only passed on; `None` at a stop.
        forwarded: Option<Received>,
    },
    /// A signal was sent to the group without knowing who is in it.
    SentBlindly(Signal),
    /// The plan, as a tree.
    Tree(Vec<String>),
    /// A shell was not told, because it has other children than a moment ago: it is looked at again.
    Changed(Pid),
    /// The main process ended.
    MainEnded {
        /// Its pid.
        pid: Pid,
        /// How.
        end: End,
        /// How long after the stop request, if there was one.
        after: Option<Duration>,
    },
    /// The main process ended by itself and left other processes.
    LeftBehind(End),
    /// Some other process ended.
    Reaped(Pid, End),
    /// The pre-stop command ended.
    PreStopEnded(End),
    /// The command was stopped.
    Paused(Signal),
    /// The grace is over.
    Killing {
        /// Who gets SIGKILL; empty where that is not known.
        victims: Vec<Named>,
        /// How long after the stop request.
        after: Duration,
        /// The grace.
        grace: Option<Duration>,
    },
    /// Something outlived SIGKILL.
    GaveUp(Vec<Named>),
    /// Nothing is left after a stop request.
    Finished {
        /// The exit code.
        code: u8,
        /// How long after the stop request.
        after: Duration,
    },
    /// Something graceinit tried did not work.
    Failed {
        /// What, as `cannot ...`.
        what: String,
        /// The system's reason.
        why: String,
    },
}

impl Note {
    /// The orders of a plan.
    #[must_use]
    pub fn sent(snapshot: &Snapshot, orders: &[Order], forwarded: Option<Received>) -> Self {
        let mut groups: Vec<(Signal, Rule, Vec<Named>)> = Vec::new();
        for order in orders.iter().filter(|order| !order.withheld) {
            let named = Named::of(snapshot.find(order.identity.pid), order.identity.pid);
            match groups.iter_mut().find(|(signal, rule, _)| (*signal, *rule) == (order.signal, order.rule)) {
                Some((_, _, group)) => group.push(named),
                None => groups.push((order.signal, order.rule, vec![named])),
            }
        }
        Self::Sent { groups, forwarded }
    }

    /// The plan as a tree.
    #[must_use]
    pub fn tree(snapshot: &Snapshot, plan: &Plan) -> Self {
        Self::Tree(tree::draw(snapshot, plan))
    }

    /// SIGKILL.
    #[must_use]
    pub fn killing(victims: &[Process], after: Duration, grace: Option<Duration>) -> Self {
        Self::Killing { victims: Named::all(victims), after, grace }
    }

    /// Who outlived it.
    #[must_use]
    pub fn gave_up(left: &[Process]) -> Self {
        Self::GaveUp(Named::all(left))
    }

    /// Something that did not work.
    #[must_use]
    pub fn failed(what: String, why: &std::io::Error) -> Self {
        Self::Failed { what, why: why.to_string() }
    }

    /// How important it is.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::Killing { .. } | Self::GaveUp(_) | Self::Failed { .. } => Level::Error,
            Self::Asked { .. }
            | Self::Repeated { .. }
            | Self::SentBlindly(_)
            | Self::LeftBehind(_)
            | Self::Changed(_)
            | Self::PreStopEnded(_)
            | Self::Finished { .. } => Level::Info,
            Self::Sent { forwarded, .. } => {
                if forwarded.is_some() {
                    Level::Debug
                } else {
                    Level::Info
                }
            }
            Self::MainEnded { after, .. } => {
                if after.is_some() {
                    Level::Info
                } else {
                    Level::Debug
                }
            }
            Self::Dropped(_) | Self::Tree(_) | Self::Reaped(..) | Self::Paused(_) => Level::Debug,
        }
    }

    /// Its lines, without prefix and line end.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Sent { groups, forwarded } => groups.iter().map(|group| sent_line(group, *forwarded)).collect(),
            Self::Tree(lines) => lines.clone(),
            other => vec![other.to_string()],
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { received, grace } => {
                write!(f, "{} from {}: stopping, ", received.signal, Origin(received.sender))?;
                match grace {
                    Some(grace) => write!(f, "grace {}", Seconds(*grace)),
                    None => f.write_str("no time limit"),
                }
            }
            Self::Repeated { received, left } => {
                write!(f, "{} from {} again: already stopping", received.signal, Origin(received.sender))?;
                left.map_or(Ok(()), |left| write!(f, ", {} left", Seconds(left)))
            }
            Self::Dropped(signal) => write!(f, "{signal} is not forwarded (--map)"),
            Self::Sent { .. } | Self::Tree(_) => f.write_str(&self.lines().join("; ")),
            Self::SentBlindly(signal) => write!(f, "{signal} to the whole group (/proc does not tell who is in it)"),
            Self::MainEnded { pid, end, after } => {
                write!(f, "the command (pid {pid}) {}", Ending(*end))?;
                after.map_or(Ok(()), |after| write!(f, " after {}", Seconds(after)))
            }
            Self::LeftBehind(end) => write!(f, "the command {} and left processes behind: stopping them", Ending(*end)),
            Self::Changed(pid) => write!(f, "pid {pid} starts programs at this moment: not told yet, looking again"),
            Self::Reaped(pid, end) => write!(f, "pid {pid} {}", Ending(*end)),
            Self::PreStopEnded(end) => write!(f, "the pre-stop command {}", Ending(*end)),
            Self::Paused(signal) => write!(f, "the command was stopped by {signal}"),
            Self::Killing { victims, after, grace } => {
                match grace {
                    Some(grace) if *after >= *grace => write!(f, "the grace of {} is over", Seconds(*grace))?,
                    _ => f.write_str("killing now, as asked")?,
                }
                if victims.is_empty() {
                    return f.write_str(": SIGKILL to everything");
                }
                write!(f, ": SIGKILL to {}", People(victims))
            }
            Self::GaveUp(left) if left.is_empty() => f.write_str("something outlived SIGKILL: leaving without it"),
            Self::GaveUp(left) => write!(f, "SIGKILL did not end {}: leaving without", People(left)),
            Self::Finished { code, after } => write!(f, "stopped in {}, exit code {code}", Seconds(*after)),
            Self::Failed { what, why } => write!(f, "{what}: {why}"),
        }
    }
}

/// Bytes that somebody else has chosen (a process's name, an argument), so that they forge no line and control no terminal.
#[must_use]
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for character in String::from_utf8_lossy(bytes).chars() {
        if character.is_control() { text.extend(character.escape_debug()) } else { text.push(character) }
    }
    text
}

/// A line as it is written, without its end.
#[must_use]
pub fn prefixed(text: &str) -> String {
    format!("graceinit: {text}")
}

fn sent_line((signal, rule, people): &(Signal, Rule, Vec<Named>), forwarded: Option<Received>) -> String {
    let people = People(people);
    match forwarded {
        Some(received) if received.signal == *signal => {
            format!("{signal} from {} to {people}", Origin(received.sender))
        }
        Some(received) => format!("{} from {} as {signal} to {people}", received.signal, Origin(received.sender)),
        None => format!("{signal} to {people} ({})", reason(*rule)),
    }
}

/// Why, in a few words.
pub(crate) fn reason(rule: Rule) -> &'static str {
    match rule {
        Rule::Handles => "handles it",
        Rule::Trap => "traps it",
        Rule::BelowTrap => "its shell waits for it",
        Rule::Rest => "nobody else is left to wait for",
        Rule::LastCall => "last call",
        Rule::Deadline => "the time is over",
        Rule::Nobody => "nobody handles it: the whole group",
        Rule::Unreadable => "what it handles cannot be read",
        Rule::Forwarded => "forwarded",
        Rule::Asked => "--to",
    }
}

/// How many processes a line names.
const MOST_NAMES: usize = 8;

impl Named {
    fn of(process: Option<&Process>, pid: Pid) -> Self {
        Self(pid, process.map(|process| process.name.clone()).unwrap_or_default())
    }

    /// Names beyond what a line shows are not copied: there may be ten thousand.
    fn all(processes: &[Process]) -> Vec<Self> {
        processes.iter().map(|process| Self::of(Some(process), process.pid())).collect()
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(pid, name) = self;
        if name.is_empty() {
            return write!(f, "pid {pid}");
        }
        write!(f, "{pid} {}", printable(name))
    }
}

struct People<'a>(&'a [Named]);

impl fmt::Display for People<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() > 1 {
            write!(f, "{} processes: ", self.0.len())?;
        }
        for (index, named) in self.0.iter().take(MOST_NAMES).enumerate() {
            write!(f, "{}{named}", if index > 0 { ", " } else { "" })?;
        }
        if self.0.len() > MOST_NAMES { f.write_str(", ...") } else { Ok(()) }
    }
}

struct Origin(Sender);

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Sender::Kernel => f.write_str("the kernel"),
            Sender::Outside => f.write_str("outside this PID namespace"),
            Sender::Process(pid) => write!(f, "pid {pid}"),
        }
    }
}

struct Ending(End);

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            End::Exited(code) => write!(f, "exited with {code}"),
            End::Killed(signal) => write!(f, "was ended by {signal}"),
        }
    }
}

/// A duration as people write it: `9s`, `0.25s`.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = (self.0.as_millis() + 5) / 10;
        let (whole, part) = (hundredths / 100, hundredths % 100);
        match (part, part % 10) {
            (0, _) => write!(f, "{whole}s"),
            (_, 0) => write!(f, "{whole}.{}s", part / 10),
            _ => write!(f, "{whole}.{part:02}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(pid: i32, name: &[u8]) -> Named {
        Named(Pid(pid), name.into())
    }

    #[test]
    fn a_name_cannot_forge_a_line_or_control_a_terminal() {
        let text = named(7, b"evil\ngraceinit: ok\x1b[2J\xff\xc2\x9b").to_string();
        assert!(!text.chars().any(char::is_control), "{text:?}");
        assert!(text.starts_with("7 evil\\ngraceinit: ok\\u{1b}[2J"), "{text:?}");
    }

    #[test]
    fn a_crowd_is_counted_and_cut() {
        let crowd: Vec<_> = (1..=10_000).map(|pid| named(pid, b"worker")).collect();
        let text = People(&crowd).to_string();
        assert!(text.starts_with("10000 processes: 1 worker, ") && text.ends_with("8 worker, ..."), "{text}");
        assert_eq!(People(&crowd[..1]).to_string(), "1 worker");
    }

    #[test]
    fn seconds_read_as_people_write_them() {
        let show = |millis| Seconds(Duration::from_millis(millis)).to_string();
        assert_eq!([show(9000), show(500), show(250), show(4), show(1999)], ["9s", "0.5s", "0.25s", "0s", "2s"]);
    }

    #[test]
    fn a_kill_says_who_and_how_long() {
        let note = Note::Killing {
            victims: vec![named(7, b"app")],
            after: Duration::from_secs(2),
            grace: Some(Duration::from_secs(2)),
        };
        assert_eq!(note.to_string(), "the grace of 2s is over: SIGKILL to 7 app");
        assert_eq!(note.level(), Level::Error);
    }
}
