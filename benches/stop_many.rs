//! What a stop of 1 to 10,000 processes costs graceinit itself: the time on a CPU from the stop request to the line that says
//! whom it told (reading /proc, planning, delivering), and until it leaves. `cargo bench --bench stop_many`.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::undocumented_unsafe_blocks,
    reason = "a benchmark: it may fail in any way, print and start processes"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::{env, thread, time::Duration};

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let [_, name, count, kind] = arguments.as_slice()
        && name == "--family"
    {
        return family(count.parse().unwrap(), kind);
    }
    println!("| processes | tree | plan and delivery | per process | whole stop |\n|---|---|---|---|---|");
    for kind in ["one group", "below a master"] {
        for count in [1, 100, 1000, 10_000] {
            let (told, whole) = measure(count, kind);
            let each = told / f64::from(count);
            println!("| {count} | {kind} | {told:.2} ms | {:.1} us | {whole:.1} ms |", each * 1000.0);
        }
    }
}

/// Milliseconds of CPU time of graceinit, as PID 1 of a namespace.
fn measure(count: u32, kind: &str) -> (f64, f64) {
    let mut unshare = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "--kill-child"])
        .args([env!("CARGO_BIN_EXE_graceinit"), "--grace", "60s", "--"])
        .arg(env::current_exe().unwrap())
        .args(["--family", &count.to_string(), kind])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(unshare.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", unshare.id())).unwrap();
    let init: i32 = children.split_whitespace().next().unwrap().parse().unwrap();
    let statistics = fs::File::open(format!("/proc/{init}/schedstat")).unwrap();
    let before = on_cpu(&statistics).unwrap();
    unsafe { libc::kill(init, libc::SIGTERM) };
    let mut lines = BufReader::new(unshare.stderr.take().unwrap()).lines().map_while(Result::ok);
    lines.find(|line| line.contains(" to ")).unwrap();
    let told = on_cpu(&statistics).unwrap();
    let mut whole = told;
    while unshare.try_wait().unwrap().is_none() {
        whole = on_cpu(&statistics).unwrap_or(whole);
        thread::sleep(Duration::from_millis(5));
    }
    (told - before, whole - before)
}

/// The first field of schedstat: nanoseconds on a CPU.
fn on_cpu(mut file: &fs::File) -> Option<f64> {
    use std::io::Seek;
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    let nanoseconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds / 1e6)
}

/// The command: `count` processes in all, which die of TERM; the master leaves at once when it is told.
fn family(count: u32, kind: &str) {
    extern "C" fn leave(_: libc::c_int) {
        unsafe { libc::_exit(0) };
    }
    for _ in 1..count {
        if unsafe { libc::fork() } == 0 {
            loop {
                unsafe { libc::pause() };
            }
        }
    }
    if kind == "below a master" {
        unsafe { libc::signal(libc::SIGTERM, leave as *const () as libc::sighandler_t) };
    }
    println!("ready");
    loop {
        unsafe { libc::pause() };
    }
}
