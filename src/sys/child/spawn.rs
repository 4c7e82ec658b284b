//! From fork(2) to execve(2): the command starts exactly as if graceinit were not there.

use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use crate::exit;
use crate::process::Pid;
use crate::report::printable;
use crate::sys::signals::{self, Inherited};
use crate::sys::{fds, tty};

/// Where the C library looks without PATH.
const DEFAULT_PATH: &[u8] = b"/usr/local/bin:/bin:/usr/bin";

/// What to start, and how.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// The command and its arguments.
    pub command: &'a [CString],
    /// The directory to start in, if it is not ours.
    pub directory: Option<&'a CStr>,
    /// The mask and dispositions to hand on.
    pub inherited: Inherited,
    /// Whether it gets a process group of its own.
    pub own_group: bool,
    /// The terminal that goes with it.
    pub terminal: Option<RawFd>,
    /// Whether it starts with SIGTERM ignored.
    pub shield: bool,
}

/// Why the command could not be started. Nothing runs then.
#[derive(Debug)]
pub enum SpawnError {
    /// The system has no room for a process.
    System(io::Error),
    /// execve(2) failed: 126 or 127.
    Exec {
        /// The command, as it was given.
        command: String,
        /// The reason.
        error: io::Error,
        /// Whether a file of that name was found.
        found: bool,
    },
}

impl SpawnError {
    /// The exit code that tells it.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::System(_) => exit::OURS,
            Self::Exec { found: true, .. } => exit::NOT_EXECUTABLE,
            Self::Exec { found: false, .. } => exit::NOT_FOUND,
        }
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => write!(f, "cannot start a process: {error}"),
            Self::Exec { command, error, found: true } if error.raw_os_error() == Some(libc::ENOENT) => {
                write!(f, "cannot run {command}: it is there, but its interpreter or dynamic loader is not")
            }
            Self::Exec { command, error, found: true } if error.raw_os_error() == Some(libc::ENOEXEC) => {
                write!(
                    f,
                    "cannot run {command}: not a program of this system, and there is no /bin/sh to run it as a script"
                )
            }
            Self::Exec { command, found: false, .. } => write!(f, "cannot run {command}: command not found"),
            Self::Exec { command, error, .. } => write!(f, "cannot run {command}: {error}"),
        }
    }
}

/// Starts the command. When this returns, the command has been exec'd: no signal can reach it, or its group, too early.
///
/// # Errors
/// When nothing was started, and why.
pub fn spawn(launch: &Launch<'_>) -> Result<Pid, SpawnError> {
    let prepared = Prepared::new(launch)?;
    let system = |error: Errno| SpawnError::System(error.into());
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).map_err(system)?;
    let reader = fds::above_stdio(reader).map_err(SpawnError::System)?;
    let writer = fds::above_stdio(writer).map_err(SpawnError::System)?;
    let parent = tty::own_pid();
    // SAFETY: graceinit has one thread, so the child may do whatever it likes; `run` calls nothing but system calls anyway.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(SpawnError::System(io::Error::last_os_error())),
        0 => prepared.run(parent, &writer),
        pid => {
            drop(writer);
            if launch.own_group {
                // The child does the same: whoever comes first, the group is there before anybody can signal it.
                // SAFETY: setpgid takes two integers. It fails with EACCES after the exec, when the child has done it.
                unsafe { libc::setpgid(pid, pid) };
            }
            outcome(reader).map_or(Ok(Pid(pid)), |failure| {
                // SAFETY: waitpid with a null status only reaps the child, which is ending.
                while unsafe { libc::waitpid(pid, ptr::null_mut(), libc::__WALL) } == -1
                    && Errno::last() == Errno::EINTR
                {}
                Err(prepared.explain(failure))
            })
        }
    }
}

/// What the child had to report: nothing, when the pipe was closed by a successful exec (or by the child's death).
fn outcome(reader: OwnedFd) -> Option<Failure> {
    let mut bytes = [0; 5];
    File::from(reader).read_exact(&mut bytes).ok()?;
    let [found, errno @ ..] = bytes;
    Some(Failure { errno: i32::from_ne_bytes(errno), found: found != 0 })
}

#[derive(Clone, Copy)]
struct Failure {
    errno: i32,
    found: bool,
}

/// Everything that needs memory, made before the fork.
struct Prepared<'a> {
    launch: Launch<'a>,
    /// The files that execve(2) is tried on, in order.
    candidates: Vec<CString>,
    arguments: Vec<*const libc::c_char>,
    /// `/bin/sh FILE ARG...`; the file is set in the child.
    as_script: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
    /// Places in the environment that name the process they are meant for, and their names.
    own_pid: Vec<(usize, &'static CStr)>,
}

/// Variables of sd_listen_fds(3) and sd_watchdog_enabled(3) that hold the pid of the process they are meant for.
const MEANT_FOR: [&CStr; 2] = [c"LISTEN_PID=", c"WATCHDOG_PID="];

unsafe extern "C" {
    /// environ(7).
    static environ: *const *const libc::c_char;
}

impl<'a> Prepared<'a> {
    fn new(launch: &Launch<'a>) -> Result<Self, SpawnError> {
        let name = launch.command.first().map(CString::as_c_str).unwrap_or_default();
        let environment = environment();
        let candidates = candidates(name, &environment);
        if candidates.is_empty() {
            let error = io::Error::from_raw_os_error(libc::ENOENT);
            return Err(SpawnError::Exec { command: shown(name), error, found: false });
        }
        let pointers = |texts: &[CString]| texts.iter().map(|text| text.as_ptr()).collect::<Vec<_>>();
        let mut arguments = pointers(launch.command);
        let mut as_script = vec![c"/bin/sh".as_ptr(), ptr::null()];
        as_script.extend(arguments.iter().skip(1));
        as_script.push(ptr::null());
        arguments.push(ptr::null());
        let ours = tty::own_pid().to_string();
        let own_pid = environment.iter().enumerate().filter_map(|(place, text)| {
            let name = MEANT_FOR.into_iter().find(|name| text.to_bytes().starts_with(name.to_bytes()))?;
            let value = text.to_bytes().get(name.to_bytes().len()..)?;
            (value == ours.as_bytes()).then_some((place, name))
        });
        let own_pid = own_pid.collect();
        let mut environment: Vec<_> = environment.into_iter().map(CStr::as_ptr).collect();
        environment.push(ptr::null());
        Ok(Self { launch: *launch, candidates, arguments, as_script, environment, own_pid })
    }

    /// The child, up to the exec. Nothing here allocates or takes a lock.
    fn run(mut self, parent: Pid, report: &OwnedFd) -> ! {
        let failure = self.try_run(parent);
        let code = if failure.found { exit::NOT_EXECUTABLE } else { exit::NOT_FOUND };
        let mut bytes = [u8::from(failure.found), 0, 0, 0, 0];
        bytes.iter_mut().skip(1).zip(failure.errno.to_ne_bytes()).for_each(|(to, from)| *to = from);
        // SAFETY: the buffer is of that length; _exit runs nothing of the parent's.
        unsafe {
            libc::write(report.as_raw_fd(), bytes.as_ptr().cast(), bytes.len());
            libc::_exit(libc::c_int::from(code))
        }
    }

    fn try_run(&mut self, parent: Pid) -> Failure {
        let launch = self.launch;
        let failed = || Failure { errno: Errno::last_raw(), found: true };
        // SAFETY: all of these take integers, or pointers to strings that live as long as the process.
        unsafe {
            if launch.own_group {
                libc::setpgid(0, 0);
            }
            if let Some(terminal) = launch.terminal {
                // SIGTTOU is blocked. A terminal that has hung up meanwhile is not worth failing for.
                libc::tcsetpgrp(terminal, libc::getpid());
            }
            if launch.directory.is_some_and(|directory| libc::chdir(directory.as_ptr()) == -1) {
                return failed();
            }
            if parent != Pid(1) {
                // Where graceinit is PID 1 the kernel ends everything with it anyway.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                if libc::getppid() != parent.0 {
                    libc::_exit(libc::c_int::from(exit::OURS));
                }
            }
        }
        if launch.inherited.child_ignored {
            let _ = signals::set_disposition(libc::SIGCHLD, libc::SIG_IGN);
        }
        if launch.shield {
            let _ = signals::set_disposition(libc::SIGTERM, libc::SIG_IGN);
        }
        let mut texts = [[0_u8; 32]; MEANT_FOR.len()];
        // SAFETY: getpid takes nothing.
        let own = unsafe { libc::getpid() };
        for ((place, name), text) in self.own_pid.iter().zip(&mut texts) {
            write_variable(text, name, own);
            if let Some(pointer) = self.environment.get_mut(*place) {
                *pointer = text.as_ptr().cast();
            }
        }
        let _ = signals::set_mask(launch.inherited.mask);
        self.exec()
    }

    /// As execvp(3) goes through the candidates. Returns the failure to report.
    fn exec(&mut self) -> Failure {
        let mut denied = None;
        for file in &self.candidates {
            // SAFETY: file, arguments and environment are null-terminated, and all their strings outlive the call.
            unsafe { libc::execve(file.as_ptr(), self.arguments.as_ptr(), self.environment.as_ptr()) };
            let mut errno = Errno::last_raw();
            if errno == libc::ENOEXEC {
                if let Some(script) = self.as_script.get_mut(1) {
                    *script = file.as_ptr();
                }
                // A script without `#!`: every shell, and glibc's execvp, runs it so.
                // SAFETY: as above.
                unsafe { libc::execve(c"/bin/sh".as_ptr(), self.as_script.as_ptr(), self.environment.as_ptr()) };
                return Failure { errno, found: true };
            }
            // SAFETY: access only reads the path.
            let exists = unsafe { libc::access(file.as_ptr(), libc::F_OK) } == 0;
            match errno {
                libc::ENOENT if exists => return Failure { errno, found: true },
                libc::EACCES => denied = Some(errno),
                libc::ENOENT | libc::ENOTDIR | libc::ENODEV | libc::ESTALE | libc::ETIMEDOUT => {}
                _ => {
                    if errno == 0 {
                        errno = libc::EIO;
                    }
                    return Failure { errno, found: true };
                }
            }
        }
        Failure { errno: denied.unwrap_or(libc::ENOENT), found: denied.is_some() }
    }

    fn explain(&self, failure: Failure) -> SpawnError {
        let command = shown(self.launch.command.first().map(CString::as_c_str).unwrap_or_default());
        SpawnError::Exec { command, error: io::Error::from_raw_os_error(failure.errno), found: failure.found }
    }
}

/// `NAME=` and a pid, without allocating.
fn write_variable(text: &mut [u8; 32], name: &CStr, pid: libc::pid_t) {
    let mut digits = [0_u8; 10];
    let mut count = 0;
    let mut rest = pid.unsigned_abs();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        count += 1;
        if rest == 0 {
            break;
        }
    }
    let number = digits.iter().skip(digits.len() - count);
    let bytes = name.to_bytes().iter().chain(number).chain(std::iter::once(&0));
    text.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
}

/// The environment as it is, malformed entries included.
fn environment() -> Vec<&'static CStr> {
    let mut found = Vec::new();
    // SAFETY: the C library has set `environ` to a null-terminated array of strings, or null; graceinit has one thread and never
    // changes the environment, so they live as long as the process.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            found.push(CStr::from_ptr(*entry));
            entry = entry.add(1);
        }
    }
    found
}

/// The files that a command may mean: execvp(3).
fn candidates(name: &CStr, environment: &[&'static CStr]) -> Vec<CString> {
    let bytes = name.to_bytes();
    if bytes.is_empty() {
        return Vec::new();
    }
    if bytes.contains(&b'/') {
        return vec![name.to_owned()];
    }
    let path = environment.iter().find_map(|text| text.to_bytes().strip_prefix(b"PATH="));
    let path = path.unwrap_or(DEFAULT_PATH);
    let file = |directory: &[u8]| {
        // An empty entry is the current directory.
        let parts = if directory.is_empty() { vec![b"./".as_slice(), bytes] } else { vec![directory, b"/", bytes] };
        CString::new(parts.concat()).ok()
    };
    path.split(|&byte| byte == b':').filter_map(file).collect()
}

fn shown(name: &CStr) -> String {
    format!("'{}'", printable(name.to_bytes()))
}

/// The current directory, for what is started later: graceinit itself leaves it.
#[must_use]
pub fn current_directory() -> Option<CString> {
    let path = std::env::current_dir().ok()?;
    CString::new(OsStr::as_bytes(path.as_os_str())).ok()
}
