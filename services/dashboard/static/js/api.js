// Requests to the server: each answers {status, body}; status 0 is "not reached", or that no answer came back.

/** What was cut off is asked again after these pauses, in ms: a browser drops its requests when an interface comes or goes. */
const PAUSES_MS = [200, 600, 1500];

export const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

async function askOnce(path, method, body, timeoutMs) {
  try {
    const answer = await fetch(path, {
      method,
      headers: method === "GET" ? {} : { "Content-Type": "application/json", "X-Arb": "1" },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "same-origin",
      signal: AbortSignal.timeout(timeoutMs),
    });
    const text = await answer.text();
    let parsed = {};
    try { parsed = text ? JSON.parse(text) : {}; } catch { parsed = { text }; }
    return { status: answer.status, body: parsed };
  } catch {
    return { status: 0, body: {} };
  }
}

/** Ask, and again where no answer came: only what may be done twice. */
async function ask(path, method, body, timeoutMs = 5000) {
  let answer = await askOnce(path, method, body, timeoutMs);
  for (const ms of PAUSES_MS) {
    if (answer.status !== 0) break;
    await pause(ms);
    answer = await askOnce(path, method, body, timeoutMs);
  }
  return answer;
}

export const whoAmI = () => ask("/api/v1/me", "GET");
export const signIn = (token) => ask("/api/v1/session", "POST", { token });
export const signOut = () => ask("/api/v1/session", "DELETE");

/** Give a command, once: `order.id` is new for each. Risk has five seconds to confirm; the answer has some more to arrive. */
export const command = (order) => askOnce("/api/v1/command", "POST", order, 8000);
/** What became of a command whose answer was lost; 404: the server has not got it. */
export const commandGiven = (id) => ask(`/api/v1/command?id=${encodeURIComponent(id)}`, "GET", undefined, 8000);

/** Whether the server cannot be asked now: it, or the proxy before it, may answer later. */
export const isAway = (status) => status === 0 || status >= 500;

/**
 * Read a path's JSON.
 *
 * Throws: an Error that says why it cannot be read.
 */
export async function readJson(path) {
  const { status, body } = await ask(path, "GET");
  if (status === 200) return body;
  throw new Error(status === 0 ? "the dashboard does not answer" : body.error ?? `HTTP ${status}`);
}

/** The token that the printed address carries in its fragment; it is removed from the address. */
export function tokenOfAddress() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (!found) return null;
  history.replaceState(null, "", `${location.pathname}#/overview`);
  try {
    return decodeURIComponent(found[1]);
  } catch {
    return found[1]; // cut off while it was copied: the server says that it is not known
  }
}

/** Why a sign-in failed, in a sentence. */
export function whyNotSignedIn(status) {
  if (status === 401) return "This token is not known here. It is in the address that the dashboard printed when it started.";
  if (status === 429) return "Too many tries. Wait a minute, then try again.";
  if (status === 0) return "The dashboard does not answer. Is its process running? In a terminal: arb status.";
  return `The dashboard refused the sign-in (HTTP ${status}).`;
}
