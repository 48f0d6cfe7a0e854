//! What may go wrong.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{Job, Reason};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

const DOMAIN: &str = "autopilot";

/// Everything that may go wrong.
///
/// ```no_run
/// # async fn example(client: autopilot_client::Client) {
/// use autopilot_client::{Error, Reason};
///
/// match client.get("a-job").await {
///     Ok(job) => println!("{}", job.state),
///     Err(error) if error.is(Reason::JobNotFound) => println!("there is none"),
///     Err(Error::ServerUnreachable(_)) => println!("try later"),
///     Err(error) => println!("{error}"),
/// }
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The server, or something on the way to it, refused the call.
    CallFailed(Box<CallError>),
    /// No server answered.
    ServerUnreachable(Box<CallError>),
    /// The call took longer than it may.
    DeadlineExceeded(Box<CallError>),
    /// The job that was run failed.
    JobFailed(Box<Job>),
    /// The job that was run was cancelled.
    JobCancelled(Box<Job>),
    /// The job that was run waits for answers: [`Job::interrupts`] has the questions.
    JobInterrupted(Box<Job>),
    /// The client was closed.
    Closed,
    /// The client was made where no tokio runtime is.
    NoRuntime,
    /// The address, or what goes with it, makes no connection.
    Connection(BoxError),
    /// A token is not sent over plain text to another machine.
    TokenExposed {
        /// Of the server.
        address: String,
    },
    /// The token is empty, or has characters that no token has.
    TokenMalformed,
    /// What gives the token failed.
    TokenSource(BoxError),
    /// What was given is no JSON, or what was received does not fit.
    Json(serde_json::Error),
    /// The response has no value here, which is not JSON's null.
    NoValue,
    /// The value was too large for its response.
    Omitted {
        /// How large it is.
        size_bytes: u64,
    },
}

impl Error {
    /// The call that failed, when that is what went wrong.
    pub fn call(&self) -> Option<&CallError> {
        match self {
            Self::CallFailed(call) | Self::ServerUnreachable(call) | Self::DeadlineExceeded(call) => Some(call),
            _ => None,
        }
    }

    /// The reason that the server gave.
    pub fn reason(&self) -> Option<&Reason> {
        self.call()?.reason.as_ref()
    }

    /// Whether the server gave this reason.
    pub fn is(&self, reason: Reason) -> bool {
        self.reason() == Some(&reason)
    }

    /// The job that did not succeed, of [`Run`](crate::Run).
    pub fn job(&self) -> Option<&Job> {
        match self {
            Self::JobFailed(job) | Self::JobCancelled(job) | Self::JobInterrupted(job) => Some(job),
            _ => None,
        }
    }

    pub(crate) fn deadline_exceeded(allowed: Duration) -> Self {
        let message = format!("no answer within {} s", allowed.as_secs_f64());
        Self::from(Status::deadline_exceeded(message))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CallFailed(call) | Self::ServerUnreachable(call) | Self::DeadlineExceeded(call) => call.fmt(f),
            Self::JobFailed(job) | Self::JobCancelled(job) | Self::JobInterrupted(job) => ended(job, f),
            Self::Closed => f.write_str("this client is closed"),
            Self::NoRuntime => f.write_str("a client is made within a tokio runtime, and there is none"),
            Self::Connection(_) => f.write_str("no connection can be made like this"),
            Self::TokenExposed { address } => write!(
                f,
                "a token is not sent to {address} over plain text, where others could read it: use tls(), \
                 or insecure() where something else protects the way"
            ),
            Self::TokenMalformed => {
                f.write_str("the token is empty, or has characters that no token has, such as spaces or line ends")
            }
            Self::TokenSource(_) => f.write_str("there is no token"),
            Self::Json(_) => f.write_str("the value is no JSON, or does not fit"),
            Self::NoValue => f.write_str("the response has no value here"),
            Self::Omitted { size_bytes } => {
                write!(f, "the value of {size_bytes} bytes was too large for its response")
            }
        }
    }
}

fn ended(job: &Job, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "job {} is {}", job.job_id, job.state)?;
    job.error.as_ref().map_or(Ok(()), |error| write!(f, ": {}", error.message))
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::CallFailed(call) | Self::ServerUnreachable(call) | Self::DeadlineExceeded(call) => call.source(),
            Self::Connection(error) | Self::TokenSource(error) => Some(error.as_ref()),
            Self::Json(error) => Some(error),
            _ => None,
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let call = Box::new(CallError::from(status));
        match (&call.reason, call.code) {
            (None, Code::Unavailable) => Self::ServerUnreachable(call),
            (None, Code::DeadlineExceeded) => Self::DeadlineExceeded(call),
            _ => Self::CallFailed(call),
        }
    }
}

/// A call that failed.
#[derive(Debug)]
#[non_exhaustive]
pub struct CallError {
    /// gRPC's code.
    pub code: Code,
    /// The server's reason, when it gave one.
    pub reason: Option<Reason>,
    /// For people.
    pub message: String,
    /// What the reason is about: the table of errors says which keys there are.
    pub metadata: HashMap<String, String>,
    /// All that is wrong with the request.
    pub violations: Vec<Violation>,
    /// After how long trying again makes sense, when the server said so.
    pub retry_delay: Option<Duration>,
    status: Status,
}

/// One thing that is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The field.
    pub field: String,
    /// What is wrong.
    pub description: String,
}

impl CallError {
    /// The status as it came.
    pub fn status(&self) -> &Status {
        &self.status
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        let info = status.get_details_error_info().filter(|info| info.domain == DOMAIN);
        let (reason, metadata) = info.map_or_else(Default::default, |info| (Some(info.reason.into()), info.metadata));
        let bad = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
        let violation = |one: tonic_types::FieldViolation| Violation { field: one.field, description: one.description };
        Self {
            code: code(&status),
            reason,
            message: status.message().to_owned(),
            metadata,
            violations: bad.into_iter().map(violation).collect(),
            retry_delay: status.get_details_retry_info().and_then(|retry| retry.retry_delay),
            status,
        }
    }
}

/// A status with a source is not a server's, but a connection's that broke, which tonic calls many things, or
/// a deadline's that tonic kept.
fn code(status: &Status) -> Code {
    let Some(source) = status.source() else { return status.code() };
    if is_timeout(source) { Code::DeadlineExceeded } else { Code::Unavailable }
}

fn is_timeout(error: &(dyn StdError + 'static)) -> bool {
    error.is::<tonic::TimeoutExpired>() || error.source().is_some_and(is_timeout)
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{reason}: {}", self.message),
            None => write!(f, "{}: {}", self.code, self.message),
        }
    }
}

impl StdError for CallError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.status.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn what_broke_on_the_way_is_unreachable_and_a_deadline_that_tonic_kept_is_one() {
        let with = |source: Arc<dyn StdError + Send + Sync>| {
            let mut status = Status::cancelled("by tonic");
            status.set_source(source);
            Error::from(status)
        };
        assert!(matches!(with(Arc::new(tonic::TimeoutExpired(()))), Error::DeadlineExceeded(_)));
        assert!(matches!(with(Arc::new(std::io::Error::other("reset"))), Error::ServerUnreachable(_)));
        assert!(matches!(Error::from(Status::cancelled("by the server")), Error::CallFailed(_)));
    }

    #[test]
    fn a_reason_of_another_domain_is_none() {
        let details = tonic_types::ErrorDetails::with_error_info("JOB_NOT_FOUND", "example.com", HashMap::new());
        assert!(Error::from(Status::with_error_details(Code::NotFound, "no", details)).reason().is_none());
    }
}
