//! The connections of one `connect`: sends commands, follows redirections, notices what is lost.
//! It must not know operations, deadlines, nor how the connections were made.

use std::{
    borrow::Cow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use redis::{Cmd, Pipeline, RedisError, Value, aio::MultiplexedConnection};
use tokio::sync::OnceCell;

use super::{
    batch::Batches,
    classify,
    cluster::{Redirect, SlotMap, slot_of},
    command,
    script::Lua,
    url::Host,
};
use crate::{
    clock::Instant,
    entry::Key,
    error::{Effect, Error, ErrorKind, Result},
    merging,
};

/// How often one command is sent on to another node, or repeated after its script was loaded.
pub(super) const HOPS_MAX: usize = 5;

/// Calls without an answer in a row after which a connection is given up.
const SILENCES_MAX: u32 = 3;

/// How long it is believed whether a server evicts: people change that, by hand.
const EVICTS_FOR: Duration = Duration::from_secs(10);

/// One connection.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) host: Host,
    connection: MultiplexedConnection,
    batches: Batches,
    /// Set as soon as the connection is known to be broken, by the reader of the connection where it can tell.
    lost: Arc<AtomicBool>,
    silences: AtomicU32,
    pub(super) facts: Facts,
    /// Whether the server evicts, and when it said so.
    evicts: Mutex<Option<(Instant, bool)>>,
}

/// What a server said about itself when the connection was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Major and minor version; (0, 0) when it would not tell.
    pub(super) version: (u32, u32),
    /// Names this run of this server.
    pub(super) run_id: String,
}

impl Node {
    pub(super) fn new(
        host: Host,
        connection: MultiplexedConnection,
        lost: Arc<AtomicBool>,
        facts: Facts,
    ) -> Self {
        let batches = Batches::new(connection.clone());
        let (silences, evicts) = (AtomicU32::new(0), Mutex::new(None));
        Self { host, connection, batches, lost, silences, facts, evicts }
    }

    /// Whether the server evicts, where it has said so lately.
    pub(super) fn evicts(&self, now: Instant) -> Option<bool> {
        let noted = *self.evicts.lock().unwrap_or_else(PoisonError::into_inner);
        noted.filter(|(at, _)| now.duration_since(*at) < EVICTS_FOR).map(|(_, evicts)| evicts)
    }

    /// Notes whether the server evicts.
    pub(super) fn note_evicts(&self, now: Instant, evicts: bool) {
        *self.evicts.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, evicts));
    }

    /// Sends one command. An error reply is a value; an error means that the connection broke.
    pub(super) async fn send(&self, command: &Cmd) -> Result<Value> {
        self.give(Cow::Borrowed(command)).await
    }

    /// The same; where calls crowd, a command that is given away is not copied.
    async fn give(&self, command: Cow<'_, Cmd>) -> Result<Value> {
        self.check()?;
        let call = self.batches.enter();
        if call.is_crowded() {
            return self.noted(self.batches.send(command.into_owned()).await);
        }
        self.alone(&command).await
    }

    /// Asks for the value of a key. An error reply is a value.
    async fn get(&self, key: &Key) -> Result<Value> {
        self.check()?;
        let call = self.batches.enter();
        if call.is_crowded() {
            return self.noted(self.batches.get(key.clone()).await);
        }
        self.alone(&command::on("GET", key)).await
    }

    /// Sets a key for good, whatever is there. An error reply is a value.
    async fn set(&self, key: &Key, value: &Bytes) -> Result<Value> {
        self.check()?;
        let call = self.batches.enter();
        if call.is_crowded() {
            return self.noted(self.batches.set(key.clone(), value.clone()).await);
        }
        self.alone(&command::assign(key, value, None)).await
    }

    /// Boxed, for it is large and the crowd does without: a call's future stays small.
    fn alone<'a>(&'a self, command: &'a Cmd) -> BoxFuture<'a, Result<Value>> {
        Box::pin(async {
            let mut connection = self.connection.clone();
            let result = connection.send_packed_command(command).await;
            self.heard(result)
        })
    }

    /// Sends several commands at once, in MULTI and EXEC if the pipeline is a transaction. One reply each.
    pub(super) async fn send_all(&self, pipeline: &Pipeline) -> Result<Vec<Value>> {
        self.check()?;
        let mut connection = self.connection.clone();
        // Of a transaction only the reply to EXEC counts; before it come MULTI and one QUEUED each.
        let (skipped, taken) =
            if pipeline.is_transaction() { (pipeline.len() + 1, 1) } else { (0, pipeline.len()) };
        let result = connection.send_packed_commands(pipeline, skipped, taken).await;
        let mut replies = self.heard(result)?;
        if !pipeline.is_transaction() {
            return Ok(replies);
        }
        match replies.pop() {
            Some(Value::Array(replies)) if replies.len() == pipeline.len() => Ok(replies),
            other => Err(self.out_of_step(&other.unwrap_or_default())),
        }
    }

    /// Sends one command about a slot that is on its way to this node.
    async fn ask(&self, command: &Cmd) -> Result<Value> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("ASKING").add_command(command.clone());
        Ok(self.send_all(&pipeline).await?.pop().unwrap_or_default())
    }

    /// Gives the connection up because of a reply that cannot be one to the command.
    pub(super) fn out_of_step(&self, value: &Value) -> Error {
        self.lost.store(true, Ordering::Relaxed);
        classify::out_of_step(value)
    }

    fn check(&self) -> Result<()> {
        if self.lost.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Disconnected, "the connection is broken"));
        }
        Ok(())
    }

    fn heard<T>(&self, result: std::result::Result<T, RedisError>) -> Result<T> {
        self.noted(result.map_err(classify::failure))
    }

    /// Notes that there was an answer, and whether it says that the connection is broken.
    fn noted<T>(&self, result: Result<T>) -> Result<T> {
        if self.silences.load(Ordering::Relaxed) != 0 {
            self.silences.store(0, Ordering::Relaxed);
        }
        if let Err(error) = &result
            && error.kind() == ErrorKind::Disconnected
        {
            self.lost.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Notes a call without an answer; the last of several in a row gives the connection up.
    fn silent(&self) {
        if self.silences.fetch_add(1, Ordering::Relaxed) + 1 >= SILENCES_MAX {
            self.lost.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }
}

/// All connections to one server, or one to each master of a cluster.
#[derive(Debug)]
pub(super) struct Client {
    nodes: Vec<Node>,
    slots: Option<SlotMap>,
    is_7: bool,
    /// Whether MGET is asked for: not for a while after it was refused.
    pub(super) many: merging::Shared,
    /// A connection in RESP2, once a client that speaks it needs one.
    second: OnceCell<MultiplexedConnection>,
}

impl Client {
    /// Connections to one server.
    pub(super) fn single(nodes: Vec<Node>) -> Self {
        Self::new(nodes, None)
    }

    /// One connection to each master, in the order of their first slots.
    pub(super) fn cluster(nodes: Vec<Node>, slots: SlotMap) -> Self {
        Self::new(nodes, Some(slots))
    }

    fn new(nodes: Vec<Node>, slots: Option<SlotMap>) -> Self {
        let is_7 = nodes.iter().all(|node| node.facts.version >= (7, 0));
        Self { nodes, slots, is_7, many: merging::Shared::default(), second: OnceCell::new() }
    }

    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(super) fn slots(&self) -> Option<&SlotMap> {
        self.slots.as_ref()
    }

    /// Whether every server is at least 7.0.
    pub(super) fn is_7(&self) -> bool {
        self.is_7
    }

    /// The connection in RESP2.
    pub(super) fn second(&self) -> &OnceCell<MultiplexedConnection> {
        &self.second
    }

    /// Whether nothing can be reached any more; one broken connection to a single server tells that.
    pub(super) fn is_lost(&self) -> bool {
        match self.slots {
            Some(_) => self.nodes.iter().all(Node::is_lost),
            None => self.nodes.iter().any(Node::is_lost),
        }
    }

    /// Whether these keys can be named in one command.
    pub(super) fn together<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) -> bool {
        if self.slots.is_none() {
            return true;
        }
        let mut slots = keys.into_iter().map(|key| slot_of(key.as_bytes()));
        let first = slots.next();
        slots.all(|slot| Some(slot) == first)
    }

    /// The connection for a key: always the same one, so that commands on one key keep their order.
    pub(super) fn node_of(&self, key: &Key) -> Result<&Node> {
        self.index_of(key).map(|index| &self.nodes[index])
    }

    /// Which of the connections that is.
    pub(super) fn index_of(&self, key: &Key) -> Result<usize> {
        let index = match &self.slots {
            Some(slots) => slots.node_of(slot_of(key.as_bytes())),
            None if self.nodes.len() == 1 => Some(0),
            None => Some(usize::from(slot_of(key.as_bytes())) % self.nodes.len()),
        };
        index.filter(|index| *index < self.nodes.len()).ok_or_else(|| {
            Error::new(ErrorKind::NotReady, "CLUSTERDOWN no node serves the slot of this key")
        })
    }

    /// Notes that a call on this key (or on none) got no answer.
    pub(super) fn silent(&self, key: Option<&Key>) {
        let node = match key {
            Some(key) => self.node_of(key).ok(),
            None => self.nodes.first().filter(|_| self.nodes.len() == 1),
        };
        if let Some(node) = node {
            node.silent();
        }
    }

    /// Sends one command to the node of `key`; an error reply is an error.
    pub(super) async fn call(&self, key: &Key, command: &Cmd) -> Result<Value> {
        let node = self.node_of(key)?;
        let value = node.send(command).await?;
        if self.slots.is_some() && matches!(value, Value::ServerError(_)) {
            return Box::pin(self.insist(node, value, command, None)).await;
        }
        classify::reply(value)
    }

    /// The same for a command that its caller does not need again.
    pub(super) async fn once(&self, key: &Key, command: Cmd) -> Result<Value> {
        if self.slots.is_some() {
            return Box::pin(self.call(key, &command)).await;
        }
        classify::reply(self.node_of(key)?.give(Cow::Owned(command)).await?)
    }

    /// The value of a key. Where calls crowd, it is asked for in one command with others.
    pub(super) async fn get(&self, key: &Key) -> Result<Value> {
        if self.slots.is_some() {
            return Box::pin(self.call(key, &command::on("GET", key))).await;
        }
        classify::reply(self.node_of(key)?.get(key).await?)
    }

    /// Sets a key for good, whatever is there. Where calls crowd, this is one command with others.
    pub(super) async fn set(&self, key: &Key, value: &Bytes) -> Result<Value> {
        if self.slots.is_some() {
            return Box::pin(self.call(key, &command::assign(key, value, None))).await;
        }
        classify::reply(self.node_of(key)?.set(key, value).await?)
    }

    /// Runs a script, loading it where the server does not know it.
    pub(super) async fn run(&self, key: &Key, script: &Lua, command: &Cmd) -> Result<Value> {
        let node = self.node_of(key)?;
        let value = node.send(command).await?;
        if matches!(value, Value::ServerError(_)) {
            return Box::pin(self.insist(node, value, command, Some(script))).await;
        }
        classify::reply(value)
    }

    /// Goes where the nodes of a cluster send us, and loads the script where it is missing.
    /// A command that was answered so was not executed: nothing is done twice.
    pub(super) async fn insist<'a>(
        &'a self,
        mut node: &'a Node,
        mut value: Value,
        command: &Cmd,
        script: Option<&Lua>,
    ) -> Result<Value> {
        let mut asking = false;
        for _ in 0..HOPS_MAX {
            let Value::ServerError(error) = &value else { break };
            let redirect = self.slots.as_ref().and_then(|_| Redirect::of(&value, &node.host));
            match (redirect, script) {
                (Some(redirect), _) => {
                    let index = self.nodes.iter().position(|node| node.host == redirect.host);
                    // Of a node that we do not know the whole cluster has to be asked, by the owner of this client.
                    let Some(index) = index else { break };
                    (node, asking) = (&self.nodes[index], redirect.ask);
                    if let (Some(slots), false) = (&self.slots, asking) {
                        slots.assign(redirect.slot, index);
                    }
                }
                (None, Some(script)) if classify::is_unknown_script(error) => {
                    classify::reply(node.send(&script.load()).await?)?;
                }
                _ => break,
            }
            value = if asking { node.ask(command).await } else { node.send(command).await }?;
        }
        classify::reply(value)
    }

    /// Runs a transaction on the node of `key`. An error reply within it is an error; the others were applied.
    pub(super) async fn transact(&self, key: &Key, pipeline: &Pipeline) -> Result<Vec<Value>> {
        let replies = self.node_of(key)?.send_all(pipeline).await?;
        let replies: Vec<Result<Value>> = replies.into_iter().map(classify::reply).collect();
        let partly = replies.iter().any(Result::is_ok);
        let replies: Result<Vec<Value>> = replies.into_iter().collect();
        replies.map_err(|error| if partly { error.with_effect(Effect::Unknown) } else { error })
    }
}
