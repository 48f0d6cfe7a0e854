//! Jobs, and what belongs to them.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use autopilot_proto::v1;

use crate::Payload;
use crate::payload::schema;

/// The state of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JobState {
    /// One of a newer server; or none.
    #[default]
    Unknown = 0,
    /// It waits for a worker, for its scheduled time, or for its next attempt.
    Pending = 1,
    /// It runs.
    Running = 2,
    /// It waits for [`resume`](crate::Client::resume) with answers.
    Interrupted = 3,
    /// It was cancelled, and its steps have not stopped yet.
    Cancelling = 4,
    /// It is finished, and has its output.
    Succeeded = 5,
    /// It is finished: all attempts are used up, or the failure cannot be retried.
    Failed = 6,
    /// It is finished: somebody cancelled it.
    Cancelled = 7,
}

impl JobState {
    /// The contract's name, without its prefix.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Interrupted => "INTERRUPTED",
            Self::Cancelling => "CANCELLING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Whether nothing more happens unless somebody resumes the job.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Whether the job is finished, or waits for answers.
    pub fn is_resting(self) -> bool {
        self.is_finished() || self == Self::Interrupted
    }

    pub(crate) fn of(number: i32) -> Self {
        match v1::JobState::try_from(number) {
            Ok(v1::JobState::Pending) => Self::Pending,
            Ok(v1::JobState::Running) => Self::Running,
            Ok(v1::JobState::Interrupted) => Self::Interrupted,
            Ok(v1::JobState::Cancelling) => Self::Cancelling,
            Ok(v1::JobState::Succeeded) => Self::Succeeded,
            Ok(v1::JobState::Failed) => Self::Failed,
            Ok(v1::JobState::Cancelled) => Self::Cancelled,
            Ok(v1::JobState::Unspecified) | Err(_) => Self::Unknown,
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A run of a workflow.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Job {
    /// Its name.
    pub job_id: String,
    /// What it runs.
    pub workflow: String,
    /// LangGraph's thread that holds its checkpoints.
    pub thread_id: String,
    /// Where it is.
    pub state: JobState,
    /// As submitted.
    pub labels: HashMap<String, String>,
    /// 0 to 9, larger ones run first.
    pub priority: i32,
    /// Missing where payloads were not asked for.
    pub input: Payload,
    /// The result, once it SUCCEEDED; missing where payloads were not asked for.
    pub output: Payload,
    /// Why it FAILED or was CANCELLED, or why its last attempt failed.
    pub error: Option<JobError>,
    /// The questions that are not answered yet.
    pub interrupts: Vec<Interrupt>,
    /// How far it is.
    pub progress: Progress,
    /// How often a worker has taken it up.
    pub attempt: i32,
    /// How many attempts may fail.
    pub max_attempts: i32,
    /// How many failed, since it was submitted or resumed.
    pub failed_attempts: i32,
    /// The newest checkpoint; empty before the first.
    pub checkpoint_id: String,
    /// Of the newest stored event.
    pub latest_sequence: i64,
    /// Steps that come next, while it does not run.
    pub next_steps: Vec<String>,
    /// When it was submitted.
    pub create_time: Option<SystemTime>,
    /// When it is to start.
    pub scheduled_time: Option<SystemTime>,
    /// When its first attempt started.
    pub start_time: Option<SystemTime>,
    /// When it changed.
    pub update_time: Option<SystemTime>,
    /// When it was finished.
    pub end_time: Option<SystemTime>,
    /// When it is deleted.
    pub expire_time: Option<SystemTime>,
    /// When its next attempt begins, while it waits for that.
    pub next_attempt_time: Option<SystemTime>,
    /// Changes with state, attempt and interrupts, not with progress.
    pub etag: String,
    /// Of the workflow's code that ran the last attempt.
    pub workflow_revision: String,
    /// Only so many jobs with it run at once; empty: none.
    pub concurrency_key: String,
    /// Of the call that returned the job, a submit or a resume: its request id had been used before, so that it
    /// did nothing.
    pub deduplicated: bool,
}

impl Job {
    pub(crate) fn answered(message: Option<v1::Job>, deduplicated: bool) -> Self {
        Self { deduplicated, ..message.unwrap_or_default().into() }
    }
}

impl From<v1::Job> for Job {
    fn from(message: v1::Job) -> Self {
        Self {
            state: JobState::of(message.state),
            job_id: message.job_id,
            workflow: message.workflow,
            thread_id: message.thread_id,
            labels: message.labels,
            priority: message.priority,
            input: message.input.into(),
            output: message.output.into(),
            error: message.error.map(Into::into),
            interrupts: message.interrupts.into_iter().map(Into::into).collect(),
            progress: message.progress.unwrap_or_default().into(),
            attempt: message.attempt,
            max_attempts: message.max_attempts,
            failed_attempts: message.failed_attempts,
            checkpoint_id: message.checkpoint_id,
            latest_sequence: message.latest_sequence,
            next_steps: message.next_steps,
            create_time: time(message.create_time),
            scheduled_time: time(message.scheduled_time),
            start_time: time(message.start_time),
            update_time: time(message.update_time),
            end_time: time(message.end_time),
            expire_time: time(message.expire_time),
            next_attempt_time: time(message.next_attempt_time),
            etag: message.etag,
            workflow_revision: message.workflow_revision,
            concurrency_key: message.concurrency_key,
            deduplicated: false,
        }
    }
}

/// Why a job failed or was cancelled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobError {
    /// `STEP_RAISED`, `EXECUTION_TIMED_OUT`, `CANCELLED` and others: the table of errors has them.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The step that failed, if one did.
    pub step: String,
    /// The exception's class, if there was one.
    pub exception_type: String,
    /// Only where the server is configured to return it.
    pub traceback: String,
}

impl From<v1::JobError> for JobError {
    fn from(message: v1::JobError) -> Self {
        Self {
            reason: message.reason,
            message: message.message,
            step: message.step,
            exception_type: message.exception_type,
            traceback: message.traceback,
        }
    }
}

/// A question that waits for an answer.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Interrupt {
    /// Its name, for the answer.
    pub interrupt_id: String,
    /// The step that asked.
    pub step: String,
    /// What it asked.
    pub value: Payload,
    /// When it asked.
    pub create_time: Option<SystemTime>,
    /// The JSON Schema of an answer; missing when the workflow gave none.
    pub response_schema: Payload,
    /// The run of the step that asked.
    pub step_run_id: String,
}

impl From<v1::Interrupt> for Interrupt {
    fn from(message: v1::Interrupt) -> Self {
        Self {
            interrupt_id: message.interrupt_id,
            step: message.step,
            value: message.value.into(),
            create_time: time(message.create_time),
            response_schema: schema(message.response_schema),
            step_run_id: message.step_run_id,
        }
    }
}

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// 0 to 1, which it is only when the job SUCCEEDED.
    pub fraction: f64,
    /// Steps that run now.
    pub active_steps: Vec<String>,
    /// Steps that returned.
    pub completed_steps: i32,
    /// 0 when it is not known.
    pub estimated_total_steps: i32,
    /// Time spent RUNNING, all attempts together.
    pub elapsed: Duration,
    /// None when it cannot be estimated.
    pub estimated_remaining: Option<Duration>,
    /// The newest that the workflow reported.
    pub message: String,
}

impl From<v1::Progress> for Progress {
    fn from(message: v1::Progress) -> Self {
        Self {
            fraction: message.fraction,
            active_steps: message.active_steps,
            completed_steps: message.completed_steps,
            estimated_total_steps: message.estimated_total_steps,
            elapsed: span(message.elapsed),
            estimated_remaining: message.estimated_remaining.map(|remaining| span(Some(remaining))),
            message: message.message,
        }
    }
}

/// The state of a job's thread after a superstep.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// Its name.
    pub checkpoint_id: String,
    /// The one before; empty of the first.
    pub parent_checkpoint_id: String,
    /// The superstep that it ends.
    pub superstep: i32,
    /// `input`, `loop`, `update` or `fork`, as LangGraph has it.
    pub source: String,
    /// Steps that come next.
    pub next_steps: Vec<String>,
    /// When it was saved.
    pub create_time: Option<SystemTime>,
    /// The state; missing where payloads were not asked for.
    pub values: Payload,
}

impl From<v1::Checkpoint> for Checkpoint {
    fn from(message: v1::Checkpoint) -> Self {
        Self {
            checkpoint_id: message.checkpoint_id,
            parent_checkpoint_id: message.parent_checkpoint_id,
            superstep: message.superstep,
            source: message.source,
            next_steps: message.next_steps,
            create_time: time(message.create_time),
            values: message.values.into(),
        }
    }
}

/// A workflow that the server can run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Workflow {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Changes with its code.
    pub revision: String,
    /// JSON Schema.
    pub input_schema: Payload,
    /// JSON Schema.
    pub output_schema: Payload,
    /// Its nodes.
    pub steps: Vec<String>,
    /// Its graph, as a Mermaid diagram.
    pub mermaid: String,
    /// How many of its jobs run at once; 0: any number.
    pub max_running_jobs: i32,
    /// How many with the same concurrency key; 0: any number, and no job has a key.
    pub max_running_jobs_per_key: i32,
}

impl From<v1::Workflow> for Workflow {
    fn from(message: v1::Workflow) -> Self {
        Self {
            name: message.name,
            description: message.description,
            revision: message.revision,
            input_schema: schema(message.input_schema),
            output_schema: schema(message.output_schema),
            steps: message.steps,
            mermaid: message.mermaid,
            max_running_jobs: message.max_running_jobs,
            max_running_jobs_per_key: message.max_running_jobs_per_key,
        }
    }
}

/// What [`prune`](crate::Client::prune) deleted, or would delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// Jobs, with all that belongs to them.
    pub jobs: i64,
    /// Checkpoints.
    pub checkpoints: i64,
}

impl From<v1::PruneJobsResponse> for Pruned {
    fn from(message: v1::PruneJobsResponse) -> Self {
        Self { jobs: message.deleted_jobs, checkpoints: message.deleted_checkpoints }
    }
}

pub(crate) fn time(message: Option<prost_types::Timestamp>) -> Option<SystemTime> {
    message.and_then(|timestamp| timestamp.try_into().ok())
}

pub(crate) fn span(message: Option<prost_types::Duration>) -> Duration {
    message.and_then(|duration| duration.try_into().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_of_the_contract_is_one() {
        let all: Vec<v1::JobState> = (1..).map_while(|number| v1::JobState::try_from(number).ok()).collect();
        assert_eq!(all.len(), 7);
        for state in all {
            let known = JobState::of(state as i32);
            assert_eq!(known as i32, state as i32);
            assert_eq!(format!("JOB_STATE_{known}"), state.as_str_name());
        }
        assert_eq!(JobState::of(99), JobState::Unknown);
    }

    #[test]
    fn times_before_1970_and_negative_spans_do_no_harm() {
        assert!(time(Some(prost_types::Timestamp { seconds: -1, nanos: 5 })).unwrap() < SystemTime::UNIX_EPOCH);
        assert_eq!(span(Some(prost_types::Duration { seconds: -1, nanos: 0 })), Duration::ZERO);
    }
}
