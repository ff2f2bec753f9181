// The pages: what each needs of the server, its place in the menu, its key.
import { html } from "./html.js";
import { Books } from "./pages/books.js";
import { Charts } from "./pages/charts.js";
import { Funding } from "./pages/funding.js";
import { Health } from "./pages/health.js";
import { PositionsAndPnl } from "./pages/money.js";
import { Opportunities } from "./pages/opportunities.js";
import { Overview } from "./pages/overview.js";
import { Plans } from "./pages/plans.js";
import { Alerts, Audit, Log, Settings } from "./pages/records.js";
import { Spreads } from "./pages/spreads.js";

/** topics: the first is what the page is about; a server that does not offer it has no such page. */
const ALL = [
  { name: "overview", letter: "o", title: "Overview", topics: ["overview", "alerts", "plans"], show: Overview },
  { name: "books", letter: "b", title: "Books", topics: ["books", "depth"], show: Books, filters: true, rows: depthOfBook, view: booksInView },
  { name: "spreads", letter: "s", title: "Spreads", topics: ["spreads", "near_misses", "depth"], show: Spreads, filters: true, rows: depthOfPair, view: pairsInView },
  { name: "opportunities", letter: "i", title: "Opportunities", topics: ["opportunities"], show: Opportunities, filters: true },
  { name: "plans", letter: "p", title: "Plans", topics: ["plans"], show: Plans, filters: true },
  { name: "positions", letter: "m", title: "Positions & PnL", topics: ["positions", "pnl"], show: PositionsAndPnl, filters: true },
  { name: "funding", letter: "f", title: "Funding", topics: ["funding"], show: Funding, filters: true },
  { name: "charts", letter: "c", title: "Charts", topics: ["charts"], show: (view) => html`<${Charts} view=${view} />` },
  { name: "health", letter: "h", title: "Health", topics: ["health"], show: Health, filters: true },
  { name: "alerts", letter: "a", title: "Alerts", topics: ["alerts"], show: Alerts, filters: true },
  { name: "log", letter: "l", title: "Log", topics: ["log"], show: Log, filters: true },
  { name: "settings", letter: "e", title: "Settings", topics: ["settings"], show: Settings, filters: true },
  { name: "audit", letter: "u", title: "Audit", topics: ["audit"], show: Audit, filters: true },
];

function depthOfBook(ui) {
  return { depth: ui.book ? [ui.book] : [] };
}

/** The id of a spread names its pair: `group|buy_venue buy_instrument|sell_venue sell_instrument`. */
function depthOfPair(ui) {
  const [, ...sides] = ui.spread ? ui.spread.split("|") : [];
  return { depth: sides.map((side) => side.replace(" ", "|")) };
}

/** The rows that the table says are on the screen. */
function booksInView(ui) {
  return { books: ui.inView ?? [] };
}

/** The pairs of the group that is shown. */
function pairsInView(ui, store) {
  const ids = [...(store.topics.get("spreads")?.rows.keys() ?? [])];
  const groupOf = (id) => id.split("|")[0];
  const groups = [...new Set(ids.map(groupOf))].sort();
  const group = groups.includes(ui.group) ? ui.group : groups[0];
  return { spreads: ids.filter((id) => groupOf(id) === group).sort() };
}

/** Of one request; what is more is not named, and then every row comes as often. */
const NAMED_MAX = 200;
const NAMED_BYTES_MAX = 6000;
const isFew = (ids) => ids.length && ids.length <= NAMED_MAX && JSON.stringify(ids).length <= NAMED_BYTES_MAX;

export const pagesOf = (offered) => ALL.filter((page) => offered.includes(page.topics[0]));

/** What to ask of the server for a page: its topics, of some only these rows, and of some these at once. */
export function wanted(page, store, ui) {
  const topics = [...new Set(["overview", ...(page?.topics ?? [])])].filter((name) => store.offered.includes(name));
  const all = page?.rows ? page.rows(ui) : {};
  const rows = Object.fromEntries(Object.entries(all).filter(([name]) => topics.includes(name)));
  const seen = Object.entries(page?.view ? page.view(ui, store) : {}).filter(([name, ids]) => topics.includes(name) && isFew(ids));
  return { topics: topics.filter((name) => !(rows[name] && !rows[name].length)), rows, view: Object.fromEntries(seen) };
}
