//! The examples, as programs.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::PathBuf;
use tokio::process::Command;

/// The binary of an example, beside this test's: `<target>/<profile>/examples`.
///
/// `cargo test` builds examples as tests where their manifest says `test = true`, and then not as binaries. So it is built here,
/// which takes no time where it is there and up to date.
pub(crate) async fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
    let binary = profile.join("examples").join(name);
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--example", name]);
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
        "{} is missing: cargo build --example {name}",
        binary.display()
    );
    binary
}
