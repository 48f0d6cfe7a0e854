//! Watching, across breaks of the connection and restarts of the server.

use std::time::Duration;

use autopilot_proto::v1::{self, PayloadFormat, ProgressEvent, WatchProgressResponse};
use tonic::Streaming;

use crate::patience::{Patience, RECONNECT_FOR};
use crate::{Client, Event, Items, Result};

/// A job's events: the stored ones, then new ones as they happen, until the job is finished.
///
/// It goes on by itself when the connection or the server breaks: each stored event once, in order.
///
/// ```no_run
/// # async fn example(client: autopilot_client::Client) -> autopilot_client::Result<()> {
/// use autopilot_client::EventKind;
///
/// let mut events = client.watch("a-job").stream();
/// while let Some(event) = events.next().await {
///     match event?.kind {
///         EventKind::StepFinished { step, update, .. } => println!("{step} returned {update}"),
///         EventKind::StateChanged { to, .. } => println!("{to}"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "stream() opens it"]
pub struct Watch {
    client: Client,
    request: v1::WatchProgressRequest,
    reconnect_for: Duration,
}

impl Watch {
    pub(crate) fn new(client: Client, job_id: String) -> Self {
        let payload_format = PayloadFormat::JsonText.into();
        let request = v1::WatchProgressRequest { job_id, payload_format, ..Default::default() };
        Self { client, request, reconnect_for: RECONNECT_FOR }
    }

    /// Only stored events after this one.
    pub fn after_sequence(mut self, sequence: i64) -> Self {
        self.request.after_sequence = sequence;
        self
    }

    /// Ends once all stored events were seen.
    pub fn stop_when_caught_up(mut self) -> Self {
        self.request.stop_when_caught_up = true;
        self
    }

    /// Also the pieces of language models' answers, which are not stored.
    pub fn tokens(mut self) -> Self {
        self.request.include_tokens = true;
        self
    }

    /// How long a break may last before its error ends the watch; five minutes otherwise. Zero: every break does.
    pub fn reconnect_for(mut self, longest: Duration) -> Self {
        self.reconnect_for = longest;
        self
    }

    /// The events. The call is made when the first one is asked for, and ends when the stream is dropped.
    pub fn stream(self) -> Items<Event> {
        let place = Place {
            client: self.client,
            request: self.request,
            patience: Patience::new(self.reconnect_for),
            open: None,
            batch: Batch::default(),
        };
        Items::unfold(place, |mut place| async move { Ok(place.next().await?.map(|event| (event, place))) })
    }
}

/// A reader's place in a job's log: the request's `after_sequence`.
struct Place {
    client: Client,
    request: v1::WatchProgressRequest,
    patience: Patience,
    open: Option<Streaming<WatchProgressResponse>>,
    batch: Batch,
}

/// What is left of a response.
#[derive(Default)]
struct Batch {
    events: std::vec::IntoIter<ProgressEvent>,
    through: i64,
}

impl Place {
    async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.handed_over() {
                return Ok(Some(event));
            }
            match self.receive().await {
                Ok(Some(response)) => self.take(response),
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.open = None;
                    let pause = self.patience.bear(error)?;
                    self.client.caller().rest(pause).await?;
                }
            }
        }
    }

    /// The next event of the batch that was not seen before.
    fn handed_over(&mut self) -> Option<Event> {
        let seen = &mut self.request.after_sequence;
        let new = self.batch.events.find(|event| event.sequence == 0 || event.sequence > *seen);
        *seen = match &new {
            Some(event) => (*seen).max(event.sequence),
            None => (*seen).max(self.batch.through),
        };
        new.map(Into::into)
    }

    fn take(&mut self, response: WatchProgressResponse) {
        self.patience.restore();
        self.batch = Batch { events: response.events.into_iter(), through: response.through_sequence };
    }

    /// The next response; none when the watch is over.
    async fn receive(&mut self) -> Result<Option<WatchProgressResponse>> {
        let caller = self.client.caller();
        let received = async {
            let stream = match &mut self.open {
                Some(stream) => stream,
                closed => {
                    let request = caller.request(self.request.clone()).await?;
                    closed.insert(caller.stub()?.watch_progress(request).await?.into_inner())
                }
            };
            Ok(stream.message().await?)
        };
        caller.unless_closed(received).await
    }
}
