// Health: how long each hop takes, how full each stream is, who lives.
import { DASH, age, amount, bytes, span } from "../format.js";
import { html } from "../html.js";
import { Bar, Empty, Light, Panel, Table } from "../parts.js";
import { Context } from "./records.js";

const us = (value) => (value === null || value === undefined ? DASH : span(value / 1000));

export function Health(view) {
  const rows = view.store.rows("health");
  const kind = (name) => rows.filter((row) => row.kind === name);
  return html`
    <${Hops} view=${view} rows=${kind("hop")} />
    <${Processes} view=${view} rows=${kind("process")} />
    <${Feeds} view=${view} rows=${kind("feed")} />
    <${Streams} view=${view} rows=${kind("stream")} />`;
}

const CHAIN = ["tick_to_depth", "tick_to_opportunity", "tick_to_plan", "tick_to_order"];

function Hops({ view, rows }) {
  const most = Math.max(...rows.map((row) => row.p99_us ?? 0), 1);
  const columns = [
    { key: "name", name: "Hop", sort: (row) => CHAIN.indexOf(row.name), show: (row) => html`<strong>${row.name.replaceAll("_", " ")}</strong>` },
    { key: "p50_us", name: "p50", isNumber: true, show: (row) => us(row.p50_us) },
    { key: "p99_us", name: "p99", isNumber: true, show: (row) => us(row.p99_us) },
    { key: "p999_us", name: "p99.9", isNumber: true, show: (row) => us(row.p999_us) },
    { key: "n", name: "Measured", isNumber: true, show: (row) => amount(row.n) },
    { key: "bar", name: "p99 among the hops", sort: (row) => row.p99_us, show: (row) => html`<${Bar} share=${(row.p99_us ?? 0) / most} way="up" />` },
  ];
  return html`<${Panel} wide title="Latency" note="since the processes began; from the venue's frame in hand">
    <${Table} name="hops" caption="Latency by hop" columns=${columns} rows=${rows} first=${{ column: "name", isUp: true }} filter=${view.filter} empty=${html`<${Empty} title="Nothing measured yet" />`} /><//>`;
}

function Processes({ view, rows }) {
  const columns = [
    { key: "name", name: "Process", show: (row) => html`<strong>${row.name}</strong>` },
    { key: "is_ready", name: "State", sort: (row) => (row.is_silent ? 0 : row.is_ready ? 2 : 1), show: (row) => html`<${Light}
      level=${row.is_silent ? "bad" : row.is_ready ? "good" : "warn"} word=${row.is_silent ? `silent ${row.as_of_ms && view.nowMs ? age(view.nowMs - row.as_of_ms) : ""}` : row.is_ready ? "ready" : "not ready"} />` },
    { key: "reason", name: "Why", show: (row) => row.reason || DASH },
    { key: "started_ms", name: "Runs for", isNumber: true, show: (row) => (row.started_ms && view.nowMs ? age(view.nowMs - row.started_ms) : DASH) },
    { key: "restarts", name: "Restarts seen", isNumber: true, show: (row) => amount(row.restarts) },
    { key: "pid", name: "Pid", isNumber: true, show: (row) => row.pid ?? DASH },
    { key: "notes", name: "Notes", isWide: true, show: (row) => html`<${Context} of=${row.notes} />` },
  ];
  return html`<${Panel} wide title="Processes"><${Table} name="processes" caption="Processes" columns=${columns} rows=${rows} filter=${view.filter}
    first=${{ column: "name", isUp: true }} empty=${html`<${Empty} title="No process was heard">Are they running? In a terminal: arb doctor.<//>`} /><//>`;
}

function Feeds({ view, rows }) {
  const columns = [
    { key: "venue", name: "Venue", show: (row) => html`<strong>${row.venue}</strong>` },
    { key: "source", name: "Source", show: (row) => (row.feed ? `${row.feed}: ${row.source}` : row.source) },
    { key: "state", name: "State", show: (row) => html`<${Light} level=${row.state === "LIVE" || row.state === "up" ? "good" : row.state === "DOWN" || row.state === "down" ? "bad" : "warn"} word=${row.state ?? "not known"} />` },
    { key: "reason", name: "Why", show: (row) => row.reason || DASH },
    { key: "as_of_ms", name: "Told", isNumber: true, show: (row) => view.ago(row.as_of_ms) },
  ];
  return html`<${Panel} title="Feeds"><${Table} name="feeds" caption="Feeds of venues" columns=${columns} rows=${rows} filter=${view.filter}
    empty=${html`<${Empty} title="No feed was heard yet" />`} /><//>`;
}

const share = (has, most) => (has === null || has === undefined || !most ? null : has / most);

function Streams({ view, rows }) {
  const columns = [
    { key: "name", name: "Stream", show: (row) => html`<strong>${row.name}</strong>` },
    { key: "entries", name: "Entries", isNumber: true, show: (row) => amount(row.entries) },
    { key: "fill", name: "Of its bound", sort: (row) => share(row.entries, row.entries_max), show: (row) => html`<span title=${`at most ${amount(row.entries_max)}`}><${Bar} share=${share(row.entries, row.entries_max)} way="up" /></span>` },
    { key: "bytes", name: "Memory", isNumber: true, show: (row) => bytes(row.bytes) },
    { key: "lag_ms", name: "Readers lag", isWide: true, sort: (row) => Math.max(0, ...Object.values(row.lag_ms ?? {})), show: (row) => html`<${Lag} of=${row.lag_ms} />` },
    { key: "dead_letters", name: "Dead letters", isNumber: true, show: (row) => amount(row.dead_letters) },
  ];
  return html`<${Panel} wide title="Streams" note="market data streams are trimmed to their bound: full is as it should be"><${Table} name="streams" caption="Streams, their bounds and their readers" columns=${columns} rows=${rows} filter=${view.filter}
    isAged=${(row) => view.isAged("health", row.as_of_ms)}
    first=${{ column: "name", isUp: true }} leftOut=${view.store.leftOut("health")} empty=${html`<${Empty} title="Redis was not read yet" />`} /><//>`;
}

function Lag({ of }) {
  const readers = Object.entries(of ?? {});
  if (!readers.length) return DASH;
  return html`<span class="num">${readers.map(([name, ms]) => `${name} ${ms === null ? DASH : span(ms)}`).join(", ")}</span>`;
}

