// The strip of key figures with their targets.

import { h, s, say, count, percent, exact } from "./dom.js";
import { merge } from "./samples.js";

const WINDOW = 60;
const BUCKET = 5;
const SPARK = 300;

const share = (part, whole) => (whole > 0 ? part / whole : null);
const hitRate = (d) => share(d.hits, d.reads);

/** Each: its value over the window, the value of one bucket for the line, its target. */
const FIGURES = [
  { id: "rate", label: "Requests", unit: "/s", of: (d, seconds) => d.requests / seconds, show: count, none: "none yet" },
  { id: "errors", label: "Error rate", of: (d) => share(d.errors, d.requests), show: percent, target: { below: 0.01, text: "< 1 %" }, none: "no requests" },
  { id: "fallback", label: "Fallback rate", of: (d) => share(d.fallbacks, d.requests), show: percent, target: { below: 0.05, text: "< 5 %" }, none: "no requests" },
  { id: "hits", label: "Cache hit rate", of: hitRate, show: percent, target: { above: 0.8, text: "> 80 %" }, none: "no cached reads" },
  { id: "connects", label: "Connection success", of: (d) => share(Math.min(d.connects, d.attempts), d.attempts), show: percent, target: { above: 0.99, text: "> 99 %" }, none: "no attempts" },
  { id: "recovery", label: "Recovery time", show: exact, target: { below: 30_000, text: "< 30 s" }, none: "no outage seen" },
];

function met(target, value) {
  return target.below !== undefined ? value < target.below : value > target.above;
}

export class Kpis {
  #tiles = new Map();

  constructor(section) {
    for (const { id, label, unit, target } of FIGURES) {
      const tile = { value: h("b", {}, "–"), verdict: h("span", { class: "verdict" }), note: h("span", { class: "note" }), line: s("path", { class: "line" }), goal: s("path", { class: "goal" }) };
      tile.spark = s("svg", { class: "spark", viewBox: "0 0 120 28", preserveAspectRatio: "none", "aria-hidden": "true" }, tile.goal, tile.line);
      tile.root = h("div", { class: "kpi" }, h("h2", {}, label), h("p", { class: "value" }, tile.value, unit ? h("span", { class: "unit" }, unit) : null),
        h("p", { class: "target" }, tile.verdict, h("span", {}, target ? `target ${target.text}` : ""), tile.note), tile.spark);
      this.#tiles.set(id, tile);
      section.append(tile.root);
    }
  }

  show(samples, now, recoveries, status) {
    const whole = samples.recent(WINDOW);
    const reach = Math.min(SPARK, Math.max(60, now / 1000 - samples.begun));
    const buckets = slices(samples.since(now / 1000 - reach, reach), now / 1000, reach);
    for (const figure of FIGURES) {
      const tile = this.#tiles.get(figure.id);
      if (figure.id === "recovery") {
        this.#recovery(tile, figure, recoveries);
        continue;
      }
      const value = whole ? figure.of(whole.delta, whole.seconds) : null;
      const points = buckets.map(({ at, sample }) => [at, figure.of(sample.delta, sample.seconds)]);
      const stands = figure.id === "connects" && value === null && whole ? standing(status) : null;
      put(tile, figure, stands ? stands.value : value);
      say(tile.note, stands ? stands.note : figure.id === "rate" ? "last minute" : "");
      draw(tile, figure, points.filter((point) => point[1] !== null));
    }
  }

  #recovery(tile, figure, recoveries) {
    const last = recoveries.at(-1);
    put(tile, figure, last ? last.recovery : null);
    say(tile.note, last ? `${last.backend}, outage ${exact(last.outage)}` : "");
    const shown = recoveries.slice(-30);
    draw(tile, figure, shown.map((each, index) => [shown.length > 1 ? index / (shown.length - 1) : 1, each.recovery]));
  }
}

/** Without an attempt in the window the connections that stand count. */
function standing(status) {
  const remote = status.backends.filter((backend) => backend.engine !== "memory");
  if (remote.length === 0) return null;
  const up = remote.filter((backend) => backend.reconnect.connected).length;
  return { value: up / remote.length, note: `${up} of ${remote.length} connected` };
}

function put(tile, figure, value) {
  const known = value !== null && Number.isFinite(value);
  say(tile.value, known ? figure.show(value) : "–");
  tile.root.classList.toggle("none", !known);
  const good = known && figure.target ? met(figure.target, value) : null;
  tile.root.classList.toggle("missed", good === false);
  say(tile.verdict, good === null ? (known ? "" : figure.none) : good ? "✓ met" : "✕ missed");
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
