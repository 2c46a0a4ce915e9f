//! Writes data to stdout and everything else to stderr; a closed reader does not end the program.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use crate::cli::escape::escape_json;
use crate::cli::exit::CliError;
use crate::report::text::format::Paint;

/// Writes data to stdout. A closed reader (`image-builder plan | head -1`, a closed terminal) is
/// not an error.
///
/// # Errors
/// Any other error of the file behind stdout, for instance a full disk.
pub(crate) fn print_stdout(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe || is_hung_up(&error) => Ok(()),
        other => other,
    }
}

/// Whether the error is that of a closed terminal, which like a closed pipe has no reader.
fn is_hung_up(error: &io::Error) -> bool {
    // Linux's EIO. A disk returns it too, but a disk is not a character device.
    const EIO: i32 = 5;
    let is_device = || {
        let stream = io::stdout().as_fd().try_clone_to_owned().map(File::from);
        stream.and_then(|stream| stream.metadata()).is_ok_and(|found| found.file_type().is_char_device())
    };
    error.raw_os_error() == Some(EIO) && is_device()
}

/// Formats a document for stdout: indented JSON with a line end, safe to print.
///
/// # Errors
/// If the document cannot be written as JSON.
pub(crate) fn json(document: &impl Serialize) -> anyhow::Result<String> {
    let json = serde_json::to_string_pretty(document).context("cannot write JSON")?;
    Ok(escape_json(&json).into_owned() + "\n")
}

/// Prints to stderr. Errors are ignored: there is no other place to report them.
pub(crate) fn print_stderr(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Colours for stdout.
pub(crate) fn stdout_paint() -> Paint {
    paint(io::stdout().is_terminal())
}

/// Colours for stderr.
pub(crate) fn stderr_paint() -> Paint {
    paint(io::stderr().is_terminal())
}

/// Whether a live view can be drawn on stderr.
pub(crate) fn stderr_is_live() -> bool {
    io::stderr().is_terminal() && !dumb()
}

/// See <https://no-color.org>.
fn paint(terminal: bool) -> Paint {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if terminal && !refused && !dumb() { Paint::Colour } else { Paint::Plain }
}

fn dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Writes a file that a flag names, completely or not at all. `tree` is the root of the source
/// tree's repository: links in there are not followed.
///
/// # Errors
/// If the file cannot be written; an existing file is then unchanged.
pub(crate) fn save(path: &Path, tree: Option<&Path>, text: &str) -> anyhow::Result<()> {
    files::save(path, tree, text.as_bytes()).map_err(|error| {
        let message = format!("cannot write {}", path.display());
        match error.kind() {
            io::ErrorKind::InvalidInput => CliError::usage(message)
                .caused_by(error)
                .help("name a regular file, in a directory that no link in the source tree leads to")
                .into(),
            _ => anyhow::Error::new(error).context(message),
        }
    })
}
