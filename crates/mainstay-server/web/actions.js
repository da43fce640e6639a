// What an operator may do to a backend, and the dialog that asks why and for how long.

import { h, say, icon } from "./dom.js";
import { change } from "./api.js";
import { view } from "./topology.js";

const SPANS = [["1m", "1 minute"], ["5m", "5 minutes"], ["10m", "10 minutes"], ["30m", "30 minutes"], ["1h", "1 hour"], ["8h", "8 hours"], ["24h", "24 hours"]];

function choices(backend) {
  const auto = { id: "auto", label: "Breaker automatic", says: () => `${backend.name} decides by itself again.`, off: !backend.breaker.forced };
  const drain = backend.drained
    ? { id: "undrain", label: "Put back into use", says: () => `${backend.name} takes calls again once its health allows.` }
    : { id: "drain", label: "Take out of use", says: () => `${backend.name} takes no new calls until it is put back; calls in flight end by themselves.` };
  return [
    { id: "open", label: "Force breaker open", spans: true, says: (span) => `${backend.name} is not called for ${span}; its routes use what is left.` },
    { id: "closed", label: "Force breaker closed", spans: true, says: (span) => `${backend.name} is called for ${span} even if every call fails.` },
    auto,
    drain,
  ];
}

function send(id, name, reason, span) {
  const path = `/v1/backends/${encodeURIComponent(name)}`;
  if (id === "drain") return change("POST", `${path}/drain`, { reason });
  if (id === "undrain") return change("DELETE", `${path}/drain?reason=${encodeURIComponent(reason)}`);
  return change("POST", `${path}/breaker`, id === "auto" ? { state: id, reason } : { state: id, reason, for: span });
}

/** Opens the dialog; `done` is called after a change. */
export function openActions(dialog, backend, done) {
  const all = choices(backend);
  const radios = all.map(({ id, label, off }, at) => h("label", { class: "choice" }, h("input", { type: "radio", name: "what", value: id, disabled: off, checked: at === 0 }), label));
  const reason = h("input", { name: "reason", required: true, maxlength: 200, autocomplete: "off", autofocus: true });
  const spans = h("select", { name: "for" }, SPANS.map(([value, text]) => h("option", { value, selected: value === "10m" }, text)));
  const spanRow = h("label", { class: "row" }, "For", spans);
  const says = h("p", { class: "consequence" });
  const failed = h("p", { class: "failed", role: "alert" });
  const go = h("button", { class: "primary" }, "Do it");
  const chosen = () => all.find(({ id }) => id === new FormData(form).get("what"));
  const explain = () => {
    const choice = chosen();
    spanRow.hidden = !choice.spans;
    say(says, `${choice.says(spans.selectedOptions[0].text)} The reason goes to the log and the events.`);
  };
  const submit = async (event) => {
    event.preventDefault();
    go.disabled = true;
    try {
      await send(chosen().id, backend.name, reason.value, spans.value);
      dialog.close();
      done();
    } catch (error) {
      say(failed, `Not done: ${error.message}`);
    } finally {
      go.disabled = false;
    }
  };
  const { look, word } = view(backend);
  const form = h("form", { oninput: explain, onsubmit: submit }, h("h2", { id: "action-title" }, `Actions: ${backend.name}`), h("p", { class: "now" }, icon(look), ` now ${word}`),
    h("fieldset", {}, h("legend", {}, "What"), radios), spanRow, h("label", { class: "row" }, "Why", reason), says, failed,
    h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), go));
  dialog.replaceChildren(form);
  explain();
  dialog.showModal();
}
