//! A fault injected before a node: begun, lifted, told of.
//! It must not know who may ask for it.

use std::sync::Arc;

use super::Node;
use crate::{
    clock::Instant,
    event::{Actor, Details, EventKind},
    guard::inject::Injected,
    status::InjectedFault,
};

impl Node {
    /// It meets calls from now on.
    pub(crate) fn inject(&self, injected: &Arc<Injected>) {
        self.guard().inject(Arc::clone(injected));
        let text = format!("{}: {}", injected.fault, injected.reason);
        self.tell_of_fault("injected", &text, &injected.actor);
    }

    /// It meets none any more. Nothing where it has been lifted before.
    pub(crate) fn lift(&self, injected: &Arc<Injected>, reason: &str, actor: &Actor) {
        if self.guard().lift(injected) {
            self.tell_of_fault("lifted", reason, actor);
        }
    }

    /// The fault in force, for people.
    pub(crate) fn injected(&self, now: Instant) -> Option<InjectedFault> {
        let injected = self.guard().injected(now)?;
        let prefix = injected.fault.prefix.as_ref();
        Some(InjectedFault {
            fault: injected.fault.to_string(),
            share: injected.fault.share,
            prefix: prefix.map(|prefix| String::from_utf8_lossy(prefix.as_bytes()).into_owned()),
            left: injected.until.saturating_duration_since(now),
            reason: injected.reason.clone(),
            actor: injected.actor.clone(),
        })
    }

    fn tell_of_fault(&self, state: &'static str, reason: &str, actor: &Actor) {
        let details = Details { actor: actor.clone(), ..Details::default() };
        self.publish_with(EventKind::Drill { state }, reason, details);
    }
}
