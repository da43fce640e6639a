//! Finds the programs of the engines.
//! Knows nothing of how they are run.

use super::ServerError;
use std::env;
use std::path::{Path, PathBuf};

/// Debian keeps servers out of the PATH of ordinary users.
const FURTHER: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/libexec"];
const POSTGRES: &str = "/usr/lib/postgresql";

/// The full path of `name`: PATH first, then where Debian puts servers, the newest PostgreSQL first.
pub(super) fn find(name: &str) -> Result<PathBuf, ServerError> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(FURTHER.iter().map(PathBuf::from))
        .chain(postgres_folders(Path::new(POSTGRES)))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| ServerError::Missing { binary: name.to_owned(), package: package(name) })
}

fn postgres_folders(base: &Path) -> Vec<PathBuf> {
    let Ok(entries) = base.read_dir() else { return Vec::new() };
    let mut versions: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(|version| base.join(version.to_string()).join("bin")).collect()
}

fn package(binary: &str) -> &'static str {
    match binary {
        "redis-server" => "redis-server",
        "redis-cli" => "redis-tools",
        "postgres" | "initdb" => "postgresql",
        "psql" => "postgresql-client",
        "pgbouncer" => "pgbouncer",
        "mariadbd" | "mariadb-install-db" => "mariadb-server",
        "mariadb" => "mariadb-client",
        "openssl" => "openssl",
        _ => "coreutils util-linux",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_found_and_nonsense_is_named() {
        assert!(find("sh").unwrap().is_absolute());
        let error = find("no-such-server").unwrap_err();
        assert!(error.to_string().starts_with("no-such-server is not installed"), "{error}");
    }
}
