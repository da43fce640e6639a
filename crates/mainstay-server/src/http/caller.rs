//! Who a request comes from, and whether it may do what it asks for.
//! It must not know how it proved who it is.
//!
//! A handler runs inside the task of its connection, so that the task carries the user from the door to where keys are
//! touched: `Api::execute`, and the few handlers that reach keys by another way.

use std::sync::Arc;

use axum::http::StatusCode;

use super::{Api, problem::Problem};
use crate::access::{Denied, Door, Reach, Role, User, may};

tokio::task_local! {
    static CALLER: Arc<User>;
}

/// Runs a handler for this user.
pub(crate) async fn run_as<T>(user: Arc<User>, handler: impl Future<Output = T>) -> T {
    CALLER.scope(user, handler).await
}

/// Who a request comes from; `None` outside one, and on paths that are open to everyone.
pub(crate) fn current() -> Option<Arc<User>> {
    CALLER.try_with(Arc::clone).ok()
}

/// Refuses what the user of this request may not do. Where it is not known who asks (outside a request, in a task of its own, on
/// paths that are open to everyone) nothing may be done.
pub(crate) fn permit<'a>(
    api: &Api,
    needs: Role,
    reach: impl FnOnce() -> Reach<'a>,
) -> Result<(), Problem> {
    let asked = CALLER.try_with(|user| check(api, user, Some(needs), reach));
    asked.unwrap_or_else(|_| {
        let detail = "nobody in particular asks, and nobody in particular may do this";
        let title = "Forbidden";
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", title, detail).because("role"))
    })
}

/// `place` with the user of this request, for the audit.
pub(crate) fn signed(place: String) -> String {
    match CALLER.try_with(Arc::clone) {
        Ok(user) => user.signed(Door::Http, place),
        Err(_) => place,
    }
}

/// Refuses what this user may not do; `needs` and what is reached are the request's.
pub(crate) fn check<'a>(
    api: &Api,
    user: &User,
    needs: Option<Role>,
    reach: impl FnOnce() -> Reach<'a>,
) -> Result<(), Problem> {
    may(user, needs, reach).map_err(|denied| {
        api.access().refuse(denied);
        refusal(user, needs, denied)
    })
}

fn refusal(user: &User, needs: Option<Role>, denied: Denied) -> Problem {
    let name = user.name();
    let (reason, detail, hint) = match denied {
        Denied::Role => {
            let (has, wants) = (user.role().as_str(), needs.map_or("read", Role::as_str));
            let detail = format!("user {name} has the role `{has}`; this needs `{wants}`");
            ("role", detail, "use the token of a user with that role ([users.NAME] role)")
        }
        Denied::Key => {
            let detail = format!("user {name} may only touch keys under its prefixes");
            ("prefix", detail, "ask for keys, or a prefix, within them ([users.NAME] prefixes)")
        }
    };
    Problem::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail).because(reason).hint(hint)
}

#[cfg(test)]
mod tests {
    use mainstay::{Config, Storage, config::RouteConfig};

    use super::*;
    use crate::http::{HttpConfig, Sections};

    #[tokio::test]
    async fn whoever_is_not_known_may_do_nothing() {
        let route =
            RouteConfig { backends: vec![Config::MEMORY.to_owned()], ..RouteConfig::default() };
        let config = Config { routes: vec![route], ..Config::default() };
        let storage = Storage::open(config).await.unwrap();
        let api = Api::new(HttpConfig::default(), storage, Sections::new()).unwrap();
        let ask = || permit(&api, Role::Read, || Reach::Nothing);
        assert!(ask().is_err());
        let user = api.access().anonymous(Door::Http).unwrap();
        run_as(user, async { assert!(ask().is_ok()) }).await;
        assert!(ask().is_err());
    }
}
