//! Shared by the tests of all rows: git itself as the attacker's tool, runs with a time-out, and
//! checks that apply to every run.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::support::{Run, Tree};

/// Time-out of every run of these tests.
const BOUND: Duration = Duration::from_secs(60);

/// Returns a science layer as packed text.
pub(crate) fn layer(name: &str, dockerfile: &str, descriptor: &str) -> String {
    format!(
        "//- /science/{name}/sciserver-image.json\n{descriptor}\n//- /science/{name}/Dockerfile\n{dockerfile}\n"
    )
}

/// Returns a compat layer as packed text.
pub(crate) fn compat(name: &str, fragment: &str, descriptor: &str) -> String {
    format!(
        "//- /compat/{name}/sciserver-image.json\n{descriptor}\n//- /compat/{name}/Dockerfile\n{fragment}\n"
    )
}

/// Creates a tree of one commit, in which everything is new.
pub(crate) fn tree(files: &str) -> Tree {
    let mut tree = Tree::new();
    tree.write_all(files);
    tree.commit();
    tree
}

/// Creates the sample with these additional files, committed.
pub(crate) fn sample_with(files: &str) -> Tree {
    let mut tree = Tree::sample();
    tree.write_all(files);
    tree.commit();
    tree
}

/// Runs git itself, which the program never does.
pub(crate) fn git(tree: &Tree, directory: &Path, arguments: &[&str]) -> Output {
    git_at_home(&tree.home(), directory, arguments)
}

/// Like [`git`], for a thread, which cannot use the tree.
pub(crate) fn git_at_home(home: &Path, directory: &Path, arguments: &[&str]) -> Output {
    Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .env("HOME", home)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_AUTHOR_NAME", "x"), ("GIT_AUTHOR_EMAIL", "x@example.org")])
        .envs([("GIT_COMMITTER_NAME", "x"), ("GIT_COMMITTER_EMAIL", "x@example.org")])
        .envs([("GIT_AUTHOR_DATE", "1700000100 +0000"), ("GIT_COMMITTER_DATE", "1700000100 +0000")])
        .stdin(Stdio::null())
        .output()
        .expect("git runs")
}

/// Returns the output of git in this tree; git must succeed.
#[track_caller]
pub(crate) fn git_says(tree: &Tree, arguments: &[&str]) -> String {
    let output = git(tree, &tree.root(), arguments);
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Runs a command to its end; fails after the time-out.
#[track_caller]
pub(crate) fn bounded(command: &mut Command) -> Output {
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    let streams = (read_along(child.stdout.take()), read_along(child.stderr.take()));
    let status = wait(&mut child);
    let all = |stream: thread::JoinHandle<Vec<u8>>| stream.join().expect("a pipe can be read");
    Output { status, stdout: all(streams.0), stderr: all(streams.1) }
}

fn read_along(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.expect("it was piped").read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    })
}

/// Waits for a child to end; fails after the time-out.
#[track_caller]
pub(crate) fn wait(child: &mut Child) -> std::process::ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return status;
        }
        if start.elapsed() > BOUND {
            child.kill().expect("it is our child");
            child.wait().expect("it was killed");
            panic!("it did not end within {BOUND:?}");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Runs the program with a time-out and applies the checks of every run.
#[track_caller]
pub(crate) fn run(tree: &Tree, arguments: &[&str]) -> Run {
    finish(tree, &mut tree.command(arguments))
}

/// Like [`run`], for a prepared command.
#[track_caller]
pub(crate) fn finish(tree: &Tree, command: &mut Command) -> Run {
    let run = tree.outcome(&bounded(command));
    sane(&run);
    run
}

/// Asserts that there is no panic, no raw control character and no CI command in the output.
#[track_caller]
pub(crate) fn sane(run: &Run) {
    assert!(!run.stderr.contains("defect") && !run.stderr.contains("panicked"), "{}", run.stderr);
    for text in [&run.stdout, &run.stderr] {
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
}

/// Runs the program, which must fail with this code and these words, and print no data.
#[track_caller]
pub(crate) fn refused(tree: &Tree, arguments: &[&str], code: i32, words: &[&str]) -> Run {
    let run = run(tree, arguments).code(code);
    for word in words {
        assert!(run.stderr.contains(word), "{arguments:?}: no {word:?} in {}", run.stderr);
    }
    assert_eq!(run.stdout, "", "{arguments:?}");
    run
}

/// Returns the program started by another program, which gets these arguments first.
pub(crate) fn under(tree: &Tree, wrapper: &[&str], arguments: &[&str]) -> Command {
    let plain = tree.command(arguments);
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg(plain.get_program()).args(plain.get_args()).env_clear();
    for (name, value) in plain.get_envs() {
        command.env(name, value.expect("nothing is removed"));
    }
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.current_dir(tree.root()).stdin(Stdio::null());
    command
}

/// Returns all files below a directory, with metadata that would reveal a change.
pub(crate) fn listing(directory: &Path) -> BTreeMap<PathBuf, (u64, u32, SystemTime)> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a directory that nobody changes") {
            let path = entry.expect("a directory that nobody changes").path();
            let metadata = fs::symlink_metadata(&path).expect("a directory that nobody changes");
            if metadata.is_dir() {
                open.push(path.clone());
            }
            let modified = metadata.modified().expect("the file system keeps times");
            found.insert(path, (metadata.len(), metadata.mode(), modified));
        }
    }
    found
}

/// Whether the user is root; otherwise prints what is skipped.
pub(crate) fn is_root(what: &str) -> bool {
    let root = fs::metadata("/proc/self").expect("a process has an entry in /proc").uid() == 0;
    if !root {
        println!("not root: {what} is left out");
    }
    root
}

/// Whether a program exists; otherwise prints what is skipped.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    if !found {
        println!("{program} is not installed: what needs it is left out");
    }
    found
}
