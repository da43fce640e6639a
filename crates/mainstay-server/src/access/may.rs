//! Whether a user may do something: one pure function for both doors.
//! It must not know commands or paths: those say which role they need and what they reach.

use mainstay::Op;

use super::user::{Role, User};

/// What is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach<'a> {
    /// No key.
    Nothing,
    /// These keys, or locks of these names.
    Keys(Vec<&'a [u8]>),
    /// Any key that begins so.
    Prefix(&'a [u8]),
    /// Any key.
    Everything,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Its role does not reach so far.
    Role,
    /// A key is not under its prefixes.
    Key,
}

/// Whether this user may do what needs this role (`None`: everyone may) and reaches so far. What is reached is only looked
/// at for users who are bound to prefixes.
pub(crate) fn may<'a>(
    user: &User,
    needs: Option<Role>,
    reach: impl FnOnce() -> Reach<'a>,
) -> Result<(), Denied> {
    if needs.is_some_and(|least| user.role < least) {
        return Err(Denied::Role);
    }
    let Some(prefixes) = &user.prefixes else { return Ok(()) };
    let within = |bytes: &[u8]| prefixes.iter().any(|prefix| bytes.starts_with(prefix));
    let all_within = match reach() {
        Reach::Nothing => true,
        Reach::Keys(keys) => keys.into_iter().all(within),
        Reach::Prefix(prefix) => within(prefix),
        Reach::Everything => false,
    };
    if all_within { Ok(()) } else { Err(Denied::Key) }
}

/// What an operation reaches. One that names no key and is no listing under a prefix may reach all.
pub(crate) fn reach_of_op(op: &Op) -> Reach<'_> {
    match op {
        Op::Scan { prefix, .. } | Op::Count { prefix } => Reach::Prefix(prefix),
        Op::Query(_) => Reach::Everything,
        _ => {
            let mut keys = Vec::new();
            op.for_each_key(|key| keys.push(key.as_bytes()));
            if keys.is_empty() { Reach::Everything } else { Reach::Keys(keys) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Reach::{Everything, Keys, Nothing, Prefix};
    use Role::{Admin, Read, Write};

    fn user(role: Role, prefixes: &[&str]) -> User {
        let owned: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
        User::new("u", role, (!owned.is_empty()).then_some(&owned), Vec::new(), Vec::new())
    }

    #[test]
    fn roles_contain_those_before_them() {
        for (role, needs, expected) in [
            (Read, None, true),
            (Read, Some(Read), true),
            (Read, Some(Write), false),
            (Read, Some(Admin), false),
            (Write, Some(Read), true),
            (Write, Some(Write), true),
            (Write, Some(Admin), false),
            (Admin, Some(Write), true),
            (Admin, Some(Admin), true),
        ] {
            let answer = may(&user(role, &[]), needs, || Everything);
            let refusal = if expected { Ok(()) } else { Err(Denied::Role) };
            assert_eq!(answer, refusal, "{role:?} {needs:?}");
        }
    }

    #[test]
    fn prefixes_bound_every_key_and_what_is_listed() {
        let bound = user(Write, &["app:", "b\u{e9}:"]);
        for (reach, expected) in [
            (Nothing, true),
            (Keys(vec![]), true),
            (Keys(vec![b"app:1"]), true),
            (Keys(vec![b"app:"]), true),
            (Keys(vec![b"app"]), false),
            (Keys(vec![b"App:1"]), false),
            (Keys(vec![b"xapp:1"]), false),
            (Keys(vec![b"app:1", b"b\xc3\xa9:2"]), true),
            (Keys(vec![b"app:1", b"other"]), false),
            (Keys(vec![b"other", b"app:1"]), false),
            (Keys(vec![b"b\xe9:2"]), false),
            (Prefix(b"app:"), true),
            (Prefix(b"app:sub:"), true),
            (Prefix(b"ap"), false),
            (Prefix(b""), false),
            (Everything, false),
        ] {
            let refusal = if expected { Ok(()) } else { Err(Denied::Key) };
            assert_eq!(may(&bound, Some(Write), || reach.clone()), refusal, "{reach:?}");
            assert_eq!(may(&user(Write, &[]), Some(Write), || reach.clone()), Ok(()), "{reach:?}");
        }
    }

    #[test]
    fn the_role_is_looked_at_before_the_keys() {
        let bound = user(Read, &["app:"]);
        assert_eq!(may(&bound, Some(Write), || Keys(vec![b"other"])), Err(Denied::Role));
    }
}
