// The strip of key figures with their targets.

import { h, s, say, count, percent, exact } from "./dom.js";
import { merge } from "./samples.js";

const WINDOW = 60;
const BUCKET = 5;
const SPARK = 300;

const share = (part, whole) => (whole > 0 ? part / whole : null);
const hitRate = (d) => share(d.hits, d.reads);

/**
 * Each: its value over the window, the value of one bucket for the line, its target. Where the status has the figure
 * (`kpi`), its value, target and note are shown, so that the page says what every other reader of it says.
 */
const FIGURES = [
  { id: "rate", label: "Requests", unit: "/s", of: (d, seconds) => d.requests / seconds, show: count, none: "none yet" },
  { id: "errors", kpi: "error_rate", label: "Error rate", of: (d) => share(d.errors, d.requests), show: percent, target: { below: 0.01, text: "< 1 %" }, none: "no requests" },
  { id: "fallback", kpi: "fallback_rate", label: "Fallback rate", of: (d) => share(d.fallbacks, d.requests), show: percent, target: { below: 0.05, text: "< 5 %" }, none: "no requests" },
  { id: "hits", kpi: "hit_rate", label: "Cache hit rate", of: hitRate, show: percent, target: { above: 0.8, text: "> 80 %" }, none: "no cached reads" },
  { id: "connects", kpi: "connection_success", label: "Connection success", of: (d) => share(Math.min(d.connects, d.attempts), d.attempts), show: percent, target: { above: 0.99, text: "> 99 %" }, none: "no attempts" },
  { id: "recovery", kpi: "recovery_time", label: "Recovery time", show: exact, target: { below: 30_000, text: "< 30 s" }, none: "no outage seen" },
];

function met(target, value) {
  return target.below !== undefined ? value < target.below : value > target.above;
}

/** The figure as the status has it, in this page's units; undefined where it has none. */
function told(figure, { kpis }) {
  const kpi = kpis?.[figure.kpi];
  if (!kpi) return undefined;
  const scale = kpi.unit === "seconds" ? 1000 : 1;
  const target = kpi.target.below === undefined ? { above: kpi.target.above * scale } : { below: kpi.target.below * scale };
  const bound = target.below ?? target.above;
  target.text = `${target.below === undefined ? ">" : "<"} ${scale === 1 ? `${bound * 100} %` : exact(bound)}`;
  return { value: kpi.value === null ? null : kpi.value * scale, target, note: kpi.note };
}

export class Kpis {
  #tiles = new Map();
  #shown = "";

  constructor(section) {
    for (const { id, label, unit } of FIGURES) {
      const tile = { value: h("b", {}, "–"), verdict: h("span", { class: "verdict" }), goalText: h("span", {}), note: h("span", { class: "note" }), line: s("path", { class: "line" }), goal: s("path", { class: "goal" }) };
      tile.spark = s("svg", { class: "spark", viewBox: "0 0 120 28", preserveAspectRatio: "none", "aria-hidden": "true" }, tile.goal, tile.line);
      tile.root = h("div", { class: "kpi" }, h("h2", {}, label), h("p", { class: "value" }, tile.value, unit ? h("span", { class: "unit" }, unit) : null),
        h("p", { class: "target" }, tile.verdict, tile.goalText, tile.note), tile.spark);
      this.#tiles.set(id, tile);
      section.append(tile.root);
    }
  }

  show(samples, now, recoveries, status) {
    const key = `${samples.version} ${status.uptime_ms} ${recoveries.length} ${recoveries.at(-1)?.to}`;
    if (key === this.#shown) return;
    this.#shown = key;
    const whole = samples.recent(WINDOW);
    const reach = Math.min(SPARK, Math.max(60, now / 1000 - samples.begun));
    const buckets = slices(samples.since(now / 1000 - reach, reach), now / 1000, reach);
    for (const figure of FIGURES) {
      const tile = this.#tiles.get(figure.id);
      const { value, note, target } = told(figure, status) ?? reckon(figure, whole, recoveries, status);
      put(tile, { ...figure, target }, value, note);
      draw(tile, { target }, figure.of ? line(figure, buckets) : steps(recoveries));
    }
  }
}

/** The figure as this page has seen it. */
function reckon(figure, whole, recoveries, status) {
  const { target } = figure;
  if (!figure.of) {
    const last = recoveries.at(-1);
    return { target, value: last?.recovery ?? null, note: last ? `${last.backend}, outage ${exact(last.outage)}` : "" };
  }
  const value = whole ? figure.of(whole.delta, whole.seconds) : null;
  if (figure.id === "connects" && value === null && whole) return { target, ...standing(status) };
  return { target, value, note: figure.id === "rate" ? "last minute" : "" };
}

function line(figure, buckets) {
  return buckets.map(({ at, sample }) => [at, figure.of(sample.delta, sample.seconds)]).filter((point) => point[1] !== null);
}

function steps(recoveries) {
  const shown = recoveries.slice(-30);
  return shown.map((each, index) => [shown.length > 1 ? index / (shown.length - 1) : 1, each.recovery]);
}

/** Without an attempt in the window the connections that stand count. */
function standing(status) {
  const remote = status.backends.filter((backend) => backend.engine !== "memory");
  if (remote.length === 0) return { value: null, note: "" };
  const up = remote.filter((backend) => backend.reconnect.connected).length;
  return { value: up / remote.length, note: `${up} of ${remote.length} connected` };
}

function put(tile, figure, value, note) {
  const known = value !== null && Number.isFinite(value);
  say(tile.value, known ? figure.show(value) : "–");
  tile.root.classList.toggle("none", !known);
  const good = known && figure.target ? met(figure.target, value) : null;
  tile.root.classList.toggle("missed", good === false);
  say(tile.verdict, good === null ? (known ? "" : figure.none) : good ? "✓ met" : "✕ missed");
  say(tile.goalText, figure.target ? `target ${figure.target.text}` : "");
  say(tile.note, known ? note : "");
}

function slices(samples, now, reach) {
  const found = new Map();
  for (const sample of samples) {
    const slot = Math.floor(sample.t / BUCKET);
    if (!found.has(slot)) found.set(slot, []);
    found.get(slot).push(sample);
  }
  return [...found].map(([slot, list]) => ({ at: 1 - (now - (slot + 1) * BUCKET) / reach, sample: merge(list) }));
}

function draw(tile, { target }, points) {
  const goal = target?.below ?? target?.above;
  const most = Math.max(target?.above !== undefined ? 1 : 0, (goal ?? 0) * (target?.below !== undefined ? 1.6 : 1), ...points.map((point) => point[1])) || 1;
  const y = (value) => (26 - (value / most) * 24).toFixed(1);
  const steps = points.map(([x, value]) => `${(Math.min(1, Math.max(0, x)) * 120).toFixed(1)} ${y(value)}`);
  tile.line.setAttribute("d", steps.length === 1 ? `M${steps[0]}h.1` : steps.length > 1 ? `M${steps.join("L")}` : "");
  tile.goal.setAttribute("d", goal === undefined ? "" : `M0 ${y(goal)}H120`);
}
