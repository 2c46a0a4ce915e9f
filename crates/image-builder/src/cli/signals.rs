//! Handles SIGINT, SIGTERM and SIGHUP: the first cancels the work, a second one exits at once.
//!
//! One thread listens from the first use until the process ends, so that a signal between two waits
//! is not lost.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::exit::{self, CliError};
use crate::cli::output;

/// The signals that this process received, and their effects so far.
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

    /// The result of `work`, or an error with the exit code of the signal that interrupted it.
    pub(crate) async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        tokio::select! {
            done = work => done,
            () = self.cancel.cancelled() => {
                Err(CliError::interrupted(self.code().unwrap_or(exit::INTERRUPTED)).into())
            }
        }
    }
}

/// Runs what waits for engines and registries, and tells it of signals.
///
/// # Errors
/// When the system gives no threads, and what `work` meets.
pub(crate) fn run<T, F>(work: impl FnOnce(Signals) -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let signals = listen().context("cannot listen to signals")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that ask engines and registries")?;
    let done = runtime.block_on(work(signals));
    // Files that are still being read must not hold up the end.
    runtime.shutdown_background();
    done
}

/// Runs what leaves nothing behind wherever it stops, until its end or the first signal.
///
/// # Errors
/// As [`run`], and when a signal came.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    run(|signals| async move { signals.unless_stopped(work).await })
}

/// Listens from now on.
///
/// # Errors
/// When the system does not let us listen.
pub(crate) fn listen() -> io::Result<Signals> {
    static SIGNALS: Mutex<Option<Signals>> = Mutex::new(None);
    let mut known = SIGNALS.lock();
    let signals = match &*known {
        Some(signals) => signals.clone(),
        None => start()?,
    };
    *known = Some(signals.clone());
    Ok(signals)
}

fn start() -> io::Result<Signals> {
    let signals = Signals { code: Arc::new(AtomicU8::new(0)), cancel: CancellationToken::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = if hangup_is_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
    // Handled, a write beyond the largest size of a file (`ulimit -f`) is an error like that of a
    // full disk.
    let _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
    drop(entered);
    let heard = signals.clone();
    let listen = async move {
        loop {
            let code = tokio::select! {
                Some(()) = interrupt.recv() => exit::INTERRUPTED,
                Some(()) = terminate.recv() => exit::TERMINATED,
                Some(()) = next(&mut hangup) => exit::HUNG_UP,
                else => return,
            };
            if heard.code.swap(code, Ordering::SeqCst) != 0 {
                std::process::exit(code.into());
            }
            heard.cancel.cancel();
            output::print_stderr(
                "\nstopping; what runs is being ended, a second signal ends this program at once\n",
            );
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(listen))?;
    Ok(signals)
}

async fn next(signals: &mut Option<Signal>) -> Option<()> {
    match signals {
        Some(signals) => signals.recv().await,
        None => std::future::pending().await,
    }
}

/// Whether the parent process asked for this one to outlive its terminal, as `nohup` does.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & 1 != 0
}
