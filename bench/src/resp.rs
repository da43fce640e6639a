//! GET and SET by redis-benchmark: through Mainstay to a Redis, straight to that Redis, and through twemproxy to it.
//! It must not make load of its own.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use mainstay_testkit::servers::Redis;

use crate::{
    Failure,
    table::{Row, Table},
};

const TESTS: [&str; 2] = ["GET", "SET"];

/// A child process that ends with the bench.
pub(crate) struct Process {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Process {
    /// Where it speaks RESP.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

pub(crate) async fn against_redis_and_twemproxy(
    table: &mut Table,
    rounds: usize,
    binary: &str,
) -> Result<(), Failure> {
    let redis = Redis::start().await?;
    let mainstay = start_mainstay(Path::new(binary), &redis.url())?;
    let twemproxy = start_twemproxy(redis.port())?;
    for pipeline in [1, 16] {
        for test in TESTS {
            let mut runs = [Vec::new(), Vec::new(), Vec::new()];
            for _ in 0..rounds {
                for (port, run) in
                    [redis.port(), mainstay.port, twemproxy.port].into_iter().zip(&mut runs)
                {
                    run.push(redis_benchmark(port, test, pipeline)?);
                }
            }
            let [direct, ours, proxied] = runs;
            for (reference_name, reference) in [("direct Redis", direct), ("twemproxy", proxied)] {
                let name = format!("RESP {test} -c 50 -P {pipeline}");
                table.push(Row {
                    name,
                    unit: "/s",
                    ours: ours.clone(),
                    reference_name,
                    reference,
                    target: "",
                });
            }
        }
    }
    Ok(())
}

fn redis_benchmark(port: u16, test: &str, pipeline: usize) -> Result<f64, Failure> {
    let requests = if pipeline == 1 { "100000" } else { "600000" };
    let (port, pipeline) = (port.to_string(), pipeline.to_string());
    let mut command = Command::new("redis-benchmark");
    command.args([
        "-p",
        &port,
        "-t",
        &test.to_lowercase(),
        "-c",
        "50",
        "-P",
        &pipeline,
        "-n",
        requests,
        "-r",
        "1000",
        "--csv",
    ]);
    let output = command.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("\"{test}\"")))
        .ok_or_else(|| format!("no result: {text}"))?;
    let rate = line.split(',').nth(1).ok_or("no rate")?;
    Ok(rate.trim_matches('"').parse()?)
}

fn start_mainstay(binary: &Path, redis_url: &str) -> Result<Process, Failure> {
    let (resp, http) = (free_port()?, free_port()?);
    let folder = folder(resp)?;
    let mut command = Command::new(binary.canonicalize()?);
    command
        .arg("serve")
        .current_dir(&folder)
        .env("REDIS_URL", redis_url)
        .env_remove("DATABASE_URL");
    command.env("MAINSTAY__RESP__LISTEN", format!("127.0.0.1:{resp}"));
    command.env("MAINSTAY__HTTP__LISTEN", format!("127.0.0.1:{http}"));
    started(command, folder, resp)
}

/// A Mainstay with this configuration.
pub(crate) fn start_with(binary: &str, config: &str) -> Result<Process, Failure> {
    let (resp, http) = (free_port()?, free_port()?);
    let folder = folder(resp)?;
    let file = folder.join("mainstay.toml");
    std::fs::write(&file, config)?;
    let mut command = Command::new(Path::new(binary).canonicalize()?);
    command.arg("serve").arg("--config").arg(&file).current_dir(&folder);
    command.env_remove("REDIS_URL").env_remove("DATABASE_URL");
    command.env("MAINSTAY__RESP__LISTEN", format!("127.0.0.1:{resp}"));
    command.env("MAINSTAY__HTTP__LISTEN", format!("127.0.0.1:{http}"));
    started(command, folder, resp)
}

fn start_twemproxy(redis: u16) -> Result<Process, Failure> {
    let port = free_port()?;
    let folder = folder(port)?;
    let config = folder.join("nutcracker.yml");
    let text = format!(
        "bench:\n  listen: 127.0.0.1:{port}\n  redis: true\n  distribution: ketama\n  auto_eject_hosts: false\n  servers:\n   - 127.0.0.1:{redis}:1\n"
    );
    std::fs::write(&config, text)?;
    let mut command = Command::new("nutcracker");
    command.arg("-c").arg(&config).args(["-s", &free_port()?.to_string(), "-a", "127.0.0.1"]);
    started(command, folder, port)
}

fn started(mut command: Command, folder: PathBuf, port: u16) -> Result<Process, Failure> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let process = Process { child, folder, port };
    for _ in 0..200 {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(process);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(format!("nothing listens on port {port}").into())
}

fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn folder(port: u16) -> Result<PathBuf, Failure> {
    let folder = std::env::temp_dir().join(format!("mainstay-bench-{}-{port}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
