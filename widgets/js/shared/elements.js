// Elements and their text, and what leaves a page by them: a text for the clipboard, a file for the reader.

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  play: "M5 3.5v13l11-6.5z",
  pause: "M5 3.5h3.5v13H5zM11.5 3.5H15v13h-3.5z",
  step: "M4 3.5v13l8.5-6.5zM13.5 3.5H16v13h-2.5z",
  slower: "M4 9h12v2H4z",
  faster: "M9 4h2v5h5v2h-5v5H9v-5H4V9h5z",
  follow: "M3 9h8.2L8 5.8 9.4 4.4 15 10l-5.6 5.6L8 14.2 11.2 11H3zM15.5 4H17v12h-1.5z",
  picture: "M3 4h14v12H3zM4.5 14.5h11l-3.5-5-2.7 3.4L7.5 11zM7 7.8a1.2 1.2 0 1 0 .01 0z",
  export: "M9 3h2v8l2.8-2.8 1.4 1.4L10 14.8 4.8 9.6l1.4-1.4L9 11zM4 16h12v1.6H4z",
};

/** An element; "on..." is a listener, what the element has as a property is set as one, the rest are attributes. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** The same with its class first. */
export function node(tag, className = "", attributes = {}, children = []) {
  return h(tag, className ? { className, ...attributes } : attributes, ...children);
}

export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A button with a name for those who do not see its sign; the sign is an icon, or text where there is no such icon. */
export function iconButton(className, label, sign, pressed) {
  const attributes = { type: "button", "aria-label": label, title: label, onclick: pressed };
  return node("button", className, attributes, [ICONS[sign] ? icon(sign) : sign]);
}

/** Give such a button another name and icon, where it has not got them yet. */
export function relabel(button, label, sign) {
  if (button.getAttribute("aria-label") === label) return;
  button.setAttribute("aria-label", label);
  button.title = label;
  button.replaceChildren(icon(sign));
}

function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  svg.append(path);
  path.setAttribute("d", ICONS[name]);
  path.setAttribute("fill-rule", "evenodd");
  return svg;
}

/** The speed one rung up or down a ladder [ticks/s]; null is as fast as it can. */
export function nextSpeed(ladder, speed, up) {
  const now = speed ?? Infinity;
  const rungs = ladder.map((rung) => rung ?? Infinity);
  const next = up ? rungs.find((rung) => rung > now) : rungs.reverse().find((rung) => now > rung);
  if (next === undefined) return speed ?? null;
  return next === Infinity ? null : next;
}

/** Copy a text; where the page may not, what shows it is selected, ready for Ctrl+C.  Returns whether it was copied. */
export async function copy(element, text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    window.getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}

/** Have the browser save what stands at an address. */
export function saveAs(href, download) {
  const link = h("a", { href, download });
  document.body.append(link);
  link.click();
  link.remove();
}
