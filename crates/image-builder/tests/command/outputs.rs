//! Files that flags name, in a source tree that contains links and pipes: row 45.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::Tree;

/// The sample tree, in which `plan.json` and `ci` are links to another user's file and directory.
fn scene() -> (Tree, tempfile::TempDir) {
    let victim = tempfile::tempdir().expect("a directory");
    fs::write(victim.path().join("bashrc"), "ORIGINAL=mine\n").expect("a file");
    let mut tree = Tree::sample();
    let shown = |path: &Path| path.display().to_string();
    tree.link("plan.json", &shown(&victim.path().join("bashrc")));
    tree.link("new.json", &shown(&victim.path().join("created")));
    tree.link("ci", &shown(victim.path()));
    tree.link("science/ci", "../ci");
    tree.commit();
    (tree, victim)
}

#[track_caller]
fn assert_untouched(victim: &Path) {
    assert_eq!(fs::read_to_string(victim.join("bashrc")).expect("it is there"), "ORIGINAL=mine\n");
    assert_eq!(fs::read_dir(victim).expect("it is there").count(), 1);
}

#[test]
fn case_out_through_link() {
    for arguments in [
        &["plan", "--out"][..],
        &["--dryrun", "--out"],
        &["check", "--format", "gitlab", "--out"],
        &["check", "--format", "sarif", "--out"],
        &["graph", "--out"],
        &["graph", "--all", "--format", "svg", "--out"],
        &["stale", "--plan", "--repo", "127.0.0.1:1/x", "--out"],
        // There is no engine, which the written file reports.
        &["build", "--all", "--summary"],
        &["build", "--all", "--junit"],
        &["build", "--ref", "HEAD", "--summary"],
    ] {
        let (tree, victim) = scene();
        let usual = tree.run(&[arguments, &["usual.json"]].concat());
        if arguments[0] == "stale" {
            // No registry responds there, so nothing is written.
            assert!(!tree.root().join("usual.json").exists());
            continue;
        }
        let expect = fs::read(tree.root().join("usual.json")).unwrap();
        assert!(!expect.is_empty());
        for path in ["ci/plan.json", "ci/bashrc", "science/ci/plan.json", "./ci/../ci/plan.json"] {
            let run = tree.run(&[arguments, &[path]].concat()).code(2);
            assert!(run.stderr.contains("is a link of the source tree"), "{arguments:?}: {}", run.stderr);
            assert!(run.stderr.contains("help: name a regular file"), "{arguments:?}: {}", run.stderr);
            assert_untouched(victim.path());
        }
        // The last component is replaced, never followed.
        for path in ["plan.json", "new.json"] {
            let run = tree.run(&[arguments, &[path]].concat());
            assert_eq!(run.code, usual.code, "{arguments:?}: {}", run.stderr);
            let file = tree.root().join(path);
            assert!(file.symlink_metadata().unwrap().is_file(), "{arguments:?}");
            assert_untouched(victim.path());
        }
        let left = fs::read_dir(tree.root()).unwrap().flatten().map(|entry| entry.file_name());
        let left: Vec<_> =
            left.filter(|name| name.to_string_lossy().starts_with(".image-builder-")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_pipe_of_the_tree_is_not_waited_for() {
    let tree = Tree::sample();
    assert!(Command::new("mkfifo").arg(tree.root().join("pipe")).status().unwrap().success());
    for arguments in [&["plan", "--out", "pipe"][..], &["build", "--all", "--summary", "pipe"]] {
        let run = tree.run(arguments).code(2);
        assert!(run.stderr.contains("is not a regular file"), "{}", run.stderr);
    }
    for (arguments, code) in [
        (&["build", "--plan", "pipe"][..], 5),
        (&["build", "--all", "--secret", "id=a,src=pipe"], 2),
        (&["explain", "--plan", "pipe", "science/nist-basic"], 5),
    ] {
        let run = tree.run(arguments).code(code);
        assert!(run.stderr.contains("it is not a regular file"), "{}", run.stderr);
    }
}

#[test]
fn a_device_outside_of_the_tree_is_written_to() {
    let tree = Tree::sample();
    let document = tree.run(&["plan", "--format", "json"]).code(0).stdout;
    let both = tree.run(&["plan", "--out", "/dev/stdout"]).code(0).stdout;
    assert!(both.contains(&document), "{both}");
    tree.run(&["plan", "--out", "/dev/null"]).code(0);
}

#[test]
fn an_existing_file_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt as _;
    let tree = Tree::sample();
    for (arguments, name) in
        [(["plan", "--out"], "p.json"), (["graph", "--out"], "g"), (["check", "--out"], "c")]
    {
        let file = tree.root().join(name);
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        tree.run(&[&arguments[..], &[name]].concat());
        assert_ne!(fs::read_to_string(&file).unwrap(), "old", "{arguments:?}");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{arguments:?}");
    }
}

/// With `ulimit -f`, a write beyond the limit fails as on a full disk; the signal that accompanies
/// the error does not end the process.
#[test]
fn a_limit_of_file_sizes_is_told_and_leaves_nothing() {
    let tree = Tree::sample();
    let own = tree.command(&["build", "--all", "--summary", "s.md", "--junit", "j.xml"]);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -f 0; exec \"$0\" \"$@\""]).arg(own.get_program()).args(own.get_args());
    command.current_dir(tree.root()).env_clear().env("HOME", tree.home());
    let run = tree.outcome(&command.output().unwrap()).code(5);
    assert!(run.stderr.contains("error: cannot write s.md: File too large"), "{}", run.stderr);
    let left = fs::read_dir(tree.root()).unwrap().flatten().map(|entry| entry.file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with(".image-builder-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_plan_is_read_from_stdin() {
    let tree = Tree::sample();
    let plan = tree.run(&["plan", "--format", "json"]).code(0).stdout;
    let file = tree.home().join("plan.json");
    fs::write(&file, &plan).unwrap();
    for name in ["-", "/dev/stdin"] {
        let mut command = tree.command(&["build", "--dryrun", "--plan", name]);
        let output = command.stdin(fs::File::open(&file).unwrap()).output().unwrap();
        tree.outcome(&output).code(0);
        // Reads from a pipe, as in a shell.
        let (reader, mut writer) = std::io::pipe().unwrap();
        let text = plan.clone();
        let written = std::thread::spawn(move || std::io::Write::write_all(&mut writer, text.as_bytes()));
        let output = tree.command(&["build", "--dryrun", "--plan", name]).stdin(reader).output().unwrap();
        written.join().unwrap().unwrap();
        tree.outcome(&output).code(0);
    }
}

/// If a fix is killed at any time, no file is left in a layer, and the next fix removes the staged
/// files outside.
#[test]
fn case_tempfiles_left() {
    let mut tree = Tree::new();
    let write = |tree: &Tree| {
        for number in 0..30 {
            tree.write(&format!("science/l{number}/Dockerfile"), "FROM debian:12\nRUN true\n");
            let descriptor = format!("{{\"image\": \"l{number}\", \"version\": \"1.0\"}}\n");
            tree.write(&format!("science/l{number}/sciserver-image.json"), descriptor);
        }
    };
    write(&tree);
    tree.commit();
    let began = std::time::Instant::now();
    tree.run(&["check", "--fix"]).code(0);
    let usual = began.elapsed();
    let mut killed = 0;
    for _ in 0..25 {
        write(&tree);
        let mut command = tree.command(&["check", "--fix"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(usual.mul_f64(fastrand::f64() * 1.1));
        child.kill().unwrap();
        killed += usize::from(child.wait().unwrap().code().is_none());
        let status = tree.git(&["status", "--porcelain", "--untracked-files=all"]);
        assert!(!status.contains("??"), "{status}");
    }
    assert!(killed > 0);
    write(&tree);
    tree.run(&["check", "--fix"]).code(0);
    assert_eq!(fs::read_dir(tree.root().join(".image-builder/staging")).unwrap().count(), 0);
}
