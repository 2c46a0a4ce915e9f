//! `cargo xtask demo`: builds the shipped layers on a private engine and registry, from the source
//! tree to a page in a browser.
//!
//! All steps use the command that users have. Each step prints what it does, checks its claims, and
//! prints its duration.

mod look;
mod page;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::check::{cargo, step};
use crate::engine::{Client, Kind, Session};
use crate::{place, process};

const PRODUCT: &str = "astronomy";
const VERSION: &str = "1.0";
const BASE_URL: &str = "/demo/user";

/// State shared by the steps.
struct Demo {
    session: Session,
    command: PathBuf,
    tree: PathBuf,
    repo: String,
}

/// Runs the demonstration. An error is a claim that did not hold.
pub(crate) fn run(kind: Kind, keep: bool) -> Result<()> {
    let start = Instant::now();
    step("build the command", || process::run(cargo().args(["build", "--locked", "-p", "image-builder"])))?;
    let mut session = None;
    step("start an engine and a registry of our own", || {
        session = Some(Session::start(kind)?);
        Ok(())
    })?;
    let session = session.context("no engine")?;
    let scratch = tempfile::Builder::new().prefix("image-builder-demo-").tempdir()?;
    let demo = Demo {
        repo: format!("{}/demo", session.state().registry),
        command: place::target().join("debug/image-builder"),
        tree: scratch.path().join("tree"),
        session,
    };
    let result = demo.steps(keep);
    if keep {
        println!(
            "\nkept: the source tree in {}\n{}",
            scratch.keep().display(),
            demo.session.state().exports()
        );
        println!("take it down with: cargo xtask engine down --engine {}", kind.name());
        demo.session.keep();
    }
    result?;
    let seconds = start.elapsed().as_secs();
    println!("\nevery claim held, in {} min {} s", seconds / 60, seconds % 60);
    Ok(())
}

impl Demo {
    fn steps(&self, keep: bool) -> Result<()> {
        step("clone this repository as the source tree", || self.clone_tree())?;
        step("plan: everything is new", || process::run(self.builder().args(["--all", "--dryrun", "-v"])))?;
        step("build everything and push it", || process::run(self.builder().args(["--all", "--push"])))?;
        let mut before = BTreeMap::new();
        step("tags and labels in the registry", || {
            before = self.digests()?;
            self.show_trail()
        })?;
        step("change a file of compat/jupyter, and commit it", || self.change_compat())?;
        step("plan: compat builds only", || self.plan_is_compat_only())?;
        step("build and push that", || process::run(self.builder().arg("--push")))?;
        step("every science image is the same as before", || {
            let after = self.digests()?;
            compare(&before, &after)
        })?;
        step("start the final image and open Jupyter's page", || self.open_page(keep))
    }

    /// Returns the command for the demo's tree, engine and repo.
    fn builder(&self) -> Command {
        let mut command = Command::new(&self.command);
        command.arg("--root").arg(&self.tree).args(["--repo", &self.repo]);
        command.env("DOCKER_HOST", &self.session.state().host).env_remove("DOCKER_CONTEXT");
        if self.is_shallow() {
            command.args(["--build-number", "1"]);
        }
        command
    }

    fn git(&self) -> Command {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.tree);
        command.args([
            "-c",
            "user.name=Demo",
            "-c",
            "user.email=demo@example.org",
            "-c",
            "commit.gpgSign=false",
        ]);
        command
    }

    /// CI often checks out one commit only. Then the commit count is unknown, and the command
    /// requires `--build-number`.
    fn is_shallow(&self) -> bool {
        self.tree.join(".git/shallow").exists()
    }

    fn clone_tree(&self) -> Result<()> {
        let source = format!("file://{}", place::workspace().display());
        process::read(Command::new("git").args(["clone", "--quiet", &source]).arg(&self.tree))?;
        let commit = process::read(self.git().args(["log", "-1", "--format=%h %s"]))?;
        println!("   {}", commit.trim());
        Ok(())
    }

    /// Returns the digest of each moving tag, by repository.
    fn digests(&self) -> Result<BTreeMap<String, String>> {
        let mut digests = BTreeMap::new();
        for repository in repositories(&self.tree)? {
            let digest = look::digest(&self.repo, &repository, VERSION)?;
            let tags = look::tags(&self.repo, &repository)?;
            ensure!(tags.iter().any(|tag| tag == VERSION), "{repository} has no moving tag {VERSION}");
            let build_tag = tags.iter().find(|tag| tag.starts_with(&format!("{VERSION}-")));
            ensure!(build_tag.is_some(), "{repository} has no build tag");
            println!("   {repository:<28} {}  {}", tags.join(", "), &digest[..19.min(digest.len())]);
            digests.insert(repository, digest);
        }
        Ok(digests)
    }

    fn show_trail(&self) -> Result<()> {
        let labels = look::labels(&self.repo, &format!("rel/{PRODUCT}"), VERSION)?;
        println!("   the trail of rel/{PRODUCT}:{VERSION}:");
        let mut steps = 0;
        for (name, value) in
            labels.iter().filter(|(name, _)| name.starts_with("org.sciserver.") && name.ends_with(".version"))
        {
            println!("     {name} = {value}");
            steps += 1;
        }
        let layers = ["base", "numerics", "astronomy", "astronomy-archives"];
        for layer in layers {
            let name = format!("org.sciserver.science.{layer}.version");
            ensure!(labels.contains_key(&name), "the label {name} is missing");
        }
        ensure!(
            labels.contains_key("org.sciserver.compat.version"),
            "the label of the compat build is missing"
        );
        ensure!(steps == layers.len() + 1, "{steps} labels of versions, {} were expected", layers.len() + 1);
        Ok(())
    }

    fn change_compat(&self) -> Result<()> {
        let path = self.tree.join("compat/jupyter/start-jupyter");
        let mut file = OpenOptions::new().append(true).open(&path)?;
        file.write_all(b"\n# Changed by the demonstration.\n")?;
        process::read(self.git().args([
            "commit",
            "--quiet",
            "--all",
            "--message",
            "Change how Jupyter starts",
        ]))?;
        let commit = process::read(self.git().args(["log", "-1", "--stat", "--format=   %h %s"]))?;
        println!("{}", commit.trim_end());
        Ok(())
    }

    fn plan_is_compat_only(&self) -> Result<()> {
        process::run(self.builder().args(["--dryrun", "-v"]))?;
        let text = process::read(self.builder().args(["--dryrun", "--format", "json"]))?;
        let plan: serde_json::Value = serde_json::from_str(&text)?;
        let builds = plan["builds"].as_array().context("the plan has no builds")?;
        let ids: Vec<_> = builds.iter().map(|build| build["id"].as_str().unwrap_or_default()).collect();
        ensure!(ids == [format!("rel/{PRODUCT}:{VERSION}")], "the plan holds {}", ids.join(", "));
        ensure!(builds[0]["kind"] == "compat", "{} is no compat build", ids[0]);
        println!("   the plan holds one build, {}, and no science build", ids[0]);
        Ok(())
    }

    fn open_page(&self, keep: bool) -> Result<()> {
        let client = Client::new(self.session.state());
        let image = format!("{}/rel/{PRODUCT}:{VERSION}", self.repo);
        let token = "demo-token";
        let address = page::start(&client, &image, BASE_URL, token)?;
        let url = format!("http://{address}{BASE_URL}/tree?token={token}");
        let body = page::wait(address, &format!("{BASE_URL}/tree?token={token}"))?;
        ensure!(body.contains("Jupyter"), "{url} does not look like Jupyter's page");
        println!("   200 from {url}");
        let outside = page::status(address, "/tree")?;
        ensure!(outside == 404, "{outside} from outside of the base URL, 404 was expected");
        println!("   404 from http://{address}/tree, outside of the base URL");
        let user = process::read(client.command().args(["exec", page::NAME, "id", "-un"]))?;
        ensure!(user.trim() == "user", "it runs as {}", user.trim());
        if keep {
            return Ok(());
        }
        let start = Instant::now();
        process::read(client.command().args(["stop", "--time", "20", page::NAME]))?;
        let took = start.elapsed().as_secs_f32();
        ensure!(took < 15.0, "it did not end when asked, but was killed");
        println!("   ended {took:.1} s after it was asked to");
        process::read(client.command().args(["rm", "--force", page::NAME]))?;
        Ok(())
    }
}

/// Returns the repositories of the shipped layers (`sci/…` and `rel/…`), from their directories.
fn repositories(tree: &Path) -> Result<Vec<String>> {
    let mut found = vec!["rel/astronomy".to_owned(), "rel/numerics".to_owned()];
    for entry in fs::read_dir(tree.join("science"))? {
        let entry = entry?;
        if entry.path().join("Dockerfile").exists() {
            found.push(format!("sci/{}", entry.file_name().to_string_lossy()));
        }
    }
    found.sort();
    Ok(found)
}

/// Checks that only the one product moved; the science images and the other product must be
/// unchanged.
fn compare(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Result<()> {
    let product = format!("rel/{PRODUCT}");
    let moved: Vec<_> = after
        .iter()
        .filter(|(name, digest)| before.get(*name) != Some(digest))
        .map(|(name, _)| name)
        .collect();
    if moved != [&product] {
        bail!("only {product} should have moved, but: {moved:?}");
    }
    println!("   {} images the same, only {product} moved", after.len() - 1);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_science_image_that_moved_is_told() {
        let digests =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let before: BTreeMap<_, _> = digests(&[("rel/astronomy", "1"), ("sci/base", "1")]);
        assert!(compare(&before, &digests(&[("rel/astronomy", "2"), ("sci/base", "1")])).is_ok());
        assert!(compare(&before, &digests(&[("rel/astronomy", "2"), ("sci/base", "2")])).is_err());
        assert!(compare(&before, &before).is_err());
    }
}
