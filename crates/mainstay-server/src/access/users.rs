//! All users at one moment.
//! It must not change: a new configuration makes new users.

use std::{collections::BTreeMap, sync::Arc};

use mainstay::Result;

use super::{
    Door, UserConfig,
    config::invalid,
    secret::{Digest, matches},
    user::{DEFAULT, Role, User},
};
use crate::{http::HttpConfig, resp::RespConfig};

/// Everyone, by name.
#[derive(Debug)]
pub(crate) struct Users(BTreeMap<Arc<str>, Arc<User>>);

impl Users {
    /// The configured ones; `resp.password` and `http.token` are those of the user `default`, an admin.
    pub(super) fn of(
        users: &BTreeMap<String, UserConfig>,
        resp: &RespConfig,
        http: &HttpConfig,
    ) -> Result<Self> {
        let mut all = Vec::new();
        for (name, config) in users {
            let mut user = config.user(name)?;
            if user.needs_no_secret() {
                user.open_at = vec![Door::Resp, Door::Http];
            }
            all.push(user);
        }
        let (password, token) = (resp.password.as_deref(), http.read_token()?);
        let given = password.is_some() || token.is_some();
        if given && users.contains_key(DEFAULT) {
            let problem = "resp.password and http.token are those of `default`: give them here, or leave this section out";
            return Err(invalid("users.default", problem));
        }
        if given || users.is_empty() {
            all.push(plain_default(password, token.as_deref(), users.is_empty()));
        }
        let by_name = all.into_iter().map(|user| (Arc::clone(&user.name), Arc::new(user)));
        let users = Self(by_name.collect());
        users.refuse_shared_tokens()?;
        Ok(users)
    }

    /// A token names its user, so it is one user's.
    fn refuse_shared_tokens(&self) -> Result<()> {
        let mut owners: Vec<(&Digest, &str)> = Vec::new();
        for user in self.iter() {
            let shared = owners.iter().find(|(token, _)| user.tokens.contains(token));
            if let Some((_, owner)) = shared {
                let problem = format!("is that of {owner}, too: each user has its own");
                return Err(invalid(&format!("users.{}.token", user.name), &problem));
            }
            owners.extend(user.tokens.iter().map(|token| (token, user.name())));
        }
        Ok(())
    }

    /// Who comes in there and names nobody.
    pub(super) fn anonymous(&self, door: Door) -> Option<&Arc<User>> {
        self.0.get(DEFAULT).filter(|user| user.is_open_at(door))
    }

    /// Whose name and password these are. An unknown name takes as long as a wrong password. As with Redis's `nopass`, who
    /// may come in without a password may with any.
    pub(super) fn by_password(&self, name: &[u8], password: &[u8]) -> Option<&Arc<User>> {
        let given = Digest::of(password);
        let user = self.find(name);
        let right = matches(user.map_or(&[], |user| &user.passwords), &given);
        user.filter(|user| right || user.is_open_at(Door::Resp))
    }

    /// Whose token this is. It looks at every user's.
    pub(super) fn by_token(&self, token: &[u8]) -> Option<&Arc<User>> {
        let given = Digest::of(token);
        self.iter().fold(
            None,
            |found, user| {
                if matches(&user.tokens, &given) { Some(user) } else { found }
            },
        )
    }

    pub(super) fn have_tokens(&self) -> bool {
        self.iter().any(|user| !user.tokens.is_empty())
    }

    /// By name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<User>> {
        self.0.values()
    }

    pub(crate) fn find(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.0.get(std::str::from_utf8(name).ok()?)
    }

    /// Whoever has stayed the same, or has got a further password or token, goes on as these, which nobody else knows yet; the
    /// others of `before` are to be revoked, once these stand in their place.
    #[must_use]
    pub(super) fn succeed(&mut self, before: &Self) -> Vec<Arc<User>> {
        let mut gone = Vec::new();
        for old in before.iter() {
            let new = self.0.get_mut(&old.name).filter(|new| new.only_adds_to(old));
            match new.and_then(Arc::get_mut) {
                Some(new) => new.go_on_as(old),
                None => gone.push(Arc::clone(old)),
            }
        }
        gone
    }
}

/// The admin of a configuration without users of its own. Where it needs no secret, the door is open to it.
fn plain_default(password: Option<&str>, token: Option<&str>, may_be_open: bool) -> User {
    let digests = |secret: Option<&str>| -> Vec<Digest> {
        secret.iter().map(|secret| Digest::of(secret.as_bytes())).collect()
    };
    let mut user = User::new(DEFAULT, Role::Admin, None, digests(password), digests(token));
    let without = [(Door::Resp, password), (Door::Http, token)];
    let open = without.into_iter().filter(|(_, secret)| may_be_open && secret.is_none());
    user.open_at = open.map(|(door, _)| door).collect();
    user
}
