// The application: signs in, listens, and paints what it has heard once per frame of the screen.
import { isAway, pause, signIn, signOut, tokenOfAddress, whoAmI, whyNotSignedIn } from "./api.js";
import { age } from "./format.js";
import { html, render } from "./html.js";
import { KeyHelp, listenToKeys } from "./keys.js";
import { KillDialog, KillSwitch } from "./kill.js";
import { Live } from "./live.js";
import { Login } from "./login.js";
import { pagesOf, wanted } from "./pages.js";
import { stateOf } from "./pages/overview.js";
import { Aged, Empty, isTooOld } from "./parts.js";
import { Head, Menu, Silence } from "./shell.js";
import { Store } from "./store.js";

const TICK_MS = 500; // ages go on when nothing is heard
const RETRY_MS = 3000;
const sentence = (text) => (text ? `${text[0].toUpperCase()}${text.slice(1)}.` : "");

class Application {
  constructor(root) {
    this.root = root;
    root.replaceChildren(); // what was said while it loaded
    this.phase = "loading"; // loading, login, open, unreachable
    this.ui = { filter: "", help: false, menu: false, pages: {} };
    this.kill = new KillSwitch(() => this.changed());
    this.isDue = false;
  }

  async start() {
    addEventListener("hashchange", () => this.onRoute());
    document.addEventListener("themechange", () => this.changed());
    listenToKeys({
      pages: () => (this.phase === "open" ? this.pages() : []),
      open: (name) => { location.hash = `#/${name}`; },
      halt: () => { if (this.mayCommand()) this.kill.halt(); },
      help: () => { this.ui.help = this.phase === "open"; this.changed(); },
      theme: () => globalThis.arbTheme.toggle(),
    });
    const token = tokenOfAddress();
    if (token !== null) {
      const { status } = await this.untilAnswered(() => signIn(token));
      if (status !== 204 && status !== 200) this.why = whyNotSignedIn(status);
    }
    await this.enter();
  }

  /** Open where there is a session; else ask for the token. */
  async enter() {
    const { status, body } = await this.untilAnswered(whoAmI);
    if (status === 200) this.open(body);
    else {
      this.phase = "login";
      if (status === 401 && !this.why && body.error !== "sign in") this.why = sentence(body.error ?? "");
      if (status !== 401) this.why = `The dashboard refused to say who is signed in (HTTP ${status}).`;
    }
    this.changed();
  }

  /** Ask until the server answers, and say so while it does not. */
  async untilAnswered(asking) {
    let answer = await asking();
    while (isAway(answer.status)) {
      this.phase = "unreachable";
      this.changed();
      await pause(RETRY_MS);
      answer = await asking();
    }
    return answer;
  }

  open(me) {
    this.phase = "open";
    this.why = this.told = "";
    this.store = new Store();
    this.store.me = me;
    this.live = new Live(this.store, { changed: () => this.changed(), signedOut: (why) => this.leave(sentence(why || "The session is over; sign in again")) });
    this.subscribe();
    this.live.start();
    this.tick = setInterval(() => { if (!document.hidden) this.changed(); }, TICK_MS);
  }

  leave(why) {
    if (this.phase !== "open") return;
    clearInterval(this.tick);
    this.live.stop();
    this.kill.dialog = null;
    this.phase = "login";
    this.why = why;
    this.changed();
  }

  async signOut() {
    const { status } = await signOut();
    if (status === 204 || status === 200 || status === 401) this.leave("Signed out.");
    else this.tell(`Not signed out: ${status ? `HTTP ${status}` : "the dashboard does not answer"}. Try again.`);
  }

  /** Say something above the page, until it is dismissed. */
  tell(text) {
    this.told = text;
    this.changed();
  }

  pages() {
    return pagesOf(this.store.offered);
  }

  page() {
    const pages = this.pages();
    const name = /^#\/(\w+)/.exec(location.hash)?.[1] ?? "overview";
    return pages.find((page) => page.name === name) ?? pages[0];
  }

  mayCommand() {
    return this.phase === "open" && this.store.me.role === "operator" && this.store.me.isCommandAllowed !== false;
  }

  onRoute() {
    const token = tokenOfAddress();
    if (token !== null) this.signInAgain(token);
    this.ui.filter = "";
    this.ui.menu = false;
    if (this.phase !== "open") return;
    this.subscribe();
    this.changed();
    scrollTo(0, 0);
  }

  /** A token that was put into the address of an open page. */
  async signInAgain(token) {
    const { status } = await signIn(token);
    if (status === 204 || status === 200) location.reload();
    else if (this.phase === "login") {
      this.why = whyNotSignedIn(status);
      this.changed();
    } else this.tell(`Still signed in as ${this.store?.me.role}. ${whyNotSignedIn(status)}`);
  }

  subscribe() {
    const page = this.page();
    const { topics, rows, view } = wanted(page, this.store, this.uiOf(page));
    this.live.subscribe(topics.length ? topics : ["overview"], rows, view);
  }

  uiOf(page) {
    return (page && this.ui.pages[page.name]) || {};
  }

  /** Paint at the next frame of the screen: however much was heard, once. */
  changed() {
    if (this.isDue) return;
    this.isDue = true;
    const paint = () => {
      this.isDue = false;
      this.paint();
    };
    if (document.hidden) setTimeout(paint, 0);
    else requestAnimationFrame(paint);
  }

  paint() {
    if (this.phase === "open") this.subscribe(); // hello may have offered more
    render(this.tree(), this.root);
    this.live?.painted();
    const { store } = this;
    const state = this.phase === "open" ? stateOf(store.cells("overview"), store.nowMs(), store.ageMaxMs.overview).word : null;
    const page = this.phase === "open" ? this.page()?.title : "Sign in";
    document.title = [state, page, "arbstream"].filter(Boolean).join(" · ");
  }

  tree() {
    if (this.phase === "loading") return html`<main class="login"><p class="note">Opening …</p></main>`;
    if (this.phase === "login") return html`<${Login} key=${this.why} why=${this.why} done=${() => this.enter()} />`;
    if (this.phase === "unreachable") {
      return html`<main class="login"><div class="panel"><${Empty} title="The dashboard does not answer">
        Trying again every 3 s. In a terminal: arb status; arb halt stops trading without this page.<//></div></main>`;
    }
    return this.opened();
  }

  opened() {
    const { store, kill, ui } = this;
    const page = this.page();
    const view = this.view(page);
    const cells = store.cells("overview");
    const isStale = store.link === "stale";
    return html`
      <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.getElementById("main").focus(); }}>To the figures</a>
      <${Head} store=${store} kill=${kill} cells=${cells} onMenu=${() => { ui.menu = !ui.menu; this.changed(); }} isMenuOpen=${ui.menu}
        onHelp=${() => { ui.help = true; this.changed(); }} onSignOut=${() => this.signOut()} />
      <div class="frame">
        <${Menu} pages=${this.pages()} current=${page} isOpen=${ui.menu} cells=${cells} />
        <main id="main" tabindex="-1" class=${isStale ? "stale" : ""} aria-busy=${String(isStale)}>
          <${Silence} store=${store} cells=${cells} />
          ${this.told ? html`<div class="banner warn" role="alert">${this.told}
            <button class="plain" aria-label="Dismiss" onClick=${() => this.tell("")}>✕</button></div>` : null}
          <div class="title"><h1>${page?.title ?? "arbstream"}</h1>
            ${page?.filters ? html`<label class="filter"><span class="quiet">Filter</span><input type="search" placeholder="Filter   /" aria-label="Filter the tables"
              value=${ui.filter} onInput=${(event) => { ui.filter = event.target.value; this.changed(); }} /></label>` : null}</div>
          ${page && store.has(page.topics[0]) ? html`<${Page} key=${page.name} page=${page} view=${view} />`
            : html`<p class="note" role="status">Waiting for the first figures …</p>`}
        </main>
      </div>
      ${kill.dialog && this.mayCommand() ? html`<${KillDialog} kill=${kill} cells=${cells} isOld=${view.isAged("overview", cells.money_as_of_ms)} />` : null}
      ${ui.help ? html`<${KeyHelp} pages=${this.pages()} role=${store.me.role} close=${() => { ui.help = false; this.changed(); }} />` : null}`;
  }

  /** What a page paints from. */
  view(page) {
    const { store } = this;
    const nowMs = store.nowMs();
    const newest = (name) => store.rows(name).sort((a, b) => b.ts_ms - a.ts_ms);
    return {
      store,
      nowMs,
      filter: this.ui.filter,
      ui: this.uiOf(page),
      set: (change) => {
        this.ui.pages[page.name] = { ...this.uiOf(page), ...change };
        this.changed();
      },
      newest,
      isAged: (topic, asOfMs) => isTooOld(asOfMs, nowMs, store.ageMaxMs[topic]),
      ago: (ms) => (ms === null || ms === undefined || nowMs === null ? "—" : age(nowMs - ms)),
      aged: (topic, asOfMs, children, maxMs) => html`<${Aged} asOfMs=${asOfMs} nowMs=${nowMs} maxMs=${maxMs ?? store.ageMaxMs[topic]}>${children}<//>`,
    };
  }
}

const Page = ({ page, view }) => page.show(view);

new Application(document.getElementById("app")).start();
