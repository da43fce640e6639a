// Who holds which lock, under which token, for how long yet; released by hand with a reason.

import { h, say, icon, span, exact, whole, figures, refill, scrolling } from "./dom.js";
import { change, get } from "./api.js";
import { ask } from "./dialog.js";

const LIMIT = 500;
const ROWS_MAX = 200;
const MODES = { record: "a row of the record", quorum: "a majority of servers", failover: "one server at a time", redis: "one Redis", local: "this host", none: "nobody" };
const WORTH = {
  fenced: "tokens only grow: writes that carry them are safe",
  best_effort: "a failover may forget a lock",
  host: "among the processes of this host",
  process: "within this process",
  none: "no backend grants locks",
};

export class LocksView {
  #dialog;
  #figures = h("dl", { class: "figures" });
  #note = h("p", { class: "note", role: "status" });
  #text = h("input", { type: "search", placeholder: "Filter", "aria-label": "Filter locks by name or holder" });
  #free = h("input", { type: "checkbox" });
  #table = scrolling("Locks", ["Name", "State", "Holder", "Token", "Time left", ""], "cards locks");
  #found = [];
  #askedAt = 0;
  #more = false;
  #lefts = [];

  constructor(panel, dialog) {
    this.#dialog = dialog;
    for (const input of [this.#text, this.#free]) input.addEventListener("input", () => this.#fill());
    panel.append(
      h("section", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, "Who grants locks")), this.#figures),
      h("section", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, "Locks"), this.#note, h("div", { class: "tools" }, h("label", { class: "choice" }, this.#free, "free ones too"), this.#text)), this.#table.root));
  }

  show({ locks }) {
    figures(this.#figures, [
      ["Granted by", locks.backends.join(", ") || "nobody", MODES[locks.mode] ?? locks.mode],
      ["Guarantee", locks.guarantee.replace("_", " "), WORTH[locks.guarantee] ?? ""],
      ["Held here", whole(locks.held), "by this process"],
      ["Waiting here", whole(locks.waiting), "calls of this process"],
      ["Granted", whole(locks.granted), `${whole(locks.contended)} attempts found it held`],
      ["Lost", whole(locks.lost), "leases that ended too early", locks.lost > 0 ? "warn" : ""],
      ["Releases", whole(locks.releasing), `to be sent; ${whole(locks.unreleased)} given up`],
    ]);
    this.#tick();
  }

  async load() {
    try {
      const { locks, next } = await get(`/v1/locks?limit=${LIMIT}`);
      [this.#found, this.#more, this.#askedAt] = [locks, next !== undefined, performance.now()];
      this.#fill();
    } catch (error) {
      const known = this.#askedAt > 0 ? "this is the last answer; " : "";
      say(this.#note, `Cannot be asked now; ${known}${error.message}`);
    }
  }

  #fill() {
    const text = this.#text.value.trim().toLowerCase();
    const rows = this.#found.filter((lock) => (lock.held || this.#free.checked) && (!text || `${lock.name} ${lock.note}`.toLowerCase().includes(text)));
    const held = this.#found.filter((lock) => lock.held).length;
    say(this.#note, `${whole(held)} held, ${whole(this.#found.length - held)} free${this.#more ? `; the first ${LIMIT}` : ""}${rows.length > ROWS_MAX ? `; ${ROWS_MAX} shown` : ""}`);
    const shown = rows.slice(0, ROWS_MAX);
    refill(this.#table.body, JSON.stringify(shown.map((lock) => [lock.name, lock.token, lock.held, lock.note])), () => {
      this.#lefts = [];
      return shown.length > 0 ? shown.map((lock) => this.#row(lock)) : [h("tr", { class: "nothing" }, h("td", { colspan: 6 }, held === 0 && !text ? "Nobody holds a lock." : "No lock matches."))];
    });
    for (const each of this.#lefts) each.lock = shown.find((lock) => lock.name === each.lock.name) ?? each.lock;
    this.#tick();
  }

  #row(lock) {
    const left = h("span", {});
    if (lock.held) this.#lefts.push({ left, lock });
    const button = lock.held ? h("button", { type: "button", onclick: () => this.#release(lock), "aria-label": `Release ${lock.name}` }, "Release") : null;
    return h("tr", {}, h("td", { "data-label": "Name" }, h("code", {}, lock.name)), h("td", { "data-label": "State" }, h("span", { class: `chip ${lock.held ? "ok" : "off"}` }, lock.held ? "held" : "free")),
      h("td", { "data-label": "Holder" }, lock.held ? lock.note : h("span", { class: "note" }, lock.note ? `last ${lock.note}` : "–")), h("td", { "data-label": "Token", class: "number" }, whole(lock.token)),
      h("td", { "data-label": "Time left", class: "number" }, left), h("td", { class: "act" }, button));
  }

  /** The time that is left runs down between two answers. */
  #tick() {
    const since = performance.now() - this.#askedAt;
    for (const { left, lock } of this.#lefts) say(left, (lock.left_ms ?? 0) > since ? exact(Math.ceil((lock.left_ms - since) / 1000) * 1000) : "over");
  }

  #release(lock) {
    ask(this.#dialog, {
      title: `Release ${lock.name}`,
      now: [icon("off"), ` held by ${lock.note || "somebody"}, token ${whole(lock.token)}, for ${span(lock.left_ms ?? 0)} more`],
      choices: [{
        label: "Release the lock",
        says: () => "Anybody may take it at once. Its holder is not told and goes on until its next renewal fails: only writes that carry the token are refused.",
        send: (reason) => change("DELETE", `/v1/locks/${lock.name.split("/").map(encodeURIComponent).join("/")}?token=${lock.token}&reason=${encodeURIComponent(reason)}`),
      }],
      done: () => this.load(),
    });
  }
}
