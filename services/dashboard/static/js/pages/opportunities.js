// Opportunities: each with its arithmetic, or what stopped it.
import { DASH, age, amount, bps, moment, price } from "../format.js";
import { html } from "../html.js";
import { Empty, Light, Panel, Signed, Table } from "../parts.js";
import { Context } from "./records.js";

const FATES = { planned: "good", waiting: "info", denied: "warn", expired: "unknown" };

export function Opportunities(view) {
  const columns = [
    { key: "ts_ms", name: "Time", show: (row) => moment(row.ts_ms, view.nowMs) },
    { key: "base", name: "Pair", show: (row) => html`<strong>${row.base}/${row.quote}</strong>` },
    { key: "strategy", name: "Strategy", isMinor: true, show: (row) => row.strategy },
    { key: "legs", name: "Path", sort: (row) => pathOf(row), show: (row) => pathOf(row) },
    { key: "qty", name: "Size", isMinor: true, isNumber: true, show: (row) => amount(row.qty, { most: 6 }) },
    { key: "gross", name: "Gross", isMinor: true, isNumber: true, show: (row) => html`<${Signed} value=${row.gross} most=${4} />` },
    { key: "fees", name: "Fees", isMinor: true, isNumber: true, show: (row) => amount(row.fees, { least: 4, most: 4 }) },
    { key: "net", name: "Net", isNumber: true, show: (row) => html`<${Signed} value=${row.net} most=${4} />` },
    { key: "edge_bps", name: "Edge, bps", isNumber: true, show: (row) => html`<${Signed} value=${row.edge_bps} />` },
    { key: "fate", name: "Fate", show: (row) => html`<${Fate} row=${row} />` },
  ];
  return html`<${Panel} wide note="the newest first; press one for its arithmetic">
    <${Table} name="opportunities" caption="Opportunities" columns=${columns} rows=${view.store.rows("opportunities")} filter=${view.filter}
      first=${{ column: "ts_ms", isUp: false }} leftOut=${view.store.leftOut("opportunities")}
      expand=${(row) => html`<${Arithmetic} row=${row} />`} empty=${html`<${NoOpportunity} view=${view} />`} /><//>`;
}

const pathOf = (row) => (row.legs ?? []).map((leg) => `${String(leg.side).toLowerCase()} ${leg.venue}`).join(", ");

function Fate({ row }) {
  const why = row.fate === "denied" && row.denied_reason ? `denied: ${row.denied_reason}` : row.fate;
  return html`<${Light} level=${FATES[row.fate] ?? "unknown"} word=${why ?? "not known"} />`;
}

function NoOpportunity({ view }) {
  const { quiet } = view.store.cells("overview");
  const ago = quiet?.last_opportunity_ms ? ` for ${age(view.nowMs - quiet.last_opportunity_ms)}` : " yet";
  const best = quiet?.best_bps === null || quiet?.best_bps === undefined ? "" : `; best ${bps(quiet.best_bps)} bps`;
  const gate = quiet?.gate ? `, stopped by ${quiet.gate}` : "";
  return html`<${Empty} title=${`No opportunity${ago}${best}${gate}`}>
    What was compared and stopped is under spreads, near misses. In a terminal: arb why.<//>`;
}

function Arithmetic({ row }) {
  return html`<div class="walk"><dl class="facts">
      ${(row.legs ?? []).map((leg) => html`<dt>${leg.side} at ${leg.venue}</dt><dd class="num">${amount(leg.qty)} ${leg.instrument} at ${price(leg.price_avg)} on average,
        limit ${price(leg.price_limit)}; fee ${amount(leg.fee_bps, { most: 2 })} bps = ${amount(leg.fee, { most: 6 })}</dd>`)}
      <dt>Gross</dt><dd><${Signed} value=${row.gross} most=${6} unit=${row.quote} /></dd>
      <dt>Fees</dt><dd class="num">− ${amount(row.fees, { least: 6, most: 6 })} <span class="unit">${row.quote}</span></dd>
      <dt>Net</dt><dd><strong><${Signed} value=${row.net} most=${6} unit=${row.quote} /></strong> on ${amount(row.notional, { most: 2 })} = ${bps(row.edge_bps)} bps</dd>
      <dt>Strategy</dt><dd>${row.strategy}</dd>
      <dt>Fate</dt><dd><${Fate} row=${row} /> <${Context} of=${row.denied_context} /></dd>
      ${row.plan_id ? html`<dt>Plan</dt><dd><a href="#/plans">${row.plan_id}</a></dd>` : null}
      <dt>Id</dt><dd><code>${row.id || DASH}</code></dd>
    </dl></div>`;
}
