//! Every acknowledged write is read back.
//! It must not know what happened while it was written.

use std::{sync::Arc, time::Duration};

use mainstay_servers::resp::Value;
use tokio::task::JoinSet;

use super::{PATIENCE, Shared, client, register::Judgement};

/// Connections that read at once.
const READERS: usize = 8;
/// A key that cannot be read is tried again so often.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);
/// Examples that are kept.
const EXAMPLES_MAX: usize = 10;

/// What was read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadBack {
    /// Keys of which something had been acknowledged.
    pub keys: u64,
    /// Those whose last acknowledged write is not there, or that could not be read.
    pub lost: u64,
    /// Those among them that could not be read at all.
    pub unreadable: u64,
    /// Those that had been deleted and are there.
    pub deleted_back: u64,
    /// Those that hold what nobody wrote.
    pub unexplained: u64,
    /// Some of those, in words.
    pub examples: Vec<String>,
}

pub(super) async fn read_back(shared: &Arc<Shared>) -> ReadBack {
    let mut readers = JoinSet::new();
    for reader in 0..READERS {
        readers.spawn(read_some(Arc::clone(shared), reader));
    }
    let mut all = ReadBack::default();
    while let Some(some) = readers.join_next().await {
        all.add(some.unwrap_or_default());
    }
    all
}

/// Every eighth key.
async fn read_some(shared: Arc<Shared>, reader: usize) -> ReadBack {
    let (mut back, mut connection) = (ReadBack::default(), None);
    for key in (reader..shared.registers.len()).step_by(READERS) {
        let register = client::final_register(&shared, key);
        if !register.is_acknowledged() {
            continue;
        }
        let name = shared.name(key);
        let mut reply = Err("not asked".to_owned());
        for _ in 0..TRIES {
            let words: &[&[u8]] = &[b"GET", name.as_bytes()];
            let asked = client::exchange(&shared, &mut connection, words);
            reply = match tokio::time::timeout(PATIENCE, asked).await {
                Ok(Ok(Value::Error(text))) => Err(text),
                Ok(Ok(value)) => Ok(value),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("no answer".to_owned()),
            };
            if reply.is_ok() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        match reply {
            Ok(reply) => back.judge(&name, register.judge(&register, client::found(&reply))),
            Err(why) => back.unread(&name, &why),
        }
    }
    back
}

impl ReadBack {
    fn judge(&mut self, name: &str, judgement: Judgement) {
        self.keys += 1;
        let count = match judgement {
            Judgement::Right => return,
            Judgement::Stale => &mut self.lost,
            Judgement::DeletedBack => &mut self.deleted_back,
            Judgement::Unexplained => &mut self.unexplained,
        };
        *count += 1;
        self.example(format!("{name}: {judgement:?}"));
    }

    fn unread(&mut self, name: &str, why: &str) {
        self.keys += 1;
        self.lost += 1;
        self.unreadable += 1;
        self.example(format!("{name}: {why}"));
    }

    fn example(&mut self, text: String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(text);
        }
    }

    fn add(&mut self, other: Self) {
        self.keys += other.keys;
        self.lost += other.lost;
        self.unreadable += other.unreadable;
        self.deleted_back += other.deleted_back;
        self.unexplained += other.unexplained;
        other.examples.into_iter().for_each(|example| self.example(example));
    }
}
