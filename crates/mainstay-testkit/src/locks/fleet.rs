//! Clients that hold leases, their messages under way, and the witness: what both models with time share.
//! It must not know who grants.

use super::client;
use super::row::Nonce;

/// Epoch and counter; compared in this order.
pub(crate) type Token = (u8, u8);

/// What a client believes: it holds the lock for so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Guard {
    pub(crate) nonce: Nonce,
    /// Under which it was granted.
    pub(crate) epoch: u8,
    pub(crate) token: Token,
    pub(crate) left: u8,
}

/// One process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    /// How many acquisitions it has begun; it waits for the last only.
    pub(crate) begun: u8,
    pub(crate) guard: Option<Guard>,
}

/// What a message asks for. The age counts from the moment that the lease will count from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Ask {
    Acquire { age: u8 },
    Renew { age: u8 },
    Release,
}

/// A message under way: it arrives late or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Message {
    pub(crate) nonce: Nonce,
    pub(crate) epoch: u8,
    pub(crate) ask: Ask,
}

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Wrong {
    TwoHolders { first: u8, second: u8 },
    NotHigher { by: u8, token: Token, known: Token },
    CameBack { of: u8 },
}

/// All clients.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Fleet {
    pub(crate) clients: Vec<Client>,
    /// In order, so that the same messages are the same state.
    pub(crate) messages: Vec<Message>,
    /// The highest token that a holder has had.
    pub(crate) highest: Token,
    pub(crate) wrong: Option<Wrong>,
}

impl Fleet {
    pub(crate) fn new(clients: u8) -> Self {
        Self {
            clients: vec![Client::default(); clients.into()],
            messages: Vec::new(),
            highest: (0, 0),
            wrong: None,
        }
    }

    /// Ages are told apart up to the length of a lease: what is older gives none.
    pub(crate) fn tick(&mut self, ttl: u8) {
        for client in &mut self.clients {
            client.guard = client.guard.and_then(|guard| {
                let left = guard.left - 1;
                (left > 0).then_some(Guard { left, ..guard })
            });
        }
        for message in &mut self.messages {
            if let Ask::Acquire { age } | Ask::Renew { age } = &mut message.ask {
                *age = (*age + 1).min(ttl);
            }
        }
        self.messages.sort_unstable();
    }

    /// The nonce of a client's next acquisition, if it may begin one: `most` in all.
    pub(crate) fn may_acquire(&self, by: usize, most: u8) -> Option<Nonce> {
        let client = &self.clients[by];
        let free = client.guard.is_none() && client.begun < most;
        free.then_some(Nonce { client: name(by), serial: client.begun + 1 })
    }

    /// The guard that a client may renew; one that cannot become longer is left alone.
    pub(crate) fn may_renew(&self, by: usize, ttl: u8) -> Option<Guard> {
        self.clients[by].guard.filter(|guard| guard.left < ttl)
    }

    /// A client asks for the lock, for the first time with this nonce.
    pub(crate) fn acquire(&mut self, nonce: Nonce, epoch: u8) {
        self.clients[usize::from(nonce.client)].begun = nonce.serial;
        self.send(Message { nonce, epoch, ask: Ask::Acquire { age: 0 } });
    }

    /// One renewal of a client is under way at a time: an older one is lost when the next is sent.
    pub(crate) fn renew(&mut self, guard: Guard) {
        let client = guard.nonce.client;
        self.messages.retain(|message| {
            message.nonce.client != client || !matches!(message.ask, Ask::Renew { .. })
        });
        let ask = Ask::Renew { age: 0 };
        self.send(Message { nonce: guard.nonce, epoch: guard.epoch, ask });
    }

    /// The client does not hold it any more; the message goes to where it was granted.
    pub(crate) fn release(&mut self, by: usize) {
        if let Some(Guard { nonce, epoch, .. }) = self.clients[by].guard.take() {
            self.send(Message { nonce, epoch, ask: Ask::Release });
        }
    }

    fn send(&mut self, message: Message) {
        self.messages.push(message);
        self.messages.sort_unstable();
    }

    /// The message is under way no more.
    pub(crate) fn arrived(&mut self, message: Message) -> Option<()> {
        let at = self.messages.iter().position(|other| *other == message)?;
        self.messages.remove(at);
        Some(())
    }

    /// The reply to an acquisition: nobody waits for an old one, and a lease that has passed is none.
    pub(crate) fn granted(&mut self, guard: Guard) {
        let by = usize::from(guard.nonce.client);
        if guard.left == 0 || self.clients[by].begun != guard.nonce.serial {
            return;
        }
        let mut others = self.clients.iter().flat_map(|client| client.guard);
        if let Some(other) = others.find(|other| other.nonce.client != guard.nonce.client) {
            let (first, second) = (other.nonce.client, guard.nonce.client);
            self.wrong = Some(Wrong::TwoHolders { first, second });
        } else if guard.token <= self.highest {
            let (token, known) = (guard.token, self.highest);
            self.wrong = Some(Wrong::NotHigher { by: guard.nonce.client, token, known });
        }
        self.highest = self.highest.max(guard.token);
        self.clients[by].guard = Some(guard);
    }

    /// The reply to a renewal: it makes a lease longer that lasts, and no other.
    pub(crate) fn renewed(&mut self, nonce: Nonce, left: u8) {
        let guard = &mut self.clients[usize::from(nonce.client)].guard;
        if let Some(guard) = guard.as_mut().filter(|guard| guard.nonce == nonce) {
            guard.left = guard.left.max(left);
        }
    }

    /// Who believes to hold it, for the stories.
    pub(crate) fn told(&self) -> String {
        let guards = self.clients.iter().filter_map(|client| client.guard);
        let told: Vec<String> = guards
            .map(|guard| format!("{} holds it for {} more", client(guard.nonce.client), guard.left))
            .collect();
        if told.is_empty() { "nobody holds it".to_owned() } else { told.join(", ") }
    }
}

impl Message {
    /// For the stories.
    pub(crate) fn told(&self) -> String {
        let name = client(self.nonce.client);
        match self.ask {
            Ask::Acquire { age: 0 } => format!("{name}'s request arrives"),
            Ask::Acquire { age } => format!("{name}'s request arrives {age} late"),
            Ask::Renew { age: 0 } => format!("{name}'s renewal arrives"),
            Ask::Renew { age } => format!("{name}'s renewal arrives {age} late"),
            Ask::Release => format!("{name}'s release arrives"),
        }
    }
}

impl Wrong {
    /// For the end of a story.
    pub(crate) fn told(&self) -> String {
        match *self {
            Self::TwoHolders { first, second } => {
                let (first, second) = (client(first), client(second));
                format!("WRONG: {second} holds the lock while {first} does.")
            }
            Self::NotHigher { by, token, known } => format!(
                "WRONG: {} was given token {}.{}, and {}.{} had been given before.",
                client(by),
                token.0,
                token.1,
                known.0,
                known.1
            ),
            Self::CameBack { of } => {
                format!("WRONG: the lease of {} had ended, and is back.", client(of))
            }
        }
    }
}

fn name(by: usize) -> u8 {
    u8::try_from(by).unwrap_or(u8::MAX)
}
