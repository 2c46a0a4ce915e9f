//! The planner's core: two trees as values in, a plan or problems out.

mod cases;
mod changes;
mod compat;
mod convergence;
mod costs;
mod coverage;
mod explain;
mod graphs;
mod guidelines;
mod image_tests;
mod inputs;
mod properties;
mod published;
mod references;
mod refusals;
mod sample;
mod scale;
mod stale;
mod world;

use std::fmt::Write as _;

use plan::{Kind, Reason};
use planner::{Planned, Problem, Request};

/// Plans, or panics with the problems.
fn plan(inputs: &planner::tree::Inputs, request: &Request) -> Planned {
    planner::plan(inputs, request).unwrap_or_else(|problems| panic!("refused:\n{}", told(&problems)))
}

/// Every problem as it is reported.
fn refused(inputs: &planner::tree::Inputs, request: &Request) -> String {
    told(&planner::plan(inputs, request).expect_err("the tree must be refused"))
}

fn told(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

/// A plan as short text: a line for each build with its reasons, unbuilt changes, warnings.
fn short(planned: &Planned) -> String {
    let mut text = String::new();
    let plan = &planned.plan;
    for build in &plan.builds {
        let kind = match build.kind {
            Kind::Science => "",
            Kind::Compat => " on ",
        };
        let below = if build.kind == Kind::Compat { build.target.as_str() } else { "" };
        writeln!(text, "{}{kind}{below}", build.id).expect("a string takes all");
        for reason in &build.reasons {
            writeln!(text, "    {}", reason_text(reason)).expect("a string takes all");
        }
    }
    for unbuilt in &plan.unbuilt {
        writeln!(text, "not {} ({}): {}", unbuilt.layer, unbuilt.changed.join(", "), unbuilt.why)
            .expect("a string takes all");
    }
    for warning in &plan.warnings {
        let file = warning.file.as_deref().unwrap_or("-");
        let line = warning.line.map(|line| format!(":{line}")).unwrap_or_default();
        writeln!(text, "warning {file}{line}: {} [{}]", warning.message, warning.code)
            .expect("a string takes all");
        if let Some(help) = &warning.help {
            writeln!(text, "  help: {help}").expect("a string takes all");
        }
    }
    text
}

fn reason_text(reason: &Reason) -> String {
    match reason {
        Reason::Forced { flag } => format!("forced {flag}"),
        Reason::NewLayer => "new".to_owned(),
        Reason::FileChanged { paths } => format!("files {}", paths.join(", ")),
        Reason::DescriptorChanged { fields } => format!("fields {}", fields.join(", ")),
        Reason::ParentRebuilt { via } => format!("parent {via}"),
        Reason::CompatChanged { layers, paths } => {
            format!("compat {}: {}", layers.join(", "), paths.join(", "))
        }
        Reason::FinalChanged { from, to } => format!("final {} => {to}", from.as_deref().unwrap_or("none")),
        Reason::NotPublished { reference } => format!("absent {reference}"),
        Reason::TagMoved { reference, build_tag, .. } => format!("moved {reference} from {build_tag}"),
        Reason::InputsChanged { published, paths, fields } => format!(
            "inputs since {}: {}",
            published.as_deref().unwrap_or("?"),
            [&paths[..], fields].concat().join(", ")
        ),
        Reason::BaseMoved { image, from, to } => format!("base {image} {from} => {to}"),
        Reason::ParentMoved { layer, from, to } => {
            format!("moved {layer} {} => {to}", from.as_deref().unwrap_or("?"))
        }
    }
}
