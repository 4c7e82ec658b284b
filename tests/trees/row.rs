//! One row of the table of trees: what is started, when it is asked to stop, and what its user must find afterwards.

use std::fmt::Write as _;

use crate::apps::{Place, Request, catches, is_program, need, need_root};
use crate::support::{Finished, Mode, Outcome, Running, Test, eventually, peer, processes};

const TERM: i32 = libc::SIGTERM;
const INT: i32 = libc::SIGINT;

/// A tree of programs and its stop. Unless the row says otherwise: asked with TERM, as PID 1 and as an ordinary process, with
/// a grace of 20 s as the safety net; nobody may be killed, nobody may be told twice.
#[derive(Clone)]
pub(crate) struct Row {
    name: &'static str,
    command: Vec<&'static str>,
    options: Vec<&'static str>,
    environment: Vec<(&'static str, &'static str)>,
    needs: Vec<&'static str>,
    folder: &'static str,
    files: Vec<(&'static str, &'static str)>,
    ready: Vec<Sign>,
    request: bool,
    jobs: Option<(&'static str, usize)>,
    says: Vec<&'static str>,
    logs: Vec<&'static str>,
    never: Vec<&'static str>,
    code: Option<i32>,
    any_code_after_int: bool,
    of_another_user: bool,
    only_for_root: bool,
    asks: Vec<i32>,
    modes: Vec<Mode>,
    dies_of_ctrl_c: bool,
    peers: &'static str,
}

/// What shows that work is in flight.
#[derive(Clone, Copy)]
enum Sign {
    Stdout(&'static str, usize),
    Stderr(&'static str, usize),
    File(&'static str),
    TermIsCaught,
    Runs(&'static str),
}

/// A row: the name is a sentence, the command may have the names of `Place::fill` in its words.
pub(crate) fn row<const N: usize>(name: &'static str, command: [&'static str; N]) -> Row {
    Row {
        name,
        command: command.to_vec(),
        options: vec!["--grace", "20s"],
        environment: Vec::new(),
        needs: Vec::new(),
        folder: "{dir}",
        files: Vec::new(),
        ready: Vec::new(),
        request: false,
        jobs: None,
        says: Vec::new(),
        logs: Vec::new(),
        never: Vec::new(),
        code: None,
        any_code_after_int: false,
        of_another_user: false,
        only_for_root: false,
        asks: vec![TERM],
        modes: vec![Mode::Pid1, Mode::Ordinary],
        dies_of_ctrl_c: false,
        peers: "",
    }
}

impl Row {
    /// Instead of the grace of 20 s.
    pub(crate) fn options<const N: usize>(mut self, options: [&'static str; N]) -> Self {
        self.options = options.to_vec();
        self
    }

    pub(crate) fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    /// A program that may be missing here, then the row is skipped. The command's first word need not be named.
    pub(crate) fn needs(mut self, program: &'static str) -> Self {
        self.needs.push(program);
        self
    }

    /// Where it is started, instead of its own empty folder.
    pub(crate) fn inside(mut self, folder: &'static str) -> Self {
        self.folder = folder;
        self
    }

    /// A file of its folder, such as a configuration.
    pub(crate) fn file(mut self, name: &'static str, content: &'static str) -> Self {
        self.files.push((name, content));
        self
    }

    /// Work is in flight when this is on standard output.
    pub(crate) fn ready(self, text: &'static str) -> Self {
        self.ready_times(text, 1)
    }

    /// The same, so many times.
    pub(crate) fn ready_times(mut self, text: &'static str, count: usize) -> Self {
        self.ready.push(Sign::Stdout(text, count));
        self
    }

    /// The same on standard error, where servers log.
    pub(crate) fn ready_on_stderr(mut self, text: &'static str, count: usize) -> Self {
        self.ready.push(Sign::Stderr(text, count));
        self
    }

    /// The same in the file SAY_TO of tests/apps/cleanup.py, when a parent holds its standard output.
    pub(crate) fn ready_in_file(mut self, text: &'static str) -> Self {
        self.ready.push(Sign::File(text));
        self.env("SAY_TO", "{dir}/said")
    }

    /// Ready when the main process catches TERM: some say that they are ready before they are.
    pub(crate) fn ready_when_it_catches_term(mut self) -> Self {
        self.ready.push(Sign::TermIsCaught);
        self
    }

    /// Ready when a program of this name runs somewhere in the tree.
    pub(crate) fn ready_when_it_runs(mut self, program: &'static str) -> Self {
        self.ready.push(Sign::Runs(program));
        self
    }

    /// Work is in flight when a web request has been received, and must be answered.
    pub(crate) fn with_a_request(mut self) -> Self {
        self.request = true;
        self
    }

    /// Work is in flight when this many jobs of this queue have been started, and all must be done.
    pub(crate) fn with_jobs(mut self, queue: &'static str, count: usize) -> Self {
        self.jobs = Some((queue, count));
        self.env("QUEUE", queue)
    }

    /// What must be on standard output in the end, in this order.
    pub(crate) fn says<const N: usize>(mut self, lines: [&'static str; N]) -> Self {
        self.says = lines.to_vec();
        self
    }

    /// The same on standard error.
    pub(crate) fn logs<const N: usize>(mut self, lines: [&'static str; N]) -> Self {
        self.logs = lines.to_vec();
        self
    }

    /// What must not be there.
    pub(crate) fn never<const N: usize>(mut self, texts: [&'static str; N]) -> Self {
        self.never = texts.to_vec();
        self
    }

    /// The exit code after TERM. Without it: any but 137.
    pub(crate) fn code(mut self, code: i32) -> Self {
        self.code = Some(code);
        self
    }

    /// Asks with INT as well, and must find the same.
    pub(crate) fn also_int(mut self) -> Self {
        self.asks.push(INT);
        self
    }

    /// Asks with INT instead.
    pub(crate) fn only_int(mut self) -> Self {
        self.asks = vec![INT];
        self
    }

    /// As `also_int`, but the exit code is another matter: a shell whose program was interrupted ends by SIGINT itself.
    pub(crate) fn also_int_with_any_code(mut self) -> Self {
        self.any_code_after_int = true;
        self.also_int()
    }

    /// graceinit is root without CAP_SYS_PTRACE, as in Docker, and the command another user: its files in /proc are closed.
    pub(crate) fn of_another_user(mut self) -> Self {
        self.of_another_user = true;
        self.only_as_pid_1()
    }

    /// It cleans up and then ends by Ctrl+C with a traceback, as Python programs do that catch nothing.
    pub(crate) fn dies_of_ctrl_c(mut self) -> Self {
        self.dies_of_ctrl_c = true;
        self
    }

    /// Nobody asks: the main process ends by itself.
    pub(crate) fn unasked(mut self) -> Self {
        self.asks = vec![0];
        self
    }

    /// It needs real root.
    pub(crate) fn only_for_root(mut self) -> Self {
        self.only_for_root = true;
        self
    }

    /// Only as PID 1: it costs too much to do everything twice, or cannot be done otherwise.
    pub(crate) fn only_as_pid_1(mut self) -> Self {
        self.modes = vec![Mode::Pid1];
        self
    }

    /// How today's inits do here (`main` is tini, `group` is `tini -g` and dumb-init); see it with GRACEINIT_UNDER_TEST=/usr/bin/tini.
    pub(crate) fn peers(mut self, outcome: &'static str) -> Self {
        self.peers = outcome;
        self
    }

    /// The tests of this row: each signal as PID 1; TERM as an ordinary process, too.
    pub(crate) fn tests(&self) -> Vec<Test> {
        let mut tests = Vec::new();
        for mode in &self.modes {
            for signal in &self.asks {
                if *mode == Mode::Ordinary && *signal == INT {
                    continue;
                }
                let (row, mode, signal) = (self.clone(), *mode, *signal);
                let place = if mode == Mode::Pid1 { "as PID 1" } else { "as an ordinary process" };
                let asked = if signal == INT { ", asked with INT" } else { "" };
                tests.push(Test::new(format!("{}{asked} {place}", row.name), move || row.run(mode, signal)));
            }
        }
        tests
    }

    fn run(&self, mode: Mode, signal: i32) -> Outcome {
        if let Some(peer) = peer() {
            eprintln!("{}: {peer:?} is known to do this: {}", self.name, self.peers);
        }
        if self.of_another_user || self.only_for_root {
            need_root();
        }
        self.needs.iter().for_each(|program| drop(need(program)));
        let place = if self.of_another_user { Place::for_another_user() } else { Place::new() };
        let redis = self.jobs.map(|(queue, count)| {
            let redis = place.start_redis();
            place.queue_jobs(queue, count);
            redis
        });
        let running = self.start(&place, mode);
        let request = self.wait_until_in_flight(&running, &place);
        if signal != 0 {
            running.signal(signal);
        }
        place.has_been_asked();
        let finished = running.finish();
        if let Some(request) = request {
            request.check_answered();
        }
        if let Some((queue, count)) = self.jobs {
            place.check_jobs_done(queue, count, &finished);
        }
        self.check(&place, &finished, signal);
        drop(redis);
        Ok(())
    }

    fn start(&self, place: &Place, mode: Mode) -> Running {
        self.files.iter().for_each(|(name, content)| place.write(name, content));
        let mut init = place.init(mode).options(place.words(&self.options)).current_dir(place.fill(self.folder));
        for (name, value) in &self.environment {
            init = init.env(name, place.fill(value));
        }
        let mut command = Vec::new();
        if self.of_another_user {
            init = init.wrapper(["setpriv", "--bounding-set=-sys_ptrace", "--"]);
            command.extend(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"].map(str::to_owned));
        }
        command.extend(place.command(&self.command));
        init.command(command).start()
    }

    fn wait_until_in_flight(&self, running: &Running, place: &Place) -> Option<Request> {
        for sign in &self.ready {
            match sign {
                Sign::Stdout(text, count) => drop(running.wait_for_nth(text, *count)),
                Sign::Stderr(text, count) => drop(running.wait_for_nth_stderr(text, *count)),
                Sign::File(text) => drop(place.wait_for_file("said", text)),
                Sign::TermIsCaught => eventually("TERM is caught", || {
                    let main = processes::children(running.pid()).into_iter().next()?;
                    catches(main, TERM).then_some(())
                }),
                Sign::Runs(program) => eventually("the program runs", || {
                    let tree = processes::descendants(running.pid());
                    tree.into_iter().any(|pid| is_program(pid, program)).then_some(())
                }),
            }
        }
        if let Some((_, count)) = self.jobs {
            eventually("all jobs have started", || (place.count_jobs("started") == count).then_some(()));
        }
        let request = self.request.then(|| place.request("/"))?;
        running.wait_for("request started");
        Some(request)
    }

    fn check(&self, place: &Place, finished: &Finished, signal: i32) {
        if let Some(code) = self.code.filter(|_| !(signal == INT && self.any_code_after_int)) {
            finished.check_code(code);
        }
        let mut problems = String::new();
        let mut complain = |what: String| writeln!(problems, "{what}").unwrap_or_default();
        for (stream, texts) in [(&finished.stdout, &self.says), (&finished.stderr, &self.logs)] {
            let mut lines = stream.iter();
            for text in texts {
                if !lines.any(|line| line.contains(&place.fill(text))) {
                    complain(format!("no {text:?}, or not in this order"));
                }
            }
        }
        for text in &self.never {
            if finished.stdout.iter().any(|line| line.contains(text)) {
                complain(format!("{text:?} was not to be"));
            }
        }
        let told: Vec<_> = finished.stdout.iter().filter(|line| line.contains(" told")).collect();
        if let Some(line) =
            told.iter().enumerate().find_map(|(at, line)| told.iter().skip(at + 1).find(|other| *other == line))
        {
            complain(format!("told twice: {line:?}"));
        }
        if finished.code == 137
            || finished.stderr.iter().any(|line| line.contains("SIGKILL to") || line.contains("SIGKILLed"))
        {
            complain("somebody had to be killed".to_owned());
        }
        let all = finished.stdout.iter().chain(&finished.stderr);
        if !self.dies_of_ctrl_c && all.into_iter().any(|line| line.contains("Traceback")) {
            complain("a traceback".to_owned());
        }
        assert!(problems.is_empty(), "{problems}{finished:#?}");
    }
}
