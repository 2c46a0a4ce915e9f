//! Reads a registry's contents by plain HTTP, with code that is not the tool's.

use std::collections::BTreeMap;

use base64::Engine as _;

use super::store::digest as sha256;
use super::token::{Signer, TokenServer};
use crate::http::{self, Response};
use crate::proxy::Upstream;

/// Every kind of manifest that images have.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Looks into one registry.
#[derive(Debug, Clone)]
pub struct View {
    address: String,
    login: Login,
}

#[derive(Debug, Clone)]
enum Login {
    None,
    Basic(String),
    Token(Signer),
}

impl View {
    /// Into an open registry, such as the one that `IMAGE_BUILDER_TEST_REGISTRY` names.
    #[must_use]
    pub fn new(address: &str) -> Self {
        Self { address: address.to_owned(), login: Login::None }
    }

    /// With a password.
    #[must_use]
    pub fn with_login(address: &str, user: &str, password: &str) -> Self {
        let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        Self { address: address.to_owned(), login: Login::Basic(format!("Basic {text}")) }
    }

    pub(super) fn with_tokens(address: &str, server: &TokenServer) -> Self {
        Self { address: address.to_owned(), login: Login::Token(server.signer()) }
    }

    /// Asks anything below `/v2/`, with the login.
    ///
    /// # Panics
    /// When the registry does not answer.
    #[track_caller]
    pub fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let mut headers = headers.to_vec();
        let authorization = match &self.login {
            Login::None => None,
            Login::Basic(text) => Some(text.clone()),
            Login::Token(signer) => {
                let path = target.strip_prefix("/v2/").unwrap_or(target);
                let name = ["/manifests/", "/tags/", "/blobs/"].iter().find_map(|part| path.split_once(part));
                let scope = match name {
                    Some((name, _)) => format!("repository:{name}:*"),
                    None => "registry:catalog:*".to_owned(),
                };
                Some(format!("Bearer {}", signer.token(&[&scope], 600)))
            }
        };
        headers.extend(authorization.as_deref().map(|text| ("Authorization", text)));
        let answer = http::ask(&Upstream::parse(&self.address), method, target, &headers, body);
        answer.unwrap_or_else(|error| panic!("{} does not answer {method} {target}: {error}", self.address))
    }

    /// The repositories, sorted.
    ///
    /// # Panics
    /// When the registry does not give its catalog.
    #[must_use]
    pub fn repositories(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        loop {
            // The registry refuses larger pages.
            let after = all.last().map(|last| format!("&last={last}")).unwrap_or_default();
            let page = self.ask("GET", &format!("/v2/_catalog?n=1000{after}"), &[], b"");
            assert_eq!(page.status, 200, "the catalog: {}", page.text());
            all.extend(strings(&page.json()["repositories"]));
            if page.header("link").is_none() {
                return all;
            }
        }
    }

    /// The tags of a repository, sorted; none where there is no such repository.
    #[must_use]
    pub fn tags(&self, repository: &str) -> Vec<String> {
        let mut tags =
            strings(&self.ask("GET", &format!("/v2/{repository}/tags/list"), &[], b"").json()["tags"]);
        // A registry without a referrers API lists artifacts that refer to an image among its tags.
        tags.retain(|tag| !tag.starts_with("sha256-"));
        tags.sort();
        tags
    }

    /// The artifacts that refer to an image, by the digests of their manifests.
    ///
    /// # Panics
    /// When their list is none.
    #[must_use]
    pub fn referrers(&self, repository: &str, digest: &str) -> Vec<String> {
        let list = self.manifest(repository, &digest.replace(':', "-"));
        let entries = list.map(|list| list.json()["manifests"].clone()).unwrap_or_default();
        let digests = entries.as_array().into_iter().flatten().filter_map(|entry| entry["digest"].as_str());
        digests.map(str::to_owned).collect()
    }

    /// The digest of what a tag names; `None` when it is not there.
    ///
    /// # Panics
    /// On any answer but 200 and 404.
    #[must_use]
    pub fn digest(&self, repository: &str, reference: &str) -> Option<String> {
        let answer = self.manifest(repository, reference)?;
        Some(answer.header("docker-content-digest").expect("docker-registry tells it").to_owned())
    }

    /// The manifest that a tag or digest names, with its headers; `None` when it is not there.
    ///
    /// # Panics
    /// On any answer but 200 and 404.
    #[must_use]
    pub fn manifest(&self, repository: &str, reference: &str) -> Option<Response> {
        let target = format!("/v2/{repository}/manifests/{reference}");
        let answer = self.ask("GET", &target, &[("Accept", MANIFESTS)], b"");
        assert!(matches!(answer.status, 200 | 404), "{target}: {} {}", answer.status, answer.text());
        (answer.status == 200).then_some(answer)
    }

    /// The labels of the image that a tag names; `None` when it is not there.
    #[must_use]
    pub fn labels(&self, repository: &str, reference: &str) -> Option<BTreeMap<String, String>> {
        let manifest = self.manifest(repository, reference)?.json();
        let config = manifest["config"]["digest"].as_str().expect("an image has a configuration");
        let config = self.ask("GET", &format!("/v2/{repository}/blobs/{config}"), &[], b"").json();
        let labels = config["config"]["Labels"].as_object().into_iter().flatten();
        Some(
            labels.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect(),
        )
    }

    /// All that the registry holds below a prefix: `repository:tag` → digest.
    #[must_use]
    pub fn all_tags(&self, prefix: &str) -> BTreeMap<String, String> {
        let repositories = self.repositories().into_iter().filter(|name| name.starts_with(prefix));
        let named = repositories.flat_map(|name| {
            let tags = self.tags(&name).into_iter();
            tags.map(move |tag| (name.clone(), tag)).collect::<Vec<_>>()
        });
        named.filter_map(|(name, tag)| Some((format!("{name}:{tag}"), self.digest(&name, &tag)?))).collect()
    }

    /// Writes a manifest under a tag, as somebody else would; its blobs must be there.
    ///
    /// # Panics
    /// When the registry refuses it.
    pub fn put_manifest(&self, repository: &str, tag: &str, media_type: &str, body: &[u8]) {
        let target = format!("/v2/{repository}/manifests/{tag}");
        let answer = self.ask("PUT", &target, &[("Content-Type", media_type)], body);
        assert_eq!(answer.status, 201, "{target}: {}", answer.text());
    }

    /// Uploads a blob, and returns its digest.
    ///
    /// # Panics
    /// When the registry refuses it.
    pub fn put_blob(&self, repository: &str, blob: &[u8]) -> String {
        let start = self.ask("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], b"");
        assert_eq!(start.status, 202, "{}", start.text());
        let location = start.header("location").expect("where to go on");
        let target = &location[location.find("/v2/").expect("an address of the registry")..];
        let digest = sha256(blob);
        let end = self.ask("PUT", &format!("{target}&digest={digest}"), &[], blob);
        assert_eq!(end.status, 201, "{}", end.text());
        digest
    }

    /// Pushes an image without layers, with this configuration; the whole way of a push. Returns its digest.
    ///
    /// # Panics
    /// When the registry refuses it.
    pub fn put_image(&self, repository: &str, tag: &str, config: &str) -> String {
        let digest = self.put_blob(repository, config.as_bytes());
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
            "config": {"mediaType": CONFIG, "digest": digest, "size": config.len()},
        })
        .to_string();
        self.put_manifest(repository, tag, MANIFEST, manifest.as_bytes());
        sha256(manifest.as_bytes())
    }

    /// Deletes a manifest by its digest, with all its tags.
    ///
    /// # Panics
    /// When the registry refuses it.
    pub fn delete(&self, repository: &str, digest: &str) {
        let target = format!("/v2/{repository}/manifests/{digest}");
        let answer = self.ask("DELETE", &target, &[], b"");
        assert_eq!(answer.status, 202, "{target}: {}", answer.text());
    }
}

fn strings(list: &serde_json::Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}
