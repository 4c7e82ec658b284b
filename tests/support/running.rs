//! A started init: what it says, what it is sent, how it ends.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::mem;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::{Mode, fail, processes};

#[derive(Default)]
struct Heard {
    lines: [Vec<String>; 2],
    ended: [bool; 2],
    exit: Option<ExitStatus>,
}

#[derive(Default)]
struct Shared {
    heard: Mutex<Heard>,
    news: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn note(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.lock());
        self.news.notify_all();
    }

    /// Waits for an answer; none when the deadline passed.
    fn wait<T>(&self, deadline: Instant, mut ask: impl FnMut(&Heard) -> Option<T>) -> Option<T> {
        let mut heard = self.lock();
        loop {
            if let Some(answer) = ask(&heard) {
                return Some(answer);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            heard = self.news.wait_timeout(heard, left).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }
}

/// A started init. Dropping it kills whatever is left of it.
pub struct Running {
    mode: Mode,
    mark: String,
    started: Instant,
    watchdog: Duration,
    leftovers_are_fine: bool,
    spawned: i32,
    init: Option<i32>,
    stdin: Option<ChildStdin>,
    shared: Arc<Shared>,
    _kept_open: Vec<OwnedFd>,
}

impl Running {
    pub(super) fn new(
        mut child: Child,
        started: Instant,
        mode: Mode,
        mark: String,
        watchdog: Duration,
        leftovers_are_fine: bool,
        kept_open: Vec<OwnedFd>,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let readers: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
            child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        ];
        for (index, reader) in readers.into_iter().enumerate() {
            match reader {
                Some(reader) => read_lines(reader, index, Arc::clone(&shared)),
                None => shared.note(|heard| heard.ended[index] = true),
            }
        }
        let spawned = child.id().cast_signed();
        let stdin = child.stdin.take();
        let waiting = Arc::clone(&shared);
        thread::spawn(move || {
            if let Ok(status) = child.wait() {
                waiting.note(|heard| heard.exit = Some(status));
            }
        });
        Self {
            mode,
            mark,
            started,
            watchdog,
            leftovers_are_fine,
            spawned,
            init: None,
            stdin,
            shared,
            _kept_open: kept_open,
        }
    }

    /// The init's pid, as the test sees it.
    pub fn pid(&self) -> i32 {
        self.init.unwrap_or_else(|| fail(format!("it had ended before its pid was seen\n{}", self.said())))
    }

    /// The mode it was started in.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// When it was started, for lower bounds.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The first line on standard output with this text, waited for.
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_for_line(0, text, 1)
    }

    /// The n-th such line.
    pub fn wait_for_nth(&self, text: &str, count: usize) -> String {
        self.wait_for_line(0, text, count)
    }

    /// The first line on standard error with this text, waited for.
    pub fn wait_for_stderr(&self, text: &str) -> String {
        self.wait_for_line(1, text, 1)
    }

    /// The n-th such line.
    pub fn wait_for_nth_stderr(&self, text: &str, count: usize) -> String {
        self.wait_for_line(1, text, count)
    }

    /// Waits for the end of standard output: everybody who had it is gone or has closed it.
    pub fn wait_for_stdout_end(&self) {
        if self.shared.wait(self.deadline(), |heard| heard.ended[0].then_some(())).is_none() {
            self.fail("watchdog: standard output did not end");
        }
    }

    /// What was said on standard output up to now.
    pub fn stdout(&self) -> Vec<String> {
        self.shared.lock().lines[0].clone()
    }

    /// What was said on standard error up to now.
    pub fn stderr(&self) -> Vec<String> {
        self.shared.lock().lines[1].clone()
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.shared.lock().exit.is_some()
    }

    /// Sends the init a signal.
    pub fn signal(&self, signal: i32) {
        if !processes::kill(self.pid(), signal) {
            self.fail(&format!("signal {signal} could not be sent: {}", io::Error::last_os_error()));
        }
    }

    /// Sends the init a signal that carries a value.
    pub fn signal_value(&self, signal: i32, value: i32) {
        if !processes::queue(self.pid(), signal, value) {
            self.fail(&format!("signal {signal} could not be queued: {}", io::Error::last_os_error()));
        }
    }

    /// Writes to standard input, which must be `Stream::Captured`.
    pub fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().unwrap_or_else(|| fail("standard input is not captured"));
        stdin.write_all(text.as_bytes()).unwrap_or_else(|error| fail(format!("standard input: {error}")));
    }

    /// Closes standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Its process and everything below it, in words.
    pub fn picture(&self) -> String {
        let mut pids = processes::marked(&self.mark);
        pids.sort_unstable();
        pids.into_iter().map(processes::describe).collect::<Vec<_>>().join("\n")
    }

    /// Waits for the end: of the init and of both outputs.
    pub fn finish(self) -> Finished {
        self.wait_for_exit();
        let left = if self.mode == Mode::Ordinary { processes::marked(&self.mark) } else { Vec::new() };
        let left: Vec<_> = left.into_iter().map(|pid| (pid, processes::describe(pid))).collect();
        for (pid, _) in &left {
            processes::kill(*pid, libc::SIGKILL);
        }
        let ended = self.shared.wait(self.deadline(), |heard| (heard.ended == [true, true]).then_some(()));
        let outlived: Vec<_> = left.into_iter().map(|(_, words)| words).collect();
        if !outlived.is_empty() && !self.leftovers_are_fine {
            fail(format!("these outlived the init:\n{}\n{}", outlived.join("\n"), self.said()));
        }
        if ended.is_none() {
            self.fail("watchdog: somebody still holds an output after the end");
        }
        let mut heard = self.shared.lock();
        let status = heard.exit.unwrap_or_default();
        let [stdout, stderr] = mem::take(&mut heard.lines);
        Finished { code: code_of(status), signal: status.signal(), stdout, stderr, outlived }
    }

    /// Waits for the end of the init alone, whoever still holds its outputs. Use it with `leftovers_are_fine`.
    pub fn wait_for_exit(&self) -> i32 {
        let code = self.shared.wait(self.deadline(), |heard| heard.exit.map(code_of));
        code.unwrap_or_else(|| self.fail("watchdog: it did not end"))
    }

    /// Fails the test and says what is known about this start.
    pub fn fail(&self, message: &str) -> ! {
        fail(format!("{message}\n{}\nprocesses:\n{}", self.said(), self.picture()))
    }

    fn deadline(&self) -> Instant {
        self.started + self.watchdog
    }

    fn wait_for_line(&self, stream: usize, text: &str, count: usize) -> String {
        let found = self.shared.wait(self.deadline(), |heard| {
            let mut lines = heard.lines[stream].iter().filter(|line| line.contains(text));
            match lines.nth(count - 1) {
                Some(line) => Some(Ok(line.clone())),
                None => heard.ended[stream].then_some(Err("it ended without saying")),
            }
        });
        let name = ["standard output", "standard error"][stream];
        match found {
            Some(Ok(line)) => line,
            Some(Err(why)) => self.fail(&format!("{why} {text:?} ({count} times) on {name}")),
            None => self.fail(&format!("watchdog: no {text:?} ({count} times) on {name}")),
        }
    }

    /// Waits until the init has been executed, or has ended already.
    pub(super) fn find_init(&mut self, program: &OsStr) {
        let deadline = self.deadline();
        let mut rounds = 0_u32;
        self.init = loop {
            let candidates = match self.mode {
                Mode::Ordinary => vec![self.spawned],
                Mode::Pid1 => match processes::next_child(self.spawned) {
                    Some(child) => vec![child],
                    None if rounds % 16 == 15 => processes::children(self.spawned),
                    None => Vec::new(),
                },
            };
            let is_init = |pid: &i32| is_running(*pid, program);
            if let Some(pid) = candidates.into_iter().find(is_init) {
                break Some(pid);
            }
            if self.has_ended() {
                break None;
            }
            if Instant::now() > deadline {
                self.fail("watchdog: the init was not executed");
            }
            rounds += 1;
            // Eager at first: the race tests want to be early.
            if rounds < 20 {
                thread::yield_now();
            } else {
                thread::sleep(Duration::from_millis(1));
            }
        };
    }

    fn said(&self) -> String {
        let heard = self.shared.lock();
        let mut text = format!("exit: {:?}", heard.exit);
        for (name, lines) in ["stdout", "stderr"].iter().zip(&heard.lines) {
            text.push_str(&format!("\n{name}: {} lines", lines.len()));
            for line in lines.iter().take(200) {
                text.push_str(&format!("\n  {line}"));
            }
        }
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let ended = self.has_ended();
        if !ended {
            // As PID 1 it takes its whole namespace with it.
            self.init.into_iter().chain([self.spawned]).for_each(|pid| {
                processes::kill(pid, libc::SIGKILL);
            });
            let _ = self.shared.wait(Instant::now() + Duration::from_secs(5), |heard| heard.exit);
        }
        if ended && self.mode == Mode::Pid1 {
            return;
        }
        for _ in 0..100 {
            let left = processes::marked(&self.mark);
            if left.is_empty() {
                return;
            }
            left.into_iter().for_each(|pid| {
                processes::kill(pid, libc::SIGKILL);
            });
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn read_lines(reader: Box<dyn Read + Send>, index: usize, shared: Arc<Shared>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let line = String::from_utf8_lossy(bytes.strip_suffix(b"\n").unwrap_or(&bytes)).into_owned();
            shared.note(|heard| heard.lines[index].push(line));
            bytes.clear();
        }
        shared.note(|heard| heard.ended[index] = true);
    });
}

/// Whether this process is the program by now: before that it is a copy of the test, `unshare` or a wrapper.
fn is_running(pid: i32, program: &OsStr) -> bool {
    let words = processes::command_line(pid);
    let is_script = words.get(1).is_some_and(|word| word == program) && words[0].as_bytes().starts_with(b"/");
    words.first().is_some_and(|word| word == program) || is_script
}

fn code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// How it ended and all that was said.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The exit code; 128+n when the init itself died by signal n.
    pub code: i32,
    /// The signal that the init itself died by.
    pub signal: Option<i32>,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
    /// What was still alive after its end (as an ordinary process only), in words.
    pub outlived: Vec<String>,
}

impl Finished {
    /// Checks the exit code, and that the init left by itself.
    pub fn check_code(&self, code: i32) -> &Self {
        assert!(self.code == code && self.signal.is_none(), "exit code {code} expected: {self:#?}");
        self
    }

    /// Checks that a line on standard output has this text.
    pub fn check_stdout_has(&self, text: &str) -> &Self {
        assert!(self.stdout.iter().any(|line| line.contains(text)), "no {text:?} on stdout: {self:#?}");
        self
    }

    /// Checks that no line on standard output has this text.
    pub fn check_stdout_lacks(&self, text: &str) -> &Self {
        assert!(!self.stdout.iter().any(|line| line.contains(text)), "{text:?} on stdout: {self:#?}");
        self
    }

    /// Checks that one line on standard error has all these words, and returns it.
    pub fn check_stderr_has(&self, words: &[&str]) -> String {
        let line = self.stderr.iter().find(|line| words.iter().all(|word| line.contains(word)));
        line.cloned().unwrap_or_else(|| fail(format!("no line with {words:?} on stderr: {self:#?}")))
    }

    /// Checks that no line on standard error has this text.
    pub fn check_stderr_lacks(&self, text: &str) -> &Self {
        assert!(!self.stderr.iter().any(|line| line.contains(text)), "{text:?} on stderr: {self:#?}");
        self
    }

    /// Checks that the init said nothing.
    pub fn check_silent(&self) -> &Self {
        assert!(self.stderr.is_empty(), "nothing on stderr expected: {self:#?}");
        self
    }
}
