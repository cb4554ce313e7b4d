//! TLS: what is trusted, and what is not.

use super::*;
use crate::raw::{OK, Peer, Seen};
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What trusts these certificates only.
pub(crate) fn config(roots: &[CertificateDer<'static>]) -> Arc<rustls::ClientConfig> {
    let mut store = rustls::RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).unwrap();
    }
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    Arc::new(config)
}

/// An authority, and a server whose certificate it signed.
struct Server {
    root: CertificateDer<'static>,
    port: u16,
}

async fn serve(name: &str, change: impl FnOnce(&mut CertificateParams), alpn: &[&[u8]]) -> Server {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    Peer::new(stream, Seen::default()).answer_all(OK).await;
                }
            });
        }
    });
    Server {
        root: authority.der().clone(),
        port,
    }
}

fn service(server: &Server, roots: &[CertificateDer<'static>]) -> OriginService {
    Origin::host("localhost")
        .https_port(server.port)
        .tls_config(config(roots))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_certificate_that_fits_is_trusted() {
    let server = serve("localhost", |_| {}, &[b"h2", b"http/1.1"]).await;
    let service = service(&server, std::slice::from_ref(&server.root));
    for _ in 0..2 {
        let response = ask(&service, get("/")).await;
        assert_eq!(text(response).await.unwrap(), "ok");
    }
}

#[tokio::test]
async fn one_that_does_not_is_a_502() {
    let expired = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    };
    let wrong_name = serve("other.example", |_| {}, &[]).await;
    let expired = serve("localhost", expired, &[]).await;
    let unknown = serve("localhost", |_| {}, &[]).await;
    for (server, roots) in [
        (&wrong_name, vec![wrong_name.root.clone()]),
        (&expired, vec![expired.root.clone()]),
        (&unknown, vec![]),
        (&unknown, vec![expired.root.clone()]),
    ] {
        let response = ask(&service(server, &roots), get("/")).await;
        assert_eq!(failure(&response), Some(OriginFailure::Tls));
        assert_eq!(response.status(), 502);
    }
}

/// The process has two providers linked, and no default one.
#[tokio::test]
async fn no_default_provider_is_asked_for() {
    let _other = rustls::crypto::aws_lc_rs::default_provider();
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    let built = Origin::url("https://h").unwrap().build();
    if let Err(error) = built {
        // A machine without certificates.
        assert_eq!(error.setting(), "tls_config");
    }
    let server = serve("localhost", |_| {}, &[]).await;
    let response = ask(
        &service(&server, std::slice::from_ref(&server.root)),
        get("/"),
    )
    .await;
    assert_eq!(text(response).await.unwrap(), "ok");
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
}

#[tokio::test]
async fn a_handshake_that_is_cut_off_is_a_502_of_tls() {
    for reset in [false, true] {
        let server = super::raw::serve(move |_, mut peer| async move {
            let _hello = tokio::io::AsyncReadExt::read(&mut peer.stream, &mut [0; 4096]).await;
            if reset {
                peer.reset();
            }
        })
        .await;
        let url = format!("https://localhost:{}", server.address.port());
        let service = origin(&url).tls_config(config(&[])).build().unwrap();
        let response = ask(&service, get("/")).await;
        assert_eq!(failure(&response), Some(OriginFailure::Tls), "{reset}");
    }
}

#[tokio::test]
async fn http2_is_not_spoken_to_who_does_not_choose_it() {
    let server = serve("localhost", |_| {}, &[]).await;
    let service = Origin::host("localhost")
        .https_port(server.port)
        .tls_config(config(std::slice::from_ref(&server.root)))
        .http2(true)
        .build()
        .unwrap();
    let response = ask(&service, get("/")).await;
    assert_eq!(failure(&response), Some(OriginFailure::Tls));
}
