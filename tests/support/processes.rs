//! What tests ask the kernel: signals, process states, executables.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::fail;

/// Everything that a test starts carries this variable, so that it can be found and killed wherever it hides.
pub const MARK: &str = "TEST_RUN_MARK";

/// A word that nobody else uses.
pub fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// kill(2); whether it was sent.
pub fn kill(pid: i32, signal: i32) -> bool {
    // SAFETY: plain numbers; no memory is involved.
    unsafe { libc::kill(pid, signal) == 0 }
}

/// sigqueue(3) with a value; whether it was sent.
pub fn queue(pid: i32, signal: i32, value: i32) -> bool {
    let value = libc::sigval { sival_ptr: value as usize as *mut libc::c_void };
    // SAFETY: the value is a number that only looks like a pointer; nobody follows it.
    unsafe { libc::sigqueue(pid, signal, value) == 0 }
}

/// Sets a signal to SIG_DFL or SIG_IGN. Raw, because the libcs refuse 32 and 33, which somebody above us may ignore.
/// It is async-signal-safe.
pub fn set_disposition(signal: i32, disposition: libc::sighandler_t) {
    // The kernel's struct sigaction: handler, flags, restorer, mask.
    let action = [disposition, 0, 0, 0];
    let none = ptr::null_mut::<libc::c_void>();
    // SAFETY: the kernel reads 32 bytes that live on the stack; without a handler it needs no restorer.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), none, 8_usize) };
}

/// Whether the tests run as root.
pub fn are_root() -> bool {
    // SAFETY: it can't fail and touches no memory.
    unsafe { libc::geteuid() == 0 }
}

/// All process ids that /proc shows.
pub fn all() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The state letter of a process (`S`, `T`, `Z` ...); none when it is gone.
pub fn state(pid: i32) -> Option<char> {
    stat_fields(pid)?.first()?.chars().next()
}

/// Its parent; none when it is gone.
pub fn parent(pid: i32) -> Option<i32> {
    stat_fields(pid)?.get(1)?.parse().ok()
}

/// Its process group; none when it is gone.
pub fn group(pid: i32) -> Option<i32> {
    stat_fields(pid)?.get(2)?.parse().ok()
}

/// Its user and system time in clock ticks.
pub fn cpu_ticks(pid: i32) -> Option<u64> {
    let fields = stat_fields(pid)?;
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// The fields of /proc/PID/stat after the name, which may contain anything: the state is number 0.
fn stat_fields(pid: i32) -> Option<Vec<String>> {
    let bytes = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// One line of /proc/PID/status, such as `SigCgt`.
pub fn status_field(pid: i32, name: &str) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/status")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned()))
}

/// The command line, word by word; empty when it is gone or a zombie.
pub fn command_line(pid: i32) -> Vec<OsString> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words: Vec<_> = bytes.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect();
    words.pop();
    words
}

/// The processes whose parent this is.
pub fn children(pid: i32) -> Vec<i32> {
    all().into_iter().filter(|candidate| parent(*candidate) == Some(pid)).collect()
}

/// A child that was started just after its parent, looked for where pids go on: quicker than reading all of /proc.
pub fn next_child(pid: i32) -> Option<i32> {
    (pid + 1..pid + 64).find(|candidate| parent(*candidate) == Some(pid))
}

/// Children, their children and so on.
pub fn descendants(pid: i32) -> Vec<i32> {
    let parents: Vec<_> = all().into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(known) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, parent)| *parent == known).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

/// The living processes that carry this mark in their environment.
pub fn marked(mark: &str) -> Vec<i32> {
    let wanted = format!("{MARK}={mark}").into_bytes();
    let carries = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == wanted)
    };
    all().into_iter().filter(carries).collect()
}

/// A process in words, for messages.
pub fn describe(pid: i32) -> String {
    let words: Vec<_> = command_line(pid).iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let field = |name| status_field(pid, name).unwrap_or_default();
    format!(
        "{pid} (parent {}, group {}, state {}, SigCgt {}, SigIgn {}, SigBlk {}): {}",
        parent(pid).unwrap_or_default(),
        group(pid).unwrap_or_default(),
        state(pid).unwrap_or('?'),
        field("SigCgt"),
        field("SigIgn"),
        field("SigBlk"),
        words.join(" ")
    )
}

pub fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

/// Writes a file that can be started. A child writes it: a descriptor open for writing here would be copied into whatever
/// another test forks at this moment, and starting the file would fail with ETXTBSY.
pub fn write_executable(path: &Path, content: &[u8]) {
    let mut child = Command::new("/bin/sh")
        .args(["-c", "cat >\"$1\" && chmod 755 \"$1\"", "sh"])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| fail(format!("/bin/sh: {error}")));
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(content).unwrap_or_else(|error| fail(format!("{}: {error}", path.display())));
    }
    if !child.wait().is_ok_and(|status| status.success()) {
        fail(format!("{} could not be written", path.display()));
    }
}
