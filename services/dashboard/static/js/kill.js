// The kill switch: HALT at one press; FLATTEN and RESUME by a dialog with a typed word.
import { command, commandGiven, whoAmI } from "./api.js";
import { html, Component, createRef } from "./html.js";
import { amount } from "./format.js";
import { Money, Quantity } from "./parts.js";

const BY_HAND = "In a terminal: arb halt; without Redis: arb kill.";

/** A name for one press: whatever sends it twice on the way, the server gives it once. */
const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** What became of the last command, for all pages. */
export class KillSwitch {
  constructor(changed) {
    this.changed = changed;
    this.dialog = null; // "flatten", "resume"
    this.needsToken = false;
    this.last = null; // {action, step, text}
    this.isBusy = false;
  }

  open(action) {
    this.dialog = action;
    this.needsToken = false;
    this.changed();
    whoAmI().then(({ status, body }) => {
      this.needsToken = status === 200 && body.is_token_fresh === false;
      this.changed();
    });
  }

  close() {
    this.dialog = null;
    this.changed();
  }

  halt() {
    return this.send({ action: "halt" });
  }

  async send(order) {
    if (this.isBusy && order.action !== "halt") return;
    this.isBusy = true;
    this.last = { action: order.action, step: "sent", text: "sent, waiting for risk" };
    this.changed();
    const id = newId();
    let { status, body } = await command({ ...order, id });
    if (status === 0) {
      this.last = { action: order.action, step: "sent", text: "no answer came back; asking what became of it" };
      this.changed();
      ({ status, body } = await commandGiven(id));
    }
    this.isBusy = false;
    this.last = { action: order.action, ...outcomeOf(status, body) };
    if (body.is_token_needed) this.needsToken = true;
    if (this.last.step === "confirmed") this.dialog = null;
    this.changed();
  }
}

function outcomeOf(status, body) {
  if (body.is_token_needed) return { step: "failed", text: "not sent: the operator token is needed once more" };
  const said = body.text ?? body.error ?? "";
  if (status === 202 || status === 200) {
    if (body.outcome === "confirmed") {
      return { step: "confirmed", text: `confirmed by risk: ${body.state ?? ""}`.trim() };
    }
    return { step: "failed", text: `not confirmed in 5 s. ${sentence(said)}${BY_HAND}` };
  }
  if (status === 0) return { step: "failed", text: `the dashboard does not answer: whether it was sent is not known. Look at the state before you press again. ${BY_HAND}` };
  if (status === 404) return { step: "failed", text: "not sent: the connection was cut before the dashboard had it. Press again." };
  if (status === 401) return { step: "failed", text: "not sent: the session is over, sign in again" };
  if (status >= 500 && !body.error) {
    return { step: "failed", text: `HTTP ${status}: whether it was sent is not known. Look at the state. ${BY_HAND}` };
  }
  return { step: "failed", text: `not sent: ${said || `HTTP ${status}`}` };
}

const sentence = (text) => (text ? `${text.replace(/\.$/, "")}. ` : "");

/** The buttons in the head of every page. */
export function KillButtons({ kill, me, state }) {
  if (me.role !== "operator") return html`<span class="tag" title="This token can look, not act">viewer: read-only</span>`;
  if (me.isCommandAllowed === false) return html`<span class="tag" title="dashboard.operator is false in the configuration">commands are off</span>`;
  const wait = kill.isBusy;
  return html`<div class="kill" role="group" aria-label="Kill switch">
    <button class="halt" onClick=${() => kill.halt()} title="Open nothing new (Shift+H)">HALT</button>
    <button disabled=${wait} onClick=${() => kill.open("flatten")} title="Halt and trade exposure to zero">FLATTEN…</button>
    ${state && state !== "ACTIVE"
      ? html`<button disabled=${wait} onClick=${() => kill.open("resume")} title="Trade again">RESUME…</button>`
      : null}
  </div>`;
}

/** What became of the last command; spoken by screen readers when it changes. */
export function KillOutcome({ kill }) {
  const { last } = kill;
  return html`<div role="status" class=${last ? `outcome ${last.step}` : "quiet"}>
    ${last ? html`<strong>${last.action.toUpperCase()}</strong> <span>${last.text}</span>
      ${last.step === "sent" ? null : html`<button class="plain" aria-label="Dismiss"
        onClick=${() => { kill.last = null; kill.changed(); }}>✕</button>`}` : null}
  </div>`;
}

const ASKS = {
  flatten: {
    title: "Flatten everything",
    says: "Trading halts, resting orders are cancelled and net exposure is traded back to zero, at the prices the books pay.",
  },
  resume: {
    title: "Resume trading",
    says: "Strategies may open positions again, within their limits.",
  },
};

/** The dialog of FLATTEN and RESUME. */
export class KillDialog extends Component {
  box = createRef();
  state = { typed: "", token: "" };

  componentDidMount() {
    this.box.current.showModal();
  }

  render({ kill, cells, isOld }) {
    const action = kill.dialog;
    const word = action === "flatten" ? "FLATTEN" : "ACTIVE";
    const { typed, token } = this.state;
    const isReady = typed === word && (!kill.needsToken || token) && !kill.isBusy;
    const send = (event) => {
      event.preventDefault();
      if (isReady) kill.send({ action, typed, ...(kill.needsToken ? { token } : {}) });
    };
    return html`<dialog ref=${this.box} aria-labelledby="ask" onClose=${() => kill.close()}>
      <form onSubmit=${send}>
        <h2 id="ask">${ASKS[action].title}</h2>
        <p>${ASKS[action].says}</p>
        ${action === "flatten" ? html`<${Exposure} cells=${cells} isOld=${isOld} />` : html`<${Cause} cells=${cells} />`}
        <label>Type <code>${word}</code> to go on
          <input name="typed" value=${typed} autocomplete="off" autocapitalize="characters"
            spellcheck=${false} autofocus onInput=${(e) => this.setState({ typed: e.target.value.trim() })} />
        </label>
        ${kill.needsToken ? html`<label>Operator token, once more: the sign-in is older than 5 minutes
          <input name="token" type="password" value=${token} autocomplete="off"
            onInput=${(e) => this.setState({ token: e.target.value.trim() })} /></label>` : null}
        ${kill.last?.step === "failed" && kill.last.action === action
          ? html`<p class="down" role="alert">${kill.last.text}</p>` : null}
        <div class="row end">
          <button type="button" onClick=${() => kill.close()}>Cancel</button>
          <button class=${action === "flatten" ? "halt" : "go"} disabled=${!isReady}>
            ${kill.isBusy ? "sent, waiting for risk" : ASKS[action].title}</button>
        </div>
      </form>
    </dialog>`;
  }
}

function Exposure({ cells, isOld }) {
  const { exposure } = cells;
  if (!exposure) return html`<p>The exposure is not known now. Flattening works from what the venues tell.</p>`;
  return html`<h3>Exposure now</h3>
    <dl class="facts">${exposure.length
      ? exposure.map(({ asset, qty }) => html`<dt>${asset}</dt><dd><${Quantity} value=${qty} /></dd>`)
      : html`<dt>Net exposure</dt><dd>none</dd>`}
      <dt>Plans in flight</dt><dd class="num">${amount(cells.plans_in_flight)}</dd>
      <dt>Orders unsettled</dt><dd class="num">${amount(cells.orders_unsettled)}</dd>
      <${Cost} told=${isOld ? null : cells.flatten_cost} />
    </dl>`;
}

/** What closing everything would cost, as far as positions, books and fees are known. */
function Cost({ told }) {
  const name = html`<dt>Estimated cost</dt>`;
  if (!told) return html`${name}<dd>not known: risk is not heard</dd>`;
  if (!told.totals.length) return html`${name}<dd>none: nothing is held</dd>`;
  return html`${name}<dd>${told.totals.map(({ quote, cost, spread, fees }) => html`<div><${Money} figure=${cost} most=${4} unit=${quote} />${" "}
      <span class="note">${cost.value === null ? `not known; known of it: spread ${amount(spread, { most: 4 })}, fees ${amount(fees, { most: 4 })} ${quote}`
        : `spread ${amount(spread, { most: 4 })}, fees ${amount(fees, { most: 4 })}`}</span></div>`)}
    ${told.unknown.map(({ venue, instrument, qty, why }) => html`<div class="note">${amount(qty, { most: 10, sign: true })} ${instrument}${venue ? ` at ${venue}` : ""}: ${why}</div>`)}</dd>`;
}

function Cause({ cells }) {
  return html`<dl class="facts">
    <dt>State</dt><dd>${cells.state ?? "not known"}</dd>
    <dt>Cause</dt><dd>${cells.cause || "not told"}</dd>
  </dl>`;
}
