// A lane for each backend: its states over time, its reconnection attempts, its recoveries.

import { h, s, twin, table, clock, exact, whole } from "./dom.js";
import { LOOKS, word } from "./history.js";

const LANE = 40;
const TOP = 8;
const AXIS = 22;
const STARTING_MS = 2000;
const LABEL = 130;
/** A lane for what waits. */
const LEVEL = 46;
const LEVELS = [["journal", "journal", "writes wait in the journal"], ["dirty", "to catch up", "keys wait to be caught up in a cache"]];

export class Timeline {
  #figure;
  #host = h("div", { class: "lanes" });
  #again = null;

  constructor(section, tools) {
    this.#figure = twin(section, "Failover timeline", "Each backend's state; ticks are connection attempts, flags are recoveries, dotted lines are starts of Mainstay", tools);
    this.#figure.onflip = () => this.#again?.();
    this.#figure.drawing.append(this.#host);
    new ResizeObserver(() => this.#again?.()).observe(this.#host);
  }

  show(history, status, samples, [from, now]) {
    this.#again = () => this.show(history, status, samples, [from, now]);
    // Before the first event and before the process began nothing is known.
    const begun = now - status.uptime_ms;
    const lanes = status.backends.map((backend) => {
      const all = history.stretches(backend, now).filter((stretch) => stretch.to > from).map((stretch) => ({ ...stretch }));
      const first = history.events[0]?.unix_ms ?? begun;
      const known = Math.min(begun, first);
      if (all[0]?.from === -Infinity) {
        all[0].from = known;
        // Not an outage: a process begins without connections.
        if (all.length > 1 && all[0].to - known < STARTING_MS) all.shift();
      }
      return { backend, stretches: all, recoveries: history.recoveries(backend, now).filter((each) => each.to > from) };
    });
    const levels = levelsOf(status, samples, from, now);
    if (this.#figure.shown) this.#figure.table.replaceChildren(asTable(lanes), levelTable(levels));
    else this.#draw(lanes, levels, history, from, now);
  }

  #draw(lanes, levels, history, from, now) {
    const width = Math.max(280, this.#host.clientWidth);
    const gutter = 24 + 7.4 * Math.min(16, Math.max(...lanes.map(({ backend }) => backend.name.length), ...levels.map(({ label }) => label.length)));
    const x = (t) => gutter + ((Math.max(t, from) - from) / (now - from)) * (width - gutter - 10);
    const height = TOP + lanes.length * LANE + levels.length * LEVEL + AXIS;
    const parts = [...axis(x, from, now, height, width)];
    lanes.forEach((lane, at) => parts.push(...drawLane(lane, TOP + at * LANE, x, history, from, now, gutter)));
    levels.forEach((level, at) => parts.push(...drawLevel(level, TOP + lanes.length * LANE + at * LEVEL, x, gutter, width)));
    for (const event of history.events) {
      if (event.kind !== "storage" || event.unix_ms < from) continue;
      parts.push(s("path", { class: "process", d: `M${x(event.unix_ms).toFixed(1)} ${TOP}V${height - AXIS}` }, s("title", {}, `Mainstay: ${event.state}, ${clock(event.unix_ms)}`)));
    }
    const words = lanes.map(({ backend, stretches }) => `${backend.name}: ${stretches.map((each) => word(each.state)).slice(-6).join(", then ")}`).join("; ");
    this.#host.replaceChildren(s("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": words }, hatch(), parts));
  }
}

function hatch() {
  const lines = (id, d, cls) => s("pattern", { id, width: 8, height: 8, patternUnits: "userSpaceOnUse" }, s("path", { d, class: cls }));
  return s("defs", {}, lines("hatch-warn", "M-2 2 2-2M0 8 8 0M6 10 10 6", "hatch warn"), lines("hatch-off", "M0 4H8M4 0V8", "hatch off"));
}

function axis(x, from, now, height, width) {
  const steps = [10, 30, 60, 120, 300, 600, 900];
  const step = (steps.find((each) => (now - from) / 1000 / each <= Math.max(3, width / 130)) ?? 1800) * 1000;
  const parts = [];
  for (let t = Math.ceil(from / step) * step; t < now; t += step) {
    parts.push(s("path", { class: "grid", d: `M${x(t).toFixed(1)} ${TOP}V${height - AXIS}` }));
    const text = clock(t);
    if (x(t) < width - 30) parts.push(s("text", { class: "axis", x: x(t).toFixed(1), y: height - 6, "text-anchor": "middle" }, step % 60_000 === 0 ? text.slice(0, 5) : text));
  }
  return parts;
}

function drawLane({ backend, stretches, recoveries }, y, x, history, from, now, gutter) {
  const parts = [s("text", { class: "name", x: gutter - 10, y: y + 26, "text-anchor": "end" }, backend.name)];
  for (const each of seen(stretches, x, from)) parts.push(...drawStretch(each, backend.name, y, x, from));
  // One path for all that failed and one for all that succeeded; what falls on one spot is drawn once.
  const ticks = { ok: new Set(), bad: new Set() };
  for (const event of history.events) {
    if (event.kind !== "connection" || event.backend !== backend.name || event.unix_ms < from) continue;
    ticks[event.connected ? "ok" : "bad"].add(Math.round(x(event.unix_ms)));
  }
  for (const [look, places] of Object.entries(ticks)) {
    if (places.size > 0) parts.push(s("path", { class: `attempt ${look}`, d: [...places].map((at) => `M${at} ${y + 31}v5`).join("") }));
  }
  // From the newest back; a label that would run into the next one is left to the table.
  let next = Infinity;
  for (const { to, recovery, outage } of recoveries.toReversed()) {
    const at = x(to);
    const near = at > x(now) - LABEL;
    parts.push(s("path", { class: "flag", d: `M${at.toFixed(1)} ${y + 3}V${y + 30}` }));
    if (at + (near ? 0 : LABEL) > next) continue;
    next = near ? at - LABEL : at;
    parts.push(s("text", { class: "recovered", x: (at + (near ? -5 : 5)).toFixed(1), y: y + 9, "text-anchor": near ? "end" : "start" }, `recovered in ${exact(recovery)}`,
        s("title", {}, `outage ${exact(outage)}, of which recovery ${exact(recovery)}`)));
  }
  return parts;
}

/** What waited, as the page has seen it; only levels that this storage has. */
function levelsOf(status, samples, from, now) {
  const points = samples.since(from / 1000, (now - from) / 1000);
  const has = { journal: status.journal !== undefined, dirty: status.caches.length > 0 };
  return LEVELS.filter(([name]) => has[name]).map(([name, label, words]) => {
    const own = points.map(({ t, level }) => [t * 1000, level[name]]);
    return { label, words, points: own, most: Math.max(0, ...own.map(([, value]) => value)), last: own.at(-1)?.[1] ?? 0 };
  });
}

function drawLevel({ label, words, points, most, last }, y, x, gutter, width) {
  const base = y + LEVEL - 8;
  const at = ([t, value]) => `${x(t).toFixed(1)} ${(base - (value / Math.max(1, most)) * (LEVEL - 20)).toFixed(1)}`;
  const parts = [s("text", { class: "name", x: gutter - 10, y: base - 14, "text-anchor": "end" }, label), s("text", { class: "axis", x: gutter - 10, y: base, "text-anchor": "end" }, most > 0 ? `${whole(last)} now` : "nothing"), s("path", { class: "base", d: `M${gutter} ${base}H${width - 10}` })];
  if (points.length > 1 && most > 0) {
    const line = points.map(at).join("L");
    parts.push(s("path", { class: "level", d: `M${line}L${x(points.at(-1)[0]).toFixed(1)} ${base}L${x(points[0][0]).toFixed(1)} ${base}Z` }, s("title", {}, `${whole(last)} ${words}, at most ${whole(most)}`)));
  }
  return parts;
}

function levelTable(levels) {
  const times = [...new Set(levels.flatMap(({ points }) => points.map(([t]) => t)))].slice(-60).reverse();
  const of = new Map(levels.map((level) => [level, new Map(level.points)]));
  return levels.length === 0 ? "" : table("What waits", ["Time", ...levels.map(({ label }) => label)], times.map((t) => [clock(t), ...levels.map((level) => whole(of.get(level).get(t) ?? 0))]));
}

const WORST = ["none", "ok", "off", "warn", "bad"];

/** Stretches that are too short to be seen apart are drawn as one, in the worst look among them. */
function seen(stretches, x, start) {
  const kept = [];
  let end = -Infinity;
  for (const each of stretches) {
    if (each.to < start) continue;
    const last = kept.at(-1);
    if (!last || x(each.to) - end >= 2) {
      kept.push({ ...each });
      end = x(each.to);
      continue;
    }
    last.to = each.to;
    if (WORST.indexOf(LOOKS[each.state]) > WORST.indexOf(LOOKS[last.state])) [last.state, last.reason] = [each.state, each.reason];
  }
  return kept;
}

/** Thickness, pattern and word say what the colour says. */
function drawStretch({ from, to, state, reason }, name, y, x, start) {
  const look = LOOKS[state];
  const [left, right] = [x(from), x(to)];
  if (to < start || look === "none") return [];
  const width = Math.max(1.5, right - left);
  const [top, height] = { ok: [y + 20, 4], warn: [y + 14, 16], bad: [y + 12, 18], off: [y + 14, 16] }[look];
  const box = { x: left.toFixed(1), y: top, width: width.toFixed(1), height, rx: look === "ok" ? 1 : 2 };
  const tip = s("title", {}, `${word(state)} from ${clock(from)} to ${clock(to)}${reason ? `: ${reason}` : ""}`);
  const parts = [s("rect", { ...box, class: `stretch ${look}`, "data-backend": name }, tip)];
  if (look === "warn" || look === "off") parts.push(s("rect", { ...box, class: `pattern ${look}` }));
  const text = word(state);
  if (look !== "ok" && width > text.length * 7.5 + 14) parts.push(s("text", { class: `in ${look}`, x: (left + 6).toFixed(1), y: top + height / 2 + 4 }, text));
  return parts;
}

function asTable(lanes) {
  const rows = lanes.flatMap(({ backend, stretches, recoveries }) => stretches.map((each) => {
    const back = recoveries.find((recovery) => recovery.to === each.from);
    return { at: each.from, cells: [backend.name, word(each.state), clock(each.from), exact(each.to - each.from), each.reason + (back ? ` (recovered in ${exact(back.recovery)})` : "")] };
  }));
  rows.sort((a, b) => b.at - a.at);
  return table("States", ["Backend", "State", "From", "For", "Why"], rows.slice(0, 200).map((row) => row.cells));
}
