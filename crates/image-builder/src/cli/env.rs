//! Reads the environment variables that the command uses besides those of its flags.
//!
//! Called only by commands that use an engine or a registry: a plain dry run neither looks for an
//! engine nor opens a credential.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use executor::engine::endpoint::{Endpoint, EndpointRequest};
use registry::{DockerConfig, Registry, Trust};

use crate::cli::exit::CliError;

/// A text that is set; an empty variable counts as unset, as CI systems leave it behind.
pub(crate) fn given(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A variable's text, unless it is empty.
///
/// # Errors
/// When it is not UTF-8.
pub(crate) fn variable(name: &'static str) -> Result<Option<String>, CliError> {
    match env::var_os(name).map(OsString::into_string) {
        None => Ok(None),
        Some(Ok(text)) => Ok(given(Some(&text))),
        Some(Err(_)) => Err(CliError::usage(format!("the environment variable {name} is not UTF-8"))),
    }
}

/// Reads a file that a flag names, at most `limit` bytes of it. What is below `/dev` or `/proc` (stdin, a shell's `<(…)`)
/// is read to its end; anywhere else a pipe is refused, since nobody may ever write to it.
///
/// # Errors
/// When it cannot be read, is no regular file, or is longer.
pub(crate) fn read_file(path: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    let failed = || format!("cannot read {}", path.display());
    let absolute = std::path::absolute(path).with_context(failed)?;
    let read = if ["/dev", "/proc"].iter().any(|root| absolute.starts_with(root)) {
        read_to_end(path, limit)
    } else {
        files::read(path, limit)
    };
    read.map_err(|error| match error.kind() {
        ErrorKind::InvalidInput => CliError::environment(failed())
            .caused_by(error)
            .help("name a regular file, or a pipe as /dev/stdin or by the shell's <(…)")
            .into(),
        ErrorKind::FileTooLarge => CliError::usage(failed()).caused_by(error).into(),
        _ => anyhow::Error::new(error).context(failed()),
    })
}

fn read_to_end(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// Where the docker client keeps its configuration: `DOCKER_CONFIG`, else `.docker` in the home
/// directory.
pub(crate) fn docker_config_directory() -> Option<PathBuf> {
    let path = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    path("DOCKER_CONFIG").or_else(|| path("HOME").map(|home| home.join(".docker")))
}

/// The docker client's configuration, and what this machine's docker and podman are told of registries: below
/// `XDG_CONFIG_HOME`, else `.config` of the home directory, and below `/etc`.
///
/// # Errors
/// A file that is not what docker or podman write.
pub(crate) fn docker_config() -> anyhow::Result<DockerConfig> {
    let own = directory("XDG_CONFIG_HOME", ".config");
    let trust = Trust::load(&own.into_iter().chain(["/etc".into()]).collect::<Vec<_>>())?;
    Ok(DockerConfig::load(docker_config_directory().as_deref())?.with_trust(trust))
}

/// The engine that a flag, the environment or the docker configuration names.
///
/// # Errors
/// An address that cannot be read, a context that does not exist.
pub(crate) fn endpoint(host: Option<&str>, config: &DockerConfig) -> anyhow::Result<Endpoint> {
    let wanted = EndpointRequest {
        flag: given(host),
        docker_host: variable("DOCKER_HOST")?,
        docker_context: variable("DOCKER_CONTEXT")?,
        tls_verify: variable("DOCKER_TLS_VERIFY")?,
        cert_path: variable("DOCKER_CERT_PATH")?.map(Into::into),
        config_dir: docker_config_directory(),
    };
    Ok(executor::engine::endpoint::resolve(&wanted, config)?)
}

/// Where what can be fetched again is kept: `image-builder` in `XDG_CACHE_HOME`, else in `.cache`
/// of the home directory. See <https://specifications.freedesktop.org/basedir-spec/latest/>, which
/// has relative paths ignored.
fn cache_directory() -> Option<PathBuf> {
    Some(directory("XDG_CACHE_HOME", ".cache")?.join("image-builder"))
}

/// The same registry client, with image configurations cached in the user's cache directory. That
/// may be in the source tree's repository, at `tree`, whose links are not followed.
pub(crate) fn cached(registry: Registry, tree: &Path) -> Registry {
    match cache_directory() {
        Some(directory) => registry.with_cache(directory.join("configs"), Some(tree.to_owned())),
        None => registry,
    }
}

/// A directory of the user's, by its variable or where it lies in the home directory.
fn directory(variable: &str, in_home: &str) -> Option<PathBuf> {
    let path = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    path(variable).or_else(|| path("HOME").map(|home| home.join(in_home)))
}

/// `SOURCE_DATE_EPOCH`, in seconds. See <https://reproducible-builds.org/specs/source-date-epoch/>.
///
/// # Errors
/// When it is no whole number.
pub(crate) fn source_date_epoch() -> Result<Option<i64>, CliError> {
    let Some(text) = variable("SOURCE_DATE_EPOCH")? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        CliError::usage(format!("SOURCE_DATE_EPOCH is {text:?}, which is not a whole number of seconds"))
            .help("`git log -1 --format=%ct` prints that of the last commit")
    })
}
