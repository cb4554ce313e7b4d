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
        shields: &[String],
        secondary: Option<(&str, FailoverCriteria)>,
    ) -> Result<Origins, String> {
        let primary = self.origin("--origin", origin, shields)?;
        let Some((secondary, criteria)) = secondary else {
            return Ok(Either::Left(primary));
        };
        let secondary = self.origin("--secondary", secondary, &[])?;
        let failover = FailoverLayer::new(secondary, criteria);
        Ok(Either::Right(failover.layer(primary)))
    }

    fn origin(self, flag: &str, url: &str, shields: &[String]) -> Result<OriginService, String> {
        // What stands before an `@` may be a password.
        let shown = url.rsplit('@').next().unwrap_or_default();
        let named = |error: ConfigError| format!("{flag} {shown:?}: {error}");
        let origin = Origin::url(url).map_err(named)?;
        let mut origin = origin
            .shield(shields)
            .map_err(|error| format!("--shield: {error}"))?;
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
