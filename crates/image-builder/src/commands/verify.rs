//! `image-builder verify`: checks the provenance of images against this source tree and against the
//! published images.
//!
//! Gathers facts; [`crate::report::image::verify`] evaluates them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use plan::provenance::BuildLabels;
use plan::{Family, ImageName, Provenance, Relation, split_tag};
use planner::git::{self, ChangeCommit, Comparison};
use planner::tree::Base;
use planner::{PublishedNames, Request, identities};

use crate::cli::signals::block_on;
use crate::cli::{exit, output};
use crate::image::locate::{FoundIn, From, ImageInfo, ImageLocator, LookArguments};
use crate::report::image::verify as report;
use crate::report::image::verify::{Facts, OtherBuild, Parent, Published, Verdict, Verified};
use crate::tree::open;

/// Most commits that are named for one build.
const COMMITS: usize = 3;

/// `image-builder verify`
#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// Images: as docker names them, or sci/… or rel/… of the repo
    #[arg(value_name = "REF", required = true)]
    references: Vec<String>,
    /// Check each build only against the commit in its labels
    ///
    /// Later changes, and parents that were published since, are reported and do not count.
    #[arg(long)]
    provenance: bool,
    #[command(flatten)]
    look: LookArguments,
    /// Output format
    #[arg(long, value_enum, default_value_t = VerifyFormat::Text)]
    format: VerifyFormat,
}

/// `--format` of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum VerifyFormat {
    /// Readable text
    Text,
    /// A versioned JSON document
    Json,
}

/// Verifies the images and prints the result.
pub(crate) fn run(arguments: &VerifyArguments) -> anyhow::Result<u8> {
    let locator = ImageLocator::new(&arguments.look)?;
    let tree = SourceTree::open(arguments)?;
    let verified = block_on(verify(arguments, &locator, tree))?;
    let text = match arguments.format {
        VerifyFormat::Text => report::text(&verified, output::stdout_paint()),
        VerifyFormat::Json => output::json(&report::document(&verified))?,
    };
    output::print_stdout(&text).context("cannot write to stdout")?;
    let holds = verified.iter().all(Verified::holds);
    Ok(if holds { exit::DONE } else { exit::DOES_NOT_HOLD })
}

async fn verify(
    arguments: &VerifyArguments,
    locator: &ImageLocator,
    mut tree: SourceTree,
) -> anyhow::Result<Vec<Verified>> {
    let mut published = BTreeMap::new();
    let mut verified = Vec::new();
    for reference in &arguments.references {
        let seen = locator.look(reference).await?;
        let Some(trail) = Provenance::read(&seen.labels, Some(&locator.config.label_prefix)) else {
            verified.push(Verified { reference: seen.name.to_string(), builds: Vec::new() });
            continue;
        };
        let given = arguments.look.repo.as_deref().filter(|repo| !repo.is_empty());
        let repo = given.or(trail.repo.as_deref()).unwrap_or(&locator.repo);
        // The parents of an image that was built without a registry are on the engine.
        let on_engine = arguments.look.from == From::Engine && seen.place == FoundIn::Engine;
        let mut builds = Vec::new();
        for (crumb, _) in trail.builds() {
            let mut parents = Vec::new();
            for (layer, recorded) in crumb.from.iter().flat_map(|from| &from.layers) {
                let reference = format!("{repo}/{}", Family::Sci.repository(layer));
                if !published.contains_key(&reference) {
                    let shown = self::published(locator, &reference, layer, on_engine).await?;
                    published.insert(reference.clone(), shown);
                }
                let published = published[&reference].clone();
                parents.push(Parent { layer: layer.clone(), recorded: recorded.clone(), published });
            }
            let facts = tree.facts(crumb, repo)?;
            builds.push(Verdict::of(crumb, &facts, &parents, arguments.provenance));
        }
        if let (FoundIn::Registry, Some(top)) = (seen.place, builds.first_mut()) {
            top.shown(shows(locator, &seen, trail.top(), trail.repo.as_deref()).await?);
        }
        let foreign = trail.foreign.iter().map(|crumb| Verdict::foreign(&trail.crumbs[*crumb]));
        builds.extend(foreign);
        verified.push(Verified { reference: seen.name.to_string(), builds });
    }
    Ok(verified)
}

/// Returns the image that the build tag points to if it is another one, and `None` if it is this
/// one. A tag that was moved to another image can have the right labels.
async fn shows(
    locator: &ImageLocator,
    seen: &ImageInfo,
    crumb: &BuildLabels,
    repo: Option<&str>,
) -> anyhow::Result<Option<OtherBuild>> {
    let (Some(digest), Some(tag)) = (&seen.digest, crumb.build_tag().and(crumb.version.clone())) else {
        return Ok(None);
    };
    let own = crumb.repository();
    let at_home = seen.name.repository == own || seen.name.repository.ends_with(&format!("/{own}"));
    // For an image that was copied elsewhere by hand, the build tag in the original repo is read.
    let name = match (at_home, repo) {
        (true, _) => seen.name.clone(),
        (false, Some(repo)) => ImageName::parse(&format!("{repo}/{own}:{tag}"))?,
        (false, None) => return Ok(None),
    };
    let build = ImageName { tag: Some(tag), digest: None, has_tag: true, ..name };
    let shown = locator.registry.resolve(&build).await?;
    let is_it = shown.as_ref() == Some(digest);
    Ok((!is_it).then(|| OtherBuild { digest: digest.clone(), build: build.to_string(), shown }))
}

/// Reads the image that a moving tag points to now.
async fn published(
    locator: &ImageLocator,
    reference: &str,
    layer: &str,
    on_engine: bool,
) -> anyhow::Result<Published> {
    let Ok(name) = ImageName::parse(reference) else { return Ok(Published::Absent) };
    let seen = if on_engine { locator.on_engine(&name).await? } else { locator.in_registry(&name).await? };
    let Some(seen) = seen else { return Ok(Published::Absent) };
    let repository = Family::Sci.repository(split_tag(layer).0).to_string();
    let trail = Provenance::read(&seen.labels, Some(&locator.config.label_prefix));
    let mut crumbs = trail.iter().flat_map(|trail| &trail.crumbs);
    let wanted = |crumb: &&BuildLabels| crumb.repository() == repository && crumb.version.is_some();
    let Some(crumb) = crumbs.find(wanted) else { return Ok(Published::Silent) };
    let version = crumb.version.clone().unwrap_or_default();
    if seen.place == FoundIn::Registry && shows(locator, &seen, crumb, None).await?.is_some() {
        return Ok(Published::Moved(version));
    }
    Ok(Published::Build(version))
}

/// The source tree at HEAD and at the commits in the images' labels.
struct SourceTree {
    root: PathBuf,
    head: String,
    /// By commit and repo.
    known: BTreeMap<(String, String), Side>,
}

/// The tree at a commit, and at HEAD.
#[derive(Clone)]
struct Side {
    then: BTreeMap<String, PublishedNames>,
    now: BTreeMap<String, PublishedNames>,
}

impl SourceTree {
    fn open(arguments: &VerifyArguments) -> anyhow::Result<Self> {
        let start = open::start(arguments.look.root.as_deref())?;
        let comparison = Comparison::parse("HEAD..HEAD")?;
        let opened = git::open(&git::Options { start, comparison, ..git::Options::default() })?;
        Ok(Self { root: opened.root, head: opened.inputs.revision.commit, known: BTreeMap::new() })
    }

    /// Reads the history of one build.
    fn facts(&mut self, crumb: &BuildLabels, repo: &str) -> anyhow::Result<Facts> {
        let head = self.head.clone();
        let Some(tag) = crumb.build_tag() else {
            return Ok(Facts {
                head,
                relation: Relation::Unknown,
                then: None,
                now: None,
                touched: Vec::new(),
            });
        };
        let relation = git::relation(&self.root, &head, &tag.hash);
        if relation == Relation::Unknown {
            return Ok(Facts { head, relation, then: None, now: None, touched: Vec::new() });
        }
        let side = self.side(&tag.hash, repo)?;
        let name = format!("{}:{}", crumb.repository(), tag.version.as_str());
        let (then, now) = (side.then.get(&name).cloned(), side.now.get(&name).cloned());
        let recorded = crumb.inputs.as_ref().or(then.as_ref().map(|then| &then.inputs));
        let touched = if now.as_ref().map(|now| &now.inputs) == recorded {
            Vec::new()
        } else {
            self.touched(&tag.hash, then.as_ref(), now.as_ref())?
        };
        Ok(Facts { head, relation, then, now, touched })
    }

    fn side(&mut self, commit: &str, repo: &str) -> anyhow::Result<Side> {
        let key = (commit.to_owned(), repo.to_owned());
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let comparison = Comparison::parse(&format!("{commit}..{}", self.head))?;
        let start = self.root.clone();
        let opened = git::open(&git::Options { start, comparison, ..git::Options::default() })?;
        let request = Request { repo: Some(repo.to_owned()), ..Request::default() };
        let then = match &opened.inputs.base {
            Base::Commit { tree, .. } => identities(tree, &request),
            Base::Empty => BTreeMap::new(),
        };
        let side = Side { then, now: identities(&opened.inputs.now, &request) };
        self.known.insert(key, side.clone());
        Ok(side)
    }

    /// Returns the commits since then that changed the directories of a build, at their location
    /// then or now.
    fn touched(
        &self,
        commit: &str,
        then: Option<&PublishedNames>,
        now: Option<&PublishedNames>,
    ) -> anyhow::Result<Vec<ChangeCommit>> {
        let mut layers: Vec<String> =
            then.into_iter().chain(now).flat_map(|identity| identity.layers.iter().cloned()).collect();
        layers.sort();
        layers.dedup();
        Ok(git::touched(&self.root, (commit, &self.head), &layers, COMMITS)?)
    }
}
