// A lane for each backend: its states over time, its reconnection attempts, its recoveries.

import { h, s, twin, table, clock, exact } from "./dom.js";
import { LOOKS, word } from "./history.js";

const LANE = 40;
const TOP = 8;
const AXIS = 22;
const STARTING_MS = 2000;
const LABEL = 130;

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

  show(history, status, [from, now]) {
    this.#again = () => this.show(history, status, [from, now]);
    // Before the first event and before the process began nothing is known.
    const begun = now - status.uptime_ms;
    const lanes = status.backends.map((backend) => {
      const all = history.stretches(backend, now).filter((stretch) => stretch.to > from);
      const first = history.events[0]?.unix_ms ?? begun;
      const known = Math.min(begun, first);
      if (all[0]?.from === -Infinity) {
        all[0].from = known;
        // Not an outage: a process begins without connections.
        if (all.length > 1 && all[0].to - known < STARTING_MS) all.shift();
      }
      return { backend, stretches: all, recoveries: history.recoveries(backend, now).filter((each) => each.to > from) };
    });
    if (this.#figure.shown) this.#figure.table.replaceChildren(asTable(lanes));
    else this.#draw(lanes, history, from, now);
  }

  #draw(lanes, history, from, now) {
    const width = Math.max(280, this.#host.clientWidth);
    const gutter = 24 + 7.4 * Math.min(16, Math.max(...lanes.map(({ backend }) => backend.name.length)));
    const x = (t) => gutter + ((Math.max(t, from) - from) / (now - from)) * (width - gutter - 10);
    const height = TOP + lanes.length * LANE + AXIS;
    const parts = [...axis(x, from, now, height, width)];
    lanes.forEach((lane, at) => parts.push(...drawLane(lane, TOP + at * LANE, x, history, from, now, gutter)));
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
  for (const each of stretches) parts.push(...drawStretch(each, y, x, from));
  for (const event of history.events) {
    if (event.kind !== "connection" || event.backend !== backend.name || event.unix_ms < from) continue;
    parts.push(s("path", { class: `attempt ${event.connected ? "ok" : "bad"}`, d: `M${x(event.unix_ms).toFixed(1)} ${y + 31}v5` }));
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

/** Thickness, pattern and word say what the colour says. */
function drawStretch({ from, to, state, reason }, y, x, start) {
  const look = LOOKS[state];
  const [left, right] = [x(from), x(to)];
  if (to < start || look === "none") return [];
  const width = Math.max(1.5, right - left);
  const [top, height] = { ok: [y + 20, 4], warn: [y + 14, 16], bad: [y + 12, 18], off: [y + 14, 16] }[look];
  const box = { x: left.toFixed(1), y: top, width: width.toFixed(1), height, rx: look === "ok" ? 1 : 2 };
  const tip = s("title", {}, `${word(state)} from ${clock(from)} to ${clock(to)}${reason ? `: ${reason}` : ""}`);
  const parts = [s("rect", { ...box, class: `stretch ${look}` }, tip)];
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
