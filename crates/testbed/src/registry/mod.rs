//! A registry of one's own: Debian's `docker-registry` on a free port of 127.0.0.1, gone when
//! dropped.

mod secure;
mod store;
mod token;
mod view;

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use tempfile::TempDir;

use crate::process::Service;
use crate::proxy::Upstream;
pub use secure::{Clients, Secure, certificates};
pub use store::Shelf;
pub use token::{Issued, TokenServer};
pub use view::View;

/// A name whose login, in base64, holds `+` and `/`.
pub const USER: &str = "tester";
/// Its password.
pub const PASSWORD: &str = "~~~>>>???";
/// The same for the registry: bcrypt at its lowest cost.
const HTPASSWD: &str = "tester:$2b$04$jIHLiLmzYUTQdZDZ74WJB.NKlnsmGVEc1J0QNRD/AnPLd63GpdSDa\n";

/// Who may access it.
#[derive(Debug, Clone, Copy)]
pub enum Auth<'a> {
    /// Everybody.
    None,
    /// [`USER`] with [`PASSWORD`], by HTTP's Basic.
    Basic,
    /// Clients with a token of this server.
    Token(&'a TokenServer),
}

/// A running registry.
#[derive(Debug)]
pub struct PrivateRegistry {
    service: Option<Service>,
    address: String,
    settings: String,
    view: View,
    directory: TempDir,
}

impl PrivateRegistry {
    /// Starts an empty one.
    #[must_use]
    pub fn start(auth: Auth<'_>) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        fs::write(directory.path().join("htpasswd"), HTPASSWD).expect("a file");
        let path = directory.path().display();
        let settings = match auth {
            Auth::None => String::new(),
            Auth::Basic => format!("auth: {{htpasswd: {{realm: testbed, path: '{path}/htpasswd'}}}}\n"),
            Auth::Token(server) => {
                fs::write(directory.path().join("roots.pem"), server.certificate()).expect("a file");
                format!(
                    "auth: {{token: {{realm: '{}', service: '{}', issuer: '{}', rootcertbundle: '{path}/roots.pem'}}}}\n",
                    server.realm(),
                    TokenServer::SERVICE,
                    TokenServer::ISSUER,
                )
            }
        };
        // Free now; the registry keeps it over restarts, so that references stay good.
        let listener = TcpListener::bind("127.0.0.1:0").expect("127.0.0.1 has a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        drop(listener);
        let view = match auth {
            Auth::None => View::new(&address),
            Auth::Basic => View::with_login(&address, USER, PASSWORD),
            Auth::Token(server) => View::with_tokens(&address, server),
        };
        let mut registry = Self { service: None, address, settings, view, directory };
        registry.run(false);
        registry
    }

    fn run(&mut self, read_only: bool) {
        let text = self.configuration(&format!("addr: '{}'", self.address), read_only);
        let file = self.directory.path().join("registry.yml");
        fs::write(&file, text).expect("a file");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&file);
        let mut service = Service::start(&mut command, &self.directory.path().join("log"));
        let upstream = Upstream::parse(&self.address);
        service.wait_until_ready(Duration::from_secs(20), || {
            crate::http::ask(&upstream, "GET", "/v2/", &[], b"").is_ok()
        });
        self.service = Some(service);
    }

    /// The configuration of `docker-registry`; `http` is how it listens.
    fn configuration(&self, http: &str, read_only: bool) -> String {
        let path = self.directory.path().display();
        format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\n\
             storage:\n  filesystem: {{rootdirectory: '{path}/data'}}\n  delete: {{enabled: true}}\n  \
             maintenance: {{uploadpurging: {{enabled: false}}, readonly: {{enabled: {read_only}}}}}\n\
             http: {{{http}}}\n{}",
            self.settings
        )
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its contents.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// SIGKILL: connections break, the data on disk stays.
    pub fn stop(&mut self) {
        self.service = None;
    }

    /// Runs it again at the same address with what it held.
    pub fn restart(&mut self) {
        self.stop();
        self.run(false);
    }

    /// The same, and nothing can be pushed: it answers 405.
    pub fn restart_read_only(&mut self) {
        self.stop();
        self.run(true);
    }

    /// Makes a tag vanish, as a registry that lost its disk's last write.
    ///
    /// # Panics
    /// When there is no such tag.
    pub fn lose_tag(&self, repository: &str, tag: &str) {
        let repositories = self.directory.path().join("data/docker/registry/v2/repositories");
        let dir = repositories.join(repository).join("_manifests/tags").join(tag);
        fs::remove_dir_all(&dir).unwrap_or_else(|error| panic!("no tag {repository}:{tag} to lose: {error}"));
    }

    /// Its output so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

/// The `auths` of docker's `config.json` for these logins at one address.
#[must_use]
pub fn docker_config(address: &str, user: &str, password: &str) -> String {
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    serde_json::json!({"auths": {address: {"auth": auth}}}).to_string()
}
