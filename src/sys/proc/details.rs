//! What a process is and what it waits for: read for our own processes only, and only where the core wants it.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::Duration;

use super::Buffer;
use crate::process::{Dispositions, Pid, Process, Snapshot, Waiting, base_name};
use crate::signal::{Signal, SignalSet};
use crate::sys::signals;

/// Fills in the details of a snapshot.
pub(super) fn fill(snapshot: &mut Snapshot, readable: bool) {
    let mut buffer = Buffer::new();
    let mut identity = FileSystemIds::new();
    for process in snapshot.processes_mut() {
        let owner = fill_from_status(process, readable, &mut buffer);
        let pid = process.pid();
        identity.become_owner(owner);
        process.executable = executable(pid);
        if process.wants_waiting() {
            process.waiting = Some(waiting(pid, &mut buffer));
        }
        if process.wants_arguments() {
            process.arguments = buffer.read(pid, "cmdline").unwrap_or_default().into();
        }
    }
    identity.come_back();
    look_again(snapshot, &mut buffer);
    look_again_at_running(snapshot, &mut buffer);
    // The children of those that wait: whether one is what its parent waits for.
    let waiting: Vec<Pid> = snapshot
        .processes()
        .iter()
        .filter(|process| matches!(process.waiting, Some(Waiting::Child(_) | Waiting::Pipes(_))))
        .map(Process::pid)
        .collect();
    for process in snapshot.processes_mut().iter_mut().filter(|p| waiting.binary_search(&p.parent).is_ok()) {
        let pid = process.pid();
        process.arguments = buffer.read(pid, "cmdline").unwrap_or_default().into();
        identity.become_owner(owner_of(pid, &mut buffer));
        process.outputs = [1, 2].iter().filter_map(|number| pipe(pid, &number.to_string())).collect();
    }
    identity.come_back();
}

/// fork(3), posix_spawn(3) and dash block every signal for a moment while they start a program: that says nothing about what
/// the process does with them. One that always blocks them all (another graceinit) sleeps; those do not.
fn look_again(snapshot: &mut Snapshot, buffer: &mut Buffer) {
    const MOMENT: Duration = Duration::from_millis(5);
    const TIMES: usize = 10;
    for _ in 0..TIMES {
        let starts_a_program = |process: &&mut Process| {
            let unusual = [Signal::SEGV, Signal::ILL, Signal::FPE, Signal::TERM, Signal::INT];
            let blocks_all = |does: Dispositions| unusual.iter().all(|&signal| does.blocked.contains(signal));
            process.state != b'S' && process.dispositions.is_some_and(blocks_all)
        };
        let mut blocking = snapshot.processes_mut().iter_mut().filter(starts_a_program).peekable();
        if blocking.peek().is_none() {
            return;
        }
        signals::pause(MOMENT);
        for process in blocking {
            fill_from_status(process, true, buffer);
        }
    }
}

/// A program that waits for its child is awake while it copies the child's output. One that really computes stays awake.
fn look_again_at_running(snapshot: &mut Snapshot, buffer: &mut Buffer) {
    const MOMENT: Duration = Duration::from_millis(5);
    const TIMES: usize = 10;
    let with_programs: Vec<Pid> = snapshot.processes().iter().filter(|p| p.has_execed).map(|p| p.parent).collect();
    for _ in 0..TIMES {
        let runs = |process: &&mut Process| {
            process.waiting == Some(Waiting::Running)
                && process.only_handles_interrupt()
                && with_programs.contains(&process.pid())
        };
        let mut running = snapshot.processes_mut().iter_mut().filter(runs).peekable();
        if running.peek().is_none() {
            return;
        }
        signals::pause(MOMENT);
        let mut identity = FileSystemIds::new();
        for process in running {
            identity.become_owner(owner_of(process.pid(), buffer));
            process.waiting = Some(waiting(process.pid(), buffer));
        }
        identity.come_back();
    }
}

/// stat(5) has the masks of the main thread, and only signals 1 to 31: status has them all. Returns the owner's file system ids.
fn fill_from_status(process: &mut Process, readable: bool, buffer: &mut Buffer) -> Option<Ids> {
    let status = buffer.read(process.pid(), "status")?;
    let owner = ids_of(status);
    if !readable {
        return owner;
    }
    let set = |name: &str| line_of(status, name).and_then(|text| u64::from_str_radix(text, 16).ok()).map(SignalSet);
    // The stat line was read a little earlier.
    process.state = line_of(status, "State:").and_then(|text| text.bytes().next()).unwrap_or(process.state);
    let (Some(blocked), Some(ignored), Some(caught)) = (set("SigBlk:"), set("SigIgn:"), set("SigCgt:")) else {
        process.dispositions = None;
        return owner;
    };
    let threads: u32 = line_of(status, "Threads:").and_then(|text| text.parse().ok()).unwrap_or(1);
    let blocked =
        if blocked.0 != 0 && threads > 1 { blocked_everywhere(process.pid(), blocked, buffer) } else { blocked };
    process.dispositions = Some(Dispositions { caught, ignored, blocked });
    owner
}

/// The signals that every thread blocks: one that does not would take the signal.
fn blocked_everywhere(pid: Pid, mut blocked: SignalSet, buffer: &mut Buffer) -> SignalSet {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return blocked };
    for thread in threads.flatten() {
        let Some(number) = thread.file_name().to_str().and_then(|name| name.parse().ok()).map(Pid) else { continue };
        let Some(status) = buffer.read(number, "status") else { continue };
        let of_thread = line_of(status, "SigBlk:").and_then(|text| u64::from_str_radix(text, 16).ok());
        blocked = SignalSet(blocked.0 & of_thread.unwrap_or(u64::MAX));
    }
    blocked
}

fn line_of<'a>(status: &'a [u8], name: &str) -> Option<&'a str> {
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(name.as_bytes()))?;
    std::str::from_utf8(line).ok().map(str::trim)
}

fn executable(pid: Pid) -> Option<Box<[u8]>> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?.into_os_string().into_vec();
    let path = path.strip_suffix(b" (deleted)").unwrap_or(&path);
    Some(base_name(path).into())
}

/// The inode of the pipe that is this descriptor.
fn pipe(pid: Pid, number: &str) -> Option<u64> {
    let target = fs::read_link(Path::new("/proc").join(pid.to_string()).join("fd").join(number)).ok()?;
    target.to_str()?.strip_prefix("pipe:[")?.strip_suffix(']')?.parse().ok()
}

/// /proc/PID/syscall: the number and the six arguments of the system call that the main thread is in.
fn waiting(pid: Pid, buffer: &mut Buffer) -> Waiting {
    const P_ALL: u64 = 0;
    const P_PID: u64 = 1;
    let Some(text) = buffer.read(pid, "syscall").and_then(|bytes| std::str::from_utf8(bytes).ok()) else {
        return Waiting::Unreadable;
    };
    let mut words = text.split_ascii_whitespace();
    if text.trim_end() == "running" {
        return Waiting::Running;
    }
    // -1: it is blocked outside any call.
    let Some(call) = words.next().and_then(|word| word.parse::<libc::c_long>().ok()) else { return Waiting::Other };
    let mut argument = || words.next().and_then(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
    let (first, second) = (argument().unwrap_or(0), argument().unwrap_or(0));
    // The low half is the int that was passed.
    let child = |value: u64| i32::try_from(value & 0xffff_ffff).ok().filter(|pid| *pid > 0).map(Pid);
    match call {
        libc::SYS_wait4 => Waiting::Child(child(first)),
        libc::SYS_waitid if first == P_PID => Waiting::Child(child(second)),
        libc::SYS_waitid if first == P_ALL => Waiting::Child(None),
        libc::SYS_read => Waiting::Pipes(pipe(pid, &first.to_string()).into_iter().collect()),
        libc::SYS_rt_sigtimedwait => Waiting::Signals,
        call if is_poll(call) => Waiting::Pipes(all_pipes(pid)),
        _ => Waiting::Other,
    }
}

fn is_poll(call: libc::c_long) -> bool {
    #[cfg(target_arch = "x86_64")]
    if matches!(call, libc::SYS_poll | libc::SYS_select) {
        return true;
    }
    matches!(call, libc::SYS_ppoll | libc::SYS_pselect6)
}

/// Which of its descriptors a process polls is in its memory, which is not ours to read: so all its pipes count.
fn all_pipes(pid: Pid) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    entries.flatten().filter_map(|entry| pipe(pid, entry.file_name().to_str()?)).collect()
}

/// A user and a group id.
type Ids = (u32, u32);

/// The file system ids of a process.
fn owner_of(pid: Pid, buffer: &mut Buffer) -> Option<Ids> {
    ids_of(buffer.read(pid, "status")?)
}

fn ids_of(status: &[u8]) -> Option<Ids> {
    // Real, effective, saved, file system.
    let id = |name: &str| line_of(status, name)?.split_ascii_whitespace().nth(3)?.parse().ok();
    Some((id("Uid:")?, id("Gid:")?))
}

/// The ids that our file accesses are judged by. Without CAP_SYS_PTRACE, Docker's default, even root may look at another user's
/// exe, fd and syscall only under that user's ids (ptrace(2), "Ptrace access mode checking").
struct FileSystemIds {
    own: Ids,
    now: Ids,
}

impl FileSystemIds {
    fn new() -> Self {
        let own = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        Self { own, now: own }
    }

    fn become_owner(&mut self, owner: Option<Ids>) {
        self.change(owner.unwrap_or(self.own));
    }

    fn come_back(&mut self) {
        self.change(self.own);
    }

    fn change(&mut self, to: Ids) {
        if to == self.now {
            return;
        }
        // SAFETY: these only change the ids that file accesses of this thread are judged by; without the right to change them
        // they stay as they were. The group first: for another user's ids it may not be changed any more.
        unsafe {
            libc::setfsgid(to.1);
            libc::setfsuid(to.0);
        }
        self.now = to;
    }
}
