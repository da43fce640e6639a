//! Free loopback ports that stay free for their holder, also while its server is down.
//! Knows nothing of who listens.

use super::ServerError;
use super::error::io_error;
use super::workdir;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range that the kernel gives to outgoing connections: there a connection could take the port of a server
/// that is down, or even connect to itself.
const FIRST: u16 = 11_000;
const COUNT: u16 = 19_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port on 127.0.0.1 that no other lease of this machine holds.
#[derive(Debug)]
pub struct PortLease {
    port: u16,
    /// Locked: the kernel gives the lease back when this process dies.
    _lock: File,
}

impl PortLease {
    /// Takes a port that nobody listens on and nobody else has leased.
    pub fn take() -> Result<Self, ServerError> {
        let folder = workdir::root().join("ports");
        fs::create_dir_all(&folder).map_err(io_error("create the folder of ports"))?;
        for _ in 0..COUNT {
            let port = candidate();
            let lock = File::create(folder.join(port.to_string()))
                .map_err(io_error("create a port's lock"))?;
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(Self { port, _lock: lock });
            }
        }
        Err(io_error("find a free port")(std::io::ErrorKind::AddrInUse.into()))
    }

    /// Its number.
    pub fn get(&self) -> u16 {
        self.port
    }
}

/// Processes start at different places, so that they seldom ask for the same port.
fn candidate() -> u16 {
    let start = std::process::id().wrapping_mul(97) % u32::from(COUNT);
    let offset = (start + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % u32::from(COUNT);
    FIRST + u16::try_from(offset).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_differ_and_come_back() {
        let a = PortLease::take().unwrap();
        let b = PortLease::take().unwrap();
        assert_ne!(a.get(), b.get());
        let again = File::create(workdir::root().join("ports").join(a.get().to_string())).unwrap();
        assert!(again.try_lock().is_err(), "a leased port is locked");
        drop(a);
        assert!(again.try_lock().is_ok(), "a dropped lease is free");
    }
}
