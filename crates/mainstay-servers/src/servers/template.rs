//! Data directories made once per machine and copied from then on: `initdb` costs half a second, a copy much less.
//! Knows nothing of how an engine makes one.

use super::command::Run;
use super::error::io_error;
use super::user::User;
use super::{ServerError, workdir};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Changes when the way in which templates are made does.
const FORMAT: u32 = 1;

/// Copies the template `key` to `to`, after making it with `make` if this machine has none yet.
/// `key` names the engine and its version.
pub(super) async fn copy(
    key: &str,
    user: Option<User>,
    to: &Path,
    make: impl AsyncFnOnce(&Path) -> Result<(), ServerError>,
) -> Result<(), ServerError> {
    let template = path(key);
    if !template.is_dir() {
        create(&template, user, make).await?;
    }
    let paths = [template.as_os_str(), to.as_os_str()];
    Run::new("cp")?.args(["-a", "--reflink=auto"]).args(paths).output().await.map(drop)
}

fn path(key: &str) -> PathBuf {
    let name: String =
        key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    workdir::root().join("templates").join(format!("{name}-{FORMAT}"))
}

/// Made beside its place and renamed into it, under a lock: a template is whole or absent.
async fn create(
    template: &Path,
    user: Option<User>,
    make: impl AsyncFnOnce(&Path) -> Result<(), ServerError>,
) -> Result<(), ServerError> {
    let folder = workdir::root().join("templates");
    fs::create_dir_all(&folder).map_err(io_error("create the folder of templates"))?;
    let lock = File::create(template.with_extension("lock"))
        .map_err(io_error("create a template's lock"))?;
    while let Err(TryLockError::WouldBlock) = lock.try_lock() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if template.is_dir() {
        return Ok(());
    }
    let unfinished = template.with_extension("unfinished");
    let _absent = fs::remove_dir_all(&unfinished);
    fs::create_dir(&unfinished).map_err(io_error("create a template"))?;
    if let Some(user) = user {
        user.own(&unfinished)?;
    }
    make(&unfinished).await?;
    fs::rename(&unfinished, template).map_err(io_error("put a template into place"))
}
