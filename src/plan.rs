//! The stop plan: who is sent what, as a function of a snapshot. Nothing here reads or signals a process.
//!
//! The rules are those of docs/stop-plan.md, numbered as there. They were found by experiment, and each exists because a
//! real program loses work without it.
#![forbid(unsafe_code)]

mod handling;
mod search;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::process::{Identity, Pid, Process, Snapshot};
use crate::signal::Signal;
use handling::{Handling, best_signal, handles, handling, ignores, is_wrapper, other};
use search::{Aim, Search, Start};

/// What is asked of the plan.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The processes.
    pub snapshot: &'a Snapshot,
    /// graceinit's own pid.
    pub init: Pid,
    /// The main process.
    pub main: Pid,
    /// The command's process group.
    pub group: Pid,
    /// The stop signal: the one that was received, or the one that `--signal` names.
    pub signal: Signal,
    /// Whether a process that does not handle the signal may get the other of TERM and INT (not with `--signal`).
    pub translate: bool,
    /// `--shield`: the command was started with TERM ignored, so that says nothing about it (rule 16).
    pub shield: bool,
    /// The platform has sent TERM to every process itself (rule 16).
    pub broadcast: bool,
    /// What has been done before.
    pub history: &'a History,
}

/// What the plan has done so far in this stop.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Whom it told, and whether that process is in charge of what is below it.
    pub told: BTreeMap<Identity, bool>,
    /// Whom it held back: a process is held once, else a loop that starts its program anew could go on for ever.
    pub held: BTreeSet<Identity>,
    /// Who was left to somebody in charge.
    pub covered: BTreeSet<Identity>,
    /// Who hung directly from graceinit when the stop began.
    pub branches: BTreeSet<Identity>,
}

impl History {
    /// It was not told after all.
    pub fn forget(&mut self, identity: Identity) {
        self.told.remove(&identity);
    }

    /// Remembers a plan that was carried out.
    pub fn remember(&mut self, plan: &Plan) {
        self.told.extend(plan.orders.iter().filter(|o| !o.withheld && !o.ignored).map(|o| (o.identity, o.in_charge)));
        self.held.extend(plan.held.iter().copied());
        self.covered.extend(plan.covered.iter().copied());
    }
}

/// Which rule sends a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// 1 and 2: the topmost process of its branch that handles the stop.
    Handles,
    /// 3b: a shell's trap.
    Trap,
    /// 3b: it has nothing to clean up, and the shell with the trap waits for it.
    BelowTrap,
    /// 5: the rest, once nobody is in charge any more.
    Rest,
    /// 6: the last call before SIGKILL.
    LastCall,
    /// 7: SIGKILL.
    Deadline,
    /// 10: nobody handles anything, so the whole group is told, as any init would.
    Nobody,
    /// 13: what it handles cannot be read.
    Unreadable,
    /// 14: a signal that is only passed on.
    Forwarded,
    /// `--to`.
    Asked,
}

impl Rule {
    /// Whether the whole group is meant, where the plan says so.
    #[must_use]
    pub fn is_of_group(self) -> bool {
        matches!(self, Self::Nobody | Self::Asked | Self::Forwarded)
    }

    /// The rule's number in docs/stop-plan.md.
    #[must_use]
    pub fn number(self) -> &'static str {
        match self {
            Self::Handles => "1",
            Self::Trap | Self::BelowTrap => "3b",
            Self::Rest => "5",
            Self::LastCall => "6",
            Self::Deadline => "7",
            Self::Nobody => "10",
            Self::Unreadable => "13",
            Self::Forwarded => "14",
            Self::Asked => "--to",
        }
    }
}

/// One signal to one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Who gets it.
    pub identity: Identity,
    /// What it gets.
    pub signal: Signal,
    /// Why.
    pub rule: Rule,
    /// Whether what is below it is left to it from now on.
    pub in_charge: bool,
    /// 9: it is stopped and cannot obey before a SIGCONT.
    pub resume: bool,
    /// 16: the platform has told it already.
    pub withheld: bool,
    /// How many children it had in the snapshot, where the order depends on them: a shell that has just started a program waits
    /// for that one too, and it has to be told with the shell.
    pub children: Option<usize>,
    /// It ignores the signal. The group's signal reaches it all the same, but does not count as having been told.
    pub ignored: bool,
}

impl Order {
    /// 7: SIGKILL, or what it takes to get there.
    #[must_use]
    pub fn at_deadline(identity: Identity, signal: Signal) -> Self {
        let rule = Rule::Deadline;
        Self {
            identity,
            signal,
            rule,
            in_charge: false,
            resume: false,
            withheld: false,
            children: None,
            ignored: false,
        }
    }
}

/// What to do.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Who is sent what.
    pub orders: Vec<Order>,
    /// Rule 10: the orders of rule `Nobody` are one killpg(2) where the group is the command's own.
    pub whole_group: bool,
    /// Who is held back for now.
    pub held: Vec<Identity>,
    /// Who is left to somebody in charge.
    pub covered: Vec<Identity>,
}

impl Plan {
    fn has_leader(&self) -> bool {
        self.orders.iter().any(|order| order.in_charge)
    }

    fn add(&mut self, other: Self) {
        self.orders.extend(other.orders);
        self.held.extend(other.held);
        self.covered.extend(other.covered);
    }
}

/// The first wave: from the main process downwards, the topmost of each branch that handles the stop (rules 1 to 3). If nobody
/// does, every other branch is stopped at once as well (rule 5); and if nobody does anywhere, the group gets the signal as it is
/// (rule 10).
#[must_use]
pub fn first(request: &Request<'_>) -> Plan {
    // Without a main process (it is dead and not reaped yet) what it left behind stands for it.
    let of_main = Search::new(request, &[request.main], Aim::Stop, Start::AtOnce).act();
    if of_main.has_leader() {
        return of_main;
    }
    let everywhere = rest(request);
    if everywhere.has_leader() {
        // A killpg would reach workers of an adopted master, too.
        return everywhere;
    }
    let mut plan = whole_group(request);
    let mut history = request.history.clone();
    history.remember(&plan);
    plan.add(rest(&Request { history: &history, ..*request }));
    plan
}

/// Rule 4: those in charge who are gone left processes behind. These become topmost now; nobody else does, or a shell's loop
/// that starts its program anew would never end.
#[must_use]
pub fn orphans(request: &Request<'_>) -> Plan {
    let mut roots = vec![request.main];
    roots.extend(branches(request).filter(|pid| *pid != request.main));
    Search::new(request, &roots, Aim::Stop, Start::AtOrphans).act()
}

/// Rule 3b: a shell had other children than the snapshot when it was to be told: once more, for it and what is below it.
#[must_use]
pub fn again(request: &Request<'_>, shell: Identity) -> Plan {
    Search::new(request, &[shell.pid], Aim::Stop, Start::AtOnce).act()
}

/// Rule 5: everything that is left, branch by branch: those who handle the stop get their signal, those who do not get the
/// received one, unless there is somebody in their branch to wait for first.
#[must_use]
pub fn rest(request: &Request<'_>) -> Plan {
    let roots: Vec<Pid> = branches(request).collect();
    Search::new(request, &roots, Aim::Stop, Start::Everywhere).act()
}

/// Rule 6: SIGKILL is coming anyway, so everybody who has not been told gets the signal he can act on best, and everybody who
/// is stopped may run.
#[must_use]
pub fn last_call(request: &Request<'_>) -> Plan {
    let mut plan = Plan::default();
    for process in request.snapshot.processes().iter().filter(|process| process.pid() != request.init) {
        if request.history.told.contains_key(&process.identity) {
            if process.is_stopped() {
                plan.orders.push(order(process, Signal::CONT, Rule::LastCall, false));
            }
            continue;
        }
        let signal = match handling(process, request) {
            Handling::Handles(signal) => signal,
            Handling::Ignores => other(request).filter(|&s| handles(process, s)).unwrap_or(request.signal),
            Handling::Nothing | Handling::Unreadable => request.signal,
        };
        plan.orders.push(order(process, signal, Rule::LastCall, false));
    }
    plan
}

/// `--to main`: the main process alone, with the signal it can act on.
#[must_use]
pub fn main_only(request: &Request<'_>) -> Plan {
    let main = request.snapshot.find(request.main);
    let orders = main.map(|process| order(process, best_signal(process, request), Rule::Asked, true));
    Plan { orders: orders.into_iter().collect(), ..Plan::default() }
}

/// `--to all`: every descendant, each with the signal it can act on.
#[must_use]
pub fn everybody(request: &Request<'_>) -> Plan {
    let told =
        |process: &&Process| process.pid() != request.init && !request.history.told.contains_key(&process.identity);
    let orders = request.snapshot.processes().iter().filter(told).map(|process| {
        let in_charge = matches!(handling(process, request), Handling::Handles(_)) && !is_wrapper(process);
        order(process, best_signal(process, request), Rule::Asked, in_charge)
    });
    Plan { orders: orders.collect(), ..Plan::default() }
}

/// `--to group`: the signal as it is to every member, planned for nobody; those who handle it are waited for.
#[must_use]
pub fn asked_group(request: &Request<'_>) -> Plan {
    let mut plan = whole_group(request);
    for order in &mut plan.orders {
        let process = request.snapshot.find(order.identity.pid);
        order.rule = Rule::Asked;
        order.in_charge = process.is_some_and(|process| handles(process, request.signal) && !is_wrapper(process));
    }
    plan
}

/// Rule 10: the signal as it is to every member of the group.
#[must_use]
pub fn whole_group(request: &Request<'_>) -> Plan {
    let member = |process: &&Process| {
        let ours = process.group == request.group || process.pid() == request.main;
        ours && process.pid() != request.init && !request.history.told.contains_key(&process.identity)
    };
    let members = request.snapshot.processes().iter().filter(member);
    let orders = members.map(|process| order(process, request.signal, Rule::Nobody, false));
    Plan { orders: orders.collect(), whole_group: true, ..Plan::default() }
}

/// Rule 14: a signal that asks for no stop goes to the topmost processes that catch it, or else to the group.
#[must_use]
pub fn forward(request: &Request<'_>) -> Plan {
    let roots: Vec<Pid> = match request.snapshot.find(request.main) {
        Some(_) => vec![request.main],
        None => branches(request).collect(),
    };
    let plan = Search::new(request, &roots, Aim::Forward, Start::AtOnce).act();
    let plan = if plan.has_leader() { plan } else { whole_group(request) };
    let forwarded =
        |order: &Order| Order { rule: Rule::Forwarded, resume: false, withheld: false, children: None, ..*order };
    Plan { orders: plan.orders.iter().map(forwarded).collect(), ..plan }
}

/// The processes that hang directly from graceinit.
fn branches<'a>(request: &Request<'a>) -> impl Iterator<Item = Pid> + 'a {
    let init = request.init;
    request.snapshot.processes().iter().filter(move |process| process.parent == init).map(Process::pid)
}

fn order(process: &Process, signal: Signal, rule: Rule, in_charge: bool) -> Order {
    let ignored = ignores(process, signal) && !handles(process, signal);
    Order {
        identity: process.identity,
        signal,
        rule,
        in_charge,
        resume: process.is_stopped(),
        withheld: false,
        children: None,
        ignored,
    }
}
