//! Converts a build of a plan to the build spec that is attached to its image, and a build spec
//! back to a build.
//!
//! A spec contains a small source tree with the layers that the build is made from. A client that
//! has only the spec can plan it like any other tree and gets the same inputs. The caller adds the
//! contents of files that the planner did not read as text.

mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plan::spec::{CONFIG, Contents, FORMAT_VERSION, Spec, SpecFile};
use plan::{Build, BuildId, ComparedWith, Context, Family, Kind, Plan, Reason, Revision};

use crate::configuration;
use crate::decide::rebuild_set::{CompatBuild, RebuildSet, product_id};
use crate::diagnostics::finding::Findings;
use crate::output::assemble::{self, Naming};
use crate::parse::config::Config;
use crate::request::Request;
use crate::tree::layers::{DESCRIPTOR, DOCKERFILE, Reader};
use crate::tree::model::{TreeModel, layers_in};
use crate::tree::{BlobId, LayerFiles, Mode, SourceFile, Tree, TreeFile};

pub use verify::{Recorded, verify};

/// A spec, with the locations of the contents that it still lacks.
#[derive(Debug, Clone)]
pub struct SpecDraft<'a> {
    /// The spec. Files of the context have no contents yet.
    pub spec: Spec,
    /// The files without contents, by their paths in the spec.
    pub context: BTreeMap<String, MissingFile<'a>>,
}

/// A file whose contents are missing in a spec.
#[derive(Debug, Clone, Copy)]
pub struct MissingFile<'a> {
    /// The absolute directory of the file's layer on this machine; meaningless for files of a
    /// commit.
    directory: &'a Path,
    /// The file.
    pub file: &'a TreeFile,
}

impl MissingFile<'_> {
    /// Returns the path of the file on this machine.
    #[must_use]
    pub fn source(&self) -> PathBuf {
        self.directory.join(&self.file.path)
    }
}

/// The specs of a source tree's builds.
#[derive(Debug)]
pub struct SpecDrafts<'a> {
    tree: &'a Tree,
    model: TreeModel,
    repo: String,
    platform: String,
}

impl<'a> SpecDrafts<'a> {
    /// Parses a tree. `request` must be the one of the plan.
    #[must_use]
    pub fn new(tree: &'a Tree, request: &Request) -> Self {
        let mut findings = Findings::lenient();
        let (config, repo) = configuration(tree, request, &mut findings);
        let side = Reader::new(&config, &request.allow_frontend).side(tree, &mut findings);
        let model = TreeModel::new(side, &config, &repo, &mut findings);
        Self { tree, model, repo, platform: config.platform }
    }

    /// Returns the spec of a build of this tree's plan.
    #[must_use]
    pub fn of(&self, plan: &Plan, build: &Build) -> SpecDraft<'_> {
        let tag = plan::tag_of(build.build_tag()).and_then(plan::BuildTag::parse);
        let mut outline = self.outline(build.kind, &build.id, plan.revision.clone());
        outline.spec.rebuild = tag.and_then(|tag| tag.rebuild);
        outline.spec.inputs.clone_from(&build.context.inputs);
        outline.spec.dockerfile.clone_from(&build.dockerfile);
        outline.spec.args.clone_from(&build.args);
        outline
    }

    /// Returns the spec of the image published under a name, `sci/nist:1.0` or
    /// `rel/nist-basic:2.0`, without the parts that [`replan`] adds: inputs, Dockerfile and
    /// arguments. Returns `None` if the tree does not define that name.
    #[must_use]
    pub fn named(&self, name: &str, revision: Revision) -> Option<SpecDraft<'_>> {
        let (kind, id) = if Family::split(name).is_some_and(|(family, _)| family == Family::Rel) {
            let mut products = self.model.products().map(|(product, ..)| product_id(product));
            (Kind::Compat, products.find(|id| id.0 == name)?)
        } else {
            let mut science = self.model.side.science.iter();
            let layer = science.find(|layer| layer.descriptor.reference() == name)?;
            (Kind::Science, BuildId(layer.path().to_owned()))
        };
        Some(self.outline(kind, &id, revision))
    }

    fn outline(&self, kind: Kind, id: &BuildId, revision: Revision) -> SpecDraft<'_> {
        let mut outline = SpecDraft {
            spec: Spec {
                format_version: FORMAT_VERSION.to_owned(),
                id: id.clone(),
                kind,
                revision,
                rebuild: None,
                repo: self.repo.clone(),
                platform: self.platform.clone(),
                inputs: String::new(),
                dockerfile: String::new(),
                args: BTreeMap::new(),
                resolved: BTreeMap::new(),
                files: BTreeMap::new(),
            },
            context: BTreeMap::new(),
        };
        if let Some(config) = &self.tree.config {
            outline.text(config, &[]);
        }
        let mut below: Vec<usize> = Vec::new();
        match kind {
            Kind::Science => {
                let science = &self.model.side.science;
                if let Some(at) = science.iter().position(|layer| layer.path() == id.0) {
                    outline.layer(&science[at].files);
                    outline.context(&science[at].files, science[at].context());
                    below.push(at);
                }
            }
            Kind::Compat => {
                let product = self.model.products().find(|(name, ..)| product_id(name) == *id);
                if let Some((_, science, top)) = product {
                    below.push(science);
                    for index in self.model.stack(top) {
                        let layer = &self.model.side.compat[index];
                        outline.layer(&layer.files);
                        outline.context(&layer.files, layer.context());
                        below.extend(layers_in(&self.model.compat_needs[index]));
                    }
                }
            }
        }
        let mut met = BTreeSet::new();
        while let Some(index) = below.pop() {
            if met.insert(index) {
                outline.layer(&self.model.side.science[index].files);
                below.extend(self.model.graph.parents(index));
            }
        }
        outline
    }
}

impl<'a> SpecDraft<'a> {
    /// Adds descriptor, Dockerfile and ignore file of a layer.
    fn layer(&mut self, files: &LayerFiles) {
        let texts = [Some(&files.descriptor), files.dockerfile.as_ref(), files.ignore_file.as_ref()];
        for text in texts.into_iter().flatten() {
            let below = text.path.strip_prefix(&files.path).unwrap_or_default().trim_start_matches('/');
            let known = files.files.iter().find(|file| file.path == below);
            self.text(text, known.as_slice());
        }
    }

    fn text(&mut self, file: &SourceFile, known: &[&TreeFile]) {
        let (mode, id) = match known {
            [file, ..] => (mode(&file.mode), file.id.to_string()),
            [] => ("100644", BlobId::of(file.text.as_bytes()).to_string()),
        };
        let contents = Some(Contents::Text(file.text.clone()));
        self.spec.files.insert(file.path.clone(), SpecFile { mode: mode.to_owned(), id, contents });
    }

    fn context(&mut self, layer: &'a LayerFiles, files: impl Iterator<Item = &'a TreeFile>) {
        for file in files {
            let path = format!("{}/{}", layer.path, file.path);
            if self.spec.files.contains_key(&path) {
                continue;
            }
            let contents = match &file.mode {
                Mode::Symlink(target) => Some(Contents::Text(target.clone())),
                Mode::File | Mode::Executable => {
                    self.context.insert(path.clone(), MissingFile { directory: &layer.directory, file });
                    None
                }
            };
            let entry = SpecFile { mode: mode(&file.mode).to_owned(), id: file.id.to_string(), contents };
            self.spec.files.insert(path, entry);
        }
    }
}

fn mode(mode: &Mode) -> &'static str {
    match mode {
        Mode::File => "100644",
        Mode::Executable => "100755",
        Mode::Symlink(_) => "120000",
    }
}

/// Plans the single build of a spec whose files are below a directory.
///
/// The plan uses the same image names as the first build. Contexts expect the contents of each file
/// that git recorded.
///
/// # Errors
/// Fails if the files do not produce that build.
pub fn replan(
    spec: &Spec,
    directory: &Path,
    request: &Request,
) -> Result<(Plan, BTreeMap<BuildId, Context>), String> {
    let tree = tree_of(spec, directory)?;
    let request = Request { repo: Some(spec.repo.clone()), ..request.clone() };
    let mut findings = Findings::lenient();
    let (config, repo) = configuration(&tree, &request, &mut findings);
    let config = Config { platform: spec.platform.clone(), ..config };
    let side = Reader::new(&config, &request.allow_frontend).side(&tree, &mut findings);
    let model = TreeModel::new(side, &config, &repo, &mut findings);
    let mut affected =
        RebuildSet { science: vec![Vec::new(); model.side.science.len()], ..RebuildSet::default() };
    let reason = Reason::Forced { flag: "rebuild".to_owned() };
    match spec.kind {
        Kind::Science => {
            if let Some(at) = model.side.science.iter().position(|layer| layer.path() == spec.id.0) {
                affected.science[at].push(reason);
            }
        }
        Kind::Compat => {
            if let Some((name, science, top)) =
                model.products().find(|(name, ..)| product_id(name) == spec.id)
            {
                let stack = model.stack(top);
                affected.compat.insert(name.clone(), CompatBuild { science, stack, reasons: vec![reason] });
            }
        }
    }
    let naming = Naming { config: &config, repo: &repo, revision: &spec.revision, rebuild: spec.rebuild };
    let (builds, contexts) = assemble::builds(&model, &affected, &naming, &mut findings);
    if builds.len() != 1 {
        let first = findings.sorted().problems.into_iter().next();
        let why = first.map(|problem| format!(": {}", problem.message)).unwrap_or_default();
        return Err(format!("the files of the spec give no build {}{why}", spec.id));
    }
    let plan = Plan {
        format_version: plan::FORMAT_VERSION.to_owned(),
        revision: spec.revision.clone(),
        compared_with: ComparedWith::Include,
        repo,
        platform: config.platform.clone(),
        label_prefix: config.label_prefix.clone(),
        builds,
        unbuilt: Vec::new(),
        warnings: Vec::new(),
    };
    Ok((plan, contexts))
}

/// Returns the source tree that a spec contains.
fn tree_of(spec: &Spec, directory: &Path) -> Result<Tree, String> {
    let text = |path: &str| match spec.files.get(path).map(|file| &file.contents) {
        Some(Some(Contents::Text(text))) => Some(SourceFile { path: path.to_owned(), text: text.clone() }),
        _ => None,
    };
    let mut tree = Tree { config: text(CONFIG).map(Arc::new), ..Tree::default() };
    let descriptors = spec.files.keys().filter_map(|path| path.strip_suffix(DESCRIPTOR)?.strip_suffix('/'));
    for layer in descriptors {
        let at = |name: &str| format!("{layer}/{name}");
        let kind = match layer.split_once('/') {
            Some(("science", _)) => Kind::Science,
            Some(("compat", _)) => Kind::Compat,
            _ => return Err(format!("{layer} is neither a science nor a compat layer")),
        };
        let mut files = Vec::new();
        for (path, file) in &spec.files {
            let Some(below) = path.strip_prefix(&at("")) else { continue };
            let mode = match (file.mode.as_str(), &file.contents) {
                ("100644", _) => Mode::File,
                ("100755", _) => Mode::Executable,
                ("120000", Some(Contents::Text(target))) => Mode::Symlink(target.clone()),
                // In a spec that is only a definition, the link's target is missing; the inputs
                // digest uses its id.
                ("120000", None) => Mode::Symlink(String::new()),
                (mode, _) => return Err(format!("{path} has the mode {mode:?}, which is none")),
            };
            let id = file.id.parse().map_err(|error| format!("{path} has the id {:?}: {error}", file.id))?;
            files.push(TreeFile { path: below.to_owned(), mode, id, on_disk: None });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let descriptor =
            text(&at(DESCRIPTOR)).ok_or_else(|| format!("the descriptor of {layer} is not text"))?;
        tree.layers.push(Arc::new(LayerFiles {
            kind,
            path: layer.to_owned(),
            directory: directory.join(layer),
            descriptor: Arc::new(descriptor),
            dockerfile: text(&at(DOCKERFILE)).map(Arc::new),
            ignore_file: text(&at("Dockerfile.dockerignore"))
                .or_else(|| text(&at(".dockerignore")))
                .map(Arc::new),
            scripts: BTreeMap::new(),
            files,
        }));
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Selection, fixture};

    const TREE: &str = r#"
//- /image-builder.toml
repo = "r.example/x"
//- /science/base/sciserver-image.json
{"image": "base", "version": "1.0"}
//- /science/base/Dockerfile
FROM docker.io/library/debian:12
COPY data /
//- /science/base/data
1
//- /science/nist/sciserver-image.json
{"image": "nist", "version": "1.0", "compat": "jupyter", "args": {"A": "b"}}
//- /science/nist/Dockerfile
FROM sci/base:1.0
COPY run.sh link /opt/
//- /science/nist/run.sh +x
#!/bin/sh
//- /science/nist/link -> run.sh
//- /science/nist/notes.md
not sent
//- /science/nist/.dockerignore
*.md
//- /science/other/sciserver-image.json
{"image": "other", "version": "1.0", "compat": "jupyter"}
//- /science/other/Dockerfile
FROM docker.io/library/debian:12
//- /compat/common/sciserver-image.json
{}
//- /compat/common/Dockerfile
USER 1000
COPY --from=sci/other:1.0 /a /b
//- /compat/jupyter/sciserver-image.json
{"includes": ["common"]}
//- /compat/jupyter/Dockerfile
COPY start.sh /
//- /compat/jupyter/start.sh
hello
"#;

    #[test]
    fn a_spec_alone_gives_the_same_build_for_every_build_of_a_tree() {
        let inputs = fixture::first(TREE);
        let request = Request { selection: Selection::All, ..Request::default() };
        let planned = crate::plan(&inputs, &request).unwrap();
        let outlines = SpecDrafts::new(&inputs.now, &request);
        for build in &planned.plan.builds {
            let outline = outlines.of(&planned.plan, build);
            let read = Spec::from_json(outline.spec.to_json().as_bytes()).unwrap();
            let (plan, contexts) = replan(&read, Path::new("/elsewhere"), &request).unwrap();
            let again = &plan.builds[0];
            assert_eq!(again.context, build.context, "{}", build.id);
            assert_eq!(
                (&again.dockerfile, &again.args, &again.tags),
                (&build.dockerfile, &build.args, &build.tags)
            );
            assert_eq!(again.labels, build.labels, "{}", build.id);
            let paths = |context: &Context| {
                context.entries.iter().map(|entry| entry.path.clone()).collect::<Vec<_>>()
            };
            assert_eq!(paths(&contexts[&build.id]), paths(&planned.contexts[&build.id]), "{}", build.id);
            let lacking: Vec<&String> = outline
                .spec
                .files
                .iter()
                .filter(|(_, file)| file.contents.is_none())
                .map(|(path, _)| path)
                .collect();
            assert_eq!(lacking, outline.context.keys().collect::<Vec<_>>(), "{}", build.id);
        }
        let of = |id: &str| {
            let build = planned.plan.builds.iter().find(|build| build.id.0 == id).unwrap();
            outlines.of(&planned.plan, build).spec.files.into_keys().collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(of("science/nist"), @r"
        image-builder.toml
        science/base/Dockerfile
        science/base/sciserver-image.json
        science/nist/.dockerignore
        science/nist/Dockerfile
        science/nist/link
        science/nist/run.sh
        science/nist/sciserver-image.json
        ");
        assert!(of("rel/nist:1.0").contains("compat/jupyter/start.sh\n"), "{}", of("rel/nist:1.0"));
        assert!(!of("rel/nist:1.0").contains("science/nist/run.sh"), "only its definition stands below");
    }

    #[test]
    fn a_spec_that_was_tampered_with_does_not_give_its_inputs() {
        let inputs = fixture::first(TREE);
        let request = Request { selection: Selection::All, ..Request::default() };
        let planned = crate::plan(&inputs, &request).unwrap();
        let build = planned.plan.builds.iter().find(|build| build.id.0 == "science/nist").unwrap();
        let spec = SpecDrafts::new(&inputs.now, &request).of(&planned.plan, build).spec;
        let mut other = spec.clone();
        other.files.get_mut("science/nist/run.sh").unwrap().id = "0".repeat(40);
        let (plan, _) = replan(&other, Path::new("/x"), &request).unwrap();
        assert_ne!(plan.builds[0].context.inputs, spec.inputs);
        let mut gone = spec.clone();
        gone.files.retain(|path, _| !path.starts_with("science/nist/"));
        assert!(replan(&gone, Path::new("/x"), &request).unwrap_err().contains("give no build science/nist"));
        let mut strange = spec;
        strange.files.get_mut("science/nist/run.sh").unwrap().mode = "040000".into();
        assert!(replan(&strange, Path::new("/x"), &request).is_err());
    }
}
