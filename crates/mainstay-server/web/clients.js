// Who is connected over RESP, and with which library.

import { h, say, span, whole, refill, saveCsv, scrolling } from "./dom.js";
import { get } from "./api.js";

const LIMIT = 1000;
const ROWS_MAX = 200;

export class ClientsView {
  #note = h("p", { class: "note", role: "status" });
  #text = h("input", { type: "search", placeholder: "Filter", "aria-label": "Filter clients" });
  #libraries = h("ul", { class: "libraries" });
  #table = scrolling("Clients", ["Number", "Library", "Name", "Address", "RESP", "Connected", "Idle", "Commands", "Last"], "cards");
  #found = { clients: [], connected: 0, max: 0 };

  constructor(panel) {
    this.#text.addEventListener("input", () => this.#fill());
    const save = h("button", { type: "button", onclick: () => this.#save() }, "Save CSV");
    panel.append(h("section", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, "Clients over RESP"), this.#note, h("div", { class: "tools" }, this.#text, save)), this.#libraries, this.#table.root));
  }

  async load() {
    try {
      this.#found = await get(`/v1/clients?limit=${LIMIT}`);
      this.#fill();
    } catch (error) {
      say(this.#note, error.message);
    }
  }

  #matching() {
    const text = this.#text.value.trim().toLowerCase();
    return this.#found.clients.filter((client) => !text || `${library(client)} ${client.name} ${client.address} ${client.last_command}`.toLowerCase().includes(text));
  }

  #fill() {
    const { clients, connected, max, next } = this.#found;
    const found = this.#matching();
    say(this.#note, `${whole(connected)} of ${whole(max)} places taken${next === undefined ? "" : `; the first ${LIMIT}`}${found.length > ROWS_MAX ? `; ${ROWS_MAX} shown` : ""}`);
    const libraries = new Map();
    for (const client of clients) libraries.set(library(client), (libraries.get(library(client)) ?? 0) + 1);
    refill(this.#libraries, JSON.stringify([...libraries]), () => [...libraries].sort((a, b) => b[1] - a[1]).slice(0, 12).map(([name, times]) => h("li", {}, h("b", {}, whole(times)), ` × ${name}`)));
    const shown = found.slice(0, ROWS_MAX);
    refill(this.#table.body, JSON.stringify(shown), () => (shown.length > 0 ? shown.map(row) : [h("tr", { class: "nothing" }, h("td", { colspan: 9 }, clients.length === 0 ? "Nobody is connected." : "No client matches."))]));
  }

  #save() {
    saveCsv("mainstay-clients", [["number", "library", "version", "name", "address", "resp", "connected_ms", "idle_ms", "commands", "last"],
      ...this.#matching().map((each) => [each.id, each.library, each.library_version, each.name, each.address, each.protocol, each.age_ms, each.idle_ms, each.commands, each.last_command])]);
  }
}

function library({ library: name, library_version: version }) {
  return name ? `${name} ${version}`.trim() : "not said";
}

function row(client) {
  const cells = [["Number", whole(client.id), "number"], ["Library", library(client)], ["Name", client.name || "–"], ["Address", client.address, "wrap"], ["RESP", String(client.protocol)], ["Connected", span(client.age_ms)],
    ["Idle", span(client.idle_ms)], ["Commands", whole(client.commands), "number"], ["Last", client.last_command || "–"]];
  return h("tr", {}, cells.map(([label, text, cls]) => h("td", { "data-label": label, class: cls }, text)));
}
