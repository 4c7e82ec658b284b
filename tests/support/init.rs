//! How the init under test is started.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::running::{Finished, Running};
use super::{Mode, Peer, fail, find_program, init_under_test, peer, processes, skip_now, watchdog};

/// What the environment of a start keeps of ours. The rest could name a platform, and so change the grace.
const KEPT_VARIABLES: [&str; 6] = ["PATH", "HOME", "USER", "LANG", "TMPDIR", "TERM"];

/// What one of the three standard streams is.
#[derive(Debug)]
pub enum Stream {
    /// A pipe to the test: its lines are kept; standard input can be written to.
    Captured,
    /// /dev/null.
    Null,
    /// Not open at all.
    Closed,
    /// A pipe that is full and that nobody reads.
    FullPipe,
    /// This file.
    Given(OwnedFd),
}

/// Builds a start: `Init::new(mode).options(["--grace", "2s"]).command(fixture("exit", ["3"])).start()`.
#[derive(Debug)]
pub struct Init {
    mode: Mode,
    program: Option<PathBuf>,
    options: Vec<OsString>,
    separator: bool,
    command: Vec<OsString>,
    wrapper: Vec<OsString>,
    variables: Vec<(OsString, Option<OsString>)>,
    folder: Option<PathBuf>,
    streams: [Stream; 3],
    descriptors: Vec<(OwnedFd, RawFd)>,
    ignored: Vec<i32>,
    blocked: Vec<i32>,
    leftovers_are_fine: bool,
    watchdog: Duration,
}

impl Init {
    /// The init under test in this mode.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            program: Some(init_under_test()),
            options: Vec::new(),
            separator: true,
            command: Vec::new(),
            wrapper: Vec::new(),
            variables: Vec::new(),
            folder: None,
            streams: [Stream::Null, Stream::Captured, Stream::Captured],
            descriptors: Vec::new(),
            ignored: Vec::new(),
            blocked: Vec::new(),
            leftovers_are_fine: false,
            watchdog: watchdog(),
        }
    }

    /// No init at all: the command alone, started in the same way, to compare with.
    pub fn none(mode: Mode) -> Self {
        let mut plain = Self::new(mode);
        plain.program = None;
        plain
    }

    pub fn options<I>(mut self, options: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        self.options.extend(options.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    pub fn command<I>(mut self, command: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        self.command.extend(command.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// No `--` between the options and the command.
    pub fn without_separator(mut self) -> Self {
        self.separator = false;
        self
    }

    /// Words before the init that end in executing it, such as `setpriv --reuid 1000`.
    pub fn wrapper<I>(mut self, words: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        self.wrapper.extend(words.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// Another binary instead of the one under test, such as a copy of it elsewhere.
    pub fn program(mut self, path: &Path) -> Self {
        self.program = Some(path.to_owned());
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.as_ref().to_owned(), None));
        self
    }

    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.folder = Some(folder.as_ref().to_owned());
        self
    }

    pub fn stdin(mut self, stream: Stream) -> Self {
        self.streams[0] = stream;
        self
    }

    pub fn stdout(mut self, stream: Stream) -> Self {
        self.streams[1] = stream;
        self
    }

    pub fn stderr(mut self, stream: Stream) -> Self {
        self.streams[2] = stream;
        self
    }

    /// One more inherited descriptor. Take a number of 200 or more: low ones are in use between fork and exec.
    pub fn descriptor(mut self, file: impl Into<OwnedFd>, number: RawFd) -> Self {
        self.descriptors.push((file.into(), number));
        self
    }

    /// Starts it with these signals ignored.
    pub fn ignoring(mut self, signals: impl IntoIterator<Item = i32>) -> Self {
        self.ignored.extend(signals);
        self
    }

    /// Starts it with these signals blocked.
    pub fn blocking(mut self, signals: impl IntoIterator<Item = i32>) -> Self {
        self.blocked.extend(signals);
        self
    }

    /// Does not fail when something outlives the init; it is killed all the same.
    pub fn leftovers_are_fine(mut self) -> Self {
        self.leftovers_are_fine = true;
        self
    }

    /// For tests that have a lot to do.
    pub fn watchdog(mut self, limit: Duration) -> Self {
        self.watchdog = limit;
        self
    }

    /// Starts it and waits until the init itself has been executed.
    pub fn start(self) -> Running {
        if self.mode == Mode::Pid1 {
            need_pid_namespaces();
        }
        let words = self.words();
        let awaited = self.program.clone().map_or_else(|| self.command[0].clone(), PathBuf::into_os_string);
        let mark = processes::unique();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().env(processes::MARK, &mark);
        command.envs(KEPT_VARIABLES.iter().filter_map(|name| Some((name, env::var_os(name)?))));
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let mut kept_open = Vec::new();
        let mut closed = Vec::new();
        for (number, stream) in (0..).zip(self.streams) {
            let stdio = match stream {
                Stream::Captured => Stdio::piped(),
                Stream::Null => Stdio::null(),
                Stream::Given(file) => file.into(),
                Stream::Closed => {
                    closed.push(number);
                    Stdio::null()
                }
                Stream::FullPipe => {
                    let (reader, writer) = full_pipe();
                    kept_open.push(reader);
                    writer.into()
                }
            };
            match number {
                0 => command.stdin(stdio),
                1 => command.stdout(stdio),
                _ => command.stderr(stdio),
            };
        }
        // A command that stops may make the init stop its whole group: the tests must not be in it.
        command.process_group(0);
        inherit(&mut command, closed, &self.descriptors, self.ignored, self.blocked);
        // Before the spawn, so that what is measured from here is never shorter than what happened.
        let started = Instant::now();
        let child = command.spawn().unwrap_or_else(|error| fail(format!("{}: {error}", words[0].to_string_lossy())));
        let mut running =
            Running::new(child, started, self.mode, mark, self.watchdog, self.leftovers_are_fine, kept_open);
        running.find_init(&awaited);
        running
    }

    /// Starts it and waits for its end.
    pub fn run(self) -> Finished {
        self.start().finish()
    }

    fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        if self.mode == Mode::Pid1 {
            words.extend(namespace_command());
        }
        words.extend(self.wrapper.iter().cloned());
        if let Some(program) = &self.program {
            words.push(program.clone().into_os_string());
            words.extend(translated(&self.options, self.mode));
            if self.separator {
                words.push("--".into());
            }
        }
        words.extend(self.command.iter().cloned());
        words
    }
}

fn namespace_command() -> Vec<OsString> {
    // With its whole path: a start may have another PATH.
    let program = find_program("unshare").unwrap_or_else(|| skip_now("unshare"));
    let mut words = vec![program.into_os_string()];
    if !processes::are_root() {
        words.extend(["--user", "--map-root-user"].map(OsString::from));
    }
    words.extend(["--pid", "--fork", "--mount-proc", "--kill-child", "--"].map(OsString::from));
    words
}

fn need_pid_namespaces() {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    let missing = MISSING.get_or_init(|| {
        let words = namespace_command();
        match Command::new(&words[0]).args(&words[1..]).arg("true").output() {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Some(error.to_string()),
        }
    });
    if let Some(missing) = missing {
        skip_now(&format!("PID namespaces ({missing})"));
    }
}

/// Peers know none of our options but the group-wide delivery; and tini has to be asked to be a subreaper.
fn translated(options: &[OsString], mode: Mode) -> Vec<OsString> {
    let group = options.iter().any(|option| option == "-g")
        || options.windows(2).any(|pair| pair[0] == "--to" && pair[1] == "group");
    match peer() {
        None => options.to_vec(),
        Some(Peer::DumbInit) => Vec::new(),
        Some(peer) => {
            let mut words: Vec<OsString> = Vec::new();
            words.extend(group.then(|| "-g".into()));
            words.extend((peer == Peer::Tini && mode == Mode::Ordinary).then(|| "-s".into()));
            words
        }
    }
}

fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = io::pipe().unwrap_or_else(|error| fail(format!("pipe: {error}")));
    let number = writer.as_raw_fd();
    // SAFETY: fcntl on a descriptor of ours with plain flags.
    unsafe { libc::fcntl(number, libc::F_SETFL, libc::O_NONBLOCK) };
    let mut file = File::from(OwnedFd::from(writer));
    while file.write(&[b'x'; 4096]).is_ok() {}
    while file.write(b"x").is_ok() {}
    // SAFETY: as above.
    unsafe { libc::fcntl(number, libc::F_SETFL, 0) };
    (reader.into(), file.into())
}

/// Gives the child exactly the dispositions, mask and descriptors that were asked for, whatever the test runner has.
fn inherit(
    command: &mut Command,
    closed: Vec<RawFd>,
    descriptors: &[(OwnedFd, RawFd)],
    ignored: Vec<i32>,
    blocked: Vec<i32>,
) {
    let pairs: Vec<_> = descriptors.iter().map(|(file, number)| (file.as_raw_fd(), *number)).collect();
    let mask = blocked.iter().fold(0_u64, |mask, signal| mask | 1 << (signal - 1));
    let prepare = move || {
        for signal in 1..=64 {
            processes::set_disposition(signal, if ignored.contains(&signal) { libc::SIG_IGN } else { libc::SIG_DFL });
        }
        // SAFETY: the kernel reads 8 bytes of a mask that lives on the stack. Raw, because libc leaves 32 and 33 out.
        unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, 0_usize, 8_usize) };
        // When the tests are killed, so is everything they started. The kernel means the thread that starts it.
        // SAFETY: plain numbers.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        for (file, number) in &pairs {
            // SAFETY: both are plain descriptor numbers.
            if unsafe { libc::dup2(*file, *number) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        for number in &closed {
            // SAFETY: closing a standard stream of the child, which has been put there for this.
            unsafe { libc::close(*number) };
        }
        Ok(())
    };
    // SAFETY: it only makes async-signal-safe calls and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}
