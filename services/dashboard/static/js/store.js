// What the server has told: topics merged from snapshots and changes, and how fresh that is.

/** Time since the page began, in ms, from a clock that nobody sets back. */
export const monotonicMs = () => performance.now();

export const STALE_AFTER_MS = 2500; // and shown within three seconds: a silent server says so each second

const defined = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

export class Store {
  constructor() {
    this.topics = new Map(); // name -> {cells} or {rows: Map}
    this.offered = [];
    this.ageMaxMs = {};
    this.me = null; // {role, version, mode, is_command_allowed}
    this.link = "connecting"; // connecting, live, polling, stale, paused
    this.heardMs = null; // monotonic time of the last frame
    this.serverMs = null; // the server's clock in the last frame
  }

  hello(message) {
    this.offered = message.topics ?? this.offered;
    this.ageMaxMs = message.age_ms_max ?? {};
    const { role, version, mode, is_command_allowed: isAllowed } = message;
    this.me = { ...this.me, ...defined({ role, version, mode, isCommandAllowed: isAllowed }) };
  }

  frame(message) {
    this.heardMs = monotonicMs();
    this.serverMs = message.now_ms;
    for (const changes of [message.topics, message.more]) {
      for (const [name, change] of Object.entries(changes ?? {})) this.#merge(name, change);
    }
  }

  #merge(name, change) {
    if (!change.is_snapshot && !this.topics.has(name)) return; // a change of a topic that was left
    const had = change.is_snapshot ? undefined : this.topics.get(name);
    const topic = { cells: had?.cells ?? {}, rows: had?.rows ?? new Map(), kind: "cells" };
    topic.leftOut = change.left_out ?? had?.leftOut ?? 0;
    if (change.cells) topic.cells = { ...topic.cells, ...change.cells };
    if (change.rows || change.gone) {
      topic.kind = "rows";
      topic.rows = new Map(topic.rows);
      for (const [id, row] of Object.entries(change.rows ?? {})) topic.rows.set(id, row);
      for (const id of change.gone ?? []) topic.rows.delete(id);
    }
    this.topics.set(name, topic);
  }

  /** Forget what a page that is left showed: a topic comes with its snapshot when asked for again. */
  keepOnly(names) {
    for (const name of this.topics.keys()) if (!names.includes(name)) this.topics.delete(name);
  }

  has(name) {
    return this.topics.has(name);
  }

  cells(name) {
    return this.topics.get(name)?.cells ?? {};
  }

  /** How many rows the server has and does not send: a table is bounded. */
  leftOut(name) {
    return this.topics.get(name)?.leftOut ?? 0;
  }

  /** The rows as [{id, ...}], in the order they came. */
  rows(name) {
    return Array.from(this.topics.get(name)?.rows ?? [], ([id, row]) => ({ id, ...row }));
  }

  /** The server's time now, as far as the page can tell; null before the first frame. */
  nowMs() {
    return this.serverMs === null ? null : this.serverMs + (monotonicMs() - this.heardMs);
  }

  /** How long nothing was heard, in ms; null before the first frame. */
  silentMs() {
    return this.heardMs === null ? null : monotonicMs() - this.heardMs;
  }
}
