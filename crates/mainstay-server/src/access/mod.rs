//! Who may come in, and what they may do: users for both doors, and the counts of who was refused.
//! It must not know commands, paths or sockets.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use mainstay::{Clock, Instant, Result};

mod config;
mod may;
mod secret;
#[cfg(test)]
mod tests;
mod user;
mod users;

pub use config::UserConfig;
pub(crate) use config::check_token;
pub(crate) use may::{Denied, Reach, may, reach_of_op};
pub use user::Role;
pub(crate) use user::{DEFAULT, User};
pub(crate) use users::Users;

use crate::{http::HttpConfig, resp::RespConfig};

/// A refusal is logged at most this often; all are counted.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Which door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Redis's protocol.
    Resp,
    /// HTTP.
    Http,
}

impl Door {
    /// The section of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resp => "resp",
            Self::Http => "http",
        }
    }
}

/// The users of both doors, now. Cheap to clone; clones share what is replaced.
#[derive(Clone, Debug)]
pub struct Access(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    users: ArcSwap<Users>,
    /// Held while others are put in their place.
    exchange: Mutex<Exchange>,
    refused: Refused,
}

/// What is asked of users that come in the place of others.
#[derive(Debug, Default)]
struct Exchange {
    /// Doors that stand open to the world: there nobody may come in without a secret.
    guarded: Vec<Door>,
}

/// Who was refused since the start.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    credentials: AtomicU64,
    commands: AtomicU64,
    keys: AtomicU64,
    logged: Mutex<Option<Instant>>,
}

impl Access {
    /// The users of a configuration.
    ///
    /// # Errors
    /// `InvalidArgument`; the message begins with the path of the value.
    pub fn of(
        users: &BTreeMap<String, UserConfig>,
        resp: &RespConfig,
        http: &HttpConfig,
    ) -> Result<Self> {
        let users = ArcSwap::from_pointee(Users::of(users, resp, http)?);
        let (exchange, refused) = (Mutex::default(), Refused::default());
        Ok(Self(Arc::new(Shared { users, exchange, refused })))
    }

    /// From now on no configuration opens this door to nobody in particular: it stands open to the world.
    ///
    /// # Errors
    /// `InvalidArgument`: it is open to them now.
    pub(crate) fn keep_guarded(&self, door: Door) -> Result<()> {
        let mut exchange = self.exchange();
        refuse_open(&self.users(), door)?;
        if !exchange.guarded.contains(&door) {
            exchange.guarded.push(door);
        }
        Ok(())
    }

    fn exchange(&self) -> MutexGuard<'_, Exchange> {
        self.0.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the users of a new configuration in the place of those before. Whoever has changed, or is gone, has to
    /// authenticate anew before the next command; the others, and who has only got a further password or token, notice
    /// nothing.
    ///
    /// # Errors
    /// `InvalidArgument` as for `of`, also where a door that the world reaches would stand open to nobody in particular; then
    /// everything stays as it was.
    pub fn replace(
        &self,
        users: &BTreeMap<String, UserConfig>,
        resp: &RespConfig,
        http: &HttpConfig,
    ) -> Result<()> {
        let mut users = Users::of(users, resp, http)?;
        // One at a time, so that each generation is succeeded by exactly one.
        let exchange = self.exchange();
        exchange.guarded.iter().try_for_each(|door| refuse_open(&users, *door))?;
        let gone = users.succeed(&self.0.users.load());
        self.0.users.store(Arc::new(users));
        // Only now: whoever looks again because it was revoked finds the new ones.
        gone.iter().for_each(|user| user.revoke());
        drop(exchange);
        Ok(())
    }

    /// Whether nobody comes in there without a password or a token.
    pub fn guards(&self, door: Door) -> bool {
        self.anonymous(door).is_none()
    }

    pub(crate) fn users(&self) -> Arc<Users> {
        self.0.users.load_full()
    }

    /// Who comes in there and names nobody.
    pub(crate) fn anonymous(&self, door: Door) -> Option<Arc<User>> {
        self.0.users.load().anonymous(door).cloned()
    }

    /// Whose name and password these are.
    pub(crate) fn by_password(&self, name: &[u8], password: &[u8]) -> Option<Arc<User>> {
        self.0.users.load().by_password(name, password).cloned()
    }

    /// Whose token this is.
    pub(crate) fn by_token(&self, token: &[u8]) -> Option<Arc<User>> {
        self.0.users.load().by_token(token).cloned()
    }

    /// Whether any user has a token.
    pub(crate) fn knows_tokens(&self) -> bool {
        self.0.users.load().have_tokens()
    }

    /// Counts wrong credentials, and logs that there were some.
    pub(crate) fn refuse_credentials(&self, door: Door, peer: Option<SocketAddr>, clock: &Clock) {
        let refused = &self.0.refused;
        let count = refused.credentials.fetch_add(1, Ordering::Relaxed) + 1;
        let now = clock.now();
        let mut logged = refused.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.is_none_or(|last| now.saturating_duration_since(last) >= LOG_EVERY) {
            *logged = Some(now);
            let peer = peer.map_or_else(String::new, |peer| peer.to_string());
            tracing::warn!(target: "mainstay", door = door.as_str(), peer, count, "wrong credentials");
        }
    }

    /// Counts what a user was not allowed to do.
    pub(crate) fn refuse(&self, denied: Denied) {
        let count = match denied {
            Denied::Role => &self.0.refused.commands,
            Denied::Key => &self.0.refused.keys,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Wrong credentials, commands and keys that were refused since the start.
    pub(crate) fn refusals(&self) -> [(&'static str, u64); 3] {
        let Refused { credentials, commands, keys, .. } = &self.0.refused;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [("auth", read(credentials)), ("cmd", read(commands)), ("key", read(keys))]
    }
}

fn refuse_open(users: &Users, door: Door) -> Result<()> {
    if users.anonymous(door).is_none() {
        return Ok(());
    }
    let problem = "is reachable from elsewhere, and these users let in whoever names nobody";
    Err(config::invalid(&format!("{}.listen", door.as_str()), problem))
}
