//! Rows 9 and 10: paths that lead out of the source tree, by links on disk and in git, and by names
//! in descriptors.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::fixture::{bounded, compat, finish, layer, refused, run, sample_with, sane, tree};
use crate::support::{SAMPLE, Tree};

const CANARY: &str = "the contents of a stranger's file";

/// Creates a directory beside the tree with private files, also in the form of a layer.
fn outside() -> TempDir {
    let outside = TempDir::new().expect("a fresh tree takes it");
    fs::create_dir(outside.path().join("layer")).expect("a fresh tree takes it");
    for name in ["layer/sciserver-image.json", "layer/Dockerfile", "layer/file", "secret"] {
        fs::write(outside.path().join(name), CANARY).expect("a fresh tree takes it");
    }
    outside
}

#[test]
fn row_09_links_out_of_the_tree_are_refused_and_never_followed() {
    let outside = outside();
    let secret = outside.path().join("secret");
    let directory = outside.path().join("layer");
    let environment = PathBuf::from("/proc/self/environ");
    let nowhere = PathBuf::from("/nonexistent/secret");
    for (link, target) in [
        ("science/nist-basic/sciserver-image.json", &secret),
        ("science/nist-basic/sciserver-image.json", &environment),
        ("science/nist-basic/sciserver-image.json", &nowhere),
        ("science/nist-basic/Dockerfile", &secret),
        ("science/nist-basic/Dockerfile", &environment),
        ("science/nist-basic/.dockerignore", &secret),
        ("science/nist-basic/Dockerfile.dockerignore", &secret),
        ("compat/common/sciserver-image.json", &secret),
        ("compat/common/Dockerfile", &secret),
        ("science/nist-basic-2", &directory),
        ("science/whole", &directory),
        ("compat/whole", &directory),
        ("compat/common", &directory),
        ("science", &directory),
        ("compat", &directory),
        ("image-builder.toml", &secret),
    ] {
        for committed in [true, false] {
            let mut tree = Tree::sample();
            if tree.root().join(link).symlink_metadata().is_ok() {
                tree.remove(link);
            }
            let relative = PathBuf::from("../".repeat(40)).join(target.strip_prefix("/").unwrap());
            // Absolute if committed, otherwise relative: one of the two forms for each case.
            symlink(if committed { target } else { &relative }, tree.root().join(link)).unwrap();
            if committed {
                tree.commit();
            }
            let mut refusals = 0;
            for arguments in [
                &["plan", "-vv"][..],
                &["plan", "-vv", "--untracked"],
                &["plan", "--all", "--format", "json"],
                &["--dryrun", "-vv", "--ref", "HEAD^..HEAD"],
                &["graph"],
                &["build", "--push", "--allow-dirty", "--repo", "localhost:1/x"],
            ] {
                let mut command = tree.command(arguments);
                command.env("CANARY", CANARY);
                let run = tree.outcome(&bounded(&mut command));
                sane(&run);
                for text in [&run.stdout, &run.stderr] {
                    assert!(!text.contains(CANARY) && !text.contains("stranger"), "{link}: {text}");
                }
                // A link that git does not track, or that is missing in the range of commits, is
                // not part of the plan.
                let seen = committed || (arguments.contains(&"--untracked") && !arguments.contains(&"--ref"));
                if seen {
                    let run = run.code(2);
                    assert!(run.stderr.contains("symbolic link"), "{link}: {}", run.stderr);
                    assert!(run.stderr.contains(link), "{link}: {}", run.stderr);
                    refusals += 1;
                } else {
                    assert!(matches!(run.code, Some(0 | 2 | 5)), "{link}: {:?} {}", run.code, run.stderr);
                }
            }
            assert!(refusals >= 1, "{link}");
        }
    }
}

/// Opening a pipe for reading blocks until there is a writer.
#[test]
fn row_09_a_pipe_in_place_of_a_file_is_not_waited_for() {
    for path in [
        "science/nist-basic/sciserver-image.json",
        "science/nist-basic/Dockerfile",
        "science/nist-basic/.dockerignore",
        "science/nist-basic/packages.txt",
        "image-builder.toml",
    ] {
        let mut tree = Tree::sample();
        tree.write("image-builder.toml", "");
        tree.commit();
        tree.remove(path);
        assert!(Command::new("mkfifo").arg(tree.root().join(path)).status().unwrap().success());
        for arguments in [&["plan", "--all"][..], &["plan", "--all", "--untracked"], &["graph"]] {
            let run = finish(&tree, &mut tree.command(arguments));
            assert!(matches!(run.code, Some(0 | 2)), "{path}: {:?} {}", run.code, run.stderr);
        }
    }
}

#[test]
fn row_09_flags_lead_no_file_into_a_context_from_outside() {
    let outside = outside();
    let tree = Tree::sample();
    symlink(outside.path(), tree.root().join("science/nist-basic/out")).unwrap();
    for path in [
        "../home",
        "/etc/passwd",
        "science/../../home",
        "science/nist-basic/out/secret",
        "science/nist-basic/out/layer/file",
        ".git/config",
    ] {
        refused(&tree, &["plan", "--with-ignored", path], 2, &["--with-ignored", "\n  help: "]);
    }
    // A link itself may be sent, its target is not.
    let plan = run(&tree, &["plan", "-vv", "--format", "json", "--untracked"]).code(0).stdout;
    assert!(!plan.contains("secret") && !plan.contains("stranger"), "{plan}");
}

#[test]
fn row_10_compat_names_lead_nowhere_else() {
    for name in [
        "/etc",
        "/compat/common",
        "..",
        "../science/nist-basic",
        "common/../../science/nist-basic",
        "common/..",
        "./common",
        "common/",
        "common//x",
        "",
        ".",
        "c:\\\\x",
        "~",
        "common\\n",
        "common\\u0000",
        "nothing-like-it",
        "compat/common",
        "Common",
    ] {
        let own = format!("{{\"image\": \"x\", \"compat\": \"{name}\"}}");
        let tree = sample_with(&layer("x", "FROM scratch", &own));
        refused(&tree, &["plan"], 2, &["science/x/sciserver-image.json:1", "compat"]);
        refused(&tree, &["build", "--push"], 2, &["science/x/sciserver-image.json:1"]);
    }
}

#[test]
fn row_10_includes_lead_nowhere_else() {
    for name in [
        "/etc",
        "..",
        "../science/nist-basic",
        "common/../jupyter",
        "a\\nb",
        "",
        "nothing-like-it",
        "compat/common",
    ] {
        let tree = sample_with(&compat("x", "", &format!("{{\"includes\": [\"common\", \"{name}\"]}}")));
        refused(&tree, &["plan"], 2, &["compat/x/sciserver-image.json:1"]);
    }
    // The sample's includes are valid: the errors above are caused by the names.
    run(&tree(SAMPLE), &["plan"]).code(0);
}
