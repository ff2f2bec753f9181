// Charts: sliding windows of price, net edge, result and latency; holes stay holes, cursors are linked.
import { html, Component, createRef } from "../html.js";
import { Empty, Panel } from "../parts.js";
import { WINDOWS, addPoint, align, chartsOf, listSeries, readHistory } from "../series.js";

const HEIGHT = 210;
const REREAD_MS = 30_000; // windows of 10 s and 60 s are read again
const TITLES = {
  price: ["Price", "middle of the best bid and ask"],
  spread: ["Net edge", "bps, the best pair of venues after fees"],
  pnl: ["Result", "since the ledger began, and today"],
  latency: ["Latency", "µs, of each second"],
};
const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3], [4, 2], [12, 4]];

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const strokes = () => [1, 2, 3, 4, 5, 6].map((n) => style(`--line-${n}`));
const two = (n) => String(n).padStart(2, "0");

function timeOf(seconds, isDays) {
  const at = new Date(seconds * 1000);
  const time = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
  return isDays ? `${two(at.getUTCMonth() + 1)}-${two(at.getUTCDate())} ${time}` : `${time}:${two(at.getUTCSeconds())}`;
}

/** A value between two holes is no line: it is drawn as a point. */
function isolated(plot, index) {
  const values = plot.data[index];
  return values.reduce((found, value, i) => {
    if (value !== null && (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null) found.push(i);
    return found;
  }, []);
}

/** The subject that most lines can be compared of; the first by name among equals. */
const richest = (subjects, names) =>
  names.reduce((best, name) => (subjects.get(name).length > subjects.get(best).length ? name : best), names[0]);

function options(names, width, stepS, ready) {
  const axis = { stroke: style("--muted"), grid: { stroke: style("--line"), width: 1 }, ticks: { stroke: style("--line"), width: 1 }, font: "12px system-ui, sans-serif" };
  const colours = strokes();
  return {
    width,
    height: HEIGHT,
    hooks: { ready: [ready] },
    cursor: { sync: { key: "arb" }, drag: { x: false, y: false } },
    scales: { x: { time: true } },
    axes: [
      { ...axis, space: stepS === 60 ? 110 : 80, values: (_, at) => at.map((each) => timeOf(each, stepS === 60)) },
      { ...axis, size: 74, values: (_, at) => at.map((each) => each.toLocaleString("en-US", { maximumFractionDigits: 6 })) },
    ],
    series: [
      { label: "UTC", value: (_, at) => (at === null ? "—" : timeOf(at, stepS === 60)) },
      ...names.map((label, index) => ({
        label,
        stroke: colours[index % colours.length],
        dash: DASHES[index % DASHES.length],
        width: 1.5,
        spanGaps: false,
        points: { show: true, size: 4, filter: isolated },
        value: (_, value) => (value === null || value === undefined ? "—" : value.toLocaleString("en-US", { maximumFractionDigits: 4 })),
      })),
    ],
  };
}

/** One chart of some series; it reads their history and takes live points from the page. */
class Chart extends Component {
  box = createRef();
  state = { why: "", isRead: false };

  componentDidMount() {
    this.resizer = new ResizeObserver(() => this.plot?.setSize({ width: this.width(), height: HEIGHT }));
    this.resizer.observe(this.box.current);
    document.addEventListener("themechange", this.redraw);
    this.read();
  }

  componentWillUnmount() {
    this.isGone = true;
    clearTimeout(this.timer);
    this.resizer.disconnect();
    document.removeEventListener("themechange", this.redraw);
    this.plot?.destroy();
  }

  width() {
    return Math.max(200, this.box.current.clientWidth);
  }

  async read() {
    const { series, window } = this.props;
    const { stepS } = WINDOWS[window];
    try {
      this.all = await Promise.all(series.map(({ id }) => readHistory(id, stepS)));
      if (this.isGone) return;
      this.setState({ why: "", isRead: true });
      this.redraw();
    } catch (error) {
      if (!this.isGone) this.setState({ why: `No history: ${error.message}. Trying again.` });
    }
    if (!this.isGone && (stepS > 1 || !this.all)) this.timer = setTimeout(() => this.read(), this.all ? REREAD_MS : 3000);
  }

  redraw = () => {
    if (!this.all || this.isGone) return;
    this.plot?.destroy();
    const { series, window } = this.props;
    const { stepS, points } = WINDOWS[window];
    this.plot = new uPlot(options(series.map(({ name }) => name), this.width(), stepS, () => this.showNewest()), align(this.all, points), this.box.current);
  };

  /** Where no cursor points at a time, the legend tells the newest values. */
  showNewest() {
    const { plot } = this; // none yet while it is being made: it tells when it is ready
    if (plot && plot.cursor.left < 0 && plot.data[0].length) plot.setLegend({ idx: plot.data[0].length - 1 });
  }

  /** Take the newest points; called with each paint of the page. */
  componentDidUpdate() {
    const { rows, window } = this.props;
    const { stepS, points } = WINDOWS[window];
    if (!this.all || stepS !== 1) return;
    let isNew = false;
    for (const series of this.all) {
      const row = rows.get(series.id);
      if (!row || row.ts_ms === series.lastMs) continue;
      series.lastMs = row.ts_ms;
      addPoint(series, row.ts_ms, row.value, points);
      isNew = true;
    }
    if (!isNew || !this.plot) return;
    this.plot.setData(align(this.all, points));
    this.showNewest();
  }

  render({ title, note }, { why, isRead }) {
    const isEmpty = isRead && !this.all.some((series) => series.values.some((value) => value !== null));
    return html`<figure class="chart" aria-label=${`${title}, ${note}`}>
      <div ref=${this.box} class=${isEmpty ? "quiet" : ""}></div>
      ${why ? html`<p class="down" role="status">${why}</p>` : null}
      ${isEmpty ? html`<${Empty} title="No value in this window">It is drawn as soon as one is known.<//>` : null}</figure>`;
  }
}

/** The page: a chart for each kind of series that the server has. */
export class Charts extends Component {
  state = { list: null, why: "", window: "15 min", chosen: {} };

  componentDidMount() {
    this.read();
  }

  componentWillUnmount() {
    this.isGone = true;
    clearTimeout(this.timer);
  }

  async read() {
    try {
      const list = await listSeries();
      if (!this.isGone) this.setState({ list, why: "" });
    } catch (error) {
      if (!this.isGone) this.setState({ why: `The list of series cannot be read (${error.message}). Trying again.` });
    }
    if (!this.isGone) this.timer = setTimeout(() => this.read(), this.state.list?.length ? REREAD_MS : 2000);
  }

  render({ view }, { list, why, window, chosen }) {
    if (!list?.length) {
      return html`<${Panel} wide title="Charts"><${Empty} title=${why || (list ? "No series yet" : "Reading the series …")}>${list ? "They begin with the first book." : ""}<//><//>`;
    }
    const rows = view.store.topics.get("charts")?.rows ?? new Map();
    return html`<div class="row tools"><div class="choice" role="group" aria-label="Window">${Object.keys(WINDOWS).map((name) => html`<button
        aria-pressed=${String(name === window)} onClick=${() => this.setState({ window: name })}>${name}</button>`)}</div>
        <span class="note">times in UTC; a gap is a time without a value</span></div>
      <div class="grid charts">${Object.entries(chartsOf(list)).filter(([, subjects]) => subjects.size).map(([kind, subjects]) => this.panel(kind, subjects, rows, window, chosen))}</div>`;
  }

  panel(kind, subjects, rows, window, chosen) {
    const names = [...subjects.keys()].sort();
    const preferred = kind === "latency" ? "tick to order" : richest(subjects, names);
    const subject = subjects.has(chosen[kind]) ? chosen[kind] : subjects.has(preferred) ? preferred : names[0];
    const [title, note] = TITLES[kind];
    // A window longer than 15 minutes is kept for pinned series only.
    const series = subjects.get(subject).filter((each) => WINDOWS[window].stepS === 1 || each.is_long).slice(0, 6);
    return html`<${Panel} key=${kind} title=${title} note=${note}>
      <label class="subject">Of <select value=${subject} onChange=${(event) => this.setState({ chosen: { ...chosen, [kind]: event.target.value } })}>
        ${names.map((name) => html`<option value=${name} selected=${name === subject}>${name}</option>`)}</select></label>
      ${series.length
        ? html`<${Chart} key=${`${subject} ${window} ${series.map(({ id }) => id).join()}`} title=${`${title} ${subject}`} note=${note} series=${series} rows=${rows} window=${window} />`
        : html`<${Empty} title="Kept for 15 minutes only">The server keeps long windows of its first 50 series.<//>`}<//>`;
  }
}
