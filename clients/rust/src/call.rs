//! A call: its deadline, its tries, and the end of a client that is closed.

use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Request, Response, Status};

use crate::connection::Stub;
use crate::credentials::Token;
use crate::{Error, Result, retry};

/// A future of this crate's calls: they may be sent to other threads.
pub(crate) type Pending<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// As good as never; gRPC has no longer deadlines, and clocks may have none.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// What all clones of a client share.
#[derive(Debug)]
pub(crate) struct Caller {
    /// None: the client is closed.
    open: watch::Sender<Option<Stub>>,
    token: Option<Token>,
    timeout: Duration,
}

impl Caller {
    pub(crate) fn new(stub: Stub, token: Option<Token>, timeout: Duration) -> Self {
        Self { open: watch::Sender::new(Some(stub)), token, timeout }
    }

    pub(crate) fn close(&self) {
        self.open.send_replace(None);
    }

    pub(crate) fn stub(&self) -> Result<Stub> {
        self.open.borrow().clone().ok_or(Error::Closed)
    }

    /// Does what is to be done, or ends with the client.
    pub(crate) async fn unless_closed<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut open = self.open.subscribe();
        let closed = async { open.wait_for(Option::is_none).await.map(drop) };
        tokio::select! {
            biased;
            _ = closed => Err(Error::Closed),
            done = work => done,
        }
    }

    /// Does nothing for a while, or ends with the client.
    pub(crate) async fn rest(&self, pause: Duration) -> Result<()> {
        self.unless_closed(sleep(pause).map(Ok)).await
    }

    /// A request with the credentials of now.
    pub(crate) async fn request<M>(&self, message: M) -> Result<Request<M>> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            token.add(request.metadata_mut()).await?;
        }
        Ok(request)
    }

    /// Makes a unary call. `method` is the service config's name, `timeout` the call's own.
    pub(crate) async fn call<M, R, F>(
        &self,
        method: &str,
        limit: Limit,
        message: M,
        send: impl Fn(Stub, Request<M>) -> F,
    ) -> Result<R>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let allowed = limit.or(self.timeout);
        let deadline = Instant::now() + allowed;
        // Boxed: it holds several copies of a message and is moved several times.
        let tries = timeout_at(deadline, Box::pin(self.tries(method, deadline, message, send)));
        let in_time = async { tries.await.unwrap_or_else(|_| Err(Error::deadline_exceeded(allowed))) };
        self.unless_closed(in_time).await
    }

    /// Tries until there is an answer, an error that will not pass, or no try left.
    async fn tries<M, R, F>(
        &self,
        method: &str,
        deadline: Instant,
        message: M,
        send: impl Fn(Stub, Request<M>) -> F,
    ) -> Result<R>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let policy = retry::policy(method);
        let mut pauses = policy.map(retry::Policy::pauses).into_iter().flatten();
        loop {
            let mut request = self.request(message.clone()).await?;
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
            let error = match send(self.stub()?, request).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => Error::from(status),
            };
            let may_pass = error.call().is_some_and(|call| policy.is_some_and(|policy| policy.retries(call.code)));
            match pauses.next() {
                Some(pause) if may_pass => sleep(pause).await,
                _ => return Err(error),
            }
        }
    }
}

/// How long a call may take: as it says itself, or as the client says, and what it waits for on top of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limit {
    pub(crate) own: Option<Duration>,
    pub(crate) waiting: Duration,
}

impl Limit {
    fn or(self, timeout: Duration) -> Duration {
        self.own.unwrap_or_else(|| timeout.saturating_add(self.waiting)).min(LONGEST)
    }
}

/// Makes a builder a future of what its call answers, with a deadline of its own.
macro_rules! awaited {
    ($builder:ident -> $answer:ty) => {
        impl $builder {
            /// How long the call may take, retries included.
            pub fn timeout(mut self, timeout: std::time::Duration) -> Self {
                self.limit.own = Some(timeout);
                self
            }
        }

        impl IntoFuture for $builder {
            type Output = $crate::Result<$answer>;
            type IntoFuture = std::pin::Pin<Box<dyn Future<Output = Self::Output> + Send>>;

            fn into_future(self) -> Self::IntoFuture {
                Box::pin(self.call())
            }
        }
    };
}

pub(crate) use awaited;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pause_ends_with_the_client() {
        let client = crate::Client::new("127.0.0.1:1").unwrap();
        client.caller().rest(Duration::from_secs(3600)).await.unwrap();
        client.close();
        assert!(matches!(client.caller().rest(Duration::from_secs(3600)).await, Err(Error::Closed)));
    }

    #[test]
    fn a_wait_is_on_top_of_the_clients_deadline_and_any_length_will_do() {
        let waiting = Limit { own: None, waiting: Duration::from_secs(5) };
        assert_eq!(waiting.or(Duration::from_secs(30)), Duration::from_secs(35));
        let own = Limit { own: Some(Duration::from_secs(1)), ..waiting };
        assert_eq!(own.or(Duration::from_secs(30)), Duration::from_secs(1));
        assert_eq!(waiting.or(Duration::MAX), LONGEST);
        let _ = Instant::now() + LONGEST;
        Request::new(()).set_timeout(LONGEST);
    }
}
