//! Which user a server runs as: PostgreSQL and PgBouncer refuse root.
//! Knows nothing of processes.

use super::ServerError;
use super::error::io_error;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A user to run a server as.
#[derive(Debug, Clone, Copy)]
pub struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl User {
    /// `name` when this process is root; otherwise nobody needs to change.
    pub(super) fn instead_of_root(name: &str) -> Result<Option<Self>, ServerError> {
        if current_uid() != 0 {
            return Ok(None);
        }
        let passwd = fs::read_to_string("/etc/passwd").map_err(io_error("read /etc/passwd"))?;
        let user = passwd.lines().find_map(|line| parse(line, name));
        user.map(Some).ok_or_else(|| ServerError::Missing {
            binary: format!("user {name}"),
            package: "postgresql",
        })
    }

    /// Gives `path` to this user.
    pub(super) fn own(self, path: &Path) -> Result<(), ServerError> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .map_err(io_error(format!("chown {}", path.display())))
    }
}

fn parse(line: &str, name: &str) -> Option<User> {
    let mut fields = line.split(':');
    if fields.next() != Some(name) {
        return None;
    }
    let uid = fields.nth(1)?.parse().ok()?;
    Some(User { uid, gid: fields.next()?.parse().ok()? })
}

/// The user of this process, read without a system call wrapper: who owns a directory that I own.
pub(super) fn current_uid() -> u32 {
    fs::metadata("/proc/self").map_or(u32::MAX, |meta| meta.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_passwd_is_parsed() {
        let line = "postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash";
        let user = parse(line, "postgres").unwrap();
        assert_eq!((user.uid, user.gid), (101, 104));
        assert!(parse(line, "post").is_none());
    }
}
