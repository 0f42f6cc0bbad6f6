// shared/elements.js
function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}
function node(tag, className = "", attributes = {}, children = []) {
  return h(tag, className ? { className, ...attributes } : attributes, ...children);
}
async function copy(element, text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    window.getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}

// controls/copy_code.js
function nameControls(root) {
  for (const icon of root.querySelectorAll("button > i")) icon.setAttribute("aria-hidden", "true");
  for (const control of root.querySelectorAll(".noUi-handle, input, select, textarea")) {
    if (control.hasAttribute("aria-label") || control.labels && [...control.labels].some((l) => l.textContent.trim()))
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
  const said = node("span", "uspnb-control-progress", { role: "status" });
  const title = "Copy the current settings as Python code";
  const button = node("button", "jupyter-button uspnb-control-button", { type: "button", title }, ["Copy as code"]);
  button.addEventListener("click", async () => {
    said.textContent = await copy(code, model.get("code")) ? " copied" : " selected: press Ctrl+C";
  });
  const show = () => {
    code.textContent = model.get("code");
    said.textContent = "";
  };
  model.on("change:code", show);
  show();
  el.append(button, said, code);
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
var copy_code_default = { render };
export {
  copy_code_default as default
};
