// What an operator may do to a backend.

import { icon } from "./dom.js";
import { change } from "./api.js";
import { ask } from "./dialog.js";
import { view } from "./topology.js";

/** Opens the dialog; `done` is called after a change. */
export function openActions(dialog, backend, done) {
  const { name } = backend;
  const path = `/v1/backends/${encodeURIComponent(name)}`;
  const breaker = (state) => (reason, span) => change("POST", `${path}/breaker`, { state, reason, for: span });
  const { look, word } = view(backend);
  ask(dialog, {
    title: `Actions: ${name}`,
    now: [icon(look), ` now ${word}`],
    choices: [
      { label: "Force breaker open", spans: true, says: (span) => `${name} is not called for ${span}; its routes use what is left.`, send: breaker("open") },
      { label: "Force breaker closed", spans: true, says: (span) => `${name} is called for ${span} even if every call fails.`, send: breaker("closed") },
      { label: "Breaker automatic", off: !backend.breaker.forced && backend.breaker.state !== "isolated", says: () => `${name} decides by itself again.`, send: (reason) => change("POST", `${path}/breaker`, { state: "auto", reason }) },
      backend.drained
        ? { label: "Put back into use", says: () => `${name} takes calls again once its health allows.`, send: (reason) => change("DELETE", `${path}/drain?reason=${encodeURIComponent(reason)}`) }
        : { label: "Take out of use", spans: true, says: (span) => `${name} takes no new calls for ${span}; calls in flight end by themselves.`, send: (reason, span) => change("POST", `${path}/drain`, { reason, for: span }) },
    ],
    done,
  });
}
