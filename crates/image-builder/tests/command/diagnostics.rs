//! Every code that a source tree can cause, each from a tree that causes it, with the text that
//! people see. The texts are on one page, `snapshots/command__diagnostics__every_code.snap`, to be
//! read by people.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};

use crate::support::{Run, Tree};

/// A layer without findings: `FROM sci/sky:1.0` is known, and so are the compat layers `common` and
/// `jupyter`.
const TREE: &str = r#"
//- /compat/common/Dockerfile
USER root
//- /compat/common/sciserver-image.json
{}
//- /compat/jupyter/Dockerfile
USER 1000
//- /compat/jupyter/sciserver-image.json
{"includes": ["common"]}
//- /science/sky/Dockerfile
FROM scratch
//- /science/sky/sciserver-image.json
{
  "image": "sky",
  "version": "1.0",
  "compat": "jupyter"
}
"#;

/// Each code with the files that are added to the tree.
const IN_A_TREE: &[(&str, &str)] = &[
    (
        "arg-secret",
        "//- /science/a/sciserver-image.json\n{\"image\": \"a\", \"compat\": null, \"args\": {\"API_TOKEN\": \"x\"}}\n//- /science/a/Dockerfile\nFROM scratch\n",
    ),
    ("compat-shadowed", "//- /compat/common/etc/motd\nhello\n//- /compat/jupyter/etc/motd\nwelcome\n"),
    ("config-key", "//- /image-builder.toml\n[check]\nfrom-unpined = \"deny\"\n"),
    ("config-syntax", "//- /image-builder.toml\nrepo = registry.example.org/images\n"),
    ("config-value", "//- /image-builder.toml\nretired = [\"sky\"]\n"),
    (
        "descriptor-field",
        "//- /science/a/sciserver-image.json\n{\"image\": \"a\", \"verison\": \"1.0\"}\n//- /science/a/Dockerfile\nFROM scratch\n",
    ),
    (
        "descriptor-syntax",
        "//- /science/a/sciserver-image.json\n{\n  \"image\": \"a\"\n  \"version\": \"1.0\"\n}\n//- /science/a/Dockerfile\nFROM scratch\n",
    ),
    (
        "descriptor-value",
        "//- /science/a/sciserver-image.json\n{\"image\": \"a\", \"version\": 2.10}\n//- /science/a/Dockerfile\nFROM scratch\n",
    ),
    (
        "duplicate-target",
        "//- /science/a/sciserver-image.json\n{\"image\": \"a\", \"target\": \"sky\"}\n//- /science/a/Dockerfile\nFROM scratch\n",
    ),
    ("file-over-directory", "//- /compat/common/etc/motd\nhello\n//- /compat/jupyter/etc\nwelcome\n"),
    ("ignore-pattern", "//- /science/sky/.dockerignore\n*.md\n[\n"),
    ("include-cycle", "//- /compat/common/sciserver-image.json\n{\"includes\": [\"jupyter\"]}\n"),
    (
        "layer-at-root",
        "//- /science/sciserver-image.json\n{\"image\": \"a\"}\n//- /science/Dockerfile\nFROM scratch\n",
    ),
    (
        "nested-layer",
        "//- /science/sky/blue/sciserver-image.json\n{\"image\": \"blue\", \"compat\": null}\n//- /science/sky/blue/Dockerfile\nFROM scratch\n",
    ),
    (
        "no-compat",
        "//- /science/a/sciserver-image.json\n{\"image\": \"a\"}\n//- /science/a/Dockerfile\nFROM scratch\n",
    ),
    (
        "onbuild-inherited",
        "//- /science/sky/Dockerfile\nFROM scratch\nONBUILD COPY . /home\n//- /science/a/sciserver-image.json\n{\"image\": \"a\", \"compat\": null}\n//- /science/a/Dockerfile\nFROM sci/sky:1.0\n",
    ),
    ("no-dockerfile", "//- /science/a/sciserver-image.json\n{\"image\": \"a\", \"compat\": null}\n"),
    (
        "repository-too-long",
        "//- /image-builder.toml\nrepo = \"registry.example.org/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n",
    ),
    (
        "several-finals",
        "//- /science/a/sciserver-image.json\n{\"image\": \"sky\", \"compat\": \"jupyter\"}\n//- /science/a/Dockerfile\nFROM scratch\n",
    ),
    (
        "similar-names",
        "//- /science/Sky/sciserver-image.json\n{\"image\": \"a\", \"target\": \"a\", \"compat\": null}\n//- /science/Sky/Dockerfile\nFROM scratch\n",
    ),
    (
        "tag-too-long",
        "//- /science/a/sciserver-image.json\n{\"image\": \"a\", \"compat\": null, \"version\": \"1.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}\n//- /science/a/Dockerfile\nFROM scratch\n",
    ),
    (
        "test-script",
        "//- /science/a/sciserver-image.json\n{\n  \"image\": \"a\", \"compat\": null,\n  \"tests\": [{\"script\": \"tests/run.sh\"}]\n}\n//- /science/a/Dockerfile\nFROM scratch\n",
    ),
    (
        "unknown-compat",
        "//- /science/a/sciserver-image.json\n{\"image\": \"a\", \"compat\": \"jupiter\"}\n//- /science/a/Dockerfile\nFROM scratch\n",
    ),
    (
        "unknown-include",
        "//- /compat/batch/sciserver-image.json\n{\"includes\": [\"jupyter\", \"comon\"]}\n//- /compat/batch/Dockerfile\n",
    ),
    (
        "version-below",
        "//- /science/a/sciserver-image.json\n{\"image\": \"sky\", \"version\": \"0.10\", \"compat\": \"jupyter\"}\n//- /science/a/Dockerfile\nFROM sci/sky:1.0\n",
    ),
    (
        "version-unquoted",
        "//- /science/a/sciserver-image.json\n{\"image\": \"a\", \"version\": 2.1, \"compat\": null}\n//- /science/a/Dockerfile\nFROM scratch\n",
    ),
];

/// Each code with the Dockerfile of a science layer.
const IN_A_DOCKERFILE: &[(&str, &str)] = &[
    (
        "bad-reference",
        "FROM sci/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1.0-7-0a1b2c3\n",
    ),
    ("arguments", "FROM scratch\nENV DIRECTORY=/opt/star # where it lies\n"),
    ("bare-target", "FROM sky:1.0\n"),
    ("buildkit-argument", "ARG BUILDKIT_SYNTAX=example.org/evil:1\nFROM scratch\n"),
    ("copy-source", "FROM scratch\nCOPY starlink.tar /opt/\n"),
    ("cycle", "FROM sci/a:1.0\n"),
    ("directive", "# escape=^\nFROM scratch\n"),
    ("external-like-layer", "FROM docker.io/sci/sky:1.0\n"),
    ("flag", "FROM scratch\nCOPY --user=me . /a\n"),
    ("from", "FROM debian 12\n"),
    ("from-rel", "FROM rel/sky:1.0\n"),
    ("from-unpinned", "FROM docker.io/library/debian:12.5\n"),
    (
        "from-unqualified",
        "FROM debian:12.5@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n",
    ),
    (
        "from-unversioned",
        "ARG IMAGE=docker.io/library/debian\nFROM ${IMAGE}:latest@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef AS base\n",
    ),
    ("frontend", "# syntax=example.org/frontend:1\nFROM scratch\n"),
    ("heredoc-open", "FROM scratch\nRUN <<EOF\ntrue\n"),
    ("instruction", "FROM scratch\nCOPPY a /b\n"),
    (
        "label-overridden",
        "FROM scratch\nLABEL org.example.mine=\"1\" \\\n      org.opencontainers.image.licenses=\"MIT\"\n",
    ),
    ("mount", "FROM scratch\nRUN --mount=typ=cache,target=/x true\n"),
    ("no-from", "# only a comment\nARG X=1\n"),
    ("onbuild", "FROM scratch\nONBUILD FROM scratch\n"),
    ("quoted", "FROM scratch\nCOPY --from=docker.io/library/\"busybox\":1 /bin/sh /bin/sh\n"),
    ("reference", "FROM docker.io/library/Debian:12\n"),
    ("stage", "FROM scratch\nCOPY --from=2 /a /b\n"),
    ("stage-name", "FROM scratch AS 1st\n"),
    ("substitution", "FROM scratch\nENV X=\"${a:i}\"\n"),
    ("unknown-reference", "ARG VERSION\nFROM docker.io/library/debian:${VERSION}\n"),
    ("unknown-target", "FROM sci/skye:1.0\n"),
    ("unset-argument", "FROM docker.io/library/busybox:1${VARIANT}\n"),
    ("unversioned-layer", "FROM sci/sky\n"),
    ("variable", "FROM scratch\nARG TOOLS=docker.io/library/busybox:1\nCOPY --from=$TOOLS /bin/sh /bin/sh\n"),
    ("version-gone", "FROM sci/sky:0.9\n"),
];

/// Each code with the Dockerfile of a compat layer.
const IN_A_FRAGMENT: &[(&str, &str)] = &[
    ("fragment-directive", "# escape=`\nUSER root\n"),
    ("fragment-from", "FROM docker.io/library/debian:12\nUSER root\n"),
    ("fragment-open", "USER root\nRUN true \\\n"),
];

/// Returns the parts of a report that concern a code.
fn of_code(code: &str, run: &Run) -> String {
    let marked = format!("[{code}]\n");
    let parts = run.stdout.split("\n\n").filter(|part| format!("{part}\n").contains(&marked));
    parts.collect::<Vec<_>>().join("\n\n")
}

fn tree() -> Tree {
    let tree = Tree::new();
    tree.write_all(TREE);
    tree
}

/// Returns the output of `check` for a tree with uncommitted files.
fn added(tree: &Tree, arguments: &[&str]) -> Run {
    tree.git(&["add", "--all"]);
    tree.run(&[&["check"], arguments].concat())
}

/// Returns the output of `check --ref` after a change.
fn changed(change: impl FnOnce(&Tree)) -> Run {
    let mut tree = tree();
    tree.write_all(
        "//- /science/blue/sciserver-image.json\n{\"image\": \"blue\", \"compat\": \"jupyter\"}\n\
         //- /science/blue/Dockerfile\nFROM scratch\n\
         //- /science/top/sciserver-image.json\n{\"image\": \"sky\", \"compat\": \"jupyter\"}\n\
         //- /science/top/Dockerfile\nFROM sci/sky:1.0\n",
    );
    tree.commit();
    change(&tree);
    tree.commit();
    tree.run(&["check", "--ref", "HEAD^"])
}

/// Returns findings that need a file system, git or a flag.
fn special() -> BTreeMap<&'static str, Run> {
    let mut found = BTreeMap::new();
    let with = |change: &dyn Fn(&Tree)| {
        let tree = tree();
        change(&tree);
        added(&tree, &["--untracked"])
    };
    let symlink = |target: &[u8], path: &[u8], tree: &Tree| {
        let at = tree.root().join(OsStr::from_bytes(path));
        std::os::unix::fs::symlink(OsStr::from_bytes(target), at).expect("a new name");
    };
    found.insert("bad-link", with(&|tree| symlink(b"\xff", b"science/sky/link", tree)));
    found.insert("bad-path", with(&|tree| symlink(b"x", b"science/sky/caf\xe9", tree)));
    found.insert("not-utf8", with(&|tree| tree.write("science/sky/Dockerfile", b"FROM scratch # caf\xe9\n")));
    found.insert("too-large", with(&|tree| tree.write("science/sky/Dockerfile", vec![b'#'; (1 << 20) + 1])));
    found.insert(
        "symlink",
        with(&|tree| {
            tree.write("Dockerfile.in", "FROM scratch\n");
            tree.remove("science/sky/Dockerfile");
            tree.link("science/sky/Dockerfile", "../../Dockerfile.in");
        }),
    );
    let long = format!("FROM scratch\nENV A={}\n", "x".repeat(70_000));
    found.insert("long-line", with(&|tree| tree.write("science/sky/Dockerfile", &long)));
    found.insert(
        "lfs-pointer",
        with(&|tree| {
            tree.write(".gitattributes", "data filter=lfs diff=lfs merge=lfs -text\n");
            let oid = "0123456789abcdef".repeat(4);
            let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 12\n");
            tree.write("science/sky/data", pointer);
        }),
    );
    let nested = tree();
    nested.write("science/sky/vendor/file", "x");
    nested.git(&["add", "science/sky/Dockerfile"]);
    nested.git(&["init", "--quiet", "science/sky/vendor"]);
    found.insert("nested-repository", nested.run(&["check", "--untracked"]));
    let conflict = tree();
    conflict.git(&["add", "--all"]);
    let id = conflict.git(&["hash-object", "-w", "science/sky/Dockerfile"]);
    let stages = format!(
        "0 {zero}\tscience/sky/Dockerfile\n100644 {id} 2\tscience/sky/Dockerfile\n100644 {id} 3\tscience/sky/Dockerfile\n",
        zero = "0".repeat(40),
        id = id.trim()
    );
    index(&conflict, &stages);
    found.insert("merge-conflict", conflict.run(&["check"]));
    let submodule = tree();
    submodule.git(&["add", "--all"]);
    submodule.write_all("//- /science/sky/lib/.keep\n");
    index(&submodule, &format!("160000 {} 0\tscience/sky/lib\n", "1".repeat(40)));
    found.insert("submodule", submodule.run(&["check"]));
    let untracked = tree();
    untracked.git(&["add", "--all"]);
    untracked.write("science/new/Dockerfile", "FROM scratch\n");
    found.insert("not-in-git", untracked.run(&["check"]));
    let filtered = tree();
    filtered.git(&["config", "filter.strip.clean", "sed /secret/d"]);
    filtered.write("science/sky/.gitattributes", "notes filter=strip\n");
    filtered.write("science/sky/notes", "text\nsecret\n");
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_500_000_000);
    let notes = std::fs::File::open(filtered.root().join("science/sky/notes")).expect("it was written");
    notes.set_modified(long_ago).expect("it is ours");
    found.insert("filtered-file", added(&filtered, &[]));
    found.insert("no-descriptor", with(&|tree| tree.write("science/late/Dockerfile", "FROM scratch\n")));

    found.insert("repo", added(&tree(), &["--repo", "UPPER/x"]));
    let committed = {
        let mut tree = tree();
        tree.commit();
        tree
    };
    found.insert("product", committed.run(&["check", "--ref", "HEAD", "--allow-orphan", "sky"]));
    let no_such_layer = committed.run(&["plan", "--include", "science/skye"]);
    found.insert("no-such-layer", Run { stdout: no_such_layer.stderr.clone(), ..no_such_layer });

    found.insert("orphan", changed(|tree| tree.remove("science/blue")));
    found.insert("silent-downgrade", changed(|tree| tree.remove("science/top")));
    let mut mended = tree();
    mended.write("science/sky/Dockerfile", "FROM\n");
    mended.commit();
    mended.write("science/sky/Dockerfile", "FROM scratch\n");
    mended.commit();
    found.insert("base-unreadable", mended.run(&["check", "--ref", "HEAD^"]));
    found
}

/// Writes entries to git's index that no ordinary git command would write.
fn index(tree: &Tree, lines: &str) {
    let mut git = Command::new("git")
        .args(["update-index", "--add", "--index-info"])
        .current_dir(tree.root())
        .stdin(Stdio::piped())
        .spawn()
        .expect("git is there");
    git.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("git reads");
    assert!(git.wait().expect("git ends").success());
}

#[test]
fn every_code_has_a_text_that_leads_on() {
    let mut told: BTreeMap<&str, String> = BTreeMap::new();
    for (code, files) in IN_A_TREE {
        let tree = tree();
        tree.write_all(files);
        told.insert(code, of_code(code, &added(&tree, &[])));
    }
    for (code, dockerfile) in IN_A_DOCKERFILE {
        let tree = tree();
        tree.write("science/a/sciserver-image.json", "{\"image\": \"a\", \"compat\": null}\n");
        tree.write("science/a/Dockerfile", dockerfile);
        told.insert(code, of_code(code, &added(&tree, &[])));
    }
    for (code, dockerfile) in IN_A_FRAGMENT {
        let tree = tree();
        tree.write("compat/common/Dockerfile", dockerfile);
        told.insert(code, of_code(code, &added(&tree, &[])));
    }
    for (code, run) in special() {
        told.insert(code, of_code(code, &run));
    }
    let known: Vec<&str> = planner::code::CODES.iter().map(|(code, _)| *code).collect();
    assert_eq!(told.keys().copied().collect::<Vec<_>>(), known, "every code, and no other");
    let silent: Vec<&&str> = told.iter().filter(|(_, text)| text.is_empty()).map(|(code, _)| code).collect();
    assert!(silent.is_empty(), "these trees do not give their code: {silent:?}");
    let without_help: Vec<&&str> =
        told.iter().filter(|(_, text)| !text.contains("  help: ")).map(|(code, _)| code).collect();
    assert!(without_help.is_empty(), "these say nothing of what to do: {without_help:?}");
    let page: Vec<String> = planner::code::CODES
        .iter()
        .map(|(code, summary)| format!("# {code}: {summary}\n\n{}\n", told[code]))
        .collect();
    insta::assert_snapshot!("every_code", page.join("\n"));
}
