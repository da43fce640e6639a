//! What the service manager is told: ready, reloading, stopping, alive, and the state in a sentence (sd_notify(3)).
//! It must not fail what serves: a manager that does not listen is told nothing.

use std::{
    convert::Infallible,
    io::{self, ErrorKind},
    os::unix::net::{SocketAddr, UnixDatagram},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// How often the sentence is brought up to date where nobody watches.
const EVERY: Duration = Duration::from_secs(5);
/// The manager reads its socket at once; one whose socket stays full for longer misses a message.
const FULL_WAIT: Duration = Duration::from_millis(50);
const FULL_TRIES: u32 = 20;

/// The manager's socket, if there is one, and how often it wants to hear.
#[derive(Debug)]
pub(super) struct Notify {
    socket: Option<UnixDatagram>,
    /// Whoever is silent for so long is ended and started anew.
    watchdog: Option<Duration>,
}

impl Notify {
    /// As `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` say.
    pub(super) fn from_environment() -> Self {
        Self::of(|name| std::env::var(name).ok(), std::process::id())
    }

    fn of(variable: impl Fn(&str) -> Option<String>, own: u32) -> Self {
        let socket = variable("NOTIFY_SOCKET").and_then(|place| {
            connect(&place)
                .inspect_err(|error| tracing::warn!(place, %error, "NOTIFY_SOCKET is not usable"))
                .ok()
        });
        let number = |name| variable(name).and_then(|text| text.parse::<u64>().ok());
        // The variables are inherited: they may mean the process that started this one.
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(own));
        let micros = number("WATCHDOG_USEC").filter(|micros| ours && *micros > 0);
        Self { socket, watchdog: micros.map(Duration::from_micros) }
    }

    /// It serves: at the start, and again when a reload is over.
    pub(super) async fn ready(&self) {
        self.tell("READY=1").await;
    }

    /// The configuration is being read anew; `ready` ends it.
    pub(super) async fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000);
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}")).await;
    }

    /// It is on its way out.
    pub(super) async fn stopping(&self, why: &str) {
        self.tell(&format!("STOPPING=1\nSTATUS=Stopping: {why}")).await;
    }

    /// Goes on telling that the server is alive, for as long as `pulse` answers. It has to be polled by the task that
    /// polls the doors: then it is silent too when that hangs.
    pub(super) async fn watch(&self, pulse: impl AsyncFn() -> Option<String>) -> Infallible {
        if self.socket.is_none() {
            return std::future::pending().await;
        }
        // A pulse may take as long as the wait before it, and the next one still comes in time.
        let every = self.watchdog.map_or(EVERY, |watchdog| watchdog / 3);
        let mut shown = String::new();
        loop {
            tokio::time::sleep(every).await;
            let Ok(Some(sentence)) = tokio::time::timeout(every, pulse()).await else {
                tracing::warn!(
                    "the storage does not say how it is: no sign of life for the service manager"
                );
                continue;
            };
            let mut text = String::new();
            if self.watchdog.is_some() {
                text.push_str("WATCHDOG=1");
            }
            if sentence != shown {
                let line = sentence.replace('\n', " ");
                text.push_str(&format!("\nSTATUS={line}"));
                shown = sentence;
            }
            if !text.is_empty() {
                self.tell(text.trim_start()).await;
            }
        }
    }

    async fn tell(&self, text: &str) {
        let Some(socket) = &self.socket else { return };
        for _ in 0..FULL_TRIES {
            match socket.send(text.as_bytes()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    tokio::time::sleep(FULL_WAIT).await;
                }
                Err(error) => return tracing::debug!(%error, "the service manager is not told"),
                Ok(_) => return,
            }
        }
        tracing::debug!("the service manager is not told: its socket is full");
    }
}

/// `/path`, or `@name` for one that is in no file system.
fn connect(place: &str) -> io::Result<UnixDatagram> {
    let address = match place.strip_prefix('@') {
        Some(name) => in_no_file_system(name)?,
        None if place.starts_with('/') => SocketAddr::from_pathname(place)?,
        None => return Err(io::Error::new(ErrorKind::Unsupported, "neither /path nor @name")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn in_no_file_system(name: &str) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn in_no_file_system(_name: &str) -> io::Result<SocketAddr> {
    Err(io::Error::new(ErrorKind::Unsupported, "@name is for Linux"))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
