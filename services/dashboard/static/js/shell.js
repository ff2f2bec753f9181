// What stands around every page: the head with the kill switch, the menu, and what is said of silence.
import { age, moment } from "./format.js";
import { html } from "./html.js";
import { KillButtons, KillOutcome } from "./kill.js";
import { stateOf } from "./pages/overview.js";
import { Light } from "./parts.js";

const LINKS = {
  live: ["good", "live"],
  polling: ["warn", "polling, every 2 s"],
  connecting: ["unknown", "connecting"],
  paused: ["unknown", "paused"],
};

function LinkLight({ store }) {
  if (store.link === "stale") {
    const silent = store.silentMs();
    return html`<${Light} level="bad" word=${silent === null ? "STALE" : `STALE ${age(silent)}`} />`;
  }
  const [level, word] = LINKS[store.link];
  return html`<${Light} level=${level} word=${word} />`;
}

export function Head({ store, kill, cells, onMenu, isMenuOpen, onHelp, onSignOut }) {
  const { me } = store;
  const nowMs = store.nowMs();
  const isDark = globalThis.arbTheme.get() === "dark";
  const mode = cells.mode ?? me.mode;
  const state = stateOf(cells, nowMs, store.ageMaxMs.overview);
  return html`<header>
    <div class="brand"><button class="menu-button" aria-expanded=${String(isMenuOpen)} aria-controls="menu" onClick=${onMenu}>Menu</button>
      <img src="/static/favicon.svg" alt="" width="22" height="22" /><strong>arbstream</strong>
      ${mode ? html`<span class=${`tag ${mode === "live" ? "money" : ""}`}>${mode === "live" ? "LIVE MONEY" : mode.toUpperCase()}</span>` : null}</div>
    <div class="now"><span class="state"><${Light} level=${store.link === "stale" ? "unknown" : state.level} word=${state.word ?? "state not known"} /></span>
      <${LinkLight} store=${store} /><span class="clock num">${nowMs === null ? "" : `${moment(nowMs)} UTC`}</span></div>
    <div class="tools"><button class="plain" onClick=${() => globalThis.arbTheme.toggle()} aria-label=${isDark ? "Light theme" : "Dark theme"} title="Dark or light (Shift+T)">${isDark ? "☀" : "☾"}</button>
      <button class="plain" onClick=${onHelp} aria-label="Keys" title="Keys (?)">?</button>
      <button class="plain" onClick=${onSignOut}>Sign out</button></div>
    <${KillButtons} kill=${kill} me=${me} state=${cells.state} />
    <${KillOutcome} kill=${kill} />
  </header>`;
}

export function Menu({ pages, current, isOpen, cells }) {
  const urgent = (cells.alerts?.critical ?? 0) + (cells.alerts?.warning ?? 0);
  return html`<nav id="menu" aria-label="Pages" class=${isOpen ? "open" : ""}><ul>${pages.map((page) => html`<li key=${page.name}>
    <a href=${`#/${page.name}`} aria-current=${page === current ? "page" : undefined}><span>${page.title}${
      page.name === "alerts" && urgent ? html` <span class="count">${urgent}</span>` : null}</span><kbd aria-hidden="true">${page.letter}</kbd></a></li>`)}</ul></nav>`;
}

/** What is not known now, since when, and what still works. */
export function Silence({ store, cells }) {
  if (store.link === "stale") {
    const since = store.serverMs === null ? "" : ` The figures are as of ${moment(store.serverMs)} UTC and may be wrong now.`;
    return html`<div class="banner bad" role="alert"><strong>STALE</strong> The dashboard is not heard.${since}
      Trading may go on. Connecting again by itself; arb status and arb halt work in a terminal.</div>`;
  }
  if (cells.is_bus_read === false) {
    return html`<div class="banner bad" role="alert"><strong>Redis cannot be read</strong> since ${moment(cells.bus_as_of_ms)} UTC. The figures are from before.
      Commands cannot be sent; arb kill cancels every order at the venues without Redis.</div>`;
  }
  if (store.link === "polling") {
    return html`<div class="banner warn" role="status"><strong>No live channel</strong> (a proxy without WebSockets?): figures come every 2 s.</div>`;
  }
  return null;
}
