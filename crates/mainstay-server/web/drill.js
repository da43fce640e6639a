// A drill on the running system: begun with a reason, watched while it runs, aborted, and what it came to.

import { h, say, icon, exact, moment, refill, scrolling } from "./dom.js";
import { change, drill, get } from "./api.js";

const STEPS_MAX = 200;
const SPANS = [["15s", "15 seconds"], ["45s", "45 seconds"], ["2m", "2 minutes"], ["5m", "5 minutes"]];
const SHARES = [[1, "every call"], [0.5, "50 % of the calls"], [0.2, "20 % of the calls"], [0.05, "5 % of the calls"]];
const LIMITS = [[0.01, "1 %"], [0.05, "5 %"], [0.2, "20 %"], [1, "never"]];
/** What loses data, or breaks more than one backend, is for throw-away servers. */
const FAULTS = ["refuse", "hang", "partition", "slow", "reset", "flap", "auth", "crash"];
const STATES = { running: "warn", passed: "ok", missed: "bad", aborted: "off", failed: "bad" };

export class DrillView {
  #scenarios = h("select", { name: "scenario" });
  #backends = h("select", { name: "backend" });
  #spans = h("select", { name: "for" }, SPANS.map(([value, text]) => h("option", { value, selected: value === "45s" }, text)));
  #shares = h("select", { name: "share" }, SHARES.map(([value, text]) => h("option", { value }, text)));
  #limits = h("select", { name: "limit" }, LIMITS.map(([value, text]) => h("option", { value, selected: value === 0.05 }, text)));
  #canary = h("input", { type: "checkbox", name: "canary" });
  #reason = h("input", { name: "reason", required: true, maxlength: 200, autocomplete: "off" });
  #says = h("p", { class: "consequence" });
  #failed = h("p", { class: "failed", role: "alert" });
  #go = h("button", { class: "primary" }, "Start the drill");
  #stop = h("button", { type: "button", onclick: () => this.#abort() }, "Abort");
  #title = h("h2", {}, "Under way");
  #now = h("p", { class: "note", role: "status" });
  #live = h("section", { class: "panel", hidden: true });
  #steps = scrolling("What happens in the drill", ["Time", "What", ""], "steps");
  #past = scrolling("Drills", ["Begun", "Scenario", "Backend", "Ended", "Recovery", "Why"], "cards drills");
  #verdicts = h("ul", { class: "verdicts" });
  #lines = [];
  #own = null;
  #running = null;
  #allowed = true;

  constructor(panel) {
    const row = (label, field) => h("label", { class: "row" }, label, field);
    const form = h("form", { class: "drill", oninput: () => this.#explain(), onsubmit: (event) => this.#start(event) },
      row("Scenario", this.#scenarios), row("Backend", this.#backends), row("For", this.#spans), row("It meets", this.#shares), row("Abort above so many failures", this.#limits),
      h("label", { class: "choice" }, this.#canary, "write and read a few keys of its own"), h("label", { class: "row why-row" }, "Why", this.#reason), this.#says, this.#failed, h("div", { class: "buttons" }, this.#go));
    this.#live.append(h("div", { class: "head" }, this.#title, this.#now, h("div", { class: "tools" }, this.#stop)), this.#steps.root);
    panel.append(
      h("section", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, "Drill this system"), h("p", { class: "note" }, "The fault is injected inside Mainstay; no backend is touched")), form),
      this.#live,
      h("section", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, "Drills so far")), this.#verdicts, this.#past.root));
  }

  show({ backends }) {
    const names = backends.filter((backend) => backend.engine !== "memory").map((backend) => backend.name);
    const known = [...this.#backends.options].map((option) => option.value);
    if (`${known}` !== `${names}`) this.#backends.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
    this.#explain();
  }

  async load() {
    try {
      const { running, ended, scenarios, allowed } = await get("/v1/drills");
      this.#allowed = allowed;
      [this.#running] = [running];
      this.#offer(scenarios);
      if (running && !this.#own) this.#hear(running.now ?? {}, running);
      this.#live.hidden = !running && this.#lines.length === 0;
      this.#stop.hidden = !running;
      say(this.#title, running ? "Under way" : "Ended");
      this.#tell(ended);
      this.#explain();
    } catch (error) {
      say(this.#failed, `Cannot be asked now: ${error.message}`);
    }
  }

  #offer(scenarios) {
    if (this.#scenarios.options.length > 0) return;
    const fit = scenarios.filter(({ fault, target }) => FAULTS.includes(fault.kind) && target !== "all");
    this.#scenarios.append(...fit.map(({ name, description }) => h("option", { value: name, title: description }, name)));
  }

  #explain() {
    this.#go.disabled = !this.#allowed || this.#running !== null || this.#own !== null;
    const whole = Number(this.#shares.value) === 1;
    const text = this.#allowed
      ? `${this.#backends.value || "The backend"} fails for its callers for ${this.#spans.selectedOptions[0].text}${whole ? ", its probes too: it is declared down" : ""}. It is aborted when this page is closed. The reason goes to the log and the events, with your address.`
      : "Not allowed here: a drill breaks what serves, so a token has to be configured (http.token_file).";
    say(this.#says, text);
  }

  async #start(event) {
    event.preventDefault();
    say(this.#failed, "");
    this.#lines = [];
    this.#own = new AbortController();
    this.#explain();
    const order = { scenario: this.#scenarios.value, backend: this.#backends.value, for: this.#spans.value, share: Number(this.#shares.value), abort_error_rate: Number(this.#limits.value), canary: this.#canary.checked, reason: this.#reason.value };
    try {
      await drill(order, this.#own.signal, (name, data) => this.#message(name, data));
    } catch (error) {
      if (!this.#own.signal.aborted) say(this.#failed, `Not done: ${error.message}`);
    } finally {
      this.#own = null;
      this.load();
    }
  }

  #message(name, data) {
    if (name === "start") [this.#running, this.#live.hidden, this.#stop.hidden] = [data, false, false];
    if (name === "step") this.#step(data.at_ms, data.word, data.text, data.bad ? "bad" : "ok");
    if (name === "retry_update") this.#hear(data, this.#running);
    if (name === "complete") this.#end(data.passed ? "passed" : "missed", data.message, data.passed ? "ok" : "bad");
    if (name === "error") this.#end("ended", data.message, "off");
  }

  #hear(now, { scenario, backend }) {
    const left = now.remaining_s === undefined ? "" : `, ${exact(now.remaining_s * 1000)} left`;
    say(this.#now, now.phase ? `${scenario} on ${backend}: ${now.phase}${left}; ${backend} ${now.health ?? "unknown"}, breaker ${(now.breaker ?? "unknown").replace("_", "-")}, ${now.attempts} attempts to connect` : `${scenario} on ${backend}: beginning`);
  }

  #end(word, text, look) {
    say(this.#now, text);
    this.#step(null, word, text, look);
  }

  #step(atMs, word, text, look) {
    this.#lines.push({ atMs, word, text, look });
    if (this.#lines.length > STEPS_MAX) this.#lines.shift();
    const time = (ms) => (ms === null ? "" : `${(ms / 1000).toFixed(1)} s`);
    this.#steps.body.replaceChildren(...this.#lines.map((line) => h("tr", {}, h("td", { class: "time" }, time(line.atMs)), h("td", { class: "what" }, icon(line.look), h("span", {}, line.word)), h("td", { class: "why" }, line.text))));
    this.#steps.root.scrollTop = this.#steps.root.scrollHeight;
  }

  #tell(ended) {
    refill(this.#past.body, JSON.stringify(ended), () => (ended.length > 0 ? ended.map(row) : [h("tr", { class: "nothing" }, h("td", { colspan: 6 }, "None since the start."))]));
    const last = ended[0]?.thresholds ?? [];
    refill(this.#verdicts, JSON.stringify(last), () => last.map(({ threshold, met, shown }) => h("li", {}, icon(met ? "ok" : "bad"), ` ${threshold}: ${shown}${met ? "" : ", missed"}`)));
  }

  async #abort() {
    if (!this.#running) return;
    try {
      await change("DELETE", `/v1/drills/${encodeURIComponent(this.#running.id)}?reason=${encodeURIComponent("aborted on the dashboard")}`);
    } catch (error) {
      say(this.#failed, `Not aborted: ${error.message}`);
      // Its stream ends it too.
      this.#own?.abort();
    }
  }
}

function row(drill) {
  const cell = (label, ...content) => h("td", { "data-label": label }, ...content);
  return h("tr", {}, cell("Begun", moment(drill.began_unix_ms)), cell("Scenario", drill.scenario), cell("Backend", drill.backend), cell("Ended", h("span", { class: `chip ${STATES[drill.state] ?? "off"}` }, drill.state), drill.message ? h("span", { class: "note" }, ` ${drill.message}`) : null),
    cell("Recovery", typeof drill.recovery_ms === "number" ? exact(drill.recovery_ms) : "–"), cell("Why", `${drill.reason} (by ${drill.actor})`));
}
