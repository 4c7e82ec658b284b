//! Docker for the tests: images that are built here and never pulled, and containers that are always removed.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::support::{TemporaryFolder, fail, find_program, init_under_test, repository_file, skip_now};

/// A test that takes longer hangs. A daemon with many containers to start is slow now and then.
const WATCHDOG: Duration = Duration::from_secs(60);
/// Every image and container of these tests has this label; its value is the pid of the tests.
const LABEL: &str = "graceinit.tests";

/// What is in the container's file system besides graceinit and the program `app`.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Image {
    /// Nothing: FROM scratch.
    Scratch,
    /// A static busybox with a few of its links, /bin/sh among them.
    Busybox,
    /// The host's /usr, read-only, with its python3.
    Python,
}

/// A container in the foreground of a `docker run`.
pub(crate) struct Container {
    name: String,
    client: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    started: Instant,
}

/// What a container wrote in all, and how it ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) lines: Vec<String>,
}

impl Image {
    /// Its name; the first time it is built. Without a daemon the test is skipped.
    fn name(self) -> String {
        static BUILT: [OnceLock<Result<(), String>>; 3] = [const { OnceLock::new() }; 3];
        let name = format!("{LABEL}-{}-{}", std::process::id(), self.base());
        let Some(built) = BUILT.get(self as usize) else { fail("no such image") };
        match built.get_or_init(|| self.build(&name)) {
            Ok(()) => name,
            Err(missing) => skip_now(missing),
        }
    }

    fn base(self) -> &'static str {
        match self {
            Self::Scratch => "scratch",
            Self::Busybox => "busybox",
            Self::Python => "python",
        }
    }

    fn build(self, name: &str) -> Result<(), String> {
        reach_daemon()?;
        let folder = TemporaryFolder::new();
        let root = folder.path();
        copy(&init_under_test(), &root.join("graceinit"));
        copy(&std::env::current_exe().unwrap(), &root.join("app"));
        write(&root.join("script"), "app code=3\n", 0o755);
        write(&root.join("data"), "no program\n", 0o644);
        match self {
            Self::Scratch => {}
            Self::Busybox => {
                let busybox = find_program("busybox").filter(is_static);
                copy(&busybox.ok_or("a static busybox")?, &root.join("busybox"));
                std::fs::create_dir(root.join("bin")).unwrap();
                for program in ["sh", "sleep", "true", "stty", "rm"] {
                    std::os::unix::fs::symlink("/busybox", root.join("bin").join(program)).unwrap();
                }
            }
            Self::Python => {
                if !Path::new("/usr/bin/python3").exists() {
                    return Err("/usr/bin/python3".to_owned());
                }
                for folder in ["usr", "tmp", "etc"] {
                    std::fs::create_dir(root.join(folder)).unwrap();
                }
                for folder in ["bin", "lib", "lib64"] {
                    std::os::unix::fs::symlink(format!("usr/{folder}"), root.join(folder)).unwrap();
                }
                copy(&repository_file("examples/ctrl_c_only.py".as_ref()), &root.join("ctrl_c_only.py"));
            }
        }
        let archive = root.with_extension("tar");
        let packed = Command::new("tar")
            .arg("-C")
            .arg(root)
            .args(["--owner=0", "--group=0", "-cf"])
            .arg(&archive)
            .arg(".")
            .output();
        let packed = packed.map_err(|error| format!("tar ({error})"))?;
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        let label = format!("LABEL {LABEL}={}", std::process::id());
        let entry = r#"ENTRYPOINT ["/graceinit","--"]"#;
        let imported = docker(["import", "--change", &label, "--change", entry, archive.to_str().unwrap(), name]);
        let _ = std::fs::remove_file(archive);
        assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
        Ok(())
    }

    /// The words of a `docker run` of this image.
    pub(crate) fn run_words(self, name: &str, options: &[&str], command: &[&str]) -> Vec<String> {
        let label = format!("{LABEL}={}", std::process::id());
        let mut words = vec!["run", "--rm", "--network", "none", "--name", name, "--label", &label];
        if self == Self::Python {
            words.extend(["--volume", "/usr:/usr:ro"]);
        }
        words.extend(options);
        let image = self.name();
        words.push(&image);
        words.extend(command);
        words.into_iter().map(str::to_owned).collect()
    }

    /// Runs a container to its end.
    pub(crate) fn run(self, options: &[&str], command: &[&str]) -> Ended {
        self.start(options, command).wait()
    }

    /// Starts a container; its stdin is closed unless the options say otherwise.
    pub(crate) fn start(self, options: &[&str], command: &[&str]) -> Container {
        let name = new_name();
        // One pipe for both, so that the order of the lines is kept as far as docker keeps it.
        let (reader, writer) = std::io::pipe().unwrap();
        let mut client = Command::new("docker");
        client.args(self.run_words(&name, options, command)).stdin(Stdio::piped());
        client.stdout(writer.try_clone().unwrap()).stderr(writer);
        let spawned = client.spawn().unwrap();
        // It holds the ends of the pipe for writing.
        drop(client);
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Container { name, client: spawned, lines, seen: Vec::new(), started: Instant::now() }
    }
}

impl Container {
    /// Waits for a line that contains the text and returns it.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(self.time_left()) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => fail(format!("the watchdog barks{}", self.describe())),
                Err(RecvTimeoutError::Disconnected) => fail(format!("no {text:?} before the end{}", self.describe())),
            }
        }
    }

    pub(crate) fn type_line(&mut self, line: &str) {
        writeln!(self.client.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// `docker stop`, which returns when the container has ended.
    pub(crate) fn stop(&self, options: &[&str]) {
        stop(&self.name, options);
    }

    /// `docker kill`: one signal.
    pub(crate) fn send(&self, signal: &str) {
        send(&self.name, signal);
    }

    /// A second process in the container, which prints `ready`.
    pub(crate) fn execute(&self, command: &[&str]) -> Child {
        let mut client = Command::new("docker");
        client.args(["exec", &self.name]).args(command).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut client = client.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(client.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("ready"), "{line}");
        client
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Ended {
        drop(self.client.stdin.take());
        loop {
            match self.lines.recv_timeout(self.time_left()) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => fail(format!("the watchdog barks{}", self.describe())),
            }
        }
        let status = self.client.wait().unwrap();
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Ended { code, lines: std::mem::take(&mut self.seen) }
    }

    fn time_left(&self) -> Duration {
        WATCHDOG.saturating_sub(self.started.elapsed())
    }

    fn describe(&self) -> String {
        listing(&self.seen)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        remove(&self.name);
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

impl Ended {
    pub(crate) fn has(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.contains(text))
    }

    pub(crate) fn describe(&self) -> String {
        format!(" (exit code {}){}", self.code, listing(&self.lines))
    }
}

fn listing(lines: &[String]) -> String {
    lines.iter().fold(String::from("\n--- its output:\n"), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    })
}

/// A name for a new container.
pub(crate) fn new_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{LABEL}-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::SeqCst))
}

/// `docker stop`, which returns when the container has ended.
pub(crate) fn stop(name: &str, options: &[&str]) {
    let mut words = vec!["stop"];
    words.extend(options);
    words.push(name);
    expect_success(&docker(words));
}

/// `docker kill`: one signal for the container's PID 1.
pub(crate) fn send(name: &str, signal: &str) {
    expect_success(&docker(["kill", "--signal", signal, name]));
}

/// Removes a container, running or not, there or not.
pub(crate) fn remove(name: &str) {
    let _ = docker(["rm", "--force", name]);
}

/// Removes everything that these tests have left in the daemon, and what earlier ones left that were killed.
/// Registered to run at the end of the process.
pub(crate) fn remove_everything_at_the_end() {
    extern "C" fn at_exit() {
        remove_everything();
    }
    // SAFETY: the function does not unwind into C: it ignores every failure.
    unsafe { libc::atexit(at_exit) };
}

fn remove_everything() {
    for (list, removal) in
        [(["ps", "--all"].as_slice(), ["rm", "--force"].as_slice()), (&["images", "--all"], &["rmi", "--force"])]
    {
        let format = format!("{{{{.ID}}}} {{{{.Label \"{LABEL}\"}}}}");
        let filter = format!("label={LABEL}");
        let mut words = list.to_vec();
        // `docker images` can't print labels: there everything is listed by the owner's pid in its name.
        let names = "{{.Repository}} {{.Repository}}";
        words.extend(["--filter", &filter, "--format", if list[0] == "ps" { &format } else { names }]);
        let Ok(output) = Command::new("docker").args(words).stderr(Stdio::null()).output() else { return };
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Some((id, owner)) = line.split_once(' ') else { continue };
            let owner = owner.strip_prefix(&format!("{LABEL}-")).unwrap_or(owner);
            let owner = owner.split('-').next().unwrap_or(owner);
            if owner == std::process::id().to_string() || !Path::new("/proc").join(owner).exists() {
                let _ = Command::new("docker").args(removal).arg(id).output();
            }
        }
    }
}

fn reach_daemon() -> Result<(), String> {
    static REACHED: OnceLock<Result<(), String>> = OnceLock::new();
    let ask = || {
        let output =
            Command::new("docker").args(["version", "--format", "{{.Server.Os}}"]).stdin(Stdio::null()).output();
        match output {
            Ok(output) if output.status.success() && output.stdout.starts_with(b"linux") => {
                remove_everything_at_the_end();
                Ok(())
            }
            Ok(output) => Err(format!("a docker daemon ({})", String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => Err(format!("docker ({error})")),
        }
    };
    REACHED.get_or_init(ask).clone()
}

fn docker<I: AsRef<std::ffi::OsStr>>(words: impl IntoIterator<Item = I>) -> Output {
    Command::new("docker").args(words).stdin(Stdio::null()).output().unwrap()
}

fn expect_success(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
}

fn write(path: &Path, text: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A dynamic program names its loader.
fn is_static(program: &PathBuf) -> bool {
    let loaders: [&[u8]; 2] = [b"/ld-linux", b"/ld-musl-"];
    std::fs::read(program).is_ok_and(|bytes| !bytes.windows(9).any(|window| loaders.contains(&window)))
}
