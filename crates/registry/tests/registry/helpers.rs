//! Credential helpers as programs of our own, found on a search path of our own.

use std::process::Command;
use std::time::{Duration, Instant};

use registry::{Credential, DockerConfig, Error, ErrorKind, Options, Registry};
use tempfile::TempDir;

use crate::process::{OCI_IMAGE, PASSWORD, Process, USER};

struct Helpers(TempDir);

impl Helpers {
    /// Writes `docker-credential-{name}` scripts.
    fn new(scripts: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        for (name, script) in scripts {
            let path = directory.path().join(format!("docker-credential-{name}"));
            // By another process: a child of a parallel test could hold our own writing end open
            // for a moment, and the kernel runs no file that is open for writing.
            let written = Command::new("sh")
                .args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$2\" > \"$1\" && chmod 755 \"$1\"", "sh"])
                .arg(&path)
                .arg(script)
                .status();
            assert!(written.expect("sh runs").success(), "{name}");
        }
        Self(directory)
    }

    fn config(&self, text: &str) -> DockerConfig {
        DockerConfig::parse(text).expect("good").with_helper_path(self.0.path())
    }

    /// The result for this registry of a helper that stores credentials for all registries.
    async fn ask(&self, name: &str, registry: &str) -> Result<Credential, Error> {
        let timeout = Duration::from_millis(if name == "hang" { 300 } else { 60_000 });
        let config = self.config(&format!(r#"{{"credsStore": "{name}"}}"#)).with_helper_timeout(timeout);
        config.credential(registry).await
    }
}

fn basic(user: &str, password: &str) -> Credential {
    Credential::Basic { user: user.to_owned(), password: password.to_owned() }
}

#[tokio::test]
async fn helpers_answer_or_are_named() {
    let helpers = Helpers::new(&[
        // Says what it was asked, as user and password.
        ("echo", r#"read server; printf '{"ServerURL":"x","Username":"%s","Secret":"%s"}' "$1" "$server""#),
        ("token", r#"echo '{"ServerURL":"x","Username":"<token>","Secret":"refresh"}'"#),
        ("none", "echo 'credentials not found in native keychain'; exit 1"),
        ("blank", r#"echo '{"ServerURL":"x","Username":"","Secret":""}'"#),
        ("fail", "printf 'the vault is \\033[31mlocked'; exit 3"),
        ("noise", "echo hunter2"),
        ("hang", "exec sleep 600"),
        ("flood", "trap '' PIPE; while :; do echo 0123456789012345678901234567890123456789; done"),
        // Answers, and leaves something running that holds its output open.
        ("parent", r#"sleep 600 & echo '{"ServerURL":"x","Username":"u","Secret":"s"}'"#),
    ]);
    for (name, registry, expect) in [
        ("echo", "r.example:5000", basic("get", "r.example:5000")),
        ("echo", "docker.io", basic("get", "https://index.docker.io/v1/")),
        ("token", "r.example", Credential::IdentityToken("refresh".to_owned())),
        ("none", "r.example", Credential::Anonymous),
        ("blank", "r.example", Credential::Anonymous),
        ("parent", "r.example", basic("u", "s")),
    ] {
        assert_eq!(helpers.ask(name, registry).await, Ok(expect), "{name}");
    }
    for (name, text) in [
        ("fail", "exit status: 3: the vault is \\u{1b}[31mlocked"),
        ("noise", "not a login"),
        ("missing", "not installed"),
        ("../x", "slash"),
        ("hang", "no answer for r.example within 300ms"),
        ("flood", "more than 65536 bytes"),
    ] {
        let before = Instant::now();
        let error = helpers.ask(name, "r.example").await.expect_err(name);
        assert_eq!(error.kind, ErrorKind::Credentials, "{name}");
        assert!(error.message.contains(&format!("docker-credential-{name} ")), "{error}");
        assert!(error.message.contains(text) && !error.message.contains("hunter2"), "{error}");
        assert!(before.elapsed() < Duration::from_secs(60), "{name} took {:?}", before.elapsed());
    }
}

#[tokio::test]
async fn a_registrys_own_helper_goes_first_and_the_file_last() {
    let answer = |user: &str| format!(r#"echo '{{"ServerURL":"x","Username":"{user}","Secret":"s"}}'"#);
    let helpers = Helpers::new(&[("own", &answer("own")), ("store", &answer("store"))]);
    let auths = r#""auths": {"own.example": {"username": "file", "password": "s"},
        "other.example": {"username": "file", "password": "s"}}"#;
    let own = r#""credHelpers": {"own.example": "own", "empty.example": ""}"#;
    for (text, registry, user) in [
        (format!(r#"{{{auths}, {own}, "credsStore": "store"}}"#), "own.example", "own"),
        (format!(r#"{{{auths}, {own}, "credsStore": "store"}}"#), "other.example", "store"),
        (format!("{{{auths}, {own}}}"), "own.example", "own"),
        (format!("{{{auths}, {own}}}"), "other.example", "file"),
    ] {
        assert_eq!(helpers.config(&text).credential(registry).await, Ok(basic(user, "s")), "{text}");
    }
}

#[tokio::test]
async fn a_helper_opens_a_real_registry_and_is_asked_once() {
    let process = Process::with_login();
    let (digest, _) = process.push_image("a:1", OCI_IMAGE, "{}").await;
    let log = tempfile::NamedTempFile::new().expect("temporary file");
    let script = format!(
        r#"echo asked >> '{}'; echo '{{"ServerURL":"x","Username":"{USER}","Secret":"{PASSWORD}"}}'"#,
        log.path().display()
    );
    let helpers = Helpers::new(&[("real", &script)]);
    let config = helpers.config(&format!(r#"{{"credHelpers": {{"{}": "real"}}}}"#, process.address()));
    let registry = Registry::new(Options { config, ..Options::default() });
    assert_eq!(registry.tag(&process.name("a:1"), "2").await, Ok(digest.clone()));
    assert_eq!(registry.resolve(&process.name("a:2")).await, Ok(Some(digest)));
    assert_eq!(std::fs::read_to_string(log.path()).expect("written"), "asked\n");
}

#[tokio::test]
async fn a_helper_that_fails_stops_the_request() {
    let process = Process::with_login();
    let helpers = Helpers::new(&[("broken", "exit 1")]);
    let config = helpers.config(r#"{"credsStore": "broken"}"#);
    let registry = Registry::new(Options { config, ..Options::default() });
    let error = registry.resolve(&process.name("a:1")).await.expect_err("no credential");
    assert_eq!(error.kind, ErrorKind::Credentials);
    assert!(error.message.contains("docker-credential-broken"), "{error}");
}
