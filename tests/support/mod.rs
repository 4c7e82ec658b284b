//! The harness of every test crate: it starts the built init in one of two modes, reads its output line by line and ends everything it started.
//!
//! A test crate begins with `mod support;`, and its `main` is `support::main(support::tests![...])`. Helpers that only
//! some crates need (`pty.rs`, `docker.rs`, `apps.rs`) are declared there: `#[path = "support/pty.rs"] mod pty;`.
//!
//! Helpers fail a test by unwinding with a [`Failure`], so a test body reads without `?`; it may use `assert!` as well.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    unreachable_pub,
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "each crate uses a part of it; a test may panic, wait, print and start processes: the fences are the program's"
)]

pub mod fixtures;
pub mod init;
pub mod processes;
pub mod running;

use std::any::Any;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

pub use init::{Init, Stream};
pub use running::{Finished, Running};

/// How long one start may take before everything is killed and the test fails. It is no measure of speed. Shorter ones
/// (`GRACEINIT_TEST_WATCHDOG`, in seconds) save time where failures are expected.
pub fn watchdog() -> Duration {
    let chosen = env::var("GRACEINIT_TEST_WATCHDOG").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(chosen.unwrap_or(30))
}

/// The same for a test as a whole.
const TEST_WATCHDOG: Duration = Duration::from_secs(900);
/// An empty argument list, where the compiler can't guess a type for `[]`.
pub const NONE: [&str; 0] = [];

/// What a test returns.
pub type Outcome = Result<(), Failure>;

/// Why a test did not pass.
#[derive(Debug, Clone)]
pub enum Failure {
    /// It failed.
    Failed(String),
    /// Something it needs is missing here.
    Skipped(String),
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Ends the test as skipped: `return support::skip("no docker daemon")`. It is shown, and counted where CI asks for it.
pub fn skip(missing: &str) -> Outcome {
    Err(Failure::Skipped(missing.to_owned()))
}

/// The same for helpers deep inside a test.
pub fn skip_now(missing: &str) -> ! {
    resume_unwind(Box::new(Failure::Skipped(missing.to_owned())))
}

/// Fails the test from anywhere.
pub fn fail(message: impl Into<String>) -> ! {
    resume_unwind(Box::new(Failure::Failed(message.into())))
}

/// Asks until there is an answer; for facts that no line of output tells, such as a process's state.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + watchdog();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        if Instant::now() > deadline {
            fail(format!("watchdog: {what} did not happen"));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// One test with its name.
pub struct Test {
    /// A sentence.
    pub name: String,
    /// What it does.
    pub run: Box<dyn FnOnce() -> Outcome + Send>,
}

impl Test {
    /// A test that may capture its case.
    pub fn new(name: impl Into<String>, run: impl FnOnce() -> Outcome + Send + 'static) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }

    /// The same test as real PID 1 and as an ordinary process.
    pub fn in_both_modes(name: &str, run: fn(Mode) -> Outcome) -> [Self; 2] {
        [
            Self::new(format!("{name} as PID 1"), move || run(Mode::Pid1)),
            Self::new(format!("{name} as an ordinary process"), move || run(Mode::Ordinary)),
        ]
    }
}

/// `tests![a, module::b]`: the functions as tests, named as they are.
macro_rules! tests {
    ($($function:path),* $(,)?) => {
        vec![$($crate::support::Test::new($crate::support::last_segment(stringify!($function)), $function)),*]
    };
}
pub(crate) use tests;

/// `both_modes![a, module::b]`: functions that take a [`Mode`], each as two tests.
macro_rules! both_modes {
    ($($function:path),* $(,)?) => {{
        let mut tests: Vec<$crate::support::Test> = Vec::new();
        $(tests.extend($crate::support::Test::in_both_modes($crate::support::last_segment(stringify!($function)), $function));)*
        tests
    }};
}
pub(crate) use both_modes;

/// Several lists of tests as one.
pub fn all<const N: usize>(lists: [Vec<Test>; N]) -> Vec<Test> {
    lists.into_iter().flatten().collect()
}

pub fn last_segment(path: &str) -> &str {
    path.rsplit(':').next().unwrap_or(path).trim()
}

/// The test binary's `main`: runs the tests, or is a fixture when called as `<test binary> --fixture NAME ARGS...`.
pub fn main(tests: Vec<Test>) {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == "--fixture") {
        let name = arguments.next().unwrap_or_default();
        std::process::exit(fixtures::run(&name.to_string_lossy(), &arguments.collect::<Vec<_>>()));
    }
    let mut arguments = libtest_mimic::Arguments::from_args();
    // The tests mostly wait: more of them than there are processors.
    arguments.test_threads.get_or_insert(4);
    let trials = tests.into_iter().map(into_trial).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

fn into_trial(test: Test) -> libtest_mimic::Trial {
    let Test { name, run } = test;
    let title = name.clone();
    libtest_mimic::Trial::ignorable_test(name, move || match run_watched(&title, run) {
        Ok(()) => Ok(libtest_mimic::Completion::Completed),
        Err(Failure::Failed(message)) => Err(message.into()),
        Err(Failure::Skipped(missing)) => {
            note_skip(&format!("SKIPPED {title}: {missing}"));
            Ok(libtest_mimic::Completion::ignored_with(missing))
        }
    })
}

/// The test runs in a thread of its own, so that one that hangs is reported and the others go on.
fn run_watched(title: &str, run: Box<dyn FnOnce() -> Outcome + Send>) -> Outcome {
    let (sender, receiver) = mpsc::channel();
    let spawned = thread::Builder::new().name(title.to_owned()).spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| Err(failure_of(payload)));
        // The receiver is gone when the watchdog was faster.
        let _ = sender.send(outcome);
    });
    spawned.map_err(|error| Failure::Failed(format!("no thread for the test: {error}")))?;
    receiver.recv_timeout(TEST_WATCHDOG).unwrap_or_else(|_| Err(Failure::Failed("watchdog: the test hangs".to_owned())))
}

fn failure_of(payload: Box<dyn Any + Send>) -> Failure {
    match payload.downcast::<Failure>() {
        Ok(failure) => *failure,
        Err(payload) => {
            let text = payload.downcast_ref::<String>().cloned();
            let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Failure::Failed(text.unwrap_or_else(|| "it panicked".to_owned()))
        }
    }
}

fn note_skip(line: &str) {
    eprintln!("{line}");
    if let Some(path) = env::var_os("GRACEINIT_TEST_SKIPS").filter(|path| !path.is_empty()) {
        let written = OpenOptions::new().create(true).append(true).open(path).and_then(|mut f| writeln!(f, "{line}"));
        if let Err(error) = written {
            eprintln!("the skip could not be counted: {error}");
        }
    }
}

/// The binary under test: `GRACEINIT_UNDER_TEST`, else the one that cargo built for these tests.
pub fn init_under_test() -> PathBuf {
    let chosen = env::var_os("GRACEINIT_UNDER_TEST").filter(|path| !path.is_empty());
    let path = chosen.map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_graceinit")), PathBuf::from);
    // Cargo runs tests in the package's directory; what is started may have another one.
    std::path::absolute(&path).unwrap_or(path)
}

/// Another init that the same tests are pointed at, to see them fail where it fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    Tini,
    DumbInit,
    Catatonit,
}

/// Which peer is under test; none when it is graceinit.
pub fn peer() -> Option<Peer> {
    let path = init_under_test();
    let name = path.file_name().map(OsStr::to_string_lossy)?;
    [("tini", Peer::Tini), ("dumb-init", Peer::DumbInit), ("catatonit", Peer::Catatonit)]
        .into_iter()
        .find(|(prefix, _)| name.starts_with(prefix))
        .map(|(_, peer)| peer)
}

/// How the init runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// As real PID 1 of a new PID namespace.
    Pid1,
    /// As a child of the test.
    Ordinary,
}

/// The command line of a fixture of this test binary (see `fixtures.rs`). It is static: it runs in any container.
pub fn fixture<I>(name: &str, arguments: I) -> Vec<OsString>
where
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    let own = env::current_exe().unwrap_or_else(|error| fail(format!("no path of the test binary: {error}")));
    let mut words = vec![own.into_os_string(), "--fixture".into(), name.into()];
    words.extend(arguments.into_iter().map(|word| word.as_ref().to_owned()));
    words
}

/// The command line of a Python script: a path in the repository, or a name in tests/fixtures.
pub fn python<I>(script: impl AsRef<Path>, arguments: I) -> Vec<OsString>
where
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    let mut words = vec![python_program().into_os_string(), repository_file(script.as_ref()).into_os_string()];
    words.extend(arguments.into_iter().map(|word| word.as_ref().to_owned()));
    words
}

/// The python to use; without one the test is skipped. A shim that a version manager put into PATH starts slowly.
pub fn python_program() -> PathBuf {
    let system = PathBuf::from("/usr/bin/python3");
    if system.exists() {
        return system;
    }
    find_program("python3").unwrap_or_else(|| skip_now("python3"))
}

/// Where a program is in PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|candidate| processes::is_executable(candidate))
}

/// A file of the repository: as given, else in tests/fixtures.
pub fn repository_file(path: &Path) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let direct = root.join(path);
    if direct.exists() { direct } else { root.join("tests/fixtures").join(path) }
}

/// A new empty directory, removed when it is dropped.
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    pub fn new() -> Self {
        let path = env::temp_dir().join(format!("graceinit-test-{}", processes::unique()));
        std::fs::create_dir_all(&path).unwrap_or_else(|error| fail(format!("{}: {error}", path.display())));
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes an executable file and returns its path.
    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        processes::write_executable(&path, text.as_bytes());
        path
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
