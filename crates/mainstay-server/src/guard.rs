//! What stands in both doors: the users, and TLS.
//! It must not know what is said once somebody is in.

use std::{collections::BTreeMap, net::SocketAddr};

use mainstay::Result;

use crate::{
    access::{Access, Door},
    http::HttpConfig,
    resp::RespConfig,
    tls::{Tls, TlsConfig},
};

/// Who may come in, and how. Cheap to clone; clones share what is replaced.
#[derive(Clone, Debug)]
pub struct Guard {
    /// The users.
    pub access: Access,
    /// The certificates; `None`: plain TCP.
    pub tls: Option<Tls>,
    /// Whether a door without TLS off loopback is deliberate: `tls.allow_plaintext`.
    pub allow_plaintext: bool,
    /// Whether the users are what the section of a door says, and nothing else.
    plain: bool,
}

impl Guard {
    /// These users, and what the section says.
    ///
    /// # Errors
    /// As `Tls::open`.
    pub fn new(access: Access, tls: &TlsConfig) -> Result<Self> {
        let (allow_plaintext, tls) = (tls.allow_plaintext, Tls::open(tls)?);
        Ok(Self { access, tls, allow_plaintext, plain: false })
    }

    /// What the two sections alone say: no further users, no TLS.
    ///
    /// # Errors
    /// As `Access::of`.
    pub fn plain(resp: &RespConfig, http: &HttpConfig) -> Result<Self> {
        let access = Access::of(&BTreeMap::new(), resp, http)?;
        Ok(Self { access, tls: None, allow_plaintext: false, plain: true })
    }

    /// Whether nobody comes in at this door without a password, a token or a certificate.
    pub fn guards(&self, door: Door) -> bool {
        self.access.guards(door) || self.is_mutual(door)
    }

    fn is_mutual(&self, door: Door) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_mutual(door))
    }

    /// Whether it guards once `follow` has taken over a section of that door with, or without, a secret.
    pub(crate) fn would_guard(&self, door: Door, secret: bool) -> bool {
        if self.plain { secret || self.is_mutual(door) } else { self.guards(door) }
    }

    /// Takes over the secrets of the sections where they are all there is; users are replaced by who has them.
    pub(crate) fn follow(&self, resp: &RespConfig, http: &HttpConfig) -> Result<()> {
        if self.plain { self.access.replace(&BTreeMap::new(), resp, http) } else { Ok(()) }
    }

    /// The certificates, if this door speaks TLS.
    pub(crate) fn tls_at(&self, door: Door) -> Option<&Tls> {
        self.tls.as_ref().filter(|tls| tls.covers(door))
    }

    /// A door opens there: what guards it now has to guard it as long as it stands open.
    ///
    /// # Errors
    /// `InvalidArgument`: nothing guards it, and the world reaches it.
    pub(crate) fn keep(&self, door: Door, address: SocketAddr) -> Result<()> {
        if address.ip().is_loopback() || self.is_mutual(door) {
            Ok(())
        } else {
            self.access.keep_guarded(door)
        }
    }

    /// Says what a person should know about a door that opens there.
    pub(crate) fn warn(&self, door: Door, address: SocketAddr) {
        let plain = self.tls_at(door).is_none() && !address.ip().is_loopback();
        if plain && !self.allow_plaintext {
            let door = door.as_str();
            tracing::warn!(target: "mainstay", door, %address,
                "passwords and tokens pass in the clear: set tls.cert_file and tls.key_file, or tls.allow_plaintext = true \
                 where something in front encrypts");
        }
    }
}
