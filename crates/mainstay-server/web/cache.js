// What the caches spare the records: who answered reads, how each cache stands, what loads cost.

import { h, s, say, bytes, count, percent, span, whole, figures, refill, scrolling } from "./dom.js";
import { chain, edge } from "./samples.js";

const WINDOW = 60;
/** As many as the stylesheet has, in the order of the backends. */
const COLOURS = 6;
const PHASES = { up: ["serves", "ok"], suspect: ["does not answer, its lease lasts", "warn"], down: ["no copies are read", "bad"], probing: ["answers, has no lease yet", "warn"], readmitting: ["is begun anew", "warn"], warming: ["serves a growing share", "warn"] };
const KINDS = { own: "this process", shared: "shared cache", record: "record" };

export class CacheView {
  #split = h("div", { class: "splits" });
  #splitNote = h("p", { class: "note" }, "Reads of the last minute, by who answered");
  #caches = h("div", { class: "sections" });
  #loads = scrolling("Loads", ["Route", "Found", "Known absent", "Loads", "Failed", "Joined", "Left to others", "Ahead", "Stale served", "Defaults", "Shed: no cache", "Shed: database full", "Invalidated"], "cards");
  #loadPanel;
  #bars = new Map();

  constructor(panel) {
    this.#loadPanel = h("section", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, "Loads since the start"), h("p", { class: "note" }, "of loaders and source routes; joined: reads that waited for a load of another")), this.#loads.root);
    panel.append(h("section", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, "Who answers reads"), this.#splitNote), this.#split), this.#caches, this.#loadPanel);
  }

  show(status, samples) {
    const places = new Map(status.backends.map((backend, at) => [backend.name, `series-${at % COLOURS}`]));
    this.#showSplits(status, samples.recent(WINDOW), places);
    this.#showCaches(status);
    this.#showLoads(status.loads);
  }

  #showSplits(status, recent, places) {
    const routes = status.routes.filter((route) => chain(route).record !== null);
    const names = routes.map((route) => route.prefix);
    if (names.length !== this.#bars.size || !names.every((name) => this.#bars.has(name))) {
      this.#bars = new Map(routes.map((route) => [route.prefix, splitBar(route)]));
      this.#split.replaceChildren(...[...this.#bars.values()].map((bar) => bar.root));
      if (routes.length === 0) this.#split.append(h("p", { class: "hint" }, "No route has a record, so none has a cache before one."));
    }
    for (const route of routes) this.#bars.get(route.prefix).update(parts(route, recent, places));
  }

  #showCaches({ caches, l1 }) {
    const all = [...caches.map(cachePanel), ...(l1 ? [{ id: "l1", head: "Values of this process", chip: null, items: l1Rows(l1) }] : [])];
    const key = JSON.stringify(all.map(({ id }) => id));
    refill(this.#caches, key, () => all.map(({ head }) => h("section", { class: "panel part" }, h("div", { class: "head" }, h("h2", {}, head), h("span", {})), h("p", { class: "note" }), h("dl", { class: "figures" }))));
    all.forEach(({ chip, reason, items }, at) => {
      const [head, note, list] = this.#caches.children[at].children;
      if (chip) {
        head.lastChild.className = `chip ${chip[1]}`;
        say(head.lastChild, chip[0]);
      }
      say(note, reason ?? "");
      note.hidden = !reason;
      figures(list, items);
    });
  }

  #showLoads(loads) {
    this.#loadPanel.hidden = loads.length === 0;
    refill(this.#loads.body, JSON.stringify(loads), () => loads.map((load) => {
      const cells = [["Route", h("code", {}, load.route)], ["Found", load.hits], ["Known absent", load.negative_hits], ["Loads", load.loads], ["Failed", load.load_errors], ["Joined", load.joined], ["Left to others", load.shared], ["Ahead", load.refreshes],
        ["Stale served", load.stale], ["Defaults", load.defaults], ["Shed: no cache", load.shed_cache_unavailable], ["Shed: database full", load.shed_database_saturated], ["Invalidated", load.invalidations]];
      return h("tr", {}, cells.map(([label, value]) => h("td", { "data-label": label, class: typeof value === "number" ? "number" : "" }, typeof value === "number" ? whole(value) : value)));
    }));
  }
}

/** Reads of one route by who answered, own memory first. */
function parts(route, recent, places) {
  const { caches, record } = chain(route);
  const of = (name) => recent?.delta.readEdges[edge(route.prefix, name)] ?? 0;
  const part = (name, kind) => ({ name, kind, look: places.get(name) ?? "trough", reads: of(name) });
  return [...caches.map((name) => part(name, name === "memory" ? "own" : "shared")), part(record, "record")];
}

function splitBar(route) {
  const text = h("span", { class: "note" });
  const bar = s("svg", { class: "split", viewBox: "0 0 1000 14", preserveAspectRatio: "none", "aria-hidden": "true" });
  const legend = h("ul", { class: "legend plain-list" });
  const update = (all) => {
    const reads = all.reduce((sum, part) => sum + part.reads, 0);
    say(text, reads > 0 ? `${count(reads / WINDOW)} reads/s` : "no reads");
    let x = 0;
    bar.replaceChildren(...all.filter((part) => part.reads > 0).map(({ kind, look, reads: own }) => {
      const width = (own / reads) * 1000;
      x += width;
      return s("rect", { class: `${look} ${kind}`, x: (x - width).toFixed(1), width: Math.max(1, width - 2).toFixed(1), height: 14 });
    }), ...(reads === 0 ? [s("rect", { class: "trough", width: 1000, height: 14 })] : []));
    refill(legend, JSON.stringify(all), () => all.map(({ name, kind, look, reads: own }) => h("li", {}, s("svg", { width: 12, height: 12, "aria-hidden": "true" }, s("rect", { class: look, width: 12, height: 12, rx: 2 })),
      `${name} (${KINDS[kind]})`, h("b", {}, reads > 0 ? percent(own / reads) : "–"))));
  };
  return { root: h("div", { class: "splitter" }, h("h3", {}, h("code", {}, route.prefix)), text, bar, legend), update };
}

function cachePanel(cache) {
  const asked = cache.hits + cache.misses;
  const [words, look] = PHASES[cache.phase] ?? [cache.phase, "off"];
  return {
    id: `${cache.cache} ${cache.record} ${cache.l1 !== undefined}`,
    head: `${cache.cache} before ${cache.record}`,
    chip: [`${cache.phase}: ${words}, for ${span(cache.since_ms)}`, look],
    reason: cache.readable ? "" : `Copies are not read: ${cache.reason || "not yet"}`,
    items: [
      ["Hit rate", percent(asked > 0 ? cache.hits / asked : null), `${whole(cache.hits)} of ${whole(asked)} since the start`],
      ["To catch up", whole(cache.dirty_keys), "keys written around it", cache.dirty_keys > 0 ? "warn" : ""],
      ["Written around", whole(cache.writes_around), "writes of this process"],
      ["Caught up", whole(cache.drained_keys), "keys, for every process"],
      ["Begun anew", whole(cache.readmissions), `generation ${whole(cache.generation)}, epoch ${whole(cache.epoch)}`],
      ["Audited", whole(cache.audited_keys), `${whole(cache.inconsistent_keys)} were wrong`, cache.inconsistent_keys > 0 ? "bad" : ""],
      ["Evicts marks", cache.evicts ? "yes" : "no", cache.evicts ? "set noeviction or a volatile policy" : "its memory policy keeps them", cache.evicts ? "warn" : ""],
      ...(cache.l1 ? l1Rows(cache.l1) : []),
    ],
  };
}

function l1Rows(l1) {
  const asked = l1.hits + l1.misses;
  return [
    ["Own values", whole(l1.entries), `${bytes(l1.bytes)} of ${bytes(l1.max)}, ${whole(l1.evictions)} evicted`],
    ["Own hit rate", percent(asked > 0 ? l1.hits / asked : null), `${whole(l1.hits)} of ${whole(asked)}`],
    ["Told of changes", l1.feed === "none" ? "no" : l1.feed, l1.reason || (l1.feed === "none" ? "values live by their time alone" : "by the cache"), l1.feed === "broken" ? "warn" : ""],
  ];
}
