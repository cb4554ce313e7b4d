//! The `reverse_proxy` example in a process of its own.

#![allow(dead_code, reason = "no file needs all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

use super::support::within;
use std::{net::SocketAddr, path::PathBuf, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::OnceCell,
};

/// The example's binary, beside this test's: `<target>/<profile>/examples`.
///
/// `cargo test` builds examples as tests where their manifest says `test = true`, and then not as binaries. So it is built here,
/// which takes no time where it is there and up to date.
async fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
    let binary = profile.join("examples/reverse_proxy");
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--example", "reverse_proxy"]);
        // What cargo says to a test of its package. Ring is built anew where it isn't what it was.
        let of_package = std::env::vars_os().map(|(name, _)| name).filter(|name| {
            let name = name.to_string_lossy();
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        });
        for name in of_package {
            build.env_remove(name);
        }
        build.arg("--target-dir").arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        if cfg!(feature = "axum") {
            build.args(["--features", "axum"]);
        }
        let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().await;
        assert!(built.unwrap().success(), "the example did not build");
    }
    assert!(
        binary.exists(),
        "{} is missing: cargo build --example reverse_proxy",
        binary.display()
    );
    binary
}

/// The proxy, which ends when this is dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts it in front of an origin, on a port of its own choice.
    pub(crate) async fn start(origin: SocketAddr, arguments: &[&str]) -> Self {
        static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
        let binary = BINARY.get_or_init(binary).await;
        let mut child = Command::new(binary)
            .args(["--listen", "127.0.0.1:0"])
            .args(["--origin", &format!("http://{origin}")])
            .args(arguments)
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.as_mut().unwrap());
        within(output.read_line(&mut line)).await.unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap();
        let address = address.parse().unwrap();
        Self { child, address }
    }

    fn id(&self) -> u32 {
        self.child.id().expect("the proxy has ended")
    }

    /// A line of `/proc/PID/status`, in bytes.
    pub(crate) fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|known| known.strip_prefix(line));
        let mut words = line.unwrap().split_whitespace();
        let kib: u64 = words.nth(1).unwrap().parse().unwrap();
        kib << 10
    }

    /// How many TCP connections it has open.
    pub(crate) fn connections(&self) -> usize {
        const LISTENS: &str = "0A";
        let process = format!("/proc/{}", self.id());
        let files = std::fs::read_dir(format!("{process}/fd")).unwrap();
        let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        let opened: Vec<String> = links
            .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.replace(']', "")))
            .collect();
        let sockets = std::fs::read_to_string(format!("{process}/net/tcp")).unwrap();
        let connections = sockets.lines().filter(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words[3] != LISTENS && opened.iter().any(|inode| inode == words[9])
        });
        connections.count()
    }
}
