//! The questions that are put to a registry: which digest, which labels, which tags; and the one
//! change, a tag.
//!
//! Follows the OCI distribution specification. Only a 404 means that something is not there; every
//! other failure is an error.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use plan::{Digest, ImageName};
use reqwest::Method;

use crate::cache::Cache;
use crate::digests::{self, manifest_path, sha256};
use crate::error::{Error, ErrorKind, status_error};
use crate::limits::{CONFIG, DEPTH, MANIFEST};
use crate::manifest::{self, Image, Manifest};
use crate::options::Options;
use crate::pushes::Pushes;
use crate::retry::{Backoff, RetryDecision, retry};
use crate::wire::{Access, Answer, Request, Wire};

/// The target of a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// The image that the caller knows. The digest is that of the reference, even if the caller
    /// knows it by another one.
    Known(String),
    /// Something else.
    Image(Image),
}

/// The way to all registries. Clones share logins and connections.
#[derive(Clone)]
pub struct Registry {
    pub(crate) wire: Arc<Wire>,
    pub(crate) retry_for: Duration,
    pub(crate) page: usize,
    cache: Option<Arc<Cache>>,
    pushes: Pushes,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl Registry {
    /// Opens no connection yet. Errors in certificates are reported when a registry needs them.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let (retry_for, page) = (options.retry_for, options.page.max(1));
        Self { wire: Arc::new(Wire::new(options)), retry_for, page, cache: None, pushes: Pushes::Nowhere }
    }

    /// A client without retries, for a caller that retries whole operations.
    #[must_use]
    pub fn without_retries(&self) -> Self {
        Self { retry_for: Duration::ZERO, ..self.clone() }
    }

    /// The same way, for a caller that is about to push.
    #[must_use]
    pub fn pushing(&self, pushes: Pushes) -> Self {
        Self { pushes, ..self.clone() }
    }

    /// The access that a login needs for a query in an image's repository.
    pub(crate) fn access(&self, image: &ImageName) -> Access {
        self.pushes.access(image)
    }

    /// A client that caches image configurations in a directory. It is created when needed and is
    /// safe to delete; if it cannot be used, nothing is cached. It may be in the repository at
    /// `tree`, whose links are not followed.
    #[must_use]
    pub fn with_cache(&self, directory: PathBuf, tree: Option<PathBuf>) -> Self {
        Self { cache: Some(Arc::new(Cache::new(directory, tree))), ..self.clone() }
    }

    /// The digest that a tag, or a digest, names now; `None` when it is not there. Of an image for several
    /// platforms, that of the index.
    ///
    /// # Errors
    /// Anything but a digest or a 404.
    pub async fn resolve(&self, image: &ImageName) -> Result<Option<String>, Error> {
        let shown = match self.manifest(image, Method::HEAD, reference(image), MANIFEST).await {
            Ok(answer) if answer.status == 404 => return Ok(None),
            Ok(answer) => digests::of_header(answer.header("docker-content-digest")),
            // Not every server knows HEAD.
            Err(error) if error.is_unknown_method() => None,
            Err(error) => return Err(error),
        };
        match shown {
            Some(shown) => {
                let asked = image.digest.as_deref().unwrap_or(shown.as_str());
                digests::expect_same(image, asked, shown.as_str())?;
                Ok(Some(shown.into()))
            }
            // The header is only recommended: without it the manifest is hashed.
            None => self.resolve_verified(image).await,
        }
    }

    /// The same as a hash of the manifest's bytes, whatever headers say: for what is written into a source file.
    ///
    /// # Errors
    /// As [`Registry::resolve`], and [`ErrorKind::Protocol`] where the registry shows another digest than that of the bytes.
    pub async fn resolve_verified(&self, image: &ImageName) -> Result<Option<String>, Error> {
        Ok(self.get_manifest(image, reference(image)).await?.map(|(_, digest, _)| digest))
    }

    /// The image for a platform, `os/architecture[/variant]`, with what its configuration says; `None` when
    /// the reference is not there.
    ///
    /// # Errors
    /// [`ErrorKind::Platform`] when it exists for other platforms only; [`ErrorKind::NotFound`] when a part
    /// of it is missing; and what every request can meet.
    pub async fn image(&self, image: &ImageName, platform: &str) -> Result<Option<Image>, Error> {
        match self.image_unless(image, platform, |_| false).await? {
            Some(Shown::Image(image)) => Ok(Some(image)),
            Some(Shown::Known(_)) | None => Ok(None),
        }
    }

    /// The same, with its configuration left unread where the caller knows the image by one of the digests that stand for all of
    /// it: that of the reference, of the platform's manifest, or of the configuration that this names. That is one request, and
    /// one more for each index on the way.
    ///
    /// # Errors
    /// As [`Registry::image`].
    pub async fn image_unless(
        &self,
        image: &ImageName,
        platform: &str,
        is_known: impl Fn(&str) -> bool,
    ) -> Result<Option<Shown>, Error> {
        let Some((mut body, digest, _)) = self.get_manifest(image, reference(image)).await? else {
            return Ok(None);
        };
        let mut manifest_digest = digest.clone();
        for _ in 0..DEPTH {
            if is_known(&manifest_digest) {
                return Ok(Some(Shown::Known(digest)));
            }
            match manifest::read_manifest(&body, &image.to_string())? {
                Manifest::Image { config, .. } if is_known(config.digest.as_str()) => {
                    return Ok(Some(Shown::Known(digest)));
                }
                Manifest::Image { config, layers } => {
                    let bytes = self.config_bytes(image, &config.digest, config.limit(CONFIG)).await?;
                    let settings = manifest::read_config(&bytes, &image.to_string())?;
                    let (platform, created) = (settings.platform(), settings.created.clone());
                    let diff_ids = settings.diff_ids();
                    let (labels, env) = settings.into_settings();
                    let config_digest = config.digest.into();
                    return Ok(Some(Shown::Image(Image {
                        digest,
                        manifest_digest,
                        config_digest,
                        platform,
                        created,
                        labels,
                        env,
                        layers,
                        diff_ids,
                    })));
                }
                Manifest::Index(entries) => {
                    let chosen = manifest::choose(&entries, platform, &image.to_string())?;
                    let (reference, limit) = (chosen.digest.as_str(), chosen.limit(MANIFEST));
                    let found = self.get_manifest_within(image, reference, limit).await?;
                    (body, manifest_digest, _) = found.ok_or_else(|| missing(image, reference))?;
                }
            }
        }
        Err(Error::new(ErrorKind::Protocol, format!("{image}: more than {DEPTH} indexes in each other")))
    }

    /// The way, for the other questions.
    pub(crate) fn wire(&self) -> &Arc<Wire> {
        &self.wire
    }

    /// Secrets to redact: the credentials and tokens used so far.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        self.wire.all_secrets()
    }

    /// Gives an image another tag in the same repository, byte for byte, and returns its digest. What the registry
    /// shows afterwards is not looked at.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is nothing to tag.
    pub async fn set_tag(&self, from: &ImageName, tag: &str) -> Result<String, Error> {
        let Some((body, digest, media_type)) = self.get_manifest(from, reference(from)).await? else {
            return Err(missing(from, reference(from)));
        };
        let to = with_tag(from, tag);
        let request = Request {
            image: &to,
            access: Access::Push,
            method: Method::PUT,
            path: manifest_path(tag, &to)?,
            headers: vec![("content-type", media_type)],
            body,
            limit: MANIFEST,
        };
        let answer = self.wire.send(&request, &to.to_string()).await?;
        if answer.status == 404 {
            return Err(missing(&to, tag));
        }
        Ok(digest)
    }

    /// The same, once the registry shows it under that tag.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is nothing to tag; [`ErrorKind::Protocol`] when the registry
    /// confirms and then shows something else.
    pub async fn tag(&self, from: &ImageName, tag: &str) -> Result<String, Error> {
        let digest = self.set_tag(from, tag).await?;
        let to = with_tag(from, tag);
        match self.resolve(&to).await? {
            Some(shown) if shown == digest => Ok(digest),
            Some(shown) => Err(Error::new(
                ErrorKind::Protocol,
                format!("{to}: {} took {digest} and shows {shown}", to.registry),
            )
            .help("another client may have moved the tag at the same time")),
            None => Err(Error::new(
                ErrorKind::Protocol,
                format!("{to}: {} took {digest} and does not have it", to.registry),
            )),
        }
    }

    /// A configuration of at most `limit` bytes, from the cache where it has it.
    pub(crate) async fn config_bytes(
        &self,
        image: &ImageName,
        digest: &Digest,
        limit: usize,
    ) -> Result<Bytes, Error> {
        let what = format!("configuration of {image}");
        if let Some(body) = self.cache.as_ref().and_then(|cache| cache.get(digest, limit)) {
            return Ok(body);
        }
        let answer = self.get(image, format!("blobs/{digest}"), "*/*", limit, &what).await?;
        if answer.status == 404 {
            return Err(missing(image, digest.as_str()));
        }
        digests::expect(image, digest, &answer.body)?;
        if let Some(cache) = &self.cache {
            cache.put(digest, &answer.body);
        }
        Ok(answer.body)
    }

    /// The manifest's bytes, digest and media type.
    pub(crate) async fn get_manifest(
        &self,
        image: &ImageName,
        reference: &str,
    ) -> Result<Option<(Bytes, String, String)>, Error> {
        self.get_manifest_within(image, reference, MANIFEST).await
    }

    async fn get_manifest_within(
        &self,
        image: &ImageName,
        reference: &str,
        limit: usize,
    ) -> Result<Option<(Bytes, String, String)>, Error> {
        let answer = self.manifest(image, Method::GET, reference, limit).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        let shown = digests::of_header(answer.header("docker-content-digest"));
        let asked = Digest::parse(reference).ok();
        for expected in shown.iter().chain(&asked) {
            digests::expect(image, expected, &answer.body)?;
        }
        let digest = asked.or(shown).map_or_else(|| sha256(&answer.body), String::from);
        let media_type =
            manifest::media_type(answer.header("content-type"), &answer.body).ok_or_else(|| {
                Error::new(ErrorKind::Protocol, format!("{image}: a manifest without a media type"))
            })?;
        Ok(Some((answer.body, digest, media_type)))
    }

    async fn manifest(
        &self,
        image: &ImageName,
        method: Method,
        reference: &str,
        limit: usize,
    ) -> Result<Answer, Error> {
        let request = Request {
            image,
            access: self.access(image),
            method,
            path: manifest_path(reference, image)?,
            headers: vec![("accept", manifest::ACCEPT.to_owned())],
            body: Bytes::new(),
            limit,
        };
        self.ask(&request, &image.to_string()).await
    }

    /// Puts a question, which changes nothing, until it is answered.
    async fn ask(&self, request: &Request<'_>, what: &str) -> Result<Answer, Error> {
        let told = |error: &Error, attempts, wait| {
            tracing::debug!(%error, attempts, ?wait, "the registry is asked again");
        };
        // A registry that refuses connections is not retried: the caller may know another source.
        let judge =
            |error: &Error| if error.is_refused { RetryDecision::Never } else { error.retry_decision() };
        retry(Backoff::within(self.retry_for), |_| self.wire.send(request, what), judge, told).await.map_err(
            |given_up| Error { message: format!("{}{given_up}", given_up.error.message), ..given_up.error },
        )
    }

    pub(crate) async fn get(
        &self,
        image: &ImageName,
        path: String,
        accept: &str,
        limit: usize,
        what: &str,
    ) -> Result<Answer, Error> {
        let request = Request {
            image,
            access: self.access(image),
            method: Method::GET,
            path,
            headers: vec![("accept", accept.to_owned())],
            body: Bytes::new(),
            limit,
        };
        self.ask(&request, what).await
    }
}

/// The reference in a manifest's address: the digest, else the tag.
pub(crate) fn reference(image: &ImageName) -> &str {
    image.digest.as_deref().or(image.tag.as_deref()).unwrap_or("latest")
}

fn with_tag(image: &ImageName, tag: &str) -> ImageName {
    ImageName { tag: Some(tag.to_owned()), digest: None, has_tag: true, ..image.clone() }
}

pub(crate) fn missing(image: &ImageName, part: &str) -> Error {
    let what = if part == reference(image) { image.to_string() } else { format!("{part} of {image}") };
    status_error(404, &image.registry, &what, "", None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_goes_before_a_tag() {
        let parse = |text: &str| ImageName::parse(text).expect("a reference");
        let digest = sha256(b"");
        assert_eq!(reference(&parse("r.example/a")), "latest");
        assert_eq!(reference(&parse("r.example/a:1")), "1");
        assert_eq!(reference(&parse(&format!("r.example/a:1@{digest}"))), digest);
    }
}
