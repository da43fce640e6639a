// Clients, Mainstay, its routes and the backends, and how much goes which way.

import { h, s, say, icon, twin, table, count, percent, exact, latency, span, whole } from "./dom.js";
import { bypassed, chain, edge } from "./samples.js";
import { LOOKS, stateOf, word } from "./history.js";

const WINDOW = 5;
/** Where the configuration is not known. */
const THRESHOLD = 0.5;

export class Topology {
  #figure;
  #cards = new Map();
  #routes = new Map();
  #edges = s("svg", { class: "edges", "aria-hidden": "true" });
  #clients = node("Clients");
  #self = node("Mainstay");
  #routeColumn = h("div", { class: "column routes" });
  #backendColumn = h("div", { class: "column backends" });
  #layout = h("div", { class: "layout" });
  #act;
  #last = null;

  /** `act(backend)` opens the actions of a backend. */
  constructor(section, act) {
    this.#act = act;
    this.#figure = twin(section, "Topology", "Operations a second in the last 5 s; a dashed line is a backend that is bypassed");
    this.#figure.onflip = () => this.#last && this.#draw(...this.#last);
    this.#layout.append(this.#edges, h("div", { class: "column entry" }, this.#clients.root, this.#self.root), this.#routeColumn, this.#backendColumn);
    this.#figure.drawing.append(this.#layout);
    new ResizeObserver(() => this.#last && this.#connect()).observe(this.#layout);
  }

  /** `thresholds`: by backend, the share of failures at which its breaker opens. */
  show(status, samples, colours, thresholds) {
    const [last, , lastColours] = this.#last ?? [];
    const known = last === status && `${[...lastColours.values()]}` === `${[...colours.values()]}`;
    this.#last = [status, samples, colours, thresholds];
    if (!known) this.#draw(status, samples, colours, thresholds);
  }

  #draw(status, samples, colours, thresholds) {
    const flow = samples.recent(WINDOW);
    if (this.#figure.shown) {
      this.#figure.table.replaceChildren(asTable(status, flow), routeTable(status, flow));
      return;
    }
    const rate = (total) => (flow ? (total ?? 0) / flow.seconds : 0);
    say(this.#clients.value, `${count(rate(flow?.delta.requests))} ops/s`);
    say(this.#self.value, [status.hedges ? `${status.hedges.toLocaleString("en")} hedged reads` : "", status.dirty_keys ? `${status.dirty_keys.toLocaleString("en")} copies to catch up` : "",
      status.overflowed_keys ? `${status.overflowed_keys.toLocaleString("en")} keys to move up` : ""].filter(Boolean).join(" · ") || "nothing to catch up");
    keyed(this.#routes, this.#routeColumn, status.routes, (route) => route.prefix, routeCard);
    keyed(this.#cards, this.#backendColumn, status.backends, (backend) => backend.name, (backend) => backendCard(backend, this.#act));
    for (const route of status.routes) this.#routes.get(route.prefix).update(route, rate(routeTotal(flow, route)));
    for (const backend of status.backends) this.#cards.get(backend.name).update(backend, rate(flow?.delta.sources[backend.name]), colours.get(backend.name), thresholds.get(backend.name));
    this.#connect();
  }

  #connect() {
    const [status, samples] = this.#last;
    const box = this.#layout.getBoundingClientRect();
    if (box.width === 0 || getComputedStyle(this.#edges).display === "none") return;
    const flow = samples.recent(WINDOW);
    const rate = (total) => (flow ? (total ?? 0) / flow.seconds : 0);
    const side = (root, right) => {
      const at = root.getBoundingClientRect();
      return [(right ? at.right : at.left) - box.left, at.top - box.top + at.height / 2];
    };
    const middle = (root, bottom) => {
      const at = root.getBoundingClientRect();
      return [at.left - box.left + at.width / 2, (bottom ? at.bottom : at.top) - box.top];
    };
    const down = [middle(this.#clients.root, true), middle(this.#self.root, false)];
    const lines = [{ d: `M${down[0]}L${down[1]}`, ops: rate(flow?.delta.requests), look: "" }];
    const names = status.backends.map((backend) => backend.name);
    status.routes.forEach((route, row) => {
      const card = this.#routes.get(route.prefix).root;
      const [x, y] = side(this.#self.root, true);
      lines.push({ d: curve([x, y + apart(row, status.routes.length, 7)], side(card, false)), ops: rate(routeTotal(flow, route)), look: "" });
      const own = names.filter((name) => chain(route).names.includes(name));
      own.forEach((name, at) => {
        const backend = status.backends.find((each) => each.name === name);
        const [x1, y1] = side(card, true);
        const [x2, y2] = side(this.#cards.get(name).root, false);
        const from = [x1, y1 + apart(at, own.length, 18)];
        const to = [x2, y2 + apart(row, status.routes.length, 11)];
        lines.push({ d: curve(from, to), ops: rate(flow?.delta.edges[edge(route.prefix, name)]), look: bypassed(backend) ? "bypassed" : "", at: [from[0] + 10, from[1] - 9] });
      });
    });
    this.#edges.setAttribute("viewBox", `0 0 ${box.width} ${box.height}`);
    this.#edges.replaceChildren(...lines.map(line), ...lines.filter((each) => each.at && each.ops > 0 && !each.look).map(label));
  }
}

/** From the right of one box to the left of another. */
function curve([x1, y1], [x2, y2]) {
  const bend = (x2 - x1) / 2;
  return `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
}

function line({ d, ops, look }) {
  const width = look ? 2 : ops > 0 ? Math.min(12, 1.5 + 2.2 * Math.log10(1 + ops)) : 1.2;
  return s("path", { d, class: `edge ${look} ${ops > 0 ? "busy" : ""}`, "stroke-width": width.toFixed(1) });
}

function label({ at: [x, y], ops }) {
  return s("text", { x, y: y + 4 }, `${count(ops)}/s`);
}

/** How far the line with this number runs from the middle of so many. */
function apart(at, of, gap) {
  return (at - (of - 1) / 2) * gap;
}

function routeTotal(flow, route) {
  let total = 0;
  for (const [way, operations] of Object.entries(flow?.delta.edges ?? {})) if (way.startsWith(`${route.prefix}\n`)) total += operations;
  return total;
}

/** Keeps one card for each item, so that focus and selection survive an update. */
function keyed(cards, column, items, key, make) {
  const names = items.map(key);
  if (names.length === cards.size && names.every((name) => cards.has(name))) return;
  cards.clear();
  for (const item of items) cards.set(key(item), make(item));
  column.replaceChildren(...[...cards.values()].map((card) => card.root));
}

function node(title) {
  const value = h("span", { class: "note" });
  return { root: h("div", { class: "node" }, h("h3", {}, title), value), value };
}

function routeCard(route) {
  const state = h("span", { class: "chip" });
  const ops = h("span", { class: "ops" });
  const root = h("div", { class: "node route", title: route.promise }, h("h3", {}, h("code", {}, route.prefix)), ops, state, h("span", { class: "note" }, route.description.replaceAll("->", "→").replace("(record)", " (record)")));
  const update = ({ readable, writable }, rate) => {
    say(ops, `${count(rate)} ops/s`);
    say(state, readable ? (writable ? "reads and writes" : "reads only") : writable ? "writes only" : "not served");
    state.className = `chip ${readable && writable ? "ok" : readable || writable ? "warn" : "bad"}`;
  };
  return { root, update };
}

/** The state of a backend as everyone is shown it. */
export function view(backend) {
  const state = stateOf({ drained: backend.drained, health: backend.health, breaker: backend.breaker.state });
  return { state, look: LOOKS[state], word: word(state) };
}

function meter(label) {
  const bar = s("rect", { height: 4, rx: 2, width: 0 });
  const tick = s("path", { class: "tick" });
  const text = h("dd", {});
  const drawn = s("svg", { class: "meter", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" }, s("rect", { class: "trough", width: 100, height: 4, rx: 2 }), bar, tick);
  const set = (words, share, threshold) => {
    say(text, words);
    bar.setAttribute("width", String(Math.min(100, share * 100)));
    bar.classList.toggle("over", threshold !== undefined && share >= threshold);
    if (threshold !== undefined) tick.setAttribute("d", `M${threshold * 100} 0V4`);
  };
  return { parts: [h("dt", {}, label), h("div", { class: "cell" }, text, drawn)], set };
}

function pair(label, cls = "") {
  const text = h("dd", { class: cls });
  return { parts: [h("dt", {}, label), text], text };
}

function backendCard(backend, act) {
  const mark = h("span", { class: "mark" });
  const state = h("strong", { class: "word" });
  const chips = h("span", { class: "chips" });
  const ops = h("span", { class: "ops" });
  const swatch = h("i", { class: "swatch", "aria-hidden": "true" });
  const fails = meter("Failures");
  const flight = meter("In flight");
  const [breaker, time, link, error] = [pair("Breaker"), pair("p50 / p99"), pair("Connection"), pair("Last error", "error")];
  const button = h("button", { type: "button", onclick: () => act(backend.name), "aria-label": `Actions for ${backend.name}` }, "Actions");
  const root = h("div", { class: "node backend" },
    h("div", { class: "title" }, mark, h("h3", {}, backend.name), h("span", { class: "note" }, backend.engine), state, chips, h("span", { class: "end" }, swatch, ops, button)),
    h("dl", {}, [breaker, fails, flight, time, link, error].flatMap((each) => each.parts)));
  let shown = "";
  const update = (now, rate, colour, threshold = THRESHOLD) => {
    const { look, word: words } = view(now);
    if (shown !== look) mark.replaceChildren(icon(look));
    shown = look;
    root.dataset.look = look;
    swatch.style.background = colour;
    say(state, words);
    putChips(chips, now);
    say(ops, `${count(rate)} ops/s`);
    say(breaker.text, breakerWords(now));
    const { failures, calls } = now.breaker;
    fails.set(calls > 0 ? `${percent(failures / calls)} of ${whole(calls)}, opens at ${Math.round(threshold * 100)} %` : "no calls lately", calls > 0 ? failures / calls : 0, threshold);
    flight.set(`${now.inflight} of ${now.inflight_max.toLocaleString("en")}${now.queued > 0 ? `, ${now.queued} waiting` : ""}`, now.inflight_max > 0 ? now.inflight / now.inflight_max : 0);
    say(time.text, `${latency(now.latency_p50_ms)} / ${latency(now.latency_p99_ms)}`);
    say(link.text, linkWords(now));
    say(error.text, now.last_error ? `${now.last_error.message} · ${span(now.last_error.age_ms)} ago` : "none");
  };
  return { root, update };
}

/** What a hand has done beside what would be without it, and what else wants a look. */
function putChips(chips, { breaker, drained, drained_for_ms: drainedFor, health, injected, reconnect }) {
  const wanted = [];
  const left = (ms) => `${exact(Math.ceil(ms / 1000) * 1000)} left`;
  if (injected) wanted.push([`drill: ${injected.fault}, ${left(injected.left_ms)}`, "warn"]);
  const told = !drained && breaker.state === "isolated";
  if (breaker.forced) wanted.push([[told ? "" : `breaker forced ${breaker.state === "isolated" ? "open" : "closed"}`, breaker.forced_for_ms === undefined ? "" : left(breaker.forced_for_ms)].filter(Boolean).join(", ") || "until it is given back", "off"]);
  if (drainedFor !== undefined) wanted.push([left(drainedFor), "off"]);
  if (breaker.forced || drained) wanted.push([`health: ${health}`, "off"]);
  if (!reconnect.connected && reconnect.stuck_resets_total > 0) wanted.push([`stuck, rebuilt ${reconnect.stuck_resets_total} ×`, "warn"]);
  const key = JSON.stringify(wanted);
  if (chips.dataset.now === key) return;
  chips.dataset.now = key;
  chips.replaceChildren(...wanted.map(([text, look]) => h("span", { class: `chip ${look}` }, text)));
}

export function breakerWords({ breaker }) {
  const words = breaker.forced ? `forced ${breaker.state === "isolated" ? "open" : "closed"}` : breaker.state.replace("_", "-");
  const next = breaker.retry_in_ms === undefined ? "" : breaker.forced || breaker.retry_in_ms === 0 ? "" : `, next probe in ${Math.ceil(breaker.retry_in_ms / 1000)} s`;
  return `${words} for ${span(breaker.since_ms)}${next}`;
}

export function linkWords({ engine, reconnect }) {
  if (engine === "memory") return "in this process";
  const resets = reconnect.stuck_resets_total > 0 ? ` · ${reconnect.stuck_resets_total} stuck ${reconnect.stuck_resets_total === 1 ? "reset" : "resets"}` : "";
  const next = reconnect.next_in_ms === undefined ? "" : `${Math.ceil(reconnect.next_in_ms / 1000)} s`;
  if (reconnect.connected) return `stands${next ? `, next check in ${next}` : ""}${resets}`;
  return `lost, ${reconnect.attempts} attempts${next ? `, next in ${next}` : ""}${resets}`;
}

function asTable(status, flow) {
  const heads = ["Backend", "Engine", "State", "ops/s", "Breaker", "Failures", "In flight", "p50 / p99", "Connection", "Last error"];
  return table("Backends", heads, status.backends.map((backend) => [backend.name, backend.engine, view(backend).word, count(flow ? (flow.delta.sources[backend.name] ?? 0) / flow.seconds : 0),
    breakerWords(backend), `${backend.breaker.failures} of ${backend.breaker.calls}`, `${backend.inflight} of ${backend.inflight_max}`,
    `${latency(backend.latency_p50_ms)} / ${latency(backend.latency_p99_ms)}`, linkWords(backend), backend.last_error ? `${backend.last_error.message} (${span(backend.last_error.age_ms)} ago)` : "none"]));
}

function routeTable(status, flow) {
  const heads = ["Route", "Way", "ops/s", "Reads", "Writes", "Promise"];
  return table("Routes", heads, status.routes.map((route) => [route.prefix, route.description, count(flow ? routeTotal(flow, route) / flow.seconds : 0), route.readable ? "served" : "not served", route.writable ? "served" : "not served", route.promise]));
}
