//! Checks a source tree: all problems, and all guidelines that it violates.
//!
//! [`crate::plan()`] fails for the same problems. This check reports more, needs no base and no
//! commit, and continues where a plan would stop.

use plan::Revision;

use crate::decide::{guidelines, orphans};
use crate::diagnostics::finding::Findings;
use crate::parse::config::{Config, Level};
use crate::tree::layers::Reader;
use crate::tree::model::TreeModel;
use crate::tree::{Base, OnDisk, Tree, names};
use crate::{Problem, Request, configuration, models};

/// A finding with its level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// [`Level::Warn`], or [`Level::Deny`] for a problem that fails a plan.
    pub level: Level,
    /// The problem.
    pub problem: Problem,
}

/// The result of a check.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The findings by file and line, without duplicates.
    pub findings: Vec<Finding>,
    /// Number of checked layers.
    pub layers: usize,
    /// The configuration in effect.
    pub config: Config,
}

/// Checks a tree.
///
/// With a base, also reports products that would be lost. Names are checked for `revision`; without
/// one, the commit count is unknown. The selection of `request` is ignored.
#[must_use]
pub fn check(now: &Tree, since: Option<&Base>, revision: Option<&Revision>, request: &Request) -> Checked {
    let mut findings = Findings::thorough();
    let (config, repo) = configuration(now, request, &mut findings);
    let mut reader = Reader::new(&config, &request.allow_frontend);
    let (model, base) = models(now, since, &mut reader, &config, &repo, &mut findings);
    let unborn =
        Revision { commit: "0".repeat(40), count: None, short: "0".repeat(7), dirty: None, shallow: true };
    names::check(now, &model, &repo, revision.unwrap_or(&unborn), request.rebuild, &mut findings);
    if since.is_some() {
        orphans::check(&model, &base, &config, request, &mut findings);
    }
    guidelines::check(&model, &config, &mut findings);
    lacking(&model, &mut findings);
    let findings = findings.sorted();
    let warned = findings.warnings.into_iter().map(|problem| Finding { level: Level::Warn, problem });
    let denied = findings.problems.into_iter().map(|problem| Finding { level: Level::Deny, problem });
    let mut findings: Vec<Finding> = denied.chain(warned).collect();
    findings.sort_by(|a, b| a.problem.cmp(&b.problem));
    Checked { findings, layers: now.layers.len(), config }
}

/// Reports files that must be sent but are unavailable.
fn lacking(model: &TreeModel, findings: &mut Findings) {
    let science = model.side.science.iter().flat_map(|layer| layer.context());
    let compat = model.side.compat.iter().flat_map(|layer| layer.context());
    for file in science.chain(compat) {
        if let Some(OnDisk::Lacking(problem)) = &file.on_disk {
            findings.refuse(Problem::clone(problem));
        }
    }
}
