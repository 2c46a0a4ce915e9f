//! `image-builder rebuild`: builds an image again from its provenance labels or build spec, and
//! compares the result.
//!
//! The files come from git, at the recorded commit, or from the attached spec. Either way they are
//! written to a small source tree, which is then planned. Nothing is pushed, and no tag of the repo
//! is changed.

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use executor::{BuilderChoice, Options, Outcome, RunResult};
use plan::provenance::BuildLabels;
use plan::spec::Spec;
use plan::{BuildTag, ImageName, LayerKey, Plan, Provenance, Relation, Revision, Target, tag_of};
use planner::Request;
use planner::build_spec::{MissingFile, SpecDrafts, replan};
use planner::git::{self, Comparison};
use tokio::sync::mpsc::unbounded_channel;

use crate::cli::args::{FrontendArguments, Progress};
use crate::cli::exit::{self, CliError};
use crate::cli::signals::{self, Signals};
use crate::cli::{env, output};
use crate::image::build_spec::{self, attached};
use crate::image::locate::{ImageInfo, ImageLocator, LookArguments};
use crate::report::image::spec::{self as report, Rebuild};
use crate::report::run::plain::Detail;
use crate::report::run::progress::ProgressReporter;
use crate::tree::open;
use crate::tree::run_files::RunFiles;

/// The repo in the names of rebuilt images, so that they replace no other image's tag.
const REPO: &str = "localhost/rebuilt";
/// The largest file that is read from git.
const LARGEST: usize = 1 << 30;

/// `image-builder rebuild`
#[derive(Debug, Args)]
pub(crate) struct RebuildArguments {
    /// An image: as docker names it, or sci/… or rel/… of the repo
    #[arg(value_name = "REF")]
    reference: String,
    /// Use the files of the attached build spec: write them to this new directory, and build from
    /// there
    ///
    /// For use without a source tree. Review the files before you confirm.
    #[arg(long, value_name = "DIR")]
    from_spec: Option<PathBuf>,
    /// Build without asking
    #[arg(long, short)]
    yes: bool,
    /// Show what would be built, and build nothing
    #[arg(long, visible_alias = "dry-run")]
    dryrun: bool,
    /// Do not use the engine's build cache
    #[arg(long)]
    no_cache: bool,
    #[command(flatten)]
    frontends: FrontendArguments,
    #[command(flatten)]
    look: LookArguments,
    #[command(flatten)]
    files: RunFiles,
}

/// Rebuilds the image.
pub(crate) fn run(arguments: &RebuildArguments) -> anyhow::Result<u8> {
    signals::run(|signals| rebuild(arguments, signals))
}

/// Everything that is known before the build.
struct Ready {
    rebuild: Rebuild,
    contexts: BTreeMap<plan::BuildId, plan::Context>,
    locator: ImageLocator,
    /// Where the run is recorded.
    root: PathBuf,
    /// The root of the surrounding git repository, if there is one.
    repository: Option<PathBuf>,
    _temporary: Option<tempfile::TempDir>,
}

async fn rebuild(arguments: &RebuildArguments, signals: Signals) -> anyhow::Result<u8> {
    let ready = signals.unless_stopped(prepare(arguments)).await?;
    let rebuild = &ready.rebuild;
    output::print_stdout(&report::about_to_run(rebuild, output::stdout_paint()))
        .context("cannot write to stdout")?;
    if arguments.dryrun {
        return Ok(exit::DONE);
    }
    if !arguments.yes && !signals.unless_stopped(agreed()).await? {
        return Ok(exit::DONE);
    }
    let options = options(arguments, &ready.locator, ready.root.clone())?;
    let reports = arguments.files.of(&rebuild.plan, false, ready.repository.as_deref());
    reports.begin()?;
    let ended = build_and_compare(rebuild, &ready.contexts, &options, &ready.locator, &signals).await;
    let kept = match &ended {
        Ok(Ended { result, .. }) => reports.end(result),
        Err(error) => reports.fail(&format!("{error:#}")),
    };
    let code = ended?.code;
    kept.map(|()| code)
}

/// Finds the files that the image was made from, and plans its build.
async fn prepare(arguments: &RebuildArguments) -> anyhow::Result<Ready> {
    let locator = ImageLocator::new(&arguments.look)?;
    let seen = locator.look(&arguments.reference).await?;
    let Some(trail) = Provenance::read(&seen.labels, Some(&locator.config.label_prefix)) else {
        return Err(CliError::does_not_hold(format!("{} has no provenance labels", seen.name)).into());
    };
    let top = trail.top().clone();
    let (tag, recorded, from) = match (top.build_tag(), &top.inputs, &top.from) {
        (Some(tag), Some(inputs), Some(from)) => (tag, inputs.clone(), from.clone()),
        _ => {
            let message =
                format!("{} has no recorded inputs, like all images of the previous tool", seen.name);
            return Err(CliError::does_not_hold(message).into());
        }
    };
    let request = Request { allow_frontend: arguments.frontends.allowed(), ..Request::default() };
    let Files { spec, directory, root, repository, origin, _temporary } = match &arguments.from_spec {
        Some(directory) => files_from_spec(&locator, &seen, &trail, directory, &request).await?,
        None => from_git(arguments, &trail, &top, &tag, &request)?,
    };
    let (mut plan, contexts) = replan(&spec, &directory, &request).map_err(CliError::does_not_hold)?;
    let inputs = plan.builds[0].context.inputs.clone();
    if inputs != recorded {
        let message = format!("these files give other inputs: {inputs}, but the image records {recorded}");
        return Err(CliError::does_not_hold(message).into());
    }
    let exact = make_exact(&mut plan, &locator, &spec, &from).await?;
    rename(&mut plan, &top);
    let name = format!("{} {}", top.repository(), top.version.as_deref().unwrap_or_default());
    let rebuild = Rebuild { seen, name, origin, plan, exact };
    Ok(Ready { rebuild, contexts, locator, root, repository, _temporary })
}

/// The outcome of the run.
struct Ended {
    code: u8,
    result: RunResult,
}

/// Builds, and compares the new image with the existing one.
async fn build_and_compare(
    rebuild: &Rebuild,
    contexts: &BTreeMap<plan::BuildId, plan::Context>,
    options: &Options,
    locator: &ImageLocator,
    signals: &Signals,
) -> anyhow::Result<Ended> {
    let Ended { code, mut result } = carry_out(&rebuild.plan, contexts, options, signals).await?;
    if !result.success {
        return Ok(Ended { code, result });
    }
    let made = ImageName::parse(rebuild.plan.builds[0].build_tag()).context("a tag of our own")?;
    let Some(made) = locator.on_engine(&made).await? else {
        return Err(CliError::environment(format!("the engine built {made} and does not have it")).into());
    };
    let compared = report::compared(rebuild, &made, output::stdout_paint());
    output::print_stdout(&compared).context("cannot write to stdout")?;
    let Some(difference) = report::difference(&rebuild.seen, &made) else {
        return Ok(Ended { code: exit::DONE, result });
    };
    result.success = false;
    for build in &mut result.builds {
        build.outcome = Outcome::Failed;
        build.error =
            Some(format!("it did not come out as {}: of the layers, {difference}", rebuild.seen.name));
    }
    Ok(Ended { code: exit::DOES_NOT_HOLD, result })
}

/// A source tree of one build, on disk.
struct Files {
    spec: Spec,
    directory: PathBuf,
    /// Where the run is recorded.
    root: PathBuf,
    /// The root of the surrounding git repository, if there is one.
    repository: Option<PathBuf>,
    /// A description of the source of the files, for people.
    origin: String,
    _temporary: Option<tempfile::TempDir>,
}

/// Returns the files in the attached build spec.
async fn files_from_spec(
    locator: &ImageLocator,
    seen: &ImageInfo,
    trail: &Provenance,
    directory: &Path,
    request: &Request,
) -> anyhow::Result<Files> {
    let Some(found) = attached::find(locator, seen, trail, request).await? else {
        return Err(CliError::does_not_hold(format!("no build spec travelled with {}", seen.name))
            .help("in a clone of its source tree, leave --from-spec out")
            .into());
    };
    if !found.spec.is_whole() && !found.refused.is_empty() {
        let message = format!(
            "the build spec in the {} of {} lacks files, and no other attached artifact is its build spec",
            found.by, seen.name
        );
        return Err(attached::not_trusted(message, found.refused).into());
    }
    let repository = open::repository();
    build_spec::write(&found.spec, directory, repository.as_deref())?;
    let directory =
        directory.canonicalize().with_context(|| format!("cannot open {}", directory.display()))?;
    let origin = format!("the spec in its {}, written to {}", found.by, directory.display());
    Ok(Files { spec: found.spec, root: directory.clone(), directory, repository, origin, _temporary: None })
}

/// Returns the files at the recorded commit, from git's objects: the commit need not be checked
/// out.
fn from_git(
    arguments: &RebuildArguments,
    trail: &Provenance,
    top: &BuildLabels,
    tag: &BuildTag,
    request: &Request,
) -> anyhow::Result<Files> {
    if tag.dirty.is_some() {
        let message = "it was built from files that were in no commit";
        return Err(CliError::does_not_hold(message).help("--from-spec uses its attached build spec").into());
    }
    let start = open::start(arguments.look.root.as_deref())?;
    let comparison = Comparison::parse(&format!("{0}..{0}", tag.hash))?;
    let opened = git::open(&git::Options { start, comparison, ..git::Options::default() })?;
    let commit = opened.inputs.revision.commit.clone();
    let short = commit[..7].to_owned();
    let revision =
        Revision { commit, count: Some(tag.count), short: short.clone(), dirty: None, shallow: false };
    let request = Request { repo: trail.repo.clone(), ..request.clone() };
    let name = format!("{}:{}", top.repository(), tag.version.as_str());
    let outlines = SpecDrafts::new(&opened.inputs.now, &request);
    let Some(outline) = outlines.named(&name, revision) else {
        return Err(
            CliError::does_not_hold(format!("commit {short} has no {name}, or it cannot be parsed")).into()
        );
    };
    let mut spec = outline.spec;
    spec.rebuild = tag.rebuild;
    let ids = outline.context.values().map(|lacking| lacking.file.id);
    let mut contents = git::blobs(&opened.root, ids, LARGEST)?;
    for (path, MissingFile { file, .. }) in &outline.context {
        let Some(bytes) = contents.get(&file.id).cloned().or_else(|| contents.remove(&file.id)) else {
            return Err(CliError::environment(format!("git does not have {path} of commit {short}"))
                .help("is it in a submodule? those files are not in this repository")
                .into());
        };
        if bytes.starts_with(b"version https://git-lfs") {
            return Err(CliError::environment(format!(
                "{path} is kept by Git LFS, and git has a pointer to it only"
            ))
            .help("--from-spec may have it; or check the commit out and build there")
            .into());
        }
        build_spec::put(&mut spec, path, bytes);
    }
    let temporary = tempfile::tempdir().context("cannot make a directory for the files")?;
    let directory = temporary.path().join("tree");
    build_spec::write(&spec, &directory, None)?;
    let origin = format!("commit {short} of {}", opened.root.display());
    let repository = Some(opened.repository);
    Ok(Files { spec, directory, root: opened.root, repository, origin, _temporary: Some(temporary) })
}

/// Replaces references by the exact images that the build used. Returns each reference once, with
/// its exact image.
async fn make_exact(
    plan: &mut Plan,
    locator: &ImageLocator,
    spec: &Spec,
    from: &plan::provenance::BuiltFrom,
) -> anyhow::Result<Vec<(String, String)>> {
    let mut exact: BTreeMap<String, String> = BTreeMap::new();
    for reference in &mut plan.builds[0].references {
        let (name, found) = match &reference.target {
            Target::Scratch | Target::Build { .. } => continue,
            Target::Layer { reference, .. } => {
                (reference.clone(), layer(locator, reference, spec.resolved.get(reference), from).await?)
            }
            Target::Pinned { reference } | Target::External { reference } => {
                let recorded = from.images.get(reference).cloned().flatten();
                let name = ImageName::parse(reference).context("the spec names an image")?;
                let digest = recorded.or(name.digest.clone());
                let found = digest.map_or_else(|| reference.clone(), |digest| name.with_digest(&digest));
                (reference.clone(), found)
            }
        };
        reference.target = Target::External { reference: found.clone() };
        exact.insert(name, found);
    }
    plan.builds[0].needs.clear();
    Ok(exact.into_iter().collect())
}

/// Returns the image of a science layer that the build used, by digest if a registry has it.
async fn layer(
    locator: &ImageLocator,
    reference: &str,
    resolved: Option<&String>,
    from: &plan::provenance::BuiltFrom,
) -> anyhow::Result<String> {
    let name = ImageName::parse(reference).context("the spec names an image")?;
    let (_, target) = name.repository.rsplit_once('/').unwrap_or(("", &name.repository));
    let version = name.tag.clone().unwrap_or_default();
    let key = LayerKey { target: target.to_owned(), version };
    let Some(Some(build_tag)) = from.layers.get(&key.to_string()) else {
        return resolved.cloned().ok_or_else(|| {
            CliError::does_not_hold(format!("the image does not record its build of {}", key.reference()))
                .into()
        });
    };
    let tagged = ImageName { tag: Some(build_tag.clone()), digest: None, has_tag: true, ..name.clone() };
    let shown = locator.registry.resolve(&tagged).await;
    if let Ok(Some(digest)) = &shown {
        return Ok(tagged.with_digest(digest));
    }
    if locator.on_engine(&tagged).await?.is_some() {
        return Ok(tagged.to_string());
    }
    shown?;
    Err(CliError::environment(format!(
        "{tagged}, which it was built on, is neither in its registry nor on the engine"
    ))
    .into())
}

/// Gives the build names that no other image has.
fn rename(plan: &mut Plan, top: &BuildLabels) {
    let tags = &mut plan.builds[0].tags;
    for tag in [&mut tags.build, &mut tags.moving] {
        *tag = format!("{REPO}/{}:{}", top.repository(), tag_of(tag).unwrap_or("latest"));
    }
    REPO.clone_into(&mut plan.repo);
}

/// Asks for confirmation on the terminal.
async fn agreed() -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::usage("cannot ask for confirmation here")
            .help("review it with --dryrun, then use --yes")
            .into());
    }
    output::print_stderr("build it? [y/N] ");
    let ask = || {
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).map(|_| answer)
    };
    let answer = tokio::task::spawn_blocking(ask).await.context("cannot read the answer")?;
    let answer = answer.context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn options(arguments: &RebuildArguments, locator: &ImageLocator, root: PathBuf) -> anyhow::Result<Options> {
    Ok(Options {
        push: false,
        jobs: None,
        builder: BuilderChoice::Auto,
        no_cache: arguments.no_cache,
        pull: false,
        fail_fast: false,
        base_repo: None,
        allow_older: false,
        root,
        endpoint: env::endpoint(arguments.look.host.as_deref(), &locator.docker_config)?,
        docker_config: locator.docker_config.clone(),
        source_date_epoch: env::source_date_epoch()?,
        idle_timeout: Duration::from_secs(30 * 60),
        build_timeout: Duration::from_secs(12 * 3600),
        push_timeout: Duration::from_secs(300),
        engine_wait: Duration::from_secs(30),
        lock_wait: Duration::from_secs(60),
        resume: false,
        skip_tests: true,
        allow_onbuild: true,
        drift: executor::Drift::Ignore,
        read_timeout: Duration::from_secs(30 * 60),
        secrets: Vec::new(),
    })
}

/// Builds, and returns the exit code with the result.
async fn carry_out(
    plan: &Plan,
    contexts: &BTreeMap<plan::BuildId, plan::Context>,
    options: &Options,
    signals: &Signals,
) -> anyhow::Result<Ended> {
    let (sender, mut events) = unbounded_channel();
    let mut reporter = ProgressReporter::choose(Progress::Auto, Detail::NONE, plan);
    let shown = tokio::task::spawn_blocking(move || {
        while let Some(event) = events.blocking_recv() {
            let _ = reporter.event(&event);
        }
    });
    let history = |_: &str| Relation::Unknown;
    let ended = executor::run(plan, contexts, options, history, sender, signals.cancel.clone()).await;
    tokio::select! {
        _ = shown => {}
        () = signals.late() => {}
    }
    let result = ended?;
    let code = match signals.code() {
        Some(code) if !result.success => code,
        _ => exit::of_result(&result),
    };
    Ok(Ended { code, result })
}
