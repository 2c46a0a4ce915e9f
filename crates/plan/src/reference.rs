//! Image references as docker reads them.
//!
//! The grammar is that of the distribution project's `reference` package; the crate `oci-spec` parses it and
//! adds the defaults (`docker.io`, `library/`, `latest`). What that crate reads otherwise than docker does is
//! handled here.

use std::fmt;

use oci_spec::distribution::Reference;

/// A parsed image reference, with the defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    /// Registry host with port, `docker.io` when none was written.
    pub registry: String,
    /// Path behind the registry, `library/debian` for docker's official images.
    pub repository: String,
    /// The tag; `None` only when a digest stands alone.
    pub tag: Option<String>,
    /// `sha256:…`, where one was written.
    pub digest: Option<String>,
    /// Whether the text named a registry.
    pub has_registry: bool,
    /// Whether the text named a tag.
    pub has_tag: bool,
}

/// Why a text is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no image reference: {why}")]
pub struct ImageNameError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

impl ImageName {
    /// Reads a reference.
    ///
    /// # Errors
    /// [`ImageNameError`] for what docker would refuse too.
    pub fn parse(text: &str) -> Result<Self, ImageNameError> {
        let error = |why: &str| ImageNameError { text: text.to_owned(), why: why.to_owned() };
        if text.len() == 64 && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(error("64 hex digits are an image id, which names nothing in a registry"));
        }
        let (host, has_registry) = match text.split_once('/') {
            Some((host, _)) if host == "localhost" || host.contains(['.', ':']) || has_upper(host) => {
                (host, true)
            }
            _ => ("docker.io", false),
        };
        if has_registry && host.starts_with('[') {
            // The crate knows no IPv6 addresses: let it read the rest behind a stand-in.
            let inner = host.strip_prefix('[').and_then(|rest| rest.split_once(']'));
            let port_ok = |port: &str| {
                port.is_empty() || port.strip_prefix(':').is_some_and(|p| p.parse::<u16>().is_ok())
            };
            if !inner.is_some_and(|(ip, port)| ip.parse::<std::net::Ipv6Addr>().is_ok() && port_ok(port)) {
                return Err(error("the host is no IPv6 address"));
            }
            let stand_in = format!("localhost{}", &text[host.len()..]);
            let name = Self::parse(&stand_in).map_err(|e| error(&e.why))?;
            return Ok(Self { registry: host.to_owned(), ..name });
        }
        let reference: Reference =
            text.parse().map_err(|e: oci_spec::distribution::ParseError| error(&e.to_string()))?;
        let rest = if has_registry { &text[host.len() + 1..] } else { text };
        let before_digest = rest.split_once('@').map_or(rest, |(name, _)| name);
        let has_tag = before_digest.contains(':');
        let registry = if has_registry { reference.registry().to_owned() } else { "docker.io".to_owned() };
        let repository = reference.repository().to_owned();
        if repository.is_empty() || has_upper(&repository) {
            return Err(error("a repository has lower case letters only"));
        }
        Ok(Self {
            registry,
            repository,
            tag: if has_tag || reference.digest().is_none() {
                reference.tag().map(str::to_owned)
            } else {
                None
            },
            digest: reference.digest().map(str::to_owned),
            has_registry,
            has_tag,
        })
    }

    /// Registry and repository, without tag and digest.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The same repository by digest.
    #[must_use]
    pub fn with_digest(&self, digest: &str) -> String {
        format!("{}@{digest}", self.name())
    }
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
    use super::*;

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
            &"f".repeat(64),
            "x/../y",
        ] {
            assert!(ImageName::parse(bad).is_err(), "{bad:?} gave {:?}", ImageName::parse(bad));
        }
    }
}
