//! A snapshot of the processes that matter, as data: what /proc said about each, and nothing that was decided about it.
#![forbid(unsafe_code)]

use std::fmt;

use crate::signal::{Signal, SignalSet};

/// A process id, or the id of a process group, in graceinit's PID namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(pub i32);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The kernel itself: the terminal's keys, a hangup, a resource limit.
    Kernel,
    /// A process of another PID namespace: it has no number here. `docker stop` and the kubelet are such.
    Outside,
    /// A process.
    Process(Pid),
}

/// One signal, as the kernel queued it for graceinit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Which one.
    pub signal: Signal,
    /// Who sent it.
    pub sender: Sender,
    /// The value that sigqueue(3) sent along.
    pub value: Option<u64>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By exit(3), with this code.
    Exited(u8),
    /// By this signal.
    Killed(Signal),
}

/// A process that cannot be taken for another: pids are used again, a pid with its start time is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Its pid.
    pub pid: Pid,
    /// When it started, in clock ticks since the system's boot (field 22 of proc(5)'s stat).
    pub started: u64,
}

/// What a process does with each signal (`SigCgt`, `SigIgn` and `SigBlk` of /proc/PID/status).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dispositions {
    /// A handler is installed.
    pub caught: SignalSet,
    /// Ignored.
    pub ignored: SignalSet,
    /// Blocked in every thread, as signalfd(2) and sigwait(3) need it.
    pub blocked: SignalSet,
}

impl Dispositions {
    /// Whether the process does something of its own at this signal.
    #[must_use]
    pub fn handles(&self, signal: Signal) -> bool {
        self.caught.contains(signal) || self.blocked.contains(signal)
    }
}

/// What the main thread of a process waits for, as far as /proc/PID/syscall tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// wait4(2) or waitid(2): for this child, or for any.
    Child(Option<Pid>),
    /// A read of, or a poll over, these pipes (their inode numbers).
    Pipes(Vec<u64>),
    /// sigwait(3) and its kin: while it waits, the signals waited for show nowhere else.
    Signals,
    /// Nothing: it runs at this moment.
    Running,
    /// Anything else.
    Other,
    /// It could not be read.
    Unreadable,
}

/// One process.
#[derive(Clone, Debug)]
pub struct Process {
    /// Who it is.
    pub identity: Identity,
    /// Its parent.
    pub parent: Pid,
    /// Its process group.
    pub group: Pid,
    /// Its session.
    pub session: Pid,
    /// Its state as proc(5) writes it: `R`, `S`, `D`, `T`, `t`, `Z` ...
    pub state: u8,
    /// The kernel's name for it (comm), at most 15 bytes, any of them.
    pub name: Box<[u8]>,
    /// Whether it has called execve(2) since its fork (PF_FORKNOEXEC is off).
    pub has_execed: bool,
    /// What it does with signals; `None` where that cannot be read (gVisor has no such lines).
    pub dispositions: Option<Dispositions>,
    /// The base name of its executable, where it can be read.
    pub executable: Option<Box<[u8]>>,
    /// Its arguments, NUL-separated, cut at some length; filled for those that `wants_arguments`.
    pub arguments: Box<[u8]>,
    /// What it waits for; filled for those that `wants_waiting`.
    pub waiting: Option<Waiting>,
    /// The pipes that are its stdout and stderr; filled for the children of those that wait.
    pub outputs: Vec<u64>,
}

impl Process {
    /// A process about which nothing but its place in the tree is known.
    #[must_use]
    pub fn new(pid: Pid, parent: Pid, started: u64) -> Self {
        Self {
            identity: Identity { pid, started },
            parent,
            group: Pid(0),
            session: Pid(0),
            state: b'S',
            name: Box::default(),
            has_execed: true,
            dispositions: None,
            executable: None,
            arguments: Box::default(),
            waiting: None,
            outputs: Vec::new(),
        }
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.identity.pid
    }

    /// Whether it is stopped by a signal (job control, not a tracer's `t`).
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.state == b'T'
    }

    /// The program's base name: what the executable is called; for a multi-call binary what it was called as; and where the
    /// executable cannot be read, the kernel's name, which for a script is the script's.
    #[must_use]
    pub fn program(&self) -> &[u8] {
        let called_as = || self.arguments().next().map(base_name).filter(|name| !name.is_empty());
        match self.executable.as_deref() {
            Some(name) if MULTI_CALL.contains(&name) => {
                let applet = called_as().unwrap_or(name);
                if MULTI_CALL.contains(&applet) { self.arguments().nth(1).map_or(applet, base_name) } else { applet }
            }
            Some(name) => name,
            None if !self.name.is_empty() => &self.name,
            None => called_as().unwrap_or(b"?"),
        }
    }

    /// Its arguments, `argv[0]` first, as far as they were read.
    pub fn arguments(&self) -> impl Iterator<Item = &[u8]> {
        self.arguments.split(|&byte| byte == 0)
    }

    /// Whether its arguments are needed to tell what it is: multi-call binaries, and those whose executable is unreadable.
    #[must_use]
    pub fn wants_arguments(&self) -> bool {
        self.executable.as_deref().is_none_or(|name| MULTI_CALL.contains(&name))
    }

    /// Whether it matters what it waits for: it may be a wrapper that only knows Ctrl+C (and then its children's outputs and
    /// arguments matter too), or it may sit in sigwait(3), where its handling of a signal shows nowhere else.
    #[must_use]
    pub fn wants_waiting(&self) -> bool {
        self.dispositions.is_some_and(|does| !does.handles(Signal::TERM) && !does.ignored.contains(Signal::TERM))
    }

    /// Whether it may be a wrapper in the sense of rule 3c: Ctrl+C is all it handles.
    #[must_use]
    pub fn only_handles_interrupt(&self) -> bool {
        self.dispositions.is_some_and(|does| does.handles(Signal::INT) && !does.handles(Signal::TERM))
    }
}

/// Executables that are many programs; which one is in `argv[0]`, or in `argv[1]` when called by their own name.
const MULTI_CALL: &[&[u8]] = &[b"busybox", b"toybox", b"coreutils"];

/// What follows the last slash, without the dash of a login shell.
#[must_use]
pub fn base_name(path: &[u8]) -> &[u8] {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    name.strip_prefix(b"-").unwrap_or(name)
}

/// The processes that matter at one moment: graceinit's descendants and the command's group. The dead are not in it.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Sorted by pid.
    processes: Vec<Process>,
}

impl Snapshot {
    /// The descendants of `init`, and the members of `group`, out of all processes that there are.
    #[must_use]
    pub fn below(init: Pid, group: Pid, all: Vec<Process>) -> Self {
        let mut whole = Self::of(all);
        let mut wanted = vec![false; whole.processes.len()];
        for place in whole.descendants(&[init]) {
            if let Some(flag) = wanted.get_mut(place) {
                *flag = true;
            }
        }
        let mut wanted = wanted.into_iter();
        whole.processes.retain(|p| wanted.next() == Some(true) || (p.group == group && p.pid() != init));
        whole
    }

    /// A snapshot of exactly these processes.
    #[must_use]
    pub fn of(mut processes: Vec<Process>) -> Self {
        processes.sort_unstable_by_key(Process::pid);
        Self { processes }
    }

    /// The processes, in the order of their pids.
    #[must_use]
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// The same, to fill in details.
    pub fn processes_mut(&mut self) -> &mut [Process] {
        &mut self.processes
    }

    /// The process at this place.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<&Process> {
        self.processes.get(place)
    }

    /// The place of the process with this pid.
    #[must_use]
    pub fn place(&self, pid: Pid) -> Option<usize> {
        self.processes.binary_search_by_key(&pid, Process::pid).ok()
    }

    /// The process with this pid.
    #[must_use]
    pub fn find(&self, pid: Pid) -> Option<&Process> {
        self.place(pid).and_then(|place| self.processes.get(place))
    }

    /// Whether this very process, and no later one with its pid, is there.
    #[must_use]
    pub fn has(&self, identity: Identity) -> bool {
        self.find(identity.pid).is_some_and(|process| process.identity == identity)
    }

    /// The children of each process: `(parent's pid, child's place)`, sorted.
    fn children(&self) -> Vec<(Pid, usize)> {
        let mut children: Vec<_> = self.processes.iter().enumerate().map(|(place, p)| (p.parent, place)).collect();
        children.sort_unstable();
        children
    }

    /// These processes (those that are here) and all below them.
    #[must_use]
    pub fn family(&self, roots: &[Pid]) -> Vec<usize> {
        let mut family: Vec<usize> = roots.iter().filter_map(|&pid| self.place(pid)).collect();
        family.extend(self.descendants(roots));
        family
    }

    /// The places of all processes below these, each after its parent. Not recursive: a tree may be as deep as there are pids.
    #[must_use]
    pub fn descendants(&self, above: &[Pid]) -> Vec<usize> {
        let children = self.children();
        let mut seen = vec![false; self.processes.len()];
        let mut found: Vec<usize> = Vec::new();
        let mut next = 0;
        let mut parents = above.to_vec();
        loop {
            for parent in parents.drain(..) {
                let first = children.partition_point(|&(p, _)| p < parent);
                for &(_, place) in children.iter().skip(first).take_while(|&&(p, _)| p == parent) {
                    // A snapshot is not taken in one instant: a reused pid can make it look like a circle.
                    if let Some(flag) = seen.get_mut(place).filter(|flag| !**flag) {
                        *flag = true;
                        found.push(place);
                    }
                }
            }
            let Some(process) = found.get(next).and_then(|&place| self.processes.get(place)) else { return found };
            parents.push(process.pid());
            next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(pairs: &[(i32, i32)]) -> Vec<Process> {
        pairs.iter().map(|&(pid, parent)| Process::new(Pid(pid), Pid(parent), 1)).collect()
    }

    fn pids(snapshot: &Snapshot) -> Vec<i32> {
        let mut pids: Vec<_> = snapshot.processes().iter().map(|p| p.pid().0).collect();
        pids.sort_unstable();
        pids
    }

    #[test]
    fn a_snapshot_holds_descendants_and_the_group_and_nobody_else() {
        let mut all = tree(&[(1, 0), (5, 1), (6, 5), (7, 6), (20, 0), (21, 20), (30, 0)]);
        all.iter_mut().find(|p| p.pid() == Pid(30)).unwrap().group = Pid(5);
        assert_eq!(pids(&Snapshot::below(Pid(1), Pid(5), all)), [5, 6, 7, 30]);
    }

    #[test]
    fn descendants_come_after_their_parents_whatever_the_order_of_pids() {
        let snapshot = Snapshot::of(tree(&[(2, 9), (9, 5), (5, 1), (3, 2)]));
        let order: Vec<_> = snapshot.descendants(&[Pid(1)]).iter().map(|&i| snapshot.processes()[i].pid().0).collect();
        assert_eq!(order, [5, 9, 2, 3]);
    }

    #[test]
    fn a_circle_in_a_torn_snapshot_ends() {
        let snapshot = Snapshot::of(tree(&[(2, 3), (3, 2), (4, 4)]));
        assert_eq!(snapshot.descendants(&[Pid(2)]).len(), 2);
        assert_eq!(snapshot.descendants(&[Pid(4)]).len(), 1);
    }

    #[test]
    fn a_very_deep_tree_does_not_need_the_stack() {
        let pairs: Vec<_> = (2..60_000).map(|pid| (pid, pid - 1)).collect();
        assert_eq!(Snapshot::of(tree(&pairs)).descendants(&[Pid(1)]).len(), pairs.len());
    }

    #[test]
    fn a_program_is_named_by_executable_then_call_name() {
        let named = |executable: Option<&str>, name: &str, arguments: &str| {
            let mut process = Process::new(Pid(2), Pid(1), 1);
            process.executable = executable.map(|text| text.as_bytes().into());
            process.name = name.as_bytes().into();
            process.arguments = arguments.as_bytes().into();
            String::from_utf8_lossy(process.program()).into_owned()
        };
        assert_eq!(named(Some("dash"), "entrypoint.sh", "/bin/sh\0/entrypoint.sh"), "dash");
        assert_eq!(named(Some("busybox"), "sh", "/bin/sh\0-c\0x"), "sh");
        assert_eq!(named(Some("busybox"), "busybox", "busybox\0ash\0-c"), "ash");
        assert_eq!(named(Some("busybox"), "sh", "-sh"), "sh");
        assert_eq!(named(None, "bash", ""), "bash");
        assert_eq!(named(None, "", "/usr/bin/tini\0--"), "tini");
    }
}
