// Plans: what was meant, what was ordered and filled when, and what came of it.
import { DASH, amount, moment, money, price, span } from "../format.js";
import { html } from "../html.js";
import { Waterfall } from "./money.js";
import { Empty, Light, Money, Panel, Signed, Table } from "../parts.js";

const OUTCOMES = { FILLED: "good", HEDGED: "good", UNWOUND: "warn", UNFILLED: "unknown", EXPIRED: "unknown", REFUSED: "warn", FAILED: "bad" };

export const pairOf = (row) => (row.base ? `${row.base}/${row.quote}` : row.policy || "flatten");

export function Outcome({ row }) {
  if (row.outcome === null || row.outcome === undefined) return html`<${Light} level="info" word="in flight" />`;
  const level = OUTCOMES[row.outcome] ?? "warn";
  return html`<span title=${row.outcome_reason || undefined}><${Light} level=${level} word=${row.outcome.toLowerCase()} /></span>`;
}

export function Plans(view) {
  const columns = [
    { key: "ts_ms", name: "Time", show: (row) => moment(row.ts_ms, view.nowMs) },
    { key: "base", name: "Pair", show: (row) => html`<strong>${pairOf(row)}</strong>` },
    { key: "strategy", name: "Strategy", isMinor: true, show: (row) => row.strategy || DASH },
    { key: "legs", name: "Legs", isWide: true, sort: (row) => (row.legs ?? []).length, show: (row) => (row.legs ?? []).map((leg) => `${String(leg.side).toLowerCase()} ${leg.venue}`).join(", ") || DASH },
    { key: "outcome", name: "Outcome", show: (row) => html`<${Outcome} row=${row} />` },
    { key: "ended_ms", name: "Took", isNumber: true, sort: tookMs, show: (row) => span(tookMs(row)) },
    { key: "net_expected", name: "Expected", isMinor: true, isNumber: true, sort: (row) => (row.is_directional ? null : row.net_expected), show: (row) => (row.is_directional
      ? html`<span class="note" title="It opens or closes a position; what that earns comes with its price">no profit yet</span>` : html`<${Signed} value=${row.net_expected} most=${4} />`) },
    { key: "realized", name: "Realized", isNumber: true, sort: (row) => row.realized?.value, show: (row) => html`<${Money} figure=${row.realized} signed most=${4} />` },
  ];
  return html`<${Panel} wide note="the newest first; press one for its timeline">
    <${Table} name="plans" caption="Plans" columns=${columns} rows=${view.store.rows("plans")} filter=${view.filter}
      first=${{ column: "ts_ms", isUp: false }} leftOut=${view.store.leftOut("plans")} expand=${(row) => html`<${Timeline} row=${row} />`}
      empty=${html`<${Empty} title="No plan yet">A plan is an opportunity that passed risk's limits. What risk denied is under opportunities.<//>`} /><//>`;
}

const tookMs = (row) => (row.ended_ms ? row.ended_ms - row.ts_ms : null);

/** Everything that happened to a plan, in order of time. */
function eventsOf(row) {
  const net = amount(row.net_expected, { most: 6, sign: true });
  const expected = row.is_directional ? `${net} ${row.quote} for its one leg` : `expects ${net} ${row.quote}`;
  const events = [{ ms: row.ts_ms, what: "approved by risk", detail: row.net_expected ? expected : "" }];
  for (const order of row.orders ?? []) {
    const filled = order.filled_qty ? `, filled ${amount(order.filled_qty)} of ${amount(order.qty)}` : "";
    events.push({
      ms: order.ts_ms,
      what: `${String(order.purpose ?? "order").toLowerCase()} order ${String(order.status ?? "").toLowerCase()}`,
      detail: `${order.side} ${amount(order.qty)} ${order.instrument} at ${order.venue}, limit ${price(order.price_limit)}${filled}${order.reason ? `: ${order.reason}` : ""}`,
    });
  }
  for (const fill of row.fills ?? []) {
    const fee = fill.fee === null || fill.fee === undefined ? "fee not told yet" : `fee ${amount(fill.fee)} ${fill.fee_asset ?? ""}`;
    events.push({ ms: fill.ts_ms, what: "fill", detail: `${fill.side} ${amount(fill.qty)} at ${price(fill.price)} on ${fill.venue}, ${fee}` });
  }
  if (row.ended_ms) events.push({ ms: row.ended_ms, what: `ended: ${row.outcome?.toLowerCase() ?? "not known"}`, detail: row.outcome_reason ?? "" });
  return events.sort((a, b) => a.ms - b.ms);
}

function Timeline({ row }) {
  const residual = Object.entries(row.residual ?? {}).filter(([, qty]) => Number(qty) !== 0).map(([asset, qty]) => `${amount(qty, { sign: true })} ${asset}`).join(", ");
  return html`<div class="walk"><ol class="timeline">${eventsOf(row).map((event) => html`<li>
      <span class="num when">+${span(event.ms - row.ts_ms)}</span><strong>${event.what}</strong> <span class="note">${event.detail}</span></li>`)}
      ${row.ended_ms ? null : html`<li><span class="num when">now</span><strong>in flight</strong></li>`}</ol>
    ${row.waterfall?.length ? html`<h3>From expected to realized</h3><${Waterfall} steps=${row.waterfall} quote=${row.quote} most=${6} />`
      : row.ended_ms && !row.is_directional ? html`<p class="note">From expected to realized: the steps cannot be told apart (several assets, or a fill that was not seen).</p>` : null}
    <dl class="facts">
      <dt>${row.is_directional ? "Cash of its leg" : "Expected"}</dt><dd><${Signed} value=${row.net_expected} most=${6} unit=${row.quote} /></dd>
      <dt>Realized</dt><dd><${Money} figure=${row.realized} signed most=${6} unit=${row.quote} />${money(row.realized)[1] === "estimated" ? " (a fee is not told yet, or was paid in another asset)" : ""}</dd>
      <dt>Fees</dt><dd><${Money} figure=${row.fees} most=${6} unit=${row.quote} /></dd>
      <dt>May lose at most</dt><dd class="num">${amount(row.loss_cap, { most: 4 })} <span class="unit">${row.quote}</span></dd>
      <dt>Left over</dt><dd class="num">${residual || (row.ended_ms ? "nothing" : DASH)}</dd>
      <dt>Strategy</dt><dd>${row.strategy || DASH}</dd>
      <dt>Policy</dt><dd>${[row.policy, row.intent].filter(Boolean).join(", ") || DASH}</dd>
      <dt>Id</dt><dd><code>${row.id}</code></dd>
    </dl></div>`;
}
