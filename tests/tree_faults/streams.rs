//! Row 43: streams that are closed, full or disconnected.

use std::fs::OpenOptions;
use std::io::{Read as _, pipe};
use std::process::{Child, Stdio};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

use crate::fixture::{bounded, sane, under, wait};
use crate::support::{Run, Tree};

const COMMANDS: [(&[&str], i32); 7] = [
    (&["plan", "-vv"], 0),
    (&["plan", "--format", "json"], 0),
    (&["graph"], 0),
    (&["schema"], 0),
    (&["completions", "bash"], 0),
    (&["plan", "--ref", "nowhere"], 2),
    (&["--no-such-flag"], 2),
];

/// Streams that are closed before the program starts, as by `command >&-` in a shell.
#[test]
fn row_43_streams_that_were_never_open_are_no_panic() {
    let tree = Tree::sample();
    for (arguments, code) in COMMANDS {
        for closed in ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"] {
            let script = format!("exec \"$0\" \"$@\" {closed}");
            let run = tree.outcome(&bounded(&mut under(&tree, &["sh", "-c", &script], arguments)));
            sane(&run);
            run.code(code);
        }
    }
    // A file that the program opens must not get the number of a closed stream, and so receive its
    // output.
    let out = tree.home().join("plan.json");
    let arguments = ["plan", "-vv", "--out", out.to_str().unwrap()];
    let script = "exec \"$0\" \"$@\" >&- 2>&-";
    tree.outcome(&bounded(&mut under(&tree, &["sh", "-c", script], &arguments))).code(0);
    let saved = std::fs::read_to_string(&out).unwrap();
    serde_json::from_str::<serde_json::Value>(&saved).expect("nothing but the plan");
}

#[test]
fn row_43_readers_that_went_away_are_no_error() {
    let tree = Tree::sample();
    for (arguments, code) in COMMANDS {
        for gone in ["stdout", "stderr", "both"] {
            let (reader, writer) = pipe().unwrap();
            drop(reader);
            let mut command = tree.command(arguments);
            if gone != "stderr" {
                command.stdout(writer.try_clone().unwrap());
            }
            if gone != "stdout" {
                command.stderr(writer.try_clone().unwrap());
            }
            let output = command.stdin(Stdio::null()).output().unwrap();
            assert_eq!(output.status.code(), Some(code), "{arguments:?} without {gone}");
        }
    }
}

#[test]
fn row_43_a_full_disk_behind_a_stream_is_told() {
    let tree = Tree::sample();
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    for (arguments, code) in COMMANDS {
        let output = tree.command(arguments).stdout(full()).output().unwrap();
        let run = tree.outcome(&output);
        sane(&run);
        // A command that prints no data loses none.
        let expected = if code == 0 { 5 } else { code };
        assert_eq!(run.code, Some(expected), "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains("error"), "{arguments:?}: {}", run.stderr);
        // Nothing can be printed, but the exit code still reports the failure.
        let both = tree.command(arguments).stdout(full()).stderr(full()).output().unwrap();
        assert_eq!(both.status.code(), Some(expected), "{arguments:?}");
        let told = tree.command(arguments).stderr(full()).output().unwrap();
        assert_eq!(told.status.code(), Some(code), "{arguments:?}");
    }
    let run = tree.outcome(&tree.command(&["plan", "--out", "/dev/full"]).output().unwrap()).code(5);
    assert!(run.stderr.contains("cannot write /dev/full"), "{}", run.stderr);
}

/// Not a controlling terminal, and not inherited by a child, which would keep its own terminal
/// open.
const FLAGS: OpenptFlags = OpenptFlags::RDWR.union(OpenptFlags::NOCTTY).union(OpenptFlags::CLOEXEC);

/// Runs the program on a pseudo terminal that is closed while the program runs or before it writes.
fn on_a_terminal_that_goes(tree: &Tree, arguments: &[&str], after: usize) -> Child {
    let mut master = std::fs::File::from({
        let master = openpt(FLAGS).expect("a pseudo terminal");
        grantpt(&master).expect("it is ours");
        unlockpt(&master).expect("it is ours");
        master
    });
    let terminal = || ioctl_tiocgptpeer(&master, FLAGS).expect("its other end");
    let mut command = tree.command(arguments);
    command.env("TERM", "xterm").stdin(terminal()).stdout(terminal()).stderr(terminal());
    if after == 0 {
        drop(master);
        return command.spawn().expect("the binary runs");
    }
    let child = command.spawn().expect("the binary runs");
    drop(command);
    let mut seen = vec![0; after];
    // Reading fails if the program ends before it wrote enough, which does not matter here.
    let _ = master.read_exact(&mut seen);
    child
}

#[test]
fn row_43_a_terminal_that_went_away_is_no_panic() {
    let tree = Tree::sample();
    // Long enough to exceed the terminal's buffer.
    for layer in 0..300 {
        tree.write(&format!("science/nist-basic/a-file-with-a-long-name-{layer}"), "x");
    }
    for (arguments, code) in COMMANDS {
        for after in [0, 1, 100] {
            let arguments =
                if arguments == ["plan", "-vv"] { &["plan", "-vv", "--untracked"] } else { arguments };
            let mut child = on_a_terminal_that_goes(&tree, arguments, after);
            assert_eq!(wait(&mut child).code(), Some(code), "{arguments:?}, gone after {after} bytes");
        }
    }
    // A build ends with the same code as with a terminal; it stops where it needs the engine.
    let mut child = on_a_terminal_that_goes(&tree, &["build", "--progress", "tty"], 0);
    assert_eq!(wait(&mut child).code(), Some(5));
}

/// The exit code does not depend on whether the output is read.
#[test]
fn row_43_a_refusal_that_nobody_hears_is_still_one() {
    let tree = Tree::sample();
    tree.write("science/nist-basic/sciserver-image.json", "{");
    let told: Run = tree.run(&["plan"]).code(2);
    assert!(told.stderr.contains("not JSON"), "{}", told.stderr);
    let mut child = on_a_terminal_that_goes(&tree, &["plan"], 0);
    assert_eq!(wait(&mut child).code(), Some(2));
}
