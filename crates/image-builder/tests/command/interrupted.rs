//! Signals while a registry does not respond, in every command that queries one: row 55.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testbed::command::hearing_hangups;

use crate::support::Tree;

#[test]
fn every_command_that_asks_a_registry_ends_at_a_signal() {
    let registry = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = registry.local_addr().unwrap().to_string();
    let mut tree = Tree::sample();
    let base = format!("{host}/debian:12");
    tree.write("science/nist-basic/Dockerfile", format!("FROM {base}\nCOPY packages.txt /opt/\n"));
    tree.commit();
    let (image, repo, other) = (format!("{host}/x/sci/a:1"), format!("{host}/x"), format!("{host}/y"));
    let commands: [&[&str]; 11] = [
        &["pin"],
        &["stale", "--repo", &repo],
        &["coverage", "--repo", &repo],
        &["plan", "--since-published", "--repo", &repo],
        &["build", "--since-published", "--repo", &repo],
        &["inspect", &image, "--from", "registry"],
        &["verify", &image, "--from", "registry"],
        &["diff", &image, &base, "--from", "registry"],
        &["rebuild", &image, "--from", "registry"],
        &["promote", "--from", &repo, "--to", &other],
        &["rollback", "nist-basic:1.0", "--repo", &repo],
    ];
    for (at, arguments) in commands.into_iter().enumerate() {
        let (signal, code) = [("INT", 130), ("TERM", 143), ("HUP", 129)][at % 3];
        let mut command = hearing_hangups(&tree.command(arguments));
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (connection, _) = registry.accept().unwrap();
        let sent = Instant::now();
        assert!(
            Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap().success()
        );
        let run = tree.outcome(&child.wait_with_output().unwrap()).code(code);
        assert!(sent.elapsed() < Duration::from_secs(5), "{arguments:?}: {:?}", sent.elapsed());
        assert!(run.stderr.contains("interrupted by a signal"), "{arguments:?}: {}", run.stderr);
        drop(connection);
        // Closes connections that are still in the queue.
        registry.set_nonblocking(true).unwrap();
        while registry.accept().is_ok() {}
        registry.set_nonblocking(false).unwrap();
    }
}

/// `nohup` ignores the signal, so the run continues.
#[test]
fn what_is_to_outlive_its_terminal_does() {
    let registry = TcpListener::bind("127.0.0.1:0").unwrap();
    let image = format!("{}/x/sci/a:1", registry.local_addr().unwrap());
    let tree = Tree::sample();
    let own = tree.command(&["inspect", &image, "--from", "registry"]);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(own.get_program()).args(own.get_args());
    command.current_dir(tree.root()).env("HOME", tree.home()).stdin(Stdio::null());
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (connection, _) = registry.accept().unwrap();
    let signal = |name: &str| {
        assert!(Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap().success());
    };
    signal("HUP");
    signal("TERM");
    let run = tree.outcome(&child.wait_with_output().unwrap()).code(143);
    assert_eq!(run.stderr.matches("interrupted").count(), 1, "{}", run.stderr);
    drop(connection);
}
