//! Streams and signals: closed, full, and interrupted.

use std::fs::OpenOptions;
use std::io::{Read, pipe};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::thread;

use testbed::command::hearing_hangups;

use crate::support::Tree;

#[test]
fn a_reader_that_went_away_is_no_error() {
    let tree = Tree::sample();
    for arguments in
        [&["plan", "-vv"][..], &["plan", "--format", "json"], &["graph"], &["schema"], &["--help"]]
    {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let output = tree.command(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(tree.outcome(&output).code(0).stderr, "", "{arguments:?}");
    }
}

#[test]
fn a_full_disk_behind_stdout_is_told() {
    let tree = Tree::sample();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = tree.command(&["plan"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    let run = tree.outcome(&output).code(5);
    assert!(run.stderr.starts_with("error: cannot write to stdout: "), "{}", run.stderr);
}

#[test]
fn a_closed_stderr_is_no_panic() {
    let tree = Tree::sample();
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let output = tree.command(&["plan", "--ref", "nowhere"]).stderr(writer).output().unwrap();
    tree.outcome(&output).code(2);
}

#[test]
fn nothing_is_coloured_off_a_terminal() {
    let run = Tree::sample().run(&["plan", "-vv"]).code(0);
    assert!(!run.stdout.contains('\x1b') && !run.stderr.contains('\x1b'));
}

/// The engine accepts the connection and does not respond, so the run waits when the signal
/// arrives.
#[test]
fn signals_have_exit_codes_of_their_own() {
    let tree = Tree::sample();
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let socket = tree.home().join(format!("{signal}.sock"));
        let engine = UnixListener::bind(&socket).unwrap();
        let child = hearing_hangups(&tree.command(&["build", "--progress", "plain"]))
            .env("DOCKER_HOST", format!("unix://{}", socket.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let id = child.id().to_string();
        let ended = thread::spawn(move || {
            let output = child.wait_with_output().unwrap();
            // Unblocks a thread that still waits for a connection.
            let _ = UnixStream::connect(socket);
            output
        });
        let (mut connection, _) = engine.accept().unwrap();
        let asked = connection.read(&mut [0]).unwrap();
        if asked == 1 {
            assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        }
        let run = tree.outcome(&ended.join().unwrap());
        assert_eq!(asked, 1, "it never spoke to the engine: {}", run.stderr);
        run.code(code);
    }
}
