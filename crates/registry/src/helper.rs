//! Credential helpers: programs named `docker-credential-*` that keep logins for the docker client.
//!
//! The protocol is that of docker/docker-credential-helpers: `get`, the server's address on
//! standard input, JSON on standard output; on failure a word on standard output and an exit code
//! that is not zero.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::credential::Credential;
use crate::error::{Error, ErrorKind, plain};

/// A helper's message for a server that it has no credentials for; that is no failure.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// The user name that marks the secret as an identity token.
const TOKEN_USER: &str = "<token>";

/// The longest answer that is read, in bytes.
const MOST: usize = 64 * 1024;

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
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|cause| match cause.kind() {
            std::io::ErrorKind::NotFound => error("is not installed".to_owned()),
            _ => error(format!("cannot be run: {cause}")),
        })?;
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let group = Group(AtomicI32::new(id.unwrap_or(0)));
    let (status, said) = match tokio::time::timeout(timeout, talk(&mut child, &group, server)).await {
        Err(_) => {
            return Err(error(format!("gave no answer for {server} within {timeout:?} and was ended")));
        }
        Ok(Err(cause)) => return Err(error(format!("cannot be read: {cause}"))),
        Ok(Ok(answer)) => answer,
    };
    if said.len() > MOST {
        return Err(error(format!("answered for {server} with more than {MOST} bytes")));
    }
    if !status.success() {
        let said = String::from_utf8_lossy(&said);
        if said.trim() == NOT_FOUND {
            return Ok(Credential::Anonymous);
        }
        return Err(error(format!("failed for {server}, {}: {}", status, plain(said.trim(), 200))));
    }
    let answer: Answer = serde_json::from_slice(&said)
        .map_err(|_| error(format!("answered for {server} with something that is not a login")))?;
    Ok(match answer.username.as_str() {
        TOKEN_USER => Credential::IdentityToken(answer.secret),
        "" if answer.secret.is_empty() => Credential::Anonymous,
        _ => Credential::Basic { user: answer.username, password: answer.secret },
    })
}

/// All that a helper started, itself first; ended when dropped, whatever it does with signals.
struct Group(AtomicI32);

impl Group {
    /// Ends it once: afterwards the number may be another's.
    fn end(&self) {
        let leader = Pid::from_raw(self.0.swap(0, Ordering::Relaxed));
        if let Some(leader) = leader {
            // The process group may already be gone, which is the goal.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sends a query to a running helper, and waits for its end. Processes that it started could keep
/// its output open; they are ended with it.
async fn talk(child: &mut Child, group: &Group, server: &str) -> std::io::Result<(ExitStatus, Vec<u8>)> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let ask = async {
        if let Some(mut stdin) = stdin {
            // A helper that does not read its input may still answer.
            let _ = stdin.write_all(server.as_bytes()).await;
        }
    };
    let end = async {
        let status = child.wait().await;
        group.end();
        status
    };
    let read = async {
        let mut said = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(MOST as u64 + 1).read_to_end(&mut said).await?;
        }
        if said.len() > MOST {
            group.end();
        }
        Ok::<_, std::io::Error>(said)
    };
    let ((), status, said) = tokio::join!(ask, end, read);
    Ok((status?, said?))
}
