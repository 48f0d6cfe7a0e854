//! The driver of the Rust client: see clients/conformance/README.md.

mod answers;
mod arguments;
mod failures;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use autopilot_client::{Client, Event, Items, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, stdin, stdout};

use answers::{checkpoint_json, event_json, job_json, put_value, read_json, workflow_json};
use arguments::Arguments;

/// Carries out commands.
#[derive(Default)]
struct Driver {
    client: Option<Client>,
    events: Option<Items<Event>>,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut driver = Driver::default();
    let mut lines = BufReader::new(stdin()).lines();
    let mut output = stdout();
    while let Some(line) = lines.next_line().await? {
        let answer = match driver.carry_out(serde_json::from_str(&line)?).await {
            Ok(value) => json!({"ok": value}),
            Err(error) => json!({"error": failures::failure(&error)}),
        };
        output.write_all(format!("{answer}\n").as_bytes()).await?;
        output.flush().await?;
    }
    Ok(())
}

impl Driver {
    fn client(&self) -> &Client {
        self.client.as_ref().expect("connect comes first")
    }

    async fn carry_out(&mut self, given: Arguments) -> Result<Value> {
        match given.call.as_str() {
            "connect" => self.connect(&given)?,
            "close" => self.client().close(),
            "submit" => return Ok(job_json(&given.submit(self.client()).await?)),
            "run" => return self.run(&given).await,
            "get" => return Ok(read_json(&given.get(self.client()).await?)),
            "follow" => return Ok(read_json(&self.client().follow(&given.job_id).await?)),
            "watch" => self.events = Some(given.watch(self.client()).stream()),
            "next" => return self.next(given.count).await,
            "unwatch" => self.events = None,
            "cancel" => return Ok(read_json(&given.cancel(self.client()).await?)),
            "resume" => return Ok(job_json(&given.resume(self.client()).await?)),
            "delete" => given.delete(self.client()).await?,
            "list" => return all(given.list(self.client()).stream(), read_json).await,
            "checkpoints" => return all(given.checkpoints(self.client()).stream(), checkpoint_json).await,
            "workflows" => return all(self.client().workflows().stream(), workflow_json).await,
            "prune" => {
                let pruned = given.prune(self.client()).await?;
                return Ok(json!({"deleted_jobs": pruned.jobs, "deleted_checkpoints": pruned.checkpoints}));
            }
            other => panic!("there is no call {other}"),
        }
        Ok(Value::Null)
    }

    fn connect(&mut self, given: &Arguments) -> Result<()> {
        let client = given.connect()?;
        if let Some(before) = self.client.replace(client) {
            before.close();
        }
        Ok(())
    }

    async fn run(&self, given: &Arguments) -> Result<Value> {
        let seen = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&seen);
        let run = given.submit(self.client()).run().on_event(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let output = run.await?;
        let mut answer = json!({"events": seen.load(Ordering::Relaxed)});
        put_value(&mut answer, "output", &output);
        Ok(answer)
    }

    async fn next(&mut self, count: usize) -> Result<Value> {
        let stream = self.events.as_mut().expect("watch comes first");
        let mut events = Vec::new();
        while events.len() < count {
            match stream.next().await {
                Some(event) => events.push(event_json(&event?)),
                None => return Ok(json!({"events": events, "ended": true})),
            }
        }
        Ok(json!({"events": events, "ended": false}))
    }
}

async fn all<T: Send + 'static>(items: Items<T>, convert: impl Fn(&T) -> Value) -> Result<Value> {
    Ok(items.all().await?.iter().map(convert).collect())
}
