// The button that copies the settings, the code itself, and names for controls that ipywidgets leaves without one.

import { copy, node } from "../shared/elements.js";

// A slider's handle and a box without a label have no accessible name: they take the visible label's and the tooltip's.
function nameControls(root) {
  // An icon is a letter of a font that no screen reader can say.
  for (const icon of root.querySelectorAll("button > i")) icon.setAttribute("aria-hidden", "true");
  for (const control of root.querySelectorAll(".noUi-handle, input, select, textarea")) {
    if (control.hasAttribute("aria-label") || (control.labels && [...control.labels].some((l) => l.textContent.trim())))
      continue;
    const box = control.closest(".jupyter-widgets");
    const label = box?.querySelector(".widget-label")?.textContent.trim();
    const tooltip = control.title || box?.title || box?.querySelector("[title]")?.title;
    const name = [label, tooltip].filter(Boolean).join(": ");
    if (name) control.setAttribute("aria-label", name);
  }
}

function render({ model, el }) {
  const code = node("pre", "uspnb-control-code", { tabIndex: 0, "aria-label": "The current settings as Python code" });
  const status = node("span", "uspnb-control-progress", { role: "status" });
  const title = "Copy the current settings as Python code";
  const button = node("button", "jupyter-button uspnb-control-button", { type: "button", title }, ["Copy as code"]);
  button.addEventListener("click", async () => {
    status.textContent = (await copy(code, model.get("code"))) ? " copied" : " selected: press Ctrl+C";
  });
  const show = () => {
    code.textContent = model.get("code");
    status.textContent = "";
  };
  model.on("change:code", show);
  show();
  el.append(button, status, code);

  let observer = null;
  let tries = 0;
  let timer = setTimeout(function attach() {
    const root = el.closest(".uspnb-controls");
    if (!root) {
      if (++tries < 100) timer = setTimeout(attach, 50);
      return;
    }
    nameControls(root);
    observer = new MutationObserver(() => nameControls(root));
    observer.observe(root, { childList: true, subtree: true });
  }, 0);
  return () => {
    clearTimeout(timer);
    observer?.disconnect();
    model.off("change:code", show);
  };
}

export default { render };
