//! A request's body that is compared with what was signed.

use crate::{
    error::{BodyError, BoxError},
    sigv4::Payload,
};
use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use sha2::{Digest, Sha256};
use std::{
    fmt, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};
use subtle::ConstantTimeEq;

pin_project! {
    /// The body of a request that [`RequireSigV4`](super::RequireSigV4) let in.
    ///
    /// Its bytes pass as they come. At its end it fails with an error of which
    /// [`BodyError::is_not_as_signed`] is true, unless their hash is the one that was signed; the last of them is
    /// withheld then, where the body knows that it is the last. So what is read before the end isn't proven yet: **act on a body
    /// only after its end**, as all of axum's extractors do that read it whole.
    ///
    /// Trailers aren't signed, and are dropped. With `UNSIGNED-PAYLOAD` everything passes as it is.
    pub struct SigV4Body<B> {
        #[pin]
        inner: B,
        state: State,
    }
}

enum State {
    /// Nothing is compared.
    Passing,
    Hashing {
        hash: Sha256,
        signed: [u8; 32],
    },
    /// At its end, whole or failed.
    Ended,
}

impl<B: Body> SigV4Body<B> {
    pub(super) fn new(inner: B, payload: Payload) -> Self {
        let is_nothing = |signed: &[u8; 32]| Sha256::digest([]).as_slice() == signed;
        let state = match payload {
            Payload::Unsigned => State::Passing,
            // So that whoever sends it on sees that there is none.
            Payload::Sha256(signed) if inner.is_end_stream() && is_nothing(&signed) => State::Ended,
            Payload::Sha256(signed) => State::Hashing {
                hash: Sha256::new(),
                signed,
            },
        };
        Self { inner, state }
    }
}

impl State {
    /// At the end of the body: whether it is the one that was signed.
    fn end(&mut self) -> Result<(), BodyError> {
        let Self::Hashing { hash, signed } = mem::replace(self, Self::Ended) else {
            return Ok(());
        };
        match hash.finalize().as_slice().ct_eq(&signed[..]).into() {
            true => Ok(()),
            false => Err(BodyError::not_as_signed()),
        }
    }
}

impl<B> Body for SigV4Body<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut this = self.project();
        loop {
            if matches!(this.state, State::Ended) {
                return Poll::Ready(None);
            }
            let frame = match ready!(this.inner.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => frame.map_data(|mut data| data.copy_to_bytes(data.remaining())),
                Some(Err(error)) => {
                    *this.state = State::Ended;
                    return Poll::Ready(Some(Err(BodyError::inner(error))));
                }
                None => return Poll::Ready(this.state.end().err().map(Err)),
            };
            let State::Hashing { hash, .. } = &mut *this.state else {
                return Poll::Ready(Some(Ok(frame)));
            };
            let Some(data) = frame.data_ref() else {
                continue;
            };
            hash.update(data);
            // Who stops at the last byte must not miss the error behind it.
            if this.inner.is_end_stream()
                && let Err(error) = this.state.end()
            {
                return Poll::Ready(Some(Err(error)));
            }
            return Poll::Ready(Some(Ok(frame)));
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Passing => self.inner.is_end_stream(),
            State::Hashing { .. } => false,
            State::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Ended => SizeHint::with_exact(0),
            _ => self.inner.size_hint(),
        }
    }
}

impl<B> fmt::Debug for SigV4Body<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Passing => "passing",
            State::Hashing { .. } => "hashing",
            State::Ended => "ended",
        };
        f.debug_tuple("SigV4Body").field(&state).finish()
    }
}
