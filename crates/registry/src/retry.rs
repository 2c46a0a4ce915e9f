//! Decides when a failed operation is retried: increasing waits with jitter, within a time limit.
//!
//! Independent of the operation; the caller classifies a failure, and is notified of every wait.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// The first wait is at most this long.
const FIRST: Duration = Duration::from_millis(500);
/// No wait of our own choice is longer.
const LONGEST: Duration = Duration::from_secs(30);

/// How to continue after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryDecision {
    /// The same would fail the same way.
    Never,
    /// A new login may help, once.
    NewLogin,
    /// It may pass.
    Later {
        /// How long the other side asks to wait (RFC 9110, `Retry-After`).
        asked: Option<Duration>,
    },
}

/// One attempt of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// Whether a login that was known before is not to be used any more.
    pub new_login: bool,
}

/// The wait before each attempt. The same seed gives the same waits.
///
/// Half of each wait is fixed and half is random, so that clients that failed together do not
/// return together.
#[derive(Debug, Clone)]
pub struct Backoff {
    bound: Duration,
    next: Duration,
    chance: fastrand::Rng,
}

impl Backoff {
    /// Waits that end within `bound` of the first attempt's begin.
    #[must_use]
    pub fn within(bound: Duration) -> Self {
        Self::seeded(bound, fastrand::u64(..))
    }

    /// The same with a choice of one's own.
    #[must_use]
    pub fn seeded(bound: Duration, seed: u64) -> Self {
        Self { bound, next: FIRST, chance: fastrand::Rng::with_seed(seed) }
    }

    /// The next wait, `elapsed` after the start of the first attempt; `None` if it would end beyond
    /// the limit. At least the requested time is waited.
    pub fn next(&mut self, elapsed: Duration, asked: Option<Duration>) -> Option<Duration> {
        let half = self.next / 2;
        let own = half + half.mul_f64(self.chance.f64());
        self.next = (self.next * 2).min(LONGEST);
        let wait = own.max(asked.unwrap_or_default());
        (elapsed.saturating_add(wait) <= self.bound).then_some(wait)
    }
}

/// The last failure, when no further attempt is made. Its display is appended to the error's
/// message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp<E> {
    /// The error of the last attempt.
    pub error: E,
    /// How many there were.
    pub attempts: u32,
    /// The wait that the server requested, if it was beyond the limit.
    pub asked: Option<Duration>,
}

impl<E> fmt::Display for GivenUp<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.attempts > 1 {
            write!(f, ", after {} attempts", self.attempts)?;
        }
        match self.asked {
            Some(asked) => write!(f, ", and asks to wait {} seconds, which is too long", asked.as_secs()),
            None => Ok(()),
        }
    }
}

/// Tries until it works, until trying again makes no sense, or until the waits are over. `told` hears of a failure, of how many
/// attempts there were, and of the wait that follows.
///
/// # Errors
/// The last failure.
pub async fn retry<T, E, F>(
    mut waits: Backoff,
    mut attempt: impl FnMut(Attempt) -> F,
    judge: impl Fn(&E) -> RetryDecision,
    mut told: impl FnMut(&E, u32, Duration),
) -> Result<T, GivenUp<E>>
where
    F: Future<Output = Result<T, E>>,
{
    let began = Instant::now();
    let mut this = Attempt { number: 1, new_login: false };
    loop {
        let error = match attempt(this).await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let (wait, asked) = match judge(&error) {
            RetryDecision::Never => (None, None),
            RetryDecision::NewLogin if this.new_login => (None, None),
            RetryDecision::NewLogin => {
                this.new_login = true;
                (Some(Duration::ZERO), None)
            }
            RetryDecision::Later { asked } => (waits.next(began.elapsed(), asked), asked),
        };
        let Some(wait) = wait else {
            let asked = asked.filter(|asked| began.elapsed().saturating_add(*asked) > waits.bound);
            return Err(GivenUp { error, attempts: this.number, asked });
        };
        told(&error, this.number, wait);
        tokio::time::sleep(wait).await;
        this.number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY_LATER: RetryDecision = RetryDecision::Later { asked: None };
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn waits_grow_to_a_limit_and_are_never_the_same_for_two() {
        let all = |seed| {
            let mut waits = Backoff::seeded(Duration::MAX, seed);
            (0..12).map(|_| waits.next(Duration::ZERO, None).expect("no bound")).collect::<Vec<_>>()
        };
        assert_eq!(all(1), all(1), "a seed says it all");
        assert_ne!(all(1), all(2));
        for seed in 0..200 {
            let mut most = FIRST;
            for wait in all(seed) {
                assert!(wait >= most / 2 && wait <= most, "{wait:?} of {most:?}");
                most = (most * 2).min(LONGEST);
            }
        }
    }

    #[test]
    fn what_is_asked_for_is_waited_within_the_bound() {
        let mut waits = Backoff::seeded(MINUTE, 1);
        assert_eq!(waits.next(Duration::ZERO, Some(Duration::from_secs(50))), Some(Duration::from_secs(50)));
        assert_eq!(waits.next(Duration::from_secs(20), Some(Duration::from_secs(50))), None);
        assert_eq!(waits.next(Duration::ZERO, Some(Duration::MAX)), None);
        let own = waits.next(Duration::ZERO, Some(Duration::ZERO)).expect("within");
        assert!(own >= Duration::from_secs(2), "our own wait counts where it is longer: {own:?}");
        assert_eq!(waits.next(MINUTE, None), None);
    }

    /// Outcomes in turn; the last one stays.
    async fn run(
        outcomes: &[Result<&'static str, RetryDecision>],
    ) -> (Result<&'static str, String>, u32, u32) {
        let (mut attempts, mut logins, mut told) = (0, 0, 0);
        let result = retry(
            Backoff::seeded(MINUTE, 1),
            |attempt| {
                attempts = attempt.number;
                logins += u32::from(attempt.new_login);
                let at = (attempt.number as usize - 1).min(outcomes.len() - 1);
                std::future::ready(outcomes[at])
            },
            |again| *again,
            |_, number, wait| {
                told += 1;
                assert!(number == told && wait <= MINUTE);
            },
        )
        .await;
        let result = result.map_err(|given_up| {
            assert_eq!((given_up.attempts, told + 1), (attempts, attempts));
            given_up.to_string()
        });
        (result, attempts, logins)
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_met_as_it_is_judged() {
        let asked = |seconds| RetryDecision::Later { asked: Some(Duration::from_secs(seconds)) };
        let too_long = ", after 2 attempts, and asks to wait 61 seconds, which is too long";
        for (outcomes, expect, attempts, logins) in [
            (vec![Ok("d")], Ok("d"), 1, 0),
            (vec![Err(RETRY_LATER), Err(RETRY_LATER), Ok("d")], Ok("d"), 3, 0),
            (vec![Err(RetryDecision::Never), Ok("d")], Err(""), 1, 0),
            (vec![Err(RETRY_LATER), Err(RetryDecision::Never)], Err(", after 2 attempts"), 2, 0),
            (vec![Err(RetryDecision::NewLogin), Ok("d")], Ok("d"), 2, 1),
            (vec![Err(RetryDecision::NewLogin), Err(RETRY_LATER), Ok("d")], Ok("d"), 3, 2),
            (
                vec![Err(RetryDecision::NewLogin), Err(RETRY_LATER), Err(RetryDecision::NewLogin)],
                Err(", after 3 attempts"),
                3,
                2,
            ),
            (vec![Err(asked(59)), Ok("d")], Ok("d"), 2, 0),
            (vec![Err(RETRY_LATER), Err(asked(61))], Err(too_long), 2, 0),
        ] {
            let (result, tried, renewed) = run(&outcomes).await;
            assert_eq!(
                (result.as_ref().map_err(String::as_str), tried, renewed),
                (expect.as_ref().map_err(|text| *text), attempts, logins),
                "{outcomes:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_bound_is_the_end() {
        let began = Instant::now();
        let (result, attempts, _) = run(&[Err(RETRY_LATER)]).await;
        assert!(began.elapsed() <= MINUTE && began.elapsed() >= MINUTE / 3, "{:?}", began.elapsed());
        assert!((7..=9).contains(&attempts), "{attempts}");
        assert_eq!(result, Err(format!(", after {attempts} attempts")));
    }
}
