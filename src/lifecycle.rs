//! The life of one command, as a state machine in virtual time: events in, actions out, and one next deadline.
//!
//! Time is a `Duration` since some fixed moment; a time-out is an event like any other. Every phase answers every event; an
//! event that comes too late (a snapshot nobody waits for any more, a second request to kill) does nothing.
#![forbid(unsafe_code)]

mod job;
mod kill;
mod stop;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::exit;
use crate::placement::Placement;
use crate::plan::{self, History, Order, Plan, Request};
use crate::policy::{Policy, Whom};
use crate::process::{End, Identity, Pid, Received, Sender, Snapshot};
use crate::report::Note;
use crate::signal::Signal;
use stop::Stop;

/// What the lifecycle knows of the place it was started in.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// graceinit's own pid.
    pub init: Pid,
    /// The main process.
    pub main: Pid,
    /// The group that the command is in.
    pub group: Pid,
    /// Where the command was put.
    pub placement: Placement,
    /// Whether there is a controlling terminal.
    pub has_terminal: bool,
    /// Whether graceinit leads the session: a hangup then reaches only us.
    pub leads_session: bool,
}

impl Setting {
    fn is_pid_1(&self) -> bool {
        self.init == Pid(1)
    }
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// A signal came for graceinit.
    Signal(Received),
    /// A child (the command, or an adopted process) has ended and was reaped.
    Ended(Pid, End),
    /// A child was stopped.
    Paused {
        /// Which one.
        pid: Pid,
        /// By which signal.
        signal: Signal,
        /// Whether the terminal is our own group's at this moment.
        terminal_is_ours: bool,
    },
    /// A child was continued.
    Continued(Pid),
    /// A watched process that is no child has ended.
    Gone(Pid),
    /// A process was not sent its signal, because it has got, or lost, a child since the snapshot.
    Changed(Identity),
    /// There is no child left.
    Alone,
    /// The answer to `Action::Look`; `None` without a usable /proc.
    Seen(Option<Snapshot>),
    /// The answer to `Action::Watch`: whether all of them can be watched.
    Watching(bool),
    /// The answer to `Action::AskGroup`: whether nobody is left in it.
    GroupIsEmpty(bool),
    /// The answer to `Action::StartPreStop`.
    PreStopStarted(Option<Pid>),
    /// The answer to `Action::Suspend`: whether graceinit was stopped (and is running again).
    Suspended(bool),
    /// All that had come has been handed over; the deadline may have passed.
    Settled,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take a snapshot.
    Look,
    /// Send each of these its signal, with this value if there is one.
    Deliver(Vec<Order>, Option<u64>),
    /// Send the signal to the command's group: to the whole of it if it is the command's own, else to the main process.
    DeliverToGroup(Signal),
    /// Send the signal to every process of the namespace (only as PID 1).
    DeliverToAll(Signal),
    /// Send SIGSTOP to all our own children, at once: a process that forks and exits all the time has moved on before a
    /// snapshot is read, but has become our child by then.
    StopChildren,
    /// Tell whether anybody is left in the command's group.
    AskGroup,
    /// Tell when one of these ends.
    Watch(Vec<Identity>),
    /// Start the pre-stop command.
    StartPreStop,
    /// Give the terminal back to the command, if it was given to us, and continue the command.
    Resume,
    /// Stop ourselves (and `whole_group`: our whole group), as the command was stopped by this signal.
    Suspend {
        /// The signal that stopped the command.
        signal: Signal,
        /// The others in our group have not been stopped already.
        whole_group: bool,
    },
    /// Tell the user.
    Tell(Note),
}

/// What a snapshot is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Rule 14.
    Forward(Received),
    /// The first wave of a stop.
    First,
    /// Rule 3b: this shell has started or lost a child since it was looked at.
    Again(Identity),
    /// Rule 4.
    Orphans,
    /// Rule 5.
    Rest,
    /// Rule 6.
    LastCall,
    /// Rule 7.
    Kill,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The command runs, nobody asked for a stop.
    Running,
    /// A stop was asked for, the first signal waits for a drain or a pre-stop command.
    Draining { until: Duration },
    /// Those in charge have been told.
    Stopping,
    /// Nobody was in charge any more: the rest has been told.
    Sweeping,
    /// SIGKILL has been sent.
    Killing,
    /// Nothing is left, or nothing more can be done.
    Done,
}

/// The state of one command's life.
#[derive(Debug)]
pub struct Lifecycle {
    policy: Policy,
    setting: Setting,
    phase: Phase,
    main_end: Option<End>,
    alone: bool,
    history: History,
    /// The orders of those in charge who are alive, as far as is known.
    in_charge: BTreeMap<Pid, Order>,
    stop: Option<Stop>,
    wanted: VecDeque<Purpose>,
    asked_to_look: bool,
    job: job::Job,
}

impl Lifecycle {
    /// A command that has just been started.
    #[must_use]
    pub fn new(policy: Policy, setting: Setting) -> Self {
        Self {
            policy,
            setting,
            phase: Phase::Running,
            main_end: None,
            alone: false,
            history: History::default(),
            in_charge: BTreeMap::new(),
            stop: None,
            wanted: VecDeque::new(),
            asked_to_look: false,
            job: job::Job::default(),
        }
    }

    /// Takes one event and appends what is to be done.
    pub fn step(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) {
        if self.phase == Phase::Done {
            return;
        }
        match event {
            Event::Signal(received) => self.on_signal(received, now, actions),
            Event::Ended(pid, end) => self.on_end(pid, Some(end), now, actions),
            Event::Gone(pid) => self.on_end(pid, None, now, actions),
            Event::Paused { pid, signal, terminal_is_ours } => self.on_pause(pid, signal, terminal_is_ours, actions),
            Event::Continued(pid) => self.on_continue(pid),
            Event::Suspended(worked) => self.on_suspended(worked, actions),
            Event::Changed(identity) => self.on_change(identity, actions),
            Event::Alone => self.alone = true,
            Event::Seen(snapshot) => self.on_snapshot(snapshot.as_ref(), now, actions),
            Event::Watching(all) => self.on_watching(all, now),
            Event::GroupIsEmpty(empty) => self.on_group(empty, actions),
            Event::PreStopStarted(pid) => self.on_pre_stop(pid),
            Event::Settled => self.on_settled(now, actions),
        }
    }

    /// When `Event::Settled` is due at the latest; `None` while there is nothing to wait for but events.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let stop = self.stop.as_ref()?;
        let times = match self.phase {
            Phase::Running | Phase::Done => return None,
            Phase::Draining { until } => [Some(until), stop.kill_at, None, None],
            Phase::Stopping | Phase::Sweeping => [stop.rest_at, stop.last_call_at, stop.kill_at, stop.reread_at],
            Phase::Killing => [stop.kill_again_at, stop.give_up_at, None, None],
        };
        times.into_iter().flatten().min()
    }

    /// The exit code, once nothing is left to do.
    #[must_use]
    pub fn finished(&self) -> Option<u8> {
        (self.phase == Phase::Done).then(|| self.exit_code())
    }

    /// How the main process ended, if it ended by itself: without a stop request, and not by us.
    #[must_use]
    pub fn ended_by_itself(&self) -> Option<End> {
        self.main_end.filter(|_| self.stop.as_ref().is_none_or(|stop| !stop.was_asked))
    }

    /// Whether the main process is still ours to signal: nobody else can have its pid before it is reaped.
    #[must_use]
    pub fn main_is_unreaped(&self) -> bool {
        self.main_end.is_none()
    }

    fn exit_code(&self) -> u8 {
        // Without a status the main process outlived SIGKILL.
        let code = exit::code(self.main_end.unwrap_or(End::Killed(Signal::KILL)));
        let asked = self.stop.as_ref().is_some_and(|stop| stop.was_asked);
        if asked && self.policy.ok_exit.contains(&code) { 0 } else { code }
    }

    fn on_signal(&mut self, received: Received, now: Duration, actions: &mut Vec<Action>) {
        if received.signal == Signal::CHLD
            || self.is_about_ourselves(received)
            || self.came_from_terminal(received, actions)
        {
            return;
        }
        let mapped = self.policy.map.iter().find(|(from, _)| *from == received.signal).map(|(_, to)| *to);
        let signal = match mapped {
            Some(None) => return actions.push(Action::Tell(Note::Dropped(received.signal))),
            Some(Some(to)) => to,
            None => received.signal,
        };
        if received.signal == Signal::CONT && mapped.is_none() {
            self.job.resume = true;
        } else if self.policy.stop_on.contains(received.signal) {
            self.on_request(received, mapped.flatten(), now, actions);
        } else {
            self.want(Purpose::Forward(Received { signal, ..received }));
        }
    }

    /// A signal that our own doing has caused: a write into a broken stderr raises SIGPIPE, a suspension is sent to our group.
    fn is_about_ourselves(&self, received: Received) -> bool {
        const CAUSED: [Signal; 5] = [Signal::PIPE, Signal::XFSZ, Signal::XCPU, Signal::IO, Signal::URG];
        match received.sender {
            Sender::Process(pid) => pid == self.setting.init,
            Sender::Kernel => CAUSED.contains(&received.signal),
            Sender::Outside => false,
        }
    }

    fn want(&mut self, purpose: Purpose) {
        // Reading the tree twice for one purpose tells nothing new, but each signal is passed on.
        if matches!(purpose, Purpose::Forward(_)) || !self.wanted.contains(&purpose) {
            self.wanted.push_back(purpose);
        }
    }

    fn on_settled(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.resume_if_asked(actions);
        if self.alone {
            return self.finish(now, actions);
        }
        self.pass_time(now, actions);
        self.look(actions);
    }

    fn look(&mut self, actions: &mut Vec<Action>) {
        if !self.wanted.is_empty() && !self.asked_to_look {
            self.asked_to_look = true;
            actions.push(Action::Look);
        }
    }

    fn on_snapshot(&mut self, snapshot: Option<&Snapshot>, now: Duration, actions: &mut Vec<Action>) {
        self.asked_to_look = false;
        while let Some(purpose) = self.wanted.pop_front() {
            match (purpose, snapshot) {
                (Purpose::Forward(received), _) if self.phase != Phase::Killing => {
                    self.pass_on(received, snapshot, actions);
                }
                (Purpose::Forward(_), _) => {}
                (Purpose::Kill, _) => self.kill(snapshot, now, actions),
                (_, Some(snapshot)) => self.next_wave(purpose, snapshot, now, actions),
                (_, None) => self.next_blind_wave(purpose, actions),
            }
        }
    }

    /// Rule 14.
    fn pass_on(&mut self, received: Received, snapshot: Option<&Snapshot>, actions: &mut Vec<Action>) {
        let signal = received.signal;
        let Some(snapshot) = snapshot else { return actions.push(Action::DeliverToGroup(signal)) };
        let history = History::default();
        let request = self.request(snapshot, signal, false, false, &history);
        let plan = match self.policy.to {
            Whom::Auto => plan::forward(&request),
            Whom::Main => plan::main_only(&request),
            Whom::Group => plan::whole_group(&request),
            Whom::All => plan::everybody(&request),
        };
        actions.push(Action::Tell(Note::sent(snapshot, &plan.orders, Some(received))));
        self.deliver(plan, received.value, actions);
    }

    /// Hands a plan's orders out: as one killpg(2) where the plan says so, it is possible, and no value goes with it.
    fn deliver(&self, plan: Plan, value: Option<u64>, actions: &mut Vec<Action>) {
        let own_group = matches!(self.setting.placement, Placement::OwnGroup { .. });
        let at_once = plan.whole_group && own_group && value.is_none();
        let (by_group, single): (Vec<Order>, Vec<Order>) =
            plan.orders.into_iter().partition(|order| at_once && order.rule.is_of_group());
        if let Some(order) = by_group.first() {
            actions.push(Action::DeliverToGroup(order.signal));
        }
        let stopped = by_group.into_iter().filter(|order| order.resume);
        let resumed = stopped.map(|order| Order { signal: Signal::CONT, resume: false, ..order });
        let orders: Vec<Order> = resumed.chain(single).filter(|order| !order.withheld).collect();
        if !orders.is_empty() {
            actions.push(Action::Deliver(orders, value));
        }
    }

    fn request<'a>(
        &self,
        snapshot: &'a Snapshot,
        signal: Signal,
        translate: bool,
        broadcast: bool,
        history: &'a History,
    ) -> Request<'a> {
        Request {
            snapshot,
            init: self.setting.init,
            main: self.setting.main,
            group: self.setting.group,
            signal,
            translate,
            shield: self.policy.shield,
            broadcast,
            history,
        }
    }

    fn finish(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.phase = Phase::Done;
        if let Some(stop) = self.stop.as_ref().filter(|stop| stop.is_known) {
            actions.push(Action::Tell(Note::Finished {
                code: self.exit_code(),
                after: now.saturating_sub(stop.asked_at),
            }));
        }
    }
}
