//! A floor for the rate of a stream: one byte now and then would keep a run waiting without end.
//!
//! Only the time spent waiting for the other side counts, so a slow reader is no reason to give up.

use std::time::Duration;

use tokio::time::{Instant, error::Elapsed, timeout};

use crate::limits::{RATE, WINDOW};

/// Bytes received since the rate was last checked.
#[derive(Debug, Default)]
pub(crate) struct TransferRate {
    waited: Duration,
    bytes: u64,
}

/// Too few bytes came in the last window.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooSlow {
    /// This many.
    pub(crate) bytes: u64,
    /// In this time.
    pub(crate) waited: Duration,
}

impl TransferRate {
    /// Waits for the other side, at most `limit`, and counts the time.
    pub(crate) async fn wait<F: Future>(&mut self, limit: Duration, piece: F) -> Result<F::Output, Elapsed> {
        let began = Instant::now();
        let piece = timeout(limit, piece).await;
        self.waited += began.elapsed();
        piece
    }

    /// After bytes that were waited for: whether they came fast enough.
    pub(crate) fn came(&mut self, bytes: usize) -> Result<(), TooSlow> {
        self.bytes += bytes as u64;
        if self.waited < WINDOW {
            return Ok(());
        }
        let Self { waited, bytes } = std::mem::take(self);
        if bytes < RATE * waited.as_secs() { Err(TooSlow { bytes, waited }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// Pieces of this many bytes, one after each wait and before each pause of the reader; when it
    /// was given up.
    async fn stream(wait: Duration, bytes: usize, pause: Duration, all: u64) -> Result<(), Duration> {
        let (began, mut pace, mut came) = (Instant::now(), TransferRate::default(), 0);
        while came < all {
            pace.wait(WINDOW, sleep(wait)).await.expect("within the limit of a piece");
            pace.came(bytes).map_err(|_| began.elapsed())?;
            came += bytes as u64;
            sleep(pause).await;
        }
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn case_bombs_in_layers_drip() {
        let (second, none) = (Duration::from_secs(1), Duration::ZERO);
        // One byte every 5 seconds of "1 GiB".
        assert_eq!(stream(5 * second, 1, none, 1 << 30).await, Err(WINDOW));
        // Fast at first does not help later.
        let mut pace = TransferRate::default();
        assert_eq!(pace.came(1 << 30), Ok(()));
        for _ in 0..12 {
            pace.wait(WINDOW, sleep(5 * second)).await.expect("it comes");
            assert_eq!(pace.came(1), Ok(()), "the window with the beginning is fast enough");
        }
        for at in 1..=12 {
            pace.wait(WINDOW, sleep(5 * second)).await.expect("it comes");
            assert_eq!(pace.came(1).is_err(), at == 12, "{at}");
        }
        // At the floor, and with a reader that takes its time.
        let floor = usize::try_from(RATE).expect("it is small");
        assert_eq!(stream(second, floor, none, RATE * 600).await, Ok(()));
        assert_eq!(stream(second, floor - 1, none, RATE * 600).await, Err(WINDOW));
        assert_eq!(stream(second, floor, 100 * second, RATE * 600).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_with_the_limit_of_a_piece() {
        let began = Instant::now();
        assert!(
            TransferRate::default().wait(Duration::from_secs(7), std::future::pending::<()>()).await.is_err()
        );
        assert_eq!(began.elapsed(), Duration::from_secs(7));
    }
}
