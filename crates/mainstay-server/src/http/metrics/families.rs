//! Families of samples, and the labels they share.
//! It must not know what is counted.

use std::fmt;

use mainstay::status::{BackendStatus, Health, LatencySnapshot};
use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet},
    metrics::MetricType,
};

pub(super) const NONE: [(&str, &str); 0] = [];
pub(super) const HEALTHS: [Health; 3] = [Health::Up, Health::Degraded, Health::Down];

pub(super) fn backend(backend: &BackendStatus) -> [(&str, &str); 1] {
    [("backend", &backend.name)]
}

pub(super) fn with<'a>(
    backend: &'a BackendStatus,
    name: &'a str,
    value: &'a str,
) -> [(&'a str, &'a str); 2] {
    [("backend", &backend.name), (name, value)]
}

pub(super) fn flag(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

#[expect(clippy::cast_precision_loss, reason = "counts of calls at once are far below 2^53")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

/// Writes families of samples.
pub(super) struct Families<'a>(DescriptorEncoder<'a>);

impl<'a> Families<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    pub(super) fn gauge<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in samples {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// The name stands without `_total`, which the encoder adds.
    pub(super) fn counter<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in samples {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, f64>(&value, None)?;
        }
        Ok(())
    }

    pub(super) fn histogram<'l, L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, &'l LatencySnapshot)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, latency) in samples {
            let buckets = increments(latency);
            family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                latency.sum_seconds,
                latency.count,
                &buckets,
                None,
            )?;
        }
        Ok(())
    }
}

/// Cumulative counts as counts per bucket, the last one without bound.
fn increments(latency: &LatencySnapshot) -> Vec<(f64, u64)> {
    let bounded = latency.buckets.iter().filter(|(bound, _)| bound.is_finite());
    let mut below = 0;
    let mut buckets = Vec::with_capacity(latency.buckets.len() + 1);
    for (bound, count) in bounded {
        buckets.push((*bound, count.saturating_sub(below)));
        below = below.max(*count);
    }
    buckets.push((f64::INFINITY, latency.count.saturating_sub(below)));
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_counted_once() {
        let latency =
            LatencySnapshot { buckets: vec![(0.1, 2), (0.5, 5)], count: 6, sum_seconds: 1.5 };
        assert_eq!(increments(&latency), [(0.1, 2), (0.5, 3), (f64::INFINITY, 1)]);
        assert_eq!(increments(&LatencySnapshot::default()), [(f64::INFINITY, 0)]);
    }
}
