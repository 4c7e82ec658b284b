//! The deadline: SIGKILL until nothing is left (rule 7 of docs/stop-plan.md).
#![forbid(unsafe_code)]

use std::time::Duration;

use super::{Action, Lifecycle, Phase, Purpose};
use crate::placement::Placement;
use crate::plan::Order;
use crate::process::{Identity, Snapshot};
use crate::report::Note;
use crate::signal::Signal;

/// How long what does not die of SIGKILL is waited for.
const GIVE_UP: Duration = Duration::from_secs(2);
/// The first and the longest time between two rounds of SIGKILL.
pub(super) const ROUNDS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));

impl Lifecycle {
    /// The grace is over.
    pub(super) fn begin_kill(&mut self, now: Duration) {
        self.phase = Phase::Killing;
        self.in_charge.clear();
        if let Some(stop) = &mut self.stop {
            stop.give_up_at = Some(now.saturating_add(GIVE_UP));
        }
        self.want(Purpose::Kill);
    }

    /// One round of SIGKILL.
    pub(super) fn kill(&mut self, snapshot: Option<&Snapshot>, now: Duration, actions: &mut Vec<Action>) {
        let Some(stop) = &mut self.stop else { return };
        let left = snapshot.map(Snapshot::processes).unwrap_or_default();
        let news: Vec<Identity> = left.iter().map(|p| p.identity).filter(|id| !stop.met.contains(id)).collect();
        let first = stop.kill_round == ROUNDS.0;
        if first {
            let after = now.saturating_sub(stop.asked_at);
            actions.push(Action::Tell(Note::killing(left, after, stop.grace)));
        }
        let mut forking = false;
        if self.setting.is_pid_1() {
            actions.push(Action::DeliverToAll(Signal::KILL));
        } else if snapshot.is_none() {
            actions.push(Action::DeliverToGroup(Signal::KILL));
        } else {
            // A process that forks and exits all the time has moved on before its pid is signalled, but not out of its group, where
            // a fork with a signal pending is started anew (kernel/fork.c).
            let has_own_group = matches!(self.setting.placement, Placement::OwnGroup { .. });
            if has_own_group && left.iter().any(|process| process.group == self.setting.group) {
                actions.push(Action::DeliverToGroup(Signal::KILL));
            }
            // Processes that were not there a moment ago: something forks as fast as it is killed. Stop what turns up until
            // no new one does, then kill them all.
            let forks = !first && !news.is_empty();
            let signal = if forks { Signal::STOP } else { Signal::KILL };
            let hit = if forks { news.clone() } else { left.iter().map(|process| process.identity).collect() };
            actions.push(Action::Deliver(
                hit.into_iter().map(|identity| Order::at_deadline(identity, signal)).collect(),
                None,
            ));
            if forks {
                actions.push(Action::StopChildren);
            }
            forking = forks;
        }
        stop.survivors = Some(Note::gave_up(left));
        stop.met.extend(news);
        stop.kill_round = (stop.kill_round * 2).min(ROUNDS.1);
        stop.kill_again_at = Some(if forking { now } else { now.saturating_add(stop.kill_round) });
    }
}
