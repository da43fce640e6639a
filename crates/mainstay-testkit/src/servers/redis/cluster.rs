//! Three cluster nodes that share the slots.
//! Knows nothing of clients that follow redirections.

use super::{Redis, RedisOptions};
use crate::servers::ServerError;

const NODES: usize = 3;
const SLOTS: usize = 16_384;

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

    /// Gives a slot that holds no keys to another node: clients meet MOVED.
    pub async fn move_slot(&self, slot: u16, to: usize) -> Result<(), ServerError> {
        let id = self.nodes[to].redis_cli(&["CLUSTER", "MYID"]).await?;
        // The new owner first: it alone may raise its epoch, and the others follow it.
        let receiver_first = [&self.nodes[to]].into_iter().chain(&self.nodes);
        for node in receiver_first {
            node.redis_cli(&["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &id]).await?;
        }
        Ok(())
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
