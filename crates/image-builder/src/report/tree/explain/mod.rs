//! Shows an explanation: each cause with its path to the requested build, as an indented chain.

use plan::{ComparedWith, Family, Plan, Reason, Role};
use planner::explain::{Chain, Explanation, Link, Obstacle, Step};
use planner::name_lookup::Subject;

use crate::cli::escape::escape;
use crate::report::text::format::{Paint, count, list, short_commit, short_list};
use crate::report::tree::plan::{below_repo, header, sentence};

/// Most chains that are shown without `-v`.
const CHAINS: usize = 8;
/// Deepest indentation of a chain; deeper steps are listed at that level.
const DEPTH: usize = 16;

/// The text for stdout: one paragraph for each explanation.
pub(crate) fn text(plan: &Plan, explanations: &[Explanation], verbose: bool, paint: Paint) -> String {
    let mut out = header(plan, paint).lines().next().unwrap_or_default().to_owned() + "\n";
    for explanation in explanations {
        out.push('\n');
        push(&mut out, plan, explanation, verbose, paint);
    }
    out
}

fn push(out: &mut String, plan: &Plan, explanation: &Explanation, verbose: bool, paint: Paint) {
    let name = paint.bold(&escape(explanation.subject.name()));
    out.push_str(&match (&explanation.subject, explanation.built) {
        (Subject::Compat { .. }, true) => {
            format!("{name} has no image of its own; products are built because of it\n")
        }
        (Subject::Compat { .. }, false) => {
            format!("{name} has no image of its own, and nothing is built because of it\n")
        }
        (Subject::Gone { .. }, _) => format!("{name} is not a layer of this tree\n"),
        (_, true) => {
            let tags: Vec<&str> = explanation.tags.iter().map(|tag| below_repo(plan, tag)).collect();
            format!("{name} is built => {}\n", escape(&tags.join(", ")))
        }
        (_, false) => format!("{name} is not built\n"),
    });
    let shown = if verbose { explanation.chains.len() } else { explanation.chains.len().min(CHAINS) };
    for chain in &explanation.chains[..shown] {
        push_chain(out, chain, verbose, paint);
    }
    if shown < explanation.chains.len() {
        out.push_str(&format!(
            "  and {} (-v lists all)\n",
            count(explanation.chains.len() - shown, "other reason")
        ));
    }
    for obstacle in &explanation.obstacles {
        push_obstacle(out, plan, obstacle, "  ", verbose);
    }
    push_products(out, explanation, verbose);
}

/// Prints the first build with its cause, then the chain of descendants.
fn push_chain(out: &mut String, chain: &Chain, verbose: bool, paint: Paint) {
    let Some((first, rest)) = chain.steps.split_first() else { return };
    out.push_str(&format!("  {}: {}\n", escape(&first.id), paint.yellow(&cause(&chain.cause, verbose))));
    for (depth, step) in rest.iter().enumerate() {
        let indent = "   ".repeat(depth.min(DEPTH));
        out.push_str(&format!("    {indent}└─ {} {}\n", escape(&step.id), link(step)));
    }
}

fn cause(reason: &Reason, verbose: bool) -> String {
    match reason {
        Reason::FileChanged { paths } | Reason::CompatChanged { paths, .. } if !paths.is_empty() => {
            format!("changed: {}", if verbose { list(paths) } else { short_list(paths) })
        }
        Reason::CompatChanged { .. } => "changed".to_owned(),
        reason => sentence(reason),
    }
}

fn link(step: &Step) -> String {
    match &step.link {
        Link::Cause => String::new(),
        Link::Final => "is its compat image".to_owned(),
        Link::Includes => "includes it".to_owned(),
        Link::InStack => "has it in its compat stack".to_owned(),
        Link::Needs { role, file, line } => {
            let verb = match role {
                Some(Role::Base) => "is based on it",
                Some(Role::Stage) => "builds a stage on it",
                Some(Role::Copy) => "copies from it",
                Some(Role::Mount) => "mounts it",
                None => "needs it",
            };
            match (file, line) {
                (Some(file), Some(line)) => {
                    // A file of the layer itself is named without the layer's directory.
                    let file = file
                        .strip_prefix(&step.id)
                        .map_or(file.as_str(), |file| file.trim_start_matches('/'));
                    format!("{verb} ({}:{line})", escape(file))
                }
                (Some(file), None) => format!("{verb} ({})", escape(file)),
                (None, _) => verb.to_owned(),
            }
        }
    }
}

/// Whether a name in a plan is that of a product, not of a path.
fn is_product(name: &str) -> bool {
    matches!(Family::split(name), Some((Family::Rel, _)))
}

fn push_obstacle(out: &mut String, plan: &Plan, obstacle: &Obstacle, indent: &str, verbose: bool) {
    let names = |names: &[String]| if verbose { list(names) } else { short_list(names) };
    let sentence = match obstacle {
        // A held product: `changed` contains only product ids, so the reason is sufficient.
        Obstacle::Quiet { changed, why } if changed.iter().all(|changed| is_product(changed)) => {
            escape(why).into_owned()
        }
        // An image in the registry.
        Obstacle::Quiet { changed, why }
            if changed.iter().all(|changed| below_repo(plan, changed) != changed) =>
        {
            let names: Vec<&str> = changed.iter().map(|changed| below_repo(plan, changed)).collect();
            format!("{}: {}", list(&names), escape(why))
        }
        Obstacle::Quiet { changed, why } => format!("changed: {}: {}", names(changed), escape(why)),
        Obstacle::Unchanged => unchanged(plan),
        Obstacle::NoParentBuilt { needs } if needs.is_empty() => {
            "it needs no other layer of the tree".to_owned()
        }
        Obstacle::NoParentBuilt { needs } if needs.len() == 1 => {
            format!("the layer that it needs is not built either: {}", names(needs))
        }
        Obstacle::NoParentBuilt { needs } => {
            format!("none of the {} layers that it needs is built: {}", needs.len(), names(needs))
        }
        Obstacle::Pinned { by, reference, layer, built } => {
            let fact =
                format!("{} names one build, {}, which is not a dependency", escape(by), escape(reference));
            match layer {
                Some(layer) if *built => {
                    format!("{fact}: that {} is built changes nothing here", escape(layer))
                }
                _ => fact,
            }
        }
        Obstacle::NotFinal { product, final_layer } => format!(
            "its compat does not count: {} is the final layer of {}",
            escape(final_layer),
            escape(Family::split(product).map_or(product.as_str(), |(_, name)| name))
        ),
        Obstacle::NoCompat { final_layer } => {
            format!("its final layer, {}, has no compat, so there is no compat image", escape(final_layer))
        }
        Obstacle::FinalNotBuilt { final_layer, because } => {
            out.push_str(&format!("{indent}its final layer, {}, is not built:\n", escape(final_layer)));
            for obstacle in because {
                push_obstacle(out, plan, obstacle, &format!("{indent}  "), verbose);
            }
            return;
        }
        Obstacle::StackUnchanged { stack } => {
            format!("no layer of its compat stack changed in what it builds: {}", names(stack))
        }
        Obstacle::InNoStack { included_by } if included_by.is_empty() => {
            "no product has it in its compat stack".to_owned()
        }
        Obstacle::InNoStack { included_by } => {
            format!("no product has it in its compat stack, though {} includes it", names(included_by))
        }
        Obstacle::NotInFile => {
            "the plan's file has no more information; use the source tree, without --plan".to_owned()
        }
    };
    out.push_str(&format!("{indent}{sentence}\n"));
}

fn unchanged(plan: &Plan) -> String {
    match &plan.compared_with {
        ComparedWith::Commit(commit) => format!("nothing in it changed since {}", short_commit(commit)),
        ComparedWith::Include => "it is not among the layers of --include".to_owned(),
        ComparedWith::Published => "it is published unchanged".to_owned(),
        ComparedWith::Bases => "none of its external bases moved".to_owned(),
        ComparedWith::Empty | ComparedWith::All => "a flag treats it as unchanged".to_owned(),
    }
}

fn push_products(out: &mut String, explanation: &Explanation, verbose: bool) {
    let of = |built: bool| -> Vec<String> {
        let wanted = explanation.products.iter().filter(|product| product.built == built);
        wanted.map(|product| product.id.clone()).collect()
    };
    for (products, state) in [(of(true), "built"), (of(false), "not built")] {
        if products.is_empty() {
            continue;
        }
        let names = if verbose { list(&products) } else { short_list(&products) };
        let (is, lead) = match (&explanation.subject, products.len()) {
            (Subject::Compat { .. }, 1) => ("is", "of the products that have it in their stack, "),
            (Subject::Compat { .. }, _) => ("are", "of the products that have it in their stack, "),
            _ => ("is", "the compat image on top of it, "),
        };
        let comma = if matches!(explanation.subject, Subject::Compat { .. }) { "" } else { "," };
        out.push_str(&format!("  {lead}{names}{comma} {is} {state}\n"));
    }
}

#[cfg(test)]
mod tests;
