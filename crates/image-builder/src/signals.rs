//! SIGINT and SIGTERM: the first asks the run to end, a second one ends the program at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{exit, output};

/// What the signals of a run have led to so far.
#[derive(Debug, Clone)]
pub(crate) struct Signals {
    /// The exit code of the first signal; 0 while there was none.
    code: Arc<AtomicU8>,
    /// Cancelled by the first signal.
    pub(crate) cancel: CancellationToken,
}

/// How long the last words of a run that was asked to stop may take to be read.
const LAST_WORDS: Duration = Duration::from_secs(3);

impl Signals {
    /// Some time after the first signal; never without one.
    pub(crate) async fn late(&self) {
        self.cancel.cancelled().await;
        tokio::time::sleep(LAST_WORDS).await;
    }

    /// The exit code that a signal asks for.
    pub(crate) fn code(&self) -> Option<u8> {
        match self.code.load(Ordering::SeqCst) {
            0 => None,
            code => Some(code),
        }
    }
}

/// Listens from now on; to be called in a runtime.
///
/// # Errors
/// When the system does not let us listen.
pub(crate) fn listen() -> io::Result<Signals> {
    let signals = Signals { code: Arc::new(AtomicU8::new(0)), cancel: CancellationToken::new() };
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let heard = signals.clone();
    tokio::spawn(async move {
        loop {
            let code = tokio::select! {
                Some(()) = interrupt.recv() => exit::INTERRUPTED,
                Some(()) = terminate.recv() => exit::TERMINATED,
                else => return,
            };
            if heard.code.swap(code, Ordering::SeqCst) != 0 {
                std::process::exit(code.into());
            }
            output::tell("\nstopping; what runs is being ended, a second signal ends this program at once\n");
            heard.cancel.cancel();
        }
    });
    Ok(signals)
}
