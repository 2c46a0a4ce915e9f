//! Compares two states of one layer, and decides which differences change its image.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::tree::layers::{CompatLayer, DESCRIPTOR, DOCKERFILE, ScienceLayer, dockerfile_identity};
use crate::tree::{LayerFiles, TreeFile};

/// The differences between two states of a layer. Paths are below the source tree's root, in the
/// layer's present directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Changed Dockerfile and context files, sorted.
    pub(crate) paths: Vec<String>,
    /// Changed fields of the descriptor that affect the build, sorted.
    pub(crate) fields: Vec<String>,
    /// Whether the compat layer changed.
    pub(crate) compat: bool,
    /// Changed files that are not part of any context, sorted.
    pub(crate) quiet_paths: Vec<String>,
    /// Changed fields of the descriptor that do not affect the build, sorted.
    pub(crate) quiet_fields: Vec<String>,
    /// Whether the descriptor's text differs but not its values.
    pub(crate) layout: bool,
    /// The former directory of the layer, if it was moved.
    pub(crate) moved_from: Option<String>,
}

impl Difference {
    /// Whether the differences change the build.
    pub(crate) fn builds(&self) -> bool {
        !self.paths.is_empty() || !self.fields.is_empty()
    }
}

/// Compares two states of a science layer.
pub(crate) fn science(now: &Arc<ScienceLayer>, base: &Arc<ScienceLayer>) -> Difference {
    if Arc::ptr_eq(now, base) {
        return Difference::default();
    }
    let (a, b) = (&now.descriptor, &base.descriptor);
    let quiet = [
        ("description", a.description == b.description),
        ("authors", a.authors == b.authors),
        ("licenses", a.licenses == b.licenses),
        ("url", a.url == b.url),
        ("documentation", a.documentation == b.documentation),
        ("keywords", a.keywords == b.keywords),
        ("tests", a.tests == b.tests),
    ];
    let loud = [
        ("args", a.args == b.args),
        ("image", a.image == b.image),
        ("target", a.target == b.target),
        ("version", a.version == b.version),
    ];
    difference(
        (&now.files, now.context()),
        (&base.files, base.context()),
        different(&loud),
        different(&quiet),
        a.compat != b.compat,
    )
}

/// Compares two states of a compat layer.
pub(crate) fn compat(now: &Arc<CompatLayer>, base: &Arc<CompatLayer>) -> Difference {
    if Arc::ptr_eq(now, base) {
        return Difference::default();
    }
    let (a, b) = (&now.descriptor, &base.descriptor);
    let loud = [("args", a.args == b.args), ("includes", a.includes == b.includes)];
    let quiet = [("description", a.description == b.description), ("tests", a.tests == b.tests)];
    difference(
        (&now.files, now.context()),
        (&base.files, base.context()),
        different(&loud),
        different(&quiet),
        false,
    )
}

fn different(fields: &[(&str, bool)]) -> Vec<String> {
    let mut names: Vec<String> =
        fields.iter().filter(|(_, same)| !same).map(|(name, _)| (*name).to_owned()).collect();
    names.sort();
    names
}

fn difference<'a>(
    (now, now_context): (&LayerFiles, impl Iterator<Item = &'a TreeFile>),
    (base, base_context): (&LayerFiles, impl Iterator<Item = &'a TreeFile>),
    fields: Vec<String>,
    quiet_fields: Vec<String>,
    compat: bool,
) -> Difference {
    let mut paths = changed(now_context, base_context);
    if dockerfile_identity(now) != dockerfile_identity(base) {
        paths.insert(DOCKERFILE);
    }
    let all = changed(now.files.iter(), base.files.iter());
    let quiet_paths =
        all.iter().filter(|path| **path != DESCRIPTOR && **path != DOCKERFILE && !paths.contains(*path));
    let descriptor_differs = now.descriptor.text != base.descriptor.text && all.contains(DESCRIPTOR);
    let below = |path: &&str| format!("{}/{path}", now.path);
    Difference {
        layout: descriptor_differs && fields.is_empty() && quiet_fields.is_empty() && !compat,
        quiet_paths: quiet_paths.map(below).collect(),
        paths: paths.iter().map(below).collect(),
        fields,
        compat,
        quiet_fields,
        moved_from: (now.path != base.path).then(|| base.path.clone()),
    }
}

/// Returns the paths of files that are on one side only or differ.
fn changed<'a>(
    now: impl Iterator<Item = &'a TreeFile>,
    base: impl Iterator<Item = &'a TreeFile>,
) -> BTreeSet<&'a str> {
    let mut unmatched: BTreeMap<&str, &TreeFile> = base.map(|file| (file.path.as_str(), file)).collect();
    let mut changed = BTreeSet::new();
    for file in now {
        let alike = unmatched
            .remove(file.path.as_str())
            .is_some_and(|other| (&other.mode, &other.id) == (&file.mode, &file.id));
        if !alike {
            changed.insert(file.path.as_str());
        }
    }
    changed.extend(unmatched.into_keys());
    changed
}
