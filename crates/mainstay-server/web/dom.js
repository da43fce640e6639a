// Elements, icons, and words for numbers and times. Text is always set as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `h("p", { class: "x", onclick: f }, "text", child)`. */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same in SVG. */
export function s(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Sets text only where it differs, so that selections and screen readers are left in peace. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The same; what stands between backticks is set as code. */
export function rich(element, text) {
  if (element.dataset.text === text) return;
  element.dataset.text = text;
  element.replaceChildren(...text.split("`").map((part, at) => (at % 2 ? h("code", {}, part) : part)));
}

export function byId(id) {
  return document.getElementById(id);
}

const SHAPES = {
  ok: [["circle", { cx: 8, cy: 8, r: 7 }], ["path", { d: "M4.8 8.2 7.1 10.5 11.3 5.9" }]],
  warn: [["path", { d: "M8 1.2 15.4 14.4H.6Z" }], ["path", { d: "M8 6v4M8 12v.2" }]],
  bad: [["rect", { x: 1.2, y: 1.2, width: 13.6, height: 13.6, rx: 1.5 }], ["path", { d: "m5.2 5.2 5.6 5.6m0-5.6-5.6 5.6" }]],
  off: [["path", { d: "M8 .6 15.4 8 8 15.4.6 8Z" }], ["path", { d: "M5 8h6" }]],
};

/** The shape of a state: circle, triangle, square, or diamond. */
export function icon(key) {
  const [body, mark] = SHAPES[key] ?? SHAPES.off;
  return s("svg", { class: `icon ${key}`, viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" },
    s(body[0], { class: "body", ...body[1] }), s(mark[0], { class: "mark", ...mark[1] }));
}

/** A figure with a heading, tools, a drawing, and its twin as a table. */
export function twin(section, title, note, tools = []) {
  const drawing = h("div", { class: "drawing" });
  const table = h("div", { class: "twin", tabindex: 0, hidden: true, role: "region", "aria-label": `${title}, as a table` });
  const toggle = h("button", { type: "button", "aria-pressed": "false", onclick: () => flip() }, "Table");
  const figure = { drawing, table, shown: false, onflip: () => {} };
  const flip = () => {
    figure.shown = !figure.shown;
    toggle.setAttribute("aria-pressed", String(figure.shown));
    drawing.hidden = figure.shown;
    table.hidden = !figure.shown;
    figure.onflip();
  };
  section.append(h("div", { class: "head" }, h("h2", {}, title), h("p", { class: "note" }, note), h("div", { class: "tools" }, ...tools, toggle)), drawing, table);
  return figure;
}

/** Figures with their labels: `[label, text, note, look]` each. */
export function figures(host, all) {
  const key = JSON.stringify(all);
  if (host.dataset.key === key) return;
  host.dataset.key = key;
  host.replaceChildren(...all.map(([label, text, note, look]) => h("div", { class: `figure ${look ?? ""}` }, h("dt", {}, label), h("dd", {}, h("b", {}, text), note ? h("span", { class: "note" }, note) : null))));
}

/** Replaces the rows of a table's body only if they differ; `key` tells whether they do. */
export function refill(body, key, rows) {
  if (body.dataset.key === key) return;
  body.dataset.key = key;
  body.replaceChildren(...rows());
}

/** A table that scrolls within its own box, with an empty body. */
export function scrolling(label, heads, cls = "") {
  const body = h("tbody");
  const root = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, h("table", { class: cls }, h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)))), body));
  return { root, body };
}

/** Saves rows of text as a file that spreadsheets read. */
export function saveCsv(name, rows) {
  const url = URL.createObjectURL(new Blob([`${rows.map((row) => row.map(field).join(",")).join("\r\n")}\r\n`], { type: "text/csv" }));
  h("a", { href: url, download: `${name}-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** Quoted; a text that a spreadsheet would take for a formula is made plain. */
function field(value) {
  const text = String(value);
  const plain = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return `"${plain.replaceAll('"', '""')}"`;
}

/** A table from rows of text. */
export function table(caption, heads, rows) {
  return h("table", {}, h("caption", {}, caption), h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell))))));
}

/** 0.4, 12, 840, 1.2k. */
export function count(value) {
  if (!Number.isFinite(value)) return "–";
  if (value >= 999_500) return `${(value / 1e6).toFixed(1)}M`;
  if (value >= 999.5) return `${(value / 1000).toFixed(1)}k`;
  return value >= 9.95 || value === 0 ? String(Math.round(value)) : value.toFixed(1);
}

/** A share of 1 as percent; nearly all is never shown as all. */
export function percent(share) {
  if (share === null || !Number.isFinite(share)) return "–";
  const value = share * 100;
  if (value > 99.9 && value < 100) return "99.9 %";
  if (value > 0 && value < 0.1) return "< 0.1 %";
  return `${value === 0 || value === 100 ? value : value.toFixed(1)} %`;
}

/** Milliseconds of latency. */
export function latency(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 0.995) return `${Math.max(1, Math.round(ms * 1000))} µs`;
  return ms < 9.95 ? `${ms.toFixed(1)} ms` : ms < 9995 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** A span of time, in its one or two largest units. */
export function span(ms) {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}

/** A span that is being measured: 2.4 s, 41 s, 3 min 20 s. */
export function exact(ms) {
  if (ms < 10_000) return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return seconds < 120 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** 12:04:11. */
export function clock(unixMs) {
  return TIME.format(unixMs);
}

/** The same, with the day if that is not today. */
export function moment(unixMs) {
  const day = DAY.format(unixMs);
  return day === DAY.format(Date.now()) ? clock(unixMs) : `${day} ${clock(unixMs)}`;
}

/** 1,204. */
export function whole(value) {
  return value.toLocaleString("en");
}

/** 900 B, 1.4 KiB, 12 MiB. */
export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  let rest = value;
  while (rest >= 1024 && at < units.length - 1) {
    rest /= 1024;
    at += 1;
  }
  return `${at === 0 || rest >= 10 ? Math.round(rest) : rest.toFixed(1)} ${units[at]}`;
}

const colours = new Map();

/** What a colour of the stylesheet is now, for the canvas. */
export function colour(name) {
  if (!colours.has(name)) {
    const probe = byId("probe") ?? document.body.appendChild(h("i", { id: "probe", hidden: true }));
    probe.style.color = `var(${name})`;
    colours.set(name, getComputedStyle(probe).color);
  }
  return colours.get(name);
}

/** After a change of theme. */
export function forgetColours() {
  colours.clear();
}
