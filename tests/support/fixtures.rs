//! The programs that tests start under the init: `<test binary> --fixture NAME ARGS...`. They behave as C programs do:
//! what Rust's runtime changes before `main` is undone, so `status` shows what was inherited.
//!
//! | name | what it does |
//! |---|---|
//! | `exit CODE` | ends at once |
//! | `die-by N` | ends by this signal's default action |
//! | `wait` | says `ready PID` and waits for ever, all signals at their default |
//! | `ignore N...` | ignores these signals, says `ready PID`, waits for ever |
//! | `print-signals [handlers or wait] [until N CODE]` | says `ready PID`, then `signal N code C value V from PID` for each; exits at the N-th kind |
//! | `orphans COUNT CODE [N]` | makes this many orphans that die by signal N (else exit), says `no zombies` once they are reaped, exits |
//! | `init-without-reaping COMMAND...` | a bad init for the negative control: waits for its command alone |
//! | `family KIND WORKER MAIN` | a main process with a worker, see `family` |
//! | `forks-when-told MS CODE` | at TERM starts a child that drains for this long, and exits |
//! | `hop SECONDS` | ignores TERM and moves to a new process every millisecond |
//! | `close-from N` | closes its descriptors from N on, says `closed`, waits for TERM |
//! | `become-root CODE` | setuid(0), says `ready PID` (or `not root`), exits when its input ends |
//! | `echo` | repeats what it reads, line by line, says `end of input` |
//! | `status` | says what it inherited: masks, descriptors, directory, environment, limits |
//! | `arguments ARGS...` | prints each argument as hexadecimal bytes |

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, BufRead};
use std::mem::{self, MaybeUninit};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::Command;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::processes;

/// Runs the fixture and returns its exit code.
pub fn run(name: &str, arguments: &[OsString]) -> i32 {
    undo_runtime_start();
    let words: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match (name, words.as_slice()) {
        ("exit", [code]) => number(code),
        ("die-by", [signal]) => die_by(number(signal)),
        ("wait", []) => wait_for_ever(&[]),
        ("ignore", signals) => wait_for_ever(&signals.iter().map(|word| number(word)).collect::<Vec<_>>()),
        ("print-signals", options) => print_signals(options),
        ("orphans", [count, code]) => orphans(number(count), number(code), None),
        ("orphans", [count, code, signal]) => orphans(number(count), number(code), Some(number(signal))),
        ("init-without-reaping", [_, ..]) => init_without_reaping(arguments),
        ("family", [kind, worker, main]) => family(kind, worker, main),
        ("forks-when-told", [milliseconds, code]) => forks_when_told(milliseconds, number(code)),
        ("hop", [seconds]) => hop(number(seconds)),
        ("become-root", [code]) => become_root(number(code)),
        ("close-from", [first]) => close_from(number(first)),
        ("echo", []) => echo(),
        ("status", []) => status(),
        ("arguments", _) => print_arguments(arguments),
        _ => {
            eprintln!("no fixture {name} {words:?}");
            99
        }
    }
}

fn number(word: &str) -> i32 {
    word.parse().unwrap_or_else(|_| panic!("a number instead of {word:?}"))
}

/// One write per line, and none of the panics of `println!`.
fn say(line: &str) {
    let bytes = format!("{line}\n");
    // SAFETY: the buffer lives until the call is over.
    unsafe { libc::write(1, bytes.as_ptr().cast(), bytes.len()) };
}

fn own_pid() -> i32 {
    std::process::id().cast_signed()
}

fn pause_for_ever() -> ! {
    loop {
        // SAFETY: it takes nothing.
        unsafe { libc::pause() };
    }
}

fn leave(code: i32) -> ! {
    // SAFETY: it ends this process without running anything of the parent's.
    unsafe { libc::_exit(code) }
}

fn fork() -> i32 {
    // SAFETY: fixtures have one thread.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", io::Error::last_os_error());
    pid
}

fn wait_for_child(pid: i32) {
    // SAFETY: no status is asked for.
    unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
}

fn set_action(signal: i32, action: libc::sighandler_t) {
    processes::set_disposition(signal, action);
}

/// Raw, because the libcs leave signals 32 and 33 (musl: 34 too) out.
fn set_mask(mask: u64) {
    let mask = &raw const mask;
    // SAFETY: the kernel reads 8 bytes of a mask that lives on the stack.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, mask, 0_usize, 8_usize) };
}

fn die_by(signal: i32) -> i32 {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limits live on the stack.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    set_action(signal, libc::SIG_DFL);
    set_mask(0);
    processes::kill(own_pid(), signal);
    pause_for_ever()
}

fn wait_for_ever(ignored: &[i32]) -> i32 {
    ignored.iter().for_each(|signal| set_action(*signal, libc::SIG_IGN));
    say(&format!("ready {}", own_pid()));
    pause_for_ever()
}

/// A signal as it arrived.
struct Received {
    signal: i32,
    code: i32,
    value: i32,
    sender: i32,
}

impl Received {
    fn from_info(info: &libc::siginfo_t) -> Self {
        // SAFETY: for signals that kill or sigqueue sent the kernel fills these; for others it is memory of the struct all the same.
        let (value, sender) = unsafe { (info.si_value().sival_ptr as usize as i32, info.si_pid()) };
        Self { signal: info.si_signo, code: info.si_code, value, sender }
    }
}

static HANDLER_PIPE: AtomicI32 = AtomicI32::new(-1);

extern "C" fn note_signal(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo; a write of less than PIPE_BUF bytes is atomic.
    unsafe { libc::write(HANDLER_PIPE.load(Ordering::Relaxed), info.cast(), size_of::<libc::siginfo_t>()) };
}

/// Signals that are caught by handlers, as most programs do.
struct Caught {
    reader: i32,
}

impl Caught {
    fn new(signals: impl IntoIterator<Item = i32>) -> Self {
        let mut pipe = [0; 2];
        // SAFETY: room for two descriptors.
        unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) };
        HANDLER_PIPE.store(pipe[1], Ordering::Relaxed);
        // SAFETY: all zeros is a valid sigaction: no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        action.sa_sigaction = note_signal as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        for signal in signals {
            // SAFETY: the handler only writes to a pipe.
            unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
        }
        Self { reader: pipe[0] }
    }

    fn next(&self) -> Received {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        loop {
            // SAFETY: room for exactly what the handler wrote.
            let count = unsafe { libc::read(self.reader, info.as_mut_ptr().cast(), size_of::<libc::siginfo_t>()) };
            if count == size_of::<libc::siginfo_t>().cast_signed() {
                // SAFETY: the handler wrote all of it.
                return Received::from_info(unsafe { info.assume_init_ref() });
            }
        }
    }
}

/// Signals that are blocked and waited for.
fn next_blocked() -> Received {
    let all = u64::MAX;
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    loop {
        // SAFETY: the mask has the 8 bytes that the kernel reads, and there is room for a siginfo.
        let signal = unsafe {
            libc::syscall(
                libc::SYS_rt_sigtimedwait,
                &raw const all,
                info.as_mut_ptr(),
                ptr::null::<libc::timespec>(),
                8_usize,
            )
        };
        if signal > 0 {
            // SAFETY: the kernel filled it.
            return Received::from_info(unsafe { info.assume_init_ref() });
        }
    }
}

fn print_signals(options: &[&str]) -> i32 {
    let blocked = options.contains(&"wait");
    let until =
        options.iter().position(|word| *word == "until").map(|at| (number(options[at + 1]), number(options[at + 2])));
    let caught = if blocked {
        set_mask(u64::MAX);
        None
    } else {
        Some(Caught::new((1..=64).filter(|n| ![libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD, 32, 33].contains(n))))
    };
    say(&format!("ready {}", own_pid()));
    loop {
        let Received { signal, code, value, sender } = caught.as_ref().map_or_else(next_blocked, Caught::next);
        say(&format!("signal {signal} code {code} value {value} from {sender}"));
        if let Some((_, exit)) = until.filter(|(last, _)| *last == signal) {
            return exit;
        }
    }
}

/// They are all alive when their parents have gone, so that they die as orphans, in bursts of at most 1,000.
fn orphans(count: i32, code: i32, signal: Option<i32>) -> i32 {
    let init = parent_pid();
    let mut left = count;
    while left > 0 {
        let burst = left.min(1000);
        left -= burst;
        let mut gate = [0; 2];
        // SAFETY: room for two descriptors.
        unsafe { libc::pipe(gate.as_mut_ptr()) };
        let parent = fork();
        if parent == 0 {
            for _ in 0..burst {
                if fork() == 0 {
                    orphan(gate, signal);
                }
            }
            leave(0);
        }
        wait_for_child(parent);
        gate.iter().for_each(|end| {
            // SAFETY: descriptors of ours.
            unsafe { libc::close(*end) };
        });
    }
    say("all orphans made");
    let own = own_pid();
    while processes::children(init).into_iter().any(|pid| pid != own) {
        std::thread::sleep(Duration::from_millis(5));
    }
    say("no zombies");
    code
}

fn init_without_reaping(command: &[OsString]) -> i32 {
    // SAFETY: plain numbers. It gets the orphans, as an ordinary process too.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    let Ok(mut child) = Command::new(&command[0]).args(&command[1..]).spawn() else { return 99 };
    child.wait().ok().and_then(|status| status.code()).unwrap_or(99)
}

fn orphan(gate: [i32; 2], signal: Option<i32>) -> ! {
    // SAFETY: a descriptor of ours.
    unsafe { libc::close(gate[1]) };
    let mut byte = 0_u8;
    // SAFETY: room for one byte. It returns when the last writer has closed the gate.
    unsafe { libc::read(gate[0], (&raw mut byte).cast(), 1) };
    match signal {
        Some(signal) => leave(die_by(signal)),
        None => leave(0),
    }
}

fn parent_pid() -> i32 {
    std::os::unix::process::parent_id().cast_signed()
}

/// A main process and a worker. KIND is where the worker lives: `group` (as the main process), `session` (its own),
/// `daemon` (its own, and already adopted). WORKER is how long it drains at TERM in milliseconds, or `ignores`.
/// KIND `none` is a main process without a worker. MAIN is when the main process ends and how: `told:3`, `stays:3` (told, and the worker has ended), `leaves:3` (by itself,
/// when the worker is ready), `ignores`.
fn family(kind: &str, worker: &str, main: &str) -> i32 {
    let mut ready = [0; 2];
    // SAFETY: room for two descriptors.
    unsafe { libc::pipe2(ready.as_mut_ptr(), libc::O_CLOEXEC) };
    let mut life = [0; 2];
    // SAFETY: room for two descriptors.
    unsafe { libc::pipe2(life.as_mut_ptr(), libc::O_CLOEXEC) };
    let told = Caught::new((main.starts_with("told") || main.starts_with("stays")).then_some(libc::SIGTERM));
    if main == "ignores" {
        set_action(libc::SIGTERM, libc::SIG_IGN);
    }
    let child = if kind == "none" { -1 } else { fork() };
    if child == 0 {
        if kind != "group" {
            // SAFETY: it takes nothing.
            unsafe { libc::setsid() };
        }
        if kind != "daemon" || fork() == 0 {
            drain_worker(worker, ready[1]);
        }
        leave(0);
    }
    if kind == "daemon" {
        wait_for_child(child);
    }
    // SAFETY: a descriptor of ours; without a worker nobody is left to write.
    unsafe { libc::close(ready[1]) };
    let mut byte = 0_u8;
    // SAFETY: room for one byte. The worker writes it when it can be told.
    unsafe { libc::read(ready[0], (&raw mut byte).cast(), 1) };
    say(&format!("ready {}", own_pid()));
    match main.split_once(':') {
        Some(("stays", code)) => {
            told.next();
            say("main told");
            // SAFETY: a descriptor of ours; the worker alone holds the writing end now, until it ends.
            unsafe { libc::close(life[1]) };
            // SAFETY: room for one byte.
            while unsafe { libc::read(life[0], (&raw mut byte).cast(), 1) } < 0 {}
            number(code)
        }
        Some(("told", code)) => {
            told.next();
            say("main told");
            number(code)
        }
        Some(("leaves", code)) => number(code),
        _ => pause_for_ever(),
    }
}

fn drain_worker(drain: &str, ready: i32) -> ! {
    let told = (drain != "ignores").then(|| Caught::new([libc::SIGTERM]));
    if told.is_none() {
        set_action(libc::SIGTERM, libc::SIG_IGN);
    }
    say(&format!("worker {}", own_pid()));
    // SAFETY: one byte of a constant.
    unsafe { libc::write(ready, b"r".as_ptr().cast(), 1) };
    let Some(told) = told else { pause_for_ever() };
    told.next();
    say("worker told");
    std::thread::sleep(Duration::from_millis(u64::try_from(number(drain)).unwrap_or_default()));
    say("worker drained");
    leave(0)
}

fn forks_when_told(milliseconds: &str, code: i32) -> i32 {
    let told = Caught::new([libc::SIGTERM]);
    say(&format!("ready {}", own_pid()));
    told.next();
    if fork() == 0 {
        std::thread::sleep(Duration::from_millis(u64::try_from(number(milliseconds)).unwrap_or_default()));
        say("child of the stop done");
        leave(0);
    }
    code
}

fn hop(seconds: i32) -> i32 {
    set_action(libc::SIGTERM, libc::SIG_IGN);
    let end = Instant::now() + Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    say(&format!("ready {}", own_pid()));
    // The main process stays; the hopper below it is what has to be caught.
    if fork() != 0 {
        pause_for_ever();
    }
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
        if fork() != 0 {
            leave(0);
        }
    }
    leave(0)
}

/// Makes itself wholly root (the file is setuid), so that an init of another uid can't signal it; ends with its input.
fn become_root(code: i32) -> i32 {
    // SAFETY: plain numbers.
    let done = unsafe { libc::setgid(0) == 0 && libc::setuid(0) == 0 };
    say(&format!("{} {}", if done { "ready" } else { "not root" }, own_pid()));
    let mut line = String::new();
    while io::stdin().read_line(&mut line).is_ok_and(|count| count > 0) {}
    code
}

fn close_from(first: i32) -> i32 {
    // SAFETY: nothing here uses descriptors from there on.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    let told = Caught::new([libc::SIGTERM]);
    say("closed");
    told.next();
    0
}

fn echo() -> i32 {
    say(&format!("ready {}", own_pid()));
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        say(&format!("read {line}"));
    }
    say("end of input");
    0
}

fn print_arguments(arguments: &[OsString]) -> i32 {
    for word in arguments {
        let hex: Vec<String> = word.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        say(&format!("argument {}", hex.join(" ")));
    }
    0
}

/// Everything that a program inherits, one fact a line, in an order that does not change.
fn status() -> i32 {
    for line in fs::read_to_string("/proc/self/status").unwrap_or_default().lines() {
        let names =
            ["SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "Uid", "Gid", "Groups", "Umask", "NoNewPrivs", "CapEff"];
        if names.iter().any(|name| line.starts_with(name)) {
            say(line);
        }
    }
    let numbers: BTreeSet<i32> = fs::read_dir("/proc/self/fd")
        .map(|entries| entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
        .unwrap_or_default();
    for number in numbers {
        // SAFETY: it asks about a number; the one of the directory that was just read is closed by now.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if flags >= 0 {
            let target = fs::read_link(format!("/proc/self/fd/{number}")).unwrap_or_default();
            // Two starts have two pipes: only the kind can be compared.
            let target = target.to_string_lossy().split(":[").next().unwrap_or_default().to_owned();
            // SAFETY: as above.
            let modes = unsafe { libc::fcntl(number, libc::F_GETFL) };
            say(&format!("descriptor {number} flags {flags} modes {modes:o} {target}"));
        }
    }
    say(&format!("directory {}", std::env::current_dir().unwrap_or_default().display()));
    for entry in environment() {
        if !entry.as_bytes().starts_with(processes::MARK.as_bytes()) {
            say(&format!("variable {}", entry.to_string_lossy()));
        }
    }
    for file in ["oom_score_adj", "timerslack_ns", "limits"] {
        say(&format!("{file} {}", fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default().trim()));
    }
    say(&format!("pid {}", own_pid()));
    let mut subreaper = 0_i32;
    // SAFETY: the kernel writes one int.
    unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut subreaper) };
    say(&format!("subreaper {subreaper}"));
    // SAFETY: it takes nothing.
    let (leads, session) = unsafe { (libc::getpgrp() == libc::getpid(), libc::getsid(0) == libc::getpid()) };
    say(&format!("leads its group: {leads}"));
    say(&format!("leads its session: {session}"));
    0
}

/// In the order in which it was given, duplicates included.
fn environment() -> Vec<OsString> {
    let bytes = fs::read("/proc/self/environ").unwrap_or_default();
    let mut entries: Vec<_> = bytes.split(|byte| *byte == 0).map(|entry| OsString::from_vec(entry.to_vec())).collect();
    entries.pop();
    entries
}

static PIPE_ACTION_AT_START: AtomicUsize = AtomicUsize::new(libc::SIG_DFL);
static CLOSED_AT_START: AtomicU8 = AtomicU8::new(0);

/// Runs before Rust's runtime, which ignores SIGPIPE, catches SEGV and BUS, and opens /dev/null on closed standard streams.
extern "C" fn remember_start() {
    // SAFETY: all zeros is a valid sigaction to be filled.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: it only asks.
    unsafe { libc::sigaction(libc::SIGPIPE, ptr::null(), &raw mut action) };
    PIPE_ACTION_AT_START.store(action.sa_sigaction, Ordering::Relaxed);
    // SAFETY: it only asks about numbers.
    let closed =
        (0..3).filter(|number| unsafe { libc::fcntl(*number, libc::F_GETFD) } < 0).fold(0, |set, n| set | 1 << n);
    CLOSED_AT_START.store(closed, Ordering::Relaxed);
}

// SAFETY: the section holds pointers to functions that take nothing they need, and this is one.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = remember_start;

fn undo_runtime_start() {
    set_action(libc::SIGPIPE, PIPE_ACTION_AT_START.load(Ordering::Relaxed));
    [libc::SIGSEGV, libc::SIGBUS].into_iter().for_each(|signal| set_action(signal, libc::SIG_DFL));
    let closed = CLOSED_AT_START.load(Ordering::Relaxed);
    for number in (0..3).filter(|number| closed & 1 << number != 0) {
        // SAFETY: it was closed when the program started; the runtime's /dev/null goes.
        unsafe { libc::close(number) };
    }
}

/// For messages of tests that compare arguments.
pub fn hex(word: &OsStr) -> String {
    word.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}
