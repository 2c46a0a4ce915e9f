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

/// Time limit for printing the last events of a run that was cancelled.
const LAST_WORDS: Duration = Duration::from_secs(3);

impl Signals {
    /// Completes some time after the first signal; never without a signal.
    pub(crate) async fn late(&self) {
        self.cancel.cancelled().await;
        tokio::time::sleep(LAST_WORDS).await;
    }

    /// Returns the exit code for the received signal.
    pub(crate) fn code(&self) -> Option<u8> {
        match self.code.load(Ordering::SeqCst) {
            0 => None,
            code => Some(code),
        }
    }

    /// Returns the result of `work`, or an error with the exit code of the signal that interrupted
    /// it.
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

/// Runs asynchronous work that uses engines and registries, and passes it the signals.
///
/// # Errors
/// If no threads can be started, and errors of `work`.
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
    // Files that are still being read must not delay the exit.
    runtime.shutdown_background();
    done
}

/// Runs work that can be dropped at any point, until it ends or the first signal arrives.
///
/// # Errors
/// As [`run`], and if a signal arrived.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    run(|signals| async move { signals.unless_stopped(work).await })
}

/// Starts to listen for signals, once for the process.
///
/// # Errors
/// If the signal handlers cannot be installed.
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
    // With a handler, a write beyond the size limit of files (`ulimit -f`) returns an error, like a
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

/// Whether the parent process requested that this one outlive its terminal, as `nohup` does.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & 1 != 0
}
