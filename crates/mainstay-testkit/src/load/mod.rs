//! A closed-loop load over RESP that checks what it reads: every acknowledged write must be read back.
//! It must not know what stands behind the address.
//!
//! Each key has one writer, which writes rising numbers. A read that begins after the acknowledgement of number n must
//! answer n or more: anything else is stale, or lost.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

mod report;

pub use mainstay_servers::resp::{Client, Value};
pub use report::{Fault, Phase, Report};

/// What load to make.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// Connections, each with one command in flight.
    pub clients: u64,
    /// Keys, `load:0` and so on.
    pub keys: u64,
    /// Every so many operations one is a write.
    pub write_every: u64,
    /// A pause between two operations of a client; zero: none.
    pub pause: Duration,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { clients: 32, keys: 10_000, write_every: 5, pause: Duration::ZERO }
    }
}

/// A load under way.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    options: LoadOptions,
    stop: AtomicBool,
    /// Per key: the highest acknowledged number.
    acknowledged: Vec<AtomicU64>,
    report: Mutex<Report>,
}

impl Load {
    /// Starts the clients.
    #[expect(clippy::disallowed_methods, reason = "a load is real time by nature")]
    pub fn start(address: SocketAddr, options: LoadOptions) -> Self {
        let keys = usize::try_from(options.keys).unwrap_or(usize::MAX);
        let shared = Arc::new(Shared {
            address,
            options,
            stop: AtomicBool::new(false),
            acknowledged: (0..keys).map(|_| AtomicU64::new(0)).collect(),
            report: Mutex::new(Report::starting(Instant::now())),
        });
        let mut clients = JoinSet::new();
        for id in 0..options.clients {
            clients.spawn(run_client(Arc::clone(&shared), id));
        }
        Self { shared, clients }
    }

    /// Begins a new phase of the report.
    pub fn phase(&self, name: &str) {
        self.shared.report().begin(name);
    }

    /// What was seen so far.
    pub fn report(&self) -> Report {
        self.shared.report().clone()
    }

    /// Ends the clients, then reads every key once more through a new connection and counts what is lost.
    pub async fn finish(mut self) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
        self.shared.report().begin("read back");
        self.read_back().await;
        self.shared.report().end();
        self.report()
    }

    async fn read_back(&self) {
        let mut client = match Client::connect(self.shared.address).await {
            Ok(client) => client,
            Err(error) => return self.shared.report().error(&format!("read back: {error}")),
        };
        for (key, acknowledged) in self.shared.acknowledged.iter().enumerate() {
            let expected = acknowledged.load(Ordering::Relaxed);
            match client.command(&[b"GET", name(key as u64).as_bytes()]).await {
                Ok(value) if number_of(&value) >= expected => {}
                Ok(value) => self.shared.report().lost(key, expected, number_of(&value)),
                Err(error) => self.shared.report().error(&format!("read back: {error}")),
            }
        }
    }
}

impl Shared {
    fn report(&self) -> std::sync::MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(key: u64) -> String {
    format!("load:{key}")
}

fn number_of(value: &Value) -> u64 {
    match value {
        Value::Bulk(Some(bytes)) => {
            std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
        }
        Value::Bulk(None)
        | Value::Simple(_)
        | Value::Integer(_)
        | Value::Error(_)
        | Value::Array(_) => 0,
    }
}

async fn run_client(shared: Arc<Shared>, id: u64) {
    let mut client = None;
    let mut step = id;
    while !shared.stop.load(Ordering::Relaxed) {
        let connected = match client.take() {
            Some(client) => client,
            None => match connect(&shared).await {
                Some(client) => client,
                None => continue,
            },
        };
        client = operate(&shared, connected, id, step).await;
        step += 1;
        if !shared.options.pause.is_zero() {
            tokio::time::sleep(shared.options.pause).await;
        }
    }
}

async fn connect(shared: &Shared) -> Option<Client> {
    match Client::connect(shared.address).await {
        Ok(client) => Some(client),
        Err(error) => {
            shared.report().fault(Fault::Connection, &error.to_string());
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

/// One operation; the client is given back while its connection stands.
async fn operate(shared: &Shared, mut client: Client, id: u64, step: u64) -> Option<Client> {
    let options = shared.options;
    // A multiplicative step visits the keys in no order that a cache could profit from.
    let spread = step.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16;
    let outcome = if step.is_multiple_of(options.write_every) {
        let own = spread % options.keys.div_ceil(options.clients);
        let key = (own * options.clients + id).min(options.keys - 1);
        if key % options.clients == id {
            write(shared, &mut client, key, step + 1).await
        } else {
            Ok(())
        }
    } else {
        read(shared, &mut client, spread % options.keys).await
    };
    match outcome {
        Ok(()) => Some(client),
        Err(error) => {
            shared.report().fault(Fault::Connection, &error.to_string());
            None
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a load is real time by nature")]
async fn write(shared: &Shared, client: &mut Client, key: u64, number: u64) -> std::io::Result<()> {
    let begun = Instant::now();
    let value =
        client.command(&[b"SET", name(key).as_bytes(), number.to_string().as_bytes()]).await?;
    let mut report = shared.report();
    report.took(begun.elapsed(), true);
    match value {
        Value::Error(text) if text.contains("outcome unknown") => {
            report.fault(Fault::Unknown, &text);
        }
        Value::Error(text) => report.fault(Fault::Error, &text),
        _ => {
            shared.acknowledged[usize::try_from(key).unwrap_or(0)].store(number, Ordering::Relaxed)
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a load is real time by nature")]
async fn read(shared: &Shared, client: &mut Client, key: u64) -> std::io::Result<()> {
    let expected = shared.acknowledged[usize::try_from(key).unwrap_or(0)].load(Ordering::Relaxed);
    let begun = Instant::now();
    let value = client.command(&[b"GET", name(key).as_bytes()]).await?;
    let mut report = shared.report();
    report.took(begun.elapsed(), false);
    match &value {
        Value::Error(text) => report.fault(Fault::Error, text),
        value if number_of(value) < expected => {
            report
                .fault(Fault::Stale, &format!("load:{key}: {} after {expected}", number_of(value)));
        }
        _ => {}
    }
    Ok(())
}
