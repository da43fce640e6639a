//! The connected clients, for people and the HTTP interface.
//! It must not be able to change or close any.

use std::{net::SocketAddr, sync::Arc};

use mainstay::Clock;
use serde::Serialize;
use utoipa::ToSchema;

use super::{client::Client, reply::Protocol, session::Shared};
use crate::limits::Door;

/// Who is connected to one RESP server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Roster(Arc<Shared>);

/// One connected client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClientRow {
    /// Its number; rises with each connection.
    pub id: u64,
    /// Where it comes from.
    #[schema(value_type = String)]
    pub address: SocketAddr,
    /// What it calls itself; empty: it has not said.
    pub name: String,
    /// The user that it is.
    pub user: String,
    /// Its library; empty: it has not said.
    pub library: String,
    /// The library's version; empty: it has not said.
    pub library_version: String,
    /// 2 or 3.
    pub protocol: u8,
    /// For how long it has been connected.
    pub age_ms: u64,
    /// How long ago its last command came in.
    pub idle_ms: u64,
    /// Commands since it connected.
    pub commands: u64,
    /// The last of them; empty: there was none.
    pub last_command: &'static str,
}

impl Roster {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// How many are connected.
    pub fn connected(&self) -> usize {
        self.0.clients.count()
    }

    /// How many may be: `resp.connections_max`.
    pub fn max(&self) -> usize {
        self.0.config().connections_max
    }

    /// What the server holds and refused, for the metrics.
    pub(crate) fn door(&self) -> &Door {
        &self.0.door
    }

    /// Those behind this number, by number, at most so many.
    pub fn rows(&self, after: u64, limit: usize) -> Vec<ClientRow> {
        let clients = self.0.clients.all();
        let behind = clients.iter().filter(|client| client.id > after).take(limit);
        behind.map(|client| row(client, self.0.clock())).collect()
    }
}

fn row(client: &Client, clock: &Clock) -> ClientRow {
    let (facts, now) = (client.facts(), clock.now());
    ClientRow {
        id: client.id,
        address: client.peer,
        user: facts.user_name().to_owned(),
        name: facts.name,
        library: facts.library,
        library_version: facts.library_version,
        protocol: if facts.protocol == Protocol::Resp3 { 3 } else { 2 },
        age_ms: client.age_ms(now),
        idle_ms: client.idle_ms(now),
        commands: client.commands(),
        last_command: facts.command,
    }
}
