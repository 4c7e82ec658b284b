//! The table of measured trees, row by row: a snapshot in, deliveries out.

use super::*;
use crate::process::{Dispositions, Waiting};
use crate::signal::SignalSet;

const INIT: Pid = Pid(1);
const MAIN: Pid = Pid(2);

/// One process of a test tree, in the command's group.
struct P(Process);

fn p(pid: i32, parent: i32, program: &str) -> P {
    let mut process = Process::new(Pid(pid), Pid(parent), 100);
    process.group = MAIN;
    process.name = program.as_bytes().into();
    process.executable = Some(program.as_bytes().into());
    process.dispositions = Some(Dispositions::default());
    P(process)
}

fn set(names: &str) -> SignalSet {
    names.split_whitespace().map(|name| Signal::parse(name).unwrap()).collect()
}

impl P {
    fn does(mut self, change: impl FnOnce(&mut Dispositions)) -> Self {
        self.0.dispositions.as_mut().map(change).unwrap();
        self
    }
    fn catches(self, names: &str) -> Self {
        self.does(|does| does.caught = set(names))
    }
    fn ignores(self, names: &str) -> Self {
        self.does(|does| does.ignored = set(names))
    }
    fn blocks(self, names: &str) -> Self {
        self.does(|does| does.blocked = set(names))
    }
    fn waits(mut self, waiting: Waiting) -> Self {
        self.0.waiting = Some(waiting);
        self
    }
    fn arguments(mut self, text: &str) -> Self {
        self.0.arguments = text.as_bytes().into();
        self
    }
    fn writes_to(mut self, pipe: u64) -> Self {
        self.0.outputs = vec![pipe];
        self
    }
    fn forked_only(mut self) -> Self {
        self.0.has_execed = false;
        self
    }
    fn group(mut self, group: i32) -> Self {
        self.0.group = Pid(group);
        self
    }
    fn stopped(mut self) -> Self {
        self.0.state = b'T';
        self
    }
    fn unreadable(mut self) -> Self {
        self.0.dispositions = None;
        self
    }
}

/// A stop, wave by wave.
struct Stop {
    snapshot: Snapshot,
    history: History,
    signal: Signal,
    translate: bool,
    shield: bool,
    broadcast: bool,
}

fn stop(signal: &str, tree: impl IntoIterator<Item = P>) -> Stop {
    let snapshot = Snapshot::of(tree.into_iter().map(|p| p.0).collect());
    let ours = |process: &&Process| process.parent == INIT;
    let branches = snapshot.processes().iter().filter(ours).map(|process| process.identity).collect();
    let history = History { branches, ..History::default() };
    Stop { snapshot, history, signal: Signal::parse(signal).unwrap(), translate: true, shield: false, broadcast: false }
}

impl Stop {
    fn wave(&mut self, plan: impl Fn(&Request<'_>) -> Plan) -> String {
        let request = Request {
            snapshot: &self.snapshot,
            init: INIT,
            main: MAIN,
            group: MAIN,
            signal: self.signal,
            translate: self.translate,
            shield: self.shield,
            broadcast: self.broadcast,
            history: &self.history,
        };
        let plan = plan(&request);
        self.history.remember(&plan);
        let mut orders: Vec<_> =
            plan.orders.iter().filter(|order| !order.withheld).map(|o| (o.identity.pid, o.signal)).collect();
        orders.sort();
        let sent: Vec<_> = orders
            .iter()
            .map(|(pid, signal)| format!("{pid} {}", signal.to_string().trim_start_matches("SIG")))
            .collect();
        sent.join(", ")
    }
    fn first(&mut self) -> String {
        self.wave(first)
    }
    /// These end; what they leave behind comes to hang from graceinit.
    fn end(&mut self, pids: &[i32]) -> &mut Self {
        let gone = |pid: Pid| pids.contains(&pid.0);
        let mut left: Vec<Process> = self.snapshot.processes().iter().filter(|p| !gone(p.pid())).cloned().collect();
        for process in &mut left {
            if gone(process.parent) {
                process.parent = INIT;
            }
        }
        self.snapshot = Snapshot::of(left);
        self
    }
    fn appears(&mut self, new: P) -> &mut Self {
        let all = self.snapshot.processes().iter().cloned().chain([new.0]);
        self.snapshot = Snapshot::of(all.collect());
        self
    }
    fn orphans(&mut self) -> String {
        self.wave(orphans)
    }
    fn rest(&mut self) -> String {
        self.wave(rest)
    }
    fn last_call(&mut self) -> String {
        self.wave(last_call)
    }
}

/// A Python, Rust or waitress program that only knows Ctrl+C.
fn ctrl_c(pid: i32, parent: i32) -> P {
    p(pid, parent, "python3").catches("INT")
}

/// A program with a TERM handler; most have one for INT too.
fn server(pid: i32, parent: i32) -> P {
    p(pid, parent, "server").catches("TERM INT")
}

/// dash, bash and ash with a foreground child.
fn shell(pid: i32, parent: i32) -> P {
    p(pid, parent, "dash").catches("INT")
}

fn trap(pid: i32, parent: i32) -> P {
    p(pid, parent, "bash").catches("TERM INT")
}

/// bash with `trap ... EXIT`.
fn exit_trap(pid: i32, parent: i32) -> P {
    p(pid, parent, "bash").catches("HUP INT QUIT ALRM TERM USR1 USR2 XCPU VTALRM")
}

#[test]
fn who_is_told_first() {
    let helper = "python3\0-c\0from multiprocessing.spawn import spawn_main";
    let rows: Vec<(&str, Vec<P>, &str, &str)> = vec![
        // name, tree, at TERM, at INT
        ("Ctrl+C only", vec![ctrl_c(2, 1)], "2 INT", "2 INT"),
        ("a TERM handler only", vec![p(2, 1, "app").catches("TERM")], "2 TERM", "2 TERM"),
        ("sh over Ctrl+C only", vec![shell(2, 1), ctrl_c(3, 2)], "3 INT", "2 INT, 3 INT"),
        ("sh over a server", vec![shell(2, 1), server(3, 2)], "3 TERM", "2 INT, 3 INT"),
        ("sh over sh over a server", vec![shell(2, 1), shell(3, 2), server(4, 3)], "4 TERM", "2 INT, 3 INT, 4 INT"),
        (
            "multiprocessing.Pool: the parent tells its workers",
            vec![
                ctrl_c(2, 1),
                ctrl_c(3, 2).forked_only(),
                ctrl_c(4, 2).forked_only(),
                p(5, 2, "python3").ignores("TERM INT"),
            ],
            "2 INT",
            "2 INT",
        ),
        (
            "Celery: the pool's processes catch TERM and must not get it",
            vec![
                server(2, 1),
                p(3, 2, "python3").catches("TERM").ignores("INT"),
                p(4, 2, "python3").catches("TERM").ignores("INT"),
            ],
            "2 TERM",
            "2 INT",
        ),
        (
            "gunicorn, dramatiq, uvicorn: master and workers",
            vec![server(2, 1), server(3, 2), server(4, 2)],
            "2 TERM",
            "2 INT",
        ),
        ("npm over sh over node", vec![server(2, 1), shell(3, 2), server(4, 3)], "2 TERM", "2 INT"),
        (
            "PostgreSQL: the checkpointer ignores TERM and must not get INT",
            vec![server(2, 1), p(3, 2, "postgres").ignores("TERM").catches("INT"), server(4, 2)],
            "2 TERM",
            "2 INT",
        ),
        ("app | cat", vec![shell(2, 1), ctrl_c(3, 2), p(4, 2, "cat")], "3 INT", "2 INT, 3 INT"),
        (
            "app | (cat; true): the subshell catches INT, and cat is held",
            vec![shell(2, 1), ctrl_c(3, 2), shell(4, 2).forked_only(), p(5, 4, "cat")],
            "3 INT",
            "2 INT, 3 INT, 4 INT",
        ),
        (
            "trap TERM over a Ctrl+C app in the foreground",
            vec![trap(2, 1), ctrl_c(3, 2)],
            "2 TERM, 3 INT",
            "2 TERM, 3 INT",
        ),
        (
            "trap TERM over app &: the trap tells it",
            vec![trap(2, 1), p(3, 2, "app").catches("TERM").ignores("INT QUIT")],
            "2 TERM",
            "2 TERM",
        ),
        (
            "trap EXIT over a server: the trap must not run before the server has ended",
            vec![exit_trap(2, 1), server(3, 2)],
            "3 TERM",
            "3 INT",
        ),
        ("trap EXIT over sleep", vec![exit_trap(2, 1), p(3, 2, "sleep")], "2 TERM, 3 TERM", "2 INT, 3 INT"),
        (
            "trap TERM over sleep: it would wait for it",
            vec![trap(2, 1), p(3, 2, "sleep")],
            "2 TERM, 3 TERM",
            "2 TERM, 3 INT",
        ),
        (
            "trap TERM over a plain & job and a sleep in the foreground",
            vec![trap(2, 1), p(3, 2, "job").ignores("INT QUIT"), p(4, 2, "sleep")],
            "2 TERM, 4 TERM",
            "2 TERM, 4 INT",
        ),
        (
            "subprocess.run over a server",
            vec![ctrl_c(2, 1).waits(Waiting::Child(Some(Pid(3)))), server(3, 2)],
            "3 TERM",
            "3 INT",
        ),
        (
            "subprocess.run over a Ctrl+C app",
            vec![ctrl_c(2, 1).waits(Waiting::Child(None)), ctrl_c(3, 2)],
            "3 INT",
            "3 INT",
        ),
        (
            "subprocess.run(capture_output) over a server",
            vec![ctrl_c(2, 1).waits(Waiting::Pipes(vec![7, 8])), server(3, 2).writes_to(8)],
            "3 TERM",
            "3 INT",
        ),
        (
            "a program that reads some other pipe is no wrapper",
            vec![ctrl_c(2, 1).waits(Waiting::Pipes(vec![7])), server(3, 2).writes_to(8)],
            "2 INT",
            "2 INT",
        ),
        (
            "except KeyboardInterrupt around run(['sleep'])",
            vec![ctrl_c(2, 1).waits(Waiting::Child(Some(Pid(3)))), p(3, 2, "sleep")],
            "2 INT",
            "2 INT",
        ),
        (
            "Process.join of a spawned worker",
            vec![ctrl_c(2, 1).waits(Waiting::Child(Some(Pid(3)))), ctrl_c(3, 2).arguments(helper)],
            "2 INT",
            "2 INT",
        ),
        (
            "Process.join of a forked worker",
            vec![ctrl_c(2, 1).waits(Waiting::Child(Some(Pid(3)))), ctrl_c(3, 2).forked_only()],
            "2 INT",
            "2 INT",
        ),
        (
            "a program with a TERM handler that waits for its child is in charge of it",
            vec![server(2, 1).waits(Waiting::Child(None)), server(3, 2)],
            "2 TERM",
            "2 INT",
        ),
        ("uv run over a Ctrl+C app", vec![p(2, 1, "uv").catches("TERM INT HUP QUIT"), ctrl_c(3, 2)], "3 INT", "3 INT"),
        ("nested dumb-init", vec![p(2, 1, "dumb-init").catches("TERM INT"), ctrl_c(3, 2)], "3 INT", "3 INT"),
        ("nested tini", vec![p(2, 1, "tini"), server(3, 2)], "3 TERM", "3 INT"),
        ("nested catatonit", vec![p(2, 1, "catatonit").blocks("TERM INT"), ctrl_c(3, 2)], "3 INT", "3 INT"),
        ("a signalfd program", vec![p(2, 1, "app").blocks("TERM INT")], "2 TERM", "2 INT"),
        (
            "a sigwait program and its child",
            vec![p(2, 1, "app").waits(Waiting::Signals), p(3, 2, "x")],
            "2 TERM",
            "2 INT",
        ),
        ("sleep", vec![p(2, 1, "sleep")], "2 TERM", "2 INT"),
        ("sh over sleep", vec![shell(2, 1), p(3, 2, "sleep")], "2 TERM, 3 TERM", "2 INT, 3 INT"),
        (
            "nobody handles it: a daemon of another session is told at once too",
            vec![p(2, 1, "sleep"), p(9, 1, "epmd").group(9)],
            "2 TERM, 9 TERM",
            "2 INT, 9 INT",
        ),
        (
            "an adopted master in the command's group keeps its workers",
            vec![p(2, 1, "sleep"), server(8, 1), p(9, 8, "worker").catches("TERM")],
            "2 TERM, 8 TERM",
            "2 INT, 8 INT",
        ),
        ("the main process is dead and not reaped yet", vec![server(8, 1), server(9, 8)], "8 TERM", "8 INT"),
        (
            "somebody handles it: a daemon of another session waits",
            vec![server(2, 1), p(9, 1, "epmd").group(9)],
            "2 TERM",
            "2 INT",
        ),
        (
            "what cannot be read is told as any init would, with all below it",
            vec![p(2, 1, "app").unreadable(), p(3, 2, "app").unreadable()],
            "2 TERM, 3 TERM",
            "2 INT, 3 INT",
        ),
        (
            "a leaf that cannot be read beside one that can",
            vec![shell(2, 1), server(3, 2), p(4, 2, "su").unreadable()],
            "3 TERM, 4 TERM",
            "2 INT, 3 INT, 4 INT",
        ),
    ];
    for (name, tree, at_term, at_int) in rows {
        let copy = tree.iter().map(|p| P(p.0.clone())).collect::<Vec<_>>();
        assert_eq!(stop("TERM", tree).first(), at_term, "{name}, at TERM");
        assert_eq!(stop("INT", copy).first(), at_int, "{name}, at INT");
    }
}

#[test]
fn an_explicit_signal_is_not_translated() {
    let mut quit =
        stop("QUIT", [shell(2, 1), p(3, 2, "nginx").catches("TERM INT QUIT"), p(4, 3, "nginx").catches("QUIT")]);
    quit.translate = false;
    assert_eq!(quit.first(), "3 QUIT");
    let mut term = stop("TERM", [ctrl_c(2, 1)]);
    term.translate = false;
    assert_eq!(term.first(), "2 TERM");
}

#[test]
fn orphans_of_one_in_charge_are_told_when_it_is_gone() {
    let mut npm = stop("TERM", [server(2, 1), shell(3, 2), server(4, 3)]);
    assert_eq!(npm.first(), "2 TERM");
    assert_eq!(npm.end(&[2]).orphans(), "4 TERM");
    assert_eq!(npm.end(&[4]).orphans(), "");
    assert_eq!(npm.rest(), "3 TERM");
}

#[test]
fn a_loop_that_starts_its_program_anew_does_not_go_on() {
    let mut stop = stop("TERM", [shell(2, 1), server(3, 2)]);
    assert_eq!(stop.first(), "3 TERM");
    stop.end(&[3]).appears(server(5, 2));
    assert_eq!(stop.orphans(), "", "the second app is nobody's orphan");
    assert_eq!(stop.rest(), "2 TERM, 5 TERM", "now the shell is told as well");
}

#[test]
fn the_rest_is_told_branch_by_branch() {
    let daemon = [p(7, 1, "worker").catches("TERM").group(7), p(8, 7, "worker").catches("TERM").group(7)];
    let mut stop = stop("TERM", [server(2, 1), p(3, 2, "helper")].into_iter().chain(daemon));
    assert_eq!(stop.first(), "2 TERM");
    assert_eq!(stop.end(&[2]).orphans(), "", "the helper handles nothing, so it is held");
    assert_eq!(stop.rest(), "3 TERM, 7 TERM", "a daemonised master tells its own worker");
    assert_eq!(stop.end(&[3, 7]).orphans(), "8 TERM");
}

#[test]
fn the_last_call_reaches_everybody_once() {
    let mut stop = stop(
        "TERM",
        [
            server(2, 1),
            server(3, 2),
            ctrl_c(4, 2),
            p(5, 2, "p").ignores("TERM").catches("INT"),
            p(6, 2, "cat").stopped(),
        ],
    );
    assert_eq!(stop.first(), "2 TERM");
    assert_eq!(stop.last_call(), "3 TERM, 4 INT, 5 INT, 6 TERM");
    assert_eq!(stop.last_call(), "6 CONT");
}

#[test]
fn one_that_ignores_the_signal_is_told_the_other_at_the_last_call_only() {
    let mut stop = stop("TERM", [p(2, 1, "app").ignores("TERM").catches("INT")]);
    assert_eq!(stop.first(), "2 TERM", "as any init would: nobody handles it");
    assert_eq!(stop.rest(), "");
    assert_eq!(stop.last_call(), "2 INT");
}

#[test]
fn a_stopped_process_is_continued_after_its_signal() {
    let snapshot = Snapshot::of(vec![server(2, 1).stopped().0]);
    let history = History::default();
    let plan = first(&Request {
        snapshot: &snapshot,
        init: INIT,
        main: MAIN,
        group: MAIN,
        signal: Signal::TERM,
        translate: true,
        shield: false,
        broadcast: false,
        history: &history,
    });
    assert!(plan.orders.iter().all(|order| order.resume) && plan.orders.len() == 1);
}

#[test]
fn the_platform_has_told_those_that_catch_it_already() {
    let mut heroku = stop("TERM", [server(2, 1), ctrl_c(3, 2)]);
    heroku.broadcast = true;
    assert_eq!(heroku.first(), "");
    assert_eq!(heroku.last_call(), "2 TERM, 3 INT");
    let mut shielded = stop("TERM", [p(2, 1, "python3").catches("INT").ignores("TERM")]);
    shielded.broadcast = true;
    shielded.shield = true;
    assert_eq!(shielded.first(), "2 INT");
}

#[test]
fn other_signals_go_to_the_topmost_that_catch_them() {
    let forwarded = |signal: &str, tree: Vec<P>| {
        let mut stop = stop(signal, tree);
        stop.translate = false;
        stop.wave(forward)
    };
    let gunicorn = || vec![shell(2, 1), server(3, 2).catches("TERM INT HUP USR1"), server(4, 3).catches("TERM USR1")];
    assert_eq!(forwarded("HUP", gunicorn()), "3 HUP");
    assert_eq!(forwarded("USR1", gunicorn()), "3 USR1");
    assert_eq!(forwarded("USR2", gunicorn()), "2 USR2, 3 USR2, 4 USR2");
    let rt = "RTMIN+3";
    assert_eq!(forwarded(rt, vec![shell(2, 1), p(3, 2, "app").catches(rt)]), "3 RTMIN+3");
    let trapping = vec![p(2, 1, "bash").catches("USR1"), p(3, 2, "sleep")];
    assert_eq!(forwarded("USR1", trapping), "2 USR1", "what the shell runs must not die of it");
}

#[test]
fn exactly_one_process_or_everybody_when_asked() {
    let tree = || vec![ctrl_c(2, 1), server(3, 2), p(4, 2, "setsid").group(4)];
    assert_eq!(stop("TERM", tree()).wave(main_only), "2 INT");
    assert_eq!(stop("TERM", tree()).wave(everybody), "2 INT, 3 TERM, 4 TERM");
    assert_eq!(stop("TERM", tree()).wave(asked_group), "2 TERM, 3 TERM");
}
