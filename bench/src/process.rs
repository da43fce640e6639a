//! Child processes of the bench: Mainstay and what it is measured against; how much of the machine each of them takes.
//! It must not know what is measured.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::Failure;

/// A child process that ends with the bench.
pub(crate) struct Process {
    child: Child,
    folder: PathBuf,
    port: u16,
    /// Where it speaks HTTP, if it does.
    http: u16,
}

impl Process {
    /// Where it speaks RESP, or whatever its port is for.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where it speaks HTTP.
    pub(crate) fn http_port(&self) -> u16 {
        self.http
    }

    /// Writes a file in its folder.
    pub(crate) fn put_file(&self, path: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
        Ok(fs::write(path, bytes)?)
    }

    /// Its user and system time so far.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        cpu_of(&self.child.id().to_string())
    }

    /// Its resident memory in bytes.
    pub(crate) fn resident(&self) -> Result<f64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 =
            line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("no VmRSS")?.parse()?;
        Ok(kib * 1024.0)
    }
}

/// User and system time of a process, or of `self`, from the kernel's account in hundredths of a second.
pub(crate) fn cpu_of(process: &str) -> Result<Duration, Failure> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields = stat.rsplit_once(") ").ok_or("an unknown form of /proc/PID/stat")?.1;
    let ticks =
        fields.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// A Mainstay with this configuration.
pub(crate) fn start_with(binary: &str, config: &str) -> Result<Process, Failure> {
    start_on(binary, config, free_port()?)
}

/// The same, whose RESP port is chosen already.
pub(crate) fn start_on(binary: &str, config: &str, resp: u16) -> Result<Process, Failure> {
    let http = free_port()?;
    let folder = folder(resp)?;
    let file = folder.join("mainstay.toml");
    fs::write(&file, config)?;
    let mut command = Command::new(Path::new(binary).canonicalize()?);
    command.arg("serve").arg("--config").arg(&file).current_dir(&folder);
    command.env_remove("REDIS_URL").env_remove("DATABASE_URL");
    command.env("MAINSTAY__RESP__LISTEN", format!("127.0.0.1:{resp}"));
    command.env("MAINSTAY__HTTP__LISTEN", format!("127.0.0.1:{http}"));
    started(command, folder, resp, http)
}

/// A program whose configuration is one file; `command` is given its path.
pub(crate) fn start_other(
    port: u16,
    config: &str,
    command: impl FnOnce(&Path) -> Command,
) -> Result<Process, Failure> {
    let folder = folder(port)?;
    let file = folder.join("config");
    fs::write(&file, config)?;
    started(command(&file), folder, port, 0)
}

fn started(
    mut command: Command,
    folder: PathBuf,
    port: u16,
    http: u16,
) -> Result<Process, Failure> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let process = Process { child, folder, port, http };
    for _ in 0..10_000 {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(process);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(format!("nothing listens on port {port}").into())
}

pub(crate) fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

pub(crate) fn folder(port: u16) -> Result<PathBuf, Failure> {
    let folder = std::env::temp_dir().join(format!("mainstay-bench-{}-{port}", std::process::id()));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
