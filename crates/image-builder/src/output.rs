//! The two streams: data to stdout, everything else to stderr, and neither ends the program when its reader is gone.

use std::io::{self, IsTerminal, Write};

use crate::report::words::Paint;

/// Writes data. A reader that went away (`image-builder plan | head -1`) is no error.
///
/// # Errors
/// What else can happen to a file that stdout leads to, a full disk for instance.
pub(crate) fn data(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Tells a person something. There is nobody to tell that it could not be told.
pub(crate) fn tell(text: &str) {
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
