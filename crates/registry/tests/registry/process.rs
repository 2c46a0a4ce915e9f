//! A real registry: Debian's `docker-registry` on a free port of this machine, stopped when
//! dropped.
//!
//! Images are pushed by `oci-client`, which shares no code with the tested client.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use plan::ImageName;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// OCI's media type of an image.
pub(crate) const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI's media type of an index.
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's media type of an image.
pub(crate) const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// A name whose login, in base64, holds `+` and `/`.
pub(crate) const USER: &str = "tester";
/// Its password.
pub(crate) const PASSWORD: &str = "~~~>>>???";
/// The same for the registry: bcrypt at its lowest cost.
const HTPASSWD: &str = "tester:$2b$04$jIHLiLmzYUTQdZDZ74WJB.NKlnsmGVEc1J0QNRD/AnPLd63GpdSDa\n";

/// A running registry.
pub(crate) struct Process {
    child: Child,
    address: String,
    auth: RegistryAuth,
    _directory: TempDir,
}

impl Process {
    /// One that everybody may use.
    pub(crate) fn open() -> Self {
        Self::start("", RegistryAuth::Anonymous)
    }

    /// One that only [`USER`] may use.
    pub(crate) fn with_login() -> Self {
        let auth = "auth: {htpasswd: {realm: test, path: DIRECTORY/htpasswd}}\n";
        Self::start(auth, RegistryAuth::Basic(USER.to_owned(), PASSWORD.to_owned()))
    }

    /// One that speaks TLS, and the certificate that it shows, in PEM.
    pub(crate) fn with_tls() -> (Self, Vec<u8>) {
        let directory = tempfile::tempdir().expect("temporary directory");
        let certificate = certificate(directory.path(), "IP:0.0.0.0");
        let tls = ", tls: {certificate: DIRECTORY/certificate.pem, key: DIRECTORY/key.pem}";
        (Self::start_in(directory, "", tls, RegistryAuth::Anonymous), certificate)
    }

    fn start(settings: &str, auth: RegistryAuth) -> Self {
        Self::start_in(tempfile::tempdir().expect("temporary directory"), settings, "", auth)
    }

    fn start_in(directory: TempDir, settings: &str, http: &str, auth: RegistryAuth) -> Self {
        let path = directory.path().display().to_string();
        let file = directory.path().join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: DIRECTORY/data}}}}\nhttp: {{addr: '127.0.0.1:0'{http}}}\n{settings}"
        );
        std::fs::write(&file, text.replace("DIRECTORY", &path)).expect("written");
        std::fs::write(directory.path().join("htpasswd"), HTPASSWD).expect("written");
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect(
                "docker-registry cannot be run: apt-get install docker-registry, as cargo xtask test does",
            );
        let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut said = String::new();
        let address = loop {
            let Some(Ok(line)) = log.next() else { panic!("docker-registry ended at once: {said}") };
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split(['"', ',']).next().expect("split gives one part at least").to_owned();
            }
            said.push_str(&line);
        };
        // It would stop on a full pipe.
        std::thread::spawn(move || log.for_each(drop));
        Self { child, address, auth, _directory: directory }
    }

    /// A name in this registry.
    pub(crate) fn name(&self, rest: &str) -> ImageName {
        ImageName::parse(&format!("{}/{rest}", self.address)).expect("a reference")
    }

    /// The same by an address that reaches this machine and is not a loopback address.
    pub(crate) fn far_name(&self, rest: &str) -> ImageName {
        let address = self.address.replace("127.0.0.1", "0.0.0.0");
        ImageName::parse(&format!("{address}/{rest}")).expect("a reference")
    }

    /// `127.0.0.1:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Pushes a manifest, byte for byte, and returns its digest.
    pub(crate) async fn push_manifest(&self, rest: &str, media_type: &str, body: &str) -> String {
        let (client, reference) = self.client(rest).await;
        client
            .push_manifest_raw(&reference, body.to_owned(), media_type.parse().expect("a header"))
            .await
            .expect("pushed");
        sha256(body.as_bytes())
    }

    /// Pushes a blob and returns its digest.
    pub(crate) async fn push_blob(&self, rest: &str, blob: &str) -> String {
        let (client, reference) = self.client(rest).await;
        let digest = sha256(blob.as_bytes());
        client.push_blob(&reference, Bytes::from(blob.to_owned()), &digest).await.expect("pushed");
        digest
    }

    /// Pushes an image of one layer with this configuration; its manifest's digest and the
    /// configuration's.
    pub(crate) async fn push_image(&self, rest: &str, media_type: &str, config: &str) -> (String, String) {
        let layer = "layer";
        let layer_digest = self.push_blob(rest, layer).await;
        let config_digest = self.push_blob(rest, config).await;
        // Blanks that a serialiser would not write: a tag must not lose them.
        let manifest = format!(
            "{{\n   \"schemaVersion\": 2,\n   \"mediaType\": \"{media_type}\",\n   \"config\": {{\"mediaType\": \
             \"application/vnd.oci.image.config.v1+json\", \"size\": {}, \"digest\": \"{config_digest}\"}},\n   \
             \"layers\":  [{{\"mediaType\": \"application/vnd.oci.image.layer.v1.tar\", \"size\": {}, \
             \"digest\": \"{layer_digest}\"}}]\n}}\n",
            config.len(),
            layer.len(),
        );
        (self.push_manifest(rest, media_type, &manifest).await, config_digest)
    }

    async fn client(&self, rest: &str) -> (Client, Reference) {
        // Refused when a test of the same process was faster.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::new(ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() });
        client.store_auth_if_needed(&self.address, &self.auth).await;
        let reference = format!("{}/{rest}", self.address).parse().expect("a reference");
        (client, reference)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `sha256:…` over bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let hex = hex::encode(Sha256::digest(bytes));
    format!("sha256:{hex}")
}

/// Makes a certificate for an address of this machine, as `IP:127.0.0.1`, and its key,
/// `certificate.pem` and `key.pem`. Returns the certificate.
pub(crate) fn certificate(directory: &std::path::Path, address: &str) -> Vec<u8> {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-subj", "/CN=test", "-days", "2", "-addext", &format!("subjectAltName={address}")])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(directory)
        .stderr(Stdio::null())
        .status()
        .expect("openssl cannot be run: apt-get install openssl");
    assert!(made.success(), "openssl makes a certificate");
    std::fs::read(directory.join("certificate.pem")).expect("written")
}
