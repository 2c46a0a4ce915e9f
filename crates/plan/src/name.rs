//! Names with rules: components, versions, build tags. Parsed once, then trusted.

use std::cmp::Ordering;
use std::fmt;

use serde::Serialize;

use crate::Revision;

/// The longest tag that the distribution specification allows, in characters.
pub const MAX_TAG: usize = 128;

/// Why a text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a valid {what}: {rule}")]
pub struct NameError {
    /// The expected form.
    pub what: &'static str,
    /// The text.
    pub found: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

/// One path component of an OCI repository: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
/// (distribution-spec, "Pulling manifests").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// Checks a text against the rule.
    ///
    /// # Errors
    /// [`NameError`] with the rule.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if is_component(text) && text.len() <= MAX_TAG {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError {
            what: "image name",
            found: text.to_owned(),
            rule: "lower case letters and digits, with single '.', '_', '__' or any number of '-' between them, \
                   at most 128 characters",
        })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(crate) fn is_component(text: &str) -> bool {
    let alphanumeric = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    alphanumeric(*first)
        && alphanumeric(*last)
        && bytes.split(|c| alphanumeric(*c)).all(|separator| {
            matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|c| *c == b'-')
        })
}

/// The version of a product: `[0-9]+(\.[0-9A-Za-z_]+)*`.
///
/// Versions compare by component, numbers as numbers: 2.9 < 2.10. A number comes before a word, and
/// a shorter version before a longer one that begins with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Version(String);

impl Version {
    /// Checks a text against the rule.
    ///
    /// # Errors
    /// [`NameError`] with the rule.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let mut components = text.split('.');
        let first = components.next().unwrap_or_default();
        let number = !first.is_empty() && first.bytes().all(|c| c.is_ascii_digit());
        let word =
            |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
        if number && components.all(word) && text.len() <= MAX_TAG {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError {
            what: "version",
            found: text.to_owned(),
            rule: "a number, then any number of parts of letters, digits and '_' with a '.' before each, \
                   at most 128 characters",
        })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0
            .split('.')
            .map(component_key)
            .cmp(other.0.split('.').map(component_key))
            .then_with(|| self.0.cmp(&other.0))
    }
}

/// Compares numbers of any length without parsing them: without leading zeros, fewer digits is
/// less.
fn component_key(component: &str) -> (u8, usize, &str) {
    if component.bytes().all(|c| c.is_ascii_digit()) {
        let digits = component.trim_start_matches('0');
        (0, digits.len(), digits)
    } else {
        (1, 0, component)
    }
}

/// A parsed build tag: `{version}-{commit count}-{short hash}`, followed by `-dirty-{8 hex}` and
/// `-r{N}` where they apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildTag {
    /// The product's version.
    pub version: Version,
    /// Commits reachable from the one that was built.
    pub count: u64,
    /// 7 to 40 lower case hex digits of that commit.
    pub hash: String,
    /// Digest over contents that are not in the commit.
    pub dirty: Option<String>,
    /// The number given to `--rebuild`.
    pub rebuild: Option<u64>,
}

impl BuildTag {
    /// Reads a tag; `None` when it is not a build tag.
    #[must_use]
    pub fn parse(tag: &str) -> Option<Self> {
        let mut parts = tag.split('-').peekable();
        let version = Version::parse(parts.next()?).ok()?;
        let count = parts.next().filter(|part| part.bytes().all(|c| c.is_ascii_digit()))?.parse().ok()?;
        let hash = parts.next().filter(|part| (7..=40).contains(&part.len()) && is_hex(part))?.to_owned();
        let dirty = match parts.next_if_eq(&"dirty") {
            Some(_) => Some(parts.next().filter(|part| part.len() == 8 && is_hex(part))?.to_owned()),
            None => None,
        };
        let rebuild = match parts.next() {
            Some(part) => Some(part.strip_prefix('r')?.parse().ok()?),
            None => None,
        };
        parts.next().is_none().then_some(Self { version, count, hash, dirty, rebuild })
    }
}

impl fmt::Display for BuildTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.version, self.count, self.hash)?;
        if let Some(dirty) = &self.dirty {
            write!(f, "-dirty-{dirty}")?;
        }
        match self.rebuild {
            Some(rebuild) => write!(f, "-r{rebuild}"),
            None => Ok(()),
        }
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

/// The build tag of a version at a revision. An unknown count shows as `?`, which no registry
/// accepts: such a tag can be shown but not built.
#[must_use]
pub fn build_tag(version: &str, revision: &Revision, rebuild: Option<u64>) -> String {
    let mut tag = match revision.count {
        Some(count) => format!("{version}-{count}-{}", revision.short),
        None => format!("{version}-?-{}", revision.short),
    };
    if let Some(dirty) = &revision.dirty {
        tag.push_str("-dirty-");
        tag.push_str(dirty);
    }
    if let Some(rebuild) = rebuild {
        tag.push_str(&format!("-r{rebuild}"));
    }
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_follow_the_distribution_grammar() {
        for good in ["a", "0", "nist-basic", "a--b", "a_b", "a__b", "a.b", "sciserver-essentials"] {
            assert!(Name::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a..b", "a___b", "a._b", "a/b", "a\n", "a\0", "...", "é", "a b"] {
            assert!(Name::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Name::parse(&"a".repeat(129)).is_err());
    }

    #[test]
    fn versions_compare_by_component() {
        let sorted =
            ["1", "1.0", "1.0.1", "1.1", "1.1rc", "2.9", "2.10", "2.10.a", "10.0", "99999999999999999999999"];
        for pair in sorted.windows(2) {
            let [a, b] = [pair[0], pair[1]].map(|text| Version::parse(text).expect("valid"));
            assert!(a < b, "{a} < {b}");
        }
        for bad in ["", "a", "1-2", "1.", ".1", "1..2", "1.é", "v1", "1.0\n"] {
            assert!(Version::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn build_tags_round_trip() {
        for (dirty, rebuild, expect) in [
            (None, None, "2.0-42-f90dbd6"),
            (Some("0a1b2c3d"), None, "2.0-42-f90dbd6-dirty-0a1b2c3d"),
            (None, Some(2), "2.0-42-f90dbd6-r2"),
            (Some("0a1b2c3d"), Some(3), "2.0-42-f90dbd6-dirty-0a1b2c3d-r3"),
        ] {
            let revision = Revision {
                commit: "f90dbd6".repeat(6)[..40].to_owned(),
                count: Some(42),
                short: "f90dbd6".to_owned(),
                dirty: dirty.map(str::to_owned),
                shallow: false,
            };
            let tag = build_tag("2.0", &revision, rebuild);
            assert_eq!(tag, expect);
            let parsed = BuildTag::parse(&tag).expect("our own tags parse");
            assert_eq!((parsed.count, parsed.hash.as_str()), (42, "f90dbd6"));
            assert_eq!((parsed.dirty.as_deref(), parsed.rebuild), (dirty, rebuild));
            assert_eq!(parsed.to_string(), tag);
        }
        for no in [
            "2.0",
            "2.0-42",
            "2.0-42-f90dbd",
            "2.0-x-f90dbd6",
            "2.0-42-F90DBD6",
            "2.0-42-f90dbd6-x",
            "latest",
        ] {
            assert_eq!(BuildTag::parse(no), None, "{no}");
        }
    }
}
