//! A certificate authority of one afternoon, and certificates signed by it.
//! Knows nothing of the servers that bear them.

use super::ServerError;
use super::command::Run;
use super::error::io_error;
use super::workdir::WorkDir;
use std::fs;
use std::path::{Path, PathBuf};

const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
/// What a certificate bears unless another name is wanted.
const LOCAL: &str = "IP:127.0.0.1,DNS:localhost";

/// An authority of its own in a folder of its own; gone when dropped.
#[derive(Debug)]
pub struct Certificates {
    dir: WorkDir,
}

impl Certificates {
    /// A new authority, and a certificate `server` for 127.0.0.1 and localhost.
    pub async fn new() -> Result<Self, ServerError> {
        let dir = WorkDir::new("certificates")?;
        generate(dir.path()).await?;
        Ok(Self { dir })
    }

    /// The authority's certificate, PEM.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// A certificate that was issued, PEM.
    pub fn cert(&self, name: &str) -> PathBuf {
        self.dir.join(&format!("{name}.crt"))
    }

    /// Its key, PEM.
    pub fn key(&self, name: &str) -> PathBuf {
        self.dir.join(&format!("{name}.key"))
    }

    /// Issues one for 127.0.0.1 and localhost, in the place of an earlier one of this name.
    pub async fn issue(&self, name: &str) -> Result<(), ServerError> {
        issue(self.dir.path(), name, LOCAL).await
    }

    /// The same for other names, written as in `subjectAltName`.
    pub async fn issue_for(&self, name: &str, names: &str) -> Result<(), ServerError> {
        issue(self.dir.path(), name, names).await
    }
}

/// Writes `ca.crt`, `ca.key`, `server.crt` and `server.key` into `dir`.
pub(super) async fn generate(dir: &Path) -> Result<(), ServerError> {
    let authority =
        ["-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=Mainstay test CA", "-days", "30"];
    openssl(dir, &[&["req", "-x509"], &KEY[..], &authority]).await?;
    issue(dir, "server", LOCAL).await
}

/// Writes `NAME.crt` and `NAME.key` into the folder of an authority.
pub(super) async fn issue(dir: &Path, name: &str, names: &str) -> Result<(), ServerError> {
    let file = |end: &str| format!("{name}.{end}");
    let (key, csr, crt, subject) = (file("key"), file("csr"), file("crt"), format!("/CN={name}"));
    let request = ["-keyout", &key, "-out", &csr, "-subj", &subject];
    openssl(dir, &[&["req"], &KEY[..], &request]).await?;
    let extensions = format!("subjectAltName={names}\nbasicConstraints=CA:FALSE\n");
    fs::write(dir.join("names"), extensions).map_err(io_error("write a certificate's names"))?;
    let signer = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
    let signed = ["-out", &crt, "-days", "30", "-extfile", "names"];
    openssl(dir, &[&["x509", "-req", "-in", &csr], &signer, &signed]).await
}

async fn openssl(dir: &Path, args: &[&[&str]]) -> Result<(), ServerError> {
    Run::new("openssl")?.args(args.concat()).dir(dir).output().await.map(drop)
}
