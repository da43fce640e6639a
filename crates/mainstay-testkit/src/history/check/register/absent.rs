//! Reads of an absent key that do not say which delete they saw.
//! It must not raise an alarm if one delete, or the beginning, can explain the read.

use std::collections::BTreeMap;

use super::super::view::View;
use super::cluster::{Cluster, Written};
use crate::history::op::{Moment, Op};

/// The clusters of a key that are in order without these reads.
pub(super) struct Absent<'c, 'a> {
    /// All deletes in the order in which they began.
    deletes: Vec<&'a Op>,
    clusters: &'c BTreeMap<Written, Cluster<'a>>,
    /// Forward zones by their begin; they do not overlap.
    forward: Vec<(Moment, Written, &'c Cluster<'a>)>,
    /// Backward zones by their begin, each with the first end of itself and those after it.
    backward: Vec<(Moment, Moment)>,
}

impl<'c, 'a> Absent<'c, 'a> {
    pub(super) fn new(view: &View<'a>, clusters: &'c BTreeMap<Written, Cluster<'a>>) -> Self {
        let mut forward = Vec::new();
        let mut backward = Vec::new();
        for (name, cluster) in clusters {
            if cluster.forward() {
                forward.push((cluster.low(), *name, cluster));
            } else {
                backward.push((cluster.low(), cluster.high()));
            }
        }
        forward.sort_by_key(|(low, name, _)| (*low, *name));
        backward.sort_by_key(|(low, _)| *low);
        for at in (1..backward.len()).rev() {
            backward[at - 1].1 = backward[at - 1].1.min(backward[at].1);
        }
        let deletes = view.deletes(Moment::MAX).collect();
        Self { deletes, clusters, forward, backward }
    }

    /// Whether the history is still in order if the read saw some one delete, or the beginning.
    pub(super) fn possible(&self, read: &'a Op) -> bool {
        // The newest is the likeliest.
        let deletes = self.before(read).iter().rev();
        let deletes = deletes.map(|delete| (Written::By(delete.id), Cluster::of(delete)));
        let beginning = [(Written::Nothing, Cluster::beginning())];
        deletes.chain(beginning).any(|(name, alone)| {
            let cluster = self.clusters.get(&name).unwrap_or(&alone).with(read);
            self.fits(name, &cluster)
        })
    }

    /// The clusters that a read of the newest delete would collide with, for the explanation.
    pub(super) fn around(&self, read: &'a Op) -> Vec<&'a Op> {
        let zones = self
            .forward
            .iter()
            .filter(|(_, _, zone)| zone.low() < read.finish() && read.invoked < zone.high());
        let ops = zones.take(2).flat_map(|(_, _, zone)| zone.proof());
        ops.chain(self.before(read).last().copied()).collect()
    }

    fn before(&self, read: &Op) -> &[&'a Op] {
        &self.deletes[..self.deletes.partition_point(|delete| delete.invoked < read.finish())]
    }

    /// Whether `cluster` fits in if it takes the place of the one of that name.
    fn fits(&self, name: Written, cluster: &Cluster<'a>) -> bool {
        // Forward zones do not overlap: only those around the begin and up to the end can collide.
        let begun = self.forward.partition_point(|(low, ..)| *low < cluster.low());
        let before = self.forward[..begun].iter().rev().filter(|(_, of, _)| *of != name).take(1);
        let after = self.forward[begun..].iter().filter(|(_, of, _)| *of != name).take(1);
        if before.chain(after).any(|(_, _, zone)| zone.conflicts(cluster)) {
            return false;
        }
        if !cluster.forward() {
            return true;
        }
        // The place it takes is not among them: with a read it never reaches around its own backward zone.
        let later = self.backward.partition_point(|(low, _)| *low <= cluster.low());
        self.backward.get(later).is_none_or(|(_, first_end)| *first_end >= cluster.high())
    }
}
