// Series for charts: history from the server, its newest points from the live channel. Pure but for fetch.
//
// A value that is not there is null and stays a hole: nothing is drawn through it.
import { readJson } from "./api.js";

/** The windows that a chart can show: step in seconds, and how many steps. */
export const WINDOWS = {
  "15 min": { stepS: 1, points: 900 },
  "6 h": { stepS: 10, points: 2160 },
  "7 d": { stepS: 60, points: 10_080 },
};

export async function listSeries() {
  return (await readJson("/api/v1/series")).series;
}

export async function readHistory(id, stepS) {
  const { t0_ms: t0Ms, step_ms: stepMs, values } = await readJson(`/api/v1/chart?series=${encodeURIComponent(id)}&step_s=${stepS}`);
  return { id, stepMs, slot0: Math.round(t0Ms / stepMs), values: [...values] };
}

/** Put a live point in its slot; slots that were skipped are holes. Later points of a slot win. */
export function addPoint(series, tsMs, value, pointsMax) {
  const index = Math.floor(tsMs / series.stepMs) - series.slot0;
  if (index < 0 || index > series.values.length + pointsMax) {
    if (index > 0) Object.assign(series, { slot0: series.slot0 + index, values: [value] });
    return;
  }
  while (series.values.length < index) series.values.push(null);
  if (index < series.values.length && value === null) return;
  series.values[index] = value;
  const over = series.values.length - pointsMax;
  if (over > 0) {
    series.values.splice(0, over);
    series.slot0 += over;
  }
}

/** The series on one axis of time that ends at the newest slot: [seconds, values...] for uPlot. */
export function align(all, points) {
  if (!all.length) return [[]];
  const { stepMs } = all[0];
  const end = Math.max(...all.map((series) => series.slot0 + series.values.length));
  const start = Math.max(end - points, Math.min(...all.map((series) => series.slot0)));
  const slots = Array.from({ length: Math.max(0, end - start) }, (_, i) => start + i);
  const columns = all.map((series) => slots.map((slot) => series.values[slot - series.slot0] ?? null));
  return [slots.map((slot) => (slot * stepMs) / 1000), ...columns];
}

/** The series by the chart that they belong on, and within it by what is looked at. */
export function chartsOf(list) {
  const charts = { price: new Map(), spread: new Map(), pnl: new Map(), latency: new Map() };
  const put = (chart, subject, series, name) => {
    if (!charts[chart].has(subject)) charts[chart].set(subject, []);
    charts[chart].get(subject).push({ ...series, name });
  };
  for (const series of list) {
    const [kind, ...rest] = series.id.split("|");
    if (kind === "price") put("price", rest.slice(1).join("|"), series, rest[0]);
    else if (kind === "spread") put("spread", rest.join("|"), series, "best net edge");
    else if (kind === "equity" || kind === "today") put("pnl", rest[0], series, kind === "equity" ? "result" : "today");
    else if (kind === "latency") put("latency", rest[0].replaceAll("_", " "), series, rest[1]);
  }
  return charts;
}
