//! Single stops, one question each.

use super::*;

fn server(pid: i32, parent: i32) -> Proc {
    Proc::new(pid, parent).catches(Signal::TERM).catches(Signal::INT)
}

fn ctrl_c(pid: i32, parent: i32) -> Proc {
    Proc::new(pid, parent).catches(Signal::INT)
}

/// A world in which nobody asks at once.
fn asked_at(times: &[u64], processes: impl IntoIterator<Item = Proc>) -> World {
    let mut world = World::of(processes);
    world.requests = times.iter().map(|&time| ms(time)).collect();
    world
}

#[test]
fn a_clean_stop_ends_the_moment_nothing_is_left() {
    let mut world = World::of([ctrl_c(2, 1).drains(ms(1234))]);
    world.run();
    assert_eq!((world.ended_at, world.code), (ms(1234), Some(0)));
    assert_eq!(world.got(2, Signal::INT), Some(ms(0)));
}

#[test]
fn what_ignores_everything_is_killed_at_the_grace_and_not_earlier() {
    let mut world = World::of([Proc::new(2, 1).ignores(Signal::TERM).ignores(Signal::INT)]);
    world.policy.grace = Some(ms(2000));
    world.run();
    assert_eq!((world.got(2, Signal::KILL), world.code), (Some(ms(2000)), Some(137)));
}

#[test]
fn a_grace_of_zero_kills_at_once_and_an_infinite_one_never() {
    let mut world = World::of([server(2, 1).drains(ms(500))]);
    world.policy.grace = Some(Duration::ZERO);
    world.run();
    assert_eq!((world.ended_at, world.code, world.got(2, Signal::TERM)), (ms(0), Some(137), None));
    let mut world = World::of([server(2, 1).drains(ms(86_400_000))]);
    world.policy.grace = None;
    world.run();
    assert_eq!((world.ended_at, world.code), (ms(86_400_000), Some(0)));
}

#[test]
fn the_grace_covers_a_worker_that_outlives_the_main_process() {
    let mut world = World::of([server(2, 1), server(3, 2).drains(ms(1000))]);
    world.run();
    assert_eq!((world.got(3, Signal::TERM), world.ended_at, world.code), (Some(ms(0)), ms(1000), Some(0)));
}

#[test]
fn a_worker_of_a_living_master_is_left_alone() {
    let mut world = World::of([server(2, 1).drains(ms(3000)), Proc { group: 3, ..server(3, 2) }]);
    world.run();
    assert_eq!(world.got(3, Signal::TERM), Some(ms(3000)), "told when its master is gone");
}

#[test]
fn those_who_handle_nothing_get_half_a_second_after_the_last_one_in_charge() {
    let mut world = World::of([Proc::new(2, 1).shell(), server(3, 2).drains(ms(200)), Proc::new(4, 2)]);
    world.run();
    assert_eq!(world.got(4, Signal::TERM), Some(ms(700)));
    assert_eq!(world.ended_at, ms(700));
}

#[test]
fn a_parent_that_waits_for_a_child_nobody_told_is_freed_before_the_deadline() {
    let mut world = World::of([Proc { waits_for_children: true, ..server(2, 1) }, server(3, 2).drains(ms(300))]);
    world.policy.grace = Some(ms(9000));
    world.run();
    assert_eq!(world.got(3, Signal::TERM), Some(ms(8100)));
    assert_eq!((world.ended_at, world.code), (ms(8400), Some(0)));
}

#[test]
fn without_pidfds_the_end_of_one_in_charge_is_still_noticed() {
    // The shell waits for the app; its end tells nobody but the shell.
    let mut world = World::of([Proc::new(2, 1).shell(), server(3, 2).drains(ms(250)), Proc::new(4, 2)]);
    world.can_watch = false;
    world.run();
    assert_eq!(world.got(4, Signal::TERM), Some(ms(800)), "read again every 100 ms, then half a second");
}

#[test]
fn without_proc_other_sessions_are_told_when_the_group_is_empty() {
    let mut world =
        World::of([server(2, 1), server(3, 2).drains(ms(400)), Proc { group: 4, ..server(4, 2).drains(ms(100)) }]);
    world.has_proc = false;
    world.run();
    assert_eq!((world.got(3, Signal::TERM), world.got(4, Signal::TERM)), (Some(ms(0)), Some(ms(400))));
    assert_eq!((world.ended_at, world.everybody().all(|process| process.received.len() <= 2)), (ms(500), true));
}

#[test]
fn a_shell_that_starts_a_program_at_the_wrong_moment_is_told_once_and_in_the_end() {
    for changes in [1, 3, 100] {
        let mut world = World::of([server(2, 1).shell().drains(ms(100)), Proc::new(3, 2)]);
        world.changes = changes;
        world.run();
        let told: Vec<usize> = world.everybody().map(|process| process.received.len()).collect();
        assert_eq!((told, world.ended_at), (vec![1, 1], ms(100)), "{changes} changes");
    }
}

#[test]
fn a_repeated_request_is_passed_to_nobody() {
    let mut world = asked_at(&[0, 100, 200], [server(2, 1).drains(ms(1000))]);
    world.run();
    let stops = world.everybody().next().unwrap().received.len();
    assert_eq!((stops, world.ended_at), (1, ms(1000)));
    let told =
        world.notes.iter().filter(|note| matches!(note, Note::Repeated { left: Some(left), .. } if *left < ms(9000)));
    assert_eq!(told.count(), 2);
}

#[test]
fn a_repeated_request_is_forwarded_or_kills_where_that_was_asked() {
    let mut world = asked_at(&[0, 100], [ctrl_c(2, 1).drains(ms(1000))]);
    world.policy.repeat = Repeat::Forward;
    world.run();
    let received: Vec<_> = world.everybody().next().unwrap().received.clone();
    assert_eq!(received, [At(ms(0), Signal::INT), At(ms(100), Signal::INT)]);
    let mut world = asked_at(&[0, 100], [server(2, 1).drains(ms(1000))]);
    world.policy.repeat = Repeat::Kill;
    world.run();
    assert_eq!((world.ended_at, world.code), (ms(100), Some(137)));
}

#[test]
fn a_drain_delays_the_signal_but_not_the_deadline() {
    let stop = |drain: u64, grace: u64, process: Proc| {
        let mut world = World::of([process]);
        world.policy.drain = ms(drain);
        world.policy.grace = Some(ms(grace));
        world.run();
        world
    };
    assert_eq!(stop(3000, 9000, server(2, 1)).got(2, Signal::TERM), Some(ms(3000)));
    let world = stop(3000, 9000, server(2, 1).drains(ms(60_000)));
    assert_eq!(world.got(2, Signal::KILL), Some(ms(9000)));
    // The app always gets half of the time.
    assert_eq!(stop(8000, 9000, server(2, 1)).got(2, Signal::TERM), Some(ms(4500)));
}

#[test]
fn a_second_request_and_the_end_of_the_command_cut_a_drain_short() {
    let mut world = asked_at(&[0, 700], [server(2, 1)]);
    world.policy.drain = ms(3000);
    world.run();
    assert_eq!((world.got(2, Signal::TERM), world.ended_at), (Some(ms(700)), ms(700)));
    let mut world = World::of([server(2, 1), Proc::new(3, 2)]);
    world.main_leaves_at(ms(500));
    world.requests = vec![ms(0)];
    world.policy.drain = ms(3000);
    world.run();
    assert_eq!((world.got(3, Signal::TERM), world.ended_at, world.code), (Some(ms(500)), ms(500), Some(5)));
}

#[test]
fn the_first_signal_waits_for_the_pre_stop_command_and_for_half_the_grace_at_most() {
    let stop = |pre_stop: Option<Proc>| {
        let mut world = World::of([server(2, 1)]);
        world.policy.pre_stop = true;
        world.pre_stop = pre_stop;
        world.run();
        world.got(2, Signal::TERM)
    };
    let command = || Proc { group: 9, ..Proc::new(9, 1) };
    assert_eq!(stop(Some(command().drains(ms(400)))), Some(ms(400)));
    assert_eq!(stop(Some(Proc { drain: None, ..command() })), Some(ms(4500)));
    assert_eq!(stop(None), Some(ms(0)), "one that cannot be started delays nothing");
}

#[test]
fn ok_exit_counts_only_after_a_request() {
    let stop = |asked: bool| {
        let mut world = World::of([Proc { code: 143, ..server(2, 1) }]);
        if !asked {
            world.main_leaves_at(ms(10));
        }
        world.policy.ok_exit = vec![143, 5];
        world.run();
        world.code
    };
    assert_eq!((stop(true), stop(false)), (Some(0), Some(5)));
}

#[test]
fn what_outlives_sigkill_is_named_and_left() {
    let mut world = World::of([Proc { immortal: true, ..server(2, 1).drains(ms(60_000)) }]);
    world.policy.grace = Some(ms(1000));
    world.run();
    assert_eq!((world.ended_at, world.code), (ms(3000), Some(137)));
    assert!(world.notes.iter().any(|note| note.to_string().contains("SIGKILL did not end 2 app")), "{:?}", world.notes);
}

#[test]
fn not_being_pid_1_changes_nothing_for_descendants() {
    let mut world = World::of([]);
    world.init = 100;
    world.add(Proc::new(2, 100).ignores(Signal::TERM).ignores(Signal::INT));
    world.add(Proc { group: 3, ..Proc::new(3, 2).ignores(Signal::TERM).ignores(Signal::INT) });
    world.policy.grace = Some(ms(1000));
    world.run();
    assert!(world.all_are_gone());
    assert_eq!((world.ended_at, world.code), (ms(1000), Some(137)));
}

#[test]
fn a_mapped_stop_request_is_exactly_that_signal() {
    let mut world = World::of([server(2, 1).catches(Signal::QUIT)]);
    world.policy.map = vec![(Signal::TERM, Some(Signal::QUIT))];
    world.run();
    assert_eq!((world.got(2, Signal::QUIT), world.got(2, Signal::TERM)), (Some(ms(0)), None));
    let mut world = asked_at(&[0], [server(2, 1)]);
    world.policy.map = vec![(Signal::TERM, None)];
    world.everybody_mut().for_each(|process| process.drain = Some(ms(0)));
    world.requests.push(ms(5));
    world.policy.stop_on = [Signal::TERM].into_iter().collect();
    world.main_leaves_at(ms(50));
    world.requests = vec![ms(0)];
    world.run();
    assert_eq!((world.got(2, Signal::TERM), world.ended_at), (None, ms(50)), "dropped: not even a stop request");
}

#[test]
fn exactly_main_group_or_all_are_told_first() {
    let stop = |to: Whom| {
        let mut world = World::of([
            server(2, 1).drains(ms(100)),
            server(3, 2).drains(ms(100)),
            Proc { group: 4, ..server(4, 2).drains(ms(100)) },
        ]);
        world.policy.to = to;
        world.run();
        [2, 3, 4].map(|pid| world.got(pid, Signal::TERM).unwrap().as_millis())
    };
    assert_eq!(stop(Whom::Main), [0, 100, 100]);
    assert_eq!(stop(Whom::Group), [0, 0, 100]);
    assert_eq!(stop(Whom::All), [0, 0, 0]);
}
