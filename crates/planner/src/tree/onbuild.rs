//! Applies `ONBUILD` triggers of layers to the builds of their dependents.
//!
//! A trigger runs in the build of the child: its names are resolved among the child's stages, and
//! an image that it names is a dependency of the child (Dockerfile reference, "ONBUILD").

use plan::{Role, Span};

use crate::Problem;
use crate::diagnostics::finding::Findings;
use crate::parse::config::Config;
use crate::parse::dockerfile::Trigger;
use crate::tree::image_reference::{Catalog, Meaning, Need, Place};
use crate::tree::layers::{ScienceLayer, Side};
use crate::tree::product_name::ProductName;
use crate::tree::{SourceFile, copy_sources};

/// The code of the guideline.
const INHERITED: &str = "onbuild-inherited";

/// At most this many characters of a trigger are shown.
const SHOWN: usize = 60;

/// Reports layers that run triggers of others. Returns the dependencies that the triggers add, as
/// pairs of a layer and its parent.
pub(crate) fn inherited(
    side: &Side,
    needs: &[Vec<Need>],
    catalog: &Catalog<'_>,
    config: &Config,
    findings: &mut Findings,
) -> Vec<(usize, usize)> {
    let mut edges = Vec::new();
    for (child, needs) in needs.iter().enumerate() {
        for need in needs.iter().filter(|need| matches!(need.role, Role::Base | Role::Stage)) {
            let Meaning::Layer(parent) = need.meaning else { continue };
            let triggers = triggers_of(&side.science[parent]);
            if parent == child || triggers.is_empty() {
                continue;
            }
            let layer = &side.science[child];
            let Some(file) = layer.files.dockerfile.as_deref() else { continue };
            let (span, line) = (need.span, need.line);
            for name in triggers.iter().flat_map(|trigger| &trigger.names) {
                let is_stage = layer
                    .dockerfile
                    .as_ref()
                    .is_some_and(|dockerfile| dockerfile.stages.contains(&name.to_lowercase()));
                if is_stage {
                    continue;
                }
                let place = Place { file, span, line, own: Some(child) };
                if let Some(Meaning::Layer(needed)) = catalog.meaning(name, place, findings) {
                    edges.push((child, needed));
                }
            }
            if findings.wants(config, INHERITED) {
                let message = format!(
                    "{} has ONBUILD, which runs here: {}",
                    side.science[parent].path(),
                    shown(triggers)
                );
                findings.guideline(config, problem(file, span, line, message).help(HELP));
            }
            if findings.wants_defects() && need.role == Role::Base {
                copied_by(side, parent, child, findings);
            }
        }
    }
    edges
}

const HELP: &str = "build with --allow-onbuild, or write these instructions here and remove ONBUILD there";

/// Checks the paths that triggers copy from the context of a child.
fn copied_by(side: &Side, parent: usize, child: usize, findings: &mut Findings) {
    let (parent, child) = (&side.science[parent], &side.science[child]);
    let (Some(file), Some(dockerfile)) = (&parent.files.dockerfile, &parent.dockerfile) else { return };
    for problem in copy_sources::missing(file, &dockerfile.triggered, &[child.copied()]).defects {
        let message = format!("{} (ONBUILD, in the build of {})", problem.message, child.path());
        findings.problems.push(Problem { message, ..problem });
    }
}

/// Reports products that run the triggers of their final layers in the build of the compat image.
pub(crate) fn of_products<'p>(
    side: &Side,
    products: impl Iterator<Item = (&'p ProductName, usize, usize)>,
    config: &Config,
    findings: &mut Findings,
) {
    if !findings.wants(config, INHERITED) {
        return;
    }
    for (product, layer, _) in products {
        let layer = &side.science[layer];
        let Some(file) = layer.files.dockerfile.as_deref() else { continue };
        let triggers = triggers_of(layer);
        let Some(first) = triggers.first() else { continue };
        let message = format!("ONBUILD runs in the build of rel/{product} as well: {}", shown(triggers));
        let problem = Problem::in_file(INHERITED, &file.path, message).line(first.line);
        let help = "build with --allow-onbuild, or end the product with a layer based on this one";
        findings.guideline(config, problem.help(help));
    }
}

fn triggers_of(layer: &ScienceLayer) -> &[Trigger] {
    layer.dockerfile.as_ref().map_or(&[], |dockerfile| &dockerfile.triggers)
}

fn shown(triggers: &[Trigger]) -> String {
    let first = triggers.first().map_or("", |trigger| trigger.text.as_str());
    let mut text: String = first.chars().take(SHOWN).collect();
    if text.len() < first.len() {
        text.push('…');
    }
    match triggers.len() {
        0 | 1 => text,
        count => format!("{text}, and {} more", count - 1),
    }
}

fn problem(file: &SourceFile, span: Span, line: u32, message: String) -> Problem {
    Problem::in_file(INHERITED, &file.path, message).span_in_line(&file.text, span.start..span.end, line)
}
