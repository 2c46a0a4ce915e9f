//! Rows 11, 12 and 13: names that registries or file systems cannot store, names that differ only
//! in case, and paths that are not valid UTF-8.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use crate::fixture::{compat, finish, layer, refused, run, sample_with, tree};
use crate::support::{SAMPLE, Tree};

/// JSON texts that are not valid image names.
const NO_NAMES: [&str; 24] = [
    "...",
    ".",
    "..",
    "-x",
    "x-",
    "_x",
    "x_",
    ".x",
    "x.",
    "a..b",
    "a___b",
    "a._b",
    "Upper",
    "a b",
    " a",
    "a\\n",
    "a\\nb",
    "\\u0000",
    "a\\u0000b",
    "a/b",
    "../a",
    "a:b",
    "größe",
    "a\\u202eb",
];

#[test]
fn row_11_bad_names_are_refused_with_field_and_rule() {
    let long = "a".repeat(129);
    for name in NO_NAMES.into_iter().chain(["", &long]) {
        for (field, descriptor) in [
            ("image", format!("{{\"image\": \"{name}\", \"compat\": null}}")),
            ("target", format!("{{\"image\": \"x\", \"target\": \"{name}\", \"compat\": null}}")),
        ] {
            let tree = sample_with(&layer("x", "FROM scratch", &descriptor));
            let words =
                ["science/x/sciserver-image.json:1:", &format!("{field}: "), "lower case letters and digits"];
            refused(&tree, &["plan", "-vv"], 2, &words);
        }
    }
}

#[test]
fn row_11_bad_versions_are_refused_with_field_and_rule() {
    let long = format!("1{}", "0".repeat(128));
    for version in [
        "\"...\"",
        "\"-x\"",
        "\"\"",
        "\"v1\"",
        "\"1-2\"",
        "\"1.\"",
        "\".1\"",
        "\"1..2\"",
        "\"1.0 \"",
        "\"1\\n\"",
        "\"1.\\u0000\"",
        "\"1.é\"",
        "\"1:2\"",
        "\"1/2\"",
        "\"latest\"",
        "\"1.0-7-0a1b2c3\"",
        "2.10",
        "1e3",
        "-1",
        "true",
        "null",
        "[]",
    ]
    .into_iter()
    .chain([format!("\"{long}\"").as_str()])
    {
        let tree = sample_with(&layer(
            "x",
            "FROM scratch",
            &format!("{{\"image\": \"x\", \"version\": {version}, \"compat\": null}}"),
        ));
        refused(&tree, &["plan"], 2, &["science/x/sciserver-image.json:1:", "version", "\n  help: "]);
    }
}

#[test]
fn row_11_tags_and_repositories_that_are_too_long_are_refused() {
    let version = format!("1.{}", "0".repeat(118));
    let descriptor = format!("{{\"image\": \"x\", \"version\": \"{version}\", \"compat\": null}}");
    let tree = sample_with(&layer("x", "FROM scratch", &descriptor));
    refused(&tree, &["plan"], 2, &["science/x/sciserver-image.json:1", "registries accept 128"]);
    // Just short enough, until a flag makes the tag longer.
    let fits = format!("1.{}", "0".repeat(128 - 2 - "-3-0123456".len()));
    let tree = sample_with(&layer("x", "FROM scratch", &descriptor.replace(&version, &fits)));
    run(&tree, &["plan"]).code(0);
    refused(&tree, &["plan", "--rebuild", "1"], 2, &["registries accept 128"]);
    tree.write("science/x/Dockerfile", "FROM scratch\n\n");
    refused(&tree, &["plan"], 2, &["registries accept 128"]);
    let repo = format!("r.example.org/{}", "a/".repeat(120) + "a");
    refused(&tree, &["plan", "--repo", &repo], 2, &["registries accept 255"]);
}

#[test]
fn row_11_bad_names_in_flags_and_configuration_are_refused() {
    let tree = Tree::sample();
    for repo in [
        "-x",
        "...",
        "R.example.org",
        "r.example.org/",
        "r.example.org/a:1",
        "r.example.org/a@b",
        "https://r.example.org/a",
        "r.example.org/a b",
        "r.example.org/a\nb",
        "r.example.org//a",
        "user:secret@r.example.org/a",
    ] {
        refused(&tree, &["plan", &format!("--repo={repo}")], 2, &["repo"]);
        // The same value from the environment; below, from the tree.
        let run = finish(&tree, tree.command(&["plan"]).env("IMAGE_BUILDER_REPO", repo)).code(2);
        assert!(run.stderr.contains("repo"), "{}", run.stderr);
    }
    for line in [
        "repo = \"...\"",
        "repo = \"a\\nb\"",
        "repo = 1",
        "aliases = [\"-x\"]",
        "platform = \"x\\ny\"",
        "label_prefix = \"a b\"",
        "image_variable = \"A=B\"",
        "published = [\"Upper\"]",
        "retired = [\"x\"]",
        "hold = [\"-:-\"]",
        "unknown = 1",
        "[check]\nunknown = \"warn\"",
    ] {
        let tree = sample_with(&format!("//- /image-builder.toml\n{line}\n"));
        refused(&tree, &["plan"], 2, &["image-builder.toml:", "\n  help: "]);
    }
}

#[test]
fn row_11_bad_build_arguments_are_refused() {
    for name in ["", "A B", "A=B", "1A", "A\\nB", "A\\u0000", "-A", "é"] {
        let descriptor = format!("{{\"image\": \"x\", \"compat\": null, \"args\": {{\"{name}\": \"1\"}}}}");
        let tree = sample_with(&layer("x", "FROM scratch", &descriptor));
        refused(&tree, &["plan"], 2, &["science/x/sciserver-image.json:1:", "args"]);
    }
}

#[test]
fn row_12_duplicates_are_refused_with_both_names() {
    let of = |image: &str, version: &str, target: &str| {
        format!(
            "{{\"image\": \"{image}\", \"version\": \"{version}\", \"target\": \"{target}\", \"compat\": null}}"
        )
    };
    for (what, files, words) in [
        (
            "one target",
            layer("a", "FROM scratch", &of("a", "1.0", "same"))
                + &layer("b", "FROM scratch", &of("b", "1.0", "same")),
            ["science/a", "science/b"],
        ),
        (
            "one product",
            layer("a", "FROM scratch", &of("p", "1.0", "a"))
                + &layer("b", "FROM scratch", &of("p", "1.0", "b")),
            ["science/a", "science/b"],
        ),
        (
            "versions that differ in case",
            layer("a", "FROM scratch", &of("p", "1.0rc", "a"))
                + &layer("b", "FROM scratch", &of("p", "1.0RC", "b")),
            ["p:1.0rc", "p:1.0RC"],
        ),
        (
            "directories that differ in case",
            layer("same", "FROM scratch", &of("a", "1.0", "a"))
                + &layer("Same", "FROM scratch", &of("b", "1.0", "b")),
            ["science/same", "science/Same"],
        ),
        (
            "directories above layers that differ in case",
            layer("same/a", "FROM scratch", &of("a", "1.0", "a"))
                + &layer("Same/a", "FROM scratch", &of("b", "1.0", "b")),
            ["science/same/a", "science/Same/a"],
        ),
        (
            "compat layers that differ in case",
            compat("tools", "", "{}") + &compat("Tools", "", "{}"),
            ["compat/tools", "compat/Tools"],
        ),
        (
            "Unicode forms",
            layer("u\u{308}", "FROM scratch", &of("a", "1.0", "a"))
                + &layer("\u{fc}", "FROM scratch", &of("b", "1.0", "b")),
            ["science/u\u{308}", "science/\u{fc}"],
        ),
        (
            "compatibility forms",
            layer("\u{fb01}", "FROM scratch", &of("a", "1.0", "a"))
                + &layer("fi", "FROM scratch", &of("b", "1.0", "b")),
            ["science/\u{fb01}", "science/fi"],
        ),
        (
            "a field twice",
            layer("a", "FROM scratch", "{\"image\": \"a\", \"compat\": null,\n \"image\": \"b\"}"),
            ["science/a/sciserver-image.json:2", "stands twice"],
        ),
    ] {
        let tree = sample_with(&files);
        for arguments in [&["plan"][..], &["build", "--push"], &["--dryrun", "--format", "json"]] {
            let run = refused(&tree, arguments, 2, &words);
            assert!(run.stderr.contains("\n  help: "), "{what}: {}", run.stderr);
        }
    }
}

/// Writes a file whose path is given as bytes.
fn write_bytes(tree: &Tree, path: &[u8], text: &str) {
    let path = tree.root().join(OsStr::from_bytes(path));
    fs::create_dir_all(path.parent().expect("a fresh tree takes it")).expect("a fresh tree takes it");
    fs::write(path, text).expect("a fresh tree takes it");
}

#[test]
fn row_13_paths_that_are_no_text_are_refused_escaped() {
    // For a directory, git's trees contain its own name, and the working tree the path of a file in
    // it.
    for (path, shown) in [
        (&b"science/nist-basic/caf\xe9"[..], "science/nist-basic/caf\\xe9"),
        (b"science/nist-basic/two\nlines", "science/nist-basic/two\\nlines"),
        (b"science/nist-basic/esc\x1b[31m", "science/nist-basic/esc\\u{1b}[31m"),
        (b"science/nist-basic/back\rwards", "science/nist-basic/back\\rwards"),
        (b"science/\xff\xfe/sciserver-image.json", "science/\\xff\\xfe"),
        (b"science/a\nb/sciserver-image.json", "science/a\\nb"),
        (b"compat/common/\x7f", "compat/common/\\u{7f}"),
        (b"compat/\xc3\x28/x", "compat/\\xc3("),
        (b"science/nist-basic/c1\xc2\x9b31m", "science/nist-basic/c1\\u{9b}31m"),
    ] {
        let mut tree = Tree::sample();
        write_bytes(&tree, path, "{\"image\": \"x\"}");
        // On disk but not in git, the path is found with `--untracked`.
        refused(&tree, &["plan", "-vv", "--untracked"], 2, &["[bad-path]", "rename it"]);
        tree.commit();
        for arguments in [
            &["plan", "-vv"][..],
            &["plan", "--format", "json", "--ref", "HEAD^..HEAD"],
            &["graph"],
            &["build", "--push"],
        ] {
            refused(&tree, arguments, 2, &[shown, "rename it"]);
        }
    }
}

#[test]
fn row_13_paths_outside_of_the_layers_do_not_matter() {
    let mut tree = Tree::sample();
    for path in [&b"notes/caf\xe9"[..], b"two\nlines"] {
        write_bytes(&tree, path, "x");
    }
    tree.commit();
    run(&tree, &["plan", "-vv"]).code(0);
}

#[test]
fn row_13_links_to_what_is_no_text_are_refused() {
    let mut tree = Tree::sample();
    let target = OsStr::from_bytes(b"caf\xe9");
    std::os::unix::fs::symlink(target, tree.root().join("science/nist-basic/link")).unwrap();
    tree.commit();
    refused(&tree, &["plan"], 2, &["science/nist-basic/link", "not UTF-8"]);
    refused(&tree, &["plan", "--ref", "HEAD^..HEAD"], 2, &["science/nist-basic/link", "not UTF-8"]);
}

/// The tree itself may be in any directory, and flags may contain any bytes.
#[test]
fn row_13_a_tree_at_a_path_that_is_no_text_is_planned() {
    let tree = tree(SAMPLE);
    let plan = run(&tree, &["plan", "--format", "json"]).code(0).stdout;
    for name in [&b"caf\xe9"[..], b"two\nlines \x1b[31m"] {
        let moved = tree.home().join(OsStr::from_bytes(name));
        fs::rename(tree.root(), &moved).unwrap();
        for at in [moved.clone(), moved.join("science/nist-basic")] {
            let run = finish(&tree, tree.command(&["plan", "--format", "json"]).current_dir(&at)).code(0);
            assert_eq!(run.stdout, plan);
        }
        let named = finish(&tree, tree.command(&["plan", "--root"]).arg(&moved).current_dir("/")).code(0);
        assert!(named.stdout.contains("final plan includes 2 science"), "{}", named.stdout);
        // These errors must not contain the raw bytes, which `finish` searches for.
        finish(&tree, tree.command(&["plan", "--root"]).arg(moved.join("nowhere\x1b")).current_dir("/"))
            .code(2);
        finish(&tree, tree.command(&["plan", "--out"]).arg(moved.join("no/such\x1b")).current_dir(&moved))
            .code(5);
        finish(&tree, tree.command(&["build"]).current_dir(&moved)).code(5);
        fs::rename(&moved, tree.root()).unwrap();
    }
    for flag in ["--with-ignored", "--root", "--ref", "--repo", "--ignore", "--include", "--allow-orphan"] {
        finish(&tree, tree.command(&["plan", flag]).arg(OsStr::from_bytes(b"science/\xff\x1b[31m"))).code(2);
    }
    for variable in ["IMAGE_BUILDER_REPO", "IMAGE_BUILDER_ALLOW_FRONTEND"] {
        finish(&tree, tree.command(&["plan"]).env(variable, OsStr::from_bytes(b"\xff\x1b[31m"))).code(2);
    }
    finish(&tree, tree.command(&["build"]).env("DOCKER_HOST", OsStr::from_bytes(b"\xff\x1b[31m"))).code(2);
}
