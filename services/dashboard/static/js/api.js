// Requests to the server: each answers {status, body}; status 0 is "not reached".

async function ask(path, method, body, timeoutMs) {
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

export const whoAmI = () => ask("/api/v1/me", "GET", undefined, 5000);
export const signIn = (token) => ask("/api/v1/session", "POST", { token }, 5000);
export const signOut = () => ask("/api/v1/session", "DELETE", undefined, 5000);
/** Risk has five seconds to confirm; the answer has some more to arrive. */
export const command = (order) => ask("/api/v1/command", "POST", order, 8000);

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
