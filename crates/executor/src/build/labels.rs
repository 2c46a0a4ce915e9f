//! Computes the labels that are known only when an image is built, and passes labels to the engine.
//!
//! The other labels are in the plan. The keys are in [`plan::label`], the value of `.from` in
//! [`plan::provenance`].

use std::collections::BTreeMap;

use plan::label::{self, Field, oci};
pub(crate) use plan::provenance::BuiltFrom;
use plan::{Build, Kind};

/// Limit for the labels of one image, keys and values together. Larger labels slow down the
/// engine's requests and every reader; such data belongs in a referring artifact.
pub(crate) const MAX_BYTES: usize = 16 * 1024;

/// The time in labels: the current time, or `SOURCE_DATE_EPOCH`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Timestamp {
    /// Milliseconds since 1970.
    millis: i64,
    /// Whether the fraction of a second is printed.
    fraction: bool,
}

impl Timestamp {
    pub(crate) fn from_epoch(seconds: i64) -> Self {
        Self { millis: seconds.saturating_mul(1000), fraction: false }
    }

    pub(crate) fn from_clock(time: std::time::SystemTime) -> Self {
        let millis = time.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis());
        Self { millis: i64::try_from(millis).unwrap_or(i64::MAX), fraction: true }
    }

    fn unix(self) -> String {
        if self.fraction {
            format!("{}.{:03}", self.millis.div_euclid(1000), self.millis.rem_euclid(1000))
        } else {
            self.millis.div_euclid(1000).to_string()
        }
    }

    /// RFC 3339 in UTC, whole seconds. Clamped to the years 1970 to 9999; the format ends there.
    fn rfc3339(self) -> String {
        const LAST: u64 = 253_402_300_799;
        let seconds = u64::try_from(self.millis.div_euclid(1000)).unwrap_or(0).min(LAST);
        humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
            .to_string()
    }
}

/// The base image of the last stage, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownBase<'a> {
    /// Its name, if it differs from the plan's.
    pub name: Option<&'a str>,
    pub digest: Option<&'a str>,
}

/// All labels of an image.
pub(crate) fn complete(
    build: &Build,
    prefix: &str,
    from: &BuiltFrom,
    base: KnownBase<'_>,
    moment: Timestamp,
) -> BTreeMap<String, String> {
    let key = |field| match build.kind {
        Kind::Science => label::science(prefix, &build.target, field),
        Kind::Compat => label::compat(prefix, field),
    };
    let mut labels = build.labels.clone();
    labels.insert(key(Field::BuildTime), moment.unix());
    labels.insert(
        key(Field::From),
        serde_json::to_string(from).expect("a from label holds only strings as keys"),
    );
    labels.insert(oci::CREATED.to_owned(), moment.rfc3339());
    if let Some(name) = base.name {
        labels.insert(oci::BASE_NAME.to_owned(), name.to_owned());
    }
    labels.insert(oci::BASE_DIGEST.to_owned(), base.digest.unwrap_or_default().to_owned());
    // The build spec is optional here, since its artifact contains it too. The label is emptied
    // instead of removed, because otherwise that of a base image would be inherited.
    if exceed_limit(&labels)
        && let Some(spec) = labels.get_mut(&label::spec(prefix))
    {
        spec.clear();
    }
    labels
}

/// Whether labels exceed [`MAX_BYTES`], with a reserve for a build time that has more digits.
pub(crate) fn exceed_limit(labels: &BTreeMap<String, String>) -> bool {
    bytes(labels) + 16 > MAX_BYTES
}

/// The size of labels in bytes.
pub(crate) fn bytes(labels: &BTreeMap<String, String>) -> usize {
    labels.iter().map(|(key, value)| key.len() + value.len()).sum()
}

/// Appends a LABEL line to a Dockerfile; also returns the labels that the line cannot hold.
///
/// The classic builder makes a step of every label in the request, so they go into one LABEL line
/// at the end. A line end cannot be written in a LABEL line, and a file that ends in a continuation
/// would swallow the line; such labels stay in the request.
pub(crate) fn append_line(
    dockerfile: &str,
    labels: &BTreeMap<String, String>,
) -> (String, BTreeMap<String, String>) {
    let escape = escape_character(dockerfile);
    if ends_in_continuation(dockerfile, escape) {
        return (dockerfile.to_owned(), labels.clone());
    }
    let one_line = |text: &str| !text.contains(['\n', '\r', '\0']);
    let (inside, outside): (BTreeMap<_, _>, BTreeMap<_, _>) =
        labels.clone().into_iter().partition(|(key, value)| one_line(key) && one_line(value));
    if inside.is_empty() {
        return (dockerfile.to_owned(), outside);
    }
    let mut text = dockerfile.to_owned();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str("LABEL");
    for (key, value) in &inside {
        text.push(' ');
        text.push_str(&quote(key, escape));
        text.push('=');
        text.push_str(&quote(value, escape));
    }
    text.push('\n');
    (text, outside)
}

/// Quotes a word for an instruction with double quotes, in which only the escape character, `"` and
/// `$` are special (Dockerfile reference, "Environment replacement").
fn quote(word: &str, escape: char) -> String {
    let mut quoted = String::with_capacity(word.len() + 2);
    quoted.push('"');
    for c in word.chars() {
        if c == '"' || c == '$' || c == escape {
            quoted.push(escape);
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// The `# escape=` directive, recognised only among the comments that open a file.
fn escape_character(dockerfile: &str) -> char {
    for line in dockerfile.trim_start_matches('\u{feff}').lines() {
        let Some((name, value)) = line.trim().strip_prefix('#').and_then(|rest| rest.split_once('=')) else {
            break;
        };
        match (name.trim().to_ascii_lowercase().as_str(), value.trim()) {
            ("escape", "`") => return '`',
            ("escape", _) => break,
            _ => {}
        }
    }
    '\\'
}

/// Whether the last instruction continues on the next line. Comments and empty lines do not end it.
fn ends_in_continuation(dockerfile: &str, escape: char) -> bool {
    dockerfile
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .is_some_and(|line| line.ends_with(escape))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn values_are_quoted_for_the_dockerfile() {
        for (dockerfile, value, expect) in [
            ("FROM a\n", "plain", "FROM a\nLABEL \"k\"=\"plain\"\n"),
            ("FROM a", "", "FROM a\nLABEL \"k\"=\"\"\n"),
            ("FROM a", "two words", "FROM a\nLABEL \"k\"=\"two words\"\n"),
            ("FROM a", r#"say "hi""#, "FROM a\nLABEL \"k\"=\"say \\\"hi\\\"\"\n"),
            ("FROM a", "$HOME ${X}", "FROM a\nLABEL \"k\"=\"\\$HOME \\${X}\"\n"),
            ("FROM a", r"back\slash\", "FROM a\nLABEL \"k\"=\"back\\\\slash\\\\\"\n"),
            ("FROM a", "it's # é `tick`", "FROM a\nLABEL \"k\"=\"it's # é `tick`\"\n"),
            ("# escape=`\nFROM a", r"C:\x `y` $z", "# escape=`\nFROM a\nLABEL \"k\"=\"C:\\x ``y`` `$z\"\n"),
            (
                "# syntax=docker/dockerfile:1\n# Escape = `\nFROM a",
                "$",
                "# syntax=docker/dockerfile:1\n# Escape = `\nFROM a\nLABEL \"k\"=\"`$\"\n",
            ),
            ("# hello\n# escape=`\nFROM a", "$", "# hello\n# escape=`\nFROM a\nLABEL \"k\"=\"\\$\"\n"),
            ("\n# escape=`\nFROM a", "$", "\n# escape=`\nFROM a\nLABEL \"k\"=\"\\$\"\n"),
            ("FROM a\nRUN x \\\n\n  y\n", "v", "FROM a\nRUN x \\\n\n  y\nLABEL \"k\"=\"v\"\n"),
        ] {
            let (text, rest) = append_line(dockerfile, &map(&[("k", value)]));
            assert_eq!(text, expect);
            assert_eq!(rest, map(&[]), "{value:?}");
        }
    }

    #[test]
    fn what_a_line_cannot_hold_is_left_for_the_request() {
        let labels = map(&[("a", "x"), ("b", "two\nlines")]);
        let (text, rest) = append_line("FROM a\n", &labels);
        assert_eq!((text.as_str(), rest), ("FROM a\nLABEL \"a\"=\"x\"\n", map(&[("b", "two\nlines")])));
        for open in ["FROM a\nRUN x \\", "FROM a\nRUN x \\\n\n# why\n", "# escape=`\nFROM a\nRUN x `\n"] {
            assert_eq!(append_line(open, &labels), (open.to_owned(), labels.clone()));
        }
    }

    #[test]
    fn moments_are_told_in_both_forms() {
        let epoch = Timestamp::from_epoch(1_700_000_000);
        assert_eq!((epoch.unix(), epoch.rfc3339()), ("1700000000".into(), "2023-11-14T22:13:20Z".into()));
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_700_000_000_042);
        let clock = Timestamp::from_clock(time);
        assert_eq!((clock.unix(), clock.rfc3339()), ("1700000000.042".into(), "2023-11-14T22:13:20Z".into()));
        assert_eq!(Timestamp::from_epoch(i64::MAX).rfc3339(), "9999-12-31T23:59:59Z");
        assert_eq!(Timestamp::from_epoch(-1).rfc3339(), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn the_from_label_has_its_documented_form() {
        let mut from = BuiltFrom::default();
        from.layers.insert("nist-basic:1.0".into(), Some("1.0-41-0a1b2c3".into()));
        from.images.insert("docker.io/library/debian:12".into(), None);
        assert_eq!(
            serde_json::to_string(&from).unwrap(),
            r#"{"layers":{"nist-basic:1.0":"1.0-41-0a1b2c3"},"images":{"docker.io/library/debian:12":null}}"#
        );
        assert_eq!(serde_json::from_str::<BuiltFrom>("{\"future\":1}").unwrap(), BuiltFrom::default());
    }
}
