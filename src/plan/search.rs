//! The walk down the tree: who is in charge of what (rules 2 to 4).
#![forbid(unsafe_code)]

use super::handling::{Handling, best_signal, handles, handling, is_background, is_wrapper, only_waits_for, trapped};
use super::{Order, Plan, Request, Rule, order};
use crate::process::{Pid, Process};
use crate::signal::Signal;

/// What the search is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// A stop: signals are translated, and wrappers of rule 3c are held.
    Stop,
    /// Passing a signal on: those that catch it get it.
    Forward,
}

/// Where orders begin to be given, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// At the roots; what handles nothing is held.
    AtOnce,
    /// At the processes that somebody in charge left behind; what handles nothing is held.
    AtOrphans,
    /// At the roots; what handles nothing is told, if it was held before or has nobody to wait for in its branch.
    Everywhere,
}

/// What a process is to the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Told before, and what is below is left to it.
    Leads,
    /// Told before, and no more than that.
    Told,
    /// It gets this signal, and what is below is left to it.
    Handles(Signal),
    /// A shell with a trap: it gets this signal, and what is below is looked at too.
    Traps(Signal),
    /// It does not stand for what is below: a shell, a forwarder, a program that only waits for its child.
    Wraps,
    /// It ignores the signal.
    Ignores,
    /// It handles nothing.
    Nothing,
    /// What it handles cannot be read.
    Unreadable,
}

impl Role {
    fn leads(self) -> bool {
        match self {
            Self::Leads | Self::Handles(_) | Self::Unreadable => true,
            // Every shell that waits for its child catches INT: that alone makes nobody in charge.
            Self::Traps(signal) => signal != Signal::INT,
            Self::Told | Self::Wraps | Self::Ignores | Self::Nothing => false,
        }
    }
}

/// How a process stands to those above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Nobody above is in charge, and no orders are given here yet.
    Idle,
    /// Nobody above is in charge.
    Open,
    /// Below a shell with a trap.
    BelowTrap,
    /// Everything here is told, by this rule.
    TellAll(Rule),
    /// Left to somebody in charge.
    Covered,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    parent: Option<usize>,
    role: Role,
    /// How many children it has.
    children: usize,
    /// Whether somebody below is in charge, or will be.
    leads_below: bool,
    /// The same, background jobs apart: these are their shell's.
    leads_below_in_foreground: bool,
    /// Whether it only waits for a child in whose branch somebody is in charge.
    only_waits: bool,
    /// How its children stand.
    below: Position,
    /// Whether anybody in the whole branch is in charge.
    branch_leads: bool,
}

const BLANK: Node = Node {
    parent: None,
    role: Role::Nothing,
    children: 0,
    leads_below: false,
    leads_below_in_foreground: false,
    only_waits: false,
    below: Position::Idle,
    branch_leads: false,
};

/// One look from some roots downwards.
pub(super) struct Search<'a> {
    request: &'a Request<'a>,
    aim: Aim,
    start: Start,
    /// The places of the processes in the snapshot, each after its parent.
    order: Vec<usize>,
    /// By place.
    nodes: Vec<Node>,
}

impl<'a> Search<'a> {
    /// Finds out what each process is. From the leaves upwards: what a wrapper is depends on what is below it.
    pub(super) fn new(request: &'a Request<'a>, roots: &[Pid], aim: Aim, start: Start) -> Self {
        let snapshot = request.snapshot;
        let mut order = snapshot.family(roots);
        order.retain(|&place| snapshot.at(place).is_some_and(|process| process.pid() != request.init));
        let mut nodes = vec![BLANK; snapshot.processes().len()];
        let mut met = vec![false; nodes.len()];
        for &place in &order {
            let parent = snapshot.at(place).and_then(|process| snapshot.place(process.parent));
            let parent = parent.filter(|&parent| met.get(parent) == Some(&true));
            if let (Some(node), Some(flag)) = (nodes.get_mut(place), met.get_mut(place)) {
                node.parent = parent;
                *flag = true;
            }
        }
        let mut search = Self { request, aim, start, order, nodes };
        for index in (0..search.order.len()).rev() {
            search.judge(index);
        }
        search
    }

    fn judge(&mut self, index: usize) {
        let Some(&place) = self.order.get(index) else { return };
        let (Some(process), Some(node)) = (self.request.snapshot.at(place), self.nodes.get_mut(place)) else { return };
        node.role = role(process, self.request, self.aim, node.only_waits);
        let leads = node.role.leads() || node.leads_below;
        let leads_in_foreground = (node.role.leads() || node.leads_below_in_foreground) && !is_background(process);
        let Some(parent_place) = node.parent else { return };
        let (Some(parent), Some(above)) = (self.request.snapshot.at(parent_place), self.nodes.get_mut(parent_place))
        else {
            return;
        };
        above.children += 1;
        above.leads_below |= leads;
        above.leads_below_in_foreground |= leads_in_foreground;
        above.only_waits |= leads && only_waits_for(parent, process);
    }

    /// Gives the orders, from the roots downwards.
    pub(super) fn act(mut self) -> Plan {
        let mut plan = Plan::default();
        for index in 0..self.order.len() {
            self.decide(index, &mut plan);
        }
        plan
    }

    fn decide(&mut self, index: usize, plan: &mut Plan) {
        let request = self.request;
        let Some(&place) = self.order.get(index) else { return };
        let (Some(process), Some(node)) = (request.snapshot.at(place), self.nodes.get(place).copied()) else { return };
        let above = node.parent.and_then(|parent| self.nodes.get(parent));
        let position = match above.map(|above| above.below) {
            None if self.start == Start::AtOrphans => Position::Idle,
            None => Position::Open,
            Some(position) => position,
        };
        let position =
            if position == Position::Idle && was_left_behind(process, request) { Position::Open } else { position };
        let branch_leads = above.map_or(node.role.leads() || node.leads_below, |above| above.branch_leads);
        let below = self.give(process, &Node { branch_leads, ..node }, position, plan);
        if let Some(node) = self.nodes.get_mut(place) {
            node.below = below;
            node.branch_leads = branch_leads;
        }
    }

    /// The order for one process, if it gets any; returns how its children stand.
    fn give(&self, process: &Process, node: &Node, position: Position, plan: &mut Plan) -> Position {
        let request = self.request;
        let below_trap = matches!(position, Position::BelowTrap | Position::TellAll(Rule::BelowTrap));
        if position == Position::Covered || (below_trap && is_background(process)) {
            plan.covered.push(process.identity);
            return Position::Covered;
        }
        match (node.role, position) {
            (Role::Leads, _) => Position::Covered,
            (Role::Told, _) | (_, Position::Idle) => position,
            (Role::Unreadable, _) => {
                plan.orders.push(told(process, request.signal, Rule::Unreadable, true, request));
                Position::TellAll(Rule::Unreadable)
            }
            (Role::Ignores, _) => position,
            (_, Position::TellAll(rule)) => {
                plan.orders.push(told(process, best_signal(process, request), rule, node.role.leads(), request));
                position
            }
            (Role::Handles(signal), _) => {
                plan.orders.push(told(process, signal, Rule::Handles, true, request));
                Position::Covered
            }
            (Role::Traps(signal), _) => {
                let order = told(process, signal, Rule::Trap, true, request);
                plan.orders.push(Order { children: Some(node.children), ..order });
                // A signal that is only passed on must not kill what the shell runs.
                let nobody = !node.leads_below_in_foreground && (node.role.leads() || !node.branch_leads);
                let tell_all = self.aim == Aim::Stop && nobody;
                if tell_all { Position::TellAll(Rule::BelowTrap) } else { Position::BelowTrap }
            }
            (Role::Wraps | Role::Nothing, _) => {
                let held_before = request.history.held.contains(&process.identity);
                if self.start == Start::Everywhere && (held_before || !node.branch_leads) {
                    plan.orders.push(told(process, best_signal(process, request), Rule::Rest, false, request));
                } else {
                    plan.held.push(process.identity);
                }
                position
            }
        }
    }
}

fn role(process: &Process, request: &Request<'_>, aim: Aim, only_waits: bool) -> Role {
    match request.history.told.get(&process.identity) {
        Some(true) => return Role::Leads,
        Some(false) => return Role::Told,
        None => {}
    }
    match handling(process, request) {
        Handling::Handles(_) | Handling::Nothing if is_wrapper(process) => {
            // A trap is the shell's own clean-up; a forwarder has none.
            trapped(process, request).map_or(Role::Wraps, Role::Traps)
        }
        Handling::Handles(_) if aim == Aim::Stop && only_waits && process.only_handles_interrupt() => Role::Wraps,
        Handling::Handles(signal) => Role::Handles(signal),
        Handling::Ignores => Role::Ignores,
        Handling::Nothing => Role::Nothing,
        Handling::Unreadable => Role::Unreadable,
    }
}

/// Rule 4: somebody in charge left this process behind: it was left to him, or it has come to hang from graceinit since.
fn was_left_behind(process: &Process, request: &Request<'_>) -> bool {
    let history = request.history;
    let adopted = process.parent == request.init
        && process.pid() != request.main
        && !history.branches.contains(&process.identity)
        && !history.held.contains(&process.identity);
    adopted || history.covered.contains(&process.identity)
}

/// An order, by rule 16 withheld where the platform has given it itself.
fn told(process: &Process, signal: Signal, rule: Rule, in_charge: bool, request: &Request<'_>) -> Order {
    let withheld = request.broadcast && signal == Signal::TERM && handles(process, Signal::TERM);
    Order { withheld, ..order(process, signal, rule, in_charge) }
}
