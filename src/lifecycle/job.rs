//! Job control: what the terminal's keys mean, and stopping together with the command.
#![forbid(unsafe_code)]

use super::{Action, Lifecycle, Phase};
use crate::placement::Placement;
use crate::process::{Pid, Received, Sender};
use crate::report::Note;
use crate::signal::Signal;

/// The job's state.
#[derive(Debug, Default)]
pub(super) struct Job {
    /// The signal that has stopped the main process.
    paused_by: Option<Signal>,
    /// The terminal has stopped our whole group itself.
    terminal_stop: bool,
    /// SIGCONT came: acted on when everything else of the batch has been.
    pub(super) resume: bool,
}

impl Lifecycle {
    /// Deals with what the kernel sent because of the terminal. Ctrl+C there is no stop request: no plan, no grace.
    pub(super) fn came_from_terminal(&mut self, received: Received, actions: &mut Vec<Action>) -> bool {
        if received.sender != Sender::Kernel || !self.setting.has_terminal {
            return false;
        }
        let key = matches!(
            received.signal,
            Signal::INT | Signal::QUIT | Signal::TSTP | Signal::TTIN | Signal::TTOU | Signal::WINCH
        );
        match self.setting.placement {
            // The kernel sent it to the whole group, so the command has it. A hangup reaches the session's leader alone.
            Placement::Shared => {
                self.job.terminal_stop |= received.signal == Signal::TSTP;
                key || (received.signal == Signal::HUP && !self.setting.leads_session)
            }
            // Typed in the moment before the command's group got the terminal.
            Placement::OwnGroup { .. } => {
                if received.signal == Signal::TSTP && self.job.paused_by.is_some() {
                    // Ctrl+Z right after `fg`: it took the SIGCONT out of our queue that would have revived the command.
                    actions.push(Action::Suspend { signal: Signal::TSTP, whole_group: false });
                } else if key {
                    actions.push(Action::DeliverToGroup(received.signal));
                }
                key
            }
        }
    }

    /// The command was stopped: graceinit stops too, so that the shell sees the job as stopped.
    pub(super) fn on_pause(&mut self, pid: Pid, signal: Signal, terminal_is_ours: bool, actions: &mut Vec<Action>) {
        if pid != self.setting.main {
            return;
        }
        let has_own_group = matches!(self.setting.placement, Placement::OwnGroup { .. });
        if has_own_group && terminal_is_ours && matches!(signal, Signal::TTIN | Signal::TTOU) {
            // `fg` of a job that ran in the background: the shell gives us the terminal and sends nothing.
            return actions.push(Action::Resume);
        }
        // It is stopped now, so a SIGCONT that came with this was before.
        self.job.resume = false;
        self.job.paused_by = Some(signal);
        let terminal_stop = std::mem::take(&mut self.job.terminal_stop);
        actions.push(Action::Tell(Note::Paused(signal)));
        if self.phase != Phase::Running {
            return;
        }
        if self.setting.is_pid_1() {
            self.on_suspended(false, actions);
        } else if self.setting.has_terminal {
            // SIGSTOP would freeze us even where nobody can bring us back; the kernel ignores TSTP there.
            let signal = if signal == Signal::STOP { Signal::TSTP } else { signal };
            actions.push(Action::Suspend { signal, whole_group: !terminal_stop });
        }
    }

    /// Where nobody could revive the job, Ctrl+Z must not freeze it. A command that was stopped because it reads a terminal
    /// that is not its own would only try again, for ever: that one stays stopped.
    pub(super) fn on_suspended(&mut self, worked: bool, actions: &mut Vec<Action>) {
        if !worked && self.job.paused_by == Some(Signal::TSTP) {
            self.job.paused_by = None;
            actions.push(Action::Resume);
        }
    }

    /// Somebody else continued the command: in a shared group the shell does, with us. A SIGCONT from us could come so late that it
    /// undoes the next Ctrl+Z.
    pub(super) fn on_continue(&mut self, pid: Pid) {
        if pid == self.setting.main {
            self.job.paused_by = None;
        }
    }

    /// `fg`, `bg` or kill -CONT.
    pub(super) fn resume_if_asked(&mut self, actions: &mut Vec<Action>) {
        if !std::mem::take(&mut self.job.resume) {
            return;
        }
        // In a shared group whoever continued us has continued the command with us, unless it stopped by itself.
        let paused = self.job.paused_by.take().is_some();
        if paused || matches!(self.setting.placement, Placement::OwnGroup { .. }) {
            actions.push(Action::Resume);
        }
    }
}
