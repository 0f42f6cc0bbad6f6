// Colours that colour-blind readers can tell apart, after uspnb/plots/style.py, and which theme the host is in.

export const ONSET = "#cc79a7";
export const INK_ON_COLOUR = "#05080b";
export const THEMES = {
  light: {
    background: "#ffffff", text: "#24292f", muted: "#57606a", grid: "#e7e9ec", axis: "#afb6bd",
    observed: "#6b727b", band: "rgba(47,134,200,0.20)", alarm: "#c24f00", raised: "#f3f5f7", held: "#8a6d00",
    emergency: "rgba(213,94,0,0.17)", forecast: "#1f6fae", cross: "#57606a",
  },
  dark: {
    background: "#15181c", text: "#dde2e8", muted: "#a5adb6", grid: "#2a2f36", axis: "#59616a",
    observed: "#b4bbc3", band: "rgba(70,150,215,0.26)", alarm: "#ff8a3d", raised: "#20252b", held: "#d9b036",
    emergency: "rgba(255,120,40,0.20)", forecast: "#5aaeea", cross: "#a5adb6",
  },
};

/** "light" or "dark": what was asked for, else what the page says, else what the system says. */
export function themeOf(wish) {
  if (wish === "light" || wish === "dark") return wish;
  const { body, documentElement: page } = document;
  if (body.dataset.jpThemeLight !== undefined) return body.dataset.jpThemeLight === "false" ? "dark" : "light";
  for (const element of [body, page]) {
    for (const name of ["data-theme", "data-bs-theme", "data-color-scheme"]) {
      const value = element.getAttribute(name);
      if (value === "light" || value === "dark") return value;
    }
  }
  return window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** Have a view `restyle()` when `themeOf` may say something else, `resized()` with an element; returns what ends it. */
export function watchLook(view, element) {
  const size = new ResizeObserver(() => view.resized());
  size.observe(element);
  const changed = () => view.restyle();
  const page = new MutationObserver(changed);
  const attributeFilter = ["data-jp-theme-light", "data-theme", "data-bs-theme", "data-color-scheme"];
  for (const watched of [document.body, document.documentElement]) page.observe(watched, { attributeFilter });
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", changed);
  return () => {
    size.disconnect();
    page.disconnect();
    system.removeEventListener("change", changed);
  };
}

/** Give a view the colours that its model asks for, as properties `--f-...` for its style sheet; returns them. */
export function dress(root, model) {
  const theme = themeOf(model.get("theme") || "auto");
  for (const [name, colour] of Object.entries(THEMES[theme])) root.style.setProperty(`--f-${name}`, colour);
  root.dataset.theme = theme;
  return THEMES[theme];
}
