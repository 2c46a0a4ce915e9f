//! Reads the environment variables that the command uses besides those of its flags.
//!
//! Called only by commands that use an engine or a registry: a plain dry run neither searches for
//! an engine nor reads a credential.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use executor::engine::endpoint::{Endpoint, EndpointRequest};
use registry::{DockerConfig, Registry, Trust};

use crate::cli::exit::CliError;

/// Returns a text that is set. An empty variable counts as unset, because CI systems leave
/// variables empty.
pub(crate) fn given(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Returns a variable's text, or `None` if it is unset or empty.
///
/// # Errors
/// If the text is not UTF-8.
pub(crate) fn variable(name: &'static str) -> Result<Option<String>, CliError> {
    match env::var_os(name).map(OsString::into_string) {
        None => Ok(None),
        Some(Ok(text)) => Ok(given(Some(&text))),
        Some(Err(_)) => Err(CliError::usage(format!("the environment variable {name} is not UTF-8"))),
    }
}

/// Reads a file that a flag names, of at most `limit` bytes. Files below `/dev` or `/proc` (stdin,
/// a shell's `<(…)`) are read to their end; elsewhere a pipe is refused, since it may never get a
/// writer.
///
/// # Errors
/// If the file cannot be read, is not a regular file, or is longer.
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

/// Returns the directory of the docker client's configuration: `DOCKER_CONFIG`, else `.docker` in
/// the home directory.
pub(crate) fn docker_config_directory() -> Option<PathBuf> {
    let path = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    path("DOCKER_CONFIG").or_else(|| path("HOME").map(|home| home.join(".docker")))
}

/// Reads the docker client's configuration, and the settings for registries of this machine's
/// docker and podman: below `XDG_CONFIG_HOME`, else `.config` in the home directory, and below
/// `/etc`.
///
/// # Errors
/// If a file is not in docker's or podman's format.
pub(crate) fn docker_config() -> anyhow::Result<DockerConfig> {
    let own = directory("XDG_CONFIG_HOME", ".config");
    let trust = Trust::load(&own.into_iter().chain(["/etc".into()]).collect::<Vec<_>>())?;
    Ok(DockerConfig::load(docker_config_directory().as_deref())?.with_trust(trust))
}

/// Returns the engine that a flag, the environment or the docker configuration names.
///
/// # Errors
/// If an address is invalid, or a context does not exist.
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

/// Returns the directory of the cache: `image-builder` in `XDG_CACHE_HOME`, else in `.cache` in the
/// home directory. Relative paths are ignored, as
/// <https://specifications.freedesktop.org/basedir-spec/latest/> requires.
fn cache_directory() -> Option<PathBuf> {
    Some(directory("XDG_CACHE_HOME", ".cache")?.join("image-builder"))
}

/// Adds a cache of image configurations, in the user's cache directory, to a registry client. That
/// directory may lie in the source tree's repository `tree`; links in there are not followed.
pub(crate) fn cached(registry: Registry, tree: &Path) -> Registry {
    match cache_directory() {
        Some(directory) => registry.with_cache(directory.join("configs"), Some(tree.to_owned())),
        None => registry,
    }
}

/// Returns a directory of the user: the one in the variable, else the one in the home directory.
fn directory(variable: &str, in_home: &str) -> Option<PathBuf> {
    let path = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    path(variable).or_else(|| path("HOME").map(|home| home.join(in_home)))
}

/// Returns `SOURCE_DATE_EPOCH` in seconds. See
/// <https://reproducible-builds.org/specs/source-date-epoch/>.
///
/// # Errors
/// If it is not a whole number.
pub(crate) fn source_date_epoch() -> Result<Option<i64>, CliError> {
    let Some(text) = variable("SOURCE_DATE_EPOCH")? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        CliError::usage(format!("SOURCE_DATE_EPOCH is {text:?}, which is not a whole number of seconds"))
            .help("`git log -1 --format=%ct` prints that of the last commit")
    })
}
