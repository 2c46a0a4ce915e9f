//! Artifacts that refer to an image: attaching one, listing them, reading one.
//!
//! Follows the OCI distribution specification, "Listing Referrers" and "Pushing Manifests with
//! Subject". Where a registry has no such list, it is an index of ours under the tag
//! `sha256-{hex}`, which has no lock: so it is read again a while after it was written, and written
//! again when somebody else wrote in between.

use std::time::Duration;

use bytes::Bytes;
use plan::ImageName;
use reqwest::Method;
use serde_json::{Value, json};

use crate::digests::{self, manifest_path, sha256};
use crate::error::{Error, ErrorKind, status_error};
use crate::limits::{MANIFEST, REFERRERS};
use crate::link::{Next, next_page};
use crate::manifest::{Part, Stored};
use crate::pages::Pages;
use crate::registry::{Registry, missing, reference};
use crate::retry::{Backoff, retry};
use crate::wire::{Access, Answer, Request};

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The content of an empty configuration.
const NOTHING: &[u8] = b"{}";

/// How often a list that others write too is written.
const ROUNDS: usize = 6;
/// After this time, a client that read the list before our write has finished its own write.
const SETTLED: Duration = Duration::from_millis(250);
/// By how much that is longer at most, in milliseconds.
const PAUSE: u64 = 250;

/// Of this process, one writes such a list at a time.
static LISTS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// An artifact that refers to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    /// Digest of its manifest.
    pub digest: String,
    /// Its type.
    pub artifact_type: String,
}

impl Registry {
    /// Attaches an artifact of one layer to an image, which is named by its digest or tag. Returns the artifact's digest:
    /// the same for the same bytes, so that doing it again changes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such image; [`ErrorKind::Protocol`] when others write the list of
    /// artifacts all the time; and what every request can meet.
    pub async fn attach(
        &self,
        image: &ImageName,
        artifact_type: &str,
        layer: Bytes,
    ) -> Result<String, Error> {
        let Some((subject, subject_digest, subject_type)) =
            self.get_manifest(image, reference(image)).await?
        else {
            return Err(missing(image, reference(image)));
        };
        let (layer_digest, layer_size) = (sha256(&layer), layer.len());
        self.upload(image, Bytes::from_static(NOTHING)).await?;
        self.upload(image, layer).await?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": IMAGE,
            "artifactType": artifact_type,
            "config": {"mediaType": EMPTY, "digest": sha256(NOTHING), "size": NOTHING.len()},
            "layers": [{"mediaType": artifact_type, "digest": layer_digest, "size": layer_size}],
            "subject": {"mediaType": subject_type, "digest": subject_digest, "size": subject.len()},
        })
        .to_string();
        let (digest, size) = (sha256(manifest.as_bytes()), manifest.len());
        let answer = self.put_manifest(image, &digest, IMAGE, manifest.into()).await?;
        if answer.header("oci-subject").is_none() {
            let entry = json!({
                "mediaType": IMAGE, "digest": digest, "size": size, "artifactType": artifact_type,
            });
            self.list(image, &subject_digest, entry).await?;
        }
        Ok(digest)
    }

    /// The artifacts of a type that refer to an image, which is named by its digest. Entries without a digest are left out.
    ///
    /// # Errors
    /// What every request can meet.
    pub async fn referrers(&self, image: &ImageName, artifact_type: &str) -> Result<Vec<Referrer>, Error> {
        let entries = self.list_of(image).await?;
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let all = entries.iter().map(|entry| Referrer {
            digest: text(entry, "digest"),
            artifact_type: text(entry, "artifactType"),
        });
        let is_wanted = |found: &Referrer| found.artifact_type == artifact_type && is_digest(&found.digest);
        Ok(all.filter(is_wanted).collect())
    }

    /// Digests of all artifacts that refer to an image, which is named by its digest. Entries without a digest are left out.
    ///
    /// # Errors
    /// What every request can meet.
    pub async fn all_referrers(&self, image: &ImageName) -> Result<Vec<String>, Error> {
        let entries = self.list_of(image).await?;
        let digests = entries.iter().filter_map(|entry| entry["digest"].as_str());
        Ok(digests.filter(|digest| is_digest(digest)).map(str::to_owned).collect())
    }

    /// Stores an artifact by its digest, and enters it into the list of those that refer to an image, which is named by its digest and
    /// need not be there yet. What it needs must be there.
    ///
    /// # Errors
    /// As [`Registry::attach`], but for the image.
    pub async fn refer(&self, image: &ImageName, artifact: &Stored) -> Result<(), Error> {
        let by_digest = ImageName { tag: None, digest: Some(artifact.digest.clone()), ..image.clone() };
        if self.store(&by_digest, artifact).await? {
            return Ok(());
        }
        let mut entry = json!({
            "mediaType": artifact.media_type, "digest": artifact.digest, "size": artifact.body.len(),
        });
        if let Some(artifact_type) = &artifact.artifact_type {
            entry["artifactType"] = json!(artifact_type);
        }
        self.list(image, reference(image), entry).await
    }

    /// The list of what refers to an image: the registry's own, or that under a tag.
    async fn list_of(&self, image: &ImageName) -> Result<Vec<Value>, Error> {
        let what = format!("artifacts of {image}");
        let subject = &digests::parse(reference(image), &what)?.to_string();
        let (mut all, mut pages) = (Vec::new(), Pages::new(&what, &image.registry, REFERRERS));
        let mut query = String::new();
        loop {
            let limit = pages.turn(&query)?;
            let join = if query.is_empty() { "" } else { "?" };
            let path = format!("referrers/{subject}{join}{query}");
            match self.get(image, path, INDEX, limit, &what).await {
                Ok(answer) if answer.status != 404 => {
                    pages.read(answer.body.len());
                    all.extend(entries(&answer.body));
                    query = match next_page(&answer.headers) {
                        Next::None => return Ok(all),
                        Next::Query(query) => query,
                        Next::Unreadable => return Err(pages.unclear()),
                    };
                }
                // Registries of before have no such address, and say so in several ways.
                Ok(_) | Err(Error { kind: ErrorKind::Refused(_), .. }) if query.is_empty() => {
                    let list = self.get_manifest(image, &tag_of(subject)).await?;
                    return Ok(list.map(|(body, ..)| entries(&body)).unwrap_or_default());
                }
                Ok(_) => return Err(status_error(404, &image.registry, &what, "on a later page", None)),
                Err(error) => return Err(error),
            }
        }
    }

    /// The one layer of an artifact in an image's repository, at most `limit` bytes; `None` when it is not there.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] when it has another form, or more bytes; and what every request can meet.
    pub async fn artifact(
        &self,
        image: &ImageName,
        digest: &str,
        limit: usize,
    ) -> Result<Option<Bytes>, Error> {
        let Some((body, ..)) = self.get_manifest(image, digest).await? else { return Ok(None) };
        let manifest: Value = serde_json::from_slice(&body).unwrap_or_default();
        let what = format!("artifact {digest} of {}", image.name());
        let layer: Part = serde_json::from_value(manifest["layers"][0].clone())
            .map_err(|_| Error::new(ErrorKind::Protocol, format!("{what} has no layer with a digest")))?;
        let (path, limit) = (format!("blobs/{}", layer.digest), layer.limit(limit));
        let answer = self.get(image, path, "*/*", limit, &what).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        digests::expect(image, &layer.digest, &answer.body)?;
        Ok(Some(answer.body))
    }

    /// Uploads a blob to an image's repository, unless it is there.
    async fn upload(&self, image: &ImageName, blob: Bytes) -> Result<(), Error> {
        let digest = sha256(&blob);
        let what = format!("blob {digest} of {}", image.name());
        if self.has_blob(image, &digest).await? {
            return Ok(());
        }
        let to = self.begin_upload(image, &digest).await?;
        let path = format!("{to}{}digest={digest}", if to.contains('?') { '&' } else { '?' });
        let headers = vec![("content-type", "application/octet-stream".to_owned())];
        let done = self.change(image, Method::PUT, path, headers, blob, &what).await?;
        if done.status == 404 {
            return Err(status_error(404, &image.registry, &what, "the upload is gone", None));
        }
        Ok(())
    }

    pub(crate) async fn put_manifest(
        &self,
        image: &ImageName,
        to: &str,
        media_type: &str,
        body: Bytes,
    ) -> Result<Answer, Error> {
        let path = manifest_path(to, image)?;
        let what = format!("{to} of {}", image.name());
        let headers = vec![("content-type", media_type.to_owned())];
        let answer = self.change(image, Method::PUT, path, headers, body, &what).await?;
        if answer.status == 404 {
            return Err(status_error(404, &image.registry, &what, "", None));
        }
        Ok(answer)
    }

    /// Adds an artifact to the list of a registry that keeps none itself.
    ///
    /// There is no compare-and-swap for such a list: a client that read it before our entry was
    /// there, and writes after us, removes the entry. So the entry counts as added when it is still
    /// there a while later.
    async fn list(&self, image: &ImageName, subject: &str, entry: Value) -> Result<(), Error> {
        let tag = tag_of(subject);
        for _ in 0..ROUNDS {
            if !self.enter(image, &tag, &entry).await? {
                return Ok(());
            }
            // Two that write at once write again at different times.
            tokio::time::sleep(SETTLED + Duration::from_millis(fastrand::u64(1..PAUSE))).await;
        }
        match self.enter(image, &tag, &entry).await? {
            false => Ok(()),
            true => Err(Error::new(
                ErrorKind::Protocol,
                format!("{}:{tag}: others write this list of artifacts all the time", image.name()),
            )),
        }
    }

    /// Writes the list with an entry more, unless it has it; whether it was written.
    async fn enter(&self, image: &ImageName, tag: &str, entry: &Value) -> Result<bool, Error> {
        let _turn = LISTS.lock().await;
        let mut all = match self.get_manifest(image, tag).await? {
            Some((body, ..)) => entries(&body),
            None => Vec::new(),
        };
        if all.iter().any(|known| known["digest"] == entry["digest"]) {
            return Ok(false);
        }
        all.push(entry.clone());
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": all}).to_string();
        self.put_manifest(image, tag, INDEX, index.into()).await?;
        Ok(true)
    }

    /// A request that changes something, and may be made again.
    pub(crate) async fn change(
        &self,
        image: &ImageName,
        method: Method,
        path: String,
        headers: Vec<(&'static str, String)>,
        body: Bytes,
        what: &str,
    ) -> Result<Answer, Error> {
        let request = Request { image, access: Access::Push, method, path, headers, body, limit: MANIFEST };
        let attempt = |_| self.wire.send(&request, what);
        let done = retry(Backoff::within(self.retry_for), attempt, Error::retry_decision, |_, _, _| ()).await;
        done.map_err(|given_up| Error {
            message: format!("{}{given_up}", given_up.error.message),
            ..given_up.error
        })
    }
}

/// The tag under which the artifacts of an image are listed where a registry does not do it.
fn tag_of(digest: &str) -> String {
    digest.replacen(':', "-", 1)
}

fn is_digest(text: &str) -> bool {
    plan::Digest::parse(text).is_ok()
}

/// The entries of an index, as they are.
fn entries(index: &[u8]) -> Vec<Value> {
    let index: Value = serde_json::from_slice(index).unwrap_or_default();
    index["manifests"].as_array().cloned().unwrap_or_default()
}

/// The part of an address after `/v2/{repository}/`; the address may be absolute or begin with a
/// slash. Whatever host it names, the upload continues on the first host, so that credentials go to
/// no other; and it stays below `blobs/uploads/`.
pub(crate) fn below<'a>(location: &'a str, repository: &str) -> Option<&'a str> {
    let (_, below) = location.split_once(&format!("/v2/{repository}/"))?;
    let rest = below.strip_prefix("blobs/uploads/")?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let is_plain = |c: u8| c.is_ascii_graphic() && !matches!(c, b'"' | b'<' | b'>' | b'\\' | b'#');
    // As addresses are read, `%2e` is a dot too.
    let is_up = |part: &str| matches!(part.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    let stays = !path.is_empty() && !path.split('/').any(is_up);
    (stays && path.bytes().chain(query.bytes()).all(is_plain)).then_some(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_goes_on_in_its_own_repository_only() {
        for (location, expect) in [
            ("/v2/a/b/blobs/uploads/1?_state=x", Some("blobs/uploads/1?_state=x")),
            ("http://127.0.0.1:5000/v2/a/b/blobs/uploads/1", Some("blobs/uploads/1")),
            ("/v2/a/other/blobs/uploads/1", None),
            ("/v2/a/b/manifests/latest", None),
            ("https://elsewhere.example/x", None),
            ("/v2/a/b/blobs/uploads/", None),
            ("/v2/a/b/blobs/uploads/../../manifests/latest", None),
            ("/v2/a/b/blobs/uploads/%2e%2E/%2e./manifests/latest", None),
            ("/v2/a/b/blobs/uploads/..\\..\\x", None),
            ("/v2/a/b/blobs/uploads/1#x", None),
            ("/v2/a/b/blobs/uploads/1?x=a b", None),
            ("https://elsewhere.example/v2/a/b/blobs/uploads/1?to=../x", Some("blobs/uploads/1?to=../x")),
        ] {
            assert_eq!(below(location, "a/b"), expect, "{location}");
        }
    }

    #[test]
    fn a_list_that_is_none_is_empty() {
        assert_eq!(entries(b"nonsense"), Vec::<Value>::new());
        assert_eq!(entries(br#"{"manifests": [{"digest": "sha256:1"}]}"#).len(), 1);
        assert_eq!(tag_of("sha256:ab"), "sha256-ab");
    }
}
