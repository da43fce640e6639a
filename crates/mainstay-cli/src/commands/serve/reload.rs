//! The configuration read anew while the server runs: what differs, what is taken over, who is told.
//! It must not decide which keys may change: the table of the configuration does.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use mainstay::{Actor, EventKind, Storage, event::Details};
use mainstay_server::{
    Guard,
    http::{Api, NotReloaded, Reload, Sections},
    resp::RespSettings,
};
use serde_json::{Value as Json, json};

use crate::{
    args::Common,
    config::{Change, Effect, Flag, Loaded, Settings, diff, merged},
    log::Lines,
    setup,
};

/// Changes that an event names; the answer names all.
const TOLD_MAX: usize = 20;

/// Reads the configuration anew. Cheap to clone.
#[derive(Clone)]
pub(super) struct Reloader(Arc<Inner>);

struct Inner {
    common: Common,
    flags: Vec<Flag>,
    owners: Owners,
    /// What the process runs with. Held while another configuration is read and taken over: there is one at a time.
    running: Mutex<Loaded>,
}

/// Who holds a part of the settings.
pub(super) struct Owners {
    pub(super) storage: Storage,
    pub(super) guard: Guard,
    pub(super) resp: RespSettings,
    pub(super) http: Api,
    pub(super) lines: Lines,
}

impl Owners {
    /// Each takes over its part; they have been checked. Certificates are read anew, whether or not a key differs: who
    /// reloads does not wait until they are looked at.
    fn take_over(&self, settings: &Settings) -> Result<(), String> {
        let message = |error: mainstay::Error| error.message().to_owned();
        self.storage.reconfigure(settings.storage()).map_err(message)?;
        let Settings { users, resp, http, .. } = settings;
        self.guard.access.replace(users, resp, http).map_err(message)?;
        self.resp.replace(resp.clone()).map_err(message)?;
        self.http.reconfigure(http.clone(), sections(settings)).map_err(message)?;
        let (share, most) = settings.traces.offered();
        self.storage.set_traces(share, Some(most));
        if let Some(tls) = &self.guard.tls {
            // What is wrong with the files has been told, and the certificate before stays.
            drop(tls.reload_told(&self.storage));
        }
        self.lines.set(&settings.log).map_err(|failure| failure.message)
    }
}

/// What `/v1/config` shows beside the storage's own.
pub(super) fn sections(settings: &Settings) -> Sections {
    Sections::from_iter([
        ("resp".to_owned(), json!(settings.resp)),
        ("users".to_owned(), json!(settings.users)),
        ("tls".to_owned(), json!(settings.tls)),
        ("runtime".to_owned(), json!(settings.runtime)),
        ("log".to_owned(), json!(settings.log)),
        ("traces".to_owned(), json!(settings.traces)),
    ])
}

impl Reloader {
    /// `running`: what the process has been started with.
    pub(super) fn new(common: &Common, flags: Vec<Flag>, running: Loaded, owners: Owners) -> Self {
        let (common, running) = (common.clone(), Mutex::new(running));
        Self(Arc::new(Inner { common, flags, owners, running }))
    }

    /// Reads it, takes over what may change, tells of it. The files are read on another thread.
    pub(super) async fn reload_by(
        &self,
        dry_run: bool,
        seen: Option<u64>,
        actor: Actor,
    ) -> Result<Json, NotReloaded> {
        let inner = Arc::clone(&self.0);
        let work = move || inner.reload(dry_run, seen, &actor);
        let ended = tokio::task::spawn_blocking(work).await;
        let early = || vec!["reading the configuration ended early".to_owned()];
        ended.unwrap_or_else(|_| Err(NotReloaded::Invalid(early())))
    }
}

impl Inner {
    fn reload(&self, dry_run: bool, seen: Option<u64>, actor: &Actor) -> Result<Json, NotReloaded> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: of two who have seen the same one, the second has not seen what the first has made of it.
        if seen.is_some_and(|seen| seen != self.owners.http.generation()) {
            return Err(NotReloaded::Outdated);
        }
        let read = self.read(&running, dry_run);
        match &read {
            // Nobody has asked for a change.
            _ if dry_run => {}
            Ok((changes, _)) => {
                let (applied, restart) = counted(changes);
                self.tell(
                    EventKind::Config { state: "reloaded", applied, restart },
                    told(changes),
                    actor,
                );
            }
            Err(problems) => {
                let kind = EventKind::Config { state: "refused", applied: 0, restart: 0 };
                self.tell(kind, problems.join("; "), actor);
            }
        }
        let (changes, now) = read.map_err(NotReloaded::Invalid)?;
        let (applied, restart) = counted(&changes);
        let document = json!({
            "config": now.summary(),
            "changes": changes.iter().map(Change::to_json).collect::<Vec<_>>(),
            "applied": applied,
            "needs_restart": restart,
            "dry_run": dry_run,
        });
        if !dry_run {
            *running = now;
        }
        Ok(document)
    }

    /// What differs, and what the process runs with from now on.
    fn read(&self, running: &Loaded, dry_run: bool) -> Result<(Vec<Change>, Loaded), Vec<String>> {
        let lines = |problems: crate::config::Problems| {
            problems.0.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let new = setup::load_again(running, &self.common, &self.flags).map_err(lines)?;
        // Certificates that cannot be used are wrong here as they are at the start.
        setup::guard(&new).map_err(lines)?;
        let changes = diff(running, &new).map_err(|error| vec![error.to_string()])?;
        let now = merged(running, &new, &changes).map_err(lines)?;
        if !dry_run {
            self.owners.take_over(&now.settings).map_err(|problem| vec![problem])?;
        }
        Ok((changes, now))
    }

    fn tell(&self, kind: EventKind, reason: String, actor: &Actor) {
        let details = Details { actor: actor.clone(), ..Details::default() };
        self.owners.storage.events().publish_with(None, kind, reason, details);
    }
}

/// How many are applied, and how many wait for a restart.
fn counted(changes: &[Change]) -> (u64, u64) {
    let applied = changes.iter().filter(|change| change.effect == Effect::Live).count();
    (applied as u64, (changes.len() - applied) as u64)
}

fn told(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "nothing differs".to_owned();
    }
    let mut lines: Vec<String> = changes.iter().take(TOLD_MAX).map(ToString::to_string).collect();
    if changes.len() > TOLD_MAX {
        lines.push(format!("and {} more", changes.len() - TOLD_MAX));
    }
    lines.join("; ")
}

impl Reload for Reloader {
    fn reload(
        &self,
        dry_run: bool,
        seen: Option<u64>,
        actor: Actor,
    ) -> BoxFuture<'_, Result<Json, NotReloaded>> {
        Box::pin(self.reload_by(dry_run, seen, actor))
    }
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_shown_has_every_section_of_the_file() {
        let settings = Settings::default();
        let keys = |json: &Json| -> BTreeSet<String> {
            json.as_object().map(|all| all.keys().cloned().collect()).unwrap_or_default()
        };
        let mut shown = keys(&json!(settings.storage()));
        // The door that shows it adds its own.
        shown.insert("http".to_owned());
        shown.extend(sections(&settings).into_iter().map(|(key, _)| key));
        assert_eq!(shown, keys(&json!(settings)));
    }
}
