//! The program: arguments in, exit code out.
#![no_main]

#[path = "sys/start.rs"]
mod start;

use std::ffi::OsString;

use graceinit::cli::{self, Asked};
use graceinit::supervise::{self, Exit};
use graceinit::sys::{child, proc, signals, stderr};
use graceinit::{exit, report};

/// What `start` calls with argv, and whose result is the exit code.
fn run(arguments: Vec<OsString>) -> u8 {
    match try_run(arguments) {
        Ok(Exit::Code(code)) => code,
        Ok(Exit::Signal(signal)) => {
            child::end_by(signal);
            exit::code(graceinit::process::End::Killed(signal))
        }
        Err(error) => {
            stderr::Log::open().line(&report::prefixed(&format!("{error:#}")));
            exit::OURS
        }
    }
}

fn try_run(arguments: Vec<OsString>) -> anyhow::Result<Exit> {
    // Before anything else: as PID 1 a signal is lost as long as nothing has been said about it.
    let inherited = signals::take_over()?;
    let environment = |name: &str| {
        // The outer graceinit runs it, and writes it.
        let is_outer = matches!(name, "GRACEINIT_PRE_STOP" | "GRACEINIT_REPORT") && proc::is_nested();
        if is_outer { None } else { start::variable(name) }
    };
    match cli::parse(arguments, environment)? {
        Asked::Run(config) => supervise::run(*config, inherited),
        Asked::Print(text) => {
            let _ = signals::set_mask(inherited.mask);
            stderr::print(&text)?;
            Ok(Exit::Code(0))
        }
    }
}
