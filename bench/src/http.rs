//! HTTP GET by wrk: a value from Mainstay's memory, against nginx that serves a file of that size.
//! It must not make load of its own.

use std::process::{Command, Stdio};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    Failure,
    process::{Process, free_port, start_other, start_with},
    table::{Row, Table},
};

const SIZES: [usize; 3] = [3, 1 << 10, 64 << 10];

pub(crate) async fn all(table: &mut Table, rounds: usize, binary: &str) -> Result<(), Failure> {
    let ours = start_with(binary, "[[route]]\nbackends = [\"memory\"]\n")?;
    let nginx = start_nginx()?;
    for bytes in SIZES {
        put(&ours, bytes).await?;
        nginx.put_file(&format!("www/{bytes}"), &vec![b'x'; bytes])?;
        let urls = [
            format!("http://127.0.0.1:{}/v1/kv/{bytes}", ours.http_port()),
            format!("http://127.0.0.1:{}/{bytes}", nginx.port()),
        ];
        let mut runs = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            for (url, run) in urls.iter().zip(&mut runs) {
                run.push(wrk(url)?);
            }
        }
        let [ours, reference] = runs;
        table.push(Row {
            name: format!("HTTP GET {bytes} B, 50 connections"),
            unit: "/s",
            ours,
            reference_name: "nginx, a file",
            reference,
            target: "",
        });
    }
    Ok(())
}

async fn put(server: &Process, bytes: usize) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(("127.0.0.1", server.http_port())).await?;
    let head = format!(
        "PUT /v1/kv/{bytes} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: {bytes}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&vec![b'x'; bytes]).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    match answer.starts_with(b"HTTP/1.1 20") {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&answer).into()),
    }
}

fn start_nginx() -> Result<Process, Failure> {
    let port = free_port()?;
    let config = format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr error;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log off;\n  client_body_temp_path b;\n  proxy_temp_path p;\n  fastcgi_temp_path f;\n\
         uwsgi_temp_path u;\n  scgi_temp_path s;\n  keepalive_requests 1000000;\n\
         server {{ listen 127.0.0.1:{port}; root www; }}\n}}\n"
    );
    start_other(port, &config, |file| {
        let mut command = Command::new("nginx");
        let folder = file.parent().unwrap_or(file);
        command.arg("-p").arg(folder).arg("-c").arg(file).current_dir(folder);
        command
    })
}

/// Requests a second, over two seconds; an answer that is none of 2xx fails the bench.
fn wrk(url: &str) -> Result<f64, Failure> {
    let mut command = Command::new("wrk");
    let output = command.args(["-t1", "-c50", "-d2s", url]).stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("Non-2xx") {
        return Err(format!("{url}: {text}").into());
    }
    let line = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    Ok(line.ok_or_else(|| format!("no result: {text}"))?.trim().parse()?)
}
