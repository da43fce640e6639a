//! Ratios of Mainstay against direct access, each pair measured in alternation in one run.
//! It must not assert: it prints, also where a target is missed.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints, and measures real time"
)]

mod aside;
mod library;
mod load;
mod locks;
mod record;
mod resp;
mod table;

use table::Table;

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
        library::redis_get(&mut table, rounds).await?;
    }
    if wanted("record") {
        record::all(&mut table, rounds).await?;
    }
    if wanted("locks") {
        locks::all(&mut table, rounds).await?;
    }
    if wanted("load") {
        load::all(&mut table, rounds, &binary).await?;
    }
    if wanted("resp") {
        resp::against_redis_and_twemproxy(&mut table, rounds, &binary).await?;
    }
    println!("{table}");
    if let Some(path) = std::env::args().nth(2) {
        std::fs::write(path, table.to_json())?;
    }
    Ok(())
}
