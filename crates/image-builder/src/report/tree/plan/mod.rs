//! Shows a plan as text.
//!
//! Prints the comparison, the final images and the number of builds; `-v` adds each build and its
//! reason, `-vv` the files. Takes a [`Plan`] and returns text. The wording of two sentences is
//! fixed by the specification, section 8.

use std::collections::BTreeSet;

use plan::{Build, ComparedWith, Kind, Plan, Reason};

use crate::cli::escape::escape;
use crate::report::text::format::{Paint, count, list, short_commit, short_digest, short_list};

/// The text for stdout. `verbose` is how often `-v` was given.
pub(crate) fn text(plan: &Plan, verbose: u8, paint: Paint) -> String {
    let mut out = header(plan, paint);
    for build in plan.builds.iter().filter(|build| build.kind == Kind::Compat) {
        let [build_tag, moving_tag] = [build.build_tag(), build.moving_tag()].map(last_component);
        out.push_str(&format!(
            "change results in final image {} => {}, {}\n",
            escape(&build.image),
            escape(build_tag),
            escape(moving_tag)
        ));
    }
    if verbose > 0 && !plan.builds.is_empty() {
        out.push_str("\nbuilds, in an order in which they could run:\n");
        for build in &plan.builds {
            push_build(&mut out, plan, build, verbose, paint);
        }
    }
    if verbose > 0 && !plan.unbuilt.is_empty() {
        out.push_str("\nchanged, and builds nothing:\n");
        for (position, unbuilt) in plan.unbuilt.iter().enumerate() {
            // One layer can have several entries, which are adjacent.
            if position == 0 || plan.unbuilt[position - 1].layer != unbuilt.layer {
                out.push_str(&format!("  {}\n", paint.bold(&escape(&unbuilt.layer))));
            }
            push_list(&mut out, "", &unbuilt.changed, verbose);
            out.push_str(&format!("      {}\n", escape(&unbuilt.why)));
        }
    }
    if verbose > 0 {
        out.push('\n');
    }
    let of_kind = |kind| plan.builds.iter().filter(|build| build.kind == kind).count();
    out.push_str(&format!(
        "final plan includes {} and {}\n",
        count(of_kind(Kind::Science), "science build"),
        count(of_kind(Kind::Compat), "compat build")
    ));
    if plan.builds.is_empty() {
        out.push_str(&nothing(plan, verbose));
    }
    out
}

/// One line: the number of builds and the comparison.
pub(super) fn header(plan: &Plan, paint: Paint) -> String {
    let revision = &plan.revision;
    let now = match &revision.dirty {
        Some(_) => format!("commit {} with uncommitted changes", escape(&revision.short)),
        None => format!("commit {}", escape(&revision.short)),
    };
    let base = match &plan.compared_with {
        ComparedWith::Commit(commit) if *commit == revision.commit => {
            "compared with the same commit".to_owned()
        }
        ComparedWith::Commit(commit) => format!("compared with {}", short_commit(commit)),
        ComparedWith::Empty => "the first one, where everything is new".to_owned(),
        ComparedWith::All => "every layer (--all)".to_owned(),
        ComparedWith::Include => "the layers of --include".to_owned(),
        ComparedWith::Published => "compared with the registry".to_owned(),
        ComparedWith::Bases => "for external bases that moved".to_owned(),
    };
    let mut out = format!("{}\n", paint.dim(&format!("plan for {now}, {base}")));
    out.push_str(&format!(
        "{}\n",
        paint.dim(&format!("images are named under {} ({})", escape(&plan.repo), escape(&plan.platform)))
    ));
    out
}

fn nothing(plan: &Plan, verbose: u8) -> String {
    let since = match &plan.compared_with {
        ComparedWith::Commit(commit) => format!("since {}", short_commit(commit)),
        ComparedWith::Empty | ComparedWith::All => "here: the source tree has no layers".to_owned(),
        ComparedWith::Include => "among those of --include".to_owned(),
        ComparedWith::Published => "since what is published".to_owned(),
        ComparedWith::Bases => "below what is published".to_owned(),
    };
    let layers: BTreeSet<&str> = plan.unbuilt.iter().map(|unbuilt| unbuilt.layer.as_str()).collect();
    let said = match (&plan.compared_with, layers.len()) {
        (ComparedWith::Empty | ComparedWith::All, _) => {
            "nothing to build: the source tree has no layers\n".to_owned()
        }
        (ComparedWith::Published, 0) => "nothing to build: everything is published\n".to_owned(),
        (ComparedWith::Bases, _) => {
            "nothing to build: no external base of a published layer moved\n".to_owned()
        }
        (_, 0) => format!("nothing to build: no layer changed {since}\n"),
        (_, layers) => {
            let more = if verbose == 0 { " (-v lists them)" } else { "" };
            format!(
                "nothing to build: what changed {since} in {} changes no image{more}\n",
                count(layers, "layer")
            )
        }
    };
    match &plan.compared_with {
        ComparedWith::Commit(_) => said + ONLY_COMMITS,
        _ => said,
    }
}

/// A comparison of commits does not consider the registry.
const ONLY_COMMITS: &str = "  this says nothing of what is published: --since-published builds what the registry lacks, \
                            --all builds everything\n";

fn push_build(out: &mut String, plan: &Plan, build: &Build, verbose: u8, paint: Paint) {
    let tags: Vec<&str> = build.tags.iter().map(|tag| below_repo(plan, tag)).collect();
    let tags = tags.iter().map(|tag| escape(tag)).collect::<Vec<_>>().join(", ");
    out.push_str(&format!("  {} => {tags}\n", paint.bold(&escape(&build.id.0))));
    for reason in &build.reasons {
        push_reason(out, reason, verbose);
    }
    if !build.compat_stack.is_empty() && verbose > 1 {
        out.push_str(&format!("      compat stack: {}\n", list(&build.compat_stack)));
    }
    if verbose > 1 {
        for test in &build.tests {
            out.push_str(&format!("      tested by {}: {}\n", escape(&test.layer), escape(&test.title())));
        }
    }
    let shadowed: Vec<String> = build
        .shadowed
        .iter()
        .map(|shadowed| format!("{} of {} by {}", shadowed.what, shadowed.from, shadowed.by))
        .collect();
    if !shadowed.is_empty() {
        push_list(out, "replaced: ", &shadowed, verbose);
    }
}

fn push_reason(out: &mut String, reason: &Reason, verbose: u8) {
    match reason {
        Reason::FileChanged { paths } => push_list(out, "changed: ", paths, verbose),
        Reason::CompatChanged { paths, .. } => {
            out.push_str(&format!("      {}\n", sentence(reason)));
            if verbose > 1 {
                push_lines(out, paths);
            }
        }
        Reason::InputsChanged { paths, .. } => {
            out.push_str(&format!("      {}\n", sentence(reason)));
            if verbose > 1 {
                push_lines(out, paths);
            }
        }
        reason => out.push_str(&format!("      {}\n", sentence(reason))),
    }
}

/// A reason on one line.
pub(super) fn sentence(reason: &Reason) -> String {
    match reason {
        Reason::Forced { flag } => format!("asked for by {}", escape(flag)),
        Reason::NewLayer => "the layer is new".to_owned(),
        Reason::FileChanged { paths } => format!("changed: {}", short_list(paths)),
        Reason::DescriptorChanged { fields } => format!("changed in the descriptor: {}", list(fields)),
        Reason::ParentRebuilt { via } => format!("needs {}, which is built", escape(&via.0)),
        Reason::CompatChanged { layers, .. } => format!("changed in its compat stack: {}", list(layers)),
        Reason::NotPublished { .. } => "nothing is published under its name".to_owned(),
        Reason::TagMoved { build_tag, shows, .. } => match shows {
            Some(_) => format!("its tag shows an image that is not the build {}", escape(build_tag)),
            None => format!("its tag shows a build {} that has no tag any more", escape(build_tag)),
        },
        Reason::InputsChanged { published, paths, fields } => {
            let what = match published {
                Some(tag) => format!("the published image, {}, was made from other inputs", escape(tag)),
                None => "the published image was made from other inputs".to_owned(),
            };
            match (paths.is_empty(), fields.is_empty()) {
                (true, true) => what,
                (false, true) => format!("{what}; changed since: {}", short_list(paths)),
                (true, false) => format!("{what}; changed since in the descriptor: {}", list(fields)),
                (false, false) => format!(
                    "{what}; changed since: {}, and in the descriptor {}",
                    short_list(paths),
                    list(fields)
                ),
            }
        }
        Reason::ParentMoved { layer, from, to } => match from {
            Some(from) => {
                format!("was built on {} as of {}, which is {} now", escape(layer), escape(from), escape(to))
            }
            None => format!("was built before {} was, which is {} now", escape(layer), escape(to)),
        },
        Reason::BaseMoved { image, from, to } => {
            format!("{} moved from {} to {}", escape(image), short_digest(from), short_digest(to))
        }
        Reason::FinalChanged { from: None, to } => {
            format!("the product is new; its final layer is {}", escape(to))
        }
        Reason::FinalChanged { from: Some(from), to } if from == to => {
            format!("its final layer, {}, got its compat", escape(to))
        }
        Reason::FinalChanged { from: Some(from), to } => {
            format!("its final layer was {} and is {} now", escape(from), escape(to))
        }
    }
}

/// Writes the first few items on one line, or all of them on lines of their own.
fn push_list(out: &mut String, lead: &str, items: &[String], verbose: u8) {
    if verbose > 1 && items.len() > 1 {
        if !lead.is_empty() {
            out.push_str(&format!("      {}\n", lead.trim_end()));
        }
        push_lines(out, items);
    } else {
        out.push_str(&format!("      {lead}{}\n", short_list(items)));
    }
}

fn push_lines(out: &mut String, items: &[String]) {
    for item in items {
        out.push_str(&format!("        {}\n", escape(item)));
    }
}

/// `{image}:{tag}` of a full reference.
fn last_component(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or(reference)
}

/// A reference without `{repo}/`.
pub(super) fn below_repo<'a>(plan: &Plan, reference: &'a str) -> &'a str {
    reference.strip_prefix(plan.repo.as_str()).and_then(|rest| rest.strip_prefix('/')).unwrap_or(reference)
}

#[cfg(test)]
mod tests;
