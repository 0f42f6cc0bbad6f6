// ---------------------------------------------------------------------------------------------------------------
// Elements, their text, and numbers as text, for the modules whose parts are elements and not one canvas.
// ---------------------------------------------------------------------------------------------------------------

function node(tag, className, attributes = {}, children = []) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function number(value, digits = 4) {
  if (!Number.isFinite(value)) return "\u2013";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) return value.toExponential(2);
  const places = Math.max(0, digits - 1 - Math.max(0, Math.floor(Math.log10(size || 1))));
  return value.toFixed(places);
}
