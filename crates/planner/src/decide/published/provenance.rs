//! Reads the provenance labels of a published image: its own build, and the builds that it is based
//! on.

use std::collections::BTreeMap;

use plan::Family;
use plan::label::{self, Field, oci};
use plan::name::BuildTag;
use plan::provenance::BuiltFrom;

/// The labels of an image, including inherited ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct ImageLabels<'a> {
    pub(super) prefix: &'a str,
    pub(super) labels: &'a BTreeMap<String, String>,
}

/// The build that set a label.
#[derive(Debug, Clone, Copy)]
pub(super) enum LabelOwner<'a> {
    /// A science layer, by its target.
    Science(&'a str),
    /// The compat stack on top.
    Compat,
}

/// The commit that an image was built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin<'a> {
    /// The commit, as 7 to 40 hex digits.
    Commit(&'a str),
    /// The build contained uncommitted changes.
    Dirty,
    /// The labels contain no build tag.
    Untold,
}

/// The recorded build of a layer that an image needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BuiltOn {
    /// The build tag that the image was built on.
    Build(String),
    /// The layer's image had no build tag.
    Nameless,
    /// Not recorded.
    Untold,
}

impl<'a> ImageLabels<'a> {
    fn get(&self, of: LabelOwner<'_>, field: Field) -> Option<&'a str> {
        let key = match of {
            LabelOwner::Science(target) => label::science(self.prefix, target, field),
            LabelOwner::Compat => label::compat(self.prefix, field),
        };
        self.labels.get(&key).map(String::as_str)
    }

    /// Returns the build tag of a build. The image name in the label of a compat image is removed.
    pub(super) fn build_tag(&self, of: LabelOwner<'_>) -> Option<&'a str> {
        let text = self.get(of, Field::Version)?;
        match of {
            LabelOwner::Science(_) => Some(text),
            LabelOwner::Compat => plan::tag_of(text),
        }
    }

    /// Returns the inputs digest.
    pub(super) fn inputs(&self, of: LabelOwner<'_>) -> Option<&'a str> {
        self.get(of, Field::Inputs)
    }

    /// Returns the commit of an image's own build. It is the commit in the build tag, with all
    /// digits if the revision label agrees.
    pub(super) fn origin(&self, of: LabelOwner<'_>) -> Origin<'a> {
        let Some(tag) = self.build_tag(of) else { return Origin::Untold };
        let Some(parsed) = BuildTag::parse(tag) else { return Origin::Untold };
        if parsed.dirty.is_some() {
            return Origin::Dirty;
        }
        let is_whole = |revision: &str| {
            revision.len() == 40
                && revision.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
                && revision.starts_with(&parsed.hash)
        };
        match self.labels.get(oci::REVISION) {
            Some(revision) if is_whole(revision) => Origin::Commit(revision),
            _ => tag.split('-').nth(2).map_or(Origin::Untold, Origin::Commit),
        }
    }

    /// Returns the build of a layer that the image was built on. `version` is the version of the
    /// layer.
    pub(super) fn built_on(&self, of: LabelOwner<'_>, target: &str, version: &str) -> BuiltOn {
        if let Some(recorded) = self.recorded(of, target, version) {
            return recorded;
        }
        match self.build_tag(LabelOwner::Science(target)) {
            Some(tag) => BuiltOn::Build(tag.to_owned()),
            None => BuiltOn::Untold,
        }
    }

    /// As [`ImageLabels::built_on`], but only if the image's own build recorded it.
    pub(super) fn recorded(&self, of: LabelOwner<'_>, target: &str, version: &str) -> Option<BuiltOn> {
        let tag = self.from(of).layers.remove(&format!("{target}:{version}"))?;
        Some(tag.map_or(BuiltOn::Nameless, BuiltOn::Build))
    }

    /// Returns the id on the engine of a layer's image, if it was not in a registry yet.
    pub(super) fn id_of(&self, of: LabelOwner<'_>, target: &str, version: &str) -> Option<String> {
        self.from(of).ids.remove(&format!("{target}:{version}"))
    }

    /// Returns the time of a build: Unix time in seconds.
    pub(super) fn build_time(&self, of: LabelOwner<'_>) -> Option<f64> {
        self.get(of, Field::BuildTime)?.parse().ok().filter(|time: &f64| time.is_finite())
    }

    /// Returns the target of the science layer that the image is based on; `None` if the base image
    /// is not below `sci/`.
    pub(super) fn base_target(&self) -> Option<&'a str> {
        let name = self.labels.get(oci::BASE_NAME)?;
        let (family, last) = name.rsplit_once('/')?;
        let is_ours = family.rsplit('/').next() == Some(Family::Sci.as_str());
        let (target, tag) = plan::split_tag(last);
        (is_ours && tag.is_some()).then_some(target)
    }

    /// Returns the recorded inputs of an image; empty if there are none.
    pub(super) fn from(&self, of: LabelOwner<'_>) -> BuiltFrom {
        let text = self.get(of, Field::From);
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_commit_is_that_of_the_build_tag() {
        let full = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567";
        for (pairs, of, expect) in [
            (
                vec![("x.science.a.version", "1.0-7-0a1b2c3")],
                LabelOwner::Science("a"),
                Origin::Commit("0a1b2c3"),
            ),
            (
                vec![("x.science.a.version", "1.0-7-0a1b2c3-r2"), (oci::REVISION, full)],
                LabelOwner::Science("a"),
                Origin::Commit(full),
            ),
            // An image that does not set its revision inherited the label of another image.
            (
                vec![("x.science.a.version", "1.0-7-bbbbbbb"), (oci::REVISION, full)],
                LabelOwner::Science("a"),
                Origin::Commit("bbbbbbb"),
            ),
            (
                vec![("x.science.a.version", "1.0-7-0a1b2c3-dirty-01234567")],
                LabelOwner::Science("a"),
                Origin::Dirty,
            ),
            (vec![("x.science.a.version", "1.0")], LabelOwner::Science("a"), Origin::Untold),
            (vec![("x.science.b.version", "1.0-7-0a1b2c3")], LabelOwner::Science("a"), Origin::Untold),
            (vec![("x.compat.version", "a:1.0-7-0a1b2c3")], LabelOwner::Compat, Origin::Commit("0a1b2c3")),
            (vec![("x.compat.version", "a")], LabelOwner::Compat, Origin::Untold),
        ] {
            let labels = labels(&pairs);
            assert_eq!(ImageLabels { prefix: "x", labels: &labels }.origin(of), expect, "{pairs:?}");
        }
    }

    #[test]
    fn what_it_was_built_on_is_told_by_its_own_label_first() {
        let (a, b) = ("1.0-7-aaaaaaa", "1.0-8-bbbbbbb");
        for (from, inherited, expect) in [
            (Some(r#"{"layers":{"m:1.0":"1.0-8-bbbbbbb"}}"#), Some(a), BuiltOn::Build(b.into())),
            (Some(r#"{"layers":{"m:1.0":null}}"#), Some(a), BuiltOn::Nameless),
            (Some(r#"{"layers":{"m:2.0":"2.0-8-bbbbbbb"}}"#), Some(a), BuiltOn::Build(a.into())),
            (Some("broken"), Some(a), BuiltOn::Build(a.into())),
            (None, None, BuiltOn::Untold),
        ] {
            let mut pairs = Vec::new();
            pairs.extend(from.map(|from| ("x.science.l.from", from)));
            pairs.extend(inherited.map(|tag| ("x.science.m.version", tag)));
            let labels = labels(&pairs);
            let trail = ImageLabels { prefix: "x", labels: &labels };
            assert_eq!(trail.built_on(LabelOwner::Science("l"), "m", "1.0"), expect, "{pairs:?}");
        }
    }

    #[test]
    fn the_base_counts_when_it_is_a_science_image() {
        for (name, expect) in [
            ("r.example:5000/x/sci/nist:1.0", Some("nist")),
            ("r.example/x/rel/nist:1.0", None),
            ("docker.io/library/debian:12", None),
            ("", None),
        ] {
            let labels = labels(&[(oci::BASE_NAME, name)]);
            assert_eq!(ImageLabels { prefix: "x", labels: &labels }.base_target(), expect, "{name}");
        }
    }
}
