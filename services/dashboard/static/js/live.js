// The channel to the server: a WebSocket; where that fails, its snapshots every two seconds.
//
// A frame is acknowledged after it was painted, so a slow machine gets fewer and newer frames.
import { whoAmI } from "./api.js";
import { STALE_AFTER_MS, monotonicMs } from "./store.js";

const WAIT_MS = 500; // before the first try to connect again; doubled each time, with jitter
const WAIT_MS_MAX = 10_000;
const POLL_MS = 2000;
const POLL_AFTER_FAILURES = 2;
const WATCH_MS = 250;
const PAINT_MS_MAX = 1000; // an acknowledgement waits no longer for a paint

export class Live {
  constructor(store, { changed, signedOut }) {
    this.store = store;
    this.changed = changed; // () => void: something is to be painted
    this.signedOut = signedOut; // (why) => void: the session is over
    this.topics = [];
    this.rows = {}; // topic -> the ids of the rows wanted of it; all where none are named
    this.view = {}; // topic -> the ids of the rows that are in view: the others come slowly
    this.failures = 0;
    this.socket = null;
    this.timers = { retry: 0, poll: 0 };
    this.toAck = null;
    this.triedMs = 0;
  }

  start() {
    this.isOn = true;
    this.watch = setInterval(() => this.#look(), WATCH_MS);
    document.addEventListener("visibilitychange", this.#onVisibility);
    this.#connect();
  }

  stop() {
    this.isOn = false;
    clearInterval(this.watch);
    clearTimeout(this.timers.retry);
    clearTimeout(this.timers.poll);
    this.timers = { retry: 0, poll: 0 };
    document.removeEventListener("visibilitychange", this.#onVisibility);
    this.#drop();
  }

  /** Ask for these topics from now on, of some only for these rows, and of some for these at once. */
  subscribe(topics, rows = {}, view = {}) {
    const isSame = JSON.stringify([topics, rows]) === JSON.stringify([this.topics, this.rows]);
    if (isSame && JSON.stringify(view) === JSON.stringify(this.view)) return;
    this.topics = topics;
    this.rows = rows;
    this.view = view;
    this.store.keepOnly(topics);
    this.#ask();
    if (this.timers.poll && !isSame) this.#pollNow();
  }

  /** Say that the newest frame is on the screen. */
  painted() {
    if (this.toAck === null) return;
    this.#send({ type: "ack", n: this.toAck });
    this.toAck = null;
  }

  #connect() {
    this.triedMs = monotonicMs();
    clearTimeout(this.timers.retry);
    this.timers.retry = 0;
    if (!this.isOn || document.hidden) return;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/api/v1/live`);
    this.socket = socket;
    socket.onopen = () => this.#ask();
    socket.onmessage = (event) => {
      if (socket === this.socket) this.#hear(event.data);
    };
    socket.onclose = () => {
      if (socket === this.socket) this.#failed();
    };
  }

  #hear(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      this.#drop();
      this.#failed();
      return;
    }
    if (message.type === "hello") this.store.hello(message);
    if (message.type === "frame") {
      this.failures = 0;
      this.#stopPolling();
      this.store.frame(message);
      this.store.link = "live";
      this.toAck = message.n;
      setTimeout(() => this.painted(), PAINT_MS_MAX);
    }
    this.changed();
  }

  #failed() {
    this.socket = null;
    this.toAck = null;
    if (!this.isOn || document.hidden) return;
    this.failures += 1;
    const wait = Math.min(WAIT_MS_MAX, WAIT_MS * 2 ** (this.failures - 1));
    clearTimeout(this.timers.retry);
    this.timers.retry = setTimeout(() => this.#connect(), wait * (0.5 + Math.random() / 2));
    if (this.failures >= POLL_AFTER_FAILURES && !this.timers.poll) this.#pollNow();
    this.#askWhoIAm();
  }

  /** A channel that ends may be a session that has ended. */
  async #askWhoIAm() {
    const { status, body } = await whoAmI(); // 0: the server is away, and the watch says so
    if (status === 401 && this.isOn) this.signedOut(body.error);
  }

  #pollNow() {
    clearTimeout(this.timers.poll);
    this.timers.poll = setTimeout(() => this.#pollNow(), POLL_MS);
    this.#poll();
  }

  async #poll() {
    const query = this.topics.map((topic) => `topic=${encodeURIComponent(topic)}`).join("&");
    try {
      const answer = await fetch(`/api/v1/snapshot?${query}`, {
        cache: "no-store",
        signal: AbortSignal.timeout(POLL_MS),
      });
      if (answer.status === 401 && this.isOn) this.signedOut((await answer.json()).error);
      if (!answer.ok || !this.timers.poll) return;
      const frame = await answer.json();
      if (!this.timers.poll) return; // the channel is back
      if (frame.hello) this.store.hello(frame.hello);
      this.store.frame(frame);
      this.store.link = "polling";
      this.changed();
    } catch { /* the server is away: the watch says so */ }
  }

  #stopPolling() {
    clearTimeout(this.timers.poll);
    this.timers.poll = 0;
  }

  /** Nothing for as long as STALE_AFTER_MS is STALE, whatever the connection says of itself. */
  #look() {
    const silentMs = this.store.silentMs() ?? monotonicMs() - this.triedMs;
    if (document.hidden || this.store.link === "paused") return;
    if (silentMs > STALE_AFTER_MS && this.store.link !== "stale") {
      this.store.link = "stale";
      this.changed();
    }
    const isMute = monotonicMs() - this.triedMs > STALE_AFTER_MS && silentMs > STALE_AFTER_MS;
    if (this.socket && isMute) {
      this.#drop();
      this.#failed();
    }
  }

  #onVisibility = () => {
    if (document.hidden) {
      this.#send({ type: "pause" });
      this.#stopPolling();
      this.store.link = "paused";
      return;
    }
    this.store.link = this.store.silentMs() > STALE_AFTER_MS ? "stale" : "live";
    this.failures = 0;
    this.triedMs = monotonicMs();
    if (this.socket?.readyState === WebSocket.OPEN) this.#send({ type: "resume" });
    else this.#connect();
    this.changed();
  };

  #ask() {
    this.#send({ type: "sub", topics: this.topics, rows: this.rows, view: this.view });
  }

  #send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  #drop() {
    const socket = this.socket;
    this.socket = null;
    if (socket) socket.close();
  }
}
