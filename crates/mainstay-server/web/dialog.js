// The dialog that asks what, why, and for how long, before anything is changed.

import { h, say } from "./dom.js";

const SPANS = [["1m", "1 minute"], ["5m", "5 minutes"], ["10m", "10 minutes"], ["30m", "30 minutes"], ["1h", "1 hour"], ["8h", "8 hours"], ["24h", "24 hours"]];

/**
 * `choices`: { label, says(span), send(reason, span), spans, off } each; a choice with `spans` lasts only so long.
 * `done` is called after a change.
 */
export function ask(dialog, { title, now, choices, done }) {
  const radios = choices.map(({ label, off }, at) => h("label", { class: "choice" }, h("input", { type: "radio", name: "what", value: at, disabled: off, checked: at === 0 }), label));
  const reason = h("input", { name: "reason", required: true, maxlength: 200, autocomplete: "off", autofocus: true });
  const spans = h("select", { name: "for" }, SPANS.map(([value, text]) => h("option", { value, selected: value === "10m" }, text)));
  const spanRow = h("label", { class: "row" }, "For", spans);
  const says = h("p", { class: "consequence" });
  const failed = h("p", { class: "failed", role: "alert" });
  const go = h("button", { class: "primary" });
  const chosen = () => choices[Number(new FormData(form).get("what") ?? 0)];
  const explain = () => {
    const choice = chosen();
    spanRow.hidden = !choice.spans;
    say(go, choice.label);
    say(says, `${choice.says(spans.selectedOptions[0].text)} The reason goes to the log and the events, with your address.`);
  };
  const submit = async (event) => {
    event.preventDefault();
    go.disabled = true;
    try {
      await chosen().send(reason.value, spans.value);
      dialog.close();
      done();
    } catch (error) {
      say(failed, `Not done: ${error.message}`);
    } finally {
      go.disabled = false;
    }
  };
  const form = h("form", { oninput: explain, onsubmit: submit }, h("h2", { id: "action-title" }, title), h("p", { class: "now" }, now),
    choices.length > 1 ? h("fieldset", {}, h("legend", {}, "What"), radios) : null, spanRow, h("label", { class: "row" }, "Why", reason), says, failed,
    h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), go));
  dialog.replaceChildren(form);
  explain();
  dialog.showModal();
}
