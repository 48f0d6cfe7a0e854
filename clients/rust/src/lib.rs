//! Client of [Autopilot](https://github.com/autopilot-jobs/autopilot), which runs LangGraph workflows as durable
//! background jobs behind gRPC.
//!
//! ```no_run
//! use autopilot_client::{Client, EventKind};
//! use serde_json::json;
//!
//! # async fn example() -> autopilot_client::Result<()> {
//! let client = Client::new("127.0.0.1:50051")?;
//!
//! // Submit, watch, result or error.
//! let output: serde_json::Value = client.run("hello", json!({"name": "Ada"})).output().await?;
//!
//! // Each step of it.
//! let job = client.submit("hello").input(json!({"name": "Grace"})).await?;
//! let mut events = client.watch(job.job_id).stream();
//! while let Some(event) = events.next().await {
//!     if let EventKind::StepFinished { step, update, .. } = event?.kind {
//!         println!("{step} returned {update}");
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - **Deadlines**: each call but a watch has one, [`DEFAULT_TIMEOUT`], the client's or its own. A call that is
//!   dropped is ended, and not the job: [`Client::cancel`] does that.
//! - **Retries**: calls are repeated while the server is unavailable, and every submit and resume has a request id,
//!   so that a retry does nothing twice.
//! - **Watches** reconnect by themselves and go on where they were: each stored event once, in order, through
//!   restarts of the server.
//! - **JSON** goes in as whatever can be serialized, and comes out as a [`Payload`], which is decoded into a type of
//!   your own or a [`serde_json::Value`]. Integers of 64 bits are exact; larger ones are in types that hold them.
//! - **Errors** are [`Error`]; those of the server have a [`Reason`].
//!
//! Clients are made, and futures polled, in a tokio runtime.

#![deny(missing_docs)]

mod call;
mod client;
mod connection;
mod control;
mod credentials;
mod error;
mod event;
mod finite;
mod follow;
mod items;
mod job;
mod list;
mod patience;
mod payload;
mod reason;
mod retry;
mod submit;
mod watch;

pub use client::Client;
#[cfg(feature = "tls")]
pub use connection::Tls;
pub use connection::{ClientBuilder, DEFAULT_TIMEOUT};
pub use control::{Cancel, Delete, Get, Prune, Resume};
pub use error::{CallError, Error, Result, Violation};
pub use event::{Event, EventKind};
pub use follow::Follow;
pub use items::Items;
pub use job::{Checkpoint, Interrupt, Job, JobError, JobState, Progress, Pruned, Workflow};
pub use list::{Checkpoints, Filter, Jobs, Workflows};
pub use payload::Payload;
pub use reason::Reason;
pub use submit::{RetryPolicy, Run, Submit};
pub use tonic::Code;
pub use watch::Watch;
