//! From the configuration's names to the table: routes as written, and the default route from what is configured.
//! It must not know more of a node than its name and whether it is shared and durable.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use bytes::Bytes;

use super::{Built, Consistency, NodeId, Route, Select, Shape, Source, Table, misrouted};
use crate::{
    config::{Config, OnRecordDown, RouteConfig},
    live::{LiveDuration, LiveLimit},
};

/// A copy in a cache lives at most this long unless the route says otherwise.
const COPY_TTL_MAX: Duration = Duration::from_secs(3600);

/// As long as copies live.
const STALE_IF_ERROR: Duration = COPY_TTL_MAX;

/// Where nothing tells of changes.
const L1_TTL: Duration = Duration::from_secs(1);

/// What the table needs to know of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeInfo {
    /// Its configured name.
    pub(crate) name: Arc<str>,
    /// Whether an acknowledged write survives a crash of the engine: it can be a record.
    pub(crate) durable: bool,
    /// Whether other processes see what is written.
    pub(crate) shared: bool,
    /// Whether it can hold copies that are kept true.
    pub(crate) copies: bool,
    /// Whether it can be a record with a cache before it.
    pub(crate) control: bool,
    /// The longest life of anything it holds.
    pub(crate) ttl_max: Option<Duration>,
}

/// Builds the table. `nodes` are all nodes in the order of their ids, the memory node last.
///
/// # Errors
/// `InvalidArgument` for a route that names an unknown node, or a record that is not durable.
pub(crate) fn build(config: &Config, nodes: &[NodeInfo]) -> Built {
    let by_name: BTreeMap<&str, NodeId> =
        nodes.iter().enumerate().map(|(id, node)| (&*node.name, id)).collect();
    let mut routes = Vec::new();
    for (index, route) in config.routes.iter().enumerate() {
        routes.push(resolve(&format!("route[{index}]"), route, nodes, &by_name)?);
    }
    if !routes.iter().any(|route| route.prefix.is_empty()) {
        routes.push(Route {
            shape: default_shape(nodes),
            label: Arc::from("*"),
            ttl_max: vec![LiveLimit::new(None); nodes.len()],
            ..Route::empty()
        });
    }
    routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
    for (id, route) in routes.iter_mut().enumerate() {
        route.id = id;
        cap_copies(route, nodes);
    }
    if let Some(pair) = routes.windows(2).find(|pair| pair[0].prefix == pair[1].prefix) {
        return Err(misrouted(
            "route",
            &format!("two routes take the prefix {:?}", pair[0].prefix),
        ));
    }
    Ok(Table { routes: routes.into_iter().map(Arc::new).collect() })
}

impl Route {
    fn empty() -> Self {
        Self {
            id: 0,
            prefix: Bytes::new(),
            label: Arc::from("*"),
            shape: Shape::Failover { backends: Vec::new(), select: Select::Failover },
            ttl: LiveLimit::new(None),
            ttl_max: Vec::new(),
            default: ArcSwapOption::empty(),
            consistency: Consistency::Bounded,
            stale_if_error: LiveDuration::new(STALE_IF_ERROR),
            l1_ttl: LiveLimit::new(None),
            journal: false,
            source: None,
            raw: None,
        }
    }
}

fn resolve(
    path: &str,
    config: &RouteConfig,
    nodes: &[NodeInfo],
    by_name: &BTreeMap<&str, NodeId>,
) -> Result<Route> {
    let find = |name: &String| {
        by_name
            .get(name.as_str())
            .copied()
            .ok_or_else(|| misrouted(path, &format!("names `{name}`, which is not a backend")))
    };
    let shape = shape_of(path, config, nodes, &find)?;
    let ttl_max = vec![LiveLimit::new(None); nodes.len()];
    for (name, ttl) in &config.ttl_max {
        ttl_max[find(name)?].set(Some(*ttl));
    }
    let source = config.source.as_ref();
    let source = source.map(|source| Source::resolve(path, &config.prefix, source)).transpose()?;
    let alone = matches!(shape, Shape::Record { cache: None, l1: true, .. });
    let label = if config.prefix.is_empty() { "*" } else { &config.prefix };
    Ok(Route {
        id: 0,
        prefix: Bytes::from(config.prefix.clone()),
        label: Arc::from(label),
        shape,
        ttl: LiveLimit::new(config.ttl),
        ttl_max,
        default: default_of(config).map(|text| Arc::new(Bytes::from(text))).into(),
        consistency: config.consistency,
        stale_if_error: LiveDuration::new(match config.consistency {
            Consistency::Strict => Duration::ZERO,
            Consistency::Bounded => config.stale_if_error.unwrap_or(STALE_IF_ERROR),
        }),
        l1_ttl: LiveLimit::new(config.l1_ttl.or(alone.then_some(L1_TTL))),
        journal: config.on_record_down == OnRecordDown::Journal,
        source: source.map(Arc::new),
        raw: config.passthrough.as_ref().map(find).transpose()?,
    })
}

/// Who serves a route, by its configuration.
fn shape_of(
    path: &str,
    config: &RouteConfig,
    nodes: &[NodeInfo],
    find: &dyn Fn(&String) -> Result<NodeId>,
) -> Result<Shape> {
    let all = |names: &[String]| names.iter().map(find).collect::<Result<Vec<_>>>();
    Ok(match config.truth() {
        Some(record) => {
            let record = find(record)?;
            if !nodes[record].durable {
                let name = &nodes[record].name;
                return Err(misrouted(
                    path,
                    &format!(
                        "`{name}` cannot be a record: it forgets; name it under `backends` of a failover route"
                    ),
                ));
            }
            if config.on_record_down == OnRecordDown::Journal && !nodes[record].control {
                let name = &nodes[record].name;
                return Err(misrouted(
                    path,
                    &format!(
                        "`{name}` cannot take journaled writes: it keeps no account of what was applied; leave out `on_record_down`"
                    ),
                ));
            }
            let (cache, l1) = split_caches(path, &all(&config.cache)?, record, nodes)?;
            Shape::Record { cache, record, l1 }
        }
        None if config.passthrough.is_some() => {
            Shape::Failover { backends: all(config.passthrough.as_slice())?, select: config.select }
        }
        None => Shape::Failover {
            backends: with_memory(all(&config.backends)?, nodes),
            select: config.select,
        },
    })
}

/// Of the route or of its source: both names mean the same.
fn default_of(config: &RouteConfig) -> Option<String> {
    let of_source = config.source.as_ref().and_then(|source| source.default.clone());
    config.default.clone().or(of_source)
}

/// The one cache whose copies are kept true, and whether memory stands before it.
fn split_caches(
    path: &str,
    caches: &[NodeId],
    record: NodeId,
    nodes: &[NodeInfo],
) -> Result<(Option<NodeId>, bool)> {
    let memory = nodes.len() - 1;
    let mut others = caches.iter().copied().filter(|id| *id != memory);
    let cache = others.next();
    if let Some(second) = others.next() {
        let name = &nodes[second].name;
        return Err(misrouted(
            path,
            &format!("`{name}` is a second cache: one beside `memory` is kept true; leave it out"),
        ));
    }
    if let Some(id) = cache.filter(|id| !nodes[*id].copies) {
        let name = &nodes[id].name;
        return Err(misrouted(path, &format!("`{name}` cannot be a cache: it has no marks")));
    }
    if cache.is_some() && !nodes[record].control {
        let name = &nodes[record].name;
        return Err(misrouted(
            path,
            &format!("`{name}` cannot have a cache before it: it keeps no leases"),
        ));
    }
    Ok((cache, caches.contains(&memory)))
}

/// Memory stands at the end of every failover route: the last line of defence.
fn with_memory(mut backends: Vec<NodeId>, nodes: &[NodeInfo]) -> Vec<NodeId> {
    let memory = nodes.len() - 1;
    if !backends.contains(&memory) {
        backends.push(memory);
    }
    backends
}

/// A durable backend is the record (one named `db` before others); what is shared and forgets is its cache (the first of several). Without a
/// durable backend: a failover route over all, memory last.
fn default_shape(nodes: &[NodeInfo]) -> Shape {
    let durable = |id: &NodeId| nodes[*id].durable;
    let ids = 0..nodes.len();
    let record = ids.clone().filter(durable).min_by_key(|id| (&*nodes[*id].name != "db", *id));
    match record {
        Some(record) => {
            let usable = |id: &NodeId| {
                let node = &nodes[*id];
                !node.durable && node.shared && node.copies && nodes[record].control
            };
            Shape::Record { cache: ids.into_iter().find(usable), record, l1: false }
        }
        None => Shape::Failover { backends: ids.collect(), select: Select::Failover },
    }
}

fn cap_copies(route: &mut Route, nodes: &[NodeInfo]) {
    if let Shape::Record { cache, record, .. } = route.shape {
        if let Some(cache) = cache {
            let life = route.ttl_max[cache].get().unwrap_or(COPY_TTL_MAX);
            route.ttl_max[cache].set(Some(life));
        }
        // Known above, so that a copy never outlives what the record has capped.
        let cap = [route.ttl_max[record].get(), nodes[record].ttl_max].into_iter().flatten().min();
        route.ttl_max[record].set(cap);
    }
}

type Result<T> = crate::error::Result<T>;
