//! What is asked of a signature, and of whom its credentials.

use super::look_up::LookUpCredentials;
use crate::{
    clock::Clock,
    guard::SigV4Refusal,
    origin::{CredentialsError, SigningService},
    original_uri,
    sigv4::{Claim, Expected, Payload, Received},
};
use http::Request;
use http_body::Body;
use std::sync::Arc;

/// Whose access key signed a request: an extension of the request that is let in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SignedBy(pub Arc<str>);

#[derive(Clone, Debug)]
pub(super) struct Verifier {
    pub(super) credentials: Arc<dyn LookUpCredentials>,
    pub(super) service: SigningService,
    pub(super) region: String,
    pub(super) takes_unsigned_payload: bool,
    /// In milliseconds.
    pub(super) max_skew: u64,
    pub(super) clock: Arc<dyn Clock>,
}

/// Why a request isn't let in: because of itself, or of us.
#[derive(Clone, Debug)]
pub(super) enum Denied {
    Refused(SigV4Refusal),
    NoCredentials(CredentialsError),
}

impl Verifier {
    pub(super) fn claim<B: Body>(&self, request: &Request<B>) -> Result<Claim, SigV4Refusal> {
        let body = request.body();
        let size = body.size_hint();
        let received = Received {
            method: request.method(),
            uri: original_uri::as_sent(request.uri(), request.extensions()),
            headers: request.headers(),
            length: match body.is_end_stream() {
                true => (0, Some(0)),
                false => (size.lower(), size.upper()),
            },
        };
        let expected = Expected {
            region: &self.region,
            service: self.service.name(),
            path: self.service.path_encoding(),
            takes_unsigned_payload: self.takes_unsigned_payload,
            max_skew: self.max_skew,
        };
        Claim::of(received, &expected, self.clock.now())
    }

    pub(super) async fn prove(&self, claim: &Claim) -> Result<(SignedBy, Payload), Denied> {
        let id = claim.access_key_id();
        let found = self.credentials.look_up(id).await;
        let found = found.map_err(Denied::NoCredentials)?;
        let now = self.clock.now();
        let credentials = found
            .filter(|credentials| !credentials.have_expired(now))
            .ok_or(Denied::Refused(SigV4Refusal::AccessKey))?;
        let payload = claim
            .verify(credentials.secret(), credentials.token())
            .map_err(Denied::Refused)?;
        Ok((SignedBy(id.into()), payload))
    }
}
