//! Watching a job until it rests: is finished, or INTERRUPTED now and not only at some time in its past.

use std::fmt;
use std::time::Duration;

use crate::call::Pending;
use crate::event::OnEvent;
use crate::patience::{Patience, RECONNECT_FOR};
use crate::{Client, Event, EventKind, Job, JobState, Result};

/// A job to follow; `.await` gives the [`Job`] once it is finished or waits for answers.
#[must_use = "it is followed when it is awaited"]
pub struct Follow {
    client: Client,
    job_id: String,
    sequence: i64,
    tokens: bool,
    reconnect_for: Duration,
    on_event: OnEvent,
}

impl Follow {
    pub(crate) fn new(client: Client, job_id: String) -> Self {
        let on_event = Box::new(|_: &Event| {});
        Self { client, job_id, sequence: 0, tokens: false, reconnect_for: RECONNECT_FOR, on_event }
    }

    /// Only stored events after this one.
    pub fn after_sequence(mut self, sequence: i64) -> Self {
        self.sequence = sequence;
        self
    }

    /// Also the pieces of language models' answers, which are not stored.
    pub fn tokens(mut self) -> Self {
        self.tokens = true;
        self
    }

    /// Is called with each event of the job.
    pub fn on_event(mut self, called: impl FnMut(&Event) + Send + 'static) -> Self {
        self.on_event = Box::new(called);
        self
    }

    /// As [`Watch::reconnect_for`](crate::Watch::reconnect_for).
    pub fn reconnect_for(mut self, longest: Duration) -> Self {
        self.reconnect_for = longest;
        self
    }

    async fn call(mut self) -> Result<Job> {
        loop {
            let job = self.read().await?;
            if job.state.is_resting() && self.sequence == job.latest_sequence {
                return Ok(job);
            }
            self.watch_on(&job).await?;
        }
    }

    /// Reads the job, as patiently as a watch.
    async fn read(&mut self) -> Result<Job> {
        let mut patience = Patience::new(self.reconnect_for);
        loop {
            match self.client.get(&self.job_id).await {
                Ok(job) => return Ok(job),
                Err(error) => self.client.caller().rest(patience.bear(error)?).await?,
            }
        }
    }

    /// Watches from where it was until the job has to be read again.
    async fn watch_on(&mut self, job: &Job) -> Result<()> {
        let mut watch = self.client.watch(&self.job_id).after_sequence(self.sequence).reconnect_for(self.reconnect_for);
        if self.tokens {
            watch = watch.tokens();
        }
        let mut events = watch.stream();
        while let Some(event) = events.next().await {
            if self.take(&event?, job) {
                break;
            }
        }
        Ok(())
    }

    /// Whether the job may be INTERRUPTED after this event, and has to be read to know. The end of a finished job
    /// needs no care: its watch ends by itself.
    fn take(&mut self, event: &Event, job: &Job) -> bool {
        (self.on_event)(event);
        self.sequence = self.sequence.max(event.sequence);
        let interrupted = matches!(event.kind, EventKind::StateChanged { to: JobState::Interrupted, .. });
        let maybe = interrupted || job.state == JobState::Interrupted;
        maybe && self.sequence >= job.latest_sequence
    }
}

impl IntoFuture for Follow {
    type Output = Result<Job>;
    type IntoFuture = Pending<Job>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.call())
    }
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow").field("job_id", &self.job_id).finish_non_exhaustive()
    }
}
