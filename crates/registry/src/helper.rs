//! Credential helpers: programs named `docker-credential-*` that keep logins for the docker client.
//!
//! The protocol is that of docker/docker-credential-helpers: `get`, the server's address on standard input,
//! JSON on standard output; on failure a word on standard output and an exit code that is not zero.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::credentials::Credential;
use crate::error::{Error, ErrorKind, plain};

/// What a helper says when it has nothing for this server; that is no failure.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// The user name that marks the secret as an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks the helper `docker-credential-{name}` for a server's login. `path` is written like `PATH`.
pub(crate) async fn get(
    name: &str,
    server: &str,
    path: Option<&OsStr>,
    timeout: Duration,
) -> Result<Credential, Error> {
    let program = format!("docker-credential-{name}");
    let error = |what: String| {
        Error::new(ErrorKind::Credentials, format!("the credential helper {program} {what}"))
            .help(format!("try: echo {server} | {program} get"))
    };
    if name.contains('/') {
        return Err(error("has a name with a slash".to_owned()));
    }
    let file = match path {
        None => PathBuf::from(&program),
        Some(path) => std::env::split_paths(path)
            .map(|directory| directory.join(&program))
            .find(|file| file.is_file())
            .ok_or_else(|| error("is not installed".to_owned()))?,
    };
    let mut child = Command::new(file)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|cause| match cause.kind() {
            std::io::ErrorKind::NotFound => error("is not installed".to_owned()),
            _ => error(format!("cannot be run: {cause}")),
        })?;
    let talk = async move {
        if let Some(mut stdin) = child.stdin.take() {
            // A helper that does not read its input may still answer.
            let _ = stdin.write_all(server.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = match tokio::time::timeout(timeout, talk).await {
        Err(_) => return Err(error(format!("gave no answer for {server} within {timeout:?}"))),
        Ok(Err(cause)) => return Err(error(format!("cannot be read: {cause}"))),
        Ok(Ok(output)) => output,
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        if said.trim() == NOT_FOUND {
            return Ok(Credential::Anonymous);
        }
        return Err(error(format!("failed for {server}, {}: {}", output.status, plain(said.trim(), 200))));
    }
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .map_err(|_| error(format!("answered for {server} with something that is not a login")))?;
    Ok(match answer.username.as_str() {
        TOKEN_USER => Credential::IdentityToken(answer.secret),
        "" if answer.secret.is_empty() => Credential::Anonymous,
        _ => Credential::Basic { user: answer.username, password: answer.secret },
    })
}
