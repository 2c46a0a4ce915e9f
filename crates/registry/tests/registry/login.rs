//! Logins against a real registry that wants one.

use crate::process::{OCI_IMAGE, PASSWORD, Process, USER};
use registry::{DockerConfig, ErrorKind, Options, Registry};

fn client(process: &Process, user: &str, password: &str) -> Registry {
    let json = serde_json::json!({"auths": {process.address(): {"username": user, "password": password}}});
    let config = DockerConfig::parse(&json.to_string()).expect("good");
    Registry::new(Options { config, ..Options::default() })
}

#[tokio::test]
async fn a_login_opens_reading_and_tagging() {
    let process = Process::with_login();
    let (digest, _) = process.push_image("a:1", OCI_IMAGE, "{}").await;
    let registry = client(&process, USER, PASSWORD);
    assert_eq!(registry.resolve(&process.name("a:1")).await, Ok(Some(digest.clone())));
    assert_eq!(registry.resolve(&process.name("none:1")).await, Ok(None), "absent, also behind a login");
    assert_eq!(registry.tag(&process.name("a:1"), "2").await, Ok(digest));
    assert_eq!(registry.tags(&process.name("a")).await, Ok(vec!["1".to_owned(), "2".to_owned()]));
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_never_shown() {
    let process = Process::with_login();
    let registry = client(&process, USER, "hunter2-wrong");
    for name in ["a:1", "b:1"] {
        let error = registry.resolve(&process.name(name)).await.expect_err("wrong");
        assert_eq!(error.kind, ErrorKind::Unauthorized);
        assert!(!error.is_transient());
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("dGVzdGVy"), "{shown}");
        assert!(
            error.help.as_deref().is_some_and(|help| help.contains("docker login 127.0.0.1")),
            "{error:?}"
        );
    }
    assert!(!format!("{registry:?}").contains("hunter2"));
}

#[tokio::test]
async fn nobody_is_told_to_log_in() {
    let process = Process::with_login();
    let registry = Registry::new(Options::default());
    let error = registry.resolve(&process.name("a:1")).await.expect_err("anonymous");
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    assert!(error.message.contains("401"), "{error}");
}
