//! What the environment tells about the platform.
#![forbid(unsafe_code)]

use std::time::Duration;

/// What a platform does at a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Platform {
    /// How long graceinit waits before SIGKILL when it was not told: less than the platform itself does, so that it has the
    /// last word.
    pub grace: Duration,
    /// It asks for a stop with INT by default (rule 15): Fly.io, Nomad's exec driver, GitHub Actions.
    pub asks_with_interrupt: bool,
    /// It sends SIGTERM to every process itself (rule 16): Heroku.
    pub signals_everybody: bool,
}

impl Platform {
    /// Recognises the platform by the variables that it sets; `is_set` tells whether one is there and not empty.
    #[must_use]
    pub fn detect(is_set: impl Fn(&str) -> bool) -> Self {
        Self {
            // `docker stop` sends SIGKILL after 10 s.
            grace: Duration::from_secs(9),
            asks_with_interrupt: ["FLY_MACHINE_ID", "NOMAD_ALLOC_ID", "GITHUB_ACTIONS"].into_iter().any(&is_set),
            signals_everybody: is_set("DYNO"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_recognised_by_their_variables() {
        let with = |names: &[&str]| Platform::detect(|name| names.contains(&name));
        assert!(with(&["DYNO"]).signals_everybody && !with(&["DYNO"]).asks_with_interrupt);
        assert!(with(&["FLY_MACHINE_ID"]).asks_with_interrupt && with(&["NOMAD_ALLOC_ID"]).asks_with_interrupt);
        let plain = with(&[]);
        assert!(!plain.signals_everybody && !plain.asks_with_interrupt && plain.grace == Duration::from_secs(9));
    }
}
