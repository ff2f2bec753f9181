// Positions and PnL: what is held where, what it is worth, and where the result came from.
import { DASH, amount, money, price } from "../format.js";
import { html } from "../html.js";
import { Card, Empty, Money, Panel, Quantity, Table } from "../parts.js";

/** Venues are asked for balances in turn, not each second. */
const BALANCE_AGE_MS_MAX = 60_000;

export function PositionsAndPnl(view) {
  const pnl = view.store.rows("pnl");
  const rows = view.store.rows("positions");
  const kind = (name) => rows.filter((row) => row.kind === name);
  return html`
    <p class="note key">Certainty: plain is known, <span class="num estimated">~</span> is estimated, <span class="num">${DASH}</span> is not known. What is not known is never shown as 0.</p>
    ${pnl.filter((row) => row.kind === "total").map((row) => html`<${Total} key=${row.id} view=${view} row=${row} />`)}
    ${pnl.length ? null : html`<${Panel} title="PnL"><${Empty} title="Risk has not reported yet">The result follows its first report, a second after it is ready.<//><//>`}
    <${Strategies} view=${view} rows=${pnl.filter((row) => row.kind === "strategy")} />
    <${Exposures} view=${view} rows=${kind("exposure").filter((row) => Number(row.qty) !== 0 || row.qty === null)} />
    <${Positions} view=${view} rows=${kind("position")} />
    <${Rounds} view=${view} rows=${kind("round")} />
    <${Balances} view=${view} rows=${kind("balance")} />`;
}

function Total({ view, row }) {
  const card = (name, figure, note, signed = true) => html`<${Card} name=${name} note=${note}>${view.aged("pnl", row.as_of_ms, html`<${Money} figure=${figure} signed=${signed} />`)}<//>`;
  const { plans } = row;
  return html`<${Panel} wide title=${`Result in ${row.quote}`} note=${plans ? html`<${Ended} plans=${plans} />` : ""}>
    <div class="cards flat">
      ${card("Since the ledger began", row.equity)}${card("Today", row.today)}${card("Realized", row.realized, "of what is closed")}
      ${card("Unrealized", row.unrealized, "if closed into the books now")}${card("Drawdown", row.drawdown, "below the highest result", false)}
    </div>
    ${row.waterfall?.length ? html`<h3>Where the realized result comes from</h3><${Waterfall} steps=${row.waterfall} quote=${row.quote} />` : null}<//>`;
}

/** What plans were to earn and did; those that open or close a position of one leg expect nothing themselves. */
function Ended({ plans }) {
  return html`${amount(plans.count)} plans ended: expected ${amount(plans.expected, { most: 4, sign: true })}, realized <${Money} figure=${plans.realized} signed most=${4} />${
    plans.directional ? `; ${amount(plans.directional)} more changed a position, whose result comes with its price` : ""}`;
}

/** Steps that add up, each from where the one before ended; a step that is not known has no bar. */
export function Waterfall({ steps, quote, most = 4 }) {
  let at = 0;
  const bars = steps.map(({ step, amount: figure }, index) => {
    const value = money(figure)[0] === DASH ? null : Number(figure.value ?? figure);
    const isSum = index === steps.length - 1;
    const from = isSum ? 0 : at;
    const to = value === null ? from : from + value;
    if (!isSum) at = to;
    return { step, figure, value, low: Math.min(from, to), high: Math.max(from, to), isSum };
  });
  const least = Math.min(0, ...bars.map((bar) => bar.low));
  const width = Math.max(0, ...bars.map((bar) => bar.high)) - least || 1;
  return html`<ul class="waterfall">${bars.map(({ step, figure, value, low, high, isSum }) => html`<li class=${isSum ? "sum" : ""}>
    <span class="head">${step}</span>
    <span class="track" aria-hidden="true">${!value ? null : html`<span class=${value >= 0 ? "up" : "down"}
      style=${{ left: `${((low - least) / width) * 100}%`, width: `${((high - low) / width) * 100}%` }}></span>`}</span>
    <${Money} figure=${figure} signed most=${most} unit=${quote} /></li>`)}</ul>`;
}

function Strategies({ view, rows }) {
  if (!rows.length) return null;
  const part = (key, name, signed = true) => ({ key, name, isNumber: true, sort: (row) => row[key]?.value, show: (row) => html`<${Money} figure=${row[key]} signed=${signed} most=${4} />` });
  const columns = [
    { key: "strategy", name: "Strategy", show: (row) => html`<strong>${row.strategy}</strong>` },
    { key: "quote", name: "In", show: (row) => row.quote },
    part("realized", "Realized"), part("unrealized", "Unrealized"), part("fees", "Fees paid", false), part("funding", "Funding"),
  ];
  return html`<${Panel} wide title="By strategy"><${Table} name="strategies" caption="Result by strategy" columns=${columns} rows=${rows} filter=${view.filter}
    isAged=${(row) => view.isAged("pnl", row.as_of_ms)} /><//>`;
}

function Exposures({ view, rows }) {
  const columns = [
    { key: "asset", name: "Asset", show: (row) => html`<strong>${row.asset}</strong>` },
    { key: "qty", name: "Net quantity", isNumber: true, show: (row) => view.aged("positions", row.as_of_ms, html`<${Quantity} value=${row.qty} />`) },
  ];
  return html`<${Panel} title="Net exposure"><${Table} name="exposure" caption="Net exposure by asset" columns=${columns} rows=${rows} filter=${view.filter}
    empty=${html`<${Empty} title="No net exposure">What was bought was sold elsewhere.<//>`} /><//>`;
}

function Positions({ view, rows }) {
  const columns = [
    { key: "instrument", name: "Instrument", show: (row) => html`<strong>${row.instrument}</strong>` },
    { key: "venue", name: "Venue", show: (row) => row.venue || "all, spot" },
    { key: "qty", name: "Quantity", isNumber: true, show: (row) => html`<${Quantity} value=${row.qty} />` },
    { key: "entry", name: "Entry", isNumber: true, show: (row) => price(row.entry) },
    { key: "close_price", name: "Closes at", isNumber: true, show: (row) => price(row.close_price) },
    { key: "unrealized", name: "Unrealized", isNumber: true, sort: (row) => row.unrealized?.value, show: (row) => view.aged("positions", row.as_of_ms, html`<${Money} figure=${row.unrealized} signed most=${4} />`) },
  ];
  return html`<${Panel} title="Positions"><${Table} name="positions" caption="Open positions" columns=${columns} rows=${rows} filter=${view.filter}
    isAged=${(row) => view.isAged("positions", row.as_of_ms)}
    empty=${html`<${Empty} title="No open position" />`} /><//>`;
}

function Rounds({ view, rows }) {
  if (!rows.length) return null;
  const columns = [
    { key: "strategy", name: "Strategy", show: (row) => html`<strong>${row.strategy}</strong>` },
    { key: "base", name: "Pair", show: (row) => `${row.base}/${row.quote}` },
    { key: "state", name: "State", show: (row) => row.state },
    { key: "unhedged", name: "Unhedged", isNumber: true, show: (row) => html`<${Quantity} value=${row.unhedged} />` },
    { key: "legs", name: "Legs", sort: (row) => (row.legs ?? []).length, show: (row) => (row.legs ?? []).map((leg) => `${amount(leg.qty, { sign: true })} ${leg.instrument} at ${leg.venue}`).join(", ") },
    { key: "reason", name: "Why", show: (row) => row.reason || DASH },
  ];
  return html`<${Panel} wide title="Rounds" note="positions that a strategy opens and closes"><${Table} name="rounds" caption="Rounds of strategies" columns=${columns} rows=${rows} filter=${view.filter} /><//>`;
}

function Balances({ view, rows }) {
  const columns = [
    { key: "venue", name: "Venue", show: (row) => row.venue },
    { key: "asset", name: "Asset", show: (row) => html`<strong>${row.asset}</strong>` },
    { key: "free", name: "Free", isNumber: true, show: (row) => view.aged("positions", row.as_of_ms, amount(row.free), BALANCE_AGE_MS_MAX) },
    { key: "used", name: "In orders", isNumber: true, show: (row) => amount(row.used) },
    { key: "change", name: "Change seen", isNumber: true, show: (row) => html`<${Quantity} value=${row.change} />` },
  ];
  return html`<${Panel} wide title="Balances" note="as the venues tell; change: since the dashboard began to look"><${Table} name="balances" caption="Balances by venue and asset" columns=${columns} rows=${rows} filter=${view.filter}
    first=${{ column: "venue", isUp: true }} leftOut=${view.store.leftOut("positions")} empty=${html`<${Empty} title="No balance told yet">The executor asks the venues when it starts.<//>`} /><//>`;
}
