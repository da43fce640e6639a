// The events as a table that can be filtered and saved.

import { h, say, icon, moment, refill, saveCsv } from "./dom.js";
import { describe, why } from "./history.js";

const ROWS_MAX = 100;
const KINDS = ["breaker", "health", "connection", "stuck_reset", "flapping", "drain", "drill", "readmission", "lifecycle", "copies", "journal", "lock", "storage"];

export class EventTable {
  #text = h("input", { type: "search", placeholder: "Filter", "aria-label": "Filter events by text" });
  #backend = h("select", { "aria-label": "Backend" }, h("option", { value: "" }, "all backends"));
  #kind = h("select", { "aria-label": "Kind" }, h("option", { value: "" }, "all kinds"), h("option", { value: "!connection" }, "all but attempts"), KINDS.map((kind) => h("option", { value: kind }, kind.replace("_", " "))));
  #note = h("p", { class: "note" });
  #body = h("tbody");
  #history;

  constructor(section, history) {
    this.#history = history;
    for (const input of [this.#text, this.#backend, this.#kind]) input.addEventListener("input", () => this.show());
    const save = h("button", { type: "button", onclick: () => this.#save() }, "Save CSV");
    section.append(h("div", { class: "head" }, h("h2", {}, "History"), this.#note, h("div", { class: "tools" }, this.#text, this.#backend, this.#kind, save)),
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Events" }, h("table", { class: "events" },
        h("thead", {}, h("tr", {}, ["Time", "Backend", "Kind", "What", "Why"].map((text) => h("th", { scope: "col" }, text)))), this.#body)));
  }

  /** Offers these backends to filter by. */
  know(names) {
    const known = [...this.#backend.options].map((option) => option.value);
    for (const name of names) if (!known.includes(name)) this.#backend.append(h("option", { value: name }, name));
  }

  show() {
    const key = `${this.#history.version} ${this.#text.value} ${this.#backend.value} ${this.#kind.value}`;
    if (this.#body.dataset.key === key) return;
    const found = this.#matching();
    const all = this.#history.events.length;
    say(this.#note, `${found.length > ROWS_MAX ? `the newest ${ROWS_MAX} of ${found.length}` : `${found.length}`} of ${all} kept`);
    refill(this.#body, key, () => (found.length > 0 ? found.slice(-ROWS_MAX).reverse().map(row) : [h("tr", { class: "nothing" }, h("td", { colspan: 5 }, "No event matches."))]));
  }

  #matching() {
    const [text, backend, kind] = [this.#text.value.trim().toLowerCase(), this.#backend.value, this.#kind.value];
    return this.#history.events.filter((event) => {
      if (backend && event.backend !== backend) return false;
      if (kind.startsWith("!") ? event.kind === kind.slice(1) : kind && event.kind !== kind) return false;
      return !text || `${event.backend ?? ""} ${describe(event).kind} ${describe(event).text} ${why(event)}`.toLowerCase().includes(text);
    });
  }

  #save() {
    saveCsv("mainstay-events", [["time", "id", "backend", "kind", "what", "why", "actor"],
      ...this.#matching().map((event) => [new Date(event.unix_ms).toISOString(), event.id, event.backend ?? "", event.kind, describe(event).text, why(event), event.actor ?? ""])]);
  }
}

/** A row is made once; it stays what it is. */
const rows = new WeakMap();

function row(event) {
  if (!rows.has(event)) rows.set(event, made(event));
  return rows.get(event);
}

function made(event) {
  const { kind, text, look } = describe(event);
  const shape = look === "none" ? null : icon(look);
  return h("tr", {}, h("td", { class: "time" }, moment(event.unix_ms)), h("td", {}, event.backend ?? "–"), h("td", {}, kind), h("td", { class: "what" }, shape, h("span", {}, text)), h("td", { class: "why" }, why(event)));
}
