//! Checks the flags of instructions. The flags are those of Docker 29; older builders may not know
//! all of them.

use crate::parse::dockerfile::head::{Flag, Head};
use crate::parse::dockerfile::lines::Line;
use crate::parse::dockerfile::rules::{Rules, did_you_mean, mounts};

/// The kind of value that a flag accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// A value, once.
    One,
    /// A value, any number of times.
    Many,
    /// No value, or `true` or `false`.
    Switch,
}

type Known = &'static [(&'static str, Takes)];

const FROM: Known = &[("platform", Takes::One)];
const RUN: Known =
    &[("device", Takes::Many), ("mount", Takes::Many), ("network", Takes::One), ("security", Takes::One)];
const COPY: Known = &[
    ("chmod", Takes::One),
    ("chown", Takes::One),
    ("exclude", Takes::Many),
    ("from", Takes::One),
    ("link", Takes::Switch),
    ("parents", Takes::Switch),
];
const ADD: Known = &[
    ("checksum", Takes::One),
    ("chmod", Takes::One),
    ("chown", Takes::One),
    ("exclude", Takes::Many),
    ("keep-git-dir", Takes::Switch),
    ("link", Takes::Switch),
    ("unpack", Takes::Switch),
];
const HEALTHCHECK: Known = &[
    ("interval", Takes::One),
    ("retries", Takes::One),
    ("start-interval", Takes::One),
    ("start-period", Takes::One),
    ("timeout", Takes::One),
];

/// Reports flags that no builder accepts.
pub(in crate::parse::dockerfile) fn check(rules: &mut Rules<'_>, line: &Line, head: &Head) {
    let known = match head.keyword.as_str() {
        "from" => FROM,
        "run" => RUN,
        "copy" => COPY,
        "add" => ADD,
        "healthcheck" if line.text[head.rest..].trim().eq_ignore_ascii_case("none") => return,
        "healthcheck" => HEALTHCHECK,
        // Builders read flags of `ARG` as the name of an argument.
        "arg" => return,
        _ => &[],
    };
    let mut used: Vec<&str> = Vec::new();
    for flag in &head.flags {
        let name = flag.name();
        let Some((name, takes)) = known.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = known.iter().map(|(known, _)| *known).collect();
            let message = format!("{} does not accept the flag --{name}", head.keyword.to_ascii_uppercase());
            rules.defect(line, flag.range(), "flag", message, did_you_mean(name, &known));
            continue;
        };
        if *takes != Takes::Many && used.contains(name) {
            rules.defect(line, flag.range(), "flag", format!("a second --{name}"), "leave one of them");
            continue;
        }
        used.push(name);
        let value = flag.value();
        match (takes, value.as_ref().map(|value| value.text)) {
            (Takes::One | Takes::Many, None) => {
                let message = format!("--{name} has no value");
                rules.defect(line, flag.range(), "flag", message, format!("write --{name}=value"));
            }
            (Takes::Switch, Some(value)) if !is_bool_word(value) => {
                let message = format!("--{name}={value} is neither true nor false");
                rules.defect(line, flag.range(), "flag", message, format!("write --{name} or leave it out"));
            }
            (_, Some(value)) => self::value(rules, line, name, value, flag),
            (Takes::Switch, None) => {}
        }
    }
}

fn is_bool_word(value: &str) -> bool {
    value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
}

/// Checks the values of flags that have their own rules.
fn value(rules: &mut Rules<'_>, line: &Line, name: &str, value: &str, flag: &Flag) {
    let help = match name {
        "mount" => return mounts::check(rules, line, flag),
        "network" if !matches!(value, "default" | "none" | "host") => "use default, none or host",
        "security" if !matches!(value, "sandbox" | "insecure") => "use sandbox or insecure",
        "interval" | "timeout" | "start-period" | "start-interval" if !is_duration(value) => {
            "write a time with its unit, at least 1ms: 30s, 1m30s"
        }
        "retries" if !value.is_empty() && value.parse::<u16>().is_err() => "write a number",
        "checksum" if !value.contains('$') && !is_digest(value) => "write sha256: and 64 hex digits",
        "from" | "chown" | "chmod" | "checksum" | "exclude" => {
            if value.contains('$') && name != "from" {
                rules.expand(line, value, flag.range());
            }
            return;
        }
        _ => return,
    };
    rules.defect(line, flag.range(), "flag", format!("--{name} takes no {value:?}"), help);
}

/// Whether a text is a duration as Go's `time.ParseDuration` reads it, and zero or at least a
/// millisecond.
fn is_duration(text: &str) -> bool {
    if matches!(text, "" | "0" | "+0" | "-0") {
        return true;
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let number = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (value, behind) = rest.split_at(number);
        let Ok(value) = value.parse::<f64>() else { return false };
        let units = [
            ("ns", 1e-9),
            ("us", 1e-6),
            ("µs", 1e-6),
            ("μs", 1e-6),
            ("ms", 1e-3),
            ("s", 1.0),
            ("m", 60.0),
            ("h", 3600.0),
        ];
        let unit = units.iter().find_map(|(unit, factor)| Some((behind.strip_prefix(unit)?, factor)));
        // `ms` precedes `m` in the list, since `m` would match its beginning.
        let Some((behind, factor)) = unit else { return false };
        seconds += value * factor;
        rest = behind;
    }
    seconds == 0.0 || seconds >= 0.001
}

fn is_digest(text: &str) -> bool {
    let lengths = [("sha256:", 64), ("sha384:", 96), ("sha512:", 128)];
    lengths.iter().any(|(algorithm, length)| {
        text.strip_prefix(algorithm).is_some_and(|hex| {
            hex.len() == *length && hex.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for good in ["", "0", "0s", "5s", "1m30s", "1.5h", ".5s", "100ms", "1000us", "+3s"] {
            assert!(is_duration(good), "{good}");
        }
        for bad in ["5", "s", "5 s", "-5s", "1us", "999us", "1d", "1.2.3s", "$T"] {
            assert!(!is_duration(bad), "{bad}");
        }
    }
}
