//! TLS where none is given.

use crate::error::ConfigError;
use std::sync::Arc;

/// TLS 1.2 and 1.3 with a provider of our own, whatever the process has for a default. `needed`: the certificates that the
/// system trusts must be there.
pub(in crate::origin) fn default_tls(needed: bool) -> Result<rustls::ClientConfig, ConfigError> {
    let mut roots = rustls::RootCertStore::empty();
    if needed {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let wanted = "given, since the system has no certificates that can be read";
            return Err(ConfigError::new("tls_config", "", wanted));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigError::new("tls_config", error, "versions that there are"))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
