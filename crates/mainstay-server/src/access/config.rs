//! The `[users.NAME]` sections: what a user may do and what it proves itself by.
//! It must not know the doors.

use std::fmt;

use mainstay::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize, Serializer};

use super::{
    secret::Digest,
    user::{DEFAULT, Role, User},
};

/// One user of both doors. With a password it may come in by RESP, with a token by HTTP; `default` without either is who
/// nobody in particular is.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct UserConfig {
    /// `read`, `write` (also changes keys and takes locks) or `admin` (also controls the server). Default `read`.
    pub role: Role,
    /// It may touch only keys, and locks, whose names begin with one of these. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefixes: Option<Vec<String>>,
    /// What AUTH has to give; never printed. Default: none.
    #[serde(serialize_with = "redacted", skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// SHA-256 of passwords that do as well, 64 hexadecimal digits each, as Redis's `#...`; never printed. Default: none.
    #[serde(serialize_with = "all_redacted", skip_serializing_if = "Vec::is_empty")]
    pub password_hashes: Vec<String>,
    /// What it presents over HTTP as `Authorization: Bearer ...`; never printed. Default: none.
    #[serde(serialize_with = "redacted", skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// SHA-256 of tokens that do as well; never printed. Default: none.
    #[serde(serialize_with = "all_redacted", skip_serializing_if = "Vec::is_empty")]
    pub token_hashes: Vec<String>,
}

impl UserConfig {
    /// The user. The message of an error begins with the path of the value.
    pub(super) fn user(&self, name: &str) -> Result<User> {
        let at = |key: &str| format!("users.{name}.{key}");
        check_name(name)?;
        check_prefixes(self, &at("prefixes"))?;
        if self.password.as_deref() == Some("") {
            return Err(invalid(&at("password"), "is empty; leave it out or set one"));
        }
        if let Some(token) = &self.token {
            check_token(&at("token"), token)?;
        }
        let passwords =
            digests(self.password.as_deref(), &self.password_hashes, &at("password_hashes"))?;
        let tokens = digests(self.token.as_deref(), &self.token_hashes, &at("token_hashes"))?;
        let user = User::new(name, self.role, self.prefixes.as_deref(), passwords, tokens);
        if user.needs_no_secret() && name != DEFAULT {
            let problem = "has neither a password nor a token: set password_file, token_file, password_hashes or \
                 token_hashes";
            return Err(invalid(&format!("users.{name}"), problem));
        }
        Ok(user)
    }
}

fn digests(secret: Option<&str>, hashes: &[String], path: &str) -> Result<Vec<Digest>> {
    let mut digests: Vec<Digest> =
        secret.iter().map(|secret| Digest::of(secret.as_bytes())).collect();
    for (nth, hash) in hashes.iter().enumerate() {
        let digest = Digest::parse(hash).ok_or_else(|| {
            let problem = "is no SHA-256: 64 hexadecimal digits, as sha256sum prints them";
            invalid(&format!("{path}[{nth}]"), problem)
        })?;
        digests.push(digest);
    }
    Ok(digests)
}

/// A name stands in lines that are split at blanks, and in log lines.
fn check_name(name: &str) -> Result<()> {
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'@');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) {
        let problem = "a user's name is 1 to 64 letters, digits, or any of - _ . @";
        return Err(invalid("users", problem));
    }
    Ok(())
}

fn check_prefixes(config: &UserConfig, path: &str) -> Result<()> {
    let Some(prefixes) = &config.prefixes else { return Ok(()) };
    if config.role == Role::Admin {
        return Err(invalid(
            path,
            "do not go with role = \"admin\": who controls the server is not bound to keys",
        ));
    }
    if prefixes.is_empty() || prefixes.iter().any(String::is_empty) {
        return Err(invalid(
            path,
            "names at least one prefix, none of them empty; leave it out for every key",
        ));
    }
    Ok(())
}

/// What goes into a header, and is no word of a dictionary's first page.
pub(crate) fn check_token(path: &str, token: &str) -> Result<()> {
    if token.len() < 8 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid(path, "holds at least 8 printable ASCII characters without spaces"));
    }
    Ok(())
}

pub(super) fn invalid(path: &str, problem: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("{path}: {problem}"))
}

fn redacted<S: Serializer>(
    secret: &Option<String>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    secret.as_ref().map(|_| "***").serialize(serializer)
}

fn all_redacted<S: Serializer>(
    secrets: &[String],
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_seq(secrets.iter().map(|_| "***"))
}

impl fmt::Debug for UserConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserConfig")
            .field("role", &self.role)
            .field("prefixes", &self.prefixes)
            .finish_non_exhaustive()
    }
}
