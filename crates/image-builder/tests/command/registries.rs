//! Real registries of every kind: which credentials they accept, how they are reached, and the
//! errors if they are not.
//!
//! `0.0.0.0` acts as another machine: the address reaches this machine, and no client treats it as
//! a loopback address.

use std::fs;
use std::time::Duration;

use testbed::proxy::{Hits, Kind, Mode, Proxy, Reply, Rule};
use testbed::registry::{
    Auth, Clients, PASSWORD, PrivateRegistry, Secure, Shelf, TokenServer, USER, docker_config,
};

use crate::support::{Run, Tree};

/// The path of an image that every registry here holds.
const IMAGE: &str = "x/sci/nist:1.0";

/// A registry with that image, and an empty tree.
struct Scene {
    registry: PrivateRegistry,
    tree: Tree,
}

impl Scene {
    fn new(auth: Auth<'_>) -> Self {
        let registry = PrivateRegistry::start(auth);
        let labels = serde_json::json!({
            "org.sciserver.science.nist.version": "1.0-41-0a1b2c3",
            "org.sciserver.science.nist.buildtime": "1700000000",
        });
        let config =
            serde_json::json!({"os": "linux", "architecture": "amd64", "config": {"Labels": labels}});
        let (repository, tag) = IMAGE.split_once(':').expect("a tag");
        registry.view().put_image(repository, tag, &config.to_string());
        Self { registry, tree: Tree::new() }
    }

    /// Inspects the image under one address of its registry.
    fn inspect(&self, address: &str, environment: &[(&str, &str)]) -> Run {
        let mut command =
            self.tree.command(&["inspect", &format!("{address}/{IMAGE}"), "--from", "registry"]);
        command.envs(environment.iter().copied());
        self.tree.outcome(&command.output().expect("the binary runs"))
    }

    #[track_caller]
    fn is_reached(&self, address: &str) {
        self.is_reached_with(address, &[]);
    }

    #[track_caller]
    fn is_reached_with(&self, address: &str, environment: &[(&str, &str)]) {
        let run = self.inspect(address, environment).code(0);
        assert!(run.stdout.contains("sci/nist 1.0-41-0a1b2c3"), "{}", run.stdout);
    }

    /// Asserts that the registry is not reached, and returns the error.
    #[track_caller]
    fn refused(&self, address: &str) -> String {
        self.inspect(address, &[]).code(5).stderr
    }

    /// Writes a file below `~/.config`.
    fn write(&self, file: &str, text: &str) {
        let path = self.tree.home().join(".config").join(file);
        fs::create_dir_all(path.parent().expect("it has one")).expect("directories");
        fs::write(path, text).expect("a file");
    }

    fn forget(&self) {
        fs::remove_dir_all(self.tree.home().join(".config")).expect("it was written");
    }

    /// Reaches one registry under every kind of address. With `logs_in`, each address needs a
    /// login.
    fn by_every_way(&self, logs_in: bool) {
        let secure = Secure::start(&self.registry, Clients::All);
        let plain_far = self.registry.address().replace("127.0.0.1", "0.0.0.0");
        let (near, far) = (self.registry.address().to_owned(), secure.far());
        if logs_in {
            for address in [near.as_str(), &secure.near()] {
                let said = self.refused(address);
                assert!(
                    said.contains(&format!("no credentials for {address}"))
                        && said.contains(&format!("docker login {address}")),
                    "{said}"
                );
            }
            let mut all = serde_json::Map::new();
            for address in [&near, &plain_far, &far, &secure.near()] {
                let one: serde_json::Value =
                    serde_json::from_str(&docker_config(address, USER, PASSWORD)).expect("JSON");
                all.extend(one["auths"].as_object().expect("one").clone());
            }
            self.tree.write_docker_config(&serde_json::json!({"auths": all}).to_string());
        }
        // Loopback addresses need no configuration.
        self.is_reached(&near);
        self.is_reached(&secure.near());

        // The certificate authority is unknown, then known from one file, then from another.
        let said = self.refused(&far);
        for expect in
            ["UnknownIssuer", "SSL_CERT_FILE", &format!("$HOME/.config/docker/certs.d/{far}/ca.crt")]
        {
            assert!(said.contains(expect), "{expect}: {said}");
        }
        let authority = self.tree.home().join("authority.pem");
        fs::write(&authority, secure.authority()).expect("a file");
        self.is_reached_with(&far, &[("SSL_CERT_FILE", &authority.display().to_string())]);
        self.write(&format!("docker/certs.d/{far}/ca.crt"), &secure.authority());
        self.is_reached(&far);
        let elsewhere = self.tree.home().join("elsewhere").display().to_string();
        let run = self.inspect(&far, &[("XDG_CONFIG_HOME", &elsewhere)]).code(5);
        assert!(run.stderr.contains("$HOME/elsewhere/docker/certs.d"), "{}", run.stderr);
        self.forget();

        // Marked as insecure in docker's or podman's configuration, with and without TLS.
        let said = self.refused(&plain_far);
        assert!(said.contains("it does not speak TLS") && said.contains("insecure-registries"), "{said}");
        for address in [&far, &plain_far] {
            for entry in [address.as_str(), "0.0.0.0/32"] {
                let daemon = serde_json::json!({"insecure-registries": [entry]});
                self.write("docker/daemon.json", &daemon.to_string());
                self.is_reached(address);
            }
            self.forget();
            let podman = format!("[[registry]]\nlocation = \"{address}\"\ninsecure = true\n");
            self.write("containers/registries.conf", &podman);
            self.is_reached(address);
            self.forget();
        }
    }
}

#[test]
fn an_open_registry_is_reached_by_every_way() {
    Scene::new(Auth::None).by_every_way(false);
}

#[test]
fn a_registry_with_passwords_is_reached_by_every_way() {
    Scene::new(Auth::Basic).by_every_way(true);
}

#[test]
fn a_registry_with_tokens_is_reached_by_every_way() {
    let server = TokenServer::start();
    Scene::new(Auth::Token(&server)).by_every_way(true);
    let scopes = server.issued().into_iter().flat_map(|issued| issued.scopes).collect::<Vec<_>>();
    assert!(
        scopes.iter().all(|scope| scope == "repository:x/sci/nist:pull") && !scopes.is_empty(),
        "{scopes:?}"
    );
}

#[test]
fn a_client_certificate_is_shown_where_it_lies() {
    let scene = Scene::new(Auth::None);
    let secure = Secure::start(&scene.registry, Clients::Certified);
    let (far, (certificate, key)) = (secure.far(), secure.client());
    let place = format!("docker/certs.d/{far}");
    scene.write(&format!("{place}/ca.crt"), &secure.authority());
    let said = scene.refused(&far);
    assert!(said.contains(&format!("$HOME/.config/{place}/client.cert")), "{said}");
    scene.write(&format!("{place}/client.cert"), &certificate);
    let said = scene.refused(&far);
    assert!(said.contains(&format!("{place}/client.cert is there without")), "{said}");
    scene.write(&format!("{place}/client.key"), &key);
    scene.is_reached(&far);
}

#[test]
fn settings_that_cannot_be_read_are_named() {
    let scene = Scene::new(Auth::None);
    scene.write("docker/daemon.json", "{");
    let said = scene.refused(scene.registry.address());
    assert!(said.contains("$HOME/.config/docker/daemon.json cannot be read"), "{said}");
}

#[test]
fn a_registry_that_asks_to_wait_is_waited_for_within_bounds() {
    let tree = Tree::sample();
    let shelf = Shelf::start();
    let proxy = Proxy::tcp(&shelf.address());
    let repo = format!("{}/x", proxy.address());
    let plan = ["plan", "--since-published", "--repo", &repo];
    let busy = |wait: &str| Mode::Status(Reply::new(429).header("Retry-After", wait));
    let rule = proxy.rule(Rule::on(Kind::ManifestGet, Hits::Nth(2), busy("1")));
    let run = tree.run(&plan).code(0);
    assert!(run.stdout.contains("2 science builds and 2 compat builds"), "{}", run.stdout);
    assert_eq!(proxy.taken(rule), 1, "{}", proxy.show());

    proxy.clear(rule);
    proxy.rule(Rule::on(Kind::ManifestGet, Hits::Every, busy("3600")));
    let began = std::time::Instant::now();
    let run = tree.run(&plan).code(5);
    assert!(run.stderr.contains("asks to wait 3600 seconds, which is too long"), "{}", run.stderr);
    assert!(began.elapsed() < Duration::from_secs(60), "nobody waits an hour: {:?}", began.elapsed());
}
