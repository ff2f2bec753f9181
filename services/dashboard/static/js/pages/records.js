// What is on record: alerts, the log, the settings, the audit trail.
import { DASH, amount, moment } from "../format.js";
import { html } from "../html.js";
import { Empty, Light, Panel, Table } from "../parts.js";

const LEVELS = { critical: "bad", warning: "warn", info: "info" };

/** Named figures on one line: `needs_bps 2.0 · has_bps -1.3`. */
export function Context({ of }) {
  const pairs = Object.entries(of ?? {});
  if (!pairs.length) return null;
  return html`<span class="context">${pairs.map(([name, value]) => html`<span><span class="note">${name}</span> <span class="num">${
    value !== null && typeof value === "object" ? JSON.stringify(value) : String(value ?? DASH)}</span></span>`)}</span>`;
}

export function AlertLine({ row, nowMs }) {
  return html`<li><span class="num when">${moment(row.ts_ms, nowMs)}</span><${Light} level=${LEVELS[row.severity] ?? "unknown"} word=${row.severity} />
    <span class="head">${row.code}</span> <span class="note">${row.service}${row.subject ? ` · ${row.subject}` : ""}: ${row.text}${row.count > 1 ? ` (${row.count} times)` : ""}</span></li>`;
}

export function Alerts(view) {
  const columns = [
    { key: "ts_ms", name: "Time", show: (row) => moment(row.ts_ms, view.nowMs) },
    { key: "severity", name: "Severity", sort: (row) => ["info", "warning", "critical"].indexOf(row.severity), show: (row) => html`<${Light} level=${LEVELS[row.severity] ?? "unknown"} word=${row.severity} />` },
    { key: "code", name: "Code", show: (row) => html`<strong>${row.code}</strong>` },
    { key: "service", name: "From", show: (row) => row.service },
    { key: "subject", name: "About", show: (row) => row.subject || DASH },
    { key: "text", name: "Text", isWide: true, show: (row) => row.text },
    { key: "count", name: "Times", isNumber: true, show: (row) => amount(row.count) },
  ];
  return html`<${Panel} wide note="each code has a page in the runbook">
    <${Table} name="alerts" caption="Alerts" columns=${columns} rows=${view.store.rows("alerts")} filter=${view.filter} first=${{ column: "ts_ms", isUp: false }}
      leftOut=${view.store.leftOut("alerts")} empty=${html`<${Empty} title="No alert">None since the dashboard began to look.<//>`} /><//>`;
}

export function Log(view) {
  const columns = [
    { key: "id", name: "Time", show: (row) => moment(row.ts_ms, view.nowMs) },
    { key: "level", name: "Level", sort: (row) => ["info", "warning", "critical"].indexOf(row.level), show: (row) => html`<${Light} level=${LEVELS[row.level] ?? "unknown"} word=${row.level} />` },
    { key: "source", name: "From", show: (row) => row.source },
    { key: "event", name: "Event", show: (row) => html`<strong>${row.event}</strong>` },
    { key: "text", name: "Text", isWide: true, show: (row) => row.text },
  ];
  return html`<${Panel} wide note="what the bus tells: states, commands, alerts, ends of plans, denials; the newest first">
    <${Table} name="log" caption="Log" columns=${columns} rows=${view.store.rows("log")} filter=${view.filter} first=${{ column: "id", isUp: false }}
      leftOut=${view.store.leftOut("log")} empty=${html`<${Empty} title="Nothing has happened yet" />`} /><//>`;
}

export function Settings(view) {
  const columns = [
    { key: "section", name: "Section", show: (row) => row.section },
    { key: "key", name: "Key", show: (row) => html`<strong>${row.key}</strong>` },
    { key: "value", name: "Value", isWide: true, show: (row) => html`<code>${row.value ?? DASH}</code>` },
    { key: "is_default", name: "From", show: (row) => (row.is_default ? html`<span class="note">as shipped</span>` : "configured") },
  ];
  return html`<${Panel} wide note="what is in force, read-only; secrets are masked">
    <${Table} name="settings" caption="Settings in force" columns=${columns} rows=${view.store.rows("settings")} filter=${view.filter}
      leftOut=${view.store.leftOut("settings")} empty=${html`<${Empty} title="The settings were not sent" />`} /><//>`;
}

export function Audit(view) {
  const columns = [
    { key: "seq", name: "No.", isNumber: true, show: (row) => amount(row.seq) },
    { key: "ts_ms", name: "Time", show: (row) => moment(row.ts_ms, view.nowMs) },
    { key: "who", name: "Who", show: (row) => html`<strong>${row.who || DASH}</strong>` },
    { key: "address", name: "Address", show: (row) => row.address || DASH },
    { key: "action", name: "Action", show: (row) => row.action },
    { key: "outcome", name: "Outcome", isWide: true, show: (row) => row.outcome || DASH },
    { key: "arguments", name: "Arguments", isWide: true, show: (row) => (Object.keys(row.arguments ?? {}).length ? html`<${Context} of=${row.arguments} />` : DASH) },
    { key: "command_id", name: "Command", show: (row) => (row.command_id ? html`<code>${row.command_id}</code>` : DASH) },
  ];
  return html`<${Panel} wide note="each entry holds the hash of the one before; arb audit verify checks them">
    <${Table} name="audit" caption="Audit trail" columns=${columns} rows=${view.store.rows("audit")} filter=${view.filter} first=${{ column: "seq", isUp: false }}
      leftOut=${view.store.leftOut("audit")} empty=${html`<${Empty} title="No command was given yet">Refused attempts would be here too.<//>`} /><//>`;
}
