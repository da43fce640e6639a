//! The `[resp]` section: where to listen, and what a client may take.
//! It must not know the storage's own limits.

use std::{fmt, net::SocketAddr, time::Duration};

use mainstay::{
    Error, ErrorKind, Result,
    config::text::{duration, optional_duration, size},
};
use serde::{Deserialize, Serialize, Serializer};

use super::parse::Limits;
use crate::address;

/// The RESP front door.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RespConfig {
    /// Address and port, or `localhost:PORT`; port 0 takes a free one. Default `127.0.0.1:6390`; elsewhere than on
    /// loopback only with a password, users, or clients' certificates.
    pub listen: String,
    /// Connections at most. Default 10,000.
    pub connections_max: usize,
    /// Connections from one address at most, a /64 of IPv6 counting as one. Default: no limit of its own.
    pub connections_per_address: Option<usize>,
    /// Arguments of one command at most. Default and ceiling 1,048,576.
    pub args_max: usize,
    /// The longest argument. Default 64 MiB.
    #[serde(with = "size")]
    #[cfg_attr(feature = "schema", schemars(with = "mainstay::config::text::SizeText"))]
    pub bulk_max: u64,
    /// The longest request. Default 128 MiB.
    #[serde(with = "size")]
    #[cfg_attr(feature = "schema", schemars(with = "mainstay::config::text::SizeText"))]
    pub frame_max: u64,
    /// Commands of one connection in flight at most. Default and ceiling 128.
    pub pipeline_max: usize,
    /// A connection whose unsent replies exceed this is closed. Default 256 MiB.
    #[serde(with = "size")]
    #[cfg_attr(feature = "schema", schemars(with = "mainstay::config::text::SizeText"))]
    pub output_max: u64,
    /// Bytes that the buffers of all connections may hold together, requests and replies; a connection of more than
    /// 64 KiB that grows beyond it is closed. Default 1 GiB.
    #[serde(with = "size")]
    #[cfg_attr(feature = "schema", schemars(with = "mainstay::config::text::SizeText"))]
    pub buffers_max: u64,
    /// A request has to arrive whole within this time from its first byte, and the first one of a client that has to
    /// authenticate from the connection. Default 60 s.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(with = "mainstay::config::text::DurationText"))]
    pub request_timeout: Duration,
    /// A client that takes nothing of its replies for this long is closed. Default 60 s.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schema", schemars(with = "mainstay::config::text::DurationText"))]
    pub send_timeout: Duration,
    /// A connection that neither finishes a request nor takes a reply for this long is closed; bytes of a request that
    /// does not end do not count. Default: never.
    #[serde(with = "optional_duration")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<mainstay::config::text::DurationText>")
    )]
    pub idle_timeout: Option<Duration>,
    /// What AUTH has to give (user `default`). Default: nothing is asked.
    #[serde(serialize_with = "redacted")]
    pub password: Option<String>,
    /// Messages that may wait for one subscriber; one that falls further behind is disconnected. Default 32 MiB.
    #[serde(with = "size")]
    #[cfg_attr(feature = "schema", schemars(with = "mainstay::config::text::SizeText"))]
    pub subscriber_buffer_max: u64,
    /// Whether commands that Mainstay does not keep itself are passed through to Redis. Default no. A route with
    /// `passthrough` passes all commands on its keys, whatever this says.
    pub passthrough: bool,
    /// The backend that they go to. Default: the only Redis there is.
    pub passthrough_backend: Option<String>,
    /// Commands of administrators that are passed through all the same, by name, or by name and subcommand:
    /// `["FLUSHALL", "CONFIG SET"]`. Default none.
    pub passthrough_allow: Vec<String>,
    /// Connections to Redis at most for commands that block and for transactions, each of which takes one of its own.
    /// Default 256.
    pub passthrough_connections_max: usize,
    /// Whether FLUSHDB and FLUSHALL delete. Default no: they are refused.
    pub allow_flush: bool,
}

impl Default for RespConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:6390".to_owned(),
            connections_max: 10_000,
            connections_per_address: None,
            args_max: Limits::ARGS_MAX,
            bulk_max: 64 << 20,
            frame_max: 128 << 20,
            pipeline_max: Self::PIPELINE_CEILING,
            output_max: 256 << 20,
            buffers_max: 1 << 30,
            request_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            idle_timeout: None,
            password: None,
            subscriber_buffer_max: 32 << 20,
            passthrough: false,
            passthrough_backend: None,
            passthrough_allow: Vec::new(),
            passthrough_connections_max: 256,
            allow_flush: false,
        }
    }
}

impl RespConfig {
    /// As many as a connection has bits to be woken by.
    const PIPELINE_CEILING: usize = super::wake::SLOTS_MAX;

    /// Checks every value.
    ///
    /// # Errors
    /// `InvalidArgument`; the message begins with the path of the value and names the fix.
    pub fn validate(&self) -> Result<()> {
        self.validate_with(self.password.is_some())
    }

    /// The same; `guarded`: nobody comes in without a password or a certificate, whatever stands in this section.
    ///
    /// # Errors
    /// As `validate`.
    pub fn validate_with(&self, guarded: bool) -> Result<()> {
        let refuse = |condition: bool, problem: &str| match condition {
            true => Err(Error::new(ErrorKind::InvalidArgument, format!("resp.{problem}"))),
            false => Ok(()),
        };
        let listen = self.address()?;
        let between = |value: usize, max: usize| (1..=max).contains(&value);
        refuse(
            !listen.ip().is_loopback() && !guarded,
            &format!(
                "listen: {listen} is reachable from elsewhere: set resp.password_file, users with passwords, or \
                 tls.client_ca_file, or listen on 127.0.0.1"
            ),
        )?;
        refuse(
            self.password.as_deref() == Some(""),
            "password: is empty; leave it out or set one",
        )?;
        refuse(self.subscriber_buffer_max < 64 << 10, "subscriber_buffer_max: is at least 64KiB")?;
        refuse(self.passthrough_connections_max == 0, "passthrough_connections_max: is above 0")?;
        refuse(self.connections_max == 0, "connections_max: is above 0")?;
        refuse(!between(self.args_max, Limits::ARGS_MAX), "args_max: is between 1 and 1048576")?;
        refuse(
            !between(self.pipeline_max, Self::PIPELINE_CEILING),
            "pipeline_max: is between 1 and 128",
        )?;
        refuse(
            self.bulk_max == 0 || self.bulk_max > 512 << 20,
            "bulk_max: is between 1B and 512MiB",
        )?;
        refuse(
            self.frame_max < self.bulk_max || self.frame_max > 1 << 30,
            "frame_max: is between bulk_max and 1GiB",
        )?;
        refuse(self.output_max < 1 << 20, "output_max: is at least 1MiB")?;
        refuse(
            self.connections_per_address == Some(0),
            "connections_per_address: is above 0, or left out",
        )?;
        refuse(self.buffers_max < 1 << 20, "buffers_max: is at least 1MiB")?;
        refuse(self.request_timeout.is_zero(), "request_timeout: is above 0")?;
        refuse(self.send_timeout.is_zero(), "send_timeout: is above 0")?;
        refuse(self.idle_timeout == Some(Duration::ZERO), "idle_timeout: is above 0, or left out")
    }

    /// `listen`, read.
    ///
    /// # Errors
    /// `InvalidArgument` when it is not `ADDRESS:PORT`.
    pub fn address(&self) -> Result<SocketAddr> {
        address::parse(&self.listen, 6390).map_err(|problem| {
            Error::new(ErrorKind::InvalidArgument, format!("resp.listen: {problem}"))
        })
    }

    /// What a request is held to once the client has authenticated.
    pub(super) fn limits(&self) -> Limits {
        let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        Limits {
            args_max: self.args_max,
            bulk_max: bytes(self.bulk_max),
            frame_max: bytes(self.frame_max),
            unauthenticated: false,
        }
    }
}

fn redacted<S: Serializer>(
    secret: &Option<String>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    secret.as_ref().map(|_| "***").serialize(serializer)
}

impl fmt::Debug for RespConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RespConfig")
            .field("listen", &self.listen)
            .field("connections_max", &self.connections_max)
            .field("connections_per_address", &self.connections_per_address)
            .field("args_max", &self.args_max)
            .field("bulk_max", &self.bulk_max)
            .field("frame_max", &self.frame_max)
            .field("pipeline_max", &self.pipeline_max)
            .field("output_max", &self.output_max)
            .field("buffers_max", &self.buffers_max)
            .field("request_timeout", &self.request_timeout)
            .field("send_timeout", &self.send_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("subscriber_buffer_max", &self.subscriber_buffer_max)
            .field("passthrough", &self.passthrough)
            .field("passthrough_backend", &self.passthrough_backend)
            .field("passthrough_allow", &self.passthrough_allow)
            .field("passthrough_connections_max", &self.passthrough_connections_max)
            .field("allow_flush", &self.allow_flush)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_goes_without_a_password() {
        RespConfig::default().validate().unwrap();
        let open = RespConfig { listen: "0.0.0.0:6390".parse().unwrap(), ..RespConfig::default() };
        assert!(open.validate().unwrap_err().message().starts_with("resp.listen: "));
        let guarded = RespConfig { password: Some("geheim".to_owned()), ..open };
        guarded.validate().unwrap();
        let shown = format!("{guarded:?}{}", serde_json::to_string(&guarded).unwrap());
        assert!(!shown.contains("geheim"), "{shown}");
    }

    #[test]
    fn values_are_read_with_units_and_unknown_names_refused() {
        let read = |text: &str| serde_json::from_str::<RespConfig>(text);
        let config = read(r#"{"bulk_max": "1MiB", "idle_timeout": "5m"}"#).unwrap();
        assert_eq!(
            (config.bulk_max, config.idle_timeout),
            (1 << 20, Some(Duration::from_secs(300)))
        );
        assert!(read(r#"{"bulk_max": 1}"#).is_err());
        assert!(read(r#"{"port": 1}"#).is_err());
        for config in [
            RespConfig { pipeline_max: 129, ..RespConfig::default() },
            RespConfig { frame_max: 1, ..RespConfig::default() },
            RespConfig { connections_max: 0, ..RespConfig::default() },
            RespConfig { connections_per_address: Some(0), ..RespConfig::default() },
            RespConfig { buffers_max: 1, ..RespConfig::default() },
            RespConfig { request_timeout: Duration::ZERO, ..RespConfig::default() },
            RespConfig { send_timeout: Duration::ZERO, ..RespConfig::default() },
        ] {
            assert_eq!(config.validate().unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
    }
}
