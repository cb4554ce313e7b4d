//! Signers, their layer, and credentials that are renewed.

use super::*;
use crate::{
    clock::ManualClock,
    sigv4::{EMPTY_PAYLOAD, UNSIGNED_PAYLOAD},
};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, Method, Request, Response, StatusCode, header, request::Parts};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty, Full};
use std::{
    collections::VecDeque,
    convert::Infallible,
    error::Error as _,
    future::{pending, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;
use tokio_test::{assert_pending, assert_ready, block_on, task::spawn};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};

const HOST: &str = "b.s3.us-east-1.amazonaws.com";

fn credentials() -> Credentials {
    Credentials::new("AKID", "hush-secret")
}

fn signer(behavior: SigningBehavior, provider: impl ProvideCredentials) -> Signer {
    let access_control = OriginAccessControl::new(behavior, provider);
    Signer::new(access_control, SigningService::S3, HOST, None).unwrap()
}

fn always() -> Signer {
    signer(SigningBehavior::Always, credentials())
}

fn of_service(service: SigningService) -> Signer {
    let access_control = OriginAccessControl::always(credentials());
    Signer::new(access_control, service, "origin.example", Some("r")).unwrap()
}

fn get(fields: &[(&'static str, &str)]) -> Request<Empty<Bytes>> {
    let mut request = Request::get(format!("https://{HOST}/a"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Empty::new()).unwrap()
}

fn parts(fields: &[(&'static str, &str)]) -> Parts {
    get(fields).into_parts().0
}

fn sent<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next()?;
    assert!(lines.next().is_none(), "{name} twice");
    Some(line.to_str().unwrap())
}

/// What the layer sends for a request, or its answer in place of it.
async fn through(
    signer: Signer,
    request: Request<Empty<Bytes>>,
) -> Response<crate::OptionalBody<Full<Bytes>>> {
    let echo = service_fn(|request: Request<Empty<Bytes>>| {
        let mut response = Response::new(Full::from("inner"));
        *response.headers_mut() = request.headers().clone();
        ready(Ok::<_, Infallible>(response))
    });
    SignLayer::new(signer)
        .layer(echo)
        .oneshot(request)
        .await
        .unwrap()
}

/// Gives what it is told to, in order; waits for `gate` first, where there is one.
#[derive(Clone, Debug, Default)]
struct Scripted {
    asked: Arc<AtomicUsize>,
    answers: Arc<Mutex<VecDeque<Result<Credentials, CredentialsError>>>>,
    gate: Option<Arc<Notify>>,
}

impl Scripted {
    fn new(answers: impl IntoIterator<Item = Result<Credentials, CredentialsError>>) -> Self {
        let scripted = Self::default();
        scripted.answers.lock().unwrap().extend(answers);
        scripted
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn answer(&self, answer: Result<Credentials, CredentialsError>) {
        self.answers.lock().unwrap().push_back(answer);
    }
}

impl ProvideCredentials for Scripted {
    fn provide(&self) -> ProvidedCredentials<'_> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {
            if let Some(gate) = &self.gate {
                gate.notified().await;
            }
            let answer = self.answers.lock().unwrap().pop_front();
            answer.expect("asked once too often")
        })
    }
}

#[derive(Debug)]
struct Silent;

impl ProvideCredentials for Silent {
    fn provide(&self) -> ProvidedCredentials<'_> {
        Box::pin(pending())
    }
}

#[derive(Debug)]
struct Panicking;

impl ProvideCredentials for Panicking {
    fn provide(&self) -> ProvidedCredentials<'_> {
        panic!("on purpose")
    }
}

mod behaviors {
    use super::*;

    #[tokio::test]
    async fn always_overwrites_what_the_viewer_signed() {
        let viewers = [
            ("authorization", "viewer"),
            ("x-amz-date", "viewer"),
            ("x-amz-security-token", "viewer"),
        ];
        let response = through(always(), get(&viewers)).await;
        let headers = response.headers();
        let authorization = sent(headers, "authorization").unwrap();
        assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKID/"));
        assert!(
            authorization
                .contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=")
        );
        assert_ne!(sent(headers, "x-amz-date"), Some("viewer"));
        assert_eq!(sent(headers, "x-amz-security-token"), None);
    }

    #[tokio::test]
    async fn a_session_token_takes_the_place_of_the_viewers() {
        let credentials = credentials().session_token("hush-token");
        let signer = signer(SigningBehavior::Always, credentials);
        let mut parts = parts(&[
            ("x-amz-security-token", "one"),
            ("x-amz-security-token", "two"),
        ]);
        signer.sign(&mut parts, false).await.unwrap();
        assert_eq!(
            sent(&parts.headers, "x-amz-security-token"),
            Some("hush-token")
        );
        assert!(
            sent(&parts.headers, "authorization")
                .unwrap()
                .contains("x-amz-date;x-amz-security-token,")
        );
        assert!(!format!("{parts:?}").contains("hush"));
    }

    #[tokio::test]
    async fn never_changes_nothing_and_asks_for_no_credentials() {
        let provider = Scripted::default();
        let signer = signer(SigningBehavior::Never, provider.clone());
        let viewers = [("authorization", "viewer"), ("x-amz-date", "viewer")];
        let response = through(signer.clone(), get(&viewers)).await;
        assert_eq!(response.headers(), get(&viewers).headers());
        let response = through(signer, get(&[])).await;
        assert!(response.headers().is_empty());
        assert_eq!(provider.asked(), 0);
    }

    #[tokio::test]
    async fn no_override_leaves_what_the_viewer_signed_and_signs_the_rest() {
        let provider = Scripted::new([Ok(credentials())]);
        let signer = signer(SigningBehavior::NoOverride, provider.clone());
        let viewers = [
            ("authorization", "viewer"),
            ("x-amz-date", "viewer"),
            ("x-amz-security-token", "viewer"),
        ];
        let response = through(signer.clone(), get(&viewers)).await;
        assert_eq!(response.headers(), get(&viewers).headers());
        assert_eq!(provider.asked(), 0);
        // Without it, what else a viewer sent of a signature goes.
        let response = through(signer, get(&viewers[1..])).await;
        assert!(sent(response.headers(), "authorization").is_some());
        assert_eq!(sent(response.headers(), "x-amz-security-token"), None);
        assert_eq!(provider.asked(), 1);
    }
}

mod payloads {
    use super::*;

    async fn hash(
        service: SigningService,
        viewers: &[(&'static str, &str)],
        has_body: bool,
    ) -> Result<String, SignError> {
        let mut parts = parts(viewers);
        of_service(service).sign(&mut parts, has_body).await?;
        Ok(sent(&parts.headers, "x-amz-content-sha256").unwrap().into())
    }

    fn standard() -> [SigningService; 3] {
        [
            SigningService::Lambda,
            SigningService::MediaPackageV2,
            SigningService::Named("execute-api".into()),
        ]
    }

    fn stores() -> [SigningService; 2] {
        [SigningService::S3, SigningService::MediaStore]
    }

    #[tokio::test]
    async fn no_body_is_signed_as_none() {
        for service in standard().into_iter().chain(stores()) {
            for viewers in [&[][..], &[("x-amz-content-sha256", "")]] {
                let none = hash(service.clone(), viewers, false).await;
                assert_eq!(none.unwrap(), EMPTY_PAYLOAD, "{service:?}");
            }
        }
    }

    #[tokio::test]
    async fn the_viewers_hash_is_signed_as_it_is() {
        for service in standard().into_iter().chain(stores()) {
            for has_body in [false, true] {
                let viewers = [("x-amz-content-sha256", " abc ")];
                let theirs = hash(service.clone(), &viewers, has_body).await;
                assert_eq!(theirs.unwrap(), "abc", "{service:?}");
            }
        }
    }

    #[tokio::test]
    async fn stores_take_a_body_unsigned() {
        for service in stores() {
            for viewers in [&[][..], &[("x-amz-content-sha256", "")]] {
                let unsigned = hash(service.clone(), viewers, true).await;
                assert_eq!(unsigned.unwrap(), UNSIGNED_PAYLOAD, "{service:?}");
            }
        }
    }

    #[tokio::test]
    async fn elsewhere_a_body_needs_the_viewers_hash() {
        for service in standard() {
            let error = hash(service, &[], true).await.unwrap_err();
            assert_eq!(error.status(), StatusCode::BAD_REQUEST);
            assert!(error.credentials().is_none());
            assert!(error.to_string().contains("x-amz-content-sha256"));
        }
    }

    #[tokio::test]
    async fn a_body_without_its_hash_is_refused_before_anybody_is_asked() {
        let provider = Scripted::default();
        let access_control = OriginAccessControl::always(provider.clone());
        let host = "id.lambda-url.eu-west-1.on.aws";
        let signer = Signer::new(access_control, SigningService::Lambda, host, None).unwrap();
        type Answered = std::future::Ready<Result<Response<Full<Bytes>>, Infallible>>;
        let origin = service_fn(|_: Request<Full<Bytes>>| -> Answered {
            unreachable!("a request that isn't signed")
        });
        let request = Request::post(format!("https://{host}/"))
            .body(Full::from("body"))
            .unwrap();
        let response = SignLayer::new(signer)
            .layer(origin)
            .oneshot(request)
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert!(response.extensions().get::<SignError>().is_some());
        assert_eq!(provider.asked(), 0);
    }
}

mod signing {
    use super::*;

    #[tokio::test]
    async fn each_attempt_has_its_own_date_and_day() {
        let clock = ManualClock::at(1_369_353_599_000);
        let signer = always().clock(clock.clone());
        let mut signed = Vec::new();
        for _ in 0..3 {
            let mut parts = parts(&[]);
            signer.sign(&mut parts, false).await.unwrap();
            let of = |name| sent(&parts.headers, name).unwrap().to_owned();
            signed.push((of("x-amz-date"), of("authorization")));
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!(signed[0].0, "20130523T235959Z");
        assert_eq!(signed[1].0, "20130524T000000Z");
        assert_eq!(signed[2].0, "20130524T000001Z");
        for (at, day) in [(0, "20130523"), (1, "20130524"), (2, "20130524")] {
            let credential = format!("AKID/{day}/us-east-1/s3/aws4_request");
            assert!(signed[at].1.contains(&credential), "{signed:?}");
        }
        // What was kept of the day before, or of another key, doesn't sign.
        let fresh = always().clock(ManualClock::at(1_369_353_601_000));
        let mut parts = parts(&[]);
        fresh.sign(&mut parts, false).await.unwrap();
        assert_eq!(sent(&parts.headers, "authorization"), Some(&*signed[2].1));
    }

    #[tokio::test]
    async fn other_credentials_sign_with_their_own_key() {
        let other = Credentials::new("AKID", "other");
        let provider = Scripted::new([Ok(credentials()), Ok(other.clone()), Ok(credentials())]);
        let clock = ManualClock::at(0);
        let both = signer(SigningBehavior::Always, provider).clock(clock.clone());
        let alone = signer(SigningBehavior::Always, other).clock(clock.clone());
        let first = always().clock(clock);
        for expected in [&first, &alone, &first] {
            let (mut one, mut two) = (parts(&[]), parts(&[]));
            both.sign(&mut one, false).await.unwrap();
            expected.sign(&mut two, false).await.unwrap();
            assert_eq!(one.headers, two.headers);
        }
    }

    #[tokio::test]
    async fn the_path_is_sent_as_s3_signs_it_and_as_it_came_elsewhere() {
        for (uri, expected) in [
            ("https://h/a+b=%7e?a+b=%7e", "https://h/a%20b%3D~?a+b=%7e"),
            ("https://h//a/../%2F", "https://h//a/..//"),
            ("/k%20e", "/k%20e"),
            ("*", "*"),
            ("https://h", "https://h/"),
        ] {
            let (mut parts, ()) = Request::get(uri).body(()).unwrap().into_parts();
            always().sign(&mut parts, false).await.unwrap();
            assert_eq!(parts.uri, expected);

            let (mut parts, ()) = Request::get(uri).body(()).unwrap().into_parts();
            let lambda = of_service(SigningService::Lambda);
            lambda.sign(&mut parts, false).await.unwrap();
            assert_eq!(parts.uri, uri);
        }
    }

    #[tokio::test]
    async fn fields_that_are_named_are_signed_where_they_are() {
        let signer = always().sign_header(header::RANGE).unwrap();
        let mut with = parts(&[("range", "bytes=0-1"), ("via", "1.1 x")]);
        signer.sign(&mut with, false).await.unwrap();
        let authorization = sent(&with.headers, "authorization").unwrap();
        assert!(authorization.contains("=host;range;x-amz-content-sha256;x-amz-date,"));
        let mut without = parts(&[]);
        signer.sign(&mut without, false).await.unwrap();
        let authorization = sent(&without.headers, "authorization").unwrap();
        assert!(authorization.contains("=host;x-amz-content-sha256;x-amz-date,"));
        let error = always().sign_header(header::VIA).unwrap_err();
        assert_eq!(error.setting(), "sign_header");
    }

    #[tokio::test]
    async fn a_request_that_cannot_be_signed_is_as_it_was() {
        let unusable = [
            Credentials::new("id\n", "secret"),
            Credentials::new("id", "secret").session_token("hush\0"),
            Credentials::new("id", "secret").expires_at(1),
        ];
        for credentials in unusable {
            let signer = signer(SigningBehavior::Always, credentials);
            let before = parts(&[("authorization", "viewer"), ("x-amz-date", "viewer")]);
            let mut after = before.clone();
            after.uri = "/a+b".parse().unwrap();
            let error = signer.sign(&mut after, false).await.unwrap_err();
            assert_eq!(after.headers, before.headers);
            assert_eq!(after.uri, "/a+b");
            assert_eq!(error.status(), StatusCode::BAD_GATEWAY);
            assert!(error.credentials().is_some());
            assert!(!format!("{error:?} {error}").contains("hush"));
        }
    }

    #[test]
    fn no_secret_is_in_debug() {
        let credentials = credentials().session_token("hush-token");
        let refreshing = RefreshingCredentials::new(credentials);
        let signer = signer(SigningBehavior::Always, refreshing);
        let mut parts = parts(&[]);
        block_on(async { signer.sign(&mut parts, false).await.unwrap() });
        let layer = SignLayer::new(signer.clone());
        let service = layer.layer(());
        let shown = format!("{signer:?} {layer:?} {service:?}");
        assert!(shown.contains("AKID"), "{shown}");
        assert!(!shown.contains("hush"), "{shown}");
    }
}

mod building {
    use super::*;

    fn build(
        service: SigningService,
        host: &str,
        region: Option<&str>,
    ) -> Result<Signer, crate::ConfigError> {
        Signer::new(
            OriginAccessControl::always(credentials()),
            service,
            host,
            region,
        )
    }

    #[test]
    fn website_endpoints_are_refused_with_the_reason() {
        for host in [
            "b.s3-website-us-east-1.amazonaws.com",
            "B.S3-Website.EU-central-1.amazonaws.com.:80",
        ] {
            for service in [SigningService::S3, SigningService::Named("x".into())] {
                let error = build(service, host, Some("eu-central-1")).unwrap_err();
                assert_eq!(error.setting(), "host");
                let message = error.to_string();
                assert!(message.contains(host), "{message}");
                assert!(message.contains("a website endpoint checks no signatures"));
            }
        }
    }

    #[test]
    fn the_region_is_the_hosts_or_the_one_given() {
        use SigningService::{Lambda, S3};
        for (service, host, given, region) in [
            (S3, "b.s3.eu-west-1.amazonaws.com", None, Ok("eu-west-1")),
            (
                S3,
                "B.S3.EU-WEST-1.AMAZONAWS.COM.:443",
                None,
                Ok("eu-west-1"),
            ),
            (
                S3,
                "b.s3.eu-west-1.amazonaws.com",
                Some("eu-west-1"),
                Ok("eu-west-1"),
            ),
            (
                S3,
                "b.s3.eu-west-1.amazonaws.com",
                Some("us-east-1"),
                Err("region"),
            ),
            (S3, "b.s3.amazonaws.com", None, Ok("us-east-1")),
            (S3, "b.s3.amazonaws.com", Some("us-west-2"), Ok("us-west-2")),
            (S3, "s3.example:9000", Some("auto"), Ok("auto")),
            (S3, "[::1]:9000", Some("auto"), Ok("auto")),
            (S3, "s3.example", None, Err("region")),
            (S3, "s3.example", Some(""), Err("region")),
            (S3, "s3.example", Some("a/b"), Err("region")),
            (
                Lambda,
                "id.lambda-url.us-east-2.on.aws",
                None,
                Ok("us-east-2"),
            ),
            (Lambda, "api.example", None, Err("region")),
        ] {
            match (build(service, host, given), region) {
                (Ok(signer), Ok(region)) => assert_eq!(signer.region(), region, "{host}"),
                (Err(error), Err(setting)) => assert_eq!(error.setting(), setting, "{host}"),
                (built, _) => panic!("{host} {given:?}: {built:?}"),
            }
        }
    }

    #[test]
    fn services_have_the_names_that_signatures_use() {
        let named = |name: &str| build(SigningService::Named(name.into()), "h", Some("r"));
        assert_eq!(
            named("execute-api").unwrap().service().name(),
            "execute-api"
        );
        for name in ["", "a/b", "a b", "a\n"] {
            assert_eq!(named(name).unwrap_err().setting(), "service");
        }
        let names = [
            SigningService::S3,
            SigningService::Lambda,
            SigningService::MediaStore,
            SigningService::MediaPackageV2,
        ]
        .map(|service| service.name().to_owned());
        assert_eq!(names, ["s3", "lambda", "mediastore", "mediapackagev2"]);
    }
}

mod layer {
    use super::*;

    #[test]
    fn what_is_public_is_send_and_sync() {
        fn send_sync<T: Send + Sync + 'static>() {}
        send_sync::<SignLayer>();
        send_sync::<Sign<()>>();
        send_sync::<Signer>();
        send_sync::<SignError>();
        send_sync::<RefreshingCredentials>();
        send_sync::<crate::OptionalBody<Full<Bytes>>>();
        fn send<T: Send>(_: &T) {}
        let signer = always();
        let mut parts = parts(&[]);
        send(&signer.sign(&mut parts, false));
        let never = service_fn(|_: Request<Empty<Bytes>>| pending::<Result<Response<()>, ()>>());
        send(&SignLayer::new(always()).layer(never).call(get(&[])));
    }

    #[tokio::test]
    async fn without_credentials_the_viewer_gets_a_502_and_the_origin_nothing() {
        let provider = Scripted::new([Err(CredentialsError::new("no route"))]);
        let called = Arc::new(AtomicUsize::new(0));
        let origin = service_fn(|_: Request<Empty<Bytes>>| {
            called.fetch_add(1, Ordering::SeqCst);
            ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("x"))))
        });
        let service = SignLayer::new(signer(SigningBehavior::Always, provider)).layer(origin);
        let response = service.oneshot(get(&[])).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
        let error = response.extensions().get::<SignError>().unwrap();
        let source = error.source().unwrap().source().unwrap();
        assert_eq!(source.to_string(), "no route");
        let body = response.into_body();
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
        assert!(body.clone().into_inner().is_none());
        assert!(body.collect().await.unwrap().to_bytes().is_empty());
        assert_eq!(called.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn the_inner_services_answer_passes_untouched() {
        let body = through(always(), get(&[])).await.into_body();
        assert!(!body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(5));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "inner");

        let broken = service_fn(|_: Request<Empty<Bytes>>| ready(Err::<Response<()>, _>("broken")));
        let service = SignLayer::new(always()).layer(broken);
        assert_eq!(service.oneshot(get(&[])).await.unwrap_err(), "broken");
    }

    #[tokio::test]
    async fn extensions_and_the_method_reach_the_inner_service() {
        let inner = service_fn(|request: Request<Empty<Bytes>>| {
            let found = request.extensions().get::<u8>().copied();
            assert_eq!(request.method(), Method::PUT);
            ready(Ok::<_, Infallible>(Response::new(found)))
        });
        let mut request = get(&[]);
        *request.method_mut() = Method::PUT;
        request.extensions_mut().insert(7_u8);
        let service = SignLayer::new(always()).layer(inner);
        let response = service.oneshot(request).await.unwrap();
        assert_eq!(response.into_body().into_inner(), Some(Some(7)));
    }

    /// A clone of a service that was ready isn't, and one that is called unready panics.
    #[tokio::test]
    async fn the_instance_that_was_ready_is_the_one_that_is_called() {
        for behavior in [
            SigningBehavior::Always,
            SigningBehavior::Never,
            SigningBehavior::NoOverride,
        ] {
            let inner = service_fn(|_: Request<Empty<Bytes>>| {
                ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
            });
            let inner = ConcurrencyLimit::new(inner, 1);
            let mut service = SignLayer::new(signer(behavior, credentials())).layer(inner);
            for _ in 0..3 {
                let response = service.ready().await.unwrap().call(get(&[])).await;
                assert_eq!(response.unwrap().status(), StatusCode::OK);
            }
        }
    }

    #[tokio::test]
    async fn it_is_ready_when_the_inner_service_is_and_holds_its_place_while_it_signs() {
        let gate = Arc::new(Notify::new());
        let provider = Scripted {
            gate: Some(gate.clone()),
            ..Scripted::new([Ok(credentials())])
        };
        let inner =
            service_fn(|_: Request<Empty<Bytes>>| ready(Ok::<_, Infallible>(Response::new(()))));
        let inner = ConcurrencyLimit::new(inner, 1);
        let mut service = SignLayer::new(signer(SigningBehavior::Always, provider)).layer(inner);
        let mut other = service.clone();

        assert_ready!(spawn(service.ready()).poll()).unwrap();
        let mut first = spawn(service.call(get(&[])));
        assert_pending!(first.poll());
        let mut next = spawn(other.ready());
        assert_pending!(next.poll(), "the limit of one is reached");
        gate.notify_one();
        assert!(first.is_woken());
        assert_ready!(first.poll()).unwrap();
        drop(first);
        assert!(next.is_woken());
        assert_ready!(next.poll()).unwrap();
    }
}

mod refreshing {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn expiring(id: &str, at: u64) -> Result<Credentials, CredentialsError> {
        Ok(Credentials::new(id, "secret").expires_at(at))
    }

    fn failing() -> Result<Credentials, CredentialsError> {
        Err(CredentialsError::new("no route"))
    }

    struct Setup {
        provider: Scripted,
        clock: ManualClock,
        credentials: RefreshingCredentials,
    }

    impl Setup {
        fn new(answers: impl IntoIterator<Item = Result<Credentials, CredentialsError>>) -> Self {
            let provider = Scripted::new(answers);
            let clock = ManualClock::at(0);
            let credentials = RefreshingCredentials::new(provider.clone()).clock(clock.clone());
            Self {
                provider,
                clock,
                credentials,
            }
        }

        async fn id(&self) -> String {
            let credentials = self.credentials.provide().await.unwrap();
            credentials.access_key_id().to_owned()
        }

        async fn error(&self) -> CredentialsError {
            self.credentials.provide().await.unwrap_err()
        }

        /// Lets tasks run.
        async fn settle(&self) {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn a_thousand_requests_that_wait_ask_once() {
        let gate = Arc::new(Notify::new());
        let provider = Scripted {
            gate: Some(gate.clone()),
            ..Scripted::new([expiring("one", HOUR)])
        };
        let refreshing = RefreshingCredentials::new(provider.clone()).clock(ManualClock::at(0));
        let signer = signer(SigningBehavior::Always, refreshing);
        let waiting = (0..1000).map(|_| {
            let signer = signer.clone();
            tokio::spawn(async move {
                let mut parts = parts(&[]);
                // Its own clock would find them expired.
                signer
                    .clock(ManualClock::at(0))
                    .sign(&mut parts, false)
                    .await
            })
        });
        let waiting: Vec<_> = waiting.collect();
        while provider.asked() == 0 {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
        gate.notify_one();
        for signed in join_all(waiting).await {
            signed.unwrap().unwrap();
        }
        assert_eq!(provider.asked(), 1);
    }

    #[tokio::test]
    async fn what_does_not_expire_is_asked_for_once() {
        let setup = Setup::new([Ok(credentials())]);
        assert_eq!(setup.id().await, "AKID");
        setup.clock.set(u64::MAX);
        assert_eq!(setup.id().await, "AKID");
        assert_eq!(setup.provider.asked(), 1);
    }

    #[tokio::test]
    async fn the_next_are_fetched_ahead_of_expiry_and_nobody_waits() {
        let gate = Arc::new(Notify::new());
        let mut setup = Setup::new([expiring("one", HOUR), expiring("two", 2 * HOUR)]);
        setup.provider.gate = Some(gate.clone());
        setup.credentials =
            RefreshingCredentials::new(setup.provider.clone()).clock(setup.clock.clone());
        gate.notify_one();
        assert_eq!(setup.id().await, "one");

        setup.clock.set(HOUR - 300_001);
        assert_eq!(setup.id().await, "one");
        setup.settle().await;
        assert_eq!(setup.provider.asked(), 1);

        setup.clock.set(HOUR - 300_000);
        for _ in 0..3 {
            assert_eq!(setup.id().await, "one");
            setup.settle().await;
        }
        assert_eq!(setup.provider.asked(), 2, "one refresh, however many ask");
        gate.notify_one();
        setup.settle().await;
        assert_eq!(setup.id().await, "two");
        assert_eq!(setup.provider.asked(), 2);
    }

    #[tokio::test]
    async fn half_the_life_of_what_is_short_lived_is_ahead() {
        let setup = Setup::new([expiring("one", 60_000), expiring("two", HOUR)]);
        assert_eq!(setup.id().await, "one");
        setup.clock.set(29_999);
        assert_eq!(setup.id().await, "one");
        setup.settle().await;
        assert_eq!(setup.provider.asked(), 1);
        setup.clock.set(30_000);
        assert_eq!(setup.id().await, "one");
        setup.settle().await;
        assert_eq!(setup.id().await, "two");
    }

    #[tokio::test]
    async fn who_comes_after_expiry_waits_for_the_next() {
        let setup = Setup::new([expiring("one", HOUR), expiring("two", 2 * HOUR)]);
        assert_eq!(setup.id().await, "one");
        setup.clock.set(HOUR);
        assert_eq!(setup.id().await, "two");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_valid_is_used_while_a_refresh_fails_and_pauses_double() {
        let setup = Setup::new([expiring("one", HOUR)]);
        assert_eq!(setup.id().await, "one");
        setup.clock.set(HOUR - 1);
        let mut asked = 1;
        for pause in [1_u64, 2, 4, 8, 16, 32, 60, 60] {
            setup.provider.answer(failing());
            assert_eq!(setup.id().await, "one");
            setup.settle().await;
            asked += 1;
            assert_eq!(setup.provider.asked(), asked);
            tokio::time::advance(Duration::from_millis(pause * 1000 - 1)).await;
            assert_eq!(setup.id().await, "one");
            setup.settle().await;
            assert_eq!(setup.provider.asked(), asked, "left alone for {pause} s");
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        setup.provider.answer(expiring("two", 2 * HOUR));
        assert_eq!(setup.id().await, "one");
        setup.settle().await;
        assert_eq!(setup.id().await, "two");
        // The next failure starts over.
        setup.clock.set(2 * HOUR);
        setup.provider.answer(failing());
        setup.error().await;
        tokio::time::advance(Duration::from_secs(1)).await;
        setup.provider.answer(expiring("three", 3 * HOUR));
        assert_eq!(setup.id().await, "three");
    }

    #[tokio::test(start_paused = true)]
    async fn expired_and_failing_is_an_error_at_once_until_the_pause_is_over() {
        let setup = Setup::new([expiring("one", HOUR), failing()]);
        assert_eq!(setup.id().await, "one");
        setup.clock.set(HOUR);
        for _ in 0..3 {
            let error = setup.error().await;
            assert_eq!(error.source().unwrap().to_string(), "no route");
        }
        assert_eq!(setup.provider.asked(), 2);
        tokio::time::advance(Duration::from_secs(1)).await;
        setup.provider.answer(expiring("two", 2 * HOUR));
        assert_eq!(setup.id().await, "two");
    }

    #[tokio::test]
    async fn what_has_expired_when_it_comes_is_a_failure() {
        let setup = Setup::new([expiring("one", 0)]);
        assert!(setup.error().await.is_expired());
        assert!(setup.error().await.is_expired());
        assert_eq!(setup.provider.asked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_says_nothing_is_given_up() {
        let silent = RefreshingCredentials::new(Silent).timeout(Duration::from_secs(3));
        let start = tokio::time::Instant::now();
        assert!(silent.provide().await.unwrap_err().is_timeout());
        let took = start.elapsed();
        assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(4));
    }

    #[tokio::test]
    async fn a_provider_that_panics_leaves_nobody_hanging() {
        let panicking = RefreshingCredentials::new(Panicking);
        let waiting = (0..3).map(|_| panicking.provide());
        for result in join_all(waiting).await {
            let error = result.unwrap_err();
            assert!(error.to_string().contains("panicked"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_request_that_leaves_takes_no_refresh_along() {
        let gate = Arc::new(Notify::new());
        let provider = Scripted {
            gate: Some(gate.clone()),
            ..Scripted::new([expiring("one", u64::MAX)])
        };
        let refreshing = RefreshingCredentials::new(provider.clone());
        let mut first = spawn(refreshing.provide());
        assert_pending!(first.poll());
        drop(first);
        let mut second = spawn(refreshing.provide());
        assert_pending!(second.poll());
        gate.notify_one();
        assert_eq!(second.await.unwrap().access_key_id(), "one");
        assert_eq!(provider.asked(), 1);
    }

    #[test]
    fn a_refresh_whose_runtime_ends_does_not_stand_in_the_way() {
        let gate = Arc::new(Notify::new());
        let provider = Scripted {
            gate: Some(gate.clone()),
            ..Scripted::new([expiring("one", u64::MAX)])
        };
        let refreshing = RefreshingCredentials::new(provider.clone());
        let runtime = || {
            tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap()
        };
        runtime().block_on(async {
            let mut first = spawn(refreshing.provide());
            assert_pending!(first.poll());
        });
        runtime().block_on(async {
            let error = refreshing.provide().await.unwrap_err();
            assert!(error.to_string().contains("dropped"), "{error}");
        });
        runtime().block_on(async {
            tokio::time::advance(Duration::from_secs(1)).await;
            gate.notify_one();
            assert!(refreshing.provide().await.is_ok());
        });
    }

    #[test]
    fn outside_of_a_runtime_it_panics_and_works_later() {
        let refreshing = RefreshingCredentials::new(credentials());
        let alone = std::panic::AssertUnwindSafe(|| {
            futures_util::FutureExt::now_or_never(refreshing.provide())
        });
        assert!(std::panic::catch_unwind(alone).is_err());
        block_on(async {
            assert!(refreshing.provide().await.is_err(), "it pauses");
        });
    }
}
