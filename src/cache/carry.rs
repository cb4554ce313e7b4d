//! Carries a body from the inner service to all who read it, and to the store.

use super::{flight::FlightLanding, storing::Storage};
use crate::{
    body::{OpenBody, StoredBody, poll_inner},
    error::{BodyError, BoxError},
    fill::{FillWriter, Gone, Window},
    headers::remove_from_trailers,
    store::{Store, Written},
};
use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;
use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// Where a body goes: to the store, to those who read, or both.
pub(super) struct Sink<St: Store> {
    storage: Option<Storage<St>>,
    /// Feeds those who read when the store can't.
    passing: Option<FillWriter>,
    announced: Option<u64>,
    written: u64,
}

impl<St: Store> Sink<St> {
    pub(super) fn new(
        storage: Option<Storage<St>>,
        announced: Option<u64>,
        window: Window,
    ) -> Self {
        let passing = match storage.as_ref().and_then(Storage::opener) {
            Some(_) => None,
            None => Some(FillWriter::passing(announced, window)),
        };
        Self {
            storage,
            passing,
            announced,
            written: 0,
        }
    }

    pub(super) fn stores(&self) -> bool {
        self.storage.is_some()
    }

    pub(super) fn opener(&self) -> Arc<dyn OpenBody> {
        match (
            &self.passing,
            self.storage.as_ref().and_then(Storage::opener),
        ) {
            (Some(passing), _) => Arc::new(passing.opener()),
            (None, Some(opener)) => opener,
            (None, None) => Arc::new(NoReaders),
        }
    }

    fn has_readers(&self) -> bool {
        self.passing.as_ref().is_some_and(FillWriter::has_readers)
            || self.storage.as_ref().is_some_and(Storage::has_readers)
    }

    /// Ready when nobody reads and nothing is stored.
    fn poll_abandoned(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(storage) = &mut self.storage {
            return storage.poll_abandoned(cx);
        }
        match &mut self.passing {
            Some(passing) => passing.poll_abandoned(cx),
            None => Poll::Ready(()),
        }
    }

    pub(super) async fn carry<B>(
        &mut self,
        mut body: Pin<&mut B>,
        others: &mut FlightLanding,
        stall: Duration,
    ) where
        B: Body,
        B::Error: Into<BoxError>,
    {
        loop {
            let next = poll_fn(|cx| {
                // A panic in a body is its own end only.
                let polled = catch_unwind(AssertUnwindSafe(|| poll_inner(body.as_mut(), cx)));
                match polled {
                    Ok(Poll::Ready(frame)) => Poll::Ready(Some(frame)),
                    Err(_panic) => Poll::Ready(Some(Some(Err(BodyError::panicked())))),
                    Ok(Poll::Pending) => self.poll_abandoned(cx).map(|()| None),
                }
            });
            let frame = match tokio::time::timeout(stall, next).await {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(_elapsed) if self.has_readers() => {
                    // Who waits for it may go on; nobody else is to wait for what may never come.
                    others.close();
                    continue;
                }
                // Nobody waits for it, and it stands still.
                Err(_elapsed) => return,
            };
            let frame = match frame {
                None => return self.finish(None).await,
                Some(Err(error)) => return self.fail(&error),
                Some(Ok(frame)) => frame,
            };
            match frame.into_data() {
                Ok(chunk) => {
                    self.written += chunk.len() as u64;
                    if let Some(announced) =
                        self.announced.filter(|announced| self.written > *announced)
                    {
                        let error = BodyError::wrong_length(announced, self.written);
                        return self.fail(&error);
                    }
                    match self.write(&chunk).await {
                        Written::Kept => {}
                        Written::Passed => others.close(),
                        Written::Gone => return,
                    }
                }
                Err(frame) => {
                    if let Ok(mut trailers) = frame.into_trailers() {
                        remove_from_trailers(&mut trailers);
                        return self.finish(Some(trailers)).await;
                    }
                }
            }
        }
    }

    async fn write(&mut self, chunk: &Bytes) -> Written {
        if let Some(passing) = &mut self.passing {
            match poll_fn(|cx| passing.poll_room(cx)).await {
                Ok(()) => passing.push(chunk.clone()),
                Err(Gone) if self.storage.is_none() => return Written::Gone,
                Err(Gone) => {}
            }
        }
        let Some(storage) = &mut self.storage else {
            return Written::Passed;
        };
        let written = poll_fn(|cx| storage.poll_write(cx, chunk)).await;
        if written == Written::Gone && self.passing.as_ref().is_some_and(FillWriter::has_readers) {
            // The store gave up; those who read don't.
            self.storage = None;
            return Written::Passed;
        }
        written
    }

    async fn finish(&mut self, trailers: Option<HeaderMap>) {
        if let Some(announced) = self
            .announced
            .filter(|announced| self.written != *announced)
        {
            let error = BodyError::wrong_length(announced, self.written);
            return self.fail(&error);
        }
        if let Some(passing) = &mut self.passing {
            passing.finish(trailers.clone());
        }
        if let Some(storage) = &mut self.storage {
            storage.commit(trailers).await;
        }
        self.storage = None;
    }

    fn fail(&mut self, error: &BodyError) {
        tracing::debug!(
            error = error as &dyn std::error::Error,
            "a body was cut short"
        );
        if let Some(passing) = &mut self.passing {
            passing.fail(error.clone());
        }
        if let Some(mut storage) = self.storage.take() {
            storage.fail(error.clone());
        }
    }
}

/// Neither a store that can be read nor a window: no body has this.
struct NoReaders;

impl OpenBody for NoReaders {
    fn open(&self) -> Option<StoredBody> {
        None
    }
}
