//! Processes that are only data, and the kernel around them.

use std::collections::BTreeMap;

use super::super::*;
use crate::policy::{Broadcast, Repeat};
use crate::process::{Dispositions, Process};
use crate::signal::SignalSet;

pub(super) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A signal, and when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At(pub(super) Duration, pub(super) Signal);

/// How one process behaves.
#[derive(Clone, Debug)]
pub(super) struct Proc {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) is_shell: bool,
    pub(super) caught: SignalSet,
    pub(super) ignored: SignalSet,
    /// How long it goes on after a signal that it catches; `None` for ever.
    pub(super) drain: Option<Duration>,
    /// It ends only after its children.
    pub(super) waits_for_children: bool,
    pub(super) stopped: bool,
    pub(super) unreadable: bool,
    /// SIGKILL does not end it (D state).
    pub(super) immortal: bool,
    pub(super) code: u8,
    pub(super) wants_to_end_at: Option<(Duration, End)>,
    pub(super) ended_at: Option<Duration>,
    pub(super) received: Vec<At>,
}

impl Proc {
    pub(super) fn new(pid: i32, parent: i32) -> Self {
        Self {
            pid,
            parent,
            group: 2,
            is_shell: false,
            caught: SignalSet::default(),
            ignored: SignalSet::default(),
            drain: Some(ms(0)),
            waits_for_children: false,
            stopped: false,
            unreadable: false,
            immortal: false,
            code: 0,
            wants_to_end_at: None,
            ended_at: None,
            received: Vec::new(),
        }
    }
    pub(super) fn catches(mut self, signal: Signal) -> Self {
        self.caught = self.caught.with(signal);
        self
    }
    pub(super) fn ignores(mut self, signal: Signal) -> Self {
        self.ignored = self.ignored.with(signal);
        self
    }
    pub(super) fn drains(mut self, time: Duration) -> Self {
        self.drain = Some(time);
        self
    }
    pub(super) fn shell(mut self) -> Self {
        self.is_shell = true;
        self
    }
    pub(super) fn does_ignore(&self, signal: Signal) -> bool {
        self.ignored.contains(signal) && !self.caught.contains(signal)
    }
    pub(super) fn does_catch_anything(&self) -> bool {
        self.caught != SignalSet::default()
    }
    fn is_alive(&self) -> bool {
        self.ended_at.is_none()
    }

    fn take(&mut self, signal: Signal, now: Duration) {
        self.received.push(At(now, signal));
        match signal {
            Signal::KILL if !self.immortal => {
                self.wants_to_end_at = Some((now, End::Killed(signal)));
                self.waits_for_children = false;
                self.stopped = false;
            }
            Signal::KILL => {}
            Signal::STOP => self.stopped = true,
            Signal::CONT => self.stopped = false,
            _ if self.caught.contains(signal) => {
                if let Some(drain) = self.drain {
                    self.wants_to_end_at.get_or_insert((now + drain, End::Exited(self.code)));
                }
            }
            _ if self.ignored.contains(signal) => {}
            _ => {
                self.wants_to_end_at = Some((now, End::Killed(signal)));
                self.waits_for_children = false;
            }
        }
    }
}

/// A machine and a lifecycle on it, as PID 1.
#[derive(Debug)]
pub(super) struct World {
    pub(super) policy: Policy,
    pub(super) signal: Signal,
    pub(super) has_proc: bool,
    pub(super) can_watch: bool,
    pub(super) init: i32,
    /// How often a shell turns out to have other children than the snapshot.
    pub(super) changes: u32,
    /// When stop requests come.
    pub(super) requests: Vec<Duration>,
    processes: BTreeMap<i32, Proc>,
    watched: Vec<i32>,
    now: Duration,
    pub(super) ended_at: Duration,
    pub(super) code: Option<u8>,
    pub(super) notes: Vec<Note>,
    pub(super) pre_stop: Option<Proc>,
}

impl World {
    pub(super) fn new() -> Self {
        let policy = Policy {
            grace: Some(ms(9000)),
            signal: None,
            to: Whom::Auto,
            drain: Duration::ZERO,
            pre_stop: false,
            map: Vec::new(),
            stop_on: [Signal::TERM, Signal::INT].into_iter().collect(),
            repeat: Repeat::Ignore,
            broadcast: Broadcast::Never,
            shield: false,
            interrupt_is_stop: false,
            ok_exit: Vec::new(),
        };
        Self {
            policy,
            signal: Signal::TERM,
            has_proc: true,
            can_watch: true,
            init: 1,
            changes: 0,
            requests: vec![Duration::ZERO],
            processes: BTreeMap::new(),
            watched: Vec::new(),
            now: Duration::ZERO,
            ended_at: Duration::ZERO,
            code: None,
            notes: Vec::new(),
            pre_stop: None,
        }
    }
    pub(super) fn of(processes: impl IntoIterator<Item = Proc>) -> Self {
        let mut world = Self::new();
        processes.into_iter().for_each(|process| world.add(process));
        world
    }
    pub(super) fn add(&mut self, process: Proc) {
        self.processes.insert(process.pid, process);
    }
    pub(super) fn everybody(&self) -> impl Iterator<Item = &Proc> {
        self.processes.values()
    }
    pub(super) fn everybody_mut(&mut self) -> impl Iterator<Item = &mut Proc> {
        self.processes.values_mut()
    }
    pub(super) fn all_are_gone(&self) -> bool {
        self.everybody().all(|process| process.ended_at.is_some())
    }
    pub(super) fn main_leaves_at(&mut self, at: Duration) {
        self.requests.clear();
        let main = self.processes.get_mut(&2).unwrap();
        main.wants_to_end_at = Some((at, End::Exited(5)));
        main.waits_for_children = false;
        main.stopped = false;
    }
    /// Whether this process got the signal.
    pub(super) fn got(&self, pid: i32, signal: Signal) -> Option<Duration> {
        self.processes[&pid].received.iter().find(|At(_, s)| *s == signal).map(|At(at, _)| *at)
    }

    /// Runs until the lifecycle is done.
    pub(super) fn run(&mut self) {
        let setting = Setting {
            init: Pid(self.init),
            main: Pid(2),
            group: Pid(2),
            placement: Placement::OwnGroup { with_terminal: false },
            has_terminal: false,
            leads_session: false,
        };
        let mut life = Lifecycle::new(self.policy.clone(), setting);
        for _ in 0..100_000 {
            while self.requests.first().is_some_and(|at| *at <= self.now) {
                self.requests.remove(0);
                let received = Received { signal: self.signal, sender: Sender::Outside, value: None };
                self.feed(&mut life, Event::Signal(received));
            }
            self.end_those_due(&mut life);
            self.feed(&mut life, Event::Settled);
            if life.finished().is_some() {
                self.ended_at = self.now;
                self.code = life.finished();
                return;
            }
            let ends = self.processes.values().filter_map(|p| self.end_of(p));
            let next = ends.chain(life.deadline()).chain(self.requests.first().copied()).min();
            let next = next.unwrap_or_else(|| panic!("nothing more would ever happen: {life:?} {self:?}"));
            self.now = self.now.max(next);
        }
        panic!("it goes on for ever: {life:?} {self:?}");
    }

    /// When a process will end, if nothing else happens.
    fn end_of(&self, process: &Proc) -> Option<Duration> {
        let (at, _) = process.wants_to_end_at.filter(|_| process.is_alive() && !process.stopped)?;
        let waits = process.waits_for_children && self.has_children(process.pid);
        (!waits).then_some(at)
    }
    fn has_children(&self, pid: i32) -> bool {
        self.processes.values().any(|child| child.parent == pid && child.is_alive())
    }

    fn end_those_due(&mut self, life: &mut Lifecycle) {
        while let Some(pid) =
            self.processes.values().find(|p| self.end_of(p).is_some_and(|at| at <= self.now)).map(|p| p.pid)
        {
            let process = self.processes.get_mut(&pid).unwrap();
            process.ended_at = Some(self.now);
            let (parent, end) = (process.parent, process.wants_to_end_at.unwrap().1);
            for child in self.processes.values_mut().filter(|child| child.parent == pid && child.is_alive()) {
                child.parent = self.init;
            }
            if parent == self.init {
                self.feed(life, Event::Ended(Pid(pid), end));
            } else if self.watched.contains(&pid) {
                self.feed(life, Event::Gone(Pid(pid)));
            }
        }
        if !self.has_children(self.init) {
            self.feed(life, Event::Alone);
        }
    }

    fn feed(&mut self, life: &mut Lifecycle, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut actions = Vec::new();
            life.step(event, self.now, &mut actions);
            for action in actions {
                events.extend(self.act(action));
            }
        }
    }

    fn act(&mut self, action: Action) -> Vec<Event> {
        let now = self.now;
        let alive = |process: &&mut Proc| process.ended_at.is_none();
        match action {
            Action::Look => return vec![Event::Seen(self.has_proc.then(|| self.snapshot()))],
            Action::Deliver(orders, _) => {
                let mut changed = Vec::new();
                for order in orders {
                    if order.children.is_some() && self.changes > 0 {
                        self.changes -= 1;
                        changed.push(Event::Changed(order.identity));
                        continue;
                    }
                    let process = self.processes.get_mut(&order.identity.pid.0).unwrap();
                    if process.is_alive() {
                        process.take(order.signal, now);
                        if order.resume {
                            process.stopped = false;
                        }
                    }
                }
                return changed;
            }
            Action::DeliverToGroup(signal) => {
                let members = self.processes.values_mut().filter(alive).filter(|process| process.group == 2);
                members.for_each(|process| process.take(signal, now));
            }
            Action::DeliverToAll(signal) => self.processes.values_mut().filter(alive).for_each(|p| p.take(signal, now)),
            Action::StopChildren => {
                let children = self.processes.values_mut().filter(alive).filter(|process| process.parent == self.init);
                children.for_each(|process| process.take(Signal::STOP, now));
            }
            Action::Watch(identities) => {
                self.watched = if self.can_watch { identities.iter().map(|id| id.pid.0).collect() } else { Vec::new() };
                return vec![Event::Watching(self.can_watch)];
            }
            Action::StartPreStop => {
                let process = self.pre_stop.take();
                let pid = process.as_ref().map(|process| Pid(process.pid));
                if let Some(mut process) = process {
                    process.wants_to_end_at = process.drain.map(|drain| (now + drain, End::Exited(process.code)));
                    self.add(process);
                }
                return vec![Event::PreStopStarted(pid)];
            }
            Action::AskGroup => {
                return vec![Event::GroupIsEmpty(!self.processes.values().any(|p| p.is_alive() && p.group == 2))];
            }
            Action::Tell(note) => self.notes.push(note),
            Action::Resume | Action::Suspend { .. } => panic!("there is no terminal here"),
        }
        Vec::new()
    }

    fn snapshot(&self) -> Snapshot {
        let all = self.processes.values().filter(|process| process.is_alive()).map(|from| {
            let mut process = Process::new(Pid(from.pid), Pid(from.parent), 1);
            process.group = Pid(from.group);
            process.state = if from.stopped { b'T' } else { b'S' };
            process.executable = Some(if from.is_shell { b"sh".as_slice() } else { b"app" }.into());
            process.name = process.executable.clone().unwrap();
            let (caught, ignored) = (from.caught, SignalSet(from.ignored.0 & !from.caught.0));
            process.dispositions =
                (!from.unreadable).then_some(Dispositions { caught, ignored, blocked: SignalSet::default() });
            process
        });
        Snapshot::below(Pid(self.init), Pid(2), all.collect())
    }
}
