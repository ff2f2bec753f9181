// Figures as text. Amounts are strings of decimals and are never made floats to be shown.
export const DASH = "—";

const isKnown = (value) => value !== null && value !== undefined && value !== "";
const formats = new Map();

function numberFormat(least, most, sign) {
  const key = `${least}/${most}/${sign}`;
  if (!formats.has(key)) {
    formats.set(key, new Intl.NumberFormat("en-US", {
      minimumFractionDigits: least,
      maximumFractionDigits: most,
      signDisplay: sign ? "exceptZero" : "auto",
    }));
  }
  return formats.get(key);
}

/** A figure with at least and at most so many decimals; a dash where it is not known. */
export function amount(value, { least = 0, most = 8, sign = false } = {}) {
  if (!isKnown(value) || Number.isNaN(Number(value))) return DASH;
  return numberFormat(Math.min(least, most), most, sign).format(value).replace("-", "−");
}

/** As many decimals as a price of that size is read with. */
export function price(value) {
  const size = Math.abs(Number(value));
  const most = size >= 1000 ? 2 : size >= 10 ? 4 : size >= 0.1 ? 6 : 10;
  return amount(value, { least: Math.min(2, most), most });
}

export const bps = (value, sign = true) =>
  amount(value, { least: 1, most: 1, sign });

export const percent = (value, most = 2) =>
  isKnown(value) ? `${amount(Number(value) * 100, { least: most, most })} %` : DASH;

const DECIMALS_MAX = 8;

/** How many decimals show at least two digits of an amount: coins are small beside dollars. */
function decimalsOf(value, least) {
  const size = Math.abs(Number(value));
  if (size === 0 || size >= 1) return least;
  return Math.max(least, Math.min(DECIMALS_MAX, 1 + Math.ceil(-Math.log10(size))));
}

/** A money figure: {value, certainty} or a plain string, as [text, certainty]. */
export function money(figure, { sign = false, most = 2 } = {}) {
  const isFigure = figure !== null && typeof figure === "object";
  const value = isFigure ? figure.value : figure;
  const certainty = isFigure ? figure.certainty : "known";
  if (!isKnown(value) || certainty === "unknown") return [DASH, "unknown"];
  const decimals = decimalsOf(value, most);
  const text = amount(value, { least: decimals, most: decimals, sign });
  return [certainty === "estimated" ? `~${text}` : text, certainty];
}

/** A span of time in the unit that it is read in. */
export function span(ms) {
  if (!isKnown(ms)) return DASH;
  const value = Math.max(0, ms);
  if (value === 0) return "0 ms";
  if (value < 1) return `${Math.round(value * 1000)} µs`;
  if (value < 10) return `${value.toFixed(1)} ms`;
  if (value < 1000) return `${Math.round(value)} ms`;
  if (value < 10_000) return `${(value / 1000).toFixed(1)} s`;
  if (value < 120_000) return `${Math.round(value / 1000)} s`;
  if (value < 7_200_000) return `${Math.round(value / 60_000)} min`;
  if (value < 172_800_000) return `${Math.round(value / 3_600_000)} h`;
  return `${Math.round(value / 86_400_000)} d`;
}

/** An age: like a span, without digits that would flicker. */
export const age = (ms) =>
  !isKnown(ms) ? DASH : ms < 1000 ? "< 1 s" : ms < 10_000 ? `${Math.floor(ms / 1000)} s` : span(ms);

const two = (n) => String(n).padStart(2, "0");

/** The time of day in UTC; with the day where it is another one than today's. */
export function moment(ms, nowMs) {
  if (!isKnown(ms)) return DASH;
  const at = new Date(ms);
  const time = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())}`;
  const day = at.toISOString().slice(0, 10);
  return nowMs && day !== new Date(nowMs).toISOString().slice(0, 10) ? `${day} ${time}` : time;
}

export function bytes(value) {
  if (!isKnown(value)) return DASH;
  if (value < 1024) return `${value} B`;
  if (value < 1024 ** 2) return `${(value / 1024).toFixed(1)} KiB`;
  if (value < 1024 ** 3) return `${(value / 1024 ** 2).toFixed(1)} MiB`;
  return `${(value / 1024 ** 3).toFixed(2)} GiB`;
}

/** "up", "down" or "flat": the class of a signed figure; what is not known has none. */
export function direction(value) {
  if (!isKnown(value)) return "";
  const number = Number(value);
  return number > 0 ? "up" : number < 0 ? "down" : "flat";
}
