//! Tells the program what it was built from: `SIWX_REVISION` and `SIWX_RUSTC`, both as good as can be known.
//!
//! The revision comes from the environment, which is how a build without a repository is told it, or from git. Only
//! release builds ask git: otherwise every commit would compile the library again.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SIWX_REVISION");
    let given = std::env::var("SIWX_REVISION").ok().filter(|revision| !revision.is_empty());
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if let Some(revision) = given.or_else(|| if is_release { committed() } else { None }) {
        println!("cargo::rustc-env=SIWX_REVISION={revision}");
    }
    let compiler = std::env::var("RUSTC").ok().and_then(|rustc| said(&rustc, &["--version"]));
    if let Some(version) = compiler {
        println!("cargo::rustc-env=SIWX_RUSTC={}", version.trim_start_matches("rustc "));
    }
}

/// The commit that is checked out; nothing without git or a repository.
fn committed() -> Option<String> {
    let log = said("git", &["rev-parse", "--git-path", "logs/HEAD"])?;
    println!("cargo::rerun-if-changed={log}");
    said("git", &["rev-parse", "--short=12", "HEAD"])
}

/// The first line that a command prints, if it goes well.
fn said(command: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(command).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}
