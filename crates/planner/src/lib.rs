//! Plans what to build from a source tree.
//!
//! [`git`] reads a directory and its git repository into [`tree::Inputs`]; everything else is pure:
//! text and values in, values out. The entry function is [`plan()`], or [`published::plan()`] to
//! plan against a registry.
//!
//! Invariant: only `git` opens files, reads the time or the environment, or depends on git. So a
//! plan can be tested as data, is byte-identical for the same inputs, and is safe to compute for a
//! stranger's pull request.

mod blob_id;
mod decide;
mod diagnostics;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
pub mod git;
mod output;
mod parallel;
mod parse;
pub mod request;
pub mod tree;
mod views;

use std::collections::BTreeMap;
use std::sync::Arc;

use plan::{BuildId, ComparedWith, Context, FORMAT_VERSION, Plan, Warning};

use crate::decide::published::Undecided;
use crate::decide::rebuild_set::{RebuildSet, affected};
use crate::decide::{guidelines, orphans};
use crate::diagnostics::finding::{self, Findings};
use crate::output::assemble::{self, Naming};
use crate::parse::config::Config;
use crate::tree::layers::Reader;
use crate::tree::model::TreeModel;
use crate::tree::{Base, Inputs, Tree, names};

pub use decide::published;
pub use diagnostics::code;
pub use diagnostics::problem::{self, Edit, Problem};
pub use output::build_spec;
pub use output::published_names::{PublishedNames, identities};
pub use parse::{config, descriptor, dockerfile, dockerignore};
pub use request::{Request, Selection};
pub use views::check::{Checked, Finding, check};
pub use views::layer_graph::LayerGraph;
pub use views::subgraph::Direction;
pub use views::{explain, layer_graph, name_lookup, pin, schema};

/// With more layers than this, two threads process the two sides of a comparison.
const MANY: usize = 64;

/// A plan with everything that is needed to execute and show it.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// The context of each build.
    pub contexts: BTreeMap<BuildId, Context>,
    /// The configuration in effect: that of the right-hand side.
    pub config: Config,
    /// Images that need a decision and are not in the plan, sorted. Only set by
    /// [`published::plan()`].
    pub undecided: Vec<Undecided>,
    /// The model of the right-hand side. Stored here so that it is not freed before the plan.
    now: Arc<TreeModel>,
}

impl Planned {
    /// Returns all layers of the right-hand side, built or not.
    #[must_use]
    pub fn graph(&self) -> LayerGraph {
        LayerGraph::of(&self.now)
    }
}

/// Plans what to build.
///
/// # Errors
/// Returns the problems of the source tree and the request, with file and line.
pub fn plan(inputs: &Inputs, request: &Request) -> Result<Planned, Vec<Problem>> {
    let mut findings = Findings::default();
    let (config, repo) = configuration(&inputs.now, request, &mut findings);
    let mut reader = Reader::new(&config, &request.allow_frontend);
    let (now, base) = models(&inputs.now, Some(&inputs.base), &mut reader, &config, &repo, &mut findings);
    names::check(&inputs.now, &now, &repo, &inputs.revision, request.rebuild, &mut findings);
    orphans::check(&now, &base, &config, request, &mut findings);
    guidelines::check(&now, &config, &mut findings);
    let affected = affected((&now, &inputs.now), &base, request, &config, &mut findings);
    drop(reader);
    let outcome = Outcome { now, config, repo, affected, undecided: Vec::new(), findings };
    finish(outcome, inputs, request, compared_with(&inputs.base, &request.selection))
}

/// The tree model and the decisions.
struct Outcome {
    now: TreeModel,
    config: Config,
    repo: String,
    affected: RebuildSet,
    undecided: Vec<Undecided>,
    findings: Findings,
}

/// Assembles the plan from the decisions, unless there are problems.
fn finish(
    outcome: Outcome,
    inputs: &Inputs,
    request: &Request,
    compared_with: ComparedWith,
) -> Result<Planned, Vec<Problem>> {
    let Outcome { now, config, repo, affected, undecided, findings } = outcome;
    let findings = findings.sorted();
    if !findings.problems.is_empty() {
        return Err(findings.problems);
    }
    let naming =
        Naming { config: &config, repo: &repo, revision: &inputs.revision, rebuild: request.rebuild };
    let mut lacking = Findings::default();
    let (builds, contexts) = assemble::builds(&now, &affected, &naming, &mut lacking);
    if !lacking.problems.is_empty() {
        return Err(lacking.sorted().problems);
    }
    let plan = Plan {
        format_version: FORMAT_VERSION.to_owned(),
        revision: inputs.revision.clone(),
        compared_with,
        platform: config.platform.clone(),
        label_prefix: config.label_prefix.clone(),
        builds,
        unbuilt: affected.unbuilt,
        warnings: warnings(findings.warnings),
        repo,
    };
    Ok(Planned { plan, contexts, config, undecided, now: Arc::new(now) })
}

/// Returns the layers of a tree and their dependencies.
///
/// # Errors
/// As [`plan()`], except for problems that need a second tree.
pub fn graph(tree: &Tree, request: &Request) -> Result<LayerGraph, Vec<Problem>> {
    let mut findings = Findings::default();
    let (config, repo) = configuration(tree, request, &mut findings);
    let side = Reader::new(&config, &request.allow_frontend).side(tree, &mut findings);
    let model = TreeModel::new(side, &config, &repo, &mut findings);
    let findings = findings.sorted();
    if findings.problems.is_empty() { Ok(LayerGraph::of(&model)) } else { Err(findings.problems) }
}

/// Converts warnings to those of a plan, and removes duplicates.
fn warnings(found: Vec<Problem>) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = found.into_iter().map(finding::warning).collect();
    warnings.sort();
    warnings.dedup();
    warnings
}

fn configuration(tree: &Tree, request: &Request, findings: &mut Findings) -> (Config, String) {
    let (config, problems) = config::parse(tree.config.as_deref());
    findings.problems.extend(problems);
    findings.warnings.extend(tree.notices.iter().cloned());
    let repo = request.repo.clone().unwrap_or_else(|| config.repo.clone());
    if let Some(Err(rule)) = request.repo.as_deref().map(config::check_repo) {
        findings.refuse(
            Problem::in_flags("repo", format!("--repo {repo:?} is not a repo")).help(format!("give {rule}")),
        );
    }
    for product in &request.allow_orphan {
        if let Err(rule) = config::check_product(product) {
            let problem =
                Problem::in_flags("product", format!("--allow-orphan {product:?} is not a product"));
            findings.refuse(problem.help(format!("give {rule}")));
        }
    }
    (config, repo)
}

/// Returns the models of a tree and of its base. Problems of the base are not errors, since an old
/// commit cannot be fixed.
fn models(
    now: &Tree,
    base: Option<&Base>,
    reader: &mut Reader<'_>,
    config: &Config,
    repo: &str,
    findings: &mut Findings,
) -> (TreeModel, TreeModel) {
    let side = reader.side(now, findings);
    let Some(Base::Commit { commit, tree }) = base else {
        return (TreeModel::new(side, config, repo, findings), TreeModel::default());
    };
    let mut unreadable = Findings::lenient();
    let base_side = reader.side(tree, &mut unreadable);
    let models = parallel::both(
        side.science.len() > MANY,
        || TreeModel::new(side, config, repo, findings),
        || TreeModel::new(base_side, config, repo, &mut unreadable),
    );
    let unreadable = unreadable.sorted();
    if let Some(first) = unreadable.problems.first() {
        let mut files: Vec<&str> =
            unreadable.problems.iter().filter_map(|problem| problem.file.as_deref()).collect();
        files.dedup();
        findings.warn(
            Problem::in_flags(
                "base-unreadable",
                format!(
                    "parts of {commit}, the base, cannot be parsed and count as absent: {}",
                    files.join(", ")
                ),
            )
            .help(format!("see `git show {commit}:PATH`; the first problem is: {}", first.message)),
        );
    }
    models
}

fn compared_with(base: &Base, selection: &Selection) -> ComparedWith {
    match (selection, base) {
        (Selection::All, _) => ComparedWith::All,
        (Selection::Include(_), _) => ComparedWith::Include,
        (Selection::Changed, Base::Commit { commit, .. }) => ComparedWith::Commit(commit.clone()),
        (Selection::Changed, Base::Empty) => ComparedWith::Empty,
    }
}
