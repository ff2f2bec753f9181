// The keyboard: g and a letter opens a page, / filters, ? helps, Shift+H halts.
import { html, Component, createRef } from "./html.js";

const CHORD_MS = 1500;

/** Listen for keys; none is taken from a field that is typed in or from an open dialog. */
export function listenToKeys({ pages, open, halt, help, theme }) {
  let chordMs = -Infinity;
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest?.("input, select, textarea, dialog");
    if (event.key === "Escape" && event.target.matches?.("input[type=search]")) event.target.blur();
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    const isChord = performance.now() - chordMs < CHORD_MS;
    chordMs = -Infinity;
    if (event.key === "H" && event.shiftKey) {
      if (!event.repeat) halt();
    } else if (isChord) {
      const page = pages().find((each) => each.letter === event.key);
      if (!page) return;
      open(page.name);
    } else if (event.key === "g") chordMs = performance.now();
    else if (event.key === "?") help();
    else if (event.key === "T") theme();
    else if (event.key === "/") {
      const filter = document.querySelector("input[type=search]");
      if (!filter) return;
      filter.focus();
      filter.select();
    } else return;
    event.preventDefault();
  });
}

/** All keys, in a dialog. */
export class KeyHelp extends Component {
  box = createRef();

  componentDidMount() {
    this.box.current.showModal();
  }

  render({ pages, close, role }) {
    return html`<dialog ref=${this.box} aria-labelledby="keys" onClose=${close}>
      <h2 id="keys">Keys</h2>
      <dl class="facts keys">
        ${pages.map((page) => html`<dt><kbd>g</kbd> <kbd>${page.letter}</kbd></dt><dd>${page.title}</dd>`)}
        <dt><kbd>/</kbd></dt><dd>filter the table; <kbd>Esc</kbd> leaves the field</dd>
        <dt><kbd>Shift</kbd> <kbd>T</kbd></dt><dd>dark or light</dd>
        ${role === "operator" ? html`<dt><kbd>Shift</kbd> <kbd>H</kbd></dt><dd>HALT, at once</dd>` : null}
        <dt><kbd>?</kbd></dt><dd>this list</dd>
      </dl>
      <div class="row end"><button onClick=${() => this.box.current.close()}>Close</button></div>
    </dialog>`;
  }
}
