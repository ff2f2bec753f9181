// Books: what each venue shows, and whether it may price anything.
import { amount, bps, price } from "../format.js";
import { html } from "../html.js";
import { Bar, Empty, Light, Panel, Table } from "../parts.js";

const LEVELS = { LIVE: "good", SYNCING: "warn", STALE: "warn", GAP: "warn", CROSSED: "bad", AUDIT_FAILED: "bad", DOWN: "bad", UNPROVED: "warn" };

export const BookState = ({ state, reason }) => html`<span title=${reason || undefined}><${Light}
  level=${LEVELS[state] ?? "unknown"} word=${state ?? "not known"} /></span>`;

export function Books(view) {
  const rows = view.store.rows("books");
  const isAged = (row) => row.state !== "LIVE" || view.isAged("books", row.as_of_ms);
  const columns = [
    { key: "instrument", name: "Instrument", show: (row) => html`<strong>${row.instrument}</strong>` },
    { key: "venue", name: "Venue", show: (row) => row.venue },
    { key: "state", name: "State", show: (row) => html`<${BookState} ...${row} />` },
    { key: "bid_qty", name: "Bid size", isNumber: true, show: (row) => amount(row.bid_qty, { most: 4 }) },
    { key: "bid", name: "Bid", isNumber: true, show: (row) => price(row.bid) },
    { key: "ask", name: "Ask", isNumber: true, show: (row) => price(row.ask) },
    { key: "ask_qty", name: "Ask size", isNumber: true, show: (row) => amount(row.ask_qty, { most: 4 }) },
    { key: "spread_bps", name: "Spread, bps", isNumber: true, show: (row) => bps(row.spread_bps, false) },
    { key: "changed_ms", name: "Changed", isNumber: true, show: (row) => `${view.ago(row.changed_ms)} ago` },
  ];
  const { venues } = view.store.cells("overview");
  const sum = (key) => (venues ?? []).reduce((total, venue) => total + (venue[key] ?? 0), 0);
  return html`<${Panel} wide note=${`${venues ? `${sum("books_live")} of ${sum("books")} live; ` : ""}only a LIVE book prices anything`}>
    <${Table} name="books" caption="Order books: best prices, trust state and age" columns=${columns} rows=${rows}
      filter=${view.filter} first=${{ column: "instrument", isUp: true }} leftOut=${view.store.leftOut("books")}
      isAged=${isAged} onView=${(ids) => view.set({ inView: ids })} picked=${view.ui.book} onPick=${(id) => view.set({ book: id })}
      expand=${(row) => html`<${Depth} view=${view} id=${row.id} />`}
      empty=${html`<${Empty} title="No book yet">The ingestor has not delivered one. See health: is a feed down?<//>`} /><//>`;
}

/** Both sides of one book, the best levels first, with bars of size. */
export function Depth({ view, id }) {
  const book = view.store.rows("depth").find((row) => row.id === id);
  if (!book) return html`<p class="note">Reading ${id.replace("|", " ")} …</p>`;
  const most = Math.max(...[...(book.bids ?? []), ...(book.asks ?? [])].map(([, qty]) => Number(qty)), 0);
  const side = (levels, name, way) => html`<div><h3>${name}</h3>${levels?.length ? html`<ol class="ladder">${levels.slice(0, 10).map(([at, qty]) => html`<li key=${at}>
    <span class="num">${price(at)}</span><span class="num">${amount(qty, { most: 6 })}</span><${Bar} share=${Number(qty) / most} way=${way} /></li>`)}</ol>` : html`<p class="note">empty</p>`}</div>`;
  return html`<div class="depth"><p class="head">${book.venue} ${book.instrument} <${BookState} ...${book} />
      ${view.aged("books", book.as_of_ms, "")}</p>
    ${side(book.bids, "Bids", "up")}${side(book.asks, "Asks", "down")}</div>`;
}
