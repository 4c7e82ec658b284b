//! Masters and workers: who is in charge tells its own, and nobody else does.

use crate::row::{Row, row};

pub(crate) fn rows() -> Vec<Row> {
    [worker_processes(), families(), queues()].concat()
}

fn worker_processes() -> Vec<Row> {
    let pool = |row: Row| {
        let row = row.ready("task 1 started").ready("task 2 started").code(0);
        row.says(["parent told", "done", "done", "results [1, 2]"])
            .also_int_with_any_code()
            .peers("main: lost, group: lost")
    };
    vec![
        pool(row("a_forked_pool_finishes_its_tasks", ["{python}", "{apps}/workers.py", "pool-fork"])),
        pool(row("a_spawned_pool_finishes_its_tasks", ["{python}", "{apps}/workers.py", "pool-spawn"])),
        pool(row("a_process_pool_executor_finishes_its_tasks", ["{python}", "{apps}/workers.py", "executor"])),
        pool(row(
            "a_pool_below_a_shell_finishes_its_tasks",
            ["sh", "-c", "{python} {apps}/workers.py pool-fork; exit $?"],
        )),
        pool(row("a_pool_of_another_user_finishes_its_tasks", ["{python}", "{apps}/workers.py", "pool-fork"]))
            .of_another_user(),
        row("a_spawned_process_that_is_joined_finishes_its_work", ["{python}", "{apps}/workers.py", "process"])
            .ready("task 1 started")
            .says(["parent told", "task 1 done", "results [0]"])
            .code(0)
            .also_int()
            .peers("main: lost, group: lost"),
    ]
}

fn families() -> Vec<Row> {
    let finishes = ["master told", "worker told", "worker finished the job", "master saw 0"];
    vec![
        row("a_master_tells_its_worker_and_nobody_else_does", ["{python}", "{apps}/family.py", "teller"])
            .ready("master ready")
            .ready("worker ready")
            .says(finishes)
            .never(["dropped"])
            .code(0)
            .peers("main: ok, group: the worker is told twice and drops its job"),
        row("a_daemonised_master_finishes_when_the_main_process_is_gone", ["{python}", "{apps}/family.py", "daemon"])
            .unasked()
            .says(["main leaves", "master told", "worker told", "worker finished the job", "master saw 0"])
            .never(["dropped"])
            .code(0)
            .peers("lost: the init leaves with the main process"),
        row("a_daemonised_master_beside_a_main_process", ["sh", "-c", "{python} {apps}/family.py daemon; sleep 1000"])
            .ready("main leaves")
            .ready_when_it_runs("sleep")
            .says(finishes)
            .never(["dropped"])
            .code(143)
            .peers("lost: it is not in the group, and the init leaves with the main process"),
        // As RabbitMQ leaves its `epmd -daemon` behind.
        row(
            "a_daemon_that_handles_nothing_does_not_hold_up_the_end",
            ["sh", "-c", "setsid sleep 1000 & {app} app TERM; exit 7"],
        )
        .ready("app ready")
        .ready_when_it_runs("sleep")
        .says(["app told TERM", "app clean"])
        .code(7)
        .peers("main: lost, group: lost; an init that waits for everybody hangs"),
        row("a_parent_and_the_child_that_nobody_told_are_both_clean", ["{python}", "{apps}/family.py", "untold"])
            .options(["--grace", "8s"])
            .ready("parent ready")
            .ready("child ready")
            .says(["child told", "child finished the job", "parent clean after 1"])
            .code(0)
            .peers("main: hang, group: ok"),
        row("a_command_that_cleans_up_during_the_stop_is_left_alone", ["{python}", "{apps}/family.py", "cleaner"])
            .ready("cleaner ready")
            .says(["swept", "cleaner clean after 1"])
            .code(0)
            .peers("ok"),
        row(
            "a_process_forked_during_the_stop_gets_its_signal_and_its_time",
            ["{python}", "{apps}/family.py", "successor"],
        )
        .ready("first ready")
        .says(["first leaves", "successor told", "successor finished the job"])
        .code(0)
        .peers("lost: the init leaves with the main process"),
    ]
}

fn queues() -> Vec<Row> {
    let celery =
        |row: Row| row.with_jobs("celery", 1).inside("{apps}").peers("main: ok, group: lost, with exit code 0");
    let dramatiq = |row: Row| {
        let row = row.with_jobs("dramatiq", 2).env("dramatiq_queue_prefetch", "1").inside("{apps}");
        row.ready_on_stderr("Worker process is ready", 2).peers("main: ok, group: lost four times in five")
    };
    let rq = |row: Row| row.with_jobs("rq", 1).inside("{apps}").code(0).peers("ok");
    vec![
        celery(row(
            "a_celery_worker_finishes_its_task",
            ["{bin}/celery", "-A", "jobs", "worker", "--concurrency", "2", "--loglevel", "warning"],
        ))
        .code(0)
        .also_int_with_any_code(),
        celery(row(
            "a_celery_worker_below_a_shell_finishes_its_task",
            ["sh", "-c", "{bin}/celery -A jobs worker --concurrency 2 --loglevel warning; exit $?"],
        ))
        .code(0)
        .also_int_with_any_code(),
        dramatiq(row(
            "both_dramatiq_workers_finish_their_jobs",
            ["{bin}/dramatiq", "--processes", "2", "--threads", "1", "jobs"],
        ))
        .code(0)
        .also_int_with_any_code(),
        rq(row("an_rq_worker_finishes_its_job", ["{bin}/rq", "worker", "--url", "unix://{dir}/redis.socket"]))
            .also_int(),
    ]
}
