//! How long, and how often, to try again while a server is away.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use crate::{Error, Result};

/// How long a break may last, when nobody says otherwise.
pub(crate) const RECONNECT_FOR: Duration = Duration::from_secs(5 * 60);

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_RETRY_DELAY: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Patience {
    longest: Duration,
    breaks: u32,
    broken_since: Option<Instant>,
}

impl Patience {
    pub(crate) fn new(longest: Duration) -> Self {
        Self { longest, breaks: 0, broken_since: None }
    }

    /// All is well again.
    pub(crate) fn restore(&mut self) {
        *self = Self::new(self.longest);
    }

    /// How long to pause before another try; or the error, when it is final, or when the break has lasted for too
    /// long.
    pub(crate) fn bear(&mut self, error: Error) -> Result<Duration> {
        let Some(call) = error.call().filter(|call| is_break(call.code)) else { return Err(error) };
        let retry_delay = call.retry_delay.unwrap_or_default();
        if self.broken_since.get_or_insert_with(Instant::now).elapsed() >= self.longest {
            return Err(error);
        }
        Ok(retry_delay.min(LONGEST_RETRY_DELAY) + self.pause())
    }

    fn pause(&mut self) -> Duration {
        let longest = LONGEST_PAUSE.min(FIRST_PAUSE * 2_u32.pow(self.breaks));
        self.breaks = (self.breaks + 1).min(16);
        // Jitter, so that the watchers of a server that comes back do not come all at once; on top of what it asks
        // for, for the same reason.
        longest.mul_f64(0.5 + 0.5 * fastrand::f64())
    }
}

/// Whether the log is there all the same.
fn is_break(code: Code) -> bool {
    use Code::{Aborted, DeadlineExceeded, Internal, ResourceExhausted, Unavailable, Unknown};
    matches!(code, Unavailable | ResourceExhausted | Internal | Unknown | DeadlineExceeded | Aborted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Status;
    use tonic_types::{ErrorDetails, StatusExt};

    fn away() -> Error {
        Status::unavailable("away").into()
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_five_seconds_and_begin_anew_after_a_response() {
        let mut patience = Patience::new(RECONNECT_FOR);
        for longest in [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0] {
            let pause = patience.bear(away()).unwrap().as_secs_f64();
            assert!((longest / 2.0..=longest).contains(&pause), "{pause} {longest}");
        }
        patience.restore();
        assert!(patience.bear(away()).unwrap() <= FIRST_PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_break_that_lasts_is_an_error_and_one_that_ended_does_not_count() {
        let mut patience = Patience::new(Duration::from_secs(10));
        patience.bear(away()).unwrap();
        tokio::time::advance(Duration::from_secs(9)).await;
        patience.bear(away()).unwrap();
        patience.restore();
        tokio::time::advance(Duration::from_secs(9)).await;
        patience.bear(away()).unwrap();
        tokio::time::advance(Duration::from_secs(10)).await;
        patience.bear(away()).unwrap_err();
        Patience::new(Duration::ZERO).bear(away()).unwrap_err();
    }

    #[tokio::test]
    async fn a_retry_delay_is_waited_for_and_jitter_comes_on_top() {
        let delayed = |delay| {
            let details = ErrorDetails::with_retry_info(Some(delay));
            Error::from(Status::with_error_details(Code::ResourceExhausted, "full", details))
        };
        for (asked, least) in [(5.0, 5.0), (700.0, 30.0)] {
            let mut patience = Patience::new(RECONNECT_FOR);
            let pause = patience.bear(delayed(Duration::from_secs_f64(asked))).unwrap().as_secs_f64();
            assert!((least + 0.049..=least + 0.1).contains(&pause), "{pause} {least}");
        }
    }

    #[tokio::test]
    async fn what_will_not_pass_is_an_error_at_once() {
        for code in [Code::NotFound, Code::PermissionDenied, Code::Unauthenticated, Code::OutOfRange, Code::Cancelled] {
            Patience::new(RECONNECT_FOR).bear(Status::new(code, "no").into()).unwrap_err();
        }
        Patience::new(RECONNECT_FOR).bear(Error::Closed).unwrap_err();
    }
}
