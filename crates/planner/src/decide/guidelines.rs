//! Checks a tree against the guidelines: references, labels, overrides within compat stacks.
//!
//! Guidelines about a single descriptor are checked where it is parsed. The configuration sets the
//! level of each guideline. The guidelines follow the container guidelines of the ESCAPE
//! open-source repository: name the registry and an exact version.

use plan::label::{self, Field, oci};
use plan::{ImageName, Span};

use crate::Problem;
use crate::diagnostics::finding::Findings;
use crate::parse::config::Config;
use crate::tree::SourceFile;
use crate::tree::compat_stack::Overlay;
use crate::tree::image_reference::{Meaning, Need};
use crate::tree::layers::CompatLayer;
use crate::tree::model::TreeModel;

/// Labels of the OCI image specification that image-builder sets, with the descriptor fields that
/// they come from.
const OCI_LABELS: [(&str, Option<&str>); 13] = [
    (oci::CREATED, None),
    (oci::REVISION, None),
    (oci::SOURCE, None),
    (oci::VERSION, None),
    (oci::TITLE, None),
    (oci::DESCRIPTION, Some("description")),
    (oci::AUTHORS, Some("authors")),
    (oci::URL, Some("url")),
    (oci::DOCUMENTATION, Some("documentation")),
    (oci::LICENSES, Some("licenses")),
    (oci::REF_NAME, None),
    (oci::BASE_NAME, None),
    (oci::BASE_DIGEST, None),
];

/// Reports violations of guidelines.
pub(crate) fn check(now: &TreeModel, config: &Config, findings: &mut Findings) {
    let science = now.side.science.iter().zip(&now.science_needs);
    let compat = now.side.compat.iter().zip(&now.compat_needs);
    let science = science.map(|(layer, needs)| {
        (&layer.files, needs, layer.dockerfile.as_ref().map_or(&[][..], |dockerfile| &dockerfile.labels))
    });
    let compat = compat.map(|(layer, needs)| {
        (&layer.files, needs, layer.fragment.as_ref().map_or(&[][..], |fragment| &fragment.labels))
    });
    for (files, needs, labels) in science.chain(compat) {
        let Some(file) = &files.dockerfile else { continue };
        // A reference that is named like a layer of the tree has its own warning.
        let is_external =
            |need: &&Need| matches!(need.meaning, Meaning::External { is_like_ours: false, .. });
        for need in needs.iter().filter(is_external).take(MOST) {
            external(file, need, config, findings);
        }
        for (key, span) in labels.iter().take(MOST) {
            own_label(file, key, *span, config, findings);
        }
    }
    if findings.wants(config, SHADOWED) {
        for top in now.tops() {
            shadowed(now, top, config, findings);
        }
    }
}

/// At most this many images and labels of one file are checked: more findings of the same kind do
/// not help.
const MOST: usize = 50;

const SHADOWED: &str = "compat-shadowed";

fn external(file: &SourceFile, need: &Need, config: &Config, findings: &mut Findings) {
    let Ok(image) = ImageName::parse(&need.text) else { return };
    let text = &need.text;
    let span = need.span;
    let problem = |code, message: String| {
        Problem::in_file(code, &file.path, message).span_in_line(&file.text, span.start..span.end, need.line)
    };
    if !image.has_registry {
        let problem =
            problem("from-unqualified", format!("{text} does not say which registry it comes from")).help(
                format!(
                    "write {}: engines can be set up to look elsewhere first",
                    with_registry(text, &image)
                ),
            );
        let typed = file.text.get(span.start..span.end).unwrap_or_default();
        let name = name_part(typed);
        // If the name contains a variable, the resolved text is not the text in the file, so there
        // is no fix.
        let problem = if name == name_part(text) {
            problem.fix(Span { start: span.start, end: span.start + name.len() }, image.name())
        } else {
            problem
        };
        findings.guideline(config, problem);
    }
    let version = "name a fixed version: without one, builds pick up new images unnoticed";
    if !image.has_tag {
        findings
            .guideline(config, problem("from-unversioned", format!("{text} names no version")).help(version));
    } else if image.tag.as_deref() == Some("latest") {
        let message = format!("{text}: `latest` is not a version");
        findings.guideline(config, problem("from-unversioned", message).help(version));
    }
    if image.digest.is_none() {
        let message = format!("{text} is not pinned by digest: the tag can be moved to another image");
        let help = "`image-builder pin` asks the registry, and writes the digest behind the tag";
        findings.guideline(config, problem("from-unpinned", message).help(help));
    }
}

/// Returns a reference without tag and digest. Variables stay.
fn name_part(text: &str) -> &str {
    text.split([':', '@']).next().unwrap_or_default()
}

fn with_registry(text: &str, image: &ImageName) -> String {
    format!("{}{}", image.name(), &text[name_part(text).len()..])
}

fn own_label(file: &SourceFile, key: &str, span: Span, config: &Config, findings: &mut Findings) {
    let instead = if is_breadcrumb(key, &config.label_prefix) {
        None
    } else {
        match OCI_LABELS.iter().find(|(known, _)| *known == key) {
            Some((_, field)) => *field,
            None => return,
        }
    };
    let help = match instead {
        Some(field) => format!("set \"{field}\" in sciserver-image.json instead"),
        None => "remove it: it is written anew for each build".to_owned(),
    };
    let message = format!("the label {key} is set by image-builder, so this one has no effect");
    let problem = Problem::in_file("label-overridden", &file.path, message);
    findings.guideline(config, problem.span(&file.text, span.start..span.end).help(help));
}

/// Whether a key is a provenance label of any layer.
fn is_breadcrumb(key: &str, prefix: &str) -> bool {
    let fields = [Field::Version, Field::BuildTime, Field::Inputs, Field::From];
    let science = key
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix(".science."))
        .and_then(|rest| rest.rsplit_once('.'))
        .is_some_and(|(_, last)| fields.iter().any(|field| field.as_str() == last));
    science || fields.iter().any(|field| label::compat(prefix, *field) == key)
}

fn shadowed(now: &TreeModel, top: usize, config: &Config, findings: &mut Findings) {
    let layers: Vec<&CompatLayer> =
        now.stack(top).into_iter().map(|layer| &*now.side.compat[layer]).collect();
    if layers.len() < 2 {
        return;
    }
    for lost in Overlay::new(&layers).shadowed {
        let Some(path) = lost.what.strip_prefix("file:") else { continue };
        let problem = Problem::in_file(
            SHADOWED,
            format!("compat/{}/{path}", lost.by),
            format!(
                "{path} of compat/{} is replaced by this one in the stack of {}",
                lost.from,
                layers[layers.len() - 1].name()
            ),
        );
        findings.guideline(
            config,
            problem.help(format!(
                "give one of the two another name; if it is meant, set {SHADOWED} = \"allow\" under [check]"
            )),
        );
    }
}
