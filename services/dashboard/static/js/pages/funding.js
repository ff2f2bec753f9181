// Funding: what perpetuals pay, when next, and how long a position must be held to earn its fees.
import { amount, moment, percent, price, span } from "../format.js";
import { html } from "../html.js";
import { Empty, Panel, Signed, Table } from "../parts.js";

const hours = (value) => (value === null || value === undefined ? "—" : span(value * 3_600_000));

export function Funding(view) {
  const columns = [
    { key: "instrument", name: "Instrument", show: (row) => html`<strong>${row.instrument}</strong>` },
    { key: "venue", name: "Venue", show: (row) => row.venue },
    { key: "rate", name: "Rate", isNumber: true, show: (row) => view.aged("funding", row.as_of_ms, percent(row.rate, 4)) },
    { key: "interval_h", name: "Every", isNumber: true, show: (row) => hours(row.interval_h) },
    { key: "next_ms", name: "Next in", isNumber: true, show: (row) => (row.next_ms && view.nowMs
      ? html`<span title=${moment(row.next_ms, view.nowMs)}>${span(Math.max(1000, row.next_ms - view.nowMs))}</span>` : "—") },
    { key: "annual_pct", name: "A year", isNumber: true, show: (row) => html`<${Signed} value=${row.annual_pct} most=${1} unit="%" />` },
    { key: "mark", name: "Mark", isNumber: true, show: (row) => price(row.mark) },
    { key: "index", name: "Index", isNumber: true, show: (row) => price(row.index) },
    { key: "basis_bps", name: "Basis, bps", isNumber: true, show: (row) => html`<${Signed} value=${row.basis_bps} />` },
    { key: "break_even_h", name: "Breaks even in", isNumber: true, show: (row) => hours(row.break_even_h) },
  ];
  const rows = view.store.rows("funding");
  return html`<${Panel} wide note=${rows.length ? `${amount(rows.length)} perpetuals; rate: what longs pay shorts each interval` : ""}>
    <${Table} name="funding" caption="Funding of perpetuals" columns=${columns} rows=${rows} filter=${view.filter}
      first=${{ column: "instrument", isUp: true }} leftOut=${view.store.leftOut("funding")}
      empty=${html`<${Empty} title="No funding is told">It comes from perpetuals, where a venue's feeds or a strategy ask for it (feeds = ["funding"]).<//>`} /><//>`;
}
