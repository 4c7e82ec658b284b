//! The plan as a tree, for `--verbose`: each process, what it handles, what it is sent and by which rule.
#![forbid(unsafe_code)]

use super::{Named, reason};
use crate::plan::Plan;
use crate::process::{Process, Snapshot};
use crate::signal::Signal;

/// How many processes are drawn: the log is no place for ten thousand lines.
const MOST_LINES: usize = 100;

/// The lines of the tree.
pub(super) fn draw(snapshot: &Snapshot, plan: &Plan) -> Vec<String> {
    let roots: Vec<_> =
        snapshot.processes().iter().filter(|p| snapshot.find(p.parent).is_none()).map(Process::pid).collect();
    let mut lines = Vec::new();
    // Depth first, by hand: a tree may be deeper than the stack.
    let mut open: Vec<(usize, usize)> = roots.iter().rev().filter_map(|&pid| Some((snapshot.place(pid)?, 0))).collect();
    let mut children: Vec<_> = snapshot.processes().iter().enumerate().map(|(place, p)| (p.parent, place)).collect();
    children.sort_unstable();
    let mut drawn = 0;
    while let Some((place, depth)) = open.pop() {
        let Some(process) = snapshot.at(place) else { continue };
        drawn += 1;
        if drawn > MOST_LINES {
            lines.push(format!("  ... {} processes in all", snapshot.processes().len()));
            break;
        }
        lines.push(line(process, depth, plan));
        let first = children.partition_point(|&(parent, _)| parent < process.pid());
        let mine = children.iter().skip(first).take_while(|(parent, _)| *parent == process.pid());
        let at = open.len();
        open.extend(mine.map(|&(_, child)| (child, depth + 1)));
        if let Some(new) = open.get_mut(at..) {
            new.reverse();
        }
    }
    lines
}

fn line(process: &Process, depth: usize, plan: &Plan) -> String {
    let named = Named::of(Some(process), process.pid());
    let order = plan.orders.iter().find(|order| order.identity == process.identity);
    let fate = match order {
        Some(order) if order.withheld => format!("{} came from the platform (rule 16)", order.signal),
        Some(order) => format!("{} (rule {}: {})", order.signal, order.rule.number(), reason(order.rule)),
        None if plan.covered.contains(&process.identity) => "left to the one above (rule 2)".to_owned(),
        None if plan.held.contains(&process.identity) => "held (rule 3)".to_owned(),
        None => "nothing now".to_owned(),
    };
    let indent = "  ".repeat(depth.min(20) + 1);
    format!("{indent}{named} [{}] {fate}", handles(process))
}

/// `TERM caught, INT ignored`, as far as anything is special.
fn handles(process: &Process) -> String {
    let Some(does) = process.dispositions else { return "unreadable".to_owned() };
    let of = |signal: Signal, name: &str| {
        let what = if does.caught.contains(signal) {
            "caught"
        } else if does.blocked.contains(signal) {
            "blocked"
        } else if does.ignored.contains(signal) {
            "ignored"
        } else {
            return None;
        };
        Some(format!("{name} {what}"))
    };
    let known = [(Signal::TERM, "TERM"), (Signal::INT, "INT"), (Signal::QUIT, "QUIT"), (Signal::HUP, "HUP")];
    let said: Vec<String> = known.into_iter().filter_map(|(signal, name)| of(signal, name)).collect();
    if said.is_empty() { "handles nothing".to_owned() } else { said.join(", ") }
}
