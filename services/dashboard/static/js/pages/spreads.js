// Spreads: what buying at one venue and selling at another leaves after both fees.
import { DASH, amount, bps, price, moment } from "../format.js";
import { html } from "../html.js";
import { Empty, Panel, Signed, Table } from "../parts.js";
import { Depth } from "./books.js";
import { Context } from "./records.js";

const side = (venue, instrument, group) => (instrument === group ? venue : `${venue} ${instrument}`);

/** The groups, and of the chosen one the sides and the pair of each two. */
function matrixOf(rows, chosen) {
  const groups = [...new Set(rows.map((row) => row.group))].sort();
  const group = groups.includes(chosen) ? chosen : groups[0];
  const pairs = new Map();
  const sides = new Set();
  for (const row of rows) {
    if (row.group !== group) continue;
    const buy = side(row.buy_venue, row.buy_instrument, group);
    const sell = side(row.sell_venue, row.sell_instrument, group);
    sides.add(buy).add(sell);
    pairs.set(`${buy}\n${sell}`, row);
  }
  return { groups, group, sides: [...sides].sort(), pairs };
}

export function Spreads(view) {
  const rows = view.store.rows("spreads");
  const { groups, group, sides, pairs } = matrixOf(rows, view.ui.group);
  const picked = rows.find((row) => row.id === view.ui.spread && row.group === group);
  if (!rows.length) {
    return html`<${Panel} wide title="Spreads"><${Empty} title="No pair of books yet">Two venues must show the same instrument.<//><//>`;
  }
  return html`
    <${Panel} wide title="Net edge, bps: buy in the row, sell in the column" note="after both taker fees, at the best prices">
      <div class="row"><label>Group <select value=${group} onChange=${(event) => view.set({ group: event.target.value, spread: null })}>
        ${groups.map((each) => html`<option value=${each} selected=${each === group}>${each}</option>`)}</select></label></div>
      <div class="scroll"><table class="matrix"><caption>Net edge of ${group}, in basis points</caption>
        <thead><tr><th scope="col">buy ↓ sell →</th>${sides.map((sell) => html`<th scope="col" class="right">${sell}</th>`)}</tr></thead>
        <tbody>${sides.map((buy) => html`<tr key=${buy}><th scope="row">${buy}</th>${sides.map((sell) => html`<td class="right">
          <${Cell} view=${view} row=${pairs.get(`${buy}\n${sell}`)} isSame=${buy === sell} /></td>`)}</tr>`)}</tbody></table></div>
      ${picked ? html`<${Walk} view=${view} row=${picked} />` : html`<p class="note">Press a figure for its arithmetic and both books.</p>`}
      ${view.store.leftOut("spreads") ? html`<p class="note">${view.store.leftOut("spreads")} more pairs are not shown.</p>` : null}
    <//>
    <${NearMisses} view=${view} />`;
}

function Cell({ view, row, isSame }) {
  if (isSame) return html`<span class="note" aria-label="the same book">·</span>`;
  if (!row) return html`<span class="note" aria-label="no such pair">${DASH}</span>`;
  const isOn = view.ui.spread === row.id;
  return html`<button class=${`cell ${row.is_trusted ? "" : "aged"} ${isOn ? "on" : ""}`} aria-pressed=${String(isOn)}
    title=${row.why_not || undefined} onClick=${() => view.set({ spread: isOn ? null : row.id })}>
    ${row.is_trusted ? html`<${Signed} value=${row.net_bps} />` : html`<span class="num">${bps(row.net_bps)}</span><span class="since">${row.why_not || "not trusted"}</span>`}</button>`;
}

/** The arithmetic of one pair, and both its books. */
function Walk({ view, row }) {
  return html`<div class="walk"><h3>Buy ${row.buy_instrument} at ${row.buy_venue}, sell ${row.sell_instrument} at ${row.sell_venue}</h3>
    <dl class="facts">
      <dt>Buy at the ask</dt><dd class="num">${price(row.buy)}</dd>
      <dt>Sell at the bid</dt><dd class="num">${price(row.sell)}</dd>
      <dt>Gross</dt><dd><${Signed} value=${row.gross_bps} most=${2} unit="bps" /></dd>
      <dt>Both fees</dt><dd><${Signed} value=${row.fees_bps === null || row.fees_bps === undefined ? null : -Math.abs(row.fees_bps)} most=${2} unit="bps" /></dd>
      <dt>Net</dt><dd><strong><${Signed} value=${row.net_bps} most=${2} unit="bps" /></strong></dd>
      <dt>Size at these prices</dt><dd class="num">${amount(row.qty, { most: 6 })}</dd>
      ${row.is_trusted ? null : html`<dt>Not traded on</dt><dd>${row.why_not || "a book is not trusted"}</dd>`}
    </dl>
    <div class="two"><${Depth} view=${view} id=${`${row.buy_venue}|${row.buy_instrument}`} />
      <${Depth} view=${view} id=${`${row.sell_venue}|${row.sell_instrument}`} /></div></div>`;
}

function NearMisses({ view }) {
  if (!view.store.offered.includes("near_misses")) return null;
  const columns = [
    { key: "strategy", name: "Strategy", show: (row) => row.strategy },
    { key: "buy_venue", name: "Buy, sell", isWide: true, show: (row) => html`${row.buy_venue} ${row.buy_instrument}<br />${row.sell_venue} ${row.sell_instrument}` },
    { key: "gate", name: "Stopped by", show: (row) => html`<strong>${row.gate}</strong>` },
    { key: "best_bps", name: "Best, bps", isNumber: true, show: (row) => html`<${Signed} value=${row.best_bps} />` },
    { key: "needs_bps", name: "Needs, bps", isMinor: true, isNumber: true, show: (row) => bps(row.needs_bps) },
    { key: "count", name: "Times", isNumber: true, show: (row) => amount(row.count) },
    { key: "ts_ms", name: "Last", isNumber: true, show: (row) => moment(row.ts_ms, view.nowMs) },
    { key: "context", name: "Figures", isWide: true, show: (row) => html`<${Context} of=${row.context} />` },
  ];
  return html`<${Panel} wide title="Near misses" note="what was compared and not traded, by what stopped it">
    <${Table} name="near_misses" caption="Near misses" columns=${columns} rows=${view.store.rows("near_misses")}
      filter=${view.filter} first=${{ column: "best_bps", isUp: false }} leftOut=${view.store.leftOut("near_misses")}
      empty=${html`<${Empty} title="No near miss">Nothing was stopped since the dashboard began to look.<//>`} /><//>`;
}
