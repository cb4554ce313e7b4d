//! What is served: objects of three sizes, with the eight fields that a static file usually has.

use crate::Failure;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use std::time::{Duration, SystemTime};

pub(crate) const SIZES: [usize; 3] = [1 << 10, 32 << 10, 1 << 20];

/// An answer for each size, made once. The object `/SIZE/NAME` is of that size, whatever its name.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    answers: [Constant; 3],
}

/// The head and the body of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Constant {
    prefix: String,
    fields: HeaderMap,
    body: Bytes,
}

impl Content {
    pub(crate) fn new() -> Result<Self, Failure> {
        let [small, middle, large] = SIZES;
        Ok(Self {
            answers: [
                Constant::new(small)?,
                Constant::new(middle)?,
                Constant::new(large)?,
            ],
        })
    }

    pub(crate) fn of(&self, path: &str) -> Option<&Constant> {
        let found = |answer: &&Constant| path.starts_with(answer.prefix.as_str());
        self.answers.iter().find(found)
    }
}

impl Constant {
    fn new(size: usize) -> Result<Self, Failure> {
        let length = size.to_string();
        // Old enough for an `Age` of three digits, where a cache counts from the date.
        let date = httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(600));
        let fields = [
            ("content-type", "text/javascript; charset=utf-8"),
            ("content-length", &length),
            ("cache-control", "public, max-age=86400"),
            ("etag", "\"3f9c2b7a-1a2b3c\""),
            ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
            ("date", &date),
            ("server", "nginx"),
            ("accept-ranges", "bytes"),
        ];
        let fields = fields.map(|(name, value)| {
            let value = HeaderValue::from_str(value).map_err(Failure::from);
            value.map(|value| (HeaderName::from_static(name), value))
        });
        Ok(Self {
            prefix: format!("/{size}/"),
            fields: fields.into_iter().collect::<Result<_, Failure>>()?,
            body: Bytes::from(vec![b'x'; size]),
        })
    }

    pub(crate) fn response<B: From<Bytes>>(&self) -> Response<B> {
        let mut response = Response::new(B::from(self.body.clone()));
        *response.headers_mut() = self.fields.clone();
        response
    }

    /// As the origin says it: the `ETag` has the path in it, so that it shows which object a cache answers with.
    pub(crate) fn response_to<B: From<Bytes>>(&self, path: &str) -> Option<Response<B>> {
        let mut response = self.response();
        let tag = HeaderValue::from_str(&tag(path)).ok()?;
        response.headers_mut().insert(http::header::ETAG, tag);
        Some(response)
    }
}

/// The `ETag` of the object at a path.
pub(crate) fn tag(path: &str) -> String {
    format!("\"{path}\"")
}
