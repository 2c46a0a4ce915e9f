//! Formats numbers, lists, commits and times, and adds colour where it is wanted.

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use plan::Revision;

use crate::cli::escape::escape;

/// `1 build`, `2 builds`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// `a`, `a and b`, `a, b and c`; escaped.
pub(crate) fn list<S: AsRef<str>>(items: &[S]) -> String {
    let mut items: Vec<Cow<'_, str>> = items.iter().map(|item| escape(item.as_ref())).collect();
    match items.pop() {
        None => String::new(),
        Some(last) if items.is_empty() => last.into_owned(),
        Some(last) => format!("{} and {last}", items.join(", ")),
    }
}

/// As [`list`], but only the first two of more than three items are named.
pub(crate) fn short_list<S: AsRef<str>>(items: &[S]) -> String {
    if items.len() <= 3 {
        return list(items);
    }
    let named: Vec<Cow<'_, str>> = items[..2].iter().map(|item| escape(item.as_ref())).collect();
    format!("{} and {} more", named.join(", "), items.len() - 2)
}

/// A commit's first seven digits; anything else as it is.
pub(crate) fn short_commit(commit: &str) -> Cow<'_, str> {
    match commit.get(..7) {
        Some(short) if commit.len() == 40 => Cow::Borrowed(short),
        _ => escape(commit),
    }
}

/// The commit of a tree, and whether the tree has uncommitted changes.
pub(crate) fn as_of(revision: &Revision) -> String {
    let more = if revision.dirty.is_some() { " with uncommitted changes" } else { "" };
    format!("{}{more}", escape(&revision.short))
}

/// The algorithm and the first twelve digits of a digest; anything else as it is.
pub(crate) fn short_digest(digest: &str) -> Cow<'_, str> {
    match digest.strip_prefix("sha256:").and_then(|hex| hex.get(..12)) {
        Some(_) if digest.len() == 71 => escape(&digest[..19]),
        _ => escape(digest),
    }
}

/// Formats a Unix time as RFC 3339 in UTC, in whole seconds. Returns `None` before 1970 and after
/// 9999.
pub(crate) fn rfc3339(seconds: f64) -> Option<String> {
    const LAST: f64 = 253_402_300_799.0;
    let seconds = (0.0..=LAST).contains(&seconds).then_some(seconds as u64)?;
    Some(humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string())
}

/// The UTC date of a Unix time: `2026-11-21`.
pub(crate) fn day(seconds: f64) -> Option<String> {
    rfc3339(seconds).map(|text| text[..10].to_owned())
}

/// `0.4 s`, `34 s`, `2 min 05 s`, `1 h 02 min`.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    if seconds < 9.95 {
        format!("{:.1} s", seconds.max(0.0))
    } else if whole < 60 {
        format!("{whole} s")
    } else if whole < 3600 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{} h {:02} min", whole / 3600, whole % 3600 / 60)
    }
}

/// `512 B`, `1.5 MB`, `2.0 GB`: powers of 1000, as docker shows sizes.
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.95 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// Colours for one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// A terminal that may show colours.
    Colour,
    /// Anything else.
    Plain,
}

impl Paint {
    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Self::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lists_read_as_sentences() {
        assert_eq!((count(1, "build"), count(0, "build")), ("1 build".to_owned(), "0 builds".to_owned()));
        assert_eq!(list::<&str>(&[]), "");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b\n", "c"]), "a, b\\n and c");
        assert_eq!(short_list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(short_list(&["a", "b", "c", "d"]), "a, b and 2 more");
    }

    #[test]
    fn times_and_sizes_keep_two_figures_that_matter() {
        for (seconds, expect) in [
            (0.04, "0.0 s"),
            (9.94, "9.9 s"),
            (9.96, "10 s"),
            (59.4, "59 s"),
            (59.6, "1 min 00 s"),
            (125.0, "2 min 05 s"),
            (3725.0, "1 h 02 min"),
            (-1.0, "0.0 s"),
        ] {
            assert_eq!(duration(seconds), expect);
        }
        for (bytes, expect) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_500, "1.5 kB"),
            (999_960, "1.0 MB"),
            (333_000_000, "333.0 MB"),
            (2_147_483_648, "2.1 GB"),
        ] {
            assert_eq!(size(bytes), expect);
        }
    }
}
