//! What the trees of real programs need beside the init: where the programs are, servers outside the tree, an HTTP client.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use crate::support::{
    Finished, Init, Mode, TemporaryFolder, eventually, fail, find_program, processes, python_program, skip_now,
};

/// A private folder for one tree, and the names of everything that its command line may need.
pub(crate) struct Place {
    folder: TemporaryFolder,
    port: u16,
    lends_apps: bool,
}

impl Place {
    /// A new one, which every user may write to: some servers refuse to run as root.
    pub(crate) fn new() -> Self {
        let folder = TemporaryFolder::new();
        let opened = fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777));
        opened.unwrap_or_else(|error| fail(format!("{}: {error}", folder.path().display())));
        Self { folder, port: free_port(), lends_apps: false }
    }

    /// The same with a copy of tests/apps in it: the checkout may be closed to other users.
    pub(crate) fn for_another_user() -> Self {
        let place = Self::new();
        let copied = Command::new("cp").arg("-r").arg(apps_folder()).arg(place.path("apps")).status();
        let opened = Command::new("chmod").args(["-R", "a+rX"]).arg(place.path("apps")).status();
        let done = [copied, opened].into_iter().all(|status| status.is_ok_and(|status| status.success()));
        assert!(done, "tests/apps could not be copied");
        Self { lends_apps: true, ..place }
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where a web server of this place listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("socket")
    }

    /// Where the redis server of this place listens.
    pub(crate) fn redis_socket(&self) -> PathBuf {
        self.path("redis.socket")
    }

    /// Puts names into a word of a command line: `{dir}` this folder, `{apps}` tests/apps, `{python}`, `{bin}` the programs of
    /// the Python environment, `{php-fpm}`, `{port}` a free port, and for shells `{app}`, Python with tests/apps/cleanup.py. Skips
    /// the test where something is missing.
    pub(crate) fn fill(&self, word: &str) -> String {
        let mut text = word.replace("{dir}", &shown(self.folder.path()));
        if text.contains("{bin}") {
            text = text.replace("{bin}", &shown(&python_environment()));
        }
        if text.contains("{app}") || text.contains("{python}") {
            text = text.replace("{app}", "{python} {apps}/cleanup.py").replace("{python}", &shown(&python_program()));
        }
        if text.contains("{php-fpm}") {
            text = text.replace("{php-fpm}", &shown(&php_fpm()));
        }
        let apps = if self.lends_apps { self.path("apps") } else { apps_folder() };
        text.replace("{apps}", &shown(&apps)).replace("{port}", &self.port.to_string())
    }

    /// Tells the work in flight that the stop has been asked for: it goes on for a little while only (tests/apps/inflight.py).
    pub(crate) fn has_been_asked(&self) {
        self.write("asked", "");
    }

    /// Writes a file of this place, with the names filled in.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::write(&path, self.fill(content)).unwrap_or_else(|error| fail(format!("{}: {error}", path.display())));
    }

    /// The words of a command line; `{app}` alone is two of them.
    pub(crate) fn words(&self, words: &[&str]) -> Vec<String> {
        let expanded = words.iter().flat_map(|word| match *word {
            "{app}" => vec!["{python}", "{apps}/cleanup.py"],
            other => vec![other],
        });
        expanded.map(|word| self.fill(word)).collect()
    }

    /// The same, with the program's path; skips the test where it is missing.
    pub(crate) fn command(&self, words: &[&str]) -> Vec<String> {
        let mut words = self.words(words);
        if let Some(program) = words.first_mut() {
            *program = shown(&need(program));
        }
        words
    }

    /// The environment that every tree shares.
    fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("HOME", shown(self.folder.path())),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
            ("SOCKET", shown(&self.socket())),
            ("ASKED", shown(&self.path("asked"))),
            ("REDIS_SOCKET", shown(&self.redis_socket())),
        ]
    }

    /// An init to be started here.
    pub(crate) fn init(&self, mode: Mode) -> Init {
        let init = Init::new(mode).current_dir(self.folder.path());
        self.environment().into_iter().fold(init, |init, (name, value)| init.env(name, value))
    }

    /// Runs a command beside the tree, to its end; says whether it succeeded and what it wrote.
    pub(crate) fn run_beside(&self, words: &[&str]) -> (bool, String) {
        let words = self.command(words);
        let output = self.beside(&words).output().unwrap_or_else(|error| fail(format!("{words:?}: {error}")));
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Starts a command beside the tree.
    pub(crate) fn start_beside(&self, words: &[&str]) -> Beside {
        let words = self.command(words);
        let child = self.beside(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Beside(Some(child.unwrap_or_else(|error| fail(format!("{words:?}: {error}")))))
    }

    fn beside(&self, words: &[String]) -> Command {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).envs(self.environment());
        command.current_dir(apps_folder());
        let prepare = || {
            // SAFETY: plain numbers. When the test's thread ends, so does what it started.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            Ok(())
        };
        // SAFETY: it makes one async-signal-safe call and allocates nothing.
        unsafe { command.pre_exec(prepare) };
        command
    }

    /// Starts a redis server for the queues, and waits until it answers.
    pub(crate) fn start_redis(&self) -> Beside {
        need("redis-server");
        let socket = shown(&self.redis_socket());
        let server = self.start_beside(&[
            "redis-server",
            "--port",
            "0",
            "--unixsocket",
            &socket,
            "--save",
            "",
            "--dir",
            "{dir}",
        ]);
        eventually("redis answers", || (redis(&self.redis_socket(), "PING")? == "+PONG").then_some(()));
        server
    }

    /// What redis says to a command in one line.
    pub(crate) fn ask_redis(&self, command: &str) -> String {
        redis(&self.redis_socket(), command).unwrap_or_else(|| fail(format!("redis does not answer {command}")))
    }

    /// Queues jobs of tests/apps/jobs.py.
    pub(crate) fn queue_jobs(&self, queue: &str, count: usize) {
        let (queued, said) = self.run_beside(&["{bin}/python", "{apps}/jobs.py", queue, &count.to_string()]);
        assert!(queued, "the jobs could not be queued: {said}");
    }

    /// How many jobs have `started`, or are `done`.
    pub(crate) fn count_jobs(&self, state: &str) -> usize {
        self.ask_redis(&format!("GET {state}")).lines().nth(1).and_then(|count| count.parse().ok()).unwrap_or(0)
    }

    /// Checks that all of them are done, and for Celery that the results are in its store.
    pub(crate) fn check_jobs_done(&self, queue: &str, count: usize, finished: &Finished) {
        let done = self.count_jobs("done");
        assert!(done == count, "{count} jobs to be done, not {done}: {finished:#?}");
        if queue == "celery" {
            let keys = self.ask_redis("KEYS celery-task-meta-*");
            let results = keys.lines().filter(|line| line.starts_with("celery-task-meta-"));
            let stored = results.filter(|key| self.ask_redis(&format!("GET {key}")).contains("SUCCESS")).count();
            assert!(stored == count, "{count} results to be stored, not {stored}: {finished:#?}");
        }
    }

    /// Waits until a file of this place has a text.
    pub(crate) fn wait_for_file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        eventually(&format!("{text:?} in {name}"), || {
            fs::read_to_string(&path).ok().filter(|content| content.contains(text))
        })
    }

    /// Asks the web server for a page. The connection is made before this returns, the answer comes later.
    pub(crate) fn request(&self, path: &str) -> Request {
        let socket = self.socket();
        let mut stream = eventually("the web server listens", || UnixStream::connect(&socket).ok());
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap_or_else(|error| fail(format!("{}: {error}", socket.display())));
        Request(thread::spawn(move || {
            let mut answer = Vec::new();
            // A connection that is reset is an answer that lacks something: the caller looks at what came.
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8_lossy(&answer).into_owned()
        }))
    }
}

/// A request on its way.
pub(crate) struct Request(JoinHandle<String>);

impl Request {
    /// The whole answer, status line first; empty if the connection was just closed.
    pub(crate) fn answer(self) -> String {
        self.0.join().unwrap_or_else(|_| fail("the request's thread panicked"))
    }

    /// Checks that the page came, whole.
    pub(crate) fn check_answered(self) -> String {
        let answer = self.answer();
        let whole = answer.starts_with("HTTP/1.1 200") && answer.contains("answered by");
        assert!(whole, "the request was not answered: {answer:?}");
        answer
    }
}

/// A process beside the tree; it is killed when this is dropped.
pub(crate) struct Beside(Option<Child>);

impl Beside {
    /// Waits for its end: whether it succeeded, and what it wrote.
    pub(crate) fn finish(mut self) -> (bool, String) {
        let child = self.0.take().unwrap_or_else(|| fail("it has ended"));
        let output = child.wait_with_output().unwrap_or_else(|error| fail(format!("waiting: {error}")));
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Skips the test where a program is missing.
pub(crate) fn need(program: &str) -> PathBuf {
    let found = match program.contains('/') {
        true => Some(PathBuf::from(program)).filter(|path| processes::is_executable(path)),
        false => find_program(program).or_else(|| {
            let hidden = ["/usr/sbin", "/sbin"].map(|folder| Path::new(folder).join(program));
            hidden.into_iter().find(|path| processes::is_executable(path))
        }),
    };
    found.unwrap_or_else(|| skip_now(&format!("{program} (tests/apps/install puts it there)")))
}

/// Whether a process has a handler for a signal.
pub(crate) fn catches(pid: i32, signal: i32) -> bool {
    let mask = processes::status_field(pid, "SigCgt").and_then(|hex| u64::from_str_radix(&hex, 16).ok());
    mask.unwrap_or(0) & (1 << (signal - 1)) != 0
}

/// Whether a process has executed the program of this name.
pub(crate) fn is_program(pid: i32, name: &str) -> bool {
    let words = processes::command_line(pid);
    words.first().is_some_and(|word| Path::new(word).file_name().is_some_and(|program| program == name))
}

/// Skips the test where the tests do not run as root.
pub(crate) fn need_root() {
    if !processes::are_root() {
        skip_now("root");
    }
}

/// PostgreSQL's programs, which Debian keeps out of PATH.
pub(crate) fn postgres_folder() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<_> = versions.map(|entry| entry.path().join("bin")).collect();
    folders.retain(|folder| processes::is_executable(&folder.join("postgres")));
    folders.sort();
    folders.pop().unwrap_or_else(|| skip_now("PostgreSQL (tests/apps/install puts it there)"))
}

/// The folder with the programs of the Python environment.
fn python_environment() -> PathBuf {
    let chosen = env::var_os("GRACEINIT_APPS").filter(|path| !path.is_empty()).map(PathBuf::from);
    let folder = chosen.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/apps")).join("venv/bin");
    if !processes::is_executable(&folder.join("celery")) {
        skip_now(&format!("the Python environment in {} (tests/apps/install puts it there)", folder.display()));
    }
    folder
}

fn php_fpm() -> PathBuf {
    let programs = fs::read_dir("/usr/sbin").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut programs: Vec<_> = programs.filter(|path| shown(path).contains("/php-fpm")).collect();
    programs.sort();
    programs.pop().unwrap_or_else(|| skip_now("php-fpm (tests/apps/install puts it there)"))
}

/// For the few servers that know no unix sockets. Somebody else could take it meanwhile, but nothing here does.
fn free_port() -> u16 {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    address.map_or_else(|error| fail(format!("no port: {error}")), |address| address.port())
}

fn apps_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps")
}

fn redis(socket: &Path, command: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.trim_end().trim_end_matches("+OK").trim_end().to_owned())
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
