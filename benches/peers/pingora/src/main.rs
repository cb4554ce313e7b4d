//! A caching proxy of pingora-proxy and pingora-cache, in memory: `pingora-peer LISTEN ORIGIN`.
//!
//! Its cache is bounded, as each other peer's is; it has no lock, for only hits are measured.

use async_trait::async_trait;
use pingora_cache::{
    CacheKey, CacheMetaDefaults, MemCache, NoCacheReason, RespCacheable,
    cache_control::CacheControl, eviction::simple_lru, filters,
};
use pingora_core::{
    Result,
    server::{Server, configuration::ServerConf},
    upstreams::peer::HttpPeer,
};
use pingora_http::ResponseHeader;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};
use std::{process::ExitCode, sync::LazyLock};

const MEMORY: usize = 256 << 20;
/// What the origin doesn't say is not guessed.
const DEFAULTS: CacheMetaDefaults = CacheMetaDefaults::new(|_status| None, 0, 0);

static STORE: LazyLock<MemCache> = LazyLock::new(MemCache::new);
static EVICTION: LazyLock<simple_lru::Manager> = LazyLock::new(|| simple_lru::Manager::new(MEMORY));

struct Proxy {
    origin: String,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(&self.origin, false, String::new())))
    }

    fn request_cache_filter(&self, session: &mut Session, _ctx: &mut ()) -> Result<()> {
        if filters::request_cacheable(session.req_header()) {
            session
                .cache
                .enable(&*STORE, Some(&*EVICTION), None, None, None);
        }
        Ok(())
    }

    fn cache_key_callback(&self, session: &Session, _ctx: &mut ()) -> Result<CacheKey> {
        let request = session.req_header();
        let host = request
            .headers
            .get("host")
            .map_or(&[][..], |host| host.as_bytes());
        let target = request.uri.path_and_query();
        let target = target.map_or("/", |target| target.as_str());
        Ok(CacheKey::new([host, target.as_bytes()].concat(), ""))
    }

    fn response_cache_filter(
        &self,
        session: &Session,
        response: &ResponseHeader,
        _ctx: &mut (),
    ) -> Result<RespCacheable> {
        let Some(control) = CacheControl::from_resp_headers(response) else {
            return Ok(RespCacheable::Uncacheable(NoCacheReason::OriginNotCache));
        };
        let is_authorized = session.req_header().headers.contains_key("authorization");
        Ok(filters::resp_cacheable(
            Some(&control),
            response.clone(),
            is_authorized,
            &DEFAULTS,
        ))
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, origin] = arguments.as_slice() else {
        eprintln!("usage: pingora-peer LISTEN ORIGIN");
        return ExitCode::from(2);
    };
    let settings = ServerConf {
        threads: 1,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, settings);
    server.bootstrap();
    let proxy = Proxy {
        origin: origin.clone(),
    };
    let mut service = http_proxy_service(&server.configuration, proxy);
    service.add_tcp(listen);
    server.add_service(service);
    server.run_forever()
}
