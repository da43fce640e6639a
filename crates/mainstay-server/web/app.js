// The page: asks for the status once a second, follows the events, and shows both at most four times a second.

import { byId, h, say, icon, clock, colour, span } from "./dom.js";
import { follow, get, now, hasToken, Unauthorized } from "./api.js";
import { Samples } from "./samples.js";
import { History } from "./history.js";
import { Kpis } from "./kpis.js";
import { Topology, view } from "./topology.js";
import { Charts } from "./charts.js";
import { Timeline } from "./timeline.js";
import { EventTable } from "./events.js";
import { ConfigView } from "./config.js";
import { openActions } from "./actions.js";
import { login } from "./login.js";

const POLL_MS = 1000;
const FRAME_MS = 250;
/** A stream that comes back within this time is not worth a word. */
const GRACE_MS = 1500;
const RETRY_MS = [500, 1000, 2000, 3000];
const COLOURS = 6;

const samples = new Samples();
const history = new History();
let status = null;
let seconds = 300;
let paused = false;
let heardAt = 0;
/** Since when the stream, or the status, is missing; null while it is there. */
const missing = { stream: now(), status: null };
let asking = null;

const ranges = h("select", { "aria-label": "Time range of charts and timeline", onchange: () => { seconds = Number(ranges.value); soon(); } },
  h("option", { value: 300 }, "5 minutes"), h("option", { value: 900 }, "15 minutes"), h("option", { value: 3600 }, "1 hour"));
const kpis = new Kpis(byId("kpis"));
const topology = new Topology(byId("topology"), (name) => openActions(byId("action"), status.backends.find((each) => each.name === name), poll));
const charts = new Charts(byId("chart-requests"), byId("chart-latency"));
const timeline = new Timeline(byId("timeline"), [ranges]);
const table = new EventTable(byId("events"), history);
const config = new ConfigView(byId("config"));

// Showing: never more often than every 250 ms, however much happens.

let due = null;
let drawnAt = -Infinity;

function soon() {
  if (due !== null) return;
  due = setTimeout(() => {
    due = null;
    drawnAt = performance.now();
    show();
  }, Math.max(0, drawnAt + FRAME_MS - performance.now()));
}

function show() {
  showLive();
  if (!status || paused) return;
  showTop();
  if (byId("overview").hidden) return;
  // Without news nothing is known of the time since.
  const time = isLost() ? heardAt : now();
  const colours = new Map(status.backends.map((backend, at) => [backend.name, colour(`--series-${at % COLOURS}`)]));
  const recoveries = status.backends.flatMap((backend) => history.recoveries(backend, time)).sort((a, b) => a.to - b.to);
  kpis.show(samples, time, recoveries, status);
  topology.show(status, samples, colours);
  const window = reach(time);
  charts.show(samples, window, status.backends, colours, history.events);
  timeline.show(history, status, window);
  table.know(status.backends.map((backend) => backend.name));
  table.show();
}

/** The chosen range, but no further back than something is known. */
function reach(time) {
  const known = Math.min(samples.begun * 1000, history.events[0]?.unix_ms ?? time);
  const long = Math.min(seconds * 1000, Math.max(60_000, (time - known) * 1.04));
  return [time - long, time];
}

const HEADLINES = { up: ["HEALTHY", "ok"], degraded: ["DEGRADED", "warn"], down: ["DOWN", "bad"] };

function headline() {
  return status.draining ? ["DRAINING", "off"] : HEADLINES[status.health];
}

function showTop() {
  const [text, look] = headline();
  const state = byId("state");
  if (state.dataset.look !== `${look}${text}`) {
    state.dataset.look = `${look}${text}`;
    state.className = `state ${look}`;
    state.replaceChildren(icon(look), h("span", {}, text));
    document.title = `${text} · Mainstay`;
  }
  say(byId("sentence"), status.sentence);
  say(byId("version"), status.version);
  // Links do not carry the token, so they would lead to a refusal.
  document.querySelector("footer").classList.toggle("locked", hasToken());
  say(byId("uptime"), `Mainstay ${status.version}, up ${span(status.uptime_ms)}`);
}

function isLost() {
  return Object.values(missing).some((since) => since !== null && now() - since > GRACE_MS);
}

/** Live, paused, or stale; a page that knows nothing new must not look as if it did. */
function showLive() {
  const lost = heardAt === 0 || isLost();
  document.body.classList.toggle("stale", lost && heardAt > 0);
  const never = asking ? "token required" : "no answer yet";
  const words = lost ? (heardAt > 0 ? `stale since ${clock(heardAt)}` : never) : paused ? "paused" : "live";
  const live = byId("live");
  live.className = `live ${lost ? "lost" : paused ? "paused" : "on"}`;
  if (live.textContent !== words) {
    if (lost && heardAt > 0) announce(`No connection to Mainstay; ${words}.`);
    else if (words === "live" && live.textContent.startsWith("stale")) announce("Connected again.");
    say(live, words);
    if (status) document.title = `${lost ? "STALE" : headline()[0]} · Mainstay`;
  }
}

// Saying aloud: changes of state only, gathered for a second.

let news = [];

function announce(text) {
  if (news.length === 0) {
    setTimeout(() => {
      byId("announce").textContent = news.slice(-5).join(" ");
      news = [];
    }, 1000);
  }
  news.push(text);
}

// Asking.

async function poll() {
  let next;
  try {
    next = await get("/v1/status");
  } catch (error) {
    if (error instanceof Unauthorized) askToken();
    missing.status ??= now();
    soon();
    return;
  }
  missing.status = null;
  take(next);
}

function take(next) {
  const before = status ? { headline: headline()[0], backends: new Map(status.backends.map((each) => [each.name, view(each).word])) } : null;
  status = next;
  heardAt = now();
  samples.take(status, heardAt / 1000);
  if (before) {
    if (before.headline !== headline()[0]) announce(`Mainstay is now ${headline()[0].toLowerCase()}.`);
    for (const backend of status.backends) {
      const { word } = view(backend);
      if (before.backends.has(backend.name) && before.backends.get(backend.name) !== word) announce(`${backend.name}: ${word}.`);
    }
  }
  soon();
}

/** One dialog, however many requests were refused. */
function askToken() {
  asking ??= login(byId("login")).finally(() => { asking = null; });
  return asking;
}

const wait = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

async function pollForEver() {
  for (;;) {
    const began = performance.now();
    if (asking) await asking;
    await poll();
    await wait(Math.max(100, POLL_MS - (performance.now() - began)));
  }
}

async function followForEver() {
  for (let failures = 0; ; failures += 1) {
    try {
      if (asking) await asking;
      const { events } = await get("/v1/events?format=json&limit=1000");
      events.forEach((event) => history.take(event));
      await follow(events.at(-1)?.id ?? 0, {
        onopen: () => {
          failures = 0;
          missing.stream = null;
          soon();
        },
        onmessage: (name, data) => {
          if (name === "snapshot") take(data);
          else if (name === "message" && history.take(data)) soon();
        },
      });
    } catch (error) {
      missing.stream ??= now();
      soon();
      if (error instanceof Unauthorized) await askToken();
      else await wait(RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]);
    }
  }
}

// Controls.

const TABS = ["overview", "config"];

function choose(name, focus) {
  for (const each of TABS) {
    const tab = byId(`tab-${each}`);
    tab.setAttribute("aria-selected", String(each === name));
    tab.tabIndex = each === name ? 0 : -1;
    byId(each).hidden = each !== name;
    if (each === name && focus) tab.focus();
  }
  if (name === "config") config.load();
  else soon();
}

function startTabs() {
  TABS.forEach((name, at) => {
    byId(`tab-${name}`).addEventListener("click", () => { location.hash = name; });
    byId(`tab-${name}`).addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = TABS[(at + step + TABS.length) % TABS.length];
      location.hash = next;
      choose(next, true);
    });
  });
  const named = () => (TABS.includes(location.hash.slice(1)) ? location.hash.slice(1) : TABS[0]);
  addEventListener("hashchange", () => choose(named(), false));
  choose(named(), false);
}

function startTools() {
  byId("pause").addEventListener("click", () => {
    paused = !paused;
    byId("pause").setAttribute("aria-pressed", String(paused));
    soon();
  });
  const root = document.documentElement;
  const name = () => root.dataset.theme ?? "system";
  const button = byId("theme");
  say(button, `Theme: ${name()}`);
  button.addEventListener("click", () => {
    const next = { system: "light", light: "dark", dark: "system" }[name()];
    if (next === "system") delete root.dataset.theme;
    else root.dataset.theme = next;
    try {
      localStorage.setItem("mainstay.theme", next);
    } catch {
      // Storage may be forbidden; the choice then lasts as long as the page.
    }
    say(button, `Theme: ${next}`);
    soon();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", soon);
}

byId("app").hidden = false;
startTabs();
startTools();
pollForEver();
followForEver();
setInterval(soon, POLL_MS);
