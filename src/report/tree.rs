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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{self, History, Request};
    use crate::process::{Dispositions, Pid};

    fn process(pid: i32, parent: i32, name: &str, caught: &[Signal]) -> Process {
        let mut process = Process::new(Pid(pid), Pid(parent), 1);
        process.name = name.as_bytes().into();
        process.executable = Some(name.as_bytes().into());
        let caught = caught.iter().copied().collect();
        process.dispositions = Some(Dispositions { caught, ..Dispositions::default() });
        process
    }

    #[test]
    fn each_process_stands_below_its_parent_with_what_it_handles_what_it_is_sent_and_why() {
        let snapshot = Snapshot::of(vec![
            process(2, 1, "dash", &[Signal::INT]),
            process(5, 2, "python3", &[Signal::INT]),
            process(4, 2, "server", &[Signal::TERM, Signal::INT]),
            process(3, 5, "worker", &[]),
        ]);
        let history = History::default();
        let plan = plan::first(&Request {
            snapshot: &snapshot,
            init: Pid(1),
            main: Pid(2),
            group: Pid(2),
            signal: Signal::TERM,
            translate: true,
            shield: false,
            broadcast: false,
            history: &history,
        });
        let expected = [
            "  2 dash [INT caught] held (rule 3)",
            "    4 server [TERM caught, INT caught] SIGTERM (rule 1: handles it)",
            "    5 python3 [INT caught] SIGINT (rule 1: handles it)",
            "      3 worker [handles nothing] left to the one above (rule 2)",
        ];
        assert_eq!(draw(&snapshot, &plan), expected);
    }

    #[test]
    fn ten_thousand_processes_do_not_fill_the_log() {
        let crowd = (2..10_002).map(|pid| process(pid, 1, "worker", &[])).collect();
        let lines = draw(&Snapshot::of(crowd), &Plan::default());
        assert_eq!((lines.len(), lines.last().map(String::as_str)), (101, Some("  ... 10000 processes in all")));
    }
}
