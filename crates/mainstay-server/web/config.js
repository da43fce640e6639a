// The configuration in effect, as tables.

import { h, say } from "./dom.js";
import { get } from "./api.js";

export class ConfigView {
  #filter = h("input", { type: "search", placeholder: "Filter keys and values", "aria-label": "Filter the configuration" });
  #note = h("p", { class: "note", role: "status" });
  #host = h("div", { class: "sections" });

  constructor(panel) {
    this.#filter.addEventListener("input", () => this.#narrow());
    const again = h("button", { type: "button", onclick: () => this.load() }, "Read again");
    panel.append(h("section", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, "Configuration in effect"), this.#note, h("div", { class: "tools" }, this.#filter, again)), this.#host));
  }

  async load() {
    say(this.#note, "reading");
    try {
      const config = await get("/v1/config");
      this.#host.replaceChildren(...parts(config).map(([name, value]) => section(name, value)));
      this.#narrow();
    } catch (error) {
      say(this.#note, `cannot be read: ${error.message}`);
    }
  }

  #narrow() {
    const text = this.#filter.value.trim().toLowerCase();
    let left = 0;
    for (const part of this.#host.children) {
      let any = false;
      for (const row of part.querySelectorAll("tbody tr")) {
        row.hidden = !`${row.dataset.path}${row.textContent}`.toLowerCase().includes(text);
        any ||= !row.hidden;
        left += row.hidden ? 0 : 1;
      }
      part.hidden = !any;
    }
    say(this.#note, `${left} ${left === 1 ? "key" : "keys"}; secrets are shown as ***`);
  }
}

/** The tables of the file: `[backends.redis]`, `[[route]]`, `[http]`. */
function parts(config) {
  return Object.entries(config).flatMap(([name, value]) => {
    if (Array.isArray(value)) return value.map((each) => [`[[${name}]]`, each]);
    if (name === "backends") return Object.entries(value).map(([inner, each]) => [`[${name}.${inner}]`, each]);
    return [[`[${name}]`, value]];
  });
}

function section(name, value) {
  const rows = flatten(value, "").map(([path, shown]) => h("tr", { "data-path": `${name} ${path} ` }, h("th", { scope: "row" }, path || "(value)"), h("td", { class: shown === null ? "unset" : "" }, shown ?? "not set")));
  return h("table", { class: "config" }, h("caption", {}, name), h("tbody", {}, rows));
}

function flatten(value, path) {
  if (value === null || typeof value !== "object") return [[path, value === null ? null : String(value)]];
  if (Array.isArray(value) && value.every((each) => typeof each !== "object")) return [[path, value.length > 0 ? value.join(", ") : null]];
  const entries = Object.entries(value);
  if (entries.length === 0) return [[path, null]];
  return entries.flatMap(([key, inner]) => flatten(inner, Array.isArray(value) ? `${path}[${key}]` : path ? `${path}.${key}` : key));
}
