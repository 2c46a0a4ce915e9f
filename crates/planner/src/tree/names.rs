//! Checks names that registries, engines or file systems would confuse or reject.

use std::borrow::Cow;
use std::collections::BTreeMap;

use plan::Revision;
use plan::name::{MAX_TAG, build_tag};
use unicode_normalization::UnicodeNormalization;

use crate::Problem;
use crate::diagnostics::finding::Findings;
use crate::tree::Tree;
use crate::tree::layers::{DESCRIPTOR, ScienceLayer};
use crate::tree::model::TreeModel;

/// The longest repository name, with its registry, that the distribution project's `reference`
/// package accepts.
const MAX_REPOSITORY: usize = 255;

/// Rejects names that are too long, and names that differ only in case or Unicode form.
pub(crate) fn check(
    tree: &Tree,
    now: &TreeModel,
    repo: &str,
    revision: &Revision,
    rebuild: Option<u64>,
    findings: &mut Findings,
) {
    similar_paths(tree, findings);
    similar_products(now, findings);
    let behind_version = build_tag("", revision, rebuild);
    for layer in &now.side.science {
        too_long(layer, repo, &behind_version, findings);
    }
}

fn similar_paths(tree: &Tree, findings: &mut Findings) {
    let mut paths: Vec<(Cow<'_, str>, &str)> =
        tree.layers.iter().map(|layer| (folded(&layer.path), layer.path.as_str())).collect();
    paths.sort_unstable();
    paths.dedup();
    for alike in paths.chunk_by(|(one, _), (other, _)| one == other).filter(|alike| alike.len() > 1) {
        let alike: Vec<&str> = alike.iter().map(|(_, path)| *path).collect();
        let last = alike[alike.len() - 1];
        findings.refuse(
            Problem::in_file(
                "similar-names",
                format!("{last}/{DESCRIPTOR}"),
                format!("layers differ in case or Unicode form only: {}", alike.join(", ")),
            )
            .help("rename all but one of these directories: on some machines they are one"),
        );
    }
}

fn similar_products(now: &TreeModel, findings: &mut Findings) {
    let mut products: BTreeMap<(&str, Cow<'_, str>), BTreeMap<&str, &ScienceLayer>> = BTreeMap::new();
    for layer in &now.side.science {
        let (image, version) = (layer.descriptor.image.as_str(), layer.descriptor.version.as_str());
        products.entry((image, folded(version))).or_default().entry(version).or_insert(layer);
    }
    for ((image, _), alike) in &products {
        let Some((last, layer)) = alike.last_key_value().filter(|_| alike.len() > 1) else { continue };
        let names: Vec<String> =
            alike.iter().map(|(version, layer)| format!("{image}:{version} ({})", layer.path())).collect();
        findings.refuse(
            layer
                .problem(
                    "version",
                    "similar-names",
                    format!("versions differ in case only: {}", names.join(", ")),
                )
                .help(format!("write one version for all, or another one than {last}")),
        );
    }
}

/// Maps names that some file system or registry considers equal to the same text.
fn folded(name: &str) -> Cow<'_, str> {
    if !name.is_ascii() {
        return name.nfkc().flat_map(char::to_lowercase).nfkc().collect();
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

fn too_long(layer: &ScienceLayer, repo: &str, behind_version: &str, findings: &mut Findings) {
    let version = layer.descriptor.version.as_str();
    let length = version.len() + behind_version.len();
    if length > MAX_TAG {
        let tag = format!("{version}{behind_version}");
        let message = format!("the build tag has {length} characters, registries accept {MAX_TAG}: {tag}");
        findings.refuse(layer.problem("version", "tag-too-long", message).help("give it a shorter version"));
    }
    for (field, name) in [("image", &layer.descriptor.image), ("target", &layer.descriptor.target)] {
        let length = repo.len() + "/sci/".len() + name.as_str().len();
        if length > MAX_REPOSITORY {
            let message =
                format!("the repository has {length} characters, registries accept {MAX_REPOSITORY}");
            findings.refuse(
                layer
                    .problem(field, "repository-too-long", message)
                    .help(format!("give it a shorter \"{field}\", or build for a shorter repo than {repo}")),
            );
        }
    }
}
