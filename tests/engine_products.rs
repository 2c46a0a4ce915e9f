//! The main purpose, end to end: the command builds histories from `examples/` on a real engine and
//! pushes them to a real registry, whose contents are then checked.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use plan::ImageName;
use registry::Registry;
use support::Repository;

/// Returns an unused repository path in the test registry.
fn fresh_repo(name: &str) -> String {
    let registry = std::env::var("IMAGE_BUILDER_TEST_REGISTRY")
        .expect("IMAGE_BUILDER_TEST_REGISTRY names the registry: run this by `cargo xtask test`");
    let unique = std::time::UNIX_EPOCH.elapsed().expect("the clock is past 1970").as_nanos();
    format!("{registry}/{name}-{}-{unique}", std::process::id())
}

/// Writes a file and commits all files.
fn change(repository: &Repository, path: &str, contents: &str) {
    let file = repository.root().join(path);
    fs::create_dir_all(file.parent().expect("a path below the root")).expect("a directory for it");
    fs::write(&file, contents).expect("the file is written");
    git(repository, &["add", "--all"]);
    git(repository, &["commit", "--quiet", "--message=change"]);
}

fn git(repository: &Repository, arguments: &[&str]) {
    let output = std::process::Command::new("git")
        .args(["-c", "user.name=test", "-c", "user.email=test@localhost"])
        .args(arguments)
        .current_dir(repository.root())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {}", text(&output));
}

/// Digest and labels of a tag in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    digest: String,
    labels: BTreeMap<String, String>,
}

fn shown(reference: &str) -> Option<Shown> {
    let name = ImageName::parse(reference).expect("the test names an image");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        let registry = Registry::new(registry::Options::default());
        let image = registry.image(&name, "linux/amd64").await.expect("the registry answers")?;
        Some(Shown { digest: image.digest, labels: image.labels })
    })
}

fn digest(reference: &str) -> String {
    shown(reference).unwrap_or_else(|| panic!("{reference} is not in the registry")).digest
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    let text = text(output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    text
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Returns `{count}-{short}` of HEAD, the part of a build tag after the version.
fn build(repository: &Repository) -> String {
    let plan = repository.image_builder(&["plan", "--all", "--format", "json"]);
    let plan = plan::Plan::from_json(&String::from_utf8_lossy(&plan.stdout)).expect("a plan is printed");
    format!("{}-{}", plan.revision.count.expect("a full clone"), plan.revision.short)
}

#[test]
fn the_predecessors_sample_gives_its_sentences_and_its_trail() {
    let repository = Repository::example("predecessor-sample");
    let repo = fresh_repo("sample");
    let build = build(&repository);

    let told = succeeds(&repository.image_builder(&["-v", "--repo", &repo, "--push"]));
    assert!(told.contains(&format!(
        "change results in final image nist-basic => nist-basic:2.0-{build}, nist-basic:2.0"
    )));
    assert!(told.contains("final plan includes 2 science builds and 2 compat builds"));

    let top = shown(&format!("{repo}/rel/nist-basic:2.0")).expect("the product is there");
    assert_eq!(top.digest, digest(&format!("{repo}/rel/nist-basic:2.0-{build}")));
    let trail = top
        .labels
        .iter()
        .filter(|(key, _)| key.ends_with(".version") && key.starts_with("org.sciserver."))
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect::<BTreeMap<_, _>>();
    assert_eq!(
        trail,
        BTreeMap::from([
            ("org.sciserver.compat.version", format!("nist-basic:2.0-{build}").as_str()),
            ("org.sciserver.science.nist-basic-2.version", format!("2.0-{build}").as_str()),
            ("org.sciserver.science.nist-basic.version", format!("1.0-{build}").as_str()),
        ])
    );
    let time = |part: &str| -> f64 {
        top.labels[&format!("org.sciserver.{part}.buildtime")]
            .parse()
            .expect("a build time is a number of seconds")
    };
    assert!(time("science.nist-basic") < time("science.nist-basic-2"), "{:?}", top.labels);
    assert!(time("science.nist-basic-2") < time("compat"), "{:?}", top.labels);
    for key in [
        "created",
        "revision",
        "source",
        "version",
        "title",
        "description",
        "authors",
        "url",
        "documentation",
    ] {
        assert!(top.labels.contains_key(&format!("org.opencontainers.image.{key}")), "{key}");
    }
    let from = &top.labels["org.sciserver.compat.from"];
    assert!(from.contains(&format!("2.0-{build}")), "{from}");
    let bottom = shown(&format!("{repo}/sci/nist-basic:1.0")).expect("the base layer is there");
    assert!(
        bottom.labels["org.sciserver.science.nist-basic.from"].contains("sha256:"),
        "{:?}",
        bottom.labels
    );
}

#[test]
fn the_same_commit_again_reuses_everything_and_a_rebuild_makes_new_tags() {
    let repository = Repository::example("predecessor-sample");
    let repo = fresh_repo("again");
    let build = build(&repository);
    succeeds(&repository.image_builder(&["--repo", &repo, "--push"]));
    let tag = format!("{repo}/sci/nist-basic:1.0-{build}");
    let first = shown(&tag).expect("pushed");

    let second = succeeds(&repository.image_builder(&["--repo", &repo, "--push"]));
    assert!(second.contains("reused"), "{second}");
    assert_eq!(shown(&tag).as_ref(), Some(&first), "a build tag never changes");

    succeeds(&repository.image_builder(&["--repo", &repo, "--push", "--rebuild", "2"]));
    assert_eq!(shown(&tag).as_ref(), Some(&first), "a build tag never changes");
    let rebuilt = shown(&format!("{tag}-r2")).expect("a rebuild has tags of its own");
    assert_ne!(rebuilt.digest, first.digest);
    assert_eq!(digest(&format!("{repo}/sci/nist-basic:1.0")), rebuilt.digest, "the moving tag follows");
}

#[test]
fn a_build_tag_with_other_content_stops_the_run_before_any_work() {
    let repository = Repository::example("change-in-place");
    let (repo, other) = (fresh_repo("conflict"), Repository::example("predecessor-sample"));
    // Another image under the build tag that the build would push.
    let elsewhere = fresh_repo("elsewhere");
    succeeds(&other.image_builder(&["--repo", &elsewhere, "--push"]));
    let foreign = digest(&format!("{elsewhere}/sci/nist-basic:1.0"));
    let tag = format!("1.0-{}", build(&repository));
    copy(&format!("{elsewhere}/sci/nist-basic:1.0"), &format!("{repo}/sci/sky:{tag}"));

    let output = repository.image_builder(&["--repo", &repo, "--push"]);
    let told = text(&output);
    assert_eq!(output.status.code(), Some(6), "{told}");
    assert!(told.contains("--rebuild") && told.contains(&tag), "{told}");
    assert_eq!(digest(&format!("{repo}/sci/sky:{tag}")), foreign, "a build tag is never overwritten");
    assert_eq!(shown(&format!("{repo}/sci/sky:1.0")), None, "nothing else was pushed");
}

/// Copies an image inside the registry with skopeo, a program independent of ours.
fn copy(from: &str, to: &str) {
    let output = std::process::Command::new("skopeo")
        .args(["copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false"])
        .args([format!("docker://{from}"), format!("docker://{to}")])
        .output()
        .expect("skopeo is installed: `cargo xtask test` does that");
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn a_compat_update_leaves_every_science_image_as_it_is() {
    let repository = Repository::example("compat-update");
    let repo = fresh_repo("compat");
    succeeds(&repository.image_builder(&["--repo", &repo, "--push", "--all"]));
    let science = || ["sky:1.0", "sea:3.2"].map(|name| digest(&format!("{repo}/sci/{name}")));
    let product = || ["sky:1.0", "sea:3.2"].map(|name| digest(&format!("{repo}/rel/{name}")));
    let (science_before, product_before) = (science(), product());

    change(&repository, "compat/notebook/files/start.sh", "#!/bin/sh\nexec sleep 1800\n");
    let told = succeeds(&repository.image_builder(&["--repo", &repo, "--push"]));
    assert!(told.contains("final plan includes 0 science builds and 2 compat builds"), "{told}");
    assert_eq!(science(), science_before);
    for (before, after) in product_before.iter().zip(product()) {
        assert_ne!(*before, after);
    }
}

#[test]
fn a_build_into_a_test_repo_stands_on_that_repos_parents() {
    let repository = Repository::example("add-without-version");
    let (production, test) = (fresh_repo("production"), fresh_repo("test"));
    for (repo, contents) in [(&production, "Sirius\n"), (&test, "Canopus\n")] {
        change(&repository, "science/sky/catalogue.txt", contents);
        succeeds(&repository.image_builder(&["--repo", repo, "--push", "--include", "science/sky"]));
    }
    let parents = [&production, &test].map(|repo| digest(&format!("{repo}/sci/sky:1.0")));
    assert_ne!(parents[0], parents[1]);

    change(&repository, "science/sky-2026-02/extra", "1\n");
    for (repo, parent) in [&production, &test].into_iter().zip(parents) {
        succeeds(&repository.image_builder(&["--repo", repo, "--push", "--include", "science/sky-2026-02"]));
        let child = shown(&format!("{repo}/sci/sky-2026-02:1.0")).expect("the child is there");
        assert_eq!(child.labels["org.opencontainers.image.base.digest"], parent);
    }
}

#[test]
fn missing_parents_are_named_before_anything_is_built() {
    let repository = Repository::example("add-without-version");
    let repo = fresh_repo("missing");
    let output = repository.image_builder(&["--repo", &repo, "--push"]);
    let told = text(&output);
    assert_eq!(output.status.code(), Some(5), "{told}");
    assert!(told.contains(&format!("{repo}/sci/sky:1.0")) && told.contains("--base-repo"), "{told}");
    assert_eq!(shown(&format!("{repo}/sci/sky-2026-02:1.0")), None);

    // The flag that the error names solves it.
    let base = fresh_repo("base");
    succeeds(&repository.image_builder(&["--repo", &base, "--push", "--include", "science/sky"]));
    succeeds(&repository.image_builder(&["--repo", &repo, "--base-repo", &base, "--push"]));
    let child = shown(&format!("{repo}/sci/sky-2026-02:1.0")).expect("built");
    assert_eq!(child.labels["org.opencontainers.image.base.digest"], digest(&format!("{base}/sci/sky:1.0")));
}

#[test]
fn a_failed_build_skips_what_stands_on_it_and_nothing_else() {
    let repository = Repository::example("predecessor-sample");
    let repo = fresh_repo("failed");
    change(
        &repository,
        "science/nist-basic/Dockerfile",
        "FROM docker.io/library/busybox:1.35\nRUN echo so far && false\n",
    );
    change(&repository, "science/other/Dockerfile", "FROM docker.io/library/busybox:1.35\nRUN true\n");
    change(
        &repository,
        "science/other/sciserver-image.json",
        "{\"image\": \"other\", \"version\": \"1.0\", \"compat\": \"jupyter\"}",
    );
    let output = repository.image_builder(&["--repo", &repo, "--push", "--all"]);
    let told = text(&output);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("so far"), "the end of the log is shown: {told}");
    assert!(shown(&format!("{repo}/rel/other:1.0")).is_some(), "a sibling is not stopped");
    for name in ["sci/nist-basic:1.0", "sci/nist-basic-2:2.0", "rel/nist-basic:1.0", "rel/nist-basic:2.0"] {
        assert_eq!(shown(&format!("{repo}/{name}")), None, "{name}");
    }
}

#[test]
fn both_builders_send_the_context_as_git_knows_it() {
    for builder in ["auto", "classic"] {
        let repository = Repository::example("change-in-place");
        let repo = fresh_repo("context");
        let layer = repository.root().join("science/sky");
        fs::write(layer.join("run.sh"), "#!/bin/sh\necho ran\n").expect("written");
        fs::set_permissions(layer.join("run.sh"), fs::Permissions::from_mode(0o755)).expect("executable");
        fs::write(layer.join("empty"), "").expect("written");
        fs::write(layer.join("left-out"), "x").expect("written");
        fs::create_dir_all(layer.join("deep/er")).expect("made");
        fs::write(layer.join("deep/er/file"), "deep\n").expect("written");
        std::os::unix::fs::symlink("run.sh", layer.join("link")).expect("linked");
        change(&repository, "science/sky/.dockerignore", "left-out\n");
        change(
            &repository,
            "science/sky/Dockerfile",
            "FROM docker.io/library/busybox:1.35\nCOPY . /c/\n\
             RUN test -x /c/run.sh && test \"$(readlink /c/link)\" = run.sh && test -f /c/empty && ! test -e /c/left-out\n\
             RUN grep deep /c/deep/er/file && ! test -e /c/sciserver-image.json && test \"$(/c/link)\" = ran\n",
        );
        fs::write(layer.join("untracked"), "git does not know it").expect("written");
        let told = succeeds(&repository.image_builder(&["--repo", &repo, "--builder", builder, "--push"]));
        assert!(told.contains("1 science build and 1 compat build"), "{told}");
    }
}

#[test]
fn files_copied_from_another_layer_are_in_its_provenance() {
    let repository = Repository::example("copy-from");
    let repo = fresh_repo("copy");
    succeeds(&repository.image_builder(&["--repo", &repo, "--push"]));
    let atlas = shown(&format!("{repo}/sci/atlas:1.0")).expect("built");
    let from = &atlas.labels["org.sciserver.science.atlas.from"];
    assert!(from.contains(&format!("1.0-{}", build(&repository))) && from.contains("busybox"), "{from}");
}

#[test]
fn what_is_missing_is_listed_line_by_line() {
    let repository = Repository::example("predecessor-sample");
    let repo = fresh_repo("missing");
    let output = repository.image_builder(&["--repo", &repo, "--include", "science/nist-basic-2"]);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
    let expect = format!(
        "\nerror: an image that is built on is not there:\n  {repo}/sci/nist-basic:1.0, needed by science/nist-basic-2\n  help: "
    );
    assert!(text(&output).contains(&expect), "{}", text(&output));
}
