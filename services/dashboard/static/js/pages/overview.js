// Overview: may it trade, does it earn, who lives, what happened last.
import { DASH, age, amount, bps, moment, money } from "../format.js";
import { html } from "../html.js";
import { Aged, Card, Empty, Light, Money, Panel, Quantity, isTooOld } from "../parts.js";
import { AlertLine } from "./records.js";
import { Outcome, pairOf } from "./plans.js";

const LAST = 5;
const EXECUTOR_MS_MAX = 10_000;
const STATE_LEVELS = { ACTIVE: "good", REDUCING: "warn", HALTED: "bad" };

/** What risk said last of trading; once it is silent that is no state of now, and its age is said. */
export function stateOf({ state, state_as_of_ms: asOfMs }, nowMs, maxMs) {
  if (!state) return { level: "unknown", word: null, isOld: false };
  if (!isTooOld(asOfMs, nowMs, maxMs)) return { level: STATE_LEVELS[state] ?? "unknown", word: state, isOld: false };
  return { level: "unknown", word: `was ${state} ${age(nowMs - asOfMs)} ago`, isOld: true };
}

export function Overview(view) {
  const { store, nowMs } = view;
  const cells = store.cells("overview");
  return html`
    <div class="cards">
      <${StateCard} cells=${cells} nowMs=${nowMs} maxMs=${store.ageMaxMs.overview} />
      ${(cells.result ?? []).map((result) => html`<${ResultCard} view=${view} cells=${cells} result=${result} />`)}
      ${cells.result?.length ? null : html`<${Card} name="Result" note="risk has not reported yet">${DASH}<//>`}
      <${ExposureCard} view=${view} cells=${cells} />
      <${FlightCard} view=${view} cells=${cells} />
    </div>
    <${Quiet} cells=${cells} nowMs=${nowMs} />
    <div class="grid">
      <${Venues} venues=${cells.venues} view=${view} executorMs=${cells.executor_as_of_ms} />
      <${Processes} processes=${cells.processes} nowMs=${nowMs} />
      <${LastAlerts} view=${view} cells=${cells} />
      <${LastPlans} view=${view} cells=${cells} />
    </div>`;
}

function StateCard({ cells, nowMs, maxMs }) {
  const { level, word, isOld } = stateOf(cells, nowMs, maxMs);
  const since = isOld ? "risk is not heard: it may be otherwise now"
    : cells.state_since_ms && nowMs ? `for ${age(nowMs - cells.state_since_ms)}` : "";
  return html`<${Card} name="Trading" note=${[cells.cause, since].filter(Boolean).join(" · ")}>
    <${Light} level=${level} word=${word ?? "not known"} /><//>`;
}

function ResultCard({ view, cells, result }) {
  const { quote } = result;
  const figures = [
    ["today", result.today, true], ["drawdown", result.drawdown, false], ["realized", result.realized, true],
    ["open", result.unrealized, true], ["fees", result.fees, false], ["funding", result.funding, true],
  ];
  const notes = html`<dl class="pairs">${figures.map(([name, figure, signed]) => html`
    <dt>${name}</dt><dd><${Money} figure=${figure} signed=${signed} /></dd>`)}</dl>`;
  return html`<${Card} name=${`Result since the ledger began, ${quote}`} note=${notes}>
    ${view.aged("overview", cells.money_as_of_ms, html`<${Money} figure=${result.equity} signed />`)}<//>`;
}

function ExposureCard({ view, cells }) {
  const { exposure } = cells;
  const first = exposure?.[0];
  const rest = (exposure ?? []).slice(1, 4).map(({ asset, qty }) => `${amount(qty, { sign: true })} ${asset}`).join(", ");
  const more = exposure?.length > 4 ? `, ${exposure.length - 4} more` : "";
  const what = !exposure ? DASH : first ? html`<${Quantity} value=${first.qty} unit=${first.asset} />` : "none";
  return html`<${Card} name="Net exposure" note=${!exposure ? "not known" : first ? `${rest}${more}` || "of one asset" : "bought and sold are even"}>
    ${view.aged("overview", cells.money_as_of_ms, what)}<//>`;
}

function FlightCard({ view, cells }) {
  const outcomes = Object.entries(cells.plans?.outcomes ?? {}).map(([name, n]) => `${n} ${name.toLowerCase()}`).join(", ");
  const unsettled = cells.orders_unsettled === null || cells.orders_unsettled === undefined
    ? "unsettled orders: not known"
    : html`unsettled orders: ${view.aged("overview", cells.executor_as_of_ms, cells.orders_unsettled, EXECUTOR_MS_MAX)}`;
  return html`<${Card} name="Plans in flight" note=${html`${unsettled}${outcomes ? ` · ${outcomes}` : ""}`}>
    ${view.aged("overview", cells.money_as_of_ms, html`<span class="num">${amount(cells.plans_in_flight)}</span>`)}<//>`;
}

/** Why nothing trades, with numbers: the best of what was refused, and by what. */
function Quiet({ cells, nowMs }) {
  const { quiet, denied } = cells;
  if (!quiet) return null;
  const ago = quiet.last_opportunity_ms && nowMs ? nowMs - quiet.last_opportunity_ms : null;
  const denials = Object.entries(denied ?? {}).map(([why, n]) => `${n} ${why}`).join(", ");
  const best = quiet.best_bps === null || quiet.best_bps === undefined ? "" : `; best near miss ${bps(quiet.best_bps)} bps`;
  const gate = quiet.gate ? `, stopped by ${quiet.gate}` : "";
  const start = ago === null ? "No opportunity yet" : ago > 60_000 ? `No opportunity for ${age(ago)}` : `Last opportunity ${age(ago)} ago`;
  return html`<p class="quiet-line"><strong>${start}</strong>${best}${gate}.
    <span class="note"> ${amount(quiet.opportunities)} opportunities, ${amount(quiet.near_misses)} near misses${denials ? `; denied: ${denials}` : ""}.</span></p>`;
}

const FEEDS = { LIVE: "good", DOWN: "bad" };
const ORDERS = { up: "good", down: "bad" };

function Venues({ venues, view, executorMs }) {
  if (!venues?.length) return html`<${Panel} title="Venues"><${Empty} title="No venue was heard yet" /><//>`;
  return html`<${Panel} title="Venues"><ul class="lines">${venues.map((venue) => html`<li key=${venue.venue}>
    <span class="head">${venue.venue}</span>
    ${view.aged("overview", venue.feed_as_of_ms, html`<${Light} level=${FEEDS[venue.feed] ?? (venue.feed ? "warn" : "unknown")} word=${`feed ${venue.feed ?? "not known"}`} />`, 30_000)}
    ${view.aged("overview", executorMs, html`<${Light} level=${isTooOld(executorMs, view.nowMs, EXECUTOR_MS_MAX) ? "unknown" : ORDERS[venue.orders] ?? "unknown"} word=${`orders ${venue.orders ?? "not known"}`} />`, EXECUTOR_MS_MAX)}
    <span class="note">${amount(venue.books_live)} of ${amount(venue.books)} books live${[venue.feed_reason, venue.orders_reason].filter(Boolean).map((why) => ` · ${why}`)}</span>
  </li>`)}</ul><//>`;
}

function Processes({ processes, nowMs }) {
  if (!processes?.length) return html`<${Panel} title="Processes"><${Empty} title="No process was heard yet" /><//>`;
  return html`<${Panel} title="Processes"><ul class="lines dense">${processes.map((each) => {
    const level = each.is_silent ? "bad" : each.is_ready ? "good" : "warn";
    const silence = each.as_of_ms && nowMs ? `silent for ${age(nowMs - each.as_of_ms)}` : "never heard";
    return html`<li key=${each.name}><span class="head">${each.name}</span>
      <${Light} level=${level} word=${each.is_silent ? silence : each.is_ready ? "ready" : "not ready"} />
      <span class="note">${each.reason}</span></li>`;
  })}</ul><//>`;
}

function LastAlerts({ view, cells }) {
  const rows = view.newest("alerts").slice(0, LAST);
  const counts = cells.alerts ?? {};
  const note = ["critical", "warning", "info"].map((level) => `${amount(counts[level])} ${level}`).join(" · ");
  return html`<${Panel} title="Alerts" note=${cells.alerts ? note : ""}>${rows.length
    ? html`<ul class="lines">${rows.map((row) => html`<${AlertLine} key=${row.id} row=${row} nowMs=${view.nowMs} />`)}</ul>`
    : html`<${Empty} title="No alert">None since the dashboard began to look.<//>`}<//>`;
}

function LastPlans({ view, cells }) {
  const rows = view.newest("plans").slice(0, LAST);
  return html`<${Panel} title="Last plans" note=${cells.plans?.approved ? `${amount(cells.plans.approved)} approved` : ""}>${rows.length
    ? html`<ul class="lines">${rows.map((row) => html`<li key=${row.id}><span class="num when">${moment(row.ts_ms, view.nowMs)}</span>
        <span class="head">${pairOf(row)}</span> <${Outcome} row=${row} />
        <span class="push">${money(row.realized)[0] === DASH ? DASH : html`<${Money} figure=${row.realized} signed most=${4} unit=${row.quote} />`}</span></li>`)}</ul>`
    : html`<${Empty} title="No plan yet">Plans come from opportunities that pass risk's limits.<//>`}<//>`;
}
