// The page: puts the views together and shows what came, at most four times a second.

import { byId, h, colour, forgetColours, span, say } from "./dom.js";
import { now, hasToken } from "./api.js";
import { Samples } from "./samples.js";
import { History } from "./history.js";
import { Kpis } from "./kpis.js";
import { Topology } from "./topology.js";
import { Charts } from "./charts.js";
import { Timeline } from "./timeline.js";
import { EventTable } from "./events.js";
import { LocksView } from "./locks.js";
import { JournalView } from "./journal.js";
import { CacheView } from "./cache.js";
import { DrillView } from "./drill.js";
import { ClientsView } from "./clients.js";
import { ConfigView } from "./config.js";
import { Feed } from "./feed.js";
import { Tabs } from "./tabs.js";
import { Top } from "./top.js";
import { openActions } from "./actions.js";

const FRAME_MS = 250;
const SECOND_MS = 1000;
/** How often a tab that asks for something of its own asks again. */
const TAB_MS = 2000;
const COLOURS = 6;

const samples = new Samples();
const history = new History();
const feed = new Feed(samples, history, soon);
const top = new Top(feed);
const dialog = byId("action");
let seconds = 300;
let paused = false;

const ranges = h("select", { "aria-label": "Time range of charts and timeline", onchange: () => { seconds = Number(ranges.value); soon(); } },
  h("option", { value: 300 }, "5 minutes"), h("option", { value: 900 }, "15 minutes"), h("option", { value: 3600 }, "1 hour"));
const kpis = new Kpis(byId("kpis"));
const topology = new Topology(byId("topology"), (name) => openActions(dialog, feed.status.backends.find((each) => each.name === name), () => feed.poll()));
const charts = new Charts(byId("chart-requests"), byId("chart-latency"));
const timeline = new Timeline(byId("timeline"), [ranges]);
const table = new EventTable(byId("events"), history);

// A view has a panel, `show` for each status, and `load` where it asks for something of its own.
const tabs = new Tabs(byId("tabs"), byId("main"), [
  { id: "overview", label: "Overview", view: () => ({ show: showOverview }) },
  { id: "locks", label: "Locks", view: (panel) => new LocksView(panel, dialog) },
  { id: "journal", label: "Journal", view: (panel) => new JournalView(panel, dialog) },
  { id: "cache", label: "Cache", view: (panel) => new CacheView(panel) },
  { id: "drill", label: "Drill", view: (panel) => new DrillView(panel) },
  { id: "clients", label: "Clients", view: (panel) => new ClientsView(panel) },
  { id: "config", label: "Config", view: (panel) => new ConfigView(panel) },
], () => {
  load();
  show();
});

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
  top.showLive(paused);
  const { status } = feed;
  // Links do not carry the token, so they would lead to a refusal.
  document.querySelector("footer").classList.toggle("locked", hasToken() || !status);
  if (!status || paused) return;
  top.show(status);
  badges(status);
  say(byId("uptime"), `Mainstay ${status.version}, up ${span(status.uptime_ms)}`);
  tabs.chosen.show?.(status, samples);
}

function showOverview(status) {
  // Without news nothing is known of the time since.
  const time = feed.isLost() ? feed.heardAt : now();
  const colours = new Map(status.backends.map((backend, at) => [backend.name, colour(`--series-${at % COLOURS}`)]));
  const recoveries = status.backends.flatMap((backend) => history.recoveries(backend, time)).sort((a, b) => a.to - b.to);
  kpis.show(samples, time, recoveries, status);
  topology.show(status, samples, colours, feed.thresholds);
  const window = reach(time);
  charts.show(samples, window, status.backends, colours, history);
  timeline.show(history, status, samples, window);
  table.know(status.backends.map((backend) => backend.name));
  table.show();
}

/** The chosen range, but no further back than something is known. */
function reach(time) {
  const known = Math.min(samples.begun * 1000, history.events[0]?.unix_ms ?? time);
  const long = Math.min(seconds * 1000, Math.max(60_000, (time - known) * 1.04));
  return [time - long, time];
}

/** What a tab holds that wants a look. */
function badges(status) {
  const { journal, locks, dirty_keys: dirty } = status;
  const waiting = (journal?.depth ?? 0) + (journal?.dead_letters ?? 0);
  tabs.badge("journal", waiting, "warn", "writes wait");
  tabs.badge("locks", locks.held, "off", "held by this process");
  tabs.badge("drill", status.backends.filter((backend) => backend.injected).length, "warn", "fault injected by a drill");
  tabs.badge("cache", dirty, "warn", "keys to catch up");
}

async function load() {
  if (paused || document.hidden || !feed.status) return;
  await tabs.chosen.load?.();
}

// Controls.

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
  const repaint = () => {
    forgetColours();
    soon();
  };
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
    repaint();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
}

/** Again and again, the next only when the last has ended. */
async function every(ms, work) {
  for (;;) {
    await work();
    await new Promise((resolve) => { setTimeout(resolve, ms); });
  }
}

byId("app").hidden = false;
tabs.start();
startTools();
feed.start();
every(TAB_MS, load);
setInterval(soon, SECOND_MS);
