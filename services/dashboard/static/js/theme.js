// The theme, set before the first paint: the switch's choice, else the system's.
(() => {
  const KEY = "arb.theme";
  let kept = null;
  try { kept = localStorage.getItem(KEY); } catch { /* storage is off: the system decides */ }
  const system = matchMedia("(prefers-color-scheme: light)");
  const apply = () => {
    document.documentElement.dataset.theme = kept || (system.matches ? "light" : "dark");
    document.dispatchEvent(new Event("themechange"));
  };
  system.addEventListener("change", apply);
  globalThis.arbTheme = {
    get: () => document.documentElement.dataset.theme,
    toggle: () => {
      kept = globalThis.arbTheme.get() === "dark" ? "light" : "dark";
      try { localStorage.setItem(KEY, kept); } catch { /* for this page only */ }
      apply();
    },
  };
  apply();
})();
