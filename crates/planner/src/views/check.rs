//! Checks a source tree: all problems, and all guidelines that it breaks.
//!
//! [`crate::plan()`] refuses for the same reasons; this reports more, needs no base and no commit,
//! and continues where a plan would stop.

use plan::Revision;

use crate::decide::{guidelines, orphans};
use crate::diagnostics::finding::Findings;
use crate::parse::config::{Config, Level};
use crate::tree::layers::Reader;
use crate::tree::model::TreeModel;
use crate::tree::{Base, OnDisk, Tree, names};
use crate::{Problem, Request, configuration, surveys};

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// [`Level::Warn`], or [`Level::Deny`] for what a plan refuses.
    pub level: Level,
    /// The problem.
    pub problem: Problem,
}

/// The result of a check.
#[derive(Debug, Clone)]
pub struct Checked {
    /// By file and line, each once.
    pub findings: Vec<Finding>,
    /// Number of checked layers.
    pub layers: usize,
    /// The configuration that holds.
    pub config: Config,
}

/// Checks a tree.
///
/// With a base, also what would be lost since. Names are checked with the commit; without one its
/// commit count is unknown. Of `request` only the parts that concern the whole tree count, not the
/// selection.
#[must_use]
pub fn check(now: &Tree, since: Option<&Base>, revision: Option<&Revision>, request: &Request) -> Checked {
    let mut findings = Findings::thorough();
    let (config, repo) = configuration(now, request, &mut findings);
    let mut reader = Reader::new(&config, &request.allow_frontend);
    let (survey, base) = surveys(now, since, &mut reader, &config, &repo, &mut findings);
    let unborn =
        Revision { commit: "0".repeat(40), count: None, short: "0".repeat(7), dirty: None, shallow: true };
    names::check(now, &survey, &repo, revision.unwrap_or(&unborn), request.rebuild, &mut findings);
    if since.is_some() {
        orphans::check(&survey, &base, &config, request, &mut findings);
    }
    guidelines::check(&survey, &config, &mut findings);
    lacking(&survey, &mut findings);
    let findings = findings.sorted();
    let warned = findings.warnings.into_iter().map(|problem| Finding { level: Level::Warn, problem });
    let denied = findings.problems.into_iter().map(|problem| Finding { level: Level::Deny, problem });
    let mut findings: Vec<Finding> = denied.chain(warned).collect();
    findings.sort_by(|a, b| a.problem.cmp(&b.problem));
    Checked { findings, layers: now.layers.len(), config }
}

/// Files that would have to be sent and cannot be had.
fn lacking(survey: &TreeModel, findings: &mut Findings) {
    let science = survey.side.science.iter().flat_map(|layer| layer.context());
    let compat = survey.side.compat.iter().flat_map(|layer| layer.context());
    for file in science.chain(compat) {
        if let Some(OnDisk::Lacking(problem)) = &file.on_disk {
            findings.refuse(Problem::clone(problem));
        }
    }
}
