//! Starts the image and requests its page: HTTP/1.0 over the loopback address, as far as one page
//! needs it (RFC 1945).

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::engine::Client;
use crate::process;

/// Name of the container; the engine is private, so no other container has this name.
pub(super) const NAME: &str = "image-builder-demo";

/// Starts the image under a base URL and returns the address of its published port.
pub(super) fn start(client: &Client, image: &str, base_url: &str, token: &str) -> Result<SocketAddr> {
    let token = format!("JUPYTER_TOKEN={token}");
    let mut run = client.command();
    run.args([
        "run",
        "--detach",
        "--pull",
        "always",
        "--name",
        NAME,
        "--publish",
        "127.0.0.1::8888",
        "--env",
        &token,
    ]);
    process::read(run.args([image, base_url]))?;
    let published = process::read(client.command().args(["port", NAME, "8888/tcp"]))?;
    let address = published.lines().next().unwrap_or_default().trim();
    address.parse().with_context(|| format!("no published port in {published:?}"))
}

/// Returns the body of a page as soon as the server answers with 200.
pub(super) fn wait(address: SocketAddr, path: &str) -> Result<String> {
    let mut last = String::from("nothing");
    let came = process::wait_until(Duration::from_secs(60), || match get(address, path) {
        Ok((200, body)) => {
            last = body;
            true
        }
        Ok((status, _)) => {
            last = format!("status {status}");
            process::interrupted()
        }
        Err(error) => {
            last = error.to_string();
            process::interrupted()
        }
    });
    if !came || process::interrupted() {
        bail!("http://{address}{path} did not answer with 200: {last}");
    }
    Ok(last)
}

/// Returns the status code of a page.
pub(super) fn status(address: SocketAddr, path: &str) -> Result<u16> {
    Ok(get(address, path)?.0)
}

fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let limit = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&String::from_utf8_lossy(&answer))
}

fn parse(answer: &str) -> Result<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n").context("no whole answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse().context("no status")?;
    Ok((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_status_and_a_body() {
        assert_eq!(parse("HTTP/1.0 200 OK\r\nA: b\r\n\r\nhello").unwrap(), (200, "hello".to_owned()));
        assert!(parse("").is_err());
    }
}
