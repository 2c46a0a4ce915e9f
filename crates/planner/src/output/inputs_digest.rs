//! Computes the inputs digest: a digest of everything that determines what a build makes.
//!
//! The digest is published in labels: the definition of `v1` never changes. It is SHA-256 over a
//! sequence of fields. Each field is encoded as the number of its bytes (8 bytes, big-endian) and
//! the bytes. A list is encoded as the number of its members, in decimal, as a field, followed by
//! the fields of each member. The fields of `v1`, in this order:
//!
//! 1. `science` or `compat`;
//! 2. the platform, `linux/amd64`;
//! 3. compat only: the science layer below, `{target}:{version}`;
//! 4. the list of Dockerfiles, each by git's id of its contents: one for science, those of the
//!    stack's fragments in their order for compat;
//! 5. the list of build arguments by name: name, value;
//! 6. the list of images that the Dockerfiles name, in their order: kind, name. Kinds are `layer`
//!    (`{target}:{version}`, whether or not the plan builds it), `pinned`
//!    (`sci/{target}:{build tag}`), `product` (`rel/{image}:{tag}`), `external` (registry,
//!    repository, tag, digest as docker completes them) and `scratch` (no name). The generated FROM
//!    of a compat image is left out: see 3;
//! 7. the list of files of the context by path: path, mode (`100644`, `100755`, `120000`), git's id
//!    of the contents. The contents of a science layer's Dockerfile are in 4: the file is listed
//!    only if `COPY` sees it with another mode than `100644`. `.dockerignore` is listed even if it
//!    excludes itself.
//!
//! So the digest does not depend on directories, times, labels, build tags, or the target repo.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::tree::compat_stack::{self, Overlay};
use crate::tree::image_reference::{Meaning, Need};
use crate::tree::layers::{CompatLayer, ScienceLayer, dockerfile_identity};
use crate::tree::model::TreeModel;
use crate::tree::{Mode, TreeFile};

/// Returns the digest of a science build.
pub(crate) fn science(model: &TreeModel, layer: usize, platform: &str) -> String {
    let science = &model.side.science[layer];
    let mut fields = Fields::new("science", platform);
    fields.list([dockerfile_identity(&science.files).unwrap_or_default()], |fields, id| {
        fields.field(&id);
    });
    fields.args(&science.descriptor.args);
    fields.references(model, model.science_needs[layer].iter());
    fields.files(science.context().map(|file| (file.path.as_str(), file)));
    fields.digest()
}

/// Returns the digest of a compat build.
pub(crate) fn compat(
    model: &TreeModel,
    below: &ScienceLayer,
    stack: &[usize],
    overlay: &Overlay<'_>,
    platform: &str,
) -> String {
    let layers: Vec<&CompatLayer> = stack.iter().map(|layer| &*model.side.compat[*layer]).collect();
    let mut fields = Fields::new("compat", platform);
    fields.field(&layer_name(below));
    let fragments = layers.iter().map(|layer| dockerfile_identity(&layer.files).unwrap_or_default());
    fields.list(fragments, |fields, id| fields.field(&id));
    fields.args(&compat_stack::args(&layers));
    fields.references(model, stack.iter().flat_map(|layer| &model.compat_needs[*layer]));
    fields.files(overlay.files.iter().map(|(path, (_, file))| (*path, *file)));
    fields.digest()
}

fn layer_name(layer: &ScienceLayer) -> String {
    format!("{}:{}", layer.descriptor.target, layer.descriptor.version)
}

struct Fields(Sha256);

impl Fields {
    fn new(kind: &str, platform: &str) -> Self {
        let mut fields = Self(Sha256::new());
        fields.field(kind);
        fields.field(platform);
        fields
    }

    fn field(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_be_bytes());
        self.0.update(text.as_bytes());
    }

    fn list<T>(&mut self, members: impl IntoIterator<Item = T>, mut add: impl FnMut(&mut Self, T)) {
        let members: Vec<T> = members.into_iter().collect();
        self.field(&members.len().to_string());
        for member in members {
            add(self, member);
        }
    }

    fn args(&mut self, args: &BTreeMap<String, String>) {
        self.list(args, |fields, (name, value)| {
            fields.field(name);
            fields.field(value);
        });
    }

    fn references<'a>(&mut self, model: &TreeModel, needs: impl Iterator<Item = &'a Need>) {
        self.list(needs, |fields, need| {
            let (kind, name) = match &need.meaning {
                Meaning::Layer(layer) => ("layer", layer_name(&model.side.science[*layer])),
                Meaning::Registry { target, version, .. } => ("layer", format!("{target}:{version}")),
                Meaning::Pinned { name, .. } => ("pinned", name.clone()),
                Meaning::Product { name, .. } => ("product", name.clone()),
                Meaning::External { reference, .. } => ("external", reference.clone()),
                Meaning::Scratch => ("scratch", String::new()),
            };
            fields.field(kind);
            fields.field(&name);
        });
    }

    fn files<'a>(&mut self, files: impl Iterator<Item = (&'a str, &'a TreeFile)>) {
        self.list(files, |fields, (path, file)| {
            fields.field(path);
            fields.field(match file.mode {
                Mode::File => "100644",
                Mode::Executable => "100755",
                Mode::Symlink(_) => "120000",
            });
            fields.field(&file.id.to_string());
        });
    }

    fn digest(self) -> String {
        format!("v1:sha256:{}", hex::encode(self.0.finalize()))
    }
}
