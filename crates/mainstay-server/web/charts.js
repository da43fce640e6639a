// Requests by the backend that served them, and latencies; cursors in step, events as markers.

import { h, s, say, twin, table, count, latency, clock, colour } from "./dom.js";
import { merge } from "./samples.js";
import { describe } from "./history.js";

const POINTS_MAX = 300;
const ROWS_MAX = 60;
const HEIGHT = 200;
const GAP_SECONDS = 2;
/** Canvases are dear: twice a second at most. */
const APART_MS = 500;

class Chart {
  #figure;
  #plot = null;
  #shape = "";
  #events = [];
  #host = h("div", { class: "plot" });
  #legend = h("div", { class: "legend" });
  #time = h("span", { class: "note" });
  #values = [];
  #columns = [];
  #times = [];
  #empty = h("p", { class: "empty" }, "Collecting: this page draws what it has seen since it was opened.");
  #again = null;

  constructor(section, title, note, head) {
    this.#figure = twin(section, title, note);
    this.#figure.onflip = () => this.#again?.();
    this.#figure.drawing.append(this.#empty, this.#host, this.#legend);
    this.head = head;
    new ResizeObserver(() => this.#fit()).observe(this.#host);
  }

  /** `columns`: { label, colour, dash, raw, drawn, text } each. */
  draw(window, times, columns, events, options) {
    this.#again = () => this.draw(window, times, columns, events, options);
    if (this.#figure.shown) {
      const rows = times.map((t, at) => [clock(t * 1000), ...columns.map(({ raw, text }) => text(raw[at]))]);
      this.#figure.table.replaceChildren(table(this.head, ["Time", ...columns.map(({ label }) => label)], rows.slice(-ROWS_MAX).reverse()));
      return;
    }
    this.#empty.hidden = times.length > 1;
    this.#events = events;
    const shape = JSON.stringify([columns.map((column) => [column.label, column.colour, column.dash]), options.ink]);
    if (shape !== this.#shape) this.#build(shape, columns, options);
    this.#columns = columns;
    this.#times = times;
    this.#plot.setData([times, ...columns.map(({ drawn }) => drawn)], false);
    this.#plot.setScale("x", window);
    this.#tell(this.#plot.cursor.idx);
  }

  #build(shape, columns, { log, ink, line, unit }) {
    this.#plot?.destroy();
    this.#shape = shape;
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    this.#plot = new globalThis.uPlot({
      width: Math.max(200, this.#host.clientWidth), height: HEIGHT,
      padding: [10, 26, 0, 0],
      scales: { x: { time: true, auto: false }, y: log ? { distr: 3, log: 10, range: (_, low, high) => [10 ** Math.floor(Math.log10(low || 0.01)), 10 ** Math.ceil(Math.log10((high || 1) * 1.01))] } : { range: (_, low, high) => [0, Math.max(1, (high ?? 0) * 1.1)] } },
      axes: [{ ...axis, size: 30, values: (_, ticks) => ticks.map((t) => (t % 60 === 0 ? clock(t * 1000).slice(0, 5) : clock(t * 1000))), space: 70 },
        { ...axis, size: 54, filter: log ? (_, ticks) => ticks.map((tick) => (Math.abs(Math.log10(tick) % 1) < 1e-6 ? tick : null)) : undefined,
          grid: log ? { ...axis.grid, filter: (_, ticks) => ticks.map((tick) => (Math.abs(Math.log10(tick) % 1) < 1e-6 ? tick : null)) } : axis.grid,
          values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : unit(tick))) }],
      series: [{}, ...columns.map(({ label, colour: stroke, dash, fill, width }) => ({ label, stroke, dash, fill, width: width ?? 1.5, points: { show: false }, spanGaps: false }))],
      // Stacked: the area between a line and the one below it.
      bands: log ? [] : columns.slice(1).map((_, at) => ({ series: [at + 1, at + 2] })),
      cursor: { sync: { key: "mainstay" }, drag: { x: false, y: false }, points: { size: 6 } },
      legend: { show: false },
      hooks: { draw: [(plot) => this.#mark(plot)], setCursor: [(plot) => this.#tell(plot.cursor.idx)] },
    }, [[], ...columns.map(() => [])], this.#host);
    this.#values = columns.map(() => h("b", {}));
    this.#legend.replaceChildren(this.#time, ...columns.map(({ label, colour: stroke, dash, width }, at) => h("span", {},
      s("svg", { width: 22, height: 10, "aria-hidden": "true" }, s("path", { d: "M0 5H22", stroke, "stroke-width": width ?? 5, "stroke-dasharray": dash?.join(" ") })), label, this.#values[at])));
  }

  /** The values under the cursor, or the newest. */
  #tell(index) {
    const at = index ?? this.#times.length - 1;
    say(this.#time, index === null || index === undefined || this.#times[at] === undefined ? "now" : clock(this.#times[at] * 1000));
    this.#columns.forEach(({ raw, text }, column) => say(this.#values[column], text(raw[at])));
  }

  /** Events as lines with a shape at the top, thinned so that they do not hide the data. */
  #mark(plot) {
    const { ctx, bbox } = plot;
    const ratio = globalThis.devicePixelRatio || 1;
    let last = -Infinity;
    ctx.save();
    for (const event of this.#events) {
      const x = Math.round(plot.valToPos(event.unix_ms / 1000, "x", true));
      if (x < bbox.left || x > bbox.left + bbox.width || x - last < 7 * ratio) continue;
      last = x;
      const { look } = describe(event);
      const paint = colour(`--${look === "none" ? "off" : look}`);
      ctx.strokeStyle = ctx.fillStyle = paint;
      ctx.lineWidth = ratio;
      ctx.globalAlpha = 0.65;
      ctx.setLineDash([3 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.globalAlpha = 1;
      ctx.setLineDash([]);
      shape(ctx, look, x, bbox.top - 4 * ratio, 4 * ratio);
    }
    ctx.restore();
  }

  #fit() {
    const width = this.#host.clientWidth;
    if (this.#plot && width > 0 && Math.abs(width - this.#plot.width) > 1) this.#plot.setSize({ width, height: HEIGHT });
  }
}

/** The same shapes as of the states: circle, triangle, square, diamond. */
function shape(ctx, look, x, y, r) {
  ctx.beginPath();
  if (look === "ok") ctx.arc(x, y, r, 0, 7);
  else if (look === "warn") [[0, -r], [r, r], [-r, r]].forEach(([dx, dy], at) => (at ? ctx.lineTo(x + dx, y + dy) : ctx.moveTo(x + dx, y + dy)));
  else if (look === "bad") ctx.rect(x - r, y - r, 2 * r, 2 * r);
  else [[0, -r], [r, 0], [0, r], [-r, 0]].forEach(([dx, dy], at) => (at ? ctx.lineTo(x + dx, y + dy) : ctx.moveTo(x + dx, y + dy)));
  ctx.fill();
}

const MARKED = ["breaker", "health", "drain", "drill", "storage", "stuck_reset", "flapping"];
const DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3]];

export class Charts {
  #wish = "";
  #shown = "";
  #drawnAt = -Infinity;
  #requests;
  #latency;

  constructor(requests, latencies) {
    this.#requests = new Chart(requests, "Requests per second", "Stacked, by the backend that answered", "Requests per second by serving backend");
    this.#latency = new Chart(latencies, "Latency", "Thick p50, thin p99; logarithmic", "Latency by backend");
  }

  show(samples, [from, to], backends, colours, history) {
    const window = { min: from / 1000, max: to / 1000 };
    const { events } = history;
    // Between two samples nothing has changed but the time, and that by less than can be seen.
    const wish = `${Math.round(window.max - window.min)} ${[...colours.values()]} ${colour("--muted")}`;
    const key = `${samples.version} ${history.version} ${Math.floor(window.max)}`;
    if (wish === this.#wish && (key === this.#shown || performance.now() - this.#drawnAt < APART_MS)) return;
    [this.#wish, this.#shown, this.#drawnAt] = [wish, key, performance.now()];
    const points = gaps(thin(samples.since(window.min, window.max - window.min)));
    const marks = events.filter((event) => MARKED.includes(event.kind) && event.unix_ms > window.min * 1000);
    const times = points.map((point) => point.t);
    const look = { ink: colour("--muted"), line: colour("--line") };
    const names = backends.map((backend) => backend.name);
    this.#requests.draw(window, times, stack(points, names, colours), marks, { ...look, unit: count });
    const lines = names.flatMap((name, at) => ["p50", "p99"].map((which) => {
      const raw = points.map((point) => point.latency[name]?.[which] ?? null);
      const drawn = raw.map((value) => (value === null ? null : Math.max(value, 0.001)));
      return { label: `${name} ${which}`, colour: colours.get(name), dash: DASHES[at % DASHES.length], width: which === "p50" ? 2.4 : 1.1, raw, drawn, text: latency };
    }));
    this.#latency.draw(window, times, lines, marks, { ...look, log: true, unit: decade });
  }
}

/** 100 µs, 1 ms, 10 ms, 1 s. */
function decade(ms) {
  return ms >= 1000 ? `${Math.round(ms / 1000)} s` : ms >= 1 ? `${Math.round(ms)} ms` : `${Math.round(ms * 1000)} µs`;
}

/** The highest line first; each is the sum of itself and those below. */
function stack(points, names, colours) {
  const sources = points.some((point) => point.delta.sources[""] > 0) ? [...names, ""] : names;
  const below = points.map(() => 0);
  const columns = sources.map((name) => {
    const raw = points.map((point) => (point.gap ? null : (point.delta.sources[name] ?? 0) / point.seconds));
    const drawn = raw.map((value, at) => (value === null ? null : (below[at] += value)));
    const paint = colours.get(name) ?? colour("--off");
    return { label: name || "default or journal", colour: paint, fill: paint.replace("rgb(", "rgba(").replace(")", ", 0.28)"), raw, drawn, text: (value) => (value === undefined || value === null ? "–" : `${count(value)}/s`) };
  });
  return columns.reverse();
}

/** Time of which no sample tells gets a point without values, so that no line is drawn over it. */
function gaps(points) {
  return points.flatMap((point, at) => {
    const before = points[at - 1];
    const missing = before && point.t - point.seconds > before.t + GAP_SECONDS;
    return missing ? [{ t: before.t + 1, seconds: 1, delta: { sources: {} }, latency: {}, gap: true }, point] : [point];
  });
}

function thin(points) {
  const step = Math.ceil(points.length / POINTS_MAX);
  if (step <= 1) return points;
  const groups = [];
  for (const point of points) {
    const last = groups.at(-1);
    // By the clock and not by position, so that old points keep their place as new ones come.
    if (last && Math.floor(last[0].t / step) === Math.floor(point.t / step)) last.push(point);
    else groups.push([point]);
  }
  return groups.map(merge);
}
