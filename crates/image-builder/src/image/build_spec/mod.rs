//! Writes build specs into labels, artifacts and directories.
//! [`crate::image::build_spec::attached`] finds and verifies the spec of an existing image.
//!
//! The label contains as much of the spec as fits beside the other labels. The artifact, which
//! refers to the image in its registry, also contains the context, up to a limit. A failure to
//! attach the artifact is reported and is not an error: the image is published, and the next run
//! that finds the image attaches the artifact.

pub(crate) mod attached;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use executor::{Failure, Outcome, RunResult};
use files::{Access, Dir};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use plan::spec::{ARTIFACT_TYPE, Contents, Spec, SpecFile};
use plan::{Build, ImageName, Plan, Target, label};
use planner::Request;
use planner::build_spec::{SpecDraft, SpecDrafts};
use planner::tree::{BlobId, OnDisk, Tree};
use registry::{DockerConfig, Registry};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::cli::exit::CliError;
use crate::cli::output;
use crate::report::text::format::count;

/// Limit for all labels of an image; the executor refuses more.
const ALL_LABELS: usize = 16 << 10;
/// Limit for the spec's label.
const LABEL: usize = 10 << 10;
/// Contexts of more bytes than this are not put into a label.
const LABEL_CONTENTS: u64 = 64 << 10;
/// Contexts of more bytes than this are not attached.
const ARTIFACT_CONTENTS: u64 = 4 << 20;
/// The largest spec that is read.
pub(crate) const LARGEST: usize = 16 << 20;
/// Artifacts that are uploaded at a time.
const AT_ONCE: usize = 8;
/// Stops attaching after this many failures.
const FAILURES: usize = 3;

/// `--spec`: what of the definition travels with an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SpecScope {
    /// Dockerfiles, descriptors and the files of the context
    Full,
    /// Dockerfiles and descriptors
    Definition,
    /// Nothing
    None,
}

/// Adds the spec to every build's labels if it fits. Otherwise the label is empty, so that no
/// parent's spec is inherited.
pub(crate) fn label(plan: &mut Plan, tree: &Tree, request: &Request, travels: SpecScope) {
    let outlines = SpecDrafts::new(tree, request);
    let key = label::spec(&plan.label_prefix);
    let is_full = travels == SpecScope::Full && plan.revision.dirty.is_none();
    let spec_of = |build: &Build| {
        if travels == SpecScope::None {
            return None;
        }
        let outline = outlines.of(plan, build);
        let room = LABEL.min(ALL_LABELS.saturating_sub(max_labels_size(build) + key.len()));
        if least(&outline.spec) > room {
            return None;
        }
        let fits = |spec: &Spec| Some(encode(spec)).filter(|text| text.len() <= room);
        let full = is_full.then(|| fill(outline.clone(), LABEL_CONTENTS)).filter(Spec::is_whole);
        full.as_ref().and_then(fits).or_else(|| fits(&outline.spec.definition()))
    };
    let specs: Vec<_> = plan.builds.iter().map(spec_of).collect();
    for (build, spec) in plan.builds.iter_mut().zip(specs) {
        build.labels.insert(key.clone(), spec.unwrap_or_default());
    }
}

/// The maximum size of a build's labels, including those that are known only at build time.
fn max_labels_size(build: &Build) -> usize {
    let known: usize = build.labels.iter().map(|(key, value)| key.len() + value.len()).sum();
    let references: usize =
        build.references.iter().map(|reference| reference.span.end - reference.span.start + 600).sum();
    let stack: usize = build.compat_stack.iter().map(|name| name.len() + 3).sum();
    known + references + stack + 1024
}

/// Reads the contents of a context that are the same in git and on disk; none if the context
/// exceeds `most` bytes in all.
fn fill(mut outline: SpecDraft<'_>, most: u64) -> Spec {
    let mut left = most;
    for lacking in outline.context.values() {
        let size = fs::symlink_metadata(lacking.source()).map_or(0, |found| found.len());
        match left.checked_sub(size) {
            Some(less) => left = less,
            None => return outline.spec,
        }
    }
    for (path, lacking) in &outline.context {
        // Contents that git converts would result in other inputs for a client without git.
        if matches!(&lacking.file.on_disk, Some(OnDisk::Sha256(_) | OnDisk::Other { sha256: Some(_) })) {
            continue;
        }
        let Ok(bytes) = files::read(&lacking.source(), most) else { continue };
        put(&mut outline.spec, path, bytes);
    }
    outline.spec
}

/// Puts contents into a spec, if they match the file's id in git.
pub(crate) fn put(spec: &mut Spec, path: &str, bytes: Vec<u8>) {
    if let Some(file) = spec.files.get_mut(path)
        && file.id == BlobId::of(&bytes).to_string()
    {
        file.contents = Some(match String::from_utf8(bytes) {
            Ok(text) => Contents::Text(text),
            Err(error) => Contents::Base64(STANDARD.encode(error.as_bytes())),
        });
    }
}

fn encode(spec: &Spec) -> String {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(spec.to_json().as_bytes()).expect("memory takes what is written");
    STANDARD.encode(packed.finish().expect("memory takes what is written"))
}

/// A lower bound for the length of [`encode`]'s result: a digest does not compress below its twenty
/// bytes. This avoids compressing a context of thousands of files that does not fit.
fn least(spec: &Spec) -> usize {
    let ids: BTreeSet<&str> = spec.files.values().map(|file| file.id.as_str()).collect();
    ids.len().saturating_sub(1) * 20 * 4 / 3
}

pub(crate) fn decode(text: &str) -> anyhow::Result<Spec> {
    let packed = STANDARD.decode(text).context("it is no base64")?;
    let mut json = Vec::new();
    GzDecoder::new(packed.as_slice()).take(LARGEST as u64).read_to_end(&mut json).context("it is no gzip")?;
    Ok(Spec::from_json(&json)?)
}

/// Attaches the specs of the images that a run pushed. Failures are reported and are not errors.
pub(crate) async fn attach(
    config: &DockerConfig,
    plan: &Plan,
    (tree, request): (&Tree, &Request),
    result: &RunResult,
    travels: SpecScope,
) {
    let pushed = |outcome| matches!(outcome, Outcome::Built | Outcome::Reused);
    // After a failed push nothing more is sent to the registry; the next run attaches the missing
    // artifacts.
    let failed = |failure| !matches!(failure, None | Some(Failure::Build));
    if result.builds.iter().any(|build| failed(build.failure)) {
        return;
    }
    let wanted: Vec<usize> = (0..plan.builds.len())
        .filter(|at| result.push && travels != SpecScope::None && pushed(result.builds[*at].outcome))
        .filter(|at| result.builds[*at].digest.is_some())
        .collect();
    let registry = registry::Options {
        config: config.clone(),
        timeout: Duration::from_secs(15),
        retry_for: Duration::from_secs(5),
        ..registry::Options::default()
    };
    let registry = Registry::new(registry);
    let (outlines, free) = (SpecDrafts::new(tree, request), Arc::new(Semaphore::new(AT_ONCE)));
    let (mut tasks, mut failed) = (JoinSet::new(), Vec::new());
    for at in wanted {
        let Ok(turn) = Arc::clone(&free).acquire_owned().await else { break };
        while let Some(done) = tasks.try_join_next() {
            failed.extend(done.ok().and_then(Result::err));
        }
        if failed.len() >= FAILURES {
            break;
        }
        let build = &plan.builds[at];
        let Some(image) = by_digest(build, result.builds[at].digest.as_deref()) else { continue };
        let outline = outlines.of(plan, build);
        let mut spec = if travels == SpecScope::Full && plan.revision.dirty.is_none() {
            fill(outline, ARTIFACT_CONTENTS)
        } else {
            outline.spec.definition()
        };
        spec.resolved = resolved(plan, result, at);
        let (registry, known) = (registry.clone(), result.builds[at].outcome == Outcome::Reused);
        tasks.spawn(async move {
            let _turn = turn;
            // Most images that existed before the run already have their spec.
            if known && !registry.referrers(&image, ARTIFACT_TYPE).await?.is_empty() {
                return Ok(());
            }
            registry.attach(&image, ARTIFACT_TYPE, spec.to_json().into()).await.map(drop)
        });
    }
    while let Some(done) = tasks.join_next().await {
        failed.extend(done.ok().and_then(Result::err));
    }
    if let Some(first) = failed.first() {
        output::print_stderr(&crate::report::text::problems::note(&format!(
            "the build spec of {} could not be attached, the next run tries again: {first}",
            count(failed.len(), "image")
        )));
    }
}

fn by_digest(build: &Build, digest: Option<&str>) -> Option<ImageName> {
    let name = ImageName::parse(build.build_tag()).ok()?;
    Some(ImageName { tag: None, digest: Some(digest?.to_owned()), ..name })
}

/// Returns the exact images of a build's references, as far as they have digests.
fn resolved(plan: &Plan, result: &RunResult, at: usize) -> BTreeMap<String, String> {
    let references: Vec<&Target> = plan.builds[at]
        .references
        .iter()
        .map(|reference| &reference.target)
        .filter(|target| !matches!(target, Target::Scratch))
        .collect();
    let exact = &result.builds[at].from;
    let mut resolved = BTreeMap::new();
    for (place, target) in references.iter().enumerate() {
        let told = exact.get(place).filter(|_| exact.len() == references.len());
        match target {
            Target::Build { id } => {
                let parent = plan.builds.iter().position(|build| build.id == *id);
                let parent = parent.and_then(|parent| {
                    let digest = result.builds[parent].digest.as_deref();
                    Some((
                        plan.builds[parent].moving_tag(),
                        by_digest(&plan.builds[parent], digest)?.to_string(),
                    ))
                });
                resolved.extend(parent.map(|(name, exact)| (name.to_owned(), exact)));
            }
            Target::Layer { reference, .. }
            | Target::Pinned { reference }
            | Target::External { reference } => {
                let told = told.filter(|exact| exact.contains('@'));
                resolved.extend(told.map(|exact| (reference.clone(), exact.clone())));
            }
            Target::Scratch => {}
        }
    }
    resolved
}

/// Writes the files of a spec below a directory, which must be empty or missing. `repository` is
/// the root of the surrounding git repository, if there is one: links in there are not followed.
pub(crate) fn write(spec: &Spec, directory: &Path, repository: Option<&Path>) -> anyhow::Result<()> {
    let shown = directory.display();
    if directory.read_dir().is_ok_and(|mut found| found.next().is_some()) {
        return Err(CliError::usage(format!("{shown} is not empty")).help("name a new directory").into());
    }
    let absent: Vec<&str> = spec
        .files
        .iter()
        .filter(|(_, file)| file.contents.is_none())
        .map(|(path, _)| path.as_str())
        .collect();
    if let [first, ..] = absent.as_slice() {
        return Err(CliError::usage(format!(
            "{} did not travel with the image, {first} among them",
            count(absent.len(), "file")
        ))
        .help("in a clone of its source tree, `image-builder rebuild REF` needs nothing but the commit")
        .into());
    }
    check_paths(spec)?;
    let root = make(directory, repository).with_context(|| format!("cannot make the directory {shown}"))?;
    for (path, file) in &spec.files {
        write_file(&root, path, file).with_context(|| format!("cannot write {shown}/{path}"))?;
    }
    let document = spec.to_json() + "\n";
    root.replace("spec.json", document.as_bytes(), Access::Shared)
        .with_context(|| format!("cannot write {shown}/spec.json"))
}

/// Creates a directory and its parents.
fn make(directory: &Path, repository: Option<&Path>) -> std::io::Result<Dir> {
    match Dir::open(directory, repository) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    let above = directory.parent().unwrap_or(Path::new(""));
    let name = directory.file_name().ok_or(std::io::ErrorKind::InvalidInput)?;
    make(above, repository)?.make(name, Access::Shared)
}

/// Writes one file of a spec, which must not exist.
fn write_file(root: &Dir, path: &str, file: &SpecFile) -> anyhow::Result<()> {
    let Some(contents) = &file.contents else { return Ok(()) };
    let bytes = contents.bytes().context("it is no base64")?;
    let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut made: Option<Dir> = None;
    for part in above.split('/').filter(|part| !part.is_empty()) {
        made = Some(made.as_ref().unwrap_or(root).make(part, Access::Shared)?);
    }
    let dir = made.as_ref().unwrap_or(root);
    if file.mode == "120000" {
        let target =
            std::str::from_utf8(&bytes).map_err(|_| CliError::usage("its link target is not UTF-8"))?;
        return Ok(dir.link(name, target)?);
    }
    let mut created = dir.create_new(name, Access::Shared)?;
    created.write_all(&bytes)?;
    let mode = if file.mode == "100755" { 0o755 } else { 0o644 };
    Ok(created.set_permissions(fs::Permissions::from_mode(mode))?)
}

/// Anyone with push access can write a spec: its paths and links must not lead out of the
/// directory.
fn check_paths(spec: &Spec) -> Result<(), CliError> {
    for path in spec.files.keys() {
        let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        let is_link = |above: &str| spec.files.get(above).is_some_and(|file| file.mode == "120000");
        let through = path
            .match_indices('/')
            .any(|(at, _)| spec.files.contains_key(&path[..at]) || is_link(&path[..at]));
        let known =
            ["science/", "compat/"].iter().any(|root| path.starts_with(root)) || path == "image-builder.toml";
        if !plain || through || !known || path.contains('\0') || path.contains("//") || path.contains("/./") {
            return Err(CliError::usage(format!(
                "the spec holds a file that no source tree can have: {path:?}"
            ))
            .help("do not trust this image"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
