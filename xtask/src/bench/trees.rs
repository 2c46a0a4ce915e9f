//! Source trees of any size with a history of any length, created by `git fast-import`.
//!
//! The same arguments give the same commits.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::process;

/// Base image of the lowest layers; the engines' registry mirror has it.
const BASE: &str = "docker.io/library/busybox:1.35";
/// Number of layers of a chain.
const CHAIN: usize = 10;
/// Number of layers of a product in [`Shape::Mix`].
const PRODUCT: usize = 3;

/// The shape of the dependencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Chains of ten layers; each chain is a product.
    Chains,
    /// One base layer, and all other layers on it.
    Wide,
    /// A base layer, toolkits for fifty layers each, and products of three layers on a toolkit. One
    /// layer in nine also copies from another toolkit.
    Mix,
}

/// The files that the last commit changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The Dockerfile of one layer in the middle.
    OneLayer,
    /// A file outside the two roots.
    Outside,
}

/// A source tree in a temporary directory, removed on drop.
pub(crate) struct SourceTree {
    directory: TempDir,
    layers: usize,
}

impl SourceTree {
    /// Creates a tree of science layers with five files each, three compat layers, and at least two
    /// commits.
    pub(crate) fn new(shape: Shape, layers: usize, commits: usize, change: Change) -> Result<Self> {
        let tree = Self::empty(layers)?;
        tree.import(&history(shape, layers, commits.max(2), change))?;
        Ok(tree)
    }

    /// Creates a tree of one commit with these files.
    pub(crate) fn of_files(files: &[(String, String)]) -> Result<Self> {
        let tree = Self::empty(files.iter().filter(|(path, _)| path.ends_with("Dockerfile")).count())?;
        let mut text = String::new();
        commit(&mut text, 0, files.iter().map(|(path, text)| (path.as_str(), text.as_str())));
        text.push_str("done\n");
        tree.import(&text)?;
        Ok(tree)
    }

    fn empty(layers: usize) -> Result<Self> {
        let tree =
            Self { directory: tempfile::Builder::new().prefix("image-builder-bench-").tempdir()?, layers };
        process::read(tree.git().args(["init", "--quiet", "--initial-branch=main"]))?;
        Ok(tree)
    }

    /// Root directory of the tree.
    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the directories of the science layers.
    pub(crate) fn layers(&self) -> impl Iterator<Item = String> {
        (0..self.layers).map(|layer| format!("science/{}", name(layer)))
    }

    /// Returns a git command for the tree, without the user's configuration.
    pub(crate) fn git(&self) -> Command {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.root());
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        // A measurement must not write the index that the next one reads.
        command.env("GIT_OPTIONAL_LOCKS", "0");
        for (role, who) in
            ["AUTHOR", "COMMITTER"].into_iter().flat_map(|role| [(role, "NAME"), (role, "EMAIL")])
        {
            command.env(format!("GIT_{role}_{who}"), "bench@example.org");
        }
        command
    }

    /// Writes a file and commits all changes.
    pub(crate) fn change(&self, path: &str, text: &str) -> Result<()> {
        process::write(&self.root().join(path), text)?;
        process::read(self.git().args(["add", "--all"]))?;
        process::read(self.git().args([
            "-c",
            "commit.gpgSign=false",
            "commit",
            "--quiet",
            "--message=change",
        ]))?;
        Ok(())
    }

    /// Imports a history and checks it out with modification times one hour in the past: git reads
    /// files again that are as recent as its index.
    fn import(&self, history: &str) -> Result<()> {
        let mut import = self.git();
        import.args(["fast-import", "--quiet", "--done"]).stdin(Stdio::piped());
        let mut child = import.spawn().context("cannot run git fast-import")?;
        child.stdin.take().context("its input is ours")?.write_all(history.as_bytes())?;
        ensure!(child.wait()?.success(), "git fast-import failed");
        process::read(self.git().args(["reset", "--quiet", "--hard", "main"]))?;
        let earlier = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
        let listed = process::read(self.git().args(["ls-files", "-z"]))?;
        for path in listed.split_terminator('\0') {
            fs::File::options().write(true).open(self.root().join(path))?.set_modified(earlier)?;
        }
        process::read(self.git().args(["update-index", "-q", "--really-refresh"]))?;
        // Flush to disk now, so that the next measurement does not share the machine with
        // write-back.
        process::read(&mut Command::new("sync"))?;
        Ok(())
    }
}

/// Returns the name of a layer's directory, which is also its target.
pub(crate) fn name(layer: usize) -> String {
    format!("layer-{layer:05}")
}

/// Returns the input for `git fast-import`.
fn history(shape: Shape, layers: usize, commits: usize, change: Change) -> String {
    let mut text = String::new();
    let mut files: Vec<(String, String)> = vec![("README.md".to_owned(), "# A source tree\n".to_owned())];
    for (name, descriptor) in
        [("common", "{}"), ("web", r#"{"includes": ["common"]}"#), ("batch", r#"{"includes": ["common"]}"#)]
    {
        files.push((format!("compat/{name}/sciserver-image.json"), format!("{descriptor}\n")));
        files.push((format!("compat/{name}/Dockerfile"), format!("COPY start-{name} /opt/\nENV {name}=1\n")));
        files.push((format!("compat/{name}/start-{name}"), "#!/bin/sh\nexec \"$@\"\n".to_owned()));
    }
    for layer in 0..layers {
        files.extend(layer_files(shape, layer));
    }
    commit(&mut text, 0, files.iter().map(|(path, text)| (path.as_str(), text.as_str())));
    for number in 1..commits - 1 {
        let path = format!("science/{}/data.txt", name(number * 7919 % layers));
        commit(&mut text, number, [(path.as_str(), format!("measured in {number}\n").as_str())]);
    }
    let (path, last) = match change {
        Change::Outside => ("README.md".to_owned(), "# A source tree that somebody described\n".to_owned()),
        Change::OneLayer => {
            let path = format!("science/{}/Dockerfile", name(layers / 2));
            let before = files.iter().find(|(file, _)| *file == path).map_or("", |(_, text)| text);
            let after = format!("{before}RUN echo changed\n");
            (path, after)
        }
    };
    commit(&mut text, commits - 1, [(path.as_str(), last.as_str())]);
    text.push_str("done\n");
    text
}

/// Writes one commit, dated one minute after the previous one.
fn commit<'a>(text: &mut String, number: usize, files: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let time = 1_700_000_000 + number * 60;
    let message = format!("commit {number}\n");
    write!(
        text,
        "commit refs/heads/main\ncommitter bench <bench@example.org> {time} +0000\ndata {}\n{message}",
        message.len()
    )
    .expect("a string takes everything");
    for (path, contents) in files {
        write!(text, "M 100644 inline {path}\ndata {}\n{contents}\n", contents.len())
            .expect("a string takes everything");
    }
}

fn layer_files(shape: Shape, layer: usize) -> Vec<(String, String)> {
    let name = name(layer);
    let Place { image, compat, from, copies } = place(shape, layer);
    let compat = compat.map_or("null".to_owned(), |compat| format!("\"{compat}\""));
    let descriptor = format!(
        "{{\n  \"image\": \"{image}\",\n  \"version\": \"1.0\",\n  \"compat\": {compat},\n  \"description\": \"Layer {layer}, made for measuring\",\n  \"keywords\": [\"astronomy\", \"spectra\"]\n}}\n"
    );
    let mut dockerfile = format!(
        "# What layer {layer} adds.\nFROM {from}\nARG JOBS=2\nENV LAYER_{layer}=/opt/{name} \\\n    LANG=C.UTF-8\nCOPY install.sh data.txt /opt/{name}/\n"
    );
    if let Some(copied) = copies {
        writeln!(dockerfile, "COPY --from={copied} /opt /opt/other").expect("a string takes everything");
    }
    writeln!(dockerfile, "RUN sh /opt/{name}/install.sh --jobs \"$JOBS\" && \\\n    echo {layer} >> /built")
        .expect("a string takes everything");
    [
        ("Dockerfile", dockerfile),
        ("sciserver-image.json", descriptor),
        (".dockerignore", "README.md\n*.tmp\n".to_owned()),
        ("README.md", format!("# {name}\n\nMade for measuring.\n")),
        ("install.sh", format!("#!/bin/sh\nset -eu\necho install {layer} \"$@\"\n")),
        ("data.txt", format!("{layer}\n")),
    ]
    .map(|(file, text)| (format!("science/{name}/{file}"), text))
    .to_vec()
}

/// The place of a layer in the tree.
struct Place {
    image: String,
    compat: Option<&'static str>,
    from: String,
    copies: Option<String>,
}

fn place(shape: Shape, layer: usize) -> Place {
    let on = |layer: usize| format!("sci/{}:1.0", name(layer));
    let product = |image: String, from: String| Place { image, compat: Some("web"), from, copies: None };
    let inner = |image: String, from: String| Place { image, compat: None, from, copies: None };
    match shape {
        Shape::Chains if layer.is_multiple_of(CHAIN) => {
            product(format!("chain-{}", layer / CHAIN), BASE.to_owned())
        }
        Shape::Chains => product(format!("chain-{}", layer / CHAIN), on(layer - 1)),
        Shape::Wide | Shape::Mix if layer == 0 => inner("base".to_owned(), BASE.to_owned()),
        Shape::Wide => product(format!("product-{layer}"), on(0)),
        Shape::Mix if layer % 50 == 1 => inner(format!("toolkit-{}", layer / 50), on(0)),
        Shape::Mix => {
            let toolkit = (layer - 1) / 50 * 50 + 1;
            let group = (layer - toolkit - 1) / PRODUCT;
            let bottom = (layer - toolkit - 1).is_multiple_of(PRODUCT);
            let image = format!("product-{}-{group}", toolkit / 50);
            let place = product(image, if bottom { on(toolkit) } else { on(layer - 1) });
            let other = toolkit.saturating_sub(50).max(1);
            let copies = (layer.is_multiple_of(9) && other != toolkit).then(|| on(other));
            Place { copies, ..place }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_clean_and_as_long_as_it_was_asked_for() {
        let tree = SourceTree::new(Shape::Mix, 60, 7, Change::OneLayer).unwrap();
        let count = process::read(tree.git().args(["rev-list", "--count", "HEAD"])).unwrap();
        assert_eq!(count.trim(), "7");
        let status = process::read(tree.git().args(["status", "--porcelain"])).unwrap();
        assert_eq!(status, "");
        let changed = process::read(tree.git().args(["diff", "--name-only", "HEAD^"])).unwrap();
        assert_eq!(changed, "science/layer-00030/Dockerfile\n");
        assert_eq!(tree.layers().count(), 60);
    }
}
