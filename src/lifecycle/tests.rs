//! Whole stops in virtual time: a small world of processes that behave, and no real one.

mod stories;
mod world;

use super::*;
use crate::policy::Repeat;
use world::{At, Proc, World, ms};

/// xorshift64*: the same numbers on every run, so that a failure can be looked at again by its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A tree of some processes below main and some daemons, each of them behaving in its own way.
fn random_world(seed: u64) -> World {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let count = 1 + random.below(12);
    let mut world = World::new();
    for number in 0..count {
        let pid = 2 + i32::try_from(number).unwrap();
        let parent = if number == 0 || random.one_in(8) { 1 } else { 2 + i32::try_from(random.below(number)).unwrap() };
        let mut process = Proc::new(pid, parent);
        if random.one_in(4) {
            process = process.shell();
        }
        for signal in [Signal::TERM, Signal::INT] {
            process = match random.below(5) {
                0 | 1 => process.catches(signal),
                2 => process.ignores(signal),
                _ => process,
            };
        }
        process.drain = match random.below(5) {
            0 => None,
            _ => Some(ms(random.below(6000))),
        };
        process.waits_for_children = random.one_in(3);
        process.stopped = random.one_in(12);
        process.group = if random.one_in(6) { pid } else { 2 };
        process.unreadable = random.one_in(15);
        world.add(process);
    }
    world.can_watch = !random.one_in(4);
    world.signal = if random.one_in(4) { Signal::INT } else { Signal::TERM };
    world
}

const GRACE: Duration = ms(10_000);
const LAST_CALL_AT: Duration = ms(9_000);

#[test]
fn whatever_the_tree_everybody_is_told_once_and_nothing_outlives_the_grace() {
    for seed in 1..6000 {
        let mut world = random_world(seed);
        world.policy.grace = Some(GRACE);
        let signal = world.signal;
        world.run();
        assert!(world.all_are_gone(), "seed {seed}: somebody is left: {world:?}");
        // One round of SIGKILL after the deadline at most.
        assert!(world.ended_at <= GRACE + ms(100), "seed {seed}: ended at {:?}", world.ended_at);
        for process in world.everybody() {
            let stops: Vec<_> =
                process.received.iter().filter(|At(_, s)| [Signal::TERM, Signal::INT].contains(s)).collect();
            let own_group = process.group == 2;
            // The group's signal reaches those who ignore it: that one does not count.
            let counted = stops.iter().filter(|At(_, s)| !(own_group && process.does_ignore(*s))).count();
            assert!(counted <= 1, "seed {seed}: {} was told {stops:?}", process.pid);
            let other = if signal == Signal::TERM { Signal::INT } else { Signal::TERM };
            let early = stops.iter().any(|At(at, s)| *s == other && *at < LAST_CALL_AT);
            assert!(
                !(early && process.does_ignore(signal) && !process.is_shell),
                "seed {seed}: {} got {other}",
                process.pid
            );
            // Whoever lived to see the last call has been told by then.
            let lived = process.ended_at.is_none_or(|at| at > LAST_CALL_AT + ms(200));
            assert!(!lived || !stops.is_empty(), "seed {seed}: {} was never told: {world:?}", process.pid);
        }
    }
}

#[test]
fn a_tree_without_clean_up_is_gone_at_once() {
    for seed in 1..2000 {
        let mut world = random_world(seed);
        world.policy.grace = Some(GRACE);
        let harmless = world
            .everybody()
            .all(|p| !p.does_catch_anything() && !p.does_ignore(Signal::TERM) && !p.does_ignore(Signal::INT));
        if !harmless || world.everybody().any(|process| process.unreadable) {
            continue;
        }
        world.run();
        assert!(world.ended_at < ms(50), "seed {seed}: took {:?}: {world:?}", world.ended_at);
    }
}

#[test]
fn without_proc_a_group_is_not_stopped_later() {
    for seed in 1..2000 {
        let build = || {
            let mut world = random_world(seed);
            world.policy.grace = Some(GRACE);
            world.everybody_mut().for_each(|process| process.group = 2);
            world
        };
        let (mut with, mut without) = (build(), build());
        // Only /proc tells that one that ignores the signal can be told the other at the last call.
        if with.everybody().any(|p| p.does_ignore(with.signal) && p.does_catch_anything()) {
            continue;
        }
        without.has_proc = false;
        with.run();
        without.run();
        assert!(without.all_are_gone(), "seed {seed}");
        assert!(
            without.ended_at <= with.ended_at.max(ms(1)),
            "seed {seed}: {:?} {:?}",
            without.ended_at,
            with.ended_at
        );
    }
}

#[test]
fn what_the_main_process_leaves_behind_is_stopped_within_a_grace_that_starts_then() {
    for seed in 1..2000 {
        let mut world = random_world(seed);
        world.policy.grace = Some(GRACE);
        world.main_leaves_at(ms(500));
        world.run();
        assert!(world.all_are_gone(), "seed {seed}");
        assert!(world.ended_at <= ms(500) + GRACE + ms(100), "seed {seed}: ended at {:?}", world.ended_at);
        assert_eq!(world.code, Some(5), "seed {seed}");
    }
}
