//! Reading /proc: the snapshot, and the details of some of its processes.
//!
//! One pass over the directory and one small read per process. What a process is and waits for is read only for our own, and
//! there only where the core wants to know it. A process may vanish at any point: it is then simply not there.

mod details;
mod stat;

use std::fs::{self, File};
use std::io::Read as _;

use crate::process::{Identity, Pid, Process, Snapshot};

/// Takes a snapshot of our descendants and of a process group. `None` where /proc is missing, or is another PID namespace's,
/// whose numbers would mean other processes.
#[must_use]
pub fn snapshot(init: Pid, group: Pid) -> Option<Snapshot> {
    let mut all = Vec::new();
    let readable = for_each(init, |process| all.push(process))?;
    let mut snapshot = Snapshot::below(init, group, all);
    details::fill(&mut snapshot, readable);
    Some(snapshot)
}

/// Whether another process than `init` is in this process group; `None` where /proc does not tell.
#[must_use]
pub fn has_company(init: Pid, group: Pid) -> Option<bool> {
    let mut company = false;
    for_each(init, |process| company |= process.group == group && process.pid() != init)?;
    Some(company)
}

/// Whether this very process is still there. Asked between pidfd_open(2) and the signal, so that a pid that was used again is
/// not hit. Without /proc nobody knows: then nothing was found by its pid either.
#[must_use]
pub fn is_there(identity: Identity) -> bool {
    let mut buffer = Buffer::new();
    buffer.read(identity.pid, "stat").and_then(stat::parse).is_some_and(|process| process.identity == identity)
}

/// How many living children a process's main thread has; `None` where the kernel does not list them.
#[must_use]
pub fn living_children(pid: Pid) -> Option<usize> {
    let mut buffer = Buffer::new();
    let list = String::from_utf8(buffer.read(pid, &format!("task/{pid}/children"))?.to_vec()).ok()?;
    let lives = |pid: &Pid| buffer.read(*pid, "stat").and_then(stat::parse).is_some();
    Some(list.split_ascii_whitespace().filter_map(|text| text.parse().ok()).map(Pid).filter(lives).count())
}

/// Whether one of our ancestors is a program of our name: a graceinit that was started by a graceinit.
#[must_use]
pub fn is_nested() -> bool {
    let mut buffer = Buffer::new();
    let mut look = |pid: Pid| buffer.read(pid, "stat").and_then(stat::parse);
    let Some(ourselves) = look(super::tty::own_pid()) else { return false };
    let mut parent = ourselves.parent;
    // pid 0 is outside of this PID namespace.
    while parent > Pid(0) {
        let Some(process) = look(parent) else { return false };
        if process.name == ourselves.name {
            return true;
        }
        parent = process.parent;
    }
    false
}

/// Hands over every living process. Returns whether the kernel tells what processes do with signals: gVisor does not.
fn for_each(init: Pid, mut take: impl FnMut(Process)) -> Option<bool> {
    let itself = fs::read_link("/proc/self").ok()?;
    if itself.to_str()?.parse() != Ok(init.0) {
        return None;
    }
    let mut buffer = Buffer::new();
    let readable = contains(buffer.read(init, "status")?, b"\nSigCgt:");
    for entry in fs::read_dir("/proc").ok()? {
        let Some(pid) = entry.ok().and_then(|entry| entry.file_name().to_str()?.parse().ok()).map(Pid) else {
            continue;
        };
        let Some(mut process) = buffer.read(pid, "stat").and_then(stat::parse) else { continue };
        if !readable {
            process.dispositions = None;
        }
        take(process);
    }
    Some(readable)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// One buffer for all reads of a pass.
struct Buffer {
    bytes: [u8; 4096],
    path: String,
}

impl Buffer {
    fn new() -> Self {
        Self { bytes: [0; 4096], path: String::with_capacity(64) }
    }

    /// Reads the beginning of /proc/PID/`name`.
    fn read(&mut self, pid: Pid, name: &str) -> Option<&[u8]> {
        use std::fmt::Write as _;
        self.path.clear();
        write!(self.path, "/proc/{pid}/{name}").ok()?;
        let mut file = File::open(&self.path).ok()?;
        let mut length = 0;
        // Most of these files come in one piece, and the second read tells that it was the last.
        while let Some(room) = self.bytes.get_mut(length..).filter(|room| !room.is_empty()) {
            match file.read(room) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(_) => return None,
            }
        }
        self.bytes.get(..length)
    }
}
