// Asks for the token when the API wants one. The token stays in this tab.

import { h, say } from "./dom.js";
import { get, setToken, Unauthorized } from "./api.js";

/** Ends when a token was accepted. */
export function login(dialog) {
  return new Promise((resolve) => {
    const token = h("input", { type: "password", name: "token", required: true, autocomplete: "current-password", autofocus: true });
    const failed = h("p", { class: "failed", role: "alert" });
    const submit = async (event) => {
      event.preventDefault();
      say(failed, "");
      setToken(token.value.trim());
      try {
        await get("/v1/status");
        dialog.close();
        resolve();
      } catch (error) {
        setToken(null);
        say(failed, error instanceof Unauthorized ? "This token is not accepted." : `No answer: ${error.message}`);
        token.select();
      }
    };
    dialog.replaceChildren(h("form", { onsubmit: submit }, h("h2", { id: "login-title" }, "Token"),
      h("p", {}, "This Mainstay wants its token (http.token). It is kept in this tab until the tab is closed."),
      h("input", { autocomplete: "username", value: "mainstay", hidden: true }), h("label", { class: "row" }, "Token", token), failed, h("div", { class: "buttons" }, h("button", { class: "primary" }, "Sign in"))));
    // Nothing can be shown without it.
    dialog.oncancel = (event) => event.preventDefault();
    dialog.showModal();
  });
}
