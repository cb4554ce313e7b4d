//! One request, and whether its answer is one that may come.

use crate::{Failure, object::Object, origin::selected, tally::Came};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use sha2::{Digest, Sha256};
use std::{net::SocketAddr, ops::Range, time::Duration};
use tokio::time::sleep;

/// How much older than it may be an answer is at most: it takes its time, too, and others' fetches are joined.
const SLACK: u64 = 20_000;

#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) object: Object,
    pub(crate) method: Method,
    pub(crate) variant: Option<&'static str>,
    pub(crate) range: Option<String>,
    /// The version that the viewer says it has.
    pub(crate) has: Option<String>,
    pub(crate) fault: Option<&'static str>,
    pub(crate) manner: Manner,
}

/// How the body is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Manner {
    AtOnce,
    /// With a pause behind each piece.
    Slowly(Duration),
    /// Up to the first piece: then the viewer is gone.
    InPart,
}

/// What a request came to.
pub(crate) struct Answer {
    pub(crate) came: Came,
    pub(crate) bytes: u64,
    pub(crate) is_hit: bool,
    pub(crate) etag: Option<String>,
}

impl Answer {
    /// Without so much as a head.
    pub(crate) fn aborted() -> Self {
        Self {
            came: Came::Aborted,
            bytes: 0,
            is_hit: false,
            etag: None,
        }
    }
}

impl Ask {
    pub(crate) fn simple(object: Object) -> Self {
        Self {
            object,
            method: Method::GET,
            variant: None,
            range: None,
            has: None,
            fault: None,
            manner: Manner::AtOnce,
        }
    }

    pub(crate) fn request(&self, proxy: SocketAddr) -> Result<Request<Empty<Bytes>>, Failure> {
        // HTTP/2 wants all of it; HTTP/1.1 gets the path only.
        let uri = format!("http://{proxy}{}", self.object.path());
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(uri)
            .header(header::HOST, proxy.to_string());
        let variant = HeaderName::from_static("x-variant");
        let fault = HeaderName::from_static("x-fault");
        for (name, value) in [
            (variant, self.variant),
            (fault, self.fault),
            (header::RANGE, self.range.as_deref()),
            (header::IF_NONE_MATCH, self.has.as_deref()),
        ] {
            if let Some(value) = value {
                request = request.header(name, HeaderValue::from_str(value)?);
            }
        }
        Ok(request.body(Empty::new())?)
    }

    /// Reads the answer to its end. An error is an answer that may not come.
    pub(crate) async fn judge(
        &self,
        response: Response<Incoming>,
        asked_at: u64,
    ) -> Result<Answer, Failure> {
        let (head, body) = response.into_parts();
        let text = |name: &str| text(&head.headers, name);
        let is_hit = text("cache-status").is_some_and(|said| said.contains("; hit"));
        let etag = text("etag").map(str::to_owned);
        let answer = |came, bytes| Answer {
            came,
            bytes,
            is_hit,
            etag: etag.clone(),
        };
        let size = self.object.size();
        let part = self.range.as_deref().map(|range| selected(range, size));
        let (came, range) = match (head.status, part) {
            (StatusCode::OK, _) => (Came::Whole, 0..size),
            (StatusCode::PARTIAL_CONTENT, Some(Some(part))) => {
                let said = format!("bytes {}-{}/{size}", part.start, part.end - 1);
                expect("Content-Range", text("content-range"), Some(&said))?;
                (Came::Part, part)
            }
            (StatusCode::NOT_MODIFIED, _) if self.has.is_some() => {
                expect("ETag", etag.as_deref(), self.has.as_deref())?;
                (Came::NotModified, 0..0)
            }
            (StatusCode::RANGE_NOT_SATISFIABLE, Some(None)) => {
                // Of what it says there is nothing to check.
                body.collect().await?;
                return Ok(answer(Came::Unsatisfiable, 0));
            }
            (code, _) if code.is_server_error() && self.object.is_faulty() => {
                body.collect().await?;
                return Ok(answer(Came::Error, 0));
            }
            (code, _) => return Err(format!("{code} with {:?}", head.headers).into()),
        };
        let said = etag.as_deref().ok_or("an answer without an entity tag")?;
        let content = self.object.content(self.variant).of_etag(said)?;
        let may_be_outdated = self.object.lifetime().seconds * 1000 + SLACK;
        match self.object.outdated(content.version, asked_at) {
            None => return Err(format!("{said} comes from the future").into()),
            Some(since) if since > may_be_outdated => {
                return Err(format!("{said} is outdated for {since} ms").into());
            }
            Some(_) => {}
        }
        let range = match self.method == Method::HEAD {
            true => 0..0,
            false => range,
        };
        let read = self.read(body).await;
        let expected = Sha256::digest(content.bytes(prefix(&range, read.bytes)?));
        if read.digest != expected.as_slice() {
            return Err(format!("{} bytes of {said}, and not the right ones", read.bytes).into());
        }
        let is_complete = read.bytes == range.end - range.start;
        let may_fail = self.object.is_faulty() || matches!(self.manner, Manner::Slowly(_));
        match read.end {
            End::Clean if is_complete => Ok(answer(came, read.bytes)),
            End::Clean => Err(format!(
                "{said} ended behind {} of {range:?} as if that were all",
                read.bytes
            )
            .into()),
            End::Left => Ok(answer(Came::Left, read.bytes)),
            End::Aborted(_) if may_fail => Ok(answer(Came::Aborted, read.bytes)),
            End::Aborted(error) => Err(format!(
                "{said} was cut off behind {} of {range:?}: {error:?}",
                read.bytes
            )
            .into()),
        }
    }

    async fn read(&self, mut body: Incoming) -> Read {
        let (mut digest, mut bytes) = (Sha256::new(), 0);
        let end = loop {
            match body.frame().await {
                None => break End::Clean,
                Some(Err(error)) => break End::Aborted(error),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        digest.update(&data);
                        bytes += data.len() as u64;
                    }
                }
            }
            match self.manner {
                Manner::AtOnce => {}
                Manner::Slowly(pause) => sleep(pause).await,
                Manner::InPart => break End::Left,
            }
        };
        Read {
            digest: digest.finalize().into(),
            bytes,
            end,
        }
    }
}

struct Read {
    digest: [u8; 32],
    bytes: u64,
    end: End,
}

enum End {
    Clean,
    Aborted(hyper::Error),
    Left,
}

/// What came of a range, if that was so long.
fn prefix(range: &Range<u64>, length: u64) -> Result<Range<u64>, Failure> {
    match length <= range.end - range.start {
        true => Ok(range.start..range.start + length),
        false => Err(format!("{length} bytes came for {range:?}").into()),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn expect(name: &str, said: Option<&str>, expected: Option<&str>) -> Result<(), Failure> {
    match said == expected {
        true => Ok(()),
        false => Err(format!("{name} is {said:?} in place of {expected:?}").into()),
    }
}
