//! Who was refused at the doors, and how long their certificate lasts.
//! It must not know single users or clients.

use std::fmt;

use super::families::{Families, NONE, flag, number};
use crate::Guard;

pub(super) fn write(families: &mut Families<'_>, guard: &Guard) -> fmt::Result {
    let refused = guard.access.refusals().map(|(what, count)| ([("reason", what)], count));
    let help =
        "Wrong credentials (auth), and what a user's role (cmd) or prefixes (key) did not allow.";
    families.counter("mainstay_access_denied", help, refused)?;
    let tls = guard.tls.as_ref().map(|tls| tls.status());
    let tls = tls.as_ref();
    let help = "When the certificate of the doors ends, Unix time.";
    let ends = tls.map(|tls| (NONE, number(tls.not_after)));
    families.gauge("mainstay_tls_certificate_not_after_seconds", help, ends)?;
    let help = "1 while the certificate's files as they are now cannot be used.";
    let refused = tls.map(|tls| (NONE, flag(tls.problem.is_some())));
    families.gauge("mainstay_tls_certificate_refused", help, refused)?;
    let help = "Times that a changed certificate was taken up.";
    families.counter("mainstay_tls_reloads", help, tls.map(|tls| (NONE, tls.reloads)))?;
    let help = "TLS handshakes that failed, took too long, or found no place in time.";
    let failed = tls.map(|tls| (NONE, tls.handshakes_failed));
    families.counter("mainstay_tls_handshakes_failed", help, failed)
}
