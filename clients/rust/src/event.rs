//! What happens to a job.

use std::time::{Duration, SystemTime};

use autopilot_proto::v1::{self, progress_event::Kind};

use crate::job::{span, time};
use crate::{Interrupt, JobError, JobState, Payload, Progress};

/// Something that happened to a job.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// Whose it is.
    pub job_id: String,
    /// The place in the job's log: 1, 2, 3 … 0: not stored.
    pub sequence: i64,
    /// When it happened.
    pub time: Option<SystemTime>,
    /// In which attempt.
    pub attempt: i32,
    /// The job's, just after the event.
    pub progress: Progress,
    /// What happened.
    pub kind: EventKind,
}

/// Is called with each event.
pub(crate) type OnEvent = Box<dyn FnMut(&Event) + Send>;

/// What happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// The job moved.
    #[non_exhaustive]
    StateChanged {
        /// [`JobState::Unknown`] of a job that was just submitted.
        from: JobState,
        /// Where it is now.
        to: JobState,
        /// Why, where something went wrong.
        error: Option<JobError>,
    },
    /// A step began.
    #[non_exhaustive]
    StepStarted {
        /// The node; a subgraph's as `parent/child`.
        step: String,
        /// Tells parallel runs of a step apart.
        step_run_id: String,
    },
    /// A step returned, and what it wrote is durable.
    #[non_exhaustive]
    StepFinished {
        /// The node.
        step: String,
        /// Tells parallel runs of a step apart.
        step_run_id: String,
        /// What it wrote.
        update: Payload,
        /// How long it took.
        duration: Duration,
    },
    /// A step raised.
    #[non_exhaustive]
    StepFailed {
        /// The node.
        step: String,
        /// Tells parallel runs of a step apart.
        step_run_id: String,
        /// What it raised.
        error: JobError,
        /// How long it took.
        duration: Duration,
    },
    /// A step asked a question.
    #[non_exhaustive]
    InterruptRaised {
        /// The question.
        interrupt: Interrupt,
    },
    /// The workflow reported.
    #[non_exhaustive]
    ProgressReported {
        /// The node.
        step: String,
        /// For people.
        message: String,
        /// 0 to 1, of the step, when it said so.
        fraction: Option<f64>,
        /// What else it reported.
        data: Payload,
        /// The reports just before this one that came too fast.
        dropped: i32,
    },
    /// The state after a superstep is durable.
    #[non_exhaustive]
    CheckpointSaved {
        /// Its name.
        checkpoint_id: String,
        /// Which superstep.
        superstep: i32,
        /// Steps that come next.
        next_steps: Vec<String>,
    },
    /// A piece of a language model's answer. It is not stored, and may be lost.
    #[non_exhaustive]
    TokenChunk {
        /// The node.
        step: String,
        /// The message that it is a piece of.
        message_id: String,
        /// The piece.
        text: String,
    },
    /// An event of a newer server.
    Unknown,
}

impl From<v1::ProgressEvent> for Event {
    fn from(message: v1::ProgressEvent) -> Self {
        Self {
            job_id: message.job_id,
            sequence: message.sequence,
            time: time(message.event_time),
            attempt: message.attempt,
            progress: message.progress.unwrap_or_default().into(),
            kind: message.kind.map_or(EventKind::Unknown, Into::into),
        }
    }
}

impl From<Kind> for EventKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::StateChanged(changed) => Self::StateChanged {
                from: JobState::of(changed.from),
                to: JobState::of(changed.to),
                error: changed.error.map(Into::into),
            },
            Kind::StepStarted(started) => Self::StepStarted { step: started.step, step_run_id: started.step_run_id },
            Kind::StepFinished(finished) => Self::StepFinished {
                step: finished.step,
                step_run_id: finished.step_run_id,
                update: finished.update.into(),
                duration: span(finished.duration),
            },
            Kind::StepFailed(failed) => Self::StepFailed {
                step: failed.step,
                step_run_id: failed.step_run_id,
                error: failed.error.unwrap_or_default().into(),
                duration: span(failed.duration),
            },
            Kind::InterruptRaised(raised) => {
                Self::InterruptRaised { interrupt: raised.interrupt.unwrap_or_default().into() }
            }
            Kind::ProgressReported(reported) => Self::ProgressReported {
                step: reported.step,
                message: reported.message,
                fraction: reported.fraction,
                data: reported.data.into(),
                dropped: reported.dropped,
            },
            Kind::CheckpointSaved(saved) => Self::CheckpointSaved {
                checkpoint_id: saved.checkpoint_id,
                superstep: saved.superstep,
                next_steps: saved.next_steps,
            },
            Kind::TokenChunk(token) => {
                Self::TokenChunk { step: token.step, message_id: token.message_id, text: token.text }
            }
        }
    }
}
