//! Builds source trees for tests from one string.
//!
//! ```text
//! //- /science/nist/Dockerfile
//! FROM docker.io/library/debian:12
//! //- /science/nist/sciserver-image.json
//! { "image": "nist" }
//! ```
//!
//! After a path, `+x` makes the file executable, and `-> target` makes it a link.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use plan::{Kind, Revision};
use sha1::{Digest, Sha1};

use crate::tree::{Base, BlobId, Inputs, LayerFiles, Mode, OnDisk, SourceFile, Tree, TreeFile};

/// The file name of the descriptor.
const DESCRIPTOR: &str = "sciserver-image.json";

/// Returns a commit for build tags: number 42, `f90dbd6…`.
#[must_use]
pub fn revision() -> Revision {
    Revision {
        commit: format!("f90dbd6{}", "0".repeat(33)),
        count: Some(42),
        short: "f90dbd6".to_owned(),
        dirty: None,
        shallow: false,
    }
}

/// Returns inputs that compare two trees.
#[must_use]
pub fn inputs(now: &str, base: &str) -> Inputs {
    compare(tree(now), tree(base))
}

/// Returns inputs that compare a tree with nothing.
#[must_use]
pub fn first(now: &str) -> Inputs {
    Inputs { revision: revision(), now: tree(now), base: Base::Empty }
}

/// Returns inputs that compare two trees. Equal layers are shared, as `git` shares them.
#[must_use]
pub fn compare(now: Tree, mut base: Tree) -> Inputs {
    let known: BTreeMap<&str, &Arc<LayerFiles>> =
        now.layers.iter().map(|layer| (layer.path.as_str(), layer)).collect();
    for layer in &mut base.layers {
        if let Some(same) = known.get(layer.path.as_str())
            && **same == *layer
        {
            *layer = Arc::clone(same);
        }
    }
    Inputs { revision: revision(), now, base: Base::Commit { commit: "ba5e".repeat(10), tree: base } }
}

/// Returns the tree that a text describes.
#[must_use]
pub fn tree(text: &str) -> Tree {
    let mut files = BTreeMap::new();
    for part in text.split("//- /").skip(1) {
        let (head, contents) = part.split_once('\n').unwrap_or((part, ""));
        let (path, mode) = if let Some((path, target)) = head.split_once(" -> ") {
            (path, Mode::Symlink(target.trim().to_owned()))
        } else if let Some(path) = head.strip_suffix(" +x") {
            (path, Mode::Executable)
        } else {
            (head, Mode::File)
        };
        files.insert(path.trim().to_owned(), (mode, contents.to_owned()));
    }
    of_files(&files)
}

/// Returns the tree of these files by path.
#[must_use]
pub fn of_files(files: &BTreeMap<String, (Mode, String)>) -> Tree {
    let source = |path: String| {
        let text = files.get(&path)?.1.clone();
        Some(SourceFile { path, text })
    };
    let mut tree = Tree { config: source("image-builder.toml".to_owned()).map(Arc::new), ..Tree::default() };
    let layers = files.keys().filter_map(|path| path.strip_suffix(DESCRIPTOR)?.strip_suffix('/'));
    for path in layers {
        let kind = if path.starts_with("compat/") { Kind::Compat } else { Kind::Science };
        let inside = format!("{path}/");
        let of_layer = files
            .range(inside.clone()..)
            .take_while(|(file, _)| file.starts_with(&inside))
            .map(|(file, (mode, contents))| tree_file(&file[inside.len()..], mode, contents));
        let descriptor = source(format!("{path}/{DESCRIPTOR}")).expect("the layer was found by it");
        let scripts = crate::parse::descriptor::scripts(kind, &descriptor).into_iter().filter_map(|script| {
            let file = format!("{path}/{script}");
            let is_file = !matches!(files.get(&file)?.0, Mode::Symlink(_));
            Some((script, source(file).filter(|_| is_file)?))
        });
        let layer = LayerFiles {
            kind,
            path: path.to_owned(),
            directory: PathBuf::from(format!("/tree/{path}")),
            scripts: scripts.collect(),
            descriptor: Arc::new(descriptor),
            dockerfile: source(format!("{path}/Dockerfile")).map(Arc::new),
            ignore_file: source(format!("{path}/Dockerfile.dockerignore"))
                .or_else(|| source(format!("{path}/.dockerignore")))
                .map(Arc::new),
            files: of_layer.collect(),
        };
        tree.layers.push(Arc::new(layer));
    }
    tree
}

fn tree_file(path: &str, mode: &Mode, contents: &str) -> TreeFile {
    let mut digest = Sha1::new();
    let (text, link) = match mode {
        Mode::Symlink(target) => (target.as_str(), true),
        Mode::File | Mode::Executable => (contents, false),
    };
    digest.update(format!("blob {}\0{text}", text.len()));
    TreeFile {
        path: path.to_owned(),
        mode: mode.clone(),
        id: BlobId::from(<[u8; 20]>::from(digest.finalize())),
        on_disk: (!link).then_some(OnDisk::Blob),
    }
}
