//! Decides whether a published build tag is the planned build.
//!
//! Pure: reads the labels of the published image.

use std::collections::BTreeMap;

use plan::label::{self, Field};
use plan::{Build, Kind, split_tag};

use crate::build::labels::BuiltFrom;

/// The state of a build tag in the registry, for a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BuildTagState {
    /// The same inputs and the same parents' build tags: nothing to do.
    Reuse,
    /// A different image, with a description.
    Conflict(String),
}

/// Judges an image by its labels. `parents` maps `target:version` of every layer that the build
/// needs to the build tag that it would be built on; an unknown build tag is not compared.
pub(crate) fn judge(
    build: &Build,
    prefix: &str,
    labels: &BTreeMap<String, String>,
    parents: &BTreeMap<String, Option<String>>,
) -> BuildTagState {
    match labels.get(&own(build, prefix, Field::Inputs)) {
        Some(inputs) if *inputs == build.context.inputs => {}
        Some(_) => return BuildTagState::Conflict("it was built from other inputs".to_owned()),
        None => return BuildTagState::Conflict("its inputs are not recorded".to_owned()),
    }
    let from = from(build, prefix, labels);
    for (layer, expected) in parents {
        let Some(expected) = expected else { continue };
        let (target, _) = split_tag(layer);
        let inherited = || labels.get(&label::science(prefix, target, Field::Version));
        let found = from.layers.get(layer).and_then(Option::as_ref).or_else(inherited);
        match found {
            Some(found) if found == expected => {}
            Some(found) => {
                return BuildTagState::Conflict(format!(
                    "its base is {target}:{found}, not {target}:{expected}"
                ));
            }
            None => return BuildTagState::Conflict(format!("it does not record its build of {target}")),
        }
    }
    BuildTagState::Reuse
}

/// The inputs that an image's own label records.
pub(crate) fn from(build: &Build, prefix: &str, labels: &BTreeMap<String, String>) -> BuiltFrom {
    let text = labels.get(&own(build, prefix, Field::From));
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn own(build: &Build, prefix: &str, field: Field) -> String {
    match build.kind {
        Kind::Science => label::science(prefix, &build.target, field),
        Kind::Compat => label::compat(prefix, field),
    }
}

#[cfg(test)]
mod tests {
    use plan::{BuildContext, BuildId};

    use super::*;

    fn build(kind: Kind) -> Build {
        Build {
            id: BuildId("science/nist".into()),
            kind,
            layer: "science/nist".into(),
            image: "nist".into(),
            version: "1.0".into(),
            target: "nist".into(),
            is_final: true,
            references: vec![],
            needs: vec![],
            reasons: vec![],
            tags: plan::Tags::default(),
            labels: BTreeMap::new(),
            args: BTreeMap::new(),
            context: BuildContext { inputs: "v1:sha256:1".into(), sources: vec![] },
            compat_stack: vec![],
            shadowed: vec![],
            tests: Vec::new(),
            secrets: Vec::new(),
            origins: Vec::new(),
            dockerfile: String::new(),
        }
    }

    /// The build spec may be dropped from the labels; a description may not.
    #[test]
    fn labels_that_are_too_heavy_lose_the_spec_first() {
        use crate::build::labels::{self, KnownBase, Timestamp};
        let complete = |spec: usize, description: usize| {
            let mut build = build(Kind::Science);
            build.labels.insert(label::spec("x"), "s".repeat(spec));
            build.labels.insert("description".into(), "d".repeat(description));
            let base = KnownBase { name: None, digest: None };
            labels::complete(&build, "x", &BuiltFrom::default(), base, Timestamp::from_epoch(0))
        };
        for (spec, description, left, heavy) in
            [(1_000, 10_000, 1_000, false), (7_000, 10_000, 0, false), (1_000, 17_000, 0, true)]
        {
            let labels = complete(spec, description);
            assert_eq!(labels[&label::spec("x")].len(), left, "{spec} {description}");
            assert_eq!(labels::exceed_limit(&labels), heavy, "{spec} {description}");
        }
    }

    #[test]
    fn only_the_same_inputs_on_the_same_parents_are_reused() {
        let inputs = "x.science.nist.inputs";
        let from = "x.science.nist.from";
        let parent = "x.science.base.version";
        let tells = r#"{"layers":{"base:1.0":"1.0-4-aaaaaaa"},"images":{}}"#;
        for (labels, expected, verdict) in [
            (vec![(inputs, "v1:sha256:1"), (from, tells)], Some("1.0-4-aaaaaaa"), Ok(())),
            (vec![(inputs, "v1:sha256:1"), (parent, "1.0-4-aaaaaaa")], Some("1.0-4-aaaaaaa"), Ok(())),
            (vec![(inputs, "v1:sha256:1"), (from, "broken")], None, Ok(())),
            (
                vec![(inputs, "v1:sha256:1"), (from, tells)],
                Some("1.0-5-bbbbbbb"),
                Err("its base is base:1.0-4-aaaaaaa, not base:1.0-5-bbbbbbb"),
            ),
            (
                vec![(inputs, "v1:sha256:1")],
                Some("1.0-5-bbbbbbb"),
                Err("it does not record its build of base"),
            ),
            (vec![(inputs, "v1:sha256:2"), (from, tells)], None, Err("it was built from other inputs")),
            (vec![(from, tells)], None, Err("its inputs are not recorded")),
            (vec![("x.compat.inputs", "v1:sha256:1")], None, Err("its inputs are not recorded")),
        ] {
            let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            let parents = BTreeMap::from([("base:1.0".to_owned(), expected.map(str::to_owned))]);
            let expect = match verdict {
                Ok(()) => BuildTagState::Reuse,
                Err(why) => BuildTagState::Conflict(why.to_owned()),
            };
            assert_eq!(judge(&build(Kind::Science), "x", &labels, &parents), expect);
        }
    }

    #[test]
    fn a_compat_image_is_judged_by_its_own_labels() {
        let labels = [
            ("x.science.nist.inputs", "v1:sha256:other"),
            ("x.science.nist.version", "1.0-4-aaaaaaa"),
            ("x.compat.inputs", "v1:sha256:1"),
        ];
        let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let parents = BTreeMap::from([("nist:1.0".to_owned(), Some("1.0-4-aaaaaaa".to_owned()))]);
        assert_eq!(judge(&build(Kind::Compat), "x", &labels, &parents), BuildTagState::Reuse);
    }
}
