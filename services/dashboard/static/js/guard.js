// Starts the page when all of its files have arrived; where one has not, loads the page again.
//
// A browser aborts what it is fetching when a network interface comes or goes, also from this machine to
// itself: any container that starts or stops does that. A page whose module is missing would stay empty.
(() => {
  if (globalThis.arbGuard) return; // the page names this file twice: one of them may be what does not arrive
  globalThis.arbGuard = true;
  const PAUSES_MS = [300, 600, 1200, 2500, 5000, 5000, 5000, 5000];
  const ANSWER_MS = 3000;
  const lost = []; // paths of what the page cannot be without
  const absent = []; // paths of modules that were asked for early

  const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

  /** How often this page was loaded again; kept with the address, which may hold the token. */
  const loads = () => history.state?.arbLoads ?? 0;
  const setLoads = (count) => history.replaceState(count ? { arbLoads: count } : null, "");

  function show(text, isFinal) {
    const said = document.createElement("p");
    said.setAttribute("role", "status");
    said.textContent = text;
    const box = document.createElement("main");
    box.className = "login";
    box.append(said);
    if (isFinal) {
      const button = document.createElement("button");
      button.textContent = "Load the page again";
      button.addEventListener("click", () => { setLoads(0); location.reload(); });
      said.append(document.createElement("br"), button);
    }
    document.getElementById("app").replaceChildren(box);
  }

  async function doesAnswer() {
    try {
      return (await fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) })).ok;
    } catch {
      return false;
    }
  }

  async function again() {
    const file = lost[0];
    const count = loads();
    if (count >= PAUSES_MS.length) {
      show(`The page cannot be loaded: ${file} did not arrive in ${count + 1} tries. In a terminal: arb status, arb halt.`, true);
      return;
    }
    show(`Loading the page again: ${file} did not arrive.`);
    await pause(PAUSES_MS[count]);
    while (!(await doesAnswer())) {
      show("The dashboard does not answer. Trying again every 3 s. In a terminal: arb status, arb halt.");
      await pause(ANSWER_MS);
    }
    setLoads(count + 1);
    location.reload();
  }

  addEventListener("error", ({ target }) => {
    if (!(target instanceof HTMLScriptElement || target instanceof HTMLLinkElement)) return;
    const { pathname } = new URL(target.src || target.href);
    if (target.rel === "modulepreload") absent.push(pathname);
    else if (target.rel !== "icon" && !pathname.endsWith("/guard.js")) lost.push(pathname);
  }, true);
  addEventListener("load", async () => {
    try {
      if (!lost.length) await import("/static/js/main.js");
    } catch (error) {
      if (!absent.length && !/module/i.test(error.message)) throw error; // a fault of the page, not of the network
      lost.push(absent[0] ?? "a module");
    }
    if (lost.length) again();
    else if (loads()) setLoads(0);
  });
})();
