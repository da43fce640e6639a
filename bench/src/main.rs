//! Ratios of Mainstay against direct access, each pair measured in alternation in one run.
//! It must not assert: it prints, also where a target is missed.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints, and measures real time"
)]

mod aside;
mod commits;
mod footprint;
mod http;
mod library;
mod load;
mod locks;
mod process;
mod proxies;
mod record;
mod table;
mod telemetry;

use table::Table;

/// As the binary does (docs/adr/0016), for both sides of each pair.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let rounds =
        std::env::var("MAINSTAY_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let binary = std::env::args()
        .nth(1)
        .ok_or("usage: mainstay-bench PATH_OF_THE_MAINSTAY_BINARY [JSON_FILE]")?;
    let only = std::env::var("MAINSTAY_BENCH_ONLY").unwrap_or_default();
    let wanted = |part: &str| only.is_empty() || only == part;
    let mut table = Table::default();
    if wanted("guard") {
        library::guard(&mut table, rounds).await?;
    }
    if wanted("library") {
        library::on_redis(&mut table, rounds).await?;
    }
    if wanted("record") {
        record::all(&mut table, rounds).await?;
    }
    if wanted("record") || wanted("commits") {
        commits::all(&mut table, rounds).await?;
    }
    if wanted("locks") {
        locks::all(&mut table, rounds).await?;
    }
    if wanted("load") {
        load::all(&mut table, rounds, &binary).await?;
    }
    if wanted("resp") {
        proxies::all(&mut table, rounds, &binary).await?;
    }
    if wanted("http") {
        http::all(&mut table, rounds, &binary).await?;
    }
    if wanted("footprint") {
        footprint::all(&mut table, rounds, &binary).await?;
    }
    if wanted("telemetry") {
        telemetry::all(&mut table, rounds, &binary).await?;
    }
    println!("{table}");
    if let Some(path) = std::env::args().nth(2) {
        std::fs::write(path, table.to_json())?;
    }
    Ok(())
}
