//! Whom the proxy asks: an origin, and perhaps a second one, which answers what the first fails to.

use frontage::{
    ConfigError,
    origin::{Failover, FailoverCriteria, FailoverLayer, Origin, OriginService},
};
use std::time::Duration;
use tower::{Layer, util::Either};

pub(crate) type Origins = Either<OriginService, Failover<OriginService, OriginService>>;

/// What the command line says of both; where it says nothing, an `Origin`'s own default holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) attempts: Option<u32>,
    pub(crate) response_timeout: Option<Duration>,
}

impl Settings {
    /// The service of the URLs.
    pub(crate) fn origins(
        self,
        origin: &str,
        secondary: Option<(&str, FailoverCriteria)>,
    ) -> Result<Origins, String> {
        let primary = self.origin("--origin", origin)?;
        let Some((secondary, criteria)) = secondary else {
            return Ok(Either::Left(primary));
        };
        let secondary = self.origin("--secondary", secondary)?;
        let failover = FailoverLayer::new(secondary, criteria);
        Ok(Either::Right(failover.layer(primary)))
    }

    fn origin(self, flag: &str, url: &str) -> Result<OriginService, String> {
        // The error names the value, but for a password.
        let named = |error: ConfigError| format!("{flag}: {error}");
        let mut origin = Origin::url(url).map_err(named)?;
        if let Some(timeout) = self.connect_timeout {
            origin = origin.connection_timeout(timeout);
        }
        if let Some(attempts) = self.attempts {
            origin = origin.connection_attempts(attempts);
        }
        if let Some(timeout) = self.response_timeout {
            origin = origin.response_timeout(timeout);
        }
        origin.build().map_err(named)
    }
}
