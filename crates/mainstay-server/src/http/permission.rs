//! Which role each path needs: one table. A path that is not in it needs `read` to read and `admin` to change.
//! It must not know users.

use axum::http::Method;

use crate::access::{Reach, Role};

/// The role that a request needs, and what it reaches before its handler has looked at it.
pub(crate) fn of(method: &Method, path: &str) -> (Role, Reach<'static>) {
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    let under = |prefix: &str| path.starts_with(prefix);
    let role = match path {
        // The whole configuration, and who is connected from where.
        "/v1/config" | "/v1/clients" => Role::Admin,
        _ if under("/v1/config/") || under("/v1/clients/") => Role::Admin,
        _ if reads => Role::Read,
        // Each operation is looked at by itself.
        "/v1/batch" => Role::Read,
        "/v1/invalidate" => Role::Write,
        _ if under("/v1/kv/") || under("/v1/locks/") => Role::Write,
        _ => Role::Admin,
    };
    // They name keys or locks of anyone.
    let everything = reads && matches!(path, "/v1/locks" | "/v1/journal" | "/v1/events");
    (role, if everything { Reach::Everything } else { Reach::Nothing })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_its_role() {
        use Role::{Admin, Read, Write};
        for (method, path, role) in [
            ("GET", "/v1/kv/k", Read),
            ("HEAD", "/v1/kv/k", Read),
            ("PUT", "/v1/kv/k", Write),
            ("POST", "/v1/kv/k/incr", Write),
            ("DELETE", "/v1/kv/k", Write),
            ("GET", "/v1/kv", Read),
            ("POST", "/v1/batch", Read),
            ("POST", "/v1/invalidate", Write),
            ("POST", "/v1/locks/l", Write),
            ("GET", "/v1/locks", Read),
            ("GET", "/v1/status", Read),
            ("GET", "/metrics", Read),
            ("GET", "/v1/config", Admin),
            ("POST", "/v1/config/reload", Admin),
            ("GET", "/v1/clients", Admin),
            ("POST", "/v1/backends/redis/breaker", Admin),
            ("POST", "/v1/backends/redis/drain", Admin),
            ("DELETE", "/v1/backends/redis/drain", Admin),
            ("POST", "/v1/drills", Admin),
            ("DELETE", "/v1/drills/1", Admin),
            ("POST", "/v1/journal/replay", Admin),
            ("DELETE", "/v1/journal/dead-letters/1", Admin),
            ("PATCH", "/v1/of-tomorrow", Admin),
            ("GET", "/v1/of-tomorrow", Read),
        ] {
            let method: Method = method.parse().unwrap();
            assert_eq!(of(&method, path).0, role, "{method} {path}");
        }
        for path in ["/v1/locks", "/v1/journal", "/v1/events"] {
            assert_eq!(of(&Method::GET, path).1, Reach::Everything, "{path}");
        }
    }
}
