//! A real engine pushes to a real registry with a password whose standard base64 contains `+` and
//! `/`.
//!
//! Needs `IMAGE_BUILDER_TEST_HOST` and `IMAGE_BUILDER_TEST_REGISTRY`, which `cargo xtask test`
//! sets.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, PushImageOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use executor::engine::endpoint::{self, EndpointRequest};
use futures_util::TryStreamExt;
use plan::ImageName;
use registry::{DockerConfig, Options, Registry};

const USER: &str = "tester";
const PASSWORD: &str = "~~~>>>???";
/// The bcrypt hash of the password, at the lowest cost.
const HTPASSWD: &str = "tester:$2b$04$jIHLiLmzYUTQdZDZ74WJB.NKlnsmGVEc1J0QNRD/AnPLd63GpdSDa\n";

/// A registry that requires the login; stopped when dropped.
struct Process {
    child: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Process {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().display();
        let file = directory.path().join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: '{path}/data'}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n\
             auth: {{htpasswd: {{realm: test, path: '{path}/htpasswd'}}}}\n"
        );
        std::fs::write(&file, text).expect("written");
        std::fs::write(directory.path().join("htpasswd"), HTPASSWD).expect("written");
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect(
                "docker-registry cannot be run: apt-get install docker-registry, as cargo xtask test does",
            );
        let mut log = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let line = log.find(|line| line.contains("listening on ")).expect("the registry listens");
        // A full pipe would block the registry.
        std::thread::spawn(move || log.for_each(drop));
        let address = line.split("listening on ").nth(1).and_then(|rest| rest.split('"').next());
        let address = address.expect("the line was looked for").to_owned();
        Self { child, address, _directory: directory }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the process has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run cargo xtask test"))
}

async fn push(docker: &Docker, repository: &str, password: &str) -> Result<(), bollard::errors::Error> {
    let credentials = DockerCredentials {
        username: Some(USER.to_owned()),
        password: Some(password.to_owned()),
        ..DockerCredentials::default()
    };
    let options = PushImageOptionsBuilder::default().tag("1").build();
    let all: Vec<_> = docker.push_image(repository, Some(options), Some(credentials)).try_collect().await?;
    match all.into_iter().find_map(|info| info.error_detail) {
        Some(error) => {
            Err(bollard::errors::Error::DockerStreamError { error: error.message.unwrap_or_default() })
        }
        None => Ok(()),
    }
}

#[tokio::test]
async fn a_password_of_any_letters_opens_the_registry() {
    let json = serde_json::to_string(&DockerCredentials {
        username: Some(USER.to_owned()),
        password: Some(PASSWORD.to_owned()),
        ..DockerCredentials::default()
    });
    assert!(STANDARD.encode(json.expect("it is JSON")).contains(['+', '/']), "the case that matters");

    let request = EndpointRequest {
        docker_host: Some(variable("IMAGE_BUILDER_TEST_HOST")),
        ..EndpointRequest::default()
    };
    let endpoint = endpoint::resolve(&request, &DockerConfig::default()).expect("an address");
    let docker = endpoint::connect(&endpoint, Duration::from_secs(120)).expect("a connection");
    let base = format!("{}/library/busybox", variable("IMAGE_BUILDER_TEST_REGISTRY"));
    let pull = CreateImageOptionsBuilder::default().from_image(&base).tag("1.35").build();
    docker.create_image(Some(pull), None, None).try_collect::<Vec<_>>().await.expect("the base image");

    let process = Process::start();
    let repository = format!("{}/credentials", process.address);
    let tag = TagImageOptionsBuilder::default().repo(&repository).tag("1").build();
    docker.tag_image(&format!("{base}:1.35"), Some(tag)).await.expect("tagged");
    let wrong = push(&docker, &repository, "wrong").await;
    let right = push(&docker, &repository, PASSWORD).await;
    let remove = RemoveImageOptionsBuilder::default().noprune(true).build();
    docker.remove_image(&format!("{repository}:1"), Some(remove), None).await.expect("removed");

    assert!(wrong.is_err(), "the registry wants the right password");
    let auths = serde_json::json!({"auths": {&process.address: {"username": USER, "password": PASSWORD}}});
    let config = DockerConfig::parse(&auths.to_string()).expect("good");
    let registry = Registry::new(Options { config, ..Options::default() });
    let name = ImageName::parse(&format!("{repository}:1")).expect("a reference");
    let shown = registry.resolve(&name).await.expect("an answer");
    if variable("IMAGE_BUILDER_TEST_ENGINE") == "podman" {
        // podman uses plain HTTP only for registries that were configured before it started; this
        // one was not.
        assert!(right.is_err() && shown.is_none(), "{right:?} {shown:?}");
    } else {
        right.expect("pushed");
        assert!(shown.is_some(), "the registry holds what was pushed");
    }
}
