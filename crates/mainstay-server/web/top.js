// The top: how things stand in one word and one sentence, whether what is shown is of now, and what is said aloud.

import { byId, clock, h, icon, refill, rich, say } from "./dom.js";
import { view } from "./topology.js";

const HEADLINES = { up: ["HEALTHY", "ok"], degraded: ["DEGRADED", "warn"], down: ["DOWN", "bad"] };

function headline(status) {
  return status.draining ? ["DRAINING", "off"] : HEADLINES[status.health];
}

export class Top {
  #feed;
  #before = null;
  #news = [];

  constructor(feed) {
    this.#feed = feed;
  }

  show(status) {
    const [text, look] = headline(status);
    const state = byId("state");
    if (state.dataset.shown !== text) {
      state.dataset.shown = text;
      state.replaceChildren(icon(look), h("span", {}, text));
      byId("banner").dataset.look = look;
      document.title = `${text} · Mainstay`;
    }
    rich(byId("sentence"), status.sentence);
    const warnings = status.warnings ?? [];
    refill(byId("warnings"), JSON.stringify(warnings), () => warnings.map((text) => h("li", {}, icon("warn"), h("span", {}, text))));
    byId("warnings").hidden = warnings.length === 0;
    say(byId("version"), status.version);
    this.#compare(text, status);
  }

  /** Live, paused, or stale; a page that knows nothing new must not look as if it did. */
  showLive(paused) {
    const { heardAt, asking, status } = this.#feed;
    const lost = heardAt === 0 || this.#feed.isLost();
    const stale = lost && heardAt > 0;
    document.body.classList.toggle("stale", stale);
    const words = stale ? `stale since ${clock(heardAt)}` : lost ? (asking ? "token required" : "no answer yet") : paused ? "paused" : "live";
    byId("lost").hidden = !stale;
    if (stale) say(byId("lost"), `No connection to Mainstay. This is how it stood at ${clock(heardAt)}:`);
    const live = byId("live");
    live.className = `live ${lost ? "lost" : paused ? "paused" : "on"}`;
    if (live.textContent === words) return;
    if (stale) this.#announce(`No connection to Mainstay; ${words}.`);
    else if (words === "live" && live.textContent.startsWith("stale")) this.#announce("Connected again.");
    say(live, words);
    if (status) document.title = `${stale ? "STALE" : headline(status)[0]} · Mainstay`;
  }

  /** Says aloud what has changed since the last time. */
  #compare(text, status) {
    const words = new Map(status.backends.map((backend) => [backend.name, view(backend).word]));
    const before = this.#before;
    this.#before = { text, words };
    if (!before) return;
    if (before.text !== text) this.#announce(`Mainstay is now ${text.toLowerCase()}.`);
    for (const [name, word] of words) {
      if (before.words.has(name) && before.words.get(name) !== word) this.#announce(`${name}: ${word}.`);
    }
  }

  /** Changes of state only, gathered for a second. */
  #announce(text) {
    if (this.#news.length === 0) {
      setTimeout(() => {
        byId("announce").textContent = this.#news.slice(-5).join(" ");
        this.#news = [];
      }, 1000);
    }
    this.#news.push(text);
  }
}
