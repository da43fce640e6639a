//! The limits of the front doors by their names in the configuration, and how often each refused.
//! It must not know how a limit is held, nor what its client is told.

mod budget;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

pub(crate) use budget::{Budget, Share};

use crate::admission::Admission;

/// One limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    RespConnections,
    RespPerAddress,
    RespArgs,
    RespBulk,
    RespFrame,
    RespUnauthenticated,
    RespOutput,
    RespBuffers,
    RespRequestTimeout,
    RespSendTimeout,
    RespIdleTimeout,
    HttpConnections,
    HttpPerAddress,
    HttpHead,
    HttpHeaderTimeout,
    HttpBody,
    HttpBodyTimeout,
    HttpBodies,
    HttpSendTimeout,
    HttpStreams,
}

impl Limit {
    /// Those of RESP.
    pub(crate) const RESP: [Self; 11] = [
        Self::RespConnections,
        Self::RespPerAddress,
        Self::RespArgs,
        Self::RespBulk,
        Self::RespFrame,
        Self::RespUnauthenticated,
        Self::RespOutput,
        Self::RespBuffers,
        Self::RespRequestTimeout,
        Self::RespSendTimeout,
        Self::RespIdleTimeout,
    ];

    /// Those of HTTP.
    pub(crate) const HTTP: [Self; 9] = [
        Self::HttpConnections,
        Self::HttpPerAddress,
        Self::HttpHead,
        Self::HttpHeaderTimeout,
        Self::HttpBody,
        Self::HttpBodyTimeout,
        Self::HttpBodies,
        Self::HttpSendTimeout,
        Self::HttpStreams,
    ];

    /// The label of the metric: the key of the configuration, or a word where there is none.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::RespConnections => "resp.connections_max",
            Self::RespPerAddress => "resp.connections_per_address",
            Self::RespArgs => "resp.args_max",
            Self::RespBulk => "resp.bulk_max",
            Self::RespFrame => "resp.frame_max",
            Self::RespUnauthenticated => "resp.unauthenticated",
            Self::RespOutput => "resp.output_max",
            Self::RespBuffers => "resp.buffers_max",
            Self::RespRequestTimeout => "resp.request_timeout",
            Self::RespSendTimeout => "resp.send_timeout",
            Self::RespIdleTimeout => "resp.idle_timeout",
            Self::HttpConnections => "http.connections_max",
            Self::HttpPerAddress => "http.connections_per_address",
            Self::HttpHead => "http.header_max",
            Self::HttpHeaderTimeout => "http.header_timeout",
            Self::HttpBody => "http.body",
            Self::HttpBodyTimeout => "http.body_timeout",
            Self::HttpBodies => "http.bodies_max",
            Self::HttpSendTimeout => "http.send_timeout",
            Self::HttpStreams => "http.streams_max",
        }
    }
}

const COUNT: usize = Limit::RESP.len() + Limit::HTTP.len();

/// How often each limit refused.
#[derive(Debug, Default)]
pub(crate) struct Refusals([AtomicU64; COUNT]);

impl Refusals {
    /// Once more.
    pub(crate) fn count(&self, limit: Limit) {
        if let Some(count) = self.0.get(limit as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Since start.
    pub(crate) fn of(&self, limit: Limit) -> u64 {
        self.0.get(limit as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

/// What one door holds, and what it refused. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) name: &'static str,
    pub(crate) limits: &'static [Limit],
    pub(crate) admission: Admission,
    pub(crate) buffers: Arc<Budget>,
    pub(crate) refusals: Arc<Refusals>,
}

impl Door {
    pub(crate) fn new(
        name: &'static str,
        limits: &'static [Limit],
        admission: Admission,
        buffers_max: u64,
    ) -> Self {
        let (buffers, refusals) = (Arc::new(Budget::new(buffers_max)), Arc::default());
        Self { name, limits, admission, buffers, refusals }
    }

    /// Other bounds, from now on: who is over a lower one stays until the end, or until it grows.
    pub(crate) fn set_limits(&self, max: usize, per_address: Option<usize>, buffers_max: u64) {
        self.admission.set_max(max);
        self.admission.set_per_address(per_address);
        self.buffers.set_max(buffers_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_counts_for_itself() {
        let refusals = Refusals::default();
        for limit in Limit::RESP.into_iter().chain(Limit::HTTP) {
            assert_eq!(refusals.of(limit), 0, "{limit:?} shares its count");
            refusals.count(limit);
            assert_eq!(refusals.of(limit), 1, "{limit:?} is not counted");
        }
    }
}
