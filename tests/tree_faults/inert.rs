//! Row 22: a dry run over a hostile tree opens no socket, reads no credential, writes nothing and
//! runs nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::fixture::{bounded, finish, has, is_root, layer, listing, sample_with, under};
use crate::support::Tree;

/// Commands that only plan, with every flag that affects a build.
const DRY: [&[&str]; 5] = [
    &["--dryrun", "-vv"],
    &["--dry-run", "--push", "--all", "--rebuild", "3", "--pull", "--no-cache", "--format", "json"],
    &["plan", "--untracked", "-vv"],
    &["build", "--dryrun", "--push", "--host", "tcp://127.0.0.1:1", "--builder", "buildkit"],
    &["graph", "--planned"],
];

/// Returns a hostile tree: it names hosts, credentials and programs in every possible place.
fn hostile() -> Tree {
    let mut tree = sample_with(
        &(layer(
            "evil",
            "FROM 127.0.0.1:1/evil/base:1\nADD http://127.0.0.1:1/x /\nRUN --mount=type=secret,id=docker true\nCOPY --from=127.0.0.1:1/other:1 / /",
            "{\"image\": \"evil\", \"compat\": null, \"url\": \"http://127.0.0.1:1/\"}",
        ) + "//- /image-builder.toml\nrepo = \"127.0.0.1:1/evil\"\nbase_repo = \"127.0.0.1:1/base\"\nsource = \"http://127.0.0.1:1/\"\n"),
    );
    tree.write("science/evil/untracked", "x");
    tree.write("science/evil/.netrc", "machine 127.0.0.1");
    tree.write("science/nist-basic/packages.txt", "edited, so that it is read\n");
    fs::create_dir(tree.home().join(".docker")).expect("a fresh tree takes it");
    fs::write(tree.home().join(".docker/config.json"), "{\"credsStore\": \"canary\"}")
        .expect("a fresh tree takes it");
    let config = tree.root().join(".git/config");
    let own = fs::read_to_string(&config).expect("a fresh tree takes it");
    fs::write(
        config,
        own + "[remote \"origin\"]\n\turl = http://user:secret@127.0.0.1:1/x\n\tpromisor = true\n[include]\n\tpath = /nonexistent\n",
    )
    .expect("a fresh tree takes it");
    tree.write("science/evil/more", "a second commit");
    tree.commit();
    tree.write("science/nist-basic/packages.txt", "edited, so that it is read again\n");
    tree
}

#[test]
fn row_22_a_dry_run_needs_no_network() {
    if !is_root("a network namespace") || !has("unshare") {
        return;
    }
    let tree = hostile();
    for arguments in DRY {
        let with = finish(&tree, &mut tree.command(arguments)).code(0);
        let without = finish(&tree, &mut under(&tree, &["unshare", "--net"], arguments)).code(0);
        assert_eq!((without.stdout, without.stderr), (with.stdout, with.stderr), "{arguments:?}");
    }
}

/// Everything that could be written to is read-only: the tree, the home directory, the directory
/// for temporary files.
#[test]
fn row_22_a_dry_run_writes_nothing() {
    if !is_root("a read-only mount") || !has("unshare") {
        return;
    }
    let tree = hostile();
    let all = tree.home().parent().unwrap().display().to_string();
    // In a private mount namespace, so that the mount vanishes with it.
    let script = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" || exit 99\n\
                  cd \"$0/tree\" || exit 98\n\
                  if touch \"$0/tree/written\" 2> /dev/null; then exit 97; fi\n\
                  exec \"$@\"";
    let wrapper = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, &all];
    let before = listing(Path::new(&all));
    for arguments in DRY {
        let with = finish(&tree, &mut tree.command(arguments)).code(0);
        let mut command = under(&tree, &wrapper, arguments);
        command.env("TMPDIR", tree.home());
        let run = finish(&tree, &mut command).code(0);
        assert_eq!((run.stdout, run.stderr), (with.stdout, with.stderr), "{arguments:?}");
        assert_eq!(listing(Path::new(&all)), before, "{arguments:?}");
    }
}

/// Returns the system calls, one per line, or `None` if tracing is not permitted.
fn calls(tree: &Tree, arguments: &[&str], code: i32) -> Option<String> {
    let log = tempfile::NamedTempFile::new().expect("the log of the test");
    let path = log.path().display().to_string();
    let wrapper = [
        "strace",
        "-f",
        "-qq",
        "-s",
        "300",
        "-e",
        "trace=%network,%file,%process,write,ftruncate,fchmod,fchown",
        "-o",
        &path,
    ];
    let output = bounded(&mut under(tree, &wrapper, arguments));
    let text = String::from_utf8_lossy(&fs::read(log.path()).expect("the log of the test")).into_owned();
    if text.is_empty() && !output.status.success() {
        println!("strace may not look here: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    tree.outcome(&output).code(code);
    Some(text)
}

/// Returns name and arguments of a call, without the process id. Skips the ends of calls that
/// another one interrupted.
fn call(line: &str) -> Option<(&str, &str)> {
    let rest = line.split_once(' ')?.1.trim_start();
    let (name, arguments) = rest.split_once('(')?;
    name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_').then_some((name, arguments))
}

#[test]
fn row_22_a_dry_run_opens_no_socket_reads_no_credential_and_runs_nothing() {
    if !has("strace") {
        return;
    }
    const NEVER: [&str; 38] = [
        "socket",
        "socketpair",
        "connect",
        "bind",
        "listen",
        "accept",
        "accept4",
        "sendto",
        "sendmsg",
        "sendmmsg",
        "recvfrom",
        "recvmsg",
        "mkdir",
        "mkdirat",
        "rmdir",
        "unlink",
        "unlinkat",
        "rename",
        "renameat",
        "renameat2",
        "link",
        "linkat",
        "symlink",
        "symlinkat",
        "chmod",
        "fchmod",
        "fchmodat",
        "chown",
        "lchown",
        "fchown",
        "fchownat",
        "truncate",
        "ftruncate",
        "mknod",
        "mknodat",
        "utimensat",
        "fork",
        "vfork",
    ];
    let tree = hostile();
    for arguments in DRY {
        let Some(calls) = calls(&tree, arguments, 0) else { return };
        let mut programs = 0;
        for line in calls.lines() {
            let Some((name, rest)) = call(line) else { continue };
            assert!(!NEVER.contains(&name), "{arguments:?}: {line}");
            programs += usize::from(name.starts_with("execve"));
            if name.starts_with("open") || name == "creat" {
                for flag in ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND"] {
                    assert!(!rest.contains(flag) && name != "creat", "{arguments:?}: {line}");
                }
            }
            if name == "write" {
                assert!(rest.starts_with("1,") || rest.starts_with("2,"), "{arguments:?}: {line}");
            }
            for secret in [".docker/", ".netrc\"", "credentials", "/run/docker", "/var/run/docker", ".ssh"] {
                // The tree's own .netrc may be read like any other file of the tree.
                assert!(!rest.contains(secret) || rest.contains("science/evil"), "{arguments:?}: {line}");
            }
        }
        assert_eq!(programs, 1, "{arguments:?}: it ran something");
    }
    // Counter-test: a build does read docker's configuration, and the trace shows it.
    let Some(calls) = calls(&tree, &["build", "--all"], 5) else { return };
    assert!(calls.contains(".docker/config.json"), "{calls}");
}

/// No program named like git, docker or a credential helper is run, although they are first on the
/// path.
#[test]
fn row_22_a_dry_run_finds_no_program_on_the_path() {
    use std::os::unix::fs::PermissionsExt as _;
    let tree = hostile();
    let (bin, mark) = (tree.home().join("bin"), tree.home().join("mark"));
    fs::create_dir(&bin).unwrap();
    for name in ["git", "docker", "docker-credential-canary", "buildctl", "podman", "sh", "ssh", "git-lfs"] {
        fs::write(bin.join(name), format!("#!/bin/sh\n: > {}\n", mark.display())).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    assert!(Command::new(bin.join("docker-credential-canary")).status().unwrap().success());
    assert!(mark.exists(), "the programs leave their mark when they are run");
    fs::remove_file(&mark).unwrap();
    for arguments in DRY {
        finish(&tree, tree.command(arguments).env("PATH", &bin)).code(0);
        assert!(!mark.exists(), "{arguments:?}");
    }
}
