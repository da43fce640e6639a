// Writes that wait for a record, how fast they are taken, and those that will never be.

import { h, s, say, icon, bytes, count, figures, moment, refill, rich, scrolling, span, whole } from "./dom.js";
import { change, get } from "./api.js";
import { ask } from "./dialog.js";

const LIMIT = 100;
const REACH = 300;
const RATE = 10;
const NONE = "No route has a journal. With `on_record_down = \"journal\"` a record route keeps the writes that come while its record is down, and applies them in order when it is back.";

export class JournalView {
  #dialog;
  #none = h("p", { class: "panel hint" });
  #figures = h("dl", { class: "figures" });
  #line = s("path", { class: "line" });
  #area = s("path", { class: "area" });
  #scale = h("p", { class: "note" });
  #note = h("p", { class: "note", role: "status" });
  #replay = h("button", { type: "button", onclick: () => this.#again() }, "Try again now");
  #waiting = scrolling("Writes that wait", ["Number", "Since", "Route", "What", "Key"], "cards");
  #dead = scrolling("Dead letters", ["Number", "Since", "What", "Key", "Why", ""], "cards");
  #deadNote = h("p", { class: "note" });
  #parts;
  #has = false;

  constructor(panel, dialog) {
    this.#dialog = dialog;
    const spark = s("svg", { class: "depth", viewBox: "0 0 600 60", preserveAspectRatio: "none", "aria-hidden": "true" }, this.#area, this.#line);
    this.#parts = [
      h("section", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, "Journal"), this.#scale, h("div", { class: "tools" }, this.#replay)), this.#figures, spark),
      h("section", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, "Writes that wait"), this.#note), this.#waiting.root),
      h("section", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, "Dead letters"), this.#deadNote), this.#dead.root),
    ];
    panel.append(this.#none, ...this.#parts);
    rich(this.#none, NONE);
  }

  show(status, samples) {
    const { journal } = status;
    this.#has = journal !== undefined;
    this.#none.hidden = this.#has;
    for (const part of this.#parts) part.hidden = !this.#has;
    if (!this.#has) return;
    const rate = samples.recent(RATE);
    const seconds = rate ? rate.delta.applied / rate.seconds : 0;
    figures(this.#figures, [
      ["Waiting", whole(journal.depth), journal.full ? "full: it takes no more" : "writes", journal.full ? "bad" : journal.depth > 0 ? "warn" : ""],
      ["Oldest", journal.oldest_age_ms === undefined ? "–" : span(journal.oldest_age_ms), journal.oldest_age_ms === undefined ? "nothing waits" : "has waited"],
      ["On disk", bytes(journal.bytes), journal.damaged_bytes > 0 ? `${bytes(journal.damaged_bytes)} unreadable, set aside` : "its files"],
      ["Replay rate", `${count(seconds)}/s`, seconds > 0 && journal.depth > 0 ? `done in ${span((journal.depth / seconds) * 1000)}` : `in the last ${RATE} s`],
      ["Applied", whole(journal.applied), "since the start"],
      ["Conflicts", whole(journal.conflicts), "met somebody else's write"],
      ["Dead letters", whole(journal.dead_letters), "will not be applied", journal.dead_letters > 0 ? "bad" : ""],
    ]);
    this.#draw(samples);
  }

  #draw(samples) {
    const end = samples.end;
    const points = samples.since(end - REACH, REACH);
    const most = Math.max(1, ...points.map(({ level }) => level.journal));
    const at = ({ t, level }) => `${(600 - ((end - t) / REACH) * 600).toFixed(1)} ${(58 - (level.journal / most) * 54).toFixed(1)}`;
    const path = points.map(at).join("L");
    this.#line.setAttribute("d", path ? `M${path}` : "");
    this.#area.setAttribute("d", path ? `M${path}L600 60L${(600 - ((end - points[0].t) / REACH) * 600).toFixed(1)} 60Z` : "");
    say(this.#scale, `Depth of the last ${REACH / 60} minutes, at most ${whole(most)}`);
  }

  async load() {
    if (!this.#has) return;
    try {
      const { entries, next, dead_letters: letters } = await get(`/v1/journal?limit=${LIMIT}`);
      say(this.#note, next === undefined ? `${whole(entries.length)}, in their order` : `the first ${LIMIT}, in their order`);
      say(this.#deadNote, letters.length > 0 ? "each waits until somebody has looked" : "");
      refill(this.#waiting.body, JSON.stringify(entries.map((entry) => entry.seq)), () => (entries.length > 0 ? entries.map(waiting) : nothing(5, "Nothing waits.")));
      refill(this.#dead.body, JSON.stringify(letters.map((entry) => entry.seq)), () => (letters.length > 0 ? letters.map((entry) => this.#letter(entry)) : nothing(6, "There is none.")));
    } catch (error) {
      say(this.#note, `cannot be read: ${error.message}`);
    }
  }

  #letter(entry) {
    return h("tr", {}, h("td", { "data-label": "Number", class: "number" }, whole(entry.seq)), h("td", { "data-label": "Since" }, moment(entry.dead_since_unix_ms)), h("td", { "data-label": "What" }, entry.op),
      h("td", { "data-label": "Key" }, h("code", {}, keys(entry))), h("td", { "data-label": "Why", class: "why" }, entry.reason),
      h("td", { class: "act" }, h("button", { type: "button", "aria-label": `Discard dead letter ${entry.seq}`, onclick: () => this.#discard(entry) }, "Discard")));
  }

  #discard(entry) {
    ask(this.#dialog, {
      title: `Discard dead letter ${entry.seq}`,
      now: [icon("bad"), ` ${entry.op} ${keys(entry)}: ${entry.reason}`],
      choices: [{ label: "Discard for ever", says: () => "The write is forgotten and never applied. Export it first with `mainstay journal export` if it may be needed.".replaceAll("`", ""), send: (reason) => change("DELETE", `/v1/journal/dead-letters/${entry.seq}?reason=${encodeURIComponent(reason)}`) }],
      done: () => this.load(),
    });
  }

  #again() {
    ask(this.#dialog, {
      title: "Try again now",
      now: [icon("warn"), " what waits in the journal"],
      choices: [{ label: "Try again now", says: () => "What waits is offered to its record at once, not only at the next turn.", send: (reason) => change("POST", "/v1/journal/replay", { reason }) }],
      done: () => this.load(),
    });
  }
}

function waiting(entry) {
  return h("tr", {}, h("td", { "data-label": "Number", class: "number" }, whole(entry.seq)), h("td", { "data-label": "Since" }, moment(entry.accepted_unix_ms)), h("td", { "data-label": "Route" }, h("code", {}, entry.route)),
    h("td", { "data-label": "What" }, entry.op), h("td", { "data-label": "Key" }, h("code", {}, keys(entry))));
}

function nothing(columns, text) {
  return [h("tr", { class: "nothing" }, h("td", { colspan: columns }, text))];
}

/** The key, or how many. Values are not shown. */
function keys(entry) {
  const many = entry.entries ?? entry.keys;
  return entry.key ?? entry.key_base64 ?? (many ? `${whole(many.length)} keys` : "–");
}
