//! The loop: kernel -> event -> step -> action -> kernel. It knows both sides, reads the clock, and decides nothing.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cli::Config;
use crate::lifecycle::{Action, Event, Lifecycle, Setting};
use crate::placement::{self, Placement, Surroundings};
use crate::plan::Order;
use crate::process::{End, Identity, Pid, Received};
use crate::report::{self, Note};
use crate::signal::Signal;
use crate::sys::child::{self, Launch, Waited};
use crate::sys::signals::{self, Inherited, Queue};
use crate::sys::stderr::Log;
use crate::sys::tty::{self, Terminal};
use crate::sys::{clock, fds, proc};

/// How many children are reaped before the deadline is looked at again.
const REAP_BATCH: usize = 512;

/// How many processes are watched by a descriptor each; more are found gone by reading the tree again.
const MOST_WATCHED: usize = 64;

/// How graceinit itself ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this code.
    Code(u8),
    /// Of the signal that ended the command, if it can; else with the code of that.
    Signal(Signal),
}

/// Starts the command and stays with it until nothing is left.
///
/// # Errors
/// Only before the command was started. From then on whatever fails is a log line: PID 1's death is everybody's.
pub fn run(config: Config, inherited: Inherited) -> Result<Exit> {
    let queue = Queue::open().context("cannot open a queue for the signals")?;
    let mut log = Log::open();
    let init = tty::own_pid();
    if init != Pid(1) {
        child::become_subreaper().context("cannot become a subreaper")?;
    }
    let terminal = Terminal::controlling();
    let placement = placement::place(surroundings(init, terminal.as_ref()));
    let with_terminal = placement == Placement::OwnGroup { with_terminal: true };
    let launch = Launch {
        command: &config.command,
        directory: None,
        inherited,
        own_group: placement != Placement::Shared,
        terminal: terminal.as_ref().filter(|_| with_terminal).map(Terminal::number),
        shield: config.policy.shield,
    };
    let directory = child::current_directory();
    let main = match child::spawn(&launch) {
        Ok(pid) => pid,
        Err(error) => {
            if let Some(terminal) = terminal.filter(|_| with_terminal) {
                terminal.take_back_from(Pid(0));
            }
            log.line(&report::prefixed(&error.to_string()));
            return Ok(Exit::Code(error.code()));
        }
    };
    // So that no mount is pinned, and readers of inherited pipes see their end.
    let moved = std::env::set_current_dir("/");
    let keep: Vec<_> = std::iter::once(queue.number()).chain(terminal.as_ref().map(Terminal::number)).collect();
    fds::close_inherited(&keep);
    let group = if launch.own_group { main } else { tty::own_group() };
    let setting =
        Setting { init, main, group, placement, has_terminal: terminal.is_some(), leads_session: tty::leads_session() };
    let has_terminal = terminal.is_some();
    let lifecycle = Lifecycle::new(config.policy.clone(), setting);
    let mut supervisor = Supervisor {
        config,
        inherited,
        setting,
        queue,
        log,
        terminal,
        directory,
        lifecycle,
        watched: Vec::new(),
        refused: BTreeSet::new(),
        group_is_gone: false,
        more: false,
    };
    if let Err(error) = moved {
        supervisor.tell(&Note::failed("cannot change to /".to_owned(), &error));
    }
    let code = supervisor.stay();
    // Also where it got it later, by `fg`.
    if let Some(terminal) = supervisor.terminal.as_ref().filter(|_| placement != Placement::Shared) {
        terminal.take_back_from(main);
    }
    Ok(match supervisor.lifecycle.ended_by_itself() {
        Some(End::Killed(signal @ (Signal::INT | Signal::QUIT))) if has_terminal && init != Pid(1) => {
            Exit::Signal(signal)
        }
        _ => Exit::Code(code),
    })
}

fn surroundings(init: Pid, terminal: Option<&Terminal>) -> Surroundings {
    let group = tty::own_group();
    Surroundings {
        has_terminal: terminal.is_some(),
        in_foreground: terminal.is_some_and(Terminal::is_ours),
        leads_session: tty::leads_session(),
        leads_group: group == init,
        // Only the terminal makes it matter, and reading /proc takes time.
        has_company: terminal.and_then(|_| if group == Pid(0) { Some(true) } else { proc::has_company(init, group) }),
        writes_to_pipe: tty::writes_to_pipe(),
    }
}

struct Supervisor {
    config: Config,
    inherited: Inherited,
    setting: Setting,
    queue: Queue,
    log: Log,
    terminal: Option<Terminal>,
    /// Where the command was started.
    directory: Option<CString>,
    lifecycle: Lifecycle,
    watched: Vec<(Pid, OwnedFd)>,
    /// Whom we may not signal, as far as it was told.
    refused: BTreeSet<(Identity, Signal)>,
    /// The command's group had no member any more: its id may be another group's by now.
    group_is_gone: bool,
    /// Children may be waiting to be reaped although no SIGCHLD is.
    more: bool,
}

impl Supervisor {
    /// Returns the exit code, once nothing is left.
    fn stay(&mut self) -> u8 {
        // A child may have ended before the first SIGCHLD was queued: an inherited one.
        self.more = true;
        loop {
            // The deadline comes before the signals: a flood of these must not hold it back.
            if self.lifecycle.deadline().is_some_and(|at| at <= clock::now()) {
                self.step(Event::Settled);
            }
            if let Some(code) = self.lifecycle.finished() {
                return code;
            }
            self.wait();
            let mut received: Vec<Received> = Vec::new();
            self.queue.read(|signal| received.push(signal));
            self.more |= received.iter().any(|signal| signal.signal == Signal::CHLD);
            for signal in received {
                self.step(Event::Signal(signal));
            }
            if std::mem::take(&mut self.more) {
                self.reap();
            }
            self.step(Event::Settled);
        }
    }

    fn wait(&mut self) {
        let time = if self.more {
            Some(Duration::ZERO)
        } else {
            self.lifecycle.deadline().map(|at| at.saturating_sub(clock::now()))
        };
        let ready = signals::wait(&self.queue, self.watched.iter().map(|(_, fd)| fd), time);
        let gone: Vec<Pid> = ready.iter().filter_map(|&index| self.watched.get(index)).map(|(pid, _)| *pid).collect();
        self.watched.retain(|(pid, _)| !gone.contains(pid));
        for pid in gone {
            self.step(Event::Gone(pid));
        }
    }

    /// SIGCHLD is merged with its like: everything there is is reaped, in batches.
    fn reap(&mut self) {
        for _ in 0..REAP_BATCH {
            match child::reap() {
                Waited::Ended(pid, end) => self.step(Event::Ended(pid, end)),
                Waited::Paused(pid, signal) => {
                    let terminal_is_ours = self.terminal.as_ref().is_some_and(Terminal::is_ours);
                    self.step(Event::Paused { pid, signal, terminal_is_ours });
                }
                Waited::Continued(pid) => self.step(Event::Continued(pid)),
                Waited::Nothing => return,
                Waited::Alone => return self.step(Event::Alone),
            }
        }
        self.more = true;
    }

    /// One event, and whatever follows from it.
    fn step(&mut self, event: Event) {
        let mut events = vec![event];
        let mut actions = Vec::new();
        while let Some(event) = events.pop() {
            self.lifecycle.step(event, clock::now(), &mut actions);
            for action in std::mem::take(&mut actions) {
                events.extend(self.act(action));
            }
        }
    }

    /// Carries an action out; some have an answer.
    fn act(&mut self, action: Action) -> Vec<Event> {
        match action {
            Action::Look => return vec![Event::Seen(proc::snapshot(self.setting.init, self.planned_group()))],
            Action::Deliver(orders, value) => {
                return orders.iter().filter_map(|order| self.deliver(order, value)).collect();
            }
            Action::AskGroup => return vec![Event::GroupIsEmpty(!child::group_exists(self.setting.group))],
            Action::Watch(identities) => return vec![Event::Watching(self.watch(&identities))],
            Action::StartPreStop => return vec![Event::PreStopStarted(self.start_pre_stop())],
            Action::Suspend { signal, whole_group } => {
                return vec![Event::Suspended(child::suspend(self.setting.main, signal, whole_group))];
            }
            Action::DeliverToGroup(signal) => self.deliver_to_group(signal),
            // ESRCH: nobody is left, which is what was wanted.
            Action::DeliverToAll(signal) => drop(child::signal_everybody(signal)),
            Action::StopChildren => child::stop_children(),
            Action::Resume => self.resume(),
            Action::Tell(note) => self.tell(&note),
        }
        Vec::new()
    }

    fn resume(&mut self) {
        let has_own_group = self.has_own_group();
        if let Some(terminal) = self.terminal.as_ref().filter(|terminal| has_own_group && terminal.is_ours()) {
            // A terminal that has hung up refuses; the command learns of that by itself.
            let _ = terminal.give_to(self.setting.group);
        }
        self.deliver_to_group(Signal::CONT);
    }

    fn has_own_group(&self) -> bool {
        self.setting.placement != Placement::Shared
    }

    /// The group whose members the plan is about: in a shared group the others are none of our business.
    fn planned_group(&self) -> Pid {
        if self.has_own_group() { self.setting.group } else { Pid(0) }
    }

    fn deliver(&mut self, order: &Order, value: Option<u64>) -> Option<Event> {
        let mut result = match order.children {
            Some(children) => child::signal_parent(order.identity, order.signal, children),
            None => self.send(order, order.signal, value).map(|()| true),
        };
        if matches!(result, Ok(true)) && order.resume {
            result = self.send(order, Signal::CONT, None).map(|()| true);
        }
        match result {
            Ok(true) => None,
            Ok(false) => Some(Event::Changed(order.identity)),
            Err(error) => {
                // SIGKILL is tried again and again.
                if self.refused.insert((order.identity, order.signal)) {
                    let what = format!("cannot send {} to pid {}", order.signal, order.identity.pid);
                    self.tell(&Note::failed(what, &error));
                }
                None
            }
        }
    }

    fn send(&self, order: &Order, signal: Signal, value: Option<u64>) -> io::Result<()> {
        if order.identity.pid == self.setting.main && self.lifecycle.main_is_unreaped() {
            child::signal_child(order.identity.pid, signal, value)
        } else {
            child::signal_process(order.identity, signal, value)
        }
    }

    fn deliver_to_group(&mut self, signal: Signal) {
        let main = self.setting.main;
        let can_have_members = self.has_own_group() && !self.group_is_gone;
        let mut result = if can_have_members { child::signal_group(self.setting.group, signal) } else { Ok(false) };
        self.group_is_gone |= matches!(result, Ok(false)) && !self.lifecycle.main_is_unreaped();
        // A shared group, or a command that has left its own.
        if matches!(result, Ok(false)) && self.lifecycle.main_is_unreaped() {
            result = child::signal_child(main, signal, None).map(|()| true);
        }
        if let Err(error) = result {
            self.tell(&Note::failed(format!("cannot send {signal} to the command (pid {main})"), &error));
        }
    }

    /// Watches exactly these from now on; our own children tell of their end by SIGCHLD. Returns whether all are watched.
    fn watch(&mut self, identities: &[Identity]) -> bool {
        self.watched.retain(|(pid, _)| identities.iter().any(|identity| identity.pid == *pid));
        for identity in identities {
            let pid = identity.pid;
            if pid == self.setting.main || self.watched.iter().any(|(watched, _)| *watched == pid) {
                continue;
            }
            if self.watched.len() >= MOST_WATCHED {
                return false;
            }
            match child::open_process(pid) {
                Ok(Some(handle)) => self.watched.push((pid, handle)),
                // Gone already: a pidfd would say so at once, so the tree is read again soon.
                Ok(None) | Err(_) => return false,
            }
        }
        true
    }

    fn start_pre_stop(&mut self) -> Option<Pid> {
        let launch = Launch {
            command: &self.config.pre_stop,
            directory: self.directory.as_deref(),
            inherited: self.inherited,
            own_group: true,
            terminal: None,
            shield: false,
        };
        match child::spawn(&launch) {
            Ok(pid) => Some(pid),
            Err(error) => {
                self.tell(&Note::Failed { what: "the pre-stop command failed".to_owned(), why: error.to_string() });
                None
            }
        }
    }

    fn tell(&mut self, note: &Note) {
        if note.level() <= self.config.level {
            for line in note.lines() {
                self.log.line(&report::prefixed(&line));
            }
        }
    }
}
