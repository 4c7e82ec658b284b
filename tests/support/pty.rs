//! Real terminals for the tests: a pseudo-terminal, what is started on it, and the keys of the person in front of it.

#![allow(dead_code, reason = "each crate uses a part of it")]

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::support::init_under_test;
use crate::tty_app::{self, signal_number};

pub(crate) const CTRL_C: &str = "\x03";
pub(crate) const CTRL_BACKSLASH: &str = "\x1c";
pub(crate) const CTRL_Z: &str = "\x1a";
/// What the shell of `Terminal::shell` shows when it waits for a line.
pub(crate) const PROMPT: &str = "prompt> ";

/// A test that takes longer hangs: it fails, and everything it started is killed.
const WATCHDOG: Duration = Duration::from_secs(30);
/// Every process started here has this variable, by which it is found again and killed.
const MARK: &str = "GRACEINITS_TERMINAL_TEST";

/// A terminal, with the transcript of everything that appeared on it. Echo is off, so that only programs write there.
pub(crate) struct Terminal {
    master: Option<OwnedFd>,
    slave: PathBuf,
    transcript: String,
    /// How much of the transcript the test has already waited for.
    seen: usize,
    environment: Vec<(OsString, OsString)>,
    leader: Option<Child>,
    mark: String,
    started: Instant,
}

/// What `app` said about itself when it was ready.
#[derive(Clone, Copy)]
pub(crate) struct App {
    pub(crate) pid: i32,
    pub(crate) group: i32,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::SeqCst));
        let (master, slave) = open_pair();
        let mut path = OsString::from(program_directory());
        path.push(":/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        let environment = vec![
            ("PATH".into(), path),
            ("PS1".into(), PROMPT.into()),
            // Without it bash takes the user's history file and key bindings.
            ("HOME".into(), "/nonexistent".into()),
            ("INPUTRC".into(), "/dev/null".into()),
            ("TERM".into(), "vt100".into()),
            ("LC_ALL".into(), "C".into()),
            (MARK.into(), mark.clone().into()),
        ];
        Self {
            master: Some(master),
            slave,
            transcript: String::new(),
            seen: 0,
            environment,
            leader: None,
            mark,
            started: Instant::now(),
        }
    }

    pub(crate) fn with(mut self, variable: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((variable.into(), value.into()));
        self
    }

    /// An interactive bash in this terminal, at its first prompt.
    pub(crate) fn shell() -> Self {
        Self::new().start_shell()
    }

    pub(crate) fn start_shell(mut self) -> Self {
        self.start("bash --norc --noprofile --noediting -i", Controlling::Yes);
        self.wait_for(PROMPT);
        self
    }

    /// The command is the leader of the terminal's session, as the first program of an ssh login or of `script` is.
    pub(crate) fn lead(command: &str) -> Self {
        Self::new().start_leader(command)
    }

    pub(crate) fn start_leader(mut self, command: &str) -> Self {
        self.start(command, Controlling::Yes);
        self
    }

    /// The command is PID 1 of its own PID namespace and the leader of the terminal's session, as in `docker run -it`.
    pub(crate) fn pid_1(command: &str) -> Self {
        Self::new().start_pid_1(command)
    }

    pub(crate) fn start_pid_1(mut self, command: &str) -> Self {
        self.start(&format!("{} setsid --ctty {command}", unshare()), Controlling::No);
        self
    }

    /// The same with words that may contain blanks.
    pub(crate) fn start_words(mut self, words: &[&str]) -> Self {
        self.start_command(words, Controlling::Yes);
        self
    }

    fn start(&mut self, command: &str, controlling: Controlling) {
        self.start_command(&command.split_whitespace().collect::<Vec<_>>(), controlling);
    }

    fn start_command(&mut self, words: &[&str], controlling: Controlling) {
        let terminal = File::from(open_terminal(&self.slave));
        let mut builder = Command::new(words[0]);
        builder.args(&words[1..]).env_clear().envs(self.environment.iter().cloned());
        builder.stdin(terminal.try_clone().unwrap()).stdout(terminal.try_clone().unwrap()).stderr(terminal);
        builder.current_dir("/");
        // SAFETY: only system calls between fork and exec.
        unsafe {
            builder.pre_exec(move || {
                // Whoever runs the tests may ignore signals: nohup does, and every background job of a script.
                for number in 1..=31 {
                    libc::signal(number, libc::SIG_DFL);
                }
                libc::setsid();
                if controlling == Controlling::Yes && libc::ioctl(0, libc::TIOCSCTTY, 0) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        self.leader = Some(builder.spawn().unwrap_or_else(|error| panic!("{words:?}: {error}")));
    }

    /// The pid of what was started, as seen from here.
    pub(crate) fn leader(&self) -> i32 {
        i32::try_from(self.leader.as_ref().unwrap().id()).unwrap()
    }

    pub(crate) fn press(&mut self, keys: &str) {
        let mut master = file_of(self.master.as_ref().unwrap());
        master.write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn type_line(&mut self, line: &str) {
        self.press(&format!("{line}\n"));
    }

    /// Types a command for the shell and waits until the `app` in it is ready.
    pub(crate) fn run(&mut self, line: &str) -> App {
        self.type_line(line);
        self.wait_for_app()
    }

    pub(crate) fn wait_for_app(&mut self) -> App {
        loop {
            let line = self.wait_for_line("ready pid=");
            // Its children say who they are first, with a label. (A prompt may be there as well.)
            if !line.contains(": ready") {
                return App::parse(&line);
            }
        }
    }

    /// Waits until the text appears behind what was waited for before, and returns what came before the text.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        loop {
            if let Some(position) = self.transcript[self.seen..].find(text) {
                let before = self.transcript[self.seen..self.seen + position].to_owned();
                self.seen += position + text.len();
                return before;
            }
            assert!(self.read_more(None), "{text:?} did not appear before the end\n{}", self.describe());
        }
    }

    /// Presses the keys again and again until the text appears: a key that comes between two steps of the shell gets lost.
    pub(crate) fn press_until(&mut self, keys: &str, text: &str) {
        while !self.transcript[self.seen..].contains(text) {
            assert!(self.is_in_time(), "{text:?} did not appear\n{}", self.describe());
            self.press(keys);
            let patience = Instant::now() + Duration::from_millis(200);
            while !self.transcript[self.seen..].contains(text) {
                let left = patience.saturating_duration_since(Instant::now());
                if !self.master.as_ref().is_some_and(|master| wait_readable(master, left)) || !self.read_more(None) {
                    break;
                }
            }
        }
        self.wait_for(text);
    }

    /// Waits for the text and the end of its line, and returns that line.
    pub(crate) fn wait_for_line(&mut self, text: &str) -> String {
        let before = self.wait_for(text);
        let after = self.wait_for("\n");
        let start = before.rfind('\n').map_or(0, |position| position + 1);
        format!("{}{text}{}", &before[start..], after.trim_end())
    }

    /// Waits for the next prompt of the shell; returns what was written until then.
    pub(crate) fn wait_for_prompt(&mut self) -> String {
        self.wait_for(PROMPT)
    }

    /// Runs a quick command at the prompt and returns its output.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.type_line(line);
        self.wait_for_prompt().trim_end().replace('\r', "")
    }

    /// After a line for the background, whose job's output comes before or after the prompt.
    pub(crate) fn wait_until_the_shell_answers(&mut self) {
        self.type_line("echo the shell answers");
        self.wait_for("the shell answers");
        self.wait_for_prompt();
    }

    /// The shell's `$?` of the last command.
    pub(crate) fn status(&mut self) -> String {
        self.ask("echo status=$?").rsplit("status=").next().unwrap().to_owned()
    }

    /// How often each signal was caught by the command, when everything that was sent before has surely arrived: PWR takes the same
    /// way through the init, behind the others, for of several pending signals those with small numbers are taken first.
    pub(crate) fn counts(&mut self, receiver: i32) -> BTreeMap<String, u32> {
        send(receiver, "PWR");
        loop {
            let line = self.wait_for_line("so far: ");
            // Its children report as well, with a label.
            if !line.contains(": so far") {
                return parse_counts(&line);
            }
        }
    }

    /// Everything that has appeared so far.
    pub(crate) fn transcript(&self) -> &str {
        &self.transcript
    }

    /// The group that has the terminal; none when it is hung up.
    pub(crate) fn foreground_group(&self) -> Option<i32> {
        let mut group: libc::pid_t = -1;
        // SAFETY: the kernel writes one pid_t.
        let result = unsafe { libc::ioctl(self.master.as_ref()?.as_raw_fd(), libc::TIOCGPGRP, &mut group) };
        (result == 0).then_some(group)
    }

    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        set_size(self.master.as_ref().unwrap(), rows, columns);
    }

    /// Pulls the plug: what a closed window or a lost connection does.
    pub(crate) fn hang_up(&mut self) {
        self.master = None;
    }

    /// Waits until the leader has ended; its status in the shell's convention.
    pub(crate) fn wait_for_end(&mut self) -> i32 {
        let watch = open_pidfd(self.leader()).unwrap();
        while !is_readable(&watch) {
            if !self.read_more(Some(&watch)) {
                wait_readable(&watch, self.time_left());
                break;
            }
        }
        // What it wrote last is still in the terminal.
        while self.master.as_ref().is_some_and(is_readable) && self.read_more(None) {}
        shell_status(self.leader.as_mut().unwrap().wait().unwrap())
    }

    /// Waits until that process has ended, however that came.
    pub(crate) fn wait_until_gone(&self, pid: i32) {
        if let Some(watch) = open_pidfd(pid) {
            assert!(wait_readable(&watch, self.time_left()), "process {pid} is still there\n{}", self.describe());
        }
    }

    /// Waits until that process is stopped, as by Ctrl+Z. No event tells that to anyone but its parent.
    pub(crate) fn wait_until_stopped(&self, pid: i32) {
        self.wait_until(&format!("process {pid} is stopped"), || is_stopped(pid));
    }

    /// Waits until that process has a handler: a shell installs one for INT only while it waits for a command.
    pub(crate) fn wait_until_it_catches(&self, pid: i32, signal: &str) {
        let bit = 1_u64 << (signal_number(signal) - 1);
        self.wait_until(&format!("process {pid} catches {signal}"), || caught(pid) & bit != 0);
    }

    pub(crate) fn wait_until(&self, what: &str, condition: impl Fn() -> bool) {
        while !condition() {
            assert!(!self.time_left().is_zero(), "not so: {what}\n{}", self.describe());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// For loops that ask the shell again: false when the watchdog barks.
    pub(crate) fn is_in_time(&self) -> bool {
        !self.time_left().is_zero()
    }

    fn time_left(&self) -> Duration {
        WATCHDOG.saturating_sub(self.started.elapsed())
    }

    /// Reads what there is, waiting for it. False: nothing will come any more. Returns as well when `other` becomes readable.
    fn read_more(&mut self, other: Option<&OwnedFd>) -> bool {
        let Some(master) = &self.master else { return false };
        if !wait_any_readable(&[Some(master), other], self.time_left()) {
            panic!("the watchdog barks\n{}", self.describe());
        }
        if !is_readable(master) {
            return true;
        }
        let mut buffer = [0_u8; 4096];
        match file_of(master).read(&mut buffer) {
            Ok(0) | Err(_) => false,
            Ok(size) => {
                self.transcript.push_str(&String::from_utf8_lossy(&buffer[..size]));
                true
            }
        }
    }

    /// For failures: the transcript and the processes.
    pub(crate) fn describe(&self) -> String {
        let (seen, rest) = self.transcript.split_at(self.seen);
        let front = self.foreground_group();
        let mut text = format!(
            "--- waited for so far:\n{seen}\n--- after that:\n{rest}\n--- processes (foreground group {front:?}):\n"
        );
        for pid in self.processes() {
            let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let fields: Vec<&str> = status.rsplit(") ").next().unwrap_or("").split(' ').collect();
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            if let [state, parent, group, session, ..] = fields.as_slice() {
                let _ = writeln!(text, "{pid} state={state} parent={parent} group={group} session={session} {command}");
            }
        }
        text
    }

    /// Everything that was started here and is not yet gone.
    fn processes(&self) -> Vec<i32> {
        let mark = format!("{MARK}={}", self.mark);
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            let Ok(environment) = std::fs::read(entry.path().join("environ")) else { continue };
            if environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()) {
                found.push(pid);
            }
        }
        found
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Killing may race with forking: until nothing is found any more.
        for _ in 0..100 {
            let processes = self.processes();
            if processes.is_empty() {
                break;
            }
            for pid in processes {
                // SAFETY: no pointers are passed.
                unsafe { libc::kill(pid, libc::SIGKILL) };
                if let Some(watch) = open_pidfd(pid).filter(|_| pid != self.leader()) {
                    wait_readable(&watch, Duration::from_secs(5));
                }
            }
            if let Some(leader) = &mut self.leader {
                let _ = leader.kill();
                let _ = leader.wait();
            }
        }
        if let Some(leader) = &mut self.leader {
            let _ = leader.wait();
        }
    }
}

impl App {
    pub(crate) fn parse(line: &str) -> Self {
        let field = |key: &str| {
            let value = line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
            value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {key} in {line:?}"))
        };
        Self { pid: field("pid"), group: field("group") }
    }

    /// The init above this command; the command itself, if there is none.
    pub(crate) fn init(&self) -> i32 {
        let program = init_under_test().canonicalize().unwrap();
        let mut pid = self.pid;
        while pid > 1 {
            if std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program) {
                return pid;
            }
            pid = parent(pid);
        }
        self.pid
    }
}

/// A named pipe for `app log=PATH`: what it says stays readable when the terminal is gone.
pub(crate) struct Log {
    path: PathBuf,
    pipe: File,
    text: String,
    started: Instant,
}

impl Log {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("log-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::SeqCst));
        let path = program_directory().join(name);
        let name = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: the name is a valid C string.
        assert_eq!(0, unsafe { libc::mkfifo(name.as_ptr(), 0o666) }, "{}", std::io::Error::last_os_error());
        // For writing as well: so it never looks closed.
        let pipe = OpenOptions::new().read(true).write(true).custom_flags(libc::O_CLOEXEC).open(&path).unwrap();
        Self { path, pipe, text: String::new(), started: Instant::now() }
    }

    pub(crate) fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    pub(crate) fn wait_for_line(&mut self, text: &str) -> String {
        loop {
            if let Some(position) = self.text.find('\n') {
                let line = self.text[..position].to_owned();
                self.text.drain(..=position);
                if line.contains(text) {
                    return line;
                }
                continue;
            }
            let time_left = WATCHDOG.saturating_sub(self.started.elapsed());
            assert!(wait_readable(&self.pipe, time_left), "{text:?} did not appear in the log; rest: {:?}", self.text);
            let mut buffer = [0_u8; 4096];
            let size = self.pipe.read(&mut buffer).unwrap();
            self.text.push_str(&String::from_utf8_lossy(&buffer[..size]));
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

pub(crate) fn send(pid: i32, signal: &str) {
    // SAFETY: no pointers are passed.
    let result = unsafe { libc::kill(pid, signal_number(signal)) };
    assert_eq!(0, result, "{signal} to {pid}: {}", std::io::Error::last_os_error());
}

/// The state letter of a process, as `ps` shows it.
pub(crate) fn state(pid: i32) -> Option<char> {
    state_in(format!("/proc/{pid}/stat").as_ref())
}

/// With all its threads: one that still runs may read another line.
fn is_stopped(pid: i32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().all(|thread| state_in(&thread.path().join("stat")) == Some('T'))
}

fn state_in(stat: &Path) -> Option<char> {
    let stat = std::fs::read_to_string(stat).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

/// The parent of a process.
pub(crate) fn parent(pid: i32) -> i32 {
    status_field(pid, "PPid:").and_then(|value| value.parse().ok()).unwrap_or(0)
}

fn caught(pid: i32) -> u64 {
    status_field(pid, "SigCgt:").and_then(|value| u64::from_str_radix(&value, 16).ok()).unwrap_or(0)
}

fn status_field(pid: i32, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
}

/// The children of a process, as seen from here.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

pub(crate) fn parse_counts(line: &str) -> BTreeMap<String, u32> {
    line.rsplit("so far: ")
        .next()
        .unwrap()
        .split_whitespace()
        .map(|word| word.split_once('=').unwrap())
        .map(|(name, count)| (name.to_owned(), count.parse().unwrap()))
        .collect()
}

/// A directory, to be first in PATH, with two programs: `graceinit`, which is the init under test, and `app`, which is this test
/// binary. It is removed when the tests end.
pub(crate) fn program_directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    extern "C" fn remove() {
        if let Some(directory) = DIRECTORY.get() {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
    DIRECTORY.get_or_init(|| {
        let directory = std::env::temp_dir().join(format!("graceinit-programs-{}", std::process::id()));
        // Left by one that was killed and had the same pid.
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        for (name, program) in [("graceinit", init_under_test()), (tty_app::NAME, std::env::current_exe().unwrap())] {
            let program = program.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
            std::os::unix::fs::symlink(program, directory.join(name)).unwrap();
        }
        // SAFETY: the function does not unwind into C.
        unsafe { libc::atexit(remove) };
        directory
    })
}

/// The beginning of a command line that makes the rest PID 1 of a new PID namespace.
pub(crate) fn unshare() -> &'static str {
    // SAFETY: geteuid can't fail.
    match unsafe { libc::geteuid() } {
        0 => "unshare --pid --fork --mount-proc --kill-child",
        _ => "unshare --user --map-root-user --pid --fork --mount-proc --kill-child",
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Controlling {
    Yes,
    No,
}

fn shell_status(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

fn open_pair() -> (OwnedFd, PathBuf) {
    // SAFETY: the descriptor returned is new and ours; ptsname_r gets a buffer and its true length.
    let (master, name) = unsafe {
        let master = libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC);
        assert!(master >= 0, "posix_openpt: {}", std::io::Error::last_os_error());
        let master = OwnedFd::from_raw_fd(master);
        assert_eq!(0, libc::grantpt(master.as_raw_fd()));
        assert_eq!(0, libc::unlockpt(master.as_raw_fd()));
        let mut name = [0_u8; 64];
        assert_eq!(0, libc::ptsname_r(master.as_raw_fd(), name.as_mut_ptr().cast(), name.len()));
        (master, name)
    };
    let length = name.iter().position(|byte| *byte == 0).unwrap();
    let slave = PathBuf::from(String::from_utf8(name[..length].to_vec()).unwrap());
    set_size(&master, 24, 80);
    let terminal = open_terminal(&slave);
    // SAFETY: termios is filled by tcgetattr before it is read.
    unsafe {
        let mut settings: libc::termios = std::mem::zeroed();
        assert_eq!(0, libc::tcgetattr(terminal.as_raw_fd(), &mut settings));
        settings.c_lflag &= !libc::ECHO;
        assert_eq!(0, libc::tcsetattr(terminal.as_raw_fd(), libc::TCSANOW, &settings));
    }
    (master, slave)
}

fn open_terminal(path: &Path) -> OwnedFd {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open(path).unwrap().into()
}

fn set_size(terminal: &OwnedFd, rows: u16, columns: u16) {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel reads one winsize.
    assert_eq!(0, unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &size) });
}

fn file_of(descriptor: &OwnedFd) -> File {
    File::from(descriptor.try_clone().unwrap())
}

/// A descriptor that becomes readable when the process ends; none if it is already gone.
fn open_pidfd(pid: i32) -> Option<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and returns a new descriptor.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    // SAFETY: the descriptor is new and ours.
    (descriptor >= 0).then(|| unsafe { OwnedFd::from_raw_fd(RawFd::try_from(descriptor).unwrap()) })
}

fn is_readable(descriptor: &OwnedFd) -> bool {
    wait_readable(descriptor, Duration::ZERO)
}

fn wait_readable(descriptor: &impl AsRawFd, limit: Duration) -> bool {
    poll(&[descriptor.as_raw_fd()], limit)
}

fn wait_any_readable(descriptors: &[Option<&OwnedFd>], limit: Duration) -> bool {
    let descriptors: Vec<RawFd> = descriptors.iter().flatten().map(|descriptor| descriptor.as_raw_fd()).collect();
    poll(&descriptors, limit)
}

fn poll(descriptors: &[RawFd], limit: Duration) -> bool {
    let mut entries: Vec<libc::pollfd> = descriptors
        .iter()
        .map(|descriptor| libc::pollfd { fd: *descriptor, events: libc::POLLIN, revents: 0 })
        .collect();
    let limit = i32::try_from(limit.as_millis()).unwrap();
    // SAFETY: the array and its length belong together.
    unsafe { libc::poll(entries.as_mut_ptr(), libc::nfds_t::try_from(entries.len()).unwrap(), limit) > 0 }
}
