// The HTTP API: requests with the token, the event stream, and the server's clock. It knows no view.

const TOKEN = "mainstay.token";
/** The server sends a heartbeat every 15 s; a stream that is silent for longer is lost. */
const SILENCE_MS = 20_000;

let ahead = 0;

/** The server's time now, Unix milliseconds. */
export function now() {
  return Date.now() + ahead;
}

/** 401: the token is missing or wrong. */
export class Unauthorized extends Error {}

export function setToken(token) {
  if (token) sessionStorage.setItem(TOKEN, token);
  else sessionStorage.removeItem(TOKEN);
}

export function hasToken() {
  return sessionStorage.getItem(TOKEN) !== null;
}

async function ask(path, { method = "GET", json, headers = {}, signal } = {}) {
  const token = sessionStorage.getItem(TOKEN);
  const all = { ...headers };
  if (token) all.authorization = `Bearer ${token}`;
  if (json !== undefined) all["content-type"] = "application/json";
  const body = json === undefined ? undefined : JSON.stringify(json);
  const response = await fetch(path, { method, headers: all, body, signal, cache: "no-store" });
  keepTime(response);
  if (response.status === 401) throw new Unauthorized("a token is required");
  if (!response.ok) throw new Error(await problem(response));
  return response;
}

/** The Date header has whole seconds: smaller differences are not known. */
function keepTime(response) {
  const date = Date.parse(response.headers.get("date") ?? "");
  if (Number.isNaN(date)) return;
  const difference = date + 500 - Date.now();
  ahead = Math.abs(difference) > 2000 ? difference : 0;
}

async function problem(response) {
  try {
    const body = await response.json();
    return [body.detail ?? body.title, body.hint].filter(Boolean).join("; ");
  } catch {
    return `the server answered ${response.status}`;
  }
}

/** The answer as JSON, within 5 s. */
export async function get(path) {
  return (await ask(path, { signal: AbortSignal.timeout(5000) })).json();
}

/** Changes something. */
export async function change(method, path, json) {
  await ask(path, { method, json, signal: AbortSignal.timeout(10_000) });
}

/**
 * Follows `/v1/events` until the stream ends, and then throws. `fetch` and not `EventSource`: the latter cannot
 * carry a token.
 */
export async function follow(lastId, handlers) {
  const headers = { accept: "text/event-stream", "last-event-id": String(lastId) };
  await stream("/v1/events", { headers }, handlers);
  throw new Error("the event stream ended");
}

/** Begins a drill, and follows it to its end. The signal breaks it off, and so ends the drill. */
export async function drill(order, signal, onmessage) {
  await stream("/v1/drills", { method: "POST", json: order, headers: { accept: "text/event-stream" }, signal }, { onopen() {}, onmessage });
}

async function stream(path, options, { onopen, onmessage }) {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), SILENCE_MS);
  };
  try {
    const signal = options.signal ? AbortSignal.any([silence.signal, options.signal]) : silence.signal;
    const response = await ask(path, { ...options, signal });
    onopen();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      alive();
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) deliver(part, onmessage);
    }
  } finally {
    clearTimeout(timer);
  }
}

function deliver(part, onmessage) {
  let name = "message";
  let data = "";
  for (const line of part.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data += line.slice(5).trim();
  }
  if (data) onmessage(name, JSON.parse(data));
}
