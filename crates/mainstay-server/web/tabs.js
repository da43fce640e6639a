// The row of tabs and their panels. Each view is made when it is first chosen. The address names the tab as `#/locks`:
// with the panel's own name the browser would scroll to it.

import { byId, h } from "./dom.js";

export class Tabs {
  #list;
  #main;
  #all;
  #made = new Map();
  #name;
  #changed;

  /** `all`: { id, label, view(panel) } each; the first is chosen where the address names none. */
  constructor(list, main, all, changed) {
    [this.#list, this.#main, this.#all, this.#changed] = [list, main, all, changed];
    for (const { id, label } of all) {
      const mark = h("span", { class: "badge", hidden: true });
      list.append(h("button", { type: "button", role: "tab", id: `tab-${id}`, "aria-controls": id, onclick: () => { location.hash = `/${id}`; } }, label, mark));
      if (!byId(id)) main.append(h("div", { role: "tabpanel", id, "aria-labelledby": `tab-${id}`, hidden: true }));
    }
    list.addEventListener("keydown", (event) => this.#key(event));
  }

  start() {
    const named = () => this.#all.find(({ id }) => id === location.hash.slice(2))?.id ?? this.#all[0].id;
    addEventListener("hashchange", () => this.#choose(named()));
    this.#choose(named());
  }

  /** The view that is seen. */
  get chosen() {
    return this.#made.get(this.#name);
  }

  /** A number on a tab; none for zero. */
  badge(id, number, look, what) {
    const mark = byId(`tab-${id}`).querySelector(".badge");
    const text = number > 0 ? (number > 999 ? "999+" : String(number)) : "";
    if (mark.dataset.now === text) return;
    mark.dataset.now = text;
    mark.className = `badge ${look}`;
    mark.hidden = text === "";
    mark.replaceChildren(text, h("span", { class: "visually-hidden" }, ` ${what}`));
  }

  #choose(name) {
    this.#name = name;
    for (const { id, view } of this.#all) {
      const tab = byId(`tab-${id}`);
      tab.setAttribute("aria-selected", String(id === name));
      tab.tabIndex = id === name ? 0 : -1;
      byId(id).hidden = id !== name;
      if (id === name && !this.#made.has(id)) this.#made.set(id, view(byId(id)));
    }
    // Only the row itself is moved: on a phone it is wider than the screen.
    const tab = byId(`tab-${name}`);
    this.#list.scrollTo({ left: tab.offsetLeft - this.#list.offsetLeft - 40 });
    this.#changed();
  }

  #key(event) {
    const at = this.#all.findIndex(({ id }) => id === this.#name);
    const last = this.#all.length - 1;
    const next = { ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at === 0 ? last : at - 1, Home: 0, End: last }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    const { id } = this.#all[next];
    location.hash = `/${id}`;
    byId(`tab-${id}`).focus();
  }
}
