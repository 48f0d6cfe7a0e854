//! What comes one after the other.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};

use crate::{Error, Result};

/// What comes one after the other: a [`Stream`](futures_util::Stream) that ends after an error.
///
/// Nothing is done ahead of whoever reads it, and dropping it ends it.
#[must_use = "it does nothing until it is read"]
pub struct Items<T>(Pin<Box<dyn Stream<Item = Result<T>> + Send>>);

impl<T: Send + 'static> Items<T> {
    /// The next one; none at the end.
    pub async fn next(&mut self) -> Option<Result<T>> {
        self.0.next().await
    }

    /// All that are left.
    ///
    /// # Errors
    ///
    /// The one that the stream ends with.
    pub async fn all(self) -> Result<Vec<T>> {
        self.0.try_collect().await
    }

    /// Those that `next` gives, with a state of its own.
    pub(crate) fn unfold<S, F>(state: S, next: impl FnMut(S) -> F + Send + 'static) -> Self
    where
        S: Send + 'static,
        F: Future<Output = Result<Option<(T, S)>>> + Send + 'static,
    {
        Self(Box::pin(stream::try_unfold(state, next)))
    }

    /// Those of all pages; `read` reads the page of a token, and gives the list back.
    pub(crate) fn paged<L, M, F>(list: L, read: impl Fn(L, String) -> F + Send + Sync + Clone + 'static) -> Self
    where
        L: Send + 'static,
        M: Into<T> + Send + 'static,
        F: Future<Output = (L, Result<(Vec<M>, String)>)> + Send + 'static,
    {
        let pages = stream::try_unfold(Some((list, String::new())), move |place| {
            let read = read.clone();
            async move {
                let Some((list, token)) = place else { return Ok::<_, Error>(None) };
                let (list, page) = read(list, token).await;
                let (messages, next) = page?;
                let place = (!next.is_empty()).then_some((list, next));
                Ok(Some((stream::iter(messages).map(|message| Ok(message.into())), place)))
            }
        });
        Self(Box::pin(pages.try_flatten()))
    }
}

impl<T> Stream for Items<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl<T> fmt::Debug for Items<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Items")
    }
}
