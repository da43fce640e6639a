//! A certificate authority of one afternoon, and a server's certificate signed by it.
//! Knows nothing of Redis.

use crate::servers::ServerError;
use crate::servers::command::Run;
use crate::servers::error::io_error;
use std::fs;
use std::path::Path;

const NAMES: &str = "subjectAltName=IP:127.0.0.1,DNS:localhost\n";
const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// Writes `ca.crt`, `ca.key`, `server.crt` and `server.key` into `dir`.
pub(super) async fn generate(dir: &Path) -> Result<(), ServerError> {
    let authority =
        ["-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=Mainstay test CA", "-days", "30"];
    openssl(dir, &[&["req", "-x509"], &KEY[..], &authority]).await?;
    let request = ["-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost"];
    openssl(dir, &[&["req"], &KEY[..], &request]).await?;
    fs::write(dir.join("names"), NAMES).map_err(io_error("write the certificate's names"))?;
    let signer = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
    let signed = ["-out", "server.crt", "-days", "30", "-extfile", "names"];
    openssl(dir, &[&["x509", "-req", "-in", "server.csr"], &signer, &signed]).await
}

async fn openssl(dir: &Path, args: &[&[&str]]) -> Result<(), ServerError> {
    Run::new("openssl")?.args(args.concat()).dir(dir).output().await.map(drop)
}
