//! Three cluster nodes that share the slots.
//! Knows nothing of clients that follow redirections.

use super::{Redis, RedisOptions};
use crate::servers::ServerError;
use std::collections::BTreeSet;
use std::time::Duration;

const NODES: usize = 3;
const SLOTS: usize = 16_384;
/// Gossip takes a second or two.
const AGREED: Duration = Duration::from_secs(30);
/// Where a line of `CLUSTER NODES` holds the configuration epoch, and from where on the slots.
const EPOCH: usize = 6;
const RANGES: usize = 8;

/// A Redis Cluster of three primaries without replicas.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts three nodes; every one reports `cluster_state:ok` when this returns.
    pub async fn start() -> Result<Self, ServerError> {
        let mut nodes = Vec::new();
        for number in 0..NODES {
            let node =
                Redis::start_with(RedisOptions { cluster: true, ..Default::default() }).await?;
            let (first, last) = (SLOTS * number / NODES, SLOTS * (number + 1) / NODES - 1);
            // Epochs of their own: equal ones would have to be settled by an election first.
            node.redis_cli(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]).await?;
            node.redis_cli(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()])
                .await?;
            nodes.push(node);
        }
        let mut cluster = Self { nodes };
        cluster.introduce().await?;
        cluster.wait_until_ok().await?;
        Ok(cluster)
    }

    /// `redis-cluster://host:port,…`.
    pub fn url(&self) -> String {
        let hosts: Vec<String> =
            self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        format!("redis-cluster://{}", hosts.join(","))
    }

    /// The nodes, in the order of their slots.
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// The nodes, to kill or restart one.
    pub fn nodes_mut(&mut self) -> &mut [Redis] {
        &mut self.nodes
    }

    /// Runs `redis-cli -c` against the first node: follows redirections.
    pub async fn redis_cli(&self, args: &[&str]) -> Result<String, ServerError> {
        let following: Vec<&str> = ["-c"].iter().chain(args).copied().collect();
        self.nodes[0].redis_cli(&following).await
    }

    /// Gives a slot that holds no keys to another node: clients meet MOVED. All nodes agree when this returns.
    pub async fn move_slot(&self, slot: u16, to: usize) -> Result<(), ServerError> {
        let receiver = &self.nodes[to];
        let id = receiver.redis_cli(&["CLUSTER", "MYID"]).await?;
        let table = receiver.redis_cli(&["CLUSTER", "NODES"]).await?;
        let Some(owner) =
            table.lines().find(|line| holds(line, slot)).and_then(|line| line.split(' ').next())
        else {
            return Err(ServerError::Command {
                command: "CLUSTER NODES".to_owned(),
                message: table,
            });
        };
        if owner == id {
            return Ok(());
        }
        let number = slot.to_string();
        // Importing first: only then does the new owner raise its epoch, and no older claim overrules it.
        receiver.redis_cli(&["CLUSTER", "SETSLOT", &number, "IMPORTING", owner]).await?;
        receiver.redis_cli(&["CLUSTER", "SETSLOT", &number, "NODE", &id]).await?;
        for node in &self.nodes {
            node.redis_cli(&["CLUSTER", "SETSLOT", &number, "NODE", &id]).await?;
        }
        self.agree_on(&id, slot).await
    }

    /// Waits until every node has heard of the owner's new epoch, and so will not fall back to the old one.
    async fn agree_on(&self, id: &str, slot: u16) -> Result<(), ServerError> {
        let deadline = tokio::time::Instant::now() + AGREED;
        loop {
            let mut epochs = BTreeSet::new();
            for node in &self.nodes {
                let table = node.redis_cli(&["CLUSTER", "NODES"]).await?;
                let line = table.lines().find(|line| line.starts_with(id) && holds(line, slot));
                epochs.insert(line.and_then(|line| line.split(' ').nth(EPOCH)).map(str::to_owned));
            }
            if epochs.len() == 1 && !epochs.contains(&None) {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                let message = format!("the nodes do not agree on slot {slot}: {epochs:?}");
                return Err(ServerError::Command {
                    command: "CLUSTER SETSLOT".to_owned(),
                    message,
                });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until every node reports `cluster_state:ok` and knows all the others.
    pub async fn wait_until_ok(&mut self) -> Result<(), ServerError> {
        for Redis { daemon, client, .. } in &mut self.nodes {
            let settled = async || {
                let Ok(info) = client.run(&["CLUSTER", "INFO"]).await else { return false };
                info.contains("cluster_state:ok")
                    && info.contains(&format!("cluster_known_nodes:{NODES}"))
            };
            daemon.wait(settled).await?;
        }
        Ok(())
    }

    async fn introduce(&self) -> Result<(), ServerError> {
        for node in &self.nodes[1..] {
            let (port, bus) = (node.port().to_string(), node.bus_port().to_string());
            self.nodes[0].redis_cli(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await?;
        }
        Ok(())
    }
}

/// Whether a line of `CLUSTER NODES` gives the slot to its node.
fn holds(line: &str, slot: u16) -> bool {
    let ranges = line.split(' ').skip(RANGES).filter(|range| !range.starts_with('['));
    ranges.into_iter().any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let within = |first: u16, last: u16| (first..=last).contains(&slot);
        first.parse().ok().zip(last.parse().ok()).is_some_and(|(first, last)| within(first, last))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slots_of_a_node_are_read() {
        let line = "07c37df 127.0.0.1:1@2 myself,master - 0 0 3 connected 5 100-200 [77->-67ed38d]";
        let held: Vec<u16> = [4, 5, 6, 77, 99, 100, 200, 201]
            .into_iter()
            .filter(|slot| holds(line, *slot))
            .collect();
        assert_eq!(held, [5, 100, 200]);
        assert_eq!(line.split(' ').nth(EPOCH), Some("3"));
    }
}
