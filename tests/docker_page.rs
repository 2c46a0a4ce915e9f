//! Runs every command of TASKS.md, in order, in one tree, on a real engine and a real registry. The
//! output is compared with the page, except for values that differ between runs: digests, commits,
//! times and sizes.
//!
//! `UPDATE_PAGE=1 cargo test -p image-builder --test docker_page` writes the output into the page.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use regex::Regex;
use testbed::command::Program;
use testbed::proxy::Upstream;
use testbed::registry::View;
use testbed::tree::Tree;

const BOUND: Duration = Duration::from_secs(120);
/// Names on the page for the repo and for the directory above the tree.
const REPO: &str = "localhost:5000/images";
const HOME: &str = "/home/me";
/// First and last line of a block of commands.
const BEGIN: &str = "```console";
const END: &str = "```";

fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("the package lies two levels below the workspace's root").to_path_buf()
}

/// A part of the page.
#[derive(Debug, PartialEq)]
enum Part {
    /// Lines that are not a command.
    Text(String),
    /// A command and its output.
    Command(String, String),
}

/// Splits the page into parts that together contain all of its lines.
fn parts(page: &str) -> Vec<Part> {
    let (mut parts, mut inside) = (Vec::new(), false);
    for line in page.lines() {
        match (inside, line) {
            (false, BEGIN) | (true, END) => {
                inside = !inside;
                parts.push(Part::Text(format!("{line}\n")));
            }
            (true, line) if line.starts_with("$ ") => {
                parts.push(Part::Command(line["$ ".len()..].to_owned(), String::new()));
            }
            (_, line) => match parts.last_mut() {
                Some(Part::Command(_, text)) if inside => text.push_str(&format!("{line}\n")),
                _ => parts.push(Part::Text(format!("{line}\n"))),
            },
        }
    }
    parts
}

fn show(parts: &[Part]) -> String {
    let show = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Command(command, output) => format!("$ {command}\n{output}"),
    };
    parts.iter().map(show).collect()
}

/// Replaces values that differ between runs and engines by fixed ones.
struct Mask(Vec<(Regex, &'static str)>);

impl Mask {
    fn new() -> Self {
        let pattern = |(pattern, with): (&str, &'static str)| (Regex::new(pattern).expect("a pattern"), with);
        Self(
            [
                ("sha256:[0-9a-f]{5,64}…?", "DIGEST"),
                ("20[0-9]{6}-[0-9]{6}(-[0-9]{3})?-[0-9a-f]{6}", "RUN"),
                (r"20[0-9]{2}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?Z?)?)?", "TIME"),
                (r"1[0-9]{9}(\.[0-9]+)?(?-u:\b)", "TIME"),
                ("[0-9]+ bytes", "BYTES"),
                (r"[0-9a-f]{40}", "COMMIT"),
                (r"(?-u:\b)[0-9a-f]{7}(?-u:\b)", "COMMIT"),
                (r"[0-9]+(\.[0-9]+)? (ms|s|min)(?-u:\b)( [0-9]+ s)?", "DURATION"),
                (r"([+-]?[0-9]+(\.[0-9]+)? (B|kB|MB|GB)(?-u:\b)|same size)", "SIZE"),
                // Columns are padded to the width of their contents.
                ("  +", "  "),
                (" +(?m:$)", ""),
                (" +\\|", " |"),
            ]
            .map(pattern)
            .into(),
        )
    }

    fn hide(&self, text: &str) -> String {
        let all = self.0.iter();
        all.fold(text.to_owned(), |text, (pattern, with)| pattern.replace_all(&text, *with).into_owned())
    }
}

/// The tree of the page, and a private repo that is removed on drop.
struct Scene {
    tree: Tree,
    registry: String,
    path: String,
}

impl Scene {
    fn new() -> Self {
        let registry = std::env::var("IMAGE_BUILDER_TEST_REGISTRY").expect("run by cargo xtask test");
        let path = format!("page-{}", testbed::process::unique());
        let mut tree = Tree::new();
        let source = workspace().join("docs/tasks");
        for file in files(&source) {
            let name = file.strip_prefix(&source).expect("it lies below").to_str().expect("UTF-8");
            let text =
                fs::read_to_string(&file).expect("a text").replace(REPO, &format!("{registry}/{path}"));
            tree.write(name, text);
        }
        tree.commit();
        Self { tree, registry, path }
    }

    /// Returns the output of a command, with the names of the page.
    fn run(&self, command: &str) -> String {
        let command = command.replace(REPO, &self.repo());
        if command.starts_with("image-builder --push") {
            // Labels contain times in seconds, and the page shows that those of two runs differ.
            std::thread::sleep(Duration::from_millis(1100));
        }
        let bin = Path::new(env!("CARGO_BIN_EXE_image-builder")).parent().expect("a directory");
        let outcome = Program::new("/bin/sh", &self.tree)
            .args(["-c", &format!("{{ {command}\n}} 2>&1")])
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()))
            .env("GIT_AUTHOR_NAME", "me")
            .env("GIT_AUTHOR_EMAIL", "me@example.org")
            .env("GIT_COMMITTER_NAME", "me")
            .env("GIT_COMMITTER_EMAIL", "me@example.org")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .run(BOUND);
        let root = self.tree.root().canonicalize().expect("it is there");
        let above = root.parent().expect("it lies in a directory").display().to_string();
        outcome.stdout.replace(&self.repo(), REPO).replace(&above, HOME)
    }

    fn repo(&self) -> String {
        format!("{}/{}", self.registry, self.path)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let Ok(host) = std::env::var("IMAGE_BUILDER_TEST_HOST") else { return };
        let delete = |image: &str| {
            let target = format!("/images/{image}?force=1");
            let _ = testbed::http::ask(&Upstream::parse(&host), "DELETE", &target, &[], b"");
        };
        let view = View::new(&self.registry);
        for name in ["sci/base", "sci/sky", "rel/sky"] {
            for tag in view.tags(&format!("{}/{name}", self.path)) {
                delete(&format!("{}/{name}:{tag}", self.repo()));
                delete(&format!("localhost/rebuilt/{name}:{tag}"));
            }
        }
    }
}

/// Returns every file below a directory.
fn files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).unwrap_or_else(|error| panic!("{}: {error}", below.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn what_the_page_shows_is_what_the_commands_print() {
    let file = workspace().join("TASKS.md");
    let page = fs::read_to_string(&file).expect("TASKS.md");
    let (scene, mask) = (Scene::new(), Mask::new());
    let mut parts = parts(&page);
    let mut wrong = Vec::new();
    for part in &mut parts {
        let Part::Command(command, output) = part else { continue };
        let said = scene.run(command);
        if mask.hide(&said) != mask.hide(output) {
            wrong.push(format!("$ {command}\n{said}--- and not\n{output}"));
            *output = said;
        }
    }
    if std::env::var_os("UPDATE_PAGE").is_some() {
        fs::write(&file, show(&parts)).expect("TASKS.md");
        return;
    }
    assert!(wrong.is_empty(), "UPDATE_PAGE=1 writes it:\n{}", wrong.join("\n"));
}

#[test]
fn what_readme_and_guides_take_from_the_page_stands_there() {
    let read = |path: &Path| fs::read_to_string(path).expect("a text");
    let page = read(&workspace().join("TASKS.md"));
    let mut texts = vec![read(&workspace().join("README.md"))];
    let guides = files(&workspace().join("docs/guides"));
    assert!(guides.len() > 5, "the guides are there: {guides:?}");
    texts.extend(guides.iter().map(|path| read(path)));
    let mut taken = 0;
    for block in texts.iter().flat_map(|text| text.split("\n\n    $ ").skip(1)) {
        let end = block.find("\n\n").map_or(block.len(), |_| {
            let indented = |line: &&str| line.is_empty() || line.starts_with("    ");
            let lines: Vec<&str> = block.lines().collect();
            let rest = lines[1..].iter().take_while(|line| indented(line)).map(|line| line.len() + 1);
            lines[0].len() + rest.sum::<usize>()
        });
        let block: String = block[..end]
            .lines()
            .map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line)))
            .collect();
        let of_the_page = ["inspect ", "rebuild ", "verify "]
            .iter()
            .any(|name| block.starts_with(&format!("image-builder {name}")));
        if of_the_page {
            taken += 1;
            assert!(page.contains(block.trim_end()), "TASKS.md does not show this:\n{block}");
        }
    }
    assert!(taken >= 2, "README.md and the guides show {taken} outputs of the page");
}
