//! Signals as plain numbers with their names, real-time ones included, and sets of them.
//!
//! The numbers are those of `include/uapi/asm-generic/signal.h`, which x86-64, aarch64, arm, riscv and powerpc share;
//! `sys::signals` checks them against libc when it is compiled. RTMIN is the kernel's 34 everywhere: glibc says 34 and
//! musl 35, and a name must not mean another number because another libc was linked.
#![forbid(unsafe_code)]

use std::fmt;

/// A signal's number, from 1 to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

macro_rules! signals {
    ($($name:ident = $number:literal),* $(,)?) => {
        /// The standard signals of signal(7).
        #[allow(missing_docs, reason = "signal(7) documents them")]
        impl Signal {
            $(pub const $name: Self = Self($number);)*
        }
        const NAMES: &[(Signal, &str)] = &[$((Signal($number), stringify!($name))),*];
    };
}

signals! {
    HUP = 1, INT = 2, QUIT = 3, ILL = 4, TRAP = 5, ABRT = 6, BUS = 7, FPE = 8, KILL = 9, USR1 = 10, SEGV = 11, USR2 = 12,
    PIPE = 13, ALRM = 14, TERM = 15, STKFLT = 16, CHLD = 17, CONT = 18, STOP = 19, TSTP = 20, TTIN = 21, TTOU = 22, URG = 23,
    XCPU = 24, XFSZ = 25, VTALRM = 26, PROF = 27, WINCH = 28, IO = 29, PWR = 30, SYS = 31,
}

/// Other names that signal(7) and kill(1) know.
const ALIASES: &[(Signal, &str)] = &[(Signal::ABRT, "IOT"), (Signal::CHLD, "CLD"), (Signal::IO, "POLL")];

/// The first and the last real-time signal, as the kernel counts them.
const RTMIN: u8 = 34;
const RTMAX: u8 = 64;

impl Signal {
    /// The signal with this number, if there is one.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        u8::try_from(number).ok().filter(|n| (1..=RTMAX).contains(n)).map(Self)
    }

    /// Its number, as kill(2) takes it.
    #[must_use]
    pub fn number(self) -> i32 {
        i32::from(self.0)
    }

    /// Reads `TERM`, `SIGTERM`, `15`, `RTMIN+3`, `SIGRTMAX-1`, in either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().ok().and_then(Self::from_number);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let named = NAMES.iter().chain(ALIASES).find(|(_, known)| *known == name).map(|(signal, _)| *signal);
        named.or_else(|| parse_real_time(name))
    }

    /// Whether it is one of the real-time signals, of which each sent instance is queued.
    #[must_use]
    pub fn is_real_time(self) -> bool {
        self.0 >= RTMIN
    }
}

fn parse_real_time(name: &str) -> Option<Signal> {
    let offset = |rest: &str, sign: char| match rest.strip_prefix(sign) {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse::<u8>().ok(),
        None if rest.is_empty() => Some(0),
        _ => None,
    };
    let number = if let Some(rest) = name.strip_prefix("RTMIN") {
        RTMIN.checked_add(offset(rest, '+')?)
    } else {
        RTMAX.checked_sub(offset(name.strip_prefix("RTMAX")?, '-')?)
    };
    number.filter(|n| (RTMIN..=RTMAX).contains(n)).map(Signal)
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SIG")?;
        if let Some((_, name)) = NAMES.iter().find(|(signal, _)| signal == self) {
            return f.write_str(name);
        }
        match self.0.checked_sub(RTMIN) {
            Some(0) => f.write_str("RTMIN"),
            Some(offset) if self.0 < RTMAX => write!(f, "RTMIN+{offset}"),
            Some(_) => f.write_str("RTMAX"),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A set of signals, as the kernel keeps it: bit n-1 stands for signal n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// Every signal, 32 and 33 (which the libcs keep to themselves) included.
    pub const ALL: Self = Self(u64::MAX);

    /// Whether the signal is in the set.
    #[must_use]
    pub fn contains(self, signal: Signal) -> bool {
        self.0 & Self::bit(signal) != 0
    }

    /// The set with this signal in it too.
    #[must_use]
    pub fn with(self, signal: Signal) -> Self {
        Self(self.0 | Self::bit(signal))
    }

    /// The set without this signal.
    #[must_use]
    pub fn without(self, signal: Signal) -> Self {
        Self(self.0 & !Self::bit(signal))
    }

    fn bit(signal: Signal) -> u64 {
        1 << (u32::from(signal.0) - 1)
    }
}

impl FromIterator<Signal> for SignalSet {
    fn from_iter<I: IntoIterator<Item = Signal>>(signals: I) -> Self {
        signals.into_iter().fold(Self::default(), Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_name_that_reads_back() {
        for number in 1..=64 {
            let signal = Signal::from_number(number).unwrap();
            if !(32..=33).contains(&number) {
                assert_eq!(Signal::parse(&signal.to_string()), Some(signal), "{signal}");
            }
            assert_eq!(Signal::parse(&number.to_string()), Some(signal));
        }
    }

    #[test]
    fn names_are_read_in_the_forms_people_write() {
        for text in ["TERM", "SIGTERM", "term", "sigterm", "15"] {
            assert_eq!(Signal::parse(text), Some(Signal::TERM), "{text}");
        }
        assert_eq!(Signal::parse("SIGRTMIN+3"), Signal::from_number(37));
        assert_eq!(Signal::parse("RTMAX-1"), Signal::from_number(63));
        assert_eq!(Signal::parse("RTMIN"), Signal::from_number(34));
        assert_eq!(Signal::parse("RTMAX").unwrap().to_string(), "SIGRTMAX");
        assert_eq!(Signal::parse("IOT"), Some(Signal::ABRT));
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in
            ["", "0", "65", "-1", "+15", "SIG", "TERMS", "RTMIN+31", "RTMAX-31", "RTMIN+", "RTMIN-1", "RTMIN++1", "1 5"]
        {
            assert_eq!(Signal::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_set_keeps_what_was_put_in() {
        let set: SignalSet = [Signal::HUP, Signal::parse("RTMAX").unwrap()].into_iter().collect();
        assert_eq!(set.0, 1 | 1 << 63);
        assert!(set.contains(Signal::HUP) && !set.contains(Signal::INT));
        assert_eq!(set.without(Signal::HUP).0, 1 << 63);
        assert!(SignalSet::ALL.contains(Signal::from_number(32).unwrap()));
    }
}
