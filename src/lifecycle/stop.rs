//! The stop: requests, waves of signals, deadlines (rules 4 to 8 and 12 of docs/stop-plan.md).
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Action, Lifecycle, Phase, Purpose};
use crate::plan::{self, Order};
use crate::policy::{Broadcast, Repeat, Whom};
use crate::process::{End, Identity, Pid, Process, Received, Sender, Snapshot};
use crate::report::Note;
use crate::signal::Signal;

/// Rule 5: how long the rest is left alone after the last one in charge has gone: wrappers usually end by themselves then.
const PAUSE: Duration = Duration::from_millis(500);
/// How often the tree is read again while those in charge cannot be watched, and how soon after the rest was told and some of
/// it has ended.
const REREAD: Duration = Duration::from_millis(100);
/// Rule 6: the last call comes a tenth of the grace before its end, but not earlier than this.
const LAST_CALL: Duration = Duration::from_secs(2);
/// Rule 12: the grace for what the main process leaves behind where the given one is endless.
const ENDLESS_REST: Duration = Duration::from_secs(10);

/// How often a shell that starts programs is looked at again.
const MOST_CHANGES: u32 = 5;

/// A stop under way.
#[derive(Debug)]
pub(super) struct Stop {
    /// When it began.
    pub(super) asked_at: Duration,
    /// Somebody asked for it; else the main process ended by itself.
    pub(super) was_asked: bool,
    /// The user has been told that it began.
    pub(super) is_known: bool,
    signal: Signal,
    translate: bool,
    broadcast: bool,
    pub(super) grace: Option<Duration>,
    pub(super) kill_at: Option<Duration>,
    pub(super) last_call_at: Option<Duration>,
    pub(super) rest_at: Option<Duration>,
    rest_round: Duration,
    pub(super) reread_at: Option<Duration>,
    pub(super) kill_again_at: Option<Duration>,
    pub(super) give_up_at: Option<Duration>,
    pub(super) kill_round: Duration,
    /// Whom SIGKILL or SIGSTOP was sent to: whoever else turns up was forked meanwhile.
    pub(super) met: BTreeSet<Identity>,
    /// What the last round of SIGKILL found.
    pub(super) survivors: Option<Note>,
    /// How often a shell had other children than the snapshot.
    changes: u32,
    /// Not everybody in charge can be watched.
    unwatched: bool,
    told_blindly: Blindly,
    pre_stop: Option<Pid>,
    drain_until: Duration,
}

/// Whom the stop signal was sent to without a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blindly {
    Nobody,
    Group,
    Everybody,
}

impl Stop {
    fn new(now: Duration, signal: Signal, translate: bool, grace: Option<Duration>) -> Self {
        let kill_at = grace.map(|grace| now.saturating_add(grace));
        let last_call_at = grace.zip(kill_at).map(|(grace, at)| at.saturating_sub((grace / 10).min(LAST_CALL)));
        Self {
            asked_at: now,
            was_asked: false,
            is_known: false,
            signal,
            translate,
            broadcast: false,
            grace,
            kill_at,
            last_call_at,
            rest_at: None,
            rest_round: REREAD,
            reread_at: None,
            kill_again_at: None,
            give_up_at: None,
            kill_round: super::kill::ROUNDS.0,
            met: BTreeSet::new(),
            survivors: None,
            changes: 0,
            unwatched: false,
            told_blindly: Blindly::Nobody,
            pre_stop: None,
            drain_until: now,
        }
    }
}

impl Lifecycle {
    /// Somebody asks for a stop. `mapped`: the signal that `--map` makes of the received one.
    pub(super) fn on_request(
        &mut self,
        received: Received,
        mapped: Option<Signal>,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        match self.phase {
            Phase::Running => return self.begin(received, mapped, now, actions),
            Phase::Draining { .. } | Phase::Stopping | Phase::Sweeping => {}
            Phase::Killing | Phase::Done => return,
        }
        if let Some(stop) = &mut self.stop {
            stop.was_asked = true;
            let left = stop.kill_at.map(|at| at.saturating_sub(now));
            actions.push(Action::Tell(Note::Repeated { received, left }));
        }
        match (self.policy.repeat, self.phase) {
            (Repeat::Kill, _) => self.begin_kill(now),
            (Repeat::Ignore | Repeat::Forward, Phase::Draining { .. }) => self.end_drain(),
            (Repeat::Forward, _) => {
                let again = self.in_charge.values().map(|order| Order { children: None, ..*order });
                actions.push(Action::Deliver(again.collect(), received.value));
            }
            (Repeat::Ignore, _) => {}
        }
    }

    fn begin(&mut self, received: Received, mapped: Option<Signal>, now: Duration, actions: &mut Vec<Action>) {
        let policy = &self.policy;
        let means_stop = policy.interrupt_is_stop && received.signal == Signal::INT;
        let natural = if means_stop { Signal::TERM } else { received.signal };
        let fixed = policy.signal.or(mapped);
        let mut stop = Stop::new(now, fixed.unwrap_or(natural), fixed.is_none(), policy.grace);
        stop.was_asked = true;
        stop.is_known = true;
        let broadcast = match policy.broadcast {
            Broadcast::Never => false,
            Broadcast::Always => true,
            Broadcast::FromInit => matches!(received.sender, Sender::Outside | Sender::Process(Pid(1))),
        };
        stop.broadcast = broadcast && received.signal == Signal::TERM;
        actions.push(Action::Tell(Note::Asked { received, grace: policy.grace }));
        // The app always gets its signal, and half of the time.
        let latest = policy.grace.map(|grace| now.saturating_add(grace / 2));
        stop.drain_until = now.saturating_add(policy.drain).min(latest.unwrap_or(Duration::MAX));
        let until = if policy.pre_stop { latest.unwrap_or(Duration::MAX) } else { stop.drain_until };
        self.stop = Some(stop);
        if policy.grace == Some(Duration::ZERO) {
            return self.begin_kill(now);
        }
        if policy.pre_stop {
            actions.push(Action::StartPreStop);
        } else if policy.drain.is_zero() {
            return self.end_drain();
        }
        self.phase = Phase::Draining { until };
    }

    fn end_drain(&mut self) {
        self.phase = Phase::Stopping;
        self.want(Purpose::First);
    }

    pub(super) fn on_pre_stop(&mut self, pid: Option<Pid>) {
        if let Some(stop) = &mut self.stop {
            stop.pre_stop = pid;
        }
        if pid.is_none() {
            self.pre_stop_is_over();
        }
    }

    fn pre_stop_is_over(&mut self) {
        let drain_until = self.stop.as_ref().map_or(Duration::ZERO, |stop| stop.drain_until);
        if let Phase::Draining { until } = &mut self.phase {
            *until = drain_until;
        }
    }

    /// A process ended; how is known of our children only.
    pub(super) fn on_end(&mut self, pid: Pid, end: Option<End>, now: Duration, actions: &mut Vec<Action>) {
        let is_pre_stop = self.stop.as_ref().is_some_and(|stop| stop.pre_stop == Some(pid));
        match end {
            Some(end) if pid == self.setting.main => self.on_main_end(end, now, actions),
            Some(end) if is_pre_stop => {
                actions.push(Action::Tell(Note::PreStopEnded(end)));
                self.pre_stop_is_over();
            }
            Some(end) => actions.push(Action::Tell(Note::Reaped(pid, end))),
            None => {}
        }
        let left = self.in_charge.remove(&pid).is_some();
        match self.phase {
            Phase::Stopping | Phase::Sweeping if left => self.want(Purpose::Orphans),
            Phase::Sweeping if self.in_charge.is_empty() => {
                if let Some(stop) = &mut self.stop {
                    // What was forked meanwhile must be told too; ten thousand that are ending need not be read ten times a second.
                    if stop.rest_at.is_none() {
                        stop.rest_at = Some(now.saturating_add(stop.rest_round));
                        stop.rest_round = (stop.rest_round * 2).min(REREAD * 16);
                    }
                    if stop.told_blindly == Blindly::Group && self.setting.is_pid_1() && self.main_end.is_some() {
                        actions.push(Action::AskGroup);
                    }
                }
            }
            Phase::Running
            | Phase::Draining { .. }
            | Phase::Stopping
            | Phase::Sweeping
            | Phase::Killing
            | Phase::Done => {}
        }
    }

    fn on_main_end(&mut self, end: End, now: Duration, actions: &mut Vec<Action>) {
        self.main_end = Some(end);
        let after = self.stop.as_ref().map(|stop| now.saturating_sub(stop.asked_at));
        actions.push(Action::Tell(Note::MainEnded { pid: self.setting.main, end, after }));
        match self.phase {
            // Rule 12.
            Phase::Running => {
                let grace = self.policy.grace.unwrap_or(ENDLESS_REST);
                let signal = self.policy.signal;
                let mut stop = Stop::new(now, signal.unwrap_or(Signal::TERM), signal.is_none(), Some(grace));
                // Rule 16: the platform's TERM has reached everybody, and the main process sooner than us.
                stop.broadcast = self.policy.broadcast != Broadcast::Never && end == End::Killed(Signal::TERM);
                self.stop = Some(stop);
            }
            Phase::Draining { .. } => {}
            Phase::Stopping | Phase::Sweeping | Phase::Killing | Phase::Done => return,
        }
        self.phase = Phase::Sweeping;
        self.want(Purpose::Rest);
    }

    /// What is due by the clock.
    pub(super) fn pass_time(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let Some(stop) = &mut self.stop else { return };
        let due = |at: &mut Option<Duration>| at.take_if(|at| *at <= now).is_some();
        match self.phase {
            Phase::Running | Phase::Done => {}
            Phase::Killing => {
                if due(&mut stop.give_up_at) {
                    let survivors = stop.survivors.take();
                    actions.push(Action::Tell(survivors.unwrap_or(Note::GaveUp(Vec::new()))));
                    self.finish(now, actions);
                } else if due(&mut stop.kill_again_at) {
                    self.want(Purpose::Kill);
                }
            }
            Phase::Draining { .. } | Phase::Stopping | Phase::Sweeping if due(&mut stop.kill_at) => {
                self.begin_kill(now);
            }
            Phase::Draining { until } if until <= now => self.end_drain(),
            Phase::Draining { .. } => {}
            Phase::Stopping | Phase::Sweeping => {
                let (rest, reread) = (due(&mut stop.rest_at), due(&mut stop.reread_at));
                let last_call = due(&mut stop.last_call_at);
                if rest {
                    self.phase = Phase::Sweeping;
                    self.want(Purpose::Rest);
                }
                if reread {
                    self.want(Purpose::Orphans);
                }
                if last_call {
                    self.want(Purpose::LastCall);
                }
            }
        }
    }

    /// Carries out the next part of the plan.
    pub(super) fn next_wave(
        &mut self,
        purpose: Purpose,
        snapshot: &Snapshot,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let Some(stop) = &self.stop else { return };
        if !matches!(self.phase, Phase::Stopping | Phase::Sweeping) {
            return;
        }
        if self.history.branches.is_empty() {
            let ours = |process: &&Process| process.parent == self.setting.init;
            self.history.branches = snapshot.processes().iter().filter(ours).map(|process| process.identity).collect();
        }
        self.in_charge.retain(|_, order| snapshot.has(order.identity));
        let request = self.request(snapshot, stop.signal, stop.translate, stop.broadcast, &self.history);
        let mut is_known = stop.is_known;
        let mut plan = match (purpose, self.policy.to) {
            (Purpose::First, Whom::Auto) => plan::first(&request),
            (Purpose::First, Whom::Main) => plan::main_only(&request),
            (Purpose::First, Whom::Group) => plan::asked_group(&request),
            (Purpose::First, Whom::All) => plan::everybody(&request),
            (Purpose::Again(shell), _) => plan::again(&request, shell),
            (Purpose::Orphans, _) => plan::orphans(&request),
            (Purpose::Rest, _) => plan::rest(&request),
            (Purpose::LastCall, _) => plan::last_call(&request),
            (Purpose::Forward(_) | Purpose::Kill, _) => return,
        };
        let left_behind = purpose == Purpose::Rest && !snapshot.processes().is_empty();
        if let Some(end) = self.main_end.filter(|_| left_behind && !stop.is_known) {
            actions.push(Action::Tell(Note::LeftBehind(end)));
            is_known = true;
        }
        if !plan.orders.is_empty() {
            actions.push(Action::Tell(Note::sent(snapshot, &plan.orders, None)));
            actions.push(Action::Tell(Note::tree(snapshot, &plan)));
        }
        if stop.changes > MOST_CHANGES {
            plan.orders.iter_mut().for_each(|order| order.children = None);
        }
        self.history.remember(&plan);
        let leaders = plan.orders.iter().filter(|order| order.in_charge);
        let before = self.in_charge.len();
        self.in_charge.extend(leaders.map(|order| (order.identity.pid, *order)));
        let news = self.in_charge.len() > before;
        self.deliver(plan, None, actions);
        if let Some(stop) = &mut self.stop {
            stop.is_known = is_known;
        }
        self.after_wave(purpose, news, now, actions);
    }

    /// Rule 3b: a shell's children are read again before it is told, but not for ever: one that starts programs all the time
    /// is told as it is.
    pub(super) fn on_change(&mut self, identity: Identity, actions: &mut Vec<Action>) {
        actions.push(Action::Tell(Note::Changed(identity.pid)));
        self.history.forget(identity);
        self.in_charge.remove(&identity.pid);
        if let Some(stop) = &mut self.stop {
            stop.changes += 1;
        }
        self.want(Purpose::Again(identity));
        self.look(actions);
    }

    fn after_wave(&mut self, purpose: Purpose, news: bool, now: Duration, actions: &mut Vec<Action>) {
        let Some(stop) = &mut self.stop else { return };
        if news {
            stop.rest_at = None;
            actions.push(Action::Watch(self.in_charge.values().map(|order| order.identity).collect()));
        } else if !self.in_charge.is_empty() {
            stop.reread_at = stop.unwatched.then(|| now.saturating_add(REREAD));
        } else if purpose == Purpose::First {
            self.phase = Phase::Sweeping;
        } else if purpose == Purpose::Orphans {
            stop.rest_at.get_or_insert(now.saturating_add(PAUSE));
        }
    }

    /// The answer to `Action::Watch`.
    pub(super) fn on_watching(&mut self, all: bool, now: Duration) {
        if let Some(stop) = &mut self.stop {
            stop.unwatched = !all;
            stop.reread_at = stop.unwatched.then(|| now.saturating_add(REREAD));
        }
    }

    /// Rule 13: without /proc the group is told, as any init would.
    pub(super) fn next_blind_wave(&mut self, purpose: Purpose, actions: &mut Vec<Action>) {
        let is_pid_1 = self.setting.is_pid_1();
        let Some(stop) = &mut self.stop else { return };
        let to_all = match (purpose, self.phase) {
            (Purpose::First, Phase::Stopping) => false,
            // Nobody has been told yet (rule 12), or the group is empty: nobody is told twice.
            (Purpose::Rest, Phase::Sweeping)
                if stop.told_blindly == Blindly::Nobody && self.history.told.is_empty() =>
            {
                is_pid_1
            }
            (Purpose::LastCall, Phase::Stopping | Phase::Sweeping) => is_pid_1,
            _ => return,
        };
        self.phase = Phase::Sweeping;
        stop.told_blindly = if to_all { Blindly::Everybody } else { Blindly::Group };
        let to = if to_all { Action::DeliverToAll } else { Action::DeliverToGroup };
        actions.push(to(stop.signal));
        actions.push(to(Signal::CONT));
        actions.push(Action::Tell(Note::SentBlindly(stop.signal)));
    }

    /// The answer to `Action::AskGroup`: with the group gone, whoever is left has not been told yet.
    pub(super) fn on_group(&mut self, is_empty: bool, actions: &mut Vec<Action>) {
        if let Some(stop) = self.stop.as_mut().filter(|stop| is_empty && stop.told_blindly == Blindly::Group) {
            stop.told_blindly = Blindly::Nobody;
            self.next_blind_wave(Purpose::Rest, actions);
        }
    }
}
