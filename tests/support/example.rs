//! The `reverse_proxy` example, in a process of its own.

use std::{net::SocketAddr, path::PathBuf, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
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

/// Starts it with these arguments, and an address of its own. It ends when it is dropped.
pub(crate) async fn start(arguments: &[&str]) -> (Child, SocketAddr) {
    let mut process = Command::new(binary().await)
        .args(["--listen", "127.0.0.1:0"])
        .args(arguments)
        .env_remove("RUST_LOG")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(process.stdout.as_mut().unwrap());
    output.read_line(&mut line).await.unwrap();
    let address = line.trim().strip_prefix("listening on http://").unwrap();
    let address = address.parse().unwrap();
    (process, address)
}
