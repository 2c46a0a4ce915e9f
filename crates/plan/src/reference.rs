//! Image references as docker reads them.
//!
//! The grammar is that of the distribution project's `reference` package, with docker's defaults
//! (`docker.io`, `library/`, `latest`). The crate `oci-spec` parses most references as docker does,
//! but it compiles a regular expression, which takes longer than a whole plan with its thousands of
//! references. The tests compare this parser with it.

use std::fmt;

use crate::digest::is_digest;
use crate::name::{MAX_TAG, is_component};

/// The longest repository that docker accepts, in characters.
const MAX_REPOSITORY: usize = 255;

/// A parsed image reference, with the defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    /// Registry host with port, `docker.io` when none was written.
    pub registry: String,
    /// Path behind the registry, `library/debian` for docker's official images.
    pub repository: String,
    /// The tag; `None` only for a digest without one.
    pub tag: Option<String>,
    /// `sha256:…`, if one was written.
    pub digest: Option<String>,
    /// Whether the text named a registry.
    pub has_registry: bool,
    /// Whether the text named a tag.
    pub has_tag: bool,
}

/// Why a text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an image reference: {why}")]
pub struct ImageNameError {
    /// The text.
    pub text: String,
    /// The reason.
    pub why: String,
}

impl ImageName {
    /// Reads a reference.
    ///
    /// # Errors
    /// [`ImageNameError`] if docker would reject the text too.
    pub fn parse(text: &str) -> Result<Self, ImageNameError> {
        let error = |why: &str| ImageNameError { text: text.to_owned(), why: why.to_owned() };
        if text.is_empty() {
            return Err(error("it is empty"));
        }
        if text.len() == 64 && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(error("64 hex digits are an image id, which names nothing in a registry"));
        }
        let (host, rest) = match text.split_once('/') {
            Some((host, rest)) if host == "localhost" || host.contains(['.', ':']) || has_upper(host) => {
                (Some(host), rest)
            }
            _ => (None, text),
        };
        if let Some(host) = host.filter(|host| !is_host(host)) {
            return Err(error(&format!("{host:?} is not a registry host")));
        }
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (rest, None),
        };
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(error("a digest is sha256: and 64 hex digits, or sha512: and 128"));
        }
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(error(
                "a tag is letters, digits, '_', '.' and '-', at most 128, not '.' or '-' first",
            ));
        }
        if !path.split('/').all(is_component) {
            return Err(error("a repository is lower case words with '/' between them"));
        }
        let registry = match host {
            None | Some("index.docker.io") => "docker.io",
            Some(host) => host,
        };
        let official = registry == "docker.io" && !path.contains('/');
        let repository = if official { format!("library/{path}") } else { path.to_owned() };
        if repository.len() > MAX_REPOSITORY {
            return Err(error("a repository has at most 255 characters"));
        }
        let default_tag = if digest.is_none() { Some("latest") } else { None };
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            tag: tag.or(default_tag).map(str::to_owned),
            digest: digest.map(str::to_owned),
            has_registry: host.is_some(),
            has_tag: tag.is_some(),
        })
    }

    /// Registry and repository, without tag and digest.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Returns a reference to this repository by digest.
    #[must_use]
    pub fn with_digest(&self, digest: &str) -> String {
        format!("{}@{digest}", self.name())
    }
}

/// A domain name, an IPv4 address or an IPv6 address in brackets, with or without a port.
fn is_host(host: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit());
    if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        // The grammar allows no dots in the brackets, although an IPv6 address may contain some.
        return !address.contains('.')
            && address.parse::<std::net::Ipv6Addr>().is_ok()
            && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (name, port) = match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    let is_label = |label: &str| {
        let ends = [label.bytes().next(), label.bytes().last()];
        ends.iter().all(|end| end.is_some_and(|c| c.is_ascii_alphanumeric()))
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
    };
    name.split('.').all(is_label) && port.is_none_or(is_port)
}

/// Whether a text is `sha256:` and 64 hex digits, the form of image ids and manifest digests.
pub(crate) fn is_sha256(digest: &str) -> bool {
    digest.starts_with("sha256:") && is_digest(digest)
}

/// Whether a text is a tag: letters, digits, `_`, `.` and `-`, at most 128, not `.` or `-` first.
#[must_use]
pub fn is_tag(tag: &str) -> bool {
    let first = tag.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == b'_');
    first && tag.len() <= MAX_TAG && tag.bytes().all(|c| c.is_ascii_alphanumeric() || b"_.-".contains(&c))
}

fn has_upper(text: &str) -> bool {
    text.bytes().any(|c| c.is_ascii_uppercase())
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Compared with the parser of `oci-spec`, except for its known errors.
        #[test]
        fn agrees_with_another_reader(
            text in "((localhost|[a-z]{1,3}(\\.[a-zA-Z0-9-]{1,3}){1,2})(:[0-9]{1,4})?/)?[a-z0-9._/-]{1,8}(:[A-Za-z0-9_.-]{1,4})?(@sha256:[0-9a-f]{64})?"
        ) {
            // oci-spec accepts '_' in a host name, and '-' at the end of a label; the grammar does
            // not.
            let host = text.split_once('/').map_or("", |(host, _)| host);
            prop_assume!(is_host(host) || !host.contains(['.', ':']));
            let other = text.parse::<oci_spec::distribution::Reference>();
            match (ImageName::parse(&text), other) {
                (Ok(ours), Ok(theirs)) => {
                    prop_assert_eq!(&ours.repository, theirs.repository());
                    prop_assert_eq!(ours.registry.as_str(), theirs.registry());
                    prop_assert_eq!(ours.digest.as_deref(), theirs.digest());
                    if ours.has_tag {
                        prop_assert_eq!(ours.tag.as_deref(), theirs.tag());
                    }
                }
                (ours, theirs) => prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{}: {:?} {:?}", text, ours, theirs),
            }
        }
    }

    #[test]
    fn references_are_read_as_docker_reads_them() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (text, expect) in [
            ("debian", "docker.io/library/debian:latest"),
            ("debian:12.11", "docker.io/library/debian:12.11"),
            ("docker.io/debian:12", "docker.io/library/debian:12"),
            ("docker.io/library/debian:12", "docker.io/library/debian:12"),
            ("sci/nist:1.0", "docker.io/sci/nist:1.0"),
            ("localhost/x", "localhost/x:latest"),
            ("localhost:5000/x/y:1", "localhost:5000/x/y:1"),
            ("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"),
            ("[::1]:5000/x", "[::1]:5000/x:latest"),
            ("quay.io/a/b-c__d/e.f:v1", "quay.io/a/b-c__d/e.f:v1"),
            (&format!("debian@{digest}"), &format!("docker.io/library/debian@{digest}")),
            (&format!("debian:12@{digest}"), &format!("docker.io/library/debian:12@{digest}")),
        ] {
            assert_eq!(ImageName::parse(text).map(|name| name.to_string()), Ok(expect.to_owned()), "{text}");
        }
        for bad in [
            "",
            ":",
            "Debian",
            "a/B",
            "x:",
            "x@sha256:12",
            "a b",
            "-x",
            "x:-y",
            "[::g]/x",
            "[::ffff:1.2.3.4]/x",
            &"f".repeat(64),
            "x/../y",
        ] {
            assert!(ImageName::parse(bad).is_err(), "{bad:?} gave {:?}", ImageName::parse(bad));
        }
    }

    #[test]
    fn a_repository_is_measured_with_what_docker_adds() {
        let longest = format!("{}/{}", "a".repeat(127), "b".repeat(127));
        assert!(ImageName::parse(&longest).is_ok());
        assert!(ImageName::parse(&format!("{longest}c")).is_err());
        let official = "a".repeat(255 - "library/".len());
        assert!(ImageName::parse(&official).is_ok());
        assert!(ImageName::parse(&format!("{official}b")).is_err(), "library/ counts");
    }
}
