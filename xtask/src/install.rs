//! The servers that the tests start: installed with apt-get where this is root on Debian, asked for elsewhere.
//! It must not know how the tests use them.

use crate::step::has;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

/// A program that has to be there, and the Debian packages that bring it.
const NEEDED: &[(&str, &[&str])] = &[
    ("redis-server", &["redis-server"]),
    ("redis-cli", &["redis-tools"]),
    ("postgres", &["postgresql"]),
    ("psql", &["postgresql-client"]),
    ("pgbouncer", &["pgbouncer"]),
    ("mariadbd", &["mariadb-server"]),
    ("mariadb", &["mariadb-client"]),
    ("openssl", &["openssl"]),
    ("curl", &["curl"]),
    // A damaged database is recovered with it.
    ("sqlite3", &["sqlite3"]),
    ("faketime", &["faketime"]),
    // Rules and scrapes are checked with it; the service is not started.
    ("promtool", &["prometheus"]),
    // The package and the units are looked over with them.
    ("dpkg-shlibdeps", &["dpkg-dev"]),
    ("lintian", &["lintian"]),
    ("systemd-analyze", &["systemd"]),
    // The dashboard is tested in it.
    ("chromium", &["chromium"]),
    // The clients that the suite runs come from their registries.
    ("python3", &["python3", "python3-pip"]),
    ("node", &["nodejs"]),
    ("npm", &["npm"]),
];
/// What the benchmarks make load with, and what they measure against. A service of these is not started either.
const NEEDED_BY_BENCH: &[(&str, &[&str])] = &[
    ("redis-benchmark", &["redis-tools"]),
    ("nutcracker", &["nutcracker"]),
    ("haproxy", &["haproxy"]),
    ("nginx", &["nginx-light"]),
    ("wrk", &["wrk"]),
];
/// While this script exists, installing a package does not start its service.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// What the tests need; the error is an exit code.
pub(crate) fn servers() -> Result<(), u8> {
    install(NEEDED)
}

/// What the benchmarks need besides.
pub(crate) fn for_bench() -> Result<(), u8> {
    install(NEEDED)?;
    install(NEEDED_BY_BENCH)
}

/// Installs what is missing.
fn install(needed: &[(&str, &[&str])]) -> Result<(), u8> {
    let missing = missing(needed, present);
    if missing.is_empty() {
        return Ok(());
    }
    let line = format!("apt-get install --no-install-recommends {}", missing.join(" "));
    if !is_root() || !has("apt-get") {
        println!(
            "    missing, and this is not root on Debian. Install them and try again:\n    {line}"
        );
        return Err(1);
    }
    println!("    {line}");
    let _policy = Policy::without_services();
    apt(&["update"])?;
    apt(&[&["install", "-y", "--no-install-recommends"], &missing[..]].concat())
}

fn missing<'a>(needed: &[(&str, &'a [&'a str])], present: impl Fn(&str) -> bool) -> Vec<&'a str> {
    let absent = needed.iter().filter(|(program, _)| !present(program));
    absent.flat_map(|(_, packages)| packages.iter().copied()).collect()
}

/// Debian keeps PostgreSQL's programs in a folder for each version.
fn present(program: &str) -> bool {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    has(program)
        || versions.into_iter().any(|version| version.path().join("bin").join(program).is_file())
}

fn apt(arguments: &[&str]) -> Result<(), u8> {
    let mut command = Command::new("apt-get");
    match command.arg("-q").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            println!("    apt-get: {error}");
            Err(127)
        }
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Keeps packages from starting their services; put away again at the end.
struct Policy {
    ours: bool,
}

impl Policy {
    fn without_services() -> Self {
        let path = Path::new(POLICY);
        let ours = !path.exists()
            && fs::write(path, "#!/bin/sh\nexit 101\n").is_ok()
            && fs::set_permissions(path, fs::Permissions::from_mode(0o755)).is_ok();
        Self { ours }
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            println!("    cannot remove {POLICY}: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_asked_for() {
        let needed: &[(&str, &[&str])] = &[("a", &["pkg-a"]), ("b", &["pkg-b", "pkg-c"])];
        assert_eq!(missing(needed, |program| program == "a"), ["pkg-b", "pkg-c"]);
        assert!(missing(needed, |_| true).is_empty());
    }
}
