//! The `reverse_proxy` example in a process of its own.

#![allow(dead_code, reason = "no file needs all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

#[path = "example.rs"]
mod example;

use std::{net::SocketAddr, path::PathBuf, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::OnceCell,
};

/// The proxy, which ends when this is dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts it in front of an origin, on a port of its own choice.
    pub(crate) async fn start(origin: SocketAddr, arguments: &[&str]) -> Self {
        let origin = format!("http://{origin}");
        Self::run(&[&["--origin", &origin], arguments].concat()).await
    }

    /// Starts it with these arguments, on a port of its own choice.
    pub(crate) async fn run(arguments: &[&str]) -> Self {
        static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
        let binary = BINARY
            .get_or_init(|| example::binary("reverse_proxy"))
            .await;
        let mut child = Command::new(binary)
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.as_mut().unwrap());
        let reading = output.read_line(&mut line);
        let read = tokio::time::timeout(Duration::from_secs(60), reading).await;
        read.expect("it doesn't start").unwrap();
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
