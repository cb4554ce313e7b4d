//! An S3 server over a directory, which checks signatures and says what it was asked for.

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use s3s::{
    S3Result,
    access::{S3Access, S3AccessContext},
    auth::SimpleAuth,
    host::SingleDomain,
    s3_error,
    service::S3ServiceBuilder,
};
use s3s_fs::FileSystem;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};
use tokio::net::TcpListener;
use tower::service_fn;

pub(crate) const KEY: (&str, &str) = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG");
pub(crate) const VIEWERS_KEY: (&str, &str) = ("AKIAVIEWER", "of the viewer");
pub(crate) const REGION: &str = "eu-west-1";
pub(crate) const BUCKET: &str = "assets";
/// What it takes a bucket's name in front of.
pub(crate) const DOMAIN: &str = "s3.eu-west-1.amazonaws.com";

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    directory: Arc<Directory>,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    requests: AtomicUsize,
    /// Bytes of the bodies of requests.
    received: AtomicU64,
    /// The fields of the last request.
    headers: Mutex<HeaderMap>,
    /// What the last request was about, if its signature was good.
    access: Mutex<Option<Access>>,
}

/// What S3 took a request for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) operation: String,
    pub(crate) bucket: String,
    pub(crate) object: String,
    /// Whose signature it was.
    pub(crate) signer: String,
}

struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("s3-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(path.join(BUCKET)).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Lets in whoever signs with a key that there is, and writes down what for.
struct Witness(Arc<Seen>);

#[async_trait::async_trait]
impl S3Access for Witness {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Some(signer) = context.credentials() else {
            return Err(s3_error!(AccessDenied, "a signature is required"));
        };
        let path = context.s3_path();
        *self.0.access.lock().unwrap() = Some(Access {
            operation: context.s3_op().name().to_owned(),
            bucket: path.get_bucket_name().unwrap_or_default().to_owned(),
            object: path.get_object_key().unwrap_or_default().to_owned(),
            signer: signer.access_key.clone(),
        });
        Ok(())
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        let directory = Arc::new(Directory::new());
        let seen = Arc::new(Seen::default());
        let mut builder = S3ServiceBuilder::new(FileSystem::new(&directory.0).unwrap());
        let mut keys = SimpleAuth::new();
        for (id, secret) in [KEY, VIEWERS_KEY] {
            keys.register(id.to_owned(), secret.into());
        }
        builder.set_auth(keys);
        builder.set_access(Witness(seen.clone()));
        builder.set_host(SingleDomain::new(DOMAIN).unwrap());
        let s3 = Arc::new(builder.build());

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let witness = seen.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let (s3, seen) = (s3.clone(), witness.clone());
            seen.requests.fetch_add(1, Ordering::SeqCst);
            *seen.headers.lock().unwrap() = request.headers().clone();
            *seen.access.lock().unwrap() = None;
            let request = request.map(|body| {
                s3s::Body::http_body_unsync(body.map_frame(move |frame| {
                    let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                    seen.received.fetch_add(length, Ordering::SeqCst);
                    frame
                }))
            });
            async move { s3.call(request).await }
        });
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = TowerToHyperService::new(service.clone());
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    // An error is what the other side sees, too: the end of its connection.
                    drop(server.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self {
            address,
            directory,
            seen,
        }
    }

    /// Where an object's bytes are.
    pub(crate) fn file(&self, key: &str) -> PathBuf {
        self.directory.0.join(BUCKET).join(key)
    }

    pub(crate) fn store(&self, key: &str, content: impl AsRef<[u8]>) {
        let file = self.file(key);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    }

    /// How many requests came, signed or not.
    pub(crate) fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::SeqCst)
    }

    /// How many bytes of bodies came.
    pub(crate) fn received(&self) -> u64 {
        self.seen.received.load(Ordering::SeqCst)
    }

    /// A field of the last request.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let headers = self.seen.headers.lock().unwrap();
        Some(headers.get(name)?.to_str().unwrap().to_owned())
    }

    /// What the last request was about; `None` if it was refused.
    pub(crate) fn access(&self) -> Option<Access> {
        self.seen.access.lock().unwrap().clone()
    }
}
