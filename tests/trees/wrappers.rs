//! Programs that know one signal, alone and inside everything that people wrap around them.

use crate::row::{Row, row};

pub(crate) fn rows() -> Vec<Row> {
    [alone(), shells(), traps(), loops_and_pipelines(), python_wrappers(), forwarders(), nothing_to_clean_up()].concat()
}

fn alone() -> Vec<Row> {
    vec![
        row("a_python_program_that_only_knows_ctrl_c_cleans_up", ["{app}", "app", "INT"])
            .ready("app ready")
            .says(["app told INT", "app clean"])
            .code(0)
            .also_int()
            .peers("main: lost, group: lost"),
        row("a_program_that_only_knows_term_cleans_up", ["{app}", "app", "TERM"])
            .ready("app ready")
            .says(["app told TERM", "app clean"])
            .code(0)
            .also_int()
            .peers("ok; asked with INT: lost"),
        row("a_program_that_knows_both_gets_what_was_received", ["{app}", "app", "INT,TERM"])
            .ready("app ready")
            .says(["app told TERM", "app clean"])
            .code(0)
            .peers("ok"),
        row("asyncio_run_awaits_its_finally", ["{python}", "{apps}/ctrl_c_asyncio.py"])
            .ready("task started")
            .says(["task closed"])
            .dies_of_ctrl_c()
            .code(130)
            .also_int()
            .peers("main: lost, group: lost"),
        row("an_apscheduler_lets_its_running_job_finish", ["{bin}/python", "{apps}/ctrl_c_scheduler.py"])
            .ready("job started")
            .says(["scheduler told", "job done", "scheduler stopped"])
            .code(0)
            .also_int()
            .peers("main: lost, group: lost"),
    ]
}

fn shells() -> Vec<Row> {
    const OVER_INT: &str = "{app} app INT; echo after $?";
    const OVER_TERM: &str = "{app} app TERM; echo after $?";
    let over_int = |row: Row| {
        let row = row.ready("app ready").says(["app told INT", "app clean"]).code(0);
        row.peers("main: lost, group: lost")
    };
    let over_term = |row: Row| {
        let row = row.ready("app ready").says(["app told TERM", "app clean"]).code(0);
        row.peers("main: lost, group: lost, as the init leaves with the shell")
    };
    vec![
        over_int(row("dash_over_a_program_that_only_knows_ctrl_c", ["dash", "-c", OVER_INT])).also_int_with_any_code(),
        over_int(row("bash_over_a_program_that_only_knows_ctrl_c", ["bash", "-c", OVER_INT])).also_int_with_any_code(),
        over_int(row("ash_over_a_program_that_only_knows_ctrl_c", ["busybox", "ash", "-c", OVER_INT]))
            .also_int_with_any_code(),
        over_term(row("dash_over_a_program_that_only_knows_term", ["dash", "-c", OVER_TERM])).also_int_with_any_code(),
        over_term(row("bash_over_a_program_that_only_knows_term", ["bash", "-c", OVER_TERM])).also_int_with_any_code(),
        over_term(row("ash_over_a_program_that_only_knows_term", ["busybox", "ash", "-c", OVER_TERM]))
            .also_int_with_any_code(),
        over_int(row("dash_of_another_user_over_a_program_that_only_knows_ctrl_c", ["dash", "-c", OVER_INT]))
            .of_another_user(),
        over_term(row("bash_of_another_user_over_a_program_that_only_knows_term", ["bash", "-c", OVER_TERM]))
            .of_another_user(),
        row(
            "a_shell_in_a_shell_in_a_shell",
            ["dash", "-c", "bash -c \"busybox ash -c '{app} app INT; true'; true\"; true"],
        )
        .needs("bash")
        .needs("busybox")
        .ready("app ready")
        .says(["app told INT", "app clean"])
        .code(0)
        .peers("main: lost, group: lost"),
    ]
}

fn traps() -> Vec<Row> {
    const FOREGROUND: &str = "trap 'echo trap ran' TERM; {app} app INT; echo after";
    const BACKGROUND: &str =
        "trap 'kill -TERM $app; wait $app; echo trap ran; exit 0' TERM; {app} app TERM & app=$!; wait $app";
    const JOB: &str = "trap 'echo trap told; wait $job; echo drained; exit 0' TERM; (echo job started; while [ ! -e {dir}/asked ]; do sleep 0.02; done; sleep 1; echo job done) & job=$!; wait $job";
    const SLOW: &str = "trap 'sleep 1; echo trap done; exit 5' TERM; sleep 1000";
    let foreground = |row: Row| {
        let row = row.ready("app ready").says(["app told INT", "app clean", "trap ran", "after"]).code(0);
        row.peers("main: hang, group: lost")
    };
    let background = |row: Row| {
        let row = row.ready("app ready").says(["app told TERM", "app clean", "trap ran"]).code(0);
        row.peers("main: ok, group: told twice")
    };
    let job = |row: Row| {
        row.ready_when_it_runs("sleep")
            .says(["trap told", "job done", "drained"])
            .code(0)
            .peers("main: ok, group: lost")
    };
    let slow = |row: Row| row.ready_when_it_runs("sleep").says(["trap done"]).code(5).peers("main: hang, group: ok");
    vec![
        foreground(row("a_trap_in_dash_runs_after_the_program_that_only_knows_ctrl_c", ["dash", "-c", FOREGROUND])),
        foreground(row("a_trap_in_bash_runs_after_the_program_that_only_knows_ctrl_c", ["bash", "-c", FOREGROUND])),
        foreground(row(
            "a_trap_in_ash_runs_after_the_program_that_only_knows_ctrl_c",
            ["busybox", "ash", "-c", FOREGROUND],
        )),
        background(row("a_trap_in_dash_tells_its_background_program_once", ["dash", "-c", BACKGROUND])),
        background(row("a_trap_in_bash_tells_its_background_program_once", ["bash", "-c", BACKGROUND])),
        job(row("a_trap_in_dash_waits_for_a_job_in_the_background", ["dash", "-c", JOB])),
        job(row("a_trap_in_bash_waits_for_a_job_in_the_background", ["bash", "-c", JOB])),
        slow(row("a_slow_trap_in_dash_is_left_to_finish", ["dash", "-c", SLOW])),
        slow(row("a_slow_trap_in_bash_is_left_to_finish", ["bash", "-c", SLOW])),
        // bash catches TERM for its EXIT trap too, and other than with `trap ... TERM` it does not wait for its program then.
        row(
            "a_trap_for_exit_in_bash_runs_after_the_program",
            ["bash", "-c", "trap 'echo trap ran' EXIT; {app} app TERM; echo after"],
        )
        .ready("app ready")
        .says(["app told TERM", "app clean", "after", "trap ran"])
        .code(0)
        .also_int_with_any_code()
        .peers("main: the trap runs too early, group: the same"),
        row(
            "a_trap_for_exit_in_dash_runs_after_the_program",
            ["dash", "-c", "trap 'echo trap ran' EXIT; {app} app TERM; echo after"],
        )
        .ready("app ready")
        .says(["app told TERM", "app clean", "after", "trap ran"])
        .code(0)
        .peers("main: lost, group: lost"),
        row(
            "a_trap_for_exit_finds_its_background_program_told_once",
            ["bash", "-c", "trap 'kill $app; wait; echo trap ran' EXIT; {app} app TERM & app=$!; wait $app"],
        )
        .ready("app ready")
        .says(["app told TERM", "app clean", "trap ran"])
        .peers("main: ok, group: told twice"),
    ]
}

fn loops_and_pipelines() -> Vec<Row> {
    // Each round's program has another name: none of them may be told twice.
    const LOOP: &str = "n=0; while :; do n=$((n+1)); {app} app$n INT; done";
    let around = |row: Row| {
        let row = row.ready("app1 ready").says(["app1 told INT", "app1 clean"]).code(143).dies_of_ctrl_c();
        row.peers("main: lost, group: lost")
    };
    let pipeline = |row: Row| row.ready("app ready").peers("main: hang, group: lost (EPIPE)");
    vec![
        around(row("a_loop_in_dash_lets_its_program_finish_and_ends", ["dash", "-c", LOOP])),
        around(row("a_loop_in_bash_lets_its_program_finish_and_ends", ["bash", "-c", LOOP])),
        pipeline(row(
            "a_pipeline_carries_the_last_words_of_a_program_that_knows_term",
            ["sh", "-c", "{app} app TERM | cat"],
        ))
        .says(["app told TERM", "app clean"])
        .also_int_with_any_code(),
        pipeline(row(
            "a_pipeline_carries_the_last_words_of_a_program_that_only_knows_ctrl_c",
            ["sh", "-c", "{app} app INT | cat"],
        ))
        .says(["app told INT", "app clean"])
        .also_int_with_any_code(),
        pipeline(row(
            "a_pipeline_into_a_subshell_carries_the_last_words",
            ["sh", "-c", "{app} app TERM | (cat; true)"],
        ))
        .says(["app told TERM", "app clean"]),
        pipeline(row(
            "a_pipeline_in_bash_into_a_subshell_carries_the_last_words",
            ["bash", "-c", "{app} app INT | (cat; true)"],
        ))
        .says(["app told INT", "app clean"]),
    ]
}

fn python_wrappers() -> Vec<Row> {
    const INT: [&str; 3] = ["{app}", "app", "INT"];
    const TERM: [&str; 3] = ["{app}", "app", "TERM"];
    let run = |name, how, [program, app, signals]: [&'static str; 3]| {
        row(name, ["{python}", "{apps}/run.py", how, program, app, signals]).code(0).peers("main: hang, group: lost")
    };
    let seen = |row: Row| row.ready("app ready");
    let captured = |row: Row| row.ready_in_file("app ready");
    let runs_term = ["app told TERM", "app clean", "wrapper saw 0"];
    let runs_int = ["app told INT", "app clean", "wrapper saw 0"];
    let captures_term = ["captured: app told TERM", "captured: app clean", "wrapper saw 0"];
    let captures_int = ["captured: app told INT", "captured: app clean", "wrapper saw 0"];
    let interrupted = |row: Row| row.says(["wrapper interrupted"]).code(0).peers("main: lost, group: lost");
    const SLEEP: &str = "echo child ready; exec sleep 1000";
    vec![
        seen(run("subprocess_run_over_a_program_that_knows_term", "plain", TERM)).says(runs_term).also_int(),
        seen(run("subprocess_run_over_a_program_that_only_knows_ctrl_c", "plain", INT)).says(runs_int).also_int(),
        captured(run("subprocess_run_with_a_pipe_over_a_program_that_knows_term", "stdout", TERM))
            .says(captures_term)
            .also_int(),
        captured(run("subprocess_run_with_a_pipe_over_a_program_that_only_knows_ctrl_c", "stdout", INT))
            .says(captures_int),
        captured(run("subprocess_run_that_captures_a_program_that_knows_term", "capture", TERM)).says(captures_term),
        captured(run("subprocess_run_that_captures_a_program_that_only_knows_ctrl_c", "capture", INT))
            .says(captures_int)
            .also_int(),
        seen(run("subprocess_run_of_another_user_over_a_program_that_knows_term", "plain", TERM))
            .says(runs_term)
            .of_another_user(),
        captured(run("subprocess_run_of_another_user_that_captures_a_program_that_only_knows_ctrl_c", "capture", INT))
            .says(captures_int)
            .of_another_user(),
        interrupted(row(
            "keyboard_interrupt_around_subprocess_run_of_a_sleep",
            ["{python}", "{apps}/run.py", "plain", "sh", "-c", SLEEP],
        ))
        .ready("child ready")
        .also_int(),
        interrupted(row(
            "keyboard_interrupt_around_subprocess_run_of_a_captured_sleep",
            ["{python}", "{apps}/run.py", "stdout", "sh", "-c", "echo child ready >&2; exec sleep 1000"],
        ))
        .ready_on_stderr("child ready", 1),
    ]
}

fn forwarders() -> Vec<Row> {
    let over_int = |row: Row| {
        let row = row.ready("app ready").says(["app told INT", "app clean"]);
        row.peers("main: lost, group: lost")
    };
    let over_term =
        |row: Row| row.ready("app ready").says(["app told TERM", "app clean"]).code(0).peers("told twice, or ok");
    vec![
        over_int(row("a_nested_dumb_init", ["dumb-init", "{app}", "app", "INT"])).code(0).also_int(),
        over_int(row("a_nested_tini", ["tini", "-s", "--", "{app}", "app", "INT"])).code(0).also_int(),
        over_int(row("a_nested_tini_for_the_group", ["tini", "-s", "-g", "--", "{app}", "app", "INT"])).code(0),
        over_int(row("a_nested_catatonit", ["catatonit", "--", "{app}", "app", "INT"])).code(0),
        over_int(row("a_nested_timeout", ["timeout", "60", "{app}", "app", "INT"])).code(0),
        over_int(row("a_nested_su", ["su", "-s", "/bin/sh", "root", "-c", "{app} app INT; true"]))
            .only_for_root()
            .code(0),
        over_term(row("a_nested_dumb_init_over_a_program_that_knows_term", ["dumb-init", "{app}", "app", "TERM"])),
        over_term(row("a_nested_tini_over_a_program_that_knows_term", ["tini", "-s", "--", "{app}", "app", "TERM"])),
        over_term(row("a_nested_timeout_over_a_program_that_knows_term", ["timeout", "60", "{app}", "app", "TERM"])),
        over_int(row("a_nested_dumb_init_over_a_shell", ["dumb-init", "--", "sh", "-c", "{app} app INT; true"]))
            .code(0),
        over_int(row("a_nested_dumb_init_of_another_user", ["dumb-init", "{app}", "app", "INT"]))
            .code(0)
            .of_another_user(),
        over_int(row(
            "uv_run",
            [
                "{bin}/uv",
                "run",
                "--no-project",
                "--no-config",
                "--offline",
                "--python",
                "{python}",
                "{apps}/cleanup.py",
                "app",
                "INT",
            ],
        ))
        .env("UV_CACHE_DIR", "{dir}/uv")
        .code(0)
        .only_as_pid_1(),
    ]
}

/// These end at all although the grace is infinite: nobody is waited for who has nothing to do.
fn nothing_to_clean_up() -> Vec<Row> {
    let at_once = |row: Row| row.options(["--grace", "infinity"]).never(["after"]);
    vec![
        at_once(row("a_sleep_ends_at_once", ["sh", "-c", "exec sleep 1000"]))
            .ready_when_it_runs("sleep")
            .code(143)
            .peers("main: hang as PID 1, group: ends"),
        at_once(row("a_tail_ends_at_once", ["tail", "-f", "{apps}/node/package.json"]))
            .ready("}")
            .code(143)
            .peers("main: ends, group: ends"),
        at_once(row("a_shell_over_a_sleep_ends_at_once", ["sh", "-c", "sleep 1000; echo after"]))
            .ready_when_it_runs("sleep")
            .code(143)
            .peers("main: ends, and leaves the sleep alone; group: ends"),
        at_once(row("a_trap_over_a_sleep_ends_at_once", ["bash", "-c", "trap 'exit 0' TERM; sleep 1000; echo after"]))
            .ready_when_it_runs("sleep")
            .code(0)
            .peers("main: hang, group: ends"),
        at_once(row(
            "a_trap_for_exit_over_a_sleep_ends_at_once",
            ["bash", "-c", "trap 'echo trap ran' EXIT; sleep 1000; echo after"],
        ))
        .ready_when_it_runs("sleep")
        .says(["trap ran"])
        .code(143)
        .peers("main: ends, group: ends"),
        at_once(row(
            "a_trap_in_dash_over_a_sleep_ends_at_once",
            ["dash", "-c", "trap 'exit 0' TERM; sleep 1000; echo after"],
        ))
        .ready_when_it_runs("sleep")
        .code(0)
        .peers("main: hang, group: ends"),
    ]
}
