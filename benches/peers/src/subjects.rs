//! Who is measured, and how each is started.

use crate::{
    Failure,
    processes::{Server, command, free_address},
    serve::MEMORY,
};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// A server that is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Hyper,
    ReverseProxy,
    Nginx,
    Varnish,
    Pingora,
    HttpCacheTower,
    Axum,
    FrontageAxum,
    HttpCacheTowerAxum,
    AxumResponseCache,
    /// No cache: what a miss is measured by.
    PlainProxy,
}

impl Subject {
    pub(crate) const ALL: [Self; 10] = [
        Self::Hyper,
        Self::ReverseProxy,
        Self::Nginx,
        Self::Varnish,
        Self::Pingora,
        Self::HttpCacheTower,
        Self::Axum,
        Self::FrontageAxum,
        Self::HttpCacheTowerAxum,
        Self::AxumResponseCache,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hyper => "hyper",
            Self::ReverseProxy => "reverse_proxy",
            Self::Nginx => "nginx",
            Self::Varnish => "varnish",
            Self::Pingora => "pingora",
            Self::HttpCacheTower => "http-cache-tower",
            Self::Axum => "axum",
            Self::FrontageAxum => "frontage-axum",
            Self::HttpCacheTowerAxum => "http-cache-tower-axum",
            Self::AxumResponseCache => "axum-response-cache",
            Self::PlainProxy => "plain-proxy",
        }
    }

    pub(crate) fn called(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|subject| subject.name() == name)
    }

    /// Who answers from a constant where this one answers from a cache.
    pub(crate) fn ceiling(self) -> Self {
        match self {
            Self::Axum
            | Self::FrontageAxum
            | Self::HttpCacheTowerAxum
            | Self::AxumResponseCache => Self::Axum,
            _ => Self::Hyper,
        }
    }

    pub(crate) fn is_ceiling(self) -> bool {
        self == self.ceiling()
    }

    /// Whether it fetches from our origin; the others have a handler of their own.
    pub(crate) fn is_proxy(self) -> bool {
        self.ceiling() == Self::Hyper && !self.is_ceiling()
    }

    /// Builds what isn't part of this program, so that no old build is measured.
    pub(crate) fn build(self) -> Result<(), Failure> {
        match self {
            Self::ReverseProxy => cargo(&crate_root(), &["--example", "reverse_proxy"]),
            Self::Pingora => cargo(&here().join("pingora"), &[]),
            Self::Nginx => is_installed("nginx", "-v", "nginx-light"),
            Self::Varnish => is_installed("varnishd", "-V", "varnish"),
            _ => Ok(()),
        }
    }

    pub(crate) fn start(self, origin: SocketAddr, memory: u64) -> Result<Server, Failure> {
        match self {
            Self::HttpCacheTower | Self::PlainProxy => {
                this_program(&[self.name(), &origin.to_string()])
            }
            Self::ReverseProxy => {
                let mut command =
                    command(crate_root().join("target/release/examples/reverse_proxy"));
                command.args(["--listen", "127.0.0.1:0", "--memory"]);
                command.arg(memory.to_string());
                command.arg("--origin").arg(format!("http://{origin}"));
                Server::that_says_where(one_worker(command))
            }
            Self::Nginx => nginx(origin),
            Self::Varnish => varnish(origin),
            Self::Pingora => {
                let address = free_address()?;
                let mut command = command(here().join("pingora/target/release/pingora-peer"));
                command.arg(address.to_string()).arg(origin.to_string());
                Server::at(address, command, files()?)
            }
            _ => this_program(&[self.name()]),
        }
    }
}

/// What the proxies ask.
pub(crate) fn start_origin() -> Result<Server, Failure> {
    this_program(&["origin"])
}

fn this_program(arguments: &[&str]) -> Result<Server, Failure> {
    let mut command = command(std::env::current_exe()?);
    command.arg("serve").args(arguments);
    Server::that_says_where(one_worker(command))
}

fn one_worker(mut command: Command) -> Command {
    command.env("TOKIO_WORKER_THREADS", "1");
    command
}

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn crate_root() -> PathBuf {
    here().join("../..")
}

fn cargo(package: &Path, what: &[&str]) -> Result<(), Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked"])
        .args(what)
        .arg("--manifest-path")
        .arg(package.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(package.join("target"))
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} {what:?} doesn't build", package.display()).into())
    }
}

fn is_installed(program: &str, version: &str, package: &str) -> Result<(), Failure> {
    match Command::new(program).arg(version).output() {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err(format!(
            "{program} is missing: `apt-get install {package}`, or go on without it: --without NAME,NAME"
        )
        .into()),
    }
}

/// In memory, where there is such a place.
fn files() -> Result<TempDir, Failure> {
    let memory = Path::new("/dev/shm");
    let mut name = tempfile::Builder::new();
    name.prefix("frontage-peers-");
    let made = if memory.is_dir() {
        name.tempdir_in(memory)
    } else {
        name.tempdir()
    };
    Ok(made?)
}

fn nginx(origin: SocketAddr) -> Result<Server, Failure> {
    let files = files()?;
    let address = free_address()?;
    let directory = files.path().display();
    let settings = format!(
        "daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {directory}/pid;
error_log stderr warn;
events {{
    worker_connections 4096;
}}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    open_file_cache max=20000 inactive=1h;
    open_file_cache_valid 1h;
    proxy_cache_path {directory}/cache levels=1:2 keys_zone=peers:32m max_size=256m inactive=1d use_temp_path=off;
    proxy_temp_path {directory}/proxy;
    client_body_temp_path {directory}/client;
    server {{
        listen {address};
        location / {{
            proxy_pass http://{origin};
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_cache peers;
        }}
    }}
}}
"
    );
    let path = files.path().join("nginx.conf");
    fs::write(&path, settings)?;
    // Its worker is another user when it is started by root.
    fs::set_permissions(
        files.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )?;
    let mut command = command("nginx");
    command.args(["-e", "stderr", "-c"]).arg(path);
    Server::at(address, command, files)
}

fn varnish(origin: SocketAddr) -> Result<Server, Failure> {
    /// What a hit would write to its log.
    const QUIET: &str = "-Begin,-End,-Link,-SessOpen,-SessClose,-ReqStart,-ReqMethod,-ReqURL,\
        -ReqProtocol,-ReqHeader,-ReqUnset,-ReqAcct,-RespProtocol,-RespStatus,-RespReason,\
        -RespHeader,-RespUnset,-VCL_call,-VCL_return,-VCL_use,-Hit,-Timestamp,-Filters,-Length";
    let files = files()?;
    let address = free_address()?;
    let mut command = command("varnishd");
    command
        .args(["-F", "-j", "none", "-T", "none", "-n"])
        .arg(files.path().join("varnish"))
        .args(["-a", &address.to_string(), "-b", &origin.to_string()])
        .args(["-s", &format!("malloc,{MEMORY}")])
        .args(["-p", "thread_pools=1", "-p", "thread_pool_min=100"])
        .args(["-p", "thread_pool_max=1000", "-p", "timeout_idle=3600"])
        .args(["-p", &format!("vsl_mask={QUIET}")]);
    Server::at(address, command, files)
}
