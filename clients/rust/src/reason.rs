//! Why the server refused a call.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why the server refused a call. The [table of errors][errors] says what to do about each.
        ///
        /// [errors]: https://github.com/autopilot-jobs/autopilot/blob/main/docs/errors.md
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
            /// A newer server's: its name.
            Other(String),
        }

        impl Reason {
            /// The name that the contract has.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(name) => name,
                }
            }
        }

        impl From<String> for Reason {
            fn from(name: String) -> Self {
                match name.as_str() {
                    $($name => Self::$variant,)*
                    _ => Self::Other(name),
                }
            }
        }
    };
}

reasons! {
    /// The request is out of form: [`CallError::violations`](crate::CallError::violations) has everything that is wrong.
    FieldInvalid = "FIELD_INVALID",
    /// A JSON value is over the server's limit.
    PayloadTooLarge = "PAYLOAD_TOO_LARGE",
    /// The request id was used for something else.
    RequestIdReused = "REQUEST_ID_REUSED",
    /// The page token is not the server's, or for another filter.
    PageTokenInvalid = "PAGE_TOKEN_INVALID",
    /// There is no such job.
    JobNotFound = "JOB_NOT_FOUND",
    /// There is no such workflow.
    WorkflowNotFound = "WORKFLOW_NOT_FOUND",
    /// The job has no such checkpoint.
    CheckpointNotFound = "CHECKPOINT_NOT_FOUND",
    /// The job id is taken.
    JobAlreadyExists = "JOB_ALREADY_EXISTS",
    /// Not possible in the job's state.
    JobStateConflict = "JOB_STATE_CONFLICT",
    /// The question is not open.
    InterruptNotPending = "INTERRUPT_NOT_PENDING",
    /// Another unfinished job uses the thread.
    ThreadBusy = "THREAD_BUSY",
    /// A newer job has gone on with the thread.
    ThreadAdvanced = "THREAD_ADVANCED",
    /// The job has changed meanwhile.
    EtagMismatch = "ETAG_MISMATCH",
    /// The place to watch from is not in the log.
    SequenceOutOfRange = "SEQUENCE_OUT_OF_RANGE",
    /// The server is full.
    LimitExceeded = "LIMIT_EXCEEDED",
    /// The server is stopping.
    ServerDraining = "SERVER_DRAINING",
    /// The server's database is away.
    StorageUnavailable = "STORAGE_UNAVAILABLE",
    /// The server failed; `error_id` of the metadata finds it in its log.
    InternalError = "INTERNAL_ERROR",
    /// Who calls is not known.
    CredentialsInvalid = "CREDENTIALS_INVALID",
    /// Who calls may not.
    MethodForbidden = "METHOD_FORBIDDEN",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autopilot_proto::v1::ErrorReason;

    #[test]
    fn each_reason_of_the_contract_is_one() {
        let all: Vec<ErrorReason> = (1..).map_while(|number| ErrorReason::try_from(number).ok()).collect();
        assert!(all.len() >= 20);
        for reason in all {
            let name = reason.as_str_name().strip_prefix("ERROR_REASON_").unwrap();
            let known = Reason::from(name.to_owned());
            assert_eq!(format!("{known:?}"), format!("{reason:?}"));
            assert_eq!(known.as_str(), name);
        }
        assert_eq!(Reason::from("LATER".to_owned()), Reason::Other("LATER".to_owned()));
    }
}
