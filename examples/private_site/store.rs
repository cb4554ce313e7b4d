//! S3 servers of one's own, for `--self-contained`: each has one bucket, and can be taken down.

use crate::{arguments::Bucket, content, server};
use frontage::origin::Credentials;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use s3s::{
    S3Error,
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;
use std::{
    error::Error,
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, oneshot},
    task::JoinHandle,
};
use tower::service_fn;

const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const REGION: &str = "eu-west-1";

/// Where the buckets' files are, until it is dropped.
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// A new one among the system's temporary files.
    pub(crate) fn new() -> Result<Self, String> {
        let name = format!("frontage-private-site-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        match std::fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("private_site: {}: {error}", self.0.display());
        }
    }
}

/// Both buckets.
pub(crate) struct Stores {
    pub(crate) primary: Store,
    pub(crate) secondary: Store,
    secret: String,
}

impl Stores {
    /// Starts both servers, with the site in the bucket of each.
    pub(crate) async fn start(directory: &Directory) -> Result<Self, Box<dyn Error>> {
        let secret = secret();
        Ok(Self {
            primary: Store::start(directory, "site-primary", &secret).await?,
            secondary: Store::start(directory, "site-secondary", &secret).await?,
            secret,
        })
    }

    /// Those that the servers take.
    pub(crate) fn credentials(&self) -> Credentials {
        Credentials::new(KEY_ID, self.secret.as_str())
    }
}

impl fmt::Display for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "primary:   {}", self.primary)?;
        writeln!(f, "secondary: {}", self.secondary)
    }
}

/// Nobody else can guess it, for as long as the process runs.
fn secret() -> String {
    use std::hash::{BuildHasher, RandomState};
    let word = || RandomState::new().hash_one(());
    format!("{:016x}{:016x}", word(), word())
}

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Up,
    /// It answers 503.
    Failing,
    /// Nobody can connect to it.
    Refusing,
}

impl State {
    /// The one of this name, at the control port and on the keyboard.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "up" => Self::Up,
            "503" => Self::Failing,
            "refuse" => Self::Refusing,
            _ => return None,
        })
    }
}

/// A server with one bucket.
pub(crate) struct Store {
    bucket: &'static str,
    address: SocketAddr,
    served: Arc<Served>,
    running: Mutex<Option<Running>>,
    /// Changes while `running` is locked.
    refuses: AtomicBool,
}

struct Served {
    s3: S3Service,
    /// All that came, signed or not.
    requests: AtomicU64,
    fails: AtomicBool,
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Store {
    async fn start(
        directory: &Directory,
        bucket: &'static str,
        secret: &str,
    ) -> Result<Self, Box<dyn Error>> {
        let root = directory.0.join(bucket);
        fill(&root.join(bucket))?;
        let files =
            FileSystem::new(&root).map_err(|error| format!("{}: {error:?}", root.display()))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(KEY_ID, secret));
        let served = Arc::new(Served {
            s3: builder.build(),
            requests: AtomicU64::new(0),
            fails: AtomicBool::new(false),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Self {
            bucket,
            address: listener.local_addr()?,
            running: Mutex::new(Some(Running::start(listener, served.clone()))),
            refuses: AtomicBool::new(false),
            served,
        })
    }

    /// Where it is, as the command line would say it.
    pub(crate) fn bucket(&self) -> Bucket {
        Bucket {
            name: self.bucket.to_owned(),
            region: REGION.to_owned(),
            endpoint: Some(format!("http://{}", self.address)),
        }
    }

    /// The address of an object.
    pub(crate) fn url(&self, key: &str) -> String {
        format!("http://{}/{}/{key}", self.address, self.bucket)
    }

    /// Takes it down, or up again.
    pub(crate) async fn set(&self, state: State) -> io::Result<()> {
        let mut running = self.running.lock().await;
        self.served
            .fails
            .store(state == State::Failing, Ordering::Relaxed);
        if state == State::Refusing {
            if let Some(running) = running.take() {
                running.stop().await;
            }
        } else if running.is_none() {
            let listener = TcpListener::bind(self.address).await?;
            *running = Some(Running::start(listener, self.served.clone()));
        }
        self.refuses.store(running.is_none(), Ordering::Relaxed);
        Ok(())
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests = self.served.requests.load(Ordering::Relaxed);
        let state = if self.refuses.load(Ordering::Relaxed) {
            "refuses connections"
        } else if self.served.fails.load(Ordering::Relaxed) {
            "answers 503"
        } else {
            "up"
        };
        write!(f, "{state}; requests: {requests}")
    }
}

impl Running {
    fn start(listener: TcpListener, served: Arc<Served>) -> Self {
        let service = service_fn(move |request| {
            let served = served.clone();
            async move { served.answer(request).await }
        });
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server::serve(listener, service, stopped));
        Self { stop, task }
    }

    async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "an S3 server ended badly");
        }
    }
}

impl Served {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<s3s::Body>, S3Error> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if self.fails.load(Ordering::Relaxed) {
            let page = "<Error><Code>ServiceUnavailable</Code></Error>\n";
            let mut response = Response::new(s3s::Body::from(page.to_owned()));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return Ok(response);
        }
        // S3 keeps what an upload says of its type; this server doesn't.
        let content_type = content::type_of(request.uri().path());
        let mut response = self.s3.call(request.map(s3s::Body::from)).await?;
        if response.status().is_success() {
            let content_type = HeaderValue::from_static(content_type);
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, content_type);
        }
        Ok(response)
    }
}

fn fill(bucket: &Path) -> io::Result<()> {
    for (key, content) in content::objects() {
        let file = bucket.join(key);
        if let Some(directory) = file.parent() {
            std::fs::create_dir_all(directory)?;
        }
        std::fs::write(file, content)?;
    }
    Ok(())
}
