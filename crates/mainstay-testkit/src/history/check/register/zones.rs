//! Which clusters of a key cannot be put in one order.
//! It must not know calls.

use super::cluster::Cluster;

/// Pairs of clusters that exclude each other; none if and only if the history is linearizable (Gibbons and Korach,
/// “Testing shared memories”, 1997): forward zones may not overlap, and no backward zone may lie within a forward one.
pub(super) fn conflicts<'c, 'a: 'c>(
    clusters: impl Iterator<Item = &'c Cluster<'a>>,
) -> Vec<(&'c Cluster<'a>, &'c Cluster<'a>)> {
    let (mut forward, backward): (Vec<_>, Vec<_>) = clusters.partition(|cluster| cluster.forward());
    forward.sort_by_key(|cluster| cluster.low());
    let mut found = Vec::new();
    let mut longest: Option<&Cluster<'_>> = None;
    // In the order of begins; each with the one that ends last of itself and those before it.
    let mut reach: Vec<&Cluster<'_>> = Vec::with_capacity(forward.len());
    for cluster in forward.iter().copied() {
        if let Some(before) = longest.filter(|before| before.conflicts(cluster)) {
            found.push((before, cluster));
        }
        if longest.is_none_or(|before| before.high() < cluster.high()) {
            longest = Some(cluster);
        }
        reach.extend(longest);
    }
    for cluster in backward {
        let begun = forward.partition_point(|zone| zone.low() < cluster.low());
        let around = begun.checked_sub(1).map(|at| reach[at]);
        if let Some(zone) = around.filter(|zone| zone.conflicts(cluster)) {
            found.push((zone, cluster));
        }
    }
    found
}
