//! Credentials that are renewed before they expire.

use super::credentials::{Credentials, CredentialsError, ProvideCredentials, ProvidedCredentials};
use crate::clock::{Clock, SystemClock};
use futures_util::{FutureExt, future::Shared};
use parking_lot::Mutex;
use std::{fmt, sync::Arc, time::Duration};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

/// After the first failure; doubled with each one more.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Keeps what another provider gives, and asks it for more ahead of expiry.
///
/// * However many requests wait, the provider is asked once; it is asked in a task of its own, so that a request that goes
///   away takes nothing along.
/// * [`ahead`](Self::ahead) of expiry the next ones are fetched, when a request comes by; nobody waits for that. For
///   credentials that live for less than twice as long, half of their life counts.
/// * While that fails, what is there is used until it expires. Then there is the provider's error.
/// * After a failure the provider is left alone: for 1 s, then 2 s, and so on up to 60 s; who comes by without valid
///   credentials gets the last error at once. A provider that takes longer than [`timeout`](Self::timeout) has failed, one
///   that panics too, and one whose credentials have expired when they come.
///
/// Clones share everything. It needs a tokio runtime with time.
///
/// ```
/// use frontage::origin::{Credentials, OriginAccessControl, RefreshingCredentials};
///
/// // In place of `Credentials` stands what asks a vault or an instance's metadata.
/// let provider = Credentials::new("id", "secret");
/// let access_control = OriginAccessControl::always(RefreshingCredentials::new(provider));
/// # let _ = access_control;
/// ```
#[derive(Clone)]
pub struct RefreshingCredentials {
    shared: Arc<Provider>,
    ahead: Duration,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

struct Provider {
    provider: Box<dyn ProvideCredentials>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Current>,
    refresh: Option<Refresh>,
    failure: Option<Failure>,
}

struct Current {
    credentials: Credentials,
    refresh_at: Option<u64>,
}

type Sender = oneshot::Sender<Result<Credentials, CredentialsError>>;
type Refresh = Shared<oneshot::Receiver<Result<Credentials, CredentialsError>>>;

enum Answer {
    Now(Result<Credentials, CredentialsError>),
    Wait(Refresh),
}

struct Failure {
    error: CredentialsError,
    pause: Duration,
    until: Instant,
}

impl RefreshingCredentials {
    /// Asks `provider`.
    #[must_use]
    pub fn new(provider: impl ProvideCredentials) -> Self {
        Self {
            shared: Arc::new(Provider {
                provider: Box::new(provider),
                state: Mutex::default(),
            }),
            ahead: Duration::from_secs(300),
            timeout: Duration::from_secs(5),
            clock: Arc::new(SystemClock),
        }
    }

    /// How long before they expire the next ones are fetched. Default: 5 minutes.
    #[must_use]
    pub fn ahead(mut self, ahead: Duration) -> Self {
        self.ahead = ahead;
        self
    }

    /// How long the provider may take. Default: 5 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Where the wall time comes from, by which credentials expire. Default: [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    fn ask(&self) -> Answer {
        let now = self.clock.now();
        let mut state = self.shared.state.lock();
        let mut valid = None;
        if let Some(Current {
            credentials,
            refresh_at,
        }) = &state.current
            && !credentials.have_expired(now)
        {
            if refresh_at.is_none_or(|at| now < at) {
                return Answer::Now(Ok(credentials.clone()));
            }
            valid = Some(Answer::Now(Ok(credentials.clone())));
        }
        if let Some(refresh) = &state.refresh {
            return valid.unwrap_or_else(|| Answer::Wait(refresh.clone()));
        }
        if let Some(Failure { error, until, .. }) = &state.failure
            && Instant::now() < *until
        {
            return valid.unwrap_or_else(|| Answer::Now(Err(error.clone())));
        }
        let (sender, receiver) = oneshot::channel();
        let refresh = receiver.shared();
        state.refresh = Some(refresh.clone());
        // A spawn that panics ends the refresh, which takes the lock.
        drop(state);
        self.spawn(sender);
        valid.unwrap_or(Answer::Wait(refresh))
    }

    fn spawn(&self, sender: Sender) {
        let landing = Landing {
            of: self.clone(),
            sender: Some(sender),
        };
        tokio::spawn(async move {
            let asked = landing.of.shared.provider.provide();
            let result = timeout(landing.of.timeout, asked)
                .await
                .unwrap_or_else(|_| Err(CredentialsError::timed_out()));
            landing.land(result);
        });
    }

    fn landed(
        &self,
        result: Result<Credentials, CredentialsError>,
    ) -> Result<Credentials, CredentialsError> {
        let now = self.clock.now();
        let result = result.and_then(|credentials| match credentials.have_expired(now) {
            true => Err(CredentialsError::expired()),
            false => Ok(credentials),
        });
        let mut state = self.shared.state.lock();
        state.refresh = None;
        match &result {
            Ok(credentials) => {
                let ahead = u64::try_from(self.ahead.as_millis()).unwrap_or(u64::MAX);
                state.current = Some(Current {
                    credentials: credentials.clone(),
                    refresh_at: credentials.expiry().map(|expiry| {
                        expiry.saturating_sub(ahead.min(expiry.saturating_sub(now) / 2))
                    }),
                });
                state.failure = None;
            }
            Err(error) => {
                let pause = state.failure.as_ref().map_or(FIRST_PAUSE, |failure| {
                    failure.pause.saturating_mul(2).min(LONGEST_PAUSE)
                });
                tracing::warn!(
                    error = error as &(dyn std::error::Error + 'static),
                    "no new credentials"
                );
                state.failure = Some(Failure {
                    error: error.clone(),
                    pause,
                    until: Instant::now() + pause,
                });
            }
        }
        result
    }
}

/// Sees that a refresh ends, and that those who wait learn how: also when the provider panics or its runtime ends.
struct Landing {
    of: RefreshingCredentials,
    sender: Option<Sender>,
}

impl Landing {
    fn land(mut self, result: Result<Credentials, CredentialsError>) {
        let result = self.of.landed(result);
        if let Some(sender) = self.sender.take() {
            // Nobody may wait for it.
            drop(sender.send(result));
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            drop(sender.send(self.of.landed(Err(CredentialsError::abandoned()))));
        }
    }
}

impl ProvideCredentials for RefreshingCredentials {
    fn provide(&self) -> ProvidedCredentials<'_> {
        Box::pin(async {
            match self.ask() {
                Answer::Now(result) => result,
                Answer::Wait(refresh) => refresh
                    .await
                    .unwrap_or_else(|_| Err(CredentialsError::abandoned())),
            }
        })
    }
}

impl fmt::Debug for RefreshingCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshingCredentials")
            .field("provider", &self.shared.provider)
            .field("ahead", &self.ahead)
            .field("timeout", &self.timeout)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
