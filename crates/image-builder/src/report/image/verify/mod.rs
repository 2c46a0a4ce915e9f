//! Reports whether an image's provenance holds, build by build: as text and as a versioned
//! document.

use plan::provenance::BuildLabels;
use plan::{Family, Relation, split_tag};
use planner::PublishedNames;
use planner::git::ChangeCommit;
use serde::Serialize;

use crate::cli::escape::escape;
use crate::report::text::format::{Paint, count, day, short_commit};

/// The version of the document.
const FORMAT_VERSION: &str = "1.0";

/// The history of one build.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// All digits of HEAD.
    pub(crate) head: String,
    /// How the build's commit relates to HEAD.
    pub(crate) relation: Relation,
    /// The build's names at that commit.
    pub(crate) then: Option<PublishedNames>,
    /// The build's names at HEAD.
    pub(crate) now: Option<PublishedNames>,
    /// Later commits that changed the build's directories, the newest first.
    pub(crate) touched: Vec<ChangeCommit>,
}

/// A science layer that a build needed.
#[derive(Debug, Clone)]
pub(crate) struct Parent {
    /// `target:version`.
    pub(crate) layer: String,
    /// The recorded build tag of the layer.
    pub(crate) recorded: Option<String>,
    /// The published image.
    pub(crate) published: Published,
}

/// The image that a moving tag points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Published {
    /// An image of this build.
    Build(String),
    /// An image with this build in its labels, while the build tag points to another image.
    Moved(String),
    /// An image that does not record its build.
    Silent,
    /// The tag does not exist.
    Absent,
}

/// A build tag that points to another image than the one that names it.
#[derive(Debug, Clone)]
pub(crate) struct OtherBuild {
    /// The digest of the image.
    pub(crate) digest: String,
    /// The build tag, as a full reference.
    pub(crate) build: String,
    /// The digest that the build tag points to; `None` if it is missing.
    pub(crate) shown: Option<String>,
}

/// One image, build by build.
#[derive(Debug, Serialize)]
pub(crate) struct Verified {
    /// The full name.
    pub(crate) reference: String,
    /// From the top down; empty if the image has no provenance labels.
    pub(crate) builds: Vec<Verdict>,
}

/// The findings for one build.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    /// `sci/nist-basic`, below the repo.
    name: String,
    /// The build tag.
    version: Option<String>,
    claims: Vec<Claim>,
}

/// One check.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Claim {
    /// `commit`, `inputs`, `tree`, `parent`, `origin` or `tag`.
    about: &'static str,
    result: Outcome,
    text: String,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// The check passed.
    Holds,
    /// The check failed.
    Fails,
    /// The check failed, but was not requested.
    Noted,
    /// The image does not record it.
    Untold,
}

impl Verified {
    /// Whether there is a provenance, and all checks passed.
    pub(crate) fn holds(&self) -> bool {
        !self.builds.is_empty() && self.builds.iter().all(Verdict::holds)
    }
}

impl Verdict {
    /// Evaluates a build. With `provenance`, only the commit in its labels counts.
    pub(crate) fn of(crumb: &BuildLabels, facts: &Facts, parents: &[Parent], provenance: bool) -> Self {
        let since = if provenance { Outcome::Noted } else { Outcome::Fails };
        let mut claims = vec![commit(crumb, facts)];
        if facts.relation != Relation::Unknown && crumb.build_tag().is_some_and(|tag| tag.dirty.is_none()) {
            claims.push(inputs(crumb, facts));
            claims.push(tree(crumb, facts, since));
        }
        match &crumb.from {
            Some(_) => claims.extend(parents.iter().map(|parent| is_based_on(parent, since))),
            None => claims.push(Claim {
                about: "parent",
                result: Outcome::Untold,
                text: "its base is not recorded, like in all images of the previous tool".to_owned(),
            }),
        }
        Self { name: crumb.repository(), version: crumb.version.clone(), claims }
    }

    /// The verdict on a build whose labels were inherited from an external base image.
    pub(crate) fn foreign(crumb: &BuildLabels) -> Self {
        let text = "its labels were inherited from an external base image".to_owned();
        let claims = vec![Claim { about: "origin", result: Outcome::Untold, text }];
        Self { name: crumb.repository(), version: crumb.version.clone(), claims }
    }

    /// Adds a failed check if the build tag points to another image.
    pub(crate) fn shown(&mut self, other: Option<OtherBuild>) {
        let Some(OtherBuild { digest, build, shown }) = other else { return };
        let shown = match shown {
            Some(shown) => format!("shows {shown}"),
            None => "is not there".to_owned(),
        };
        let text = format!("it is {digest}, and its labels name the build {build}, which {shown}");
        self.claims.insert(0, Claim { about: "tag", result: Outcome::Fails, text });
    }

    fn holds(&self) -> bool {
        self.claims.iter().all(|claim| claim.result != Outcome::Fails)
    }
}

fn commit(crumb: &BuildLabels, facts: &Facts) -> Claim {
    let claim = |result, text: String| Claim { about: "commit", result, text };
    let Some(tag) = crumb.build_tag() else {
        return claim(Outcome::Fails, "its version is not a build tag, so its commit is unknown".to_owned());
    };
    let (hash, head) = (&tag.hash, short_commit(&facts.head));
    if tag.dirty.is_some() {
        let text = format!("it was built from files that were in no commit, changed after {hash}");
        return claim(Outcome::Fails, text);
    }
    match facts.relation {
        Relation::Same => claim(Outcome::Holds, format!("commit {hash} is HEAD")),
        Relation::Ancestor => {
            claim(Outcome::Holds, format!("commit {hash} is in the history of HEAD ({head})"))
        }
        Relation::Descendant => {
            claim(Outcome::Fails, format!("commit {hash} comes after HEAD ({head}): this tree is older"))
        }
        Relation::Diverged => {
            claim(Outcome::Fails, format!("commit {hash} is not in the history of HEAD ({head})"))
        }
        Relation::Unknown => claim(
            Outcome::Fails,
            format!(
                "commit {hash} is not in this clone: git fetch may bring it, or it is of another repository"
            ),
        ),
    }
}

/// Checks that the recorded commit has the inputs that the image was made from.
fn inputs(crumb: &BuildLabels, facts: &Facts) -> Claim {
    let claim = |result, text: String| Claim { about: "inputs", result, text };
    let hash = crumb.build_tag().map(|tag| tag.hash).unwrap_or_default();
    match (&facts.then, &crumb.inputs) {
        (None, _) => claim(
            Outcome::Fails,
            format!("at commit {hash} there is no such layer or product, or it cannot be parsed"),
        ),
        (Some(_), None) => claim(
            Outcome::Untold,
            format!("its inputs are not recorded; commit {hash} has a layer or product of that name"),
        ),
        (Some(then), Some(recorded)) if then.inputs == *recorded => {
            claim(Outcome::Holds, format!("its inputs are what commit {hash} gives"))
        }
        (Some(then), Some(recorded)) => claim(
            Outcome::Fails,
            format!("its inputs are {recorded}, and commit {hash} gives {}", then.inputs),
        ),
    }
}

/// Checks that the tree still has the same inputs.
fn tree(crumb: &BuildLabels, facts: &Facts, since: Outcome) -> Claim {
    let claim = |result, text: String| Claim { about: "tree", result, text };
    let recorded = crumb.inputs.as_ref().or(facts.then.as_ref().map(|then| &then.inputs));
    let by = |what: &str| match facts.touched.as_slice() {
        [] => format!("{what}: no file of its own changed, so what it refers to or the configuration did"),
        touched => {
            let named: Vec<String> = touched.iter().map(name_commit).collect();
            format!("{what} by {}", named.join(", before that by "))
        }
    };
    match &facts.now {
        Some(now) if Some(&now.inputs) == recorded => {
            claim(Outcome::Holds, "HEAD gives the same inputs".to_owned())
        }
        Some(_) => claim(since, by("changed since")),
        None => claim(since, by("gone from the tree since, or not to be understood: changed")),
    }
}

fn name_commit(touched: &ChangeCommit) -> String {
    let summary = touched.summary.chars().take(60).collect::<String>();
    let day = day(touched.time as f64).unwrap_or_default();
    format!("{} \"{summary}\" ({day})", short_commit(&touched.commit))
}

/// Checks that the recorded parent is the published one.
fn is_based_on(parent: &Parent, since: Outcome) -> Claim {
    let claim = |result, text: String| Claim { about: "parent", result, text };
    let layer = &parent.layer;
    let (target, _) = split_tag(layer);
    let layer = Family::Sci.repository(layer);
    let target = Family::Sci.repository(target);
    match (&parent.recorded, &parent.published) {
        (None, _) => {
            claim(Outcome::Untold, format!("it was built on a {layer} that did not record its build"))
        }
        (Some(recorded), Published::Build(now)) if recorded == now => {
            claim(Outcome::Holds, format!("it was built on {target}:{now}, which is published"))
        }
        (Some(recorded), Published::Build(now)) => {
            claim(since, format!("it was built on {target}:{recorded}, and published is {now}"))
        }
        (Some(recorded), Published::Moved(now)) => claim(
            Outcome::Fails,
            format!(
                "it was built on {target}:{recorded}, and {layer} shows an image that is not the build {now} \
                 that it names"
            ),
        ),
        (Some(recorded), Published::Silent) => claim(
            since,
            format!(
                "it was built on {target}:{recorded}, and the published {layer} does not record its build"
            ),
        ),
        (Some(recorded), Published::Absent) => {
            claim(since, format!("it was built on {target}:{recorded}, and no {layer} is published"))
        }
    }
}

/// The document of `--format json`.
pub(crate) fn document(verified: &[Verified]) -> impl Serialize {
    #[derive(Serialize)]
    struct Document<'a> {
        format_version: &'static str,
        holds: bool,
        images: &'a [Verified],
    }
    Document { format_version: FORMAT_VERSION, holds: verified.iter().all(Verified::holds), images: verified }
}

/// The text for stdout.
pub(crate) fn text(verified: &[Verified], paint: Paint) -> String {
    let mut out = String::new();
    for image in verified {
        out.push_str(&format!("{}\n", paint.bold(&escape(&image.reference))));
        if image.builds.is_empty() {
            out.push_str(
                "  no provenance: none of its labels was written by image-builder or its previous tool\n",
            );
        }
        for build in &image.builds {
            let version = build.version.as_deref().unwrap_or_default();
            out.push_str(&format!("  {} {}\n", escape(&build.name), escape(version)));
            for claim in &build.claims {
                let mark = match claim.result {
                    Outcome::Holds => paint.green("holds"),
                    Outcome::Fails => paint.red("fails"),
                    Outcome::Noted => paint.yellow("note "),
                    Outcome::Untold => paint.dim("-    "),
                };
                out.push_str(&format!("    {mark}  {}\n", escape(&claim.text)));
            }
        }
        let failed = image.builds.iter().filter(|build| !build.holds()).count();
        out.push_str(&match (image.builds.len(), failed) {
            (0, _) => "  nothing to verify\n".to_owned(),
            (all, 0) => format!("  all holds: {}\n", count(all, "build")),
            (all, failed) => format!("  does not hold: {failed} of {}\n", count(all, "build")),
        });
    }
    out
}

#[cfg(test)]
mod tests;
