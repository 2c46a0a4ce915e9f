//! Parses one side of a comparison layer by layer: descriptors, Dockerfiles, ignore files.
//!
//! Does not know how layers depend on each other; see [`crate::tree::model`]. A layer that is equal
//! on both sides is parsed once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use plan::Kind;

use crate::diagnostics::finding::Findings;
use crate::parse::config::Config;
use crate::parse::dockerfile::{self, Dockerfile, DockerfileNotes, Fragment};
use crate::parse::dockerignore::{self, Ignore};
use crate::parse::{descriptor, test_scripts};
use crate::tree::copy_sources::{self, Files};
use crate::tree::{LayerFiles, Mode, SourceFile, Tree, TreeFile};
use crate::{Problem, parallel};

/// The file name of the descriptor in a layer's directory.
pub(crate) const DESCRIPTOR: &str = "sciserver-image.json";
/// The file name of the Dockerfile in a layer's directory.
pub(crate) const DOCKERFILE: &str = "Dockerfile";
/// Files of a compat layer that are not part of its context.
const NOT_IN_COMPAT: [&str; 4] = [DESCRIPTOR, DOCKERFILE, ".dockerignore", "Dockerfile.dockerignore"];

/// The number of layers per task: fewer take less time than starting a thread.
const SHARE: usize = 16;

/// A science layer whose descriptor is valid.
#[derive(Debug)]
pub(crate) struct ScienceLayer {
    pub(crate) files: Arc<LayerFiles>,
    pub(crate) descriptor: descriptor::Science,
    /// `None` if there is no Dockerfile or it cannot be parsed.
    pub(crate) dockerfile: Option<Dockerfile>,
    ignore: Option<Arc<Ignore>>,
}

/// A compat layer whose descriptor is valid.
#[derive(Debug)]
pub(crate) struct CompatLayer {
    pub(crate) files: Arc<LayerFiles>,
    pub(crate) descriptor: descriptor::CompatLayer,
    /// `None` if there is no Dockerfile or it cannot be parsed.
    pub(crate) fragment: Option<Fragment>,
    ignore: Option<Arc<Ignore>>,
}

impl ScienceLayer {
    /// `science/nist`.
    pub(crate) fn path(&self) -> &str {
        &self.files.path
    }

    /// Returns the files that affect the build, besides the contents of the Dockerfile.
    pub(crate) fn context(&self) -> impl Iterator<Item = &TreeFile> {
        let ignore = self.ignore.as_deref();
        self.files.files.iter().filter(move |file| match file.path.as_str() {
            DESCRIPTOR => false,
            // `COPY` can also copy the mode of the Dockerfile.
            DOCKERFILE => file.mode != Mode::File && !is_hidden(ignore, file),
            path => !ignore.is_some_and(|ignore| ignore.excludes(path)),
        })
    }

    /// Returns the files that `COPY` sees. Unlike [`ScienceLayer::context`], this includes the
    /// Dockerfile and excludes `.dockerignore` if the patterns say so.
    pub(crate) fn sent(&self) -> impl Iterator<Item = &TreeFile> {
        let ignore = self.ignore.as_deref();
        self.files.files.iter().filter(move |file| file.path != DESCRIPTOR && !is_hidden(ignore, file))
    }

    /// Returns the files that `COPY` finds, including the tree's Dockerfile.
    pub(crate) fn copied(&self) -> Files<'_> {
        Files { files: &self.files.files, ignore: self.ignore.as_deref(), never: &[DESCRIPTOR] }
    }

    /// Returns defects and warnings of the Dockerfile, and of the paths that it copies from its
    /// context.
    fn noticed(&self) -> Option<DockerfileNotes> {
        let (file, dockerfile) = (self.files.dockerfile.as_ref()?, self.dockerfile.as_ref()?);
        let mut noticed = dockerfile.noticed.clone();
        let missing = copy_sources::missing(file, &dockerfile.taken, &[self.copied()]);
        noticed.defects.extend(missing.defects);
        noticed.warnings.extend(missing.warnings);
        Some(noticed)
    }

    /// Creates a problem at a field of the descriptor, or at the image's name if the field is
    /// missing.
    pub(crate) fn problem(&self, field: &str, code: &'static str, message: String) -> Problem {
        let file = &self.files.descriptor;
        let problem = Problem::in_file(code, &file.path, message);
        match self.descriptor.place(field).or(self.descriptor.place("image")) {
            Some(place) => problem.span(&file.text, place),
            None => problem,
        }
    }
}

impl CompatLayer {
    /// `compat/jupyter`.
    pub(crate) fn path(&self) -> &str {
        &self.files.path
    }

    /// `jupyter`: the name that descriptors use.
    pub(crate) fn name(&self) -> &str {
        compat_name(&self.files.path)
    }

    /// Returns the files that the layer adds to a build's context.
    pub(crate) fn context(&self) -> impl Iterator<Item = &TreeFile> {
        let ignore = self.ignore.as_deref();
        let counts =
            move |file: &&TreeFile| !NOT_IN_COMPAT.contains(&file.path.as_str()) && !is_hidden(ignore, file);
        self.files.files.iter().filter(counts)
    }

    /// Returns the layer's files that `COPY` finds.
    pub(crate) fn copied(&self) -> Files<'_> {
        Files { files: &self.files.files, ignore: self.ignore.as_deref(), never: &NOT_IN_COMPAT }
    }
}

/// Returns the name of the compat layer at a path.
pub(crate) fn compat_name(path: &str) -> &str {
    path.strip_prefix("compat/").unwrap_or(path)
}

/// Returns the identity of a layer's Dockerfile: the id of its contents in git, regardless of line
/// ends on disk.
pub(crate) fn dockerfile_identity(files: &LayerFiles) -> Option<Cow<'_, str>> {
    let text = files.dockerfile.as_ref()?;
    let file = files.files.binary_search_by(|file| file.path.as_str().cmp(DOCKERFILE));
    // For a link, git records the target path but not its contents, so the text is used.
    let file = file.ok().filter(|at| !matches!(files.files[*at].mode, Mode::Symlink(_)));
    Some(file.map_or(Cow::Borrowed(text.text.as_str()), |at| files.files[at].id.to_string().into()))
}

fn is_hidden(ignore: Option<&Ignore>, file: &TreeFile) -> bool {
    ignore.is_some_and(|ignore| ignore.hides(&file.path))
}

/// One side of a comparison.
#[derive(Debug, Default)]
pub(crate) struct Side {
    /// Science layers by path. A second layer with the same target is left out.
    pub(crate) science: Vec<Arc<ScienceLayer>>,
    /// Compat layers by path.
    pub(crate) compat: Vec<Arc<CompatLayer>>,
    /// Layers that are left out of the lists above because their descriptors are broken.
    pub(crate) broken: Vec<Arc<LayerFiles>>,
}

impl Side {
    /// Whether a broken layer may be the one that a name refers to. If so, a missing name is not
    /// reported: that problem would disappear with the real one.
    pub(crate) fn may_hide(&self, name: &str) -> bool {
        let quoted = format!("\"{name}\"");
        let means = |files: &Arc<LayerFiles>| {
            files.path.rsplit('/').next() == Some(name) || files.descriptor.text.contains(&quoted)
        };
        self.broken.iter().any(means)
    }
}

/// Parses layers, each once.
pub(crate) struct Reader<'a> {
    config: &'a Config,
    allowed_frontends: &'a [String],
    /// Parsed layers by address: the `Arc`s belong to both trees, which outlive this.
    read: HashMap<usize, Understood>,
}

/// Parsed ignore files by text: in many trees, most layers have the same one.
type Ignores = HashMap<String, Arc<Ignore>>;

#[derive(Clone)]
enum Layer {
    Science(Arc<ScienceLayer>),
    Compat(Arc<CompatLayer>),
    Broken,
}

#[derive(Clone)]
struct Understood {
    layer: Layer,
    findings: Findings,
    /// Broken guidelines; ignored at the base of a comparison.
    guidelines: Vec<Problem>,
    /// Defects and warnings of the Dockerfile; ignored at the base of a comparison.
    noticed: DockerfileNotes,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(config: &'a Config, allowed_frontends: &'a [String]) -> Self {
        Self { config, allowed_frontends, read: HashMap::new() }
    }

    /// Parses the layers of a tree and reports their problems.
    pub(crate) fn side(&mut self, tree: &Tree, findings: &mut Findings) -> Side {
        let mut side = Side::default();
        let mut layers: Vec<&Arc<LayerFiles>> = tree.layers.iter().collect();
        layers.sort_by(|a, b| a.path.cmp(&b.path));
        findings.problems.extend(tree.problems.iter().cloned());
        self.understand(&layers);
        for files in layers {
            let read = &self.read[&address(files)];
            findings.extend(read.findings.clone());
            for guideline in &read.guidelines {
                findings.guideline(self.config, guideline.clone());
            }
            if findings.wants_defects() {
                findings.problems.extend(read.noticed.defects.iter().cloned());
                findings.warnings.extend(read.noticed.warnings.iter().cloned());
            }
            if files.dockerfile.is_none() {
                missing_dockerfile(files, tree, findings);
            }
            match &read.layer {
                Layer::Science(layer) => side.science.push(Arc::clone(layer)),
                Layer::Compat(layer) => side.compat.push(Arc::clone(layer)),
                Layer::Broken => side.broken.push(Arc::clone(files)),
            }
        }
        one_of_each_target(&mut side, findings);
        side
    }

    /// Parses the layers that have not been parsed before.
    fn understand(&mut self, layers: &[&Arc<LayerFiles>]) {
        let new = |files: &&&Arc<LayerFiles>| !self.read.contains_key(&address(files));
        let new: Vec<&Arc<LayerFiles>> = layers.iter().filter(new).copied().collect();
        let understood = parallel::each(&new, SHARE, Ignores::new, |ignores, share| {
            share.iter().map(|files| self.understood(files, ignores)).collect::<Vec<_>>()
        });
        self.read.extend(new.iter().map(|files| address(files)).zip(understood.into_iter().flatten()));
    }

    fn understood(&self, files: &Arc<LayerFiles>, ignores: &mut Ignores) -> Understood {
        let mut findings = Findings::default();
        let ignore = ignore(files.ignore_file.as_deref(), ignores, &mut findings);
        let (layer, guidelines) = match files.kind {
            Kind::Science => self::science(files, ignore, self.config, self.allowed_frontends, &mut findings),
            Kind::Compat => self::compat(files, ignore, &mut findings),
        };
        let noticed = match &layer {
            Layer::Science(layer) => layer.noticed(),
            Layer::Compat(layer) => layer.fragment.as_ref().map(|fragment| fragment.noticed.clone()),
            Layer::Broken => None,
        };
        Understood { layer, findings, guidelines, noticed: noticed.unwrap_or_default() }
    }
}

fn address(files: &Arc<LayerFiles>) -> usize {
    Arc::as_ptr(files).addr()
}

fn missing_dockerfile(files: &LayerFiles, tree: &Tree, findings: &mut Findings) {
    let path = format!("{}/{DOCKERFILE}", files.path);
    if tree.problems.iter().any(|problem| problem.file.as_deref() == Some(&path)) {
        return;
    }
    let help = match files.kind {
        Kind::Science => "write one, or remove the directory's sciserver-image.json; git must track it",
        Kind::Compat => {
            "write one, it may be empty, or remove the directory's sciserver-image.json; git must track it"
        }
    };
    findings.refuse(
        Problem::in_file("no-dockerfile", path, format!("the layer {} has no Dockerfile", files.path))
            .help(help),
    );
}

fn science(
    files: &Arc<LayerFiles>,
    ignore: Option<Arc<Ignore>>,
    config: &Config,
    allowed: &[String],
    findings: &mut Findings,
) -> (Layer, Vec<Problem>) {
    let directory = files.path.rsplit('/').next().unwrap_or_default();
    let (descriptor, problems, guidelines) = descriptor::science(&files.descriptor, directory);
    let sound = problems.is_empty();
    findings.problems.extend(problems);
    let nothing = BTreeMap::new();
    let args = descriptor.as_ref().map_or(&nothing, |descriptor| &descriptor.args);
    let dockerfile = files.dockerfile.as_ref().and_then(|file| {
        match dockerfile::parse(file, args, &config.platform, allowed) {
            Ok(dockerfile) => Some(dockerfile),
            // A variable without a value may be set in the broken part of the descriptor.
            Err(problems) => {
                let certain = |problem: &Problem| sound || problem.code != "unknown-reference";
                findings.problems.extend(problems.into_iter().filter(certain));
                None
            }
        }
    });
    if let Some(descriptor) = &descriptor {
        findings.problems.extend(test_scripts::problems(files, descriptor.tests()));
    }
    let layer = match descriptor {
        Some(descriptor) => Layer::Science(Arc::new(ScienceLayer {
            files: Arc::clone(files),
            descriptor,
            dockerfile,
            ignore,
        })),
        None => Layer::Broken,
    };
    (layer, guidelines)
}

fn compat(
    files: &Arc<LayerFiles>,
    ignore: Option<Arc<Ignore>>,
    findings: &mut Findings,
) -> (Layer, Vec<Problem>) {
    let (descriptor, problems, guidelines) = descriptor::compat(&files.descriptor);
    findings.problems.extend(problems);
    let nothing = BTreeMap::new();
    let args = descriptor.as_ref().map_or(&nothing, |descriptor| &descriptor.args);
    let fragment = files.dockerfile.as_ref().and_then(|file| match dockerfile::fragment(file, args) {
        Ok(fragment) => Some(fragment),
        Err(problems) => {
            findings.problems.extend(problems);
            None
        }
    });
    if let Some(descriptor) = &descriptor {
        findings.problems.extend(test_scripts::problems(files, descriptor.tests()));
    }
    let layer = match descriptor {
        Some(descriptor) => {
            Layer::Compat(Arc::new(CompatLayer { files: Arc::clone(files), descriptor, fragment, ignore }))
        }
        None => Layer::Broken,
    };
    (layer, guidelines)
}

fn ignore(file: Option<&SourceFile>, known: &mut Ignores, findings: &mut Findings) -> Option<Arc<Ignore>> {
    let file = file?;
    if let Some(known) = known.get(&file.text) {
        return Some(Arc::clone(known));
    }
    match dockerignore::parse(file) {
        Ok(ignore) => {
            let ignore = Arc::new(ignore);
            known.insert(file.text.clone(), Arc::clone(&ignore));
            Some(ignore)
        }
        Err(problems) => {
            findings.problems.extend(problems);
            None
        }
    }
}

/// Keeps the first layer of each target, by path, and reports the others.
fn one_of_each_target(side: &mut Side, findings: &mut Findings) {
    let mut first: HashMap<String, Arc<ScienceLayer>> = HashMap::new();
    let (kept, doubles): (Vec<_>, Vec<_>) =
        std::mem::take(&mut side.science).into_iter().partition(|layer| {
            match first.entry(layer.descriptor.target.as_str().to_owned()) {
                Entry::Occupied(_) => false,
                Entry::Vacant(entry) => {
                    entry.insert(Arc::clone(layer));
                    true
                }
            }
        });
    side.science = kept;
    for layer in doubles {
        let target = &layer.descriptor.target;
        let other = first[target.as_str()].path();
        findings.refuse(
            layer
                .problem("target", "duplicate-target", format!("target {target} is that of {other} too"))
                .help("give one of the two another \"target\"; images and labels are named by it"),
        );
        side.broken.push(Arc::clone(&layer.files));
    }
}
