// Parts that all pages are made of: figures, marks, panels, tables.
import { DASH, age, amount, direction, money } from "./format.js";
import { html, Component, createRef } from "./html.js";

const ARROWS = { up: "▲", down: "▼", flat: "", "": "" };
const MARKS = { estimated: "estimated", unknown: "not known" };

/** An amount of money with its certainty: plain, ~ for estimated, a dash where it is not known. */
export function Money({ figure, unit = "", signed = false, most = 2 }) {
  const [text, certainty] = money(figure, { sign: signed, most });
  const value = figure !== null && typeof figure === "object" ? figure?.value : figure;
  const way = signed && certainty !== "unknown" ? direction(value) : "";
  return html`<span class=${`num ${way} ${certainty}`} title=${MARKS[certainty]}>${
    way && ARROWS[way] ? html`<span class="arrow" aria-hidden="true">${ARROWS[way]}</span>` : null
  }${text}${unit && text !== DASH ? html` <span class="unit">${unit}</span>` : null}</span>`;
}

/** A quantity with its sign: more or less of an asset is neither good nor bad. */
export function Quantity({ value, unit = "" }) {
  const text = amount(value, { most: 10, sign: true });
  return html`<span class="num">${text}${unit && text !== DASH ? html` <span class="unit">${unit}</span>` : null}</span>`;
}

/** A signed figure: sign and arrow beside the colour. */
export function Signed({ value, most = 1, least = most, unit = "" }) {
  const text = amount(value, { least, most, sign: true });
  const way = text === DASH ? "" : direction(value);
  return html`<span class=${`num ${way}`}>${
    ARROWS[way] ? html`<span class="arrow" aria-hidden="true">${ARROWS[way]}</span>` : null
  }${text}${unit && text !== DASH ? html` <span class="unit">${unit}</span>` : null}</span>`;
}

/** The state of a thing as a coloured mark and, always, a word. */
export function Light({ level, word }) {
  return html`<span class=${`light ${level}`}><span class="dot" aria-hidden="true"></span>${word}</span>`;
}

export const isTooOld = (asOfMs, nowMs, maxMs) =>
  asOfMs !== null && asOfMs !== undefined && nowMs !== null && Boolean(maxMs) && nowMs - asOfMs > maxMs;

/** A figure that is grey, with its age, once older than its limit. */
export function Aged({ asOfMs, nowMs, maxMs, children }) {
  if (!isTooOld(asOfMs, nowMs, maxMs)) return children;
  return html`<span class="aged">${children} <span class="since">${age(nowMs - asOfMs)} old</span></span>`;
}

export function Panel({ title, note, wide, children }) {
  return html`<section class=${`panel ${wide ? "wide" : ""}`}>
    ${title || note ? html`<div class="panel-head">${title ? html`<h2>${title}</h2>` : null}${note ? html`<span class="note">${note}</span>` : null}</div>` : null}
    ${children}
  </section>`;
}

/** One large figure with its name. */
export function Card({ name, children, note }) {
  return html`<div class="card"><div class="name">${name}</div><div class="value">${children}</div>
    <div class="note">${note ?? ""}</div></div>`;
}

/** What is shown where there is nothing to show: what that means and what to do. */
export function Empty({ title, children }) {
  return html`<div class="empty"><p class="title">${title}</p>${children ? html`<p>${children}</p>` : null}</div>`;
}

const sorts = new Map(); // the table's name -> {column, isUp}: kept when its page is left
const SHOWN_MAX = 200;
const SHOWN_NARROW_MAX = 30;
const isNarrow = () => matchMedia("(max-width: 640px)").matches;

const isNumber = (value) => value !== null && value !== undefined && value !== "" && !Number.isNaN(Number(value));

/** Order two values: figures by size, else by letters; what is not known is last. */
function order(a, b, isUp) {
  const isA = a !== null && a !== undefined && a !== "";
  const isB = b !== null && b !== undefined && b !== "";
  if (!isA || !isB) return Number(isB) - Number(isA);
  const way = isNumber(a) && isNumber(b) ? Number(a) - Number(b) : String(a).localeCompare(String(b));
  return isUp ? way : -way;
}

function arrange(rows, columns, filter, sorted) {
  let shown = rows;
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length) {
    shown = rows.filter((row) => {
      const text = Object.values(row).map((v) => (v !== null && typeof v === "object" ? JSON.stringify(v) : v)).join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    });
  }
  const column = sorted && columns.find((each) => each.key === sorted.column);
  if (column) {
    const value = column.sort ?? ((row) => row[column.key]);
    shown = [...shown].sort((a, b) => order(value(a), value(b), sorted.isUp));
  }
  return shown;
}

const LOOK_MS = 200;
const BEYOND_PX = 150; // beyond the screen: what comes into view next

/** The ids of the rows of a table's body that are on the screen, in the order of their names. */
function rowsInView(body) {
  const rows = body?.rows ?? [];
  const find = (isPast) => {
    let [low, high] = [0, rows.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isPast(rows[middle].getBoundingClientRect())) high = middle;
      else low = middle + 1;
    }
    return low;
  };
  const first = find((box) => box.bottom > -BEYOND_PX);
  const end = find((box) => box.top > innerHeight + BEYOND_PX);
  return [...rows].slice(first, end).map((row) => row.dataset.id).filter(Boolean).sort();
}

/**
 * A table that sorts and filters; on a narrow screen each row becomes a card of labelled figures.
 *
 * columns: [{key, name, show(row), sort?(row), isNumber?, isWide?, isMinor?}]; on a narrow screen what is
 * minor is left to the details.
 * isAged(row): whether its figures are too old to be shown as true.
 * expand(row): what a press on a row shows beneath it.
 * onView(ids): the rows that are on the screen now, when they have changed.
 */
export class Table extends Component {
  state = { most: isNarrow() ? SHOWN_NARROW_MAX : SHOWN_MAX };
  body = createRef();

  componentDidMount() {
    if (!this.props.onView) return;
    addEventListener("scroll", this.look, { passive: true });
    addEventListener("resize", this.look);
    this.look();
  }

  componentDidUpdate() {
    if (this.props.onView) this.look();
  }

  componentWillUnmount() {
    clearTimeout(this.looking);
    removeEventListener("scroll", this.look);
    removeEventListener("resize", this.look);
  }

  /** Tell soon which rows are on the screen: at most so often, however fast somebody scrolls. */
  look = () => {
    this.looking ??= setTimeout(() => {
      this.looking = null;
      const ids = rowsInView(this.body.current);
      if (ids.join("\n") === this.inView) return;
      this.inView = ids.join("\n");
      this.props.onView(ids);
    }, LOOK_MS);
  };

  sortBy(key) {
    const had = sorts.get(this.props.name);
    sorts.set(this.props.name, { column: key, isUp: had?.column === key ? !had.isUp : true });
    this.setState({});
  }

  pick(id) {
    const picked = this.picked() === id ? null : id;
    if (this.props.onPick) this.props.onPick(picked);
    else this.setState({ picked });
  }

  picked() {
    return this.props.onPick ? this.props.picked : this.state.picked;
  }

  render({ name, caption, columns, rows, filter = "", empty, first, leftOut = 0, expand, isAged }, { most }) {
    const picked = this.picked();
    const sorted = sorts.get(name) ?? first;
    const shown = arrange(rows, columns, filter, sorted);
    if (!rows.length) return empty ?? html`<${Empty} title="Nothing here yet" />`;
    if (!shown.length) return html`<${Empty} title=${`None of ${rows.length} has "${filter}"`}>Esc, then / to change the filter.<//>`;
    const ariaSort = (key) => (sorted?.column === key ? (sorted.isUp ? "ascending" : "descending") : undefined);
    return html`<div class="scroll"><table role="table" class="stack">
      <caption>${caption}</caption>
      <thead role="rowgroup"><tr role="row">${columns.map((column) => html`<th role="columnheader" scope="col"
        class=${`${column.isNumber ? "right" : ""} ${column.isMinor ? "minor" : ""}`} aria-sort=${ariaSort(column.key)}>
        <button class="sort" onClick=${() => this.sortBy(column.key)}>${column.name}${
          sorted?.column === column.key ? html`<span aria-hidden="true">${sorted.isUp ? " ↑" : " ↓"}</span>` : null}</button></th>`)}</tr></thead>
      <tbody role="rowgroup" ref=${this.body}>${shown.slice(0, most).map((row) => html`<tr role="row" key=${row.id} data-id=${row.id} class=${`${expand ? "opens" : ""} ${isAged?.(row) ? "aged" : ""}`}
        onClick=${expand ? () => this.pick(row.id) : undefined}>${columns.map((column, index) => html`<td
        role="cell" data-name=${column.name} class=${`${column.isNumber ? "right" : ""} ${column.isWide ? "wide" : ""} ${column.isMinor ? "minor" : ""}`}>${
          expand && !index ? html`<button class="opener" aria-expanded=${String(picked === row.id)} aria-label="Details">${picked === row.id ? "▾" : "▸"}</button>` : null
        }${column.show(row)}</td>`)}</tr>
        ${expand && picked === row.id ? html`<tr role="row" key=${`${row.id} detail`} class="detail"><td role="cell" colspan=${columns.length}>${expand(row)}</td></tr>` : null}`)}</tbody>
    </table>
    ${leftOut ? html`<p class="note">${leftOut} more are not shown: the server keeps a bounded table.</p>` : null}
    ${shown.length > most ? html`<p class="more"><button onClick=${() => this.setState({ most: most + SHOWN_MAX })}>
      Show ${Math.min(SHOWN_MAX, shown.length - most)} more of ${shown.length}</button></p>` : null}
    </div>`;
  }
}

/** A bar of a waterfall or share; its length is `share` of 0..1. */
export function Bar({ share, way = "" }) {
  const width = Math.round(1000 * Math.max(0, Math.min(1, share || 0))) / 10;
  return html`<span class="bar" aria-hidden="true"><span class=${way} style=${{ width: `${width}%` }}></span></span>`;
}
