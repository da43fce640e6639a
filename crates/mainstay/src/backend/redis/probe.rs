//! Asks every server of a client whether it can serve, and who it is.
//! It must not know deadlines, nor what follows from the answer.

use futures_util::future::try_join_all;

use super::{
    PROBE_KEY,
    client::{Client, Node},
    info::{self, Info},
};
use crate::{
    backend::{ProbeDepth, ProbeReport, skew},
    clock::Clock,
    entry::Key,
    error::Result,
};

/// Every server answers, none is a replica, a cluster serves all its slots; on demand a key is written and read back.
pub(super) async fn probe(
    client: &Client,
    depth: ProbeDepth,
    clock: &Clock,
) -> Result<ProbeReport> {
    let asked = clock.unix_ms();
    let infos = try_join_all(client.nodes().iter().map(|node| ask(node, client))).await?;
    let skew = skew(infos.first().and_then(|info| info.unix_ms), asked, clock);
    if depth == ProbeDepth::WriteRead {
        let key = Key::from(PROBE_KEY);
        let [set, get] = info::write_and_read();
        client.call(&key, &set).await?;
        info::read_back(&client.call(&key, &get).await?)?;
    }
    let mut report = ProbeReport::default();
    if let Some(info) = infos.into_iter().next() {
        let facts = [
            ("version", info.version),
            ("mode", info.mode),
            ("role", info.role),
            ("run_id", info.run_id),
            ("replication_id", info.replication_id),
            ("maxmemory", info.memory_max),
            ("maxmemory_policy", info.memory_policy),
            ("persistence", info.persistence),
            ("clock_skew_ms", skew),
        ];
        report.facts = facts.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    }
    if client.slots().is_some() {
        report.facts.push(("nodes", client.nodes().len().to_string()));
    }
    Ok(report)
}

async fn ask(node: &Node, client: &Client) -> Result<Info> {
    let mut questions = info::questions();
    info::add_questions(&mut questions);
    if client.slots().is_some() {
        questions.cmd("CLUSTER").arg("INFO");
    }
    let mut replies = node.send_all(&questions).await?.into_iter();
    let mut info = Info::read(&mut replies)?.writable()?;
    info.add_more(&mut replies)?;
    if let Some(reply) = replies.next() {
        info::cluster_is_up(reply)?;
    }
    Ok(info)
}
