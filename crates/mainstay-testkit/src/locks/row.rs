//! One lock where it is granted: what the three statements do to its row. `semantics::locks::Row`, in discrete time.
//! It must not know who asks, nor why.

/// One acquisition of one client: a fresh number each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Nonce {
    pub(crate) client: u8,
    pub(crate) serial: u8,
}

/// The row, or the key and counter of Redis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    /// Whose lease it is, or was, until it is released.
    pub(crate) holder: Option<Nonce>,
    /// How long the lease lasts; 0: it has ended.
    pub(crate) left: u8,
    pub(crate) counter: u8,
}

/// The rules of the statements that can be left out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) release_checks_holder: bool,
    pub(crate) renewal_checks_expiry: bool,
    /// The token moves also when a holder is replaced whose lease has ended.
    pub(crate) expiry_moves_token: bool,
}

impl Rules {
    pub(crate) const ALL: Self =
        Self { release_checks_holder: true, renewal_checks_expiry: true, expiry_moves_token: true };
}

impl Row {
    /// Grants a free lock, or one's own again: the counter after it.
    pub(crate) fn acquire(&mut self, nonce: Nonce, ttl: u8, rules: Rules) -> Option<u8> {
        let held = self.left > 0;
        let own = held && self.holder == Some(nonce);
        if held && !own {
            return None;
        }
        let replaces = self.holder.is_some() && !rules.expiry_moves_token;
        self.counter += u8::from(!own && !replaces);
        (self.holder, self.left) = (Some(nonce), ttl);
        Some(self.counter)
    }

    /// Begins the lease anew, if it lasts.
    pub(crate) fn renew(&mut self, nonce: Nonce, ttl: u8, rules: Rules) -> bool {
        let lasts = self.left > 0 || !rules.renewal_checks_expiry;
        let renewed = lasts && self.holder == Some(nonce);
        if renewed {
            self.left = ttl;
        }
        renewed
    }

    /// Frees the lock, if it is this holder's. The counter stays.
    pub(crate) fn release(&mut self, nonce: Nonce, rules: Rules) {
        if self.holder == Some(nonce) || !rules.release_checks_holder {
            (self.holder, self.left) = (None, 0);
        }
    }

    /// A unit of time passes.
    pub(crate) fn tick(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// For the stories.
    pub(crate) fn told(&self) -> String {
        match self.holder {
            Some(holder) if self.left > 0 => {
                format!("held by {} for {}", super::client(holder.client), self.left)
            }
            _ => "free".to_owned(),
        }
    }
}
