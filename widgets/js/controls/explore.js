// What the page of finished runs adds: tables of words and numbers, and the window that is looked at.

import { h } from "../shared/elements.js";
import { grouped } from "../shared/format.js";

let ids = 0;

function table(model) {
  const box = h("div", { className: "card" });
  function show() {
    const head = model.columns.length
      ? [h("thead", {}, h("tr", {}, ...model.columns.map((name) => h("th", { scope: "col" }, name))))] : [];
    const rows = model.rows.map((row) => h("tr", {}, ...row.map((cell, i) =>
      i ? h("td", {}, cell) : h("th", { scope: "row" }, cell))));
    const note = model.note ? [h("p", { className: "note" }, model.note)] : [];
    const scroll = h("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": model.heading },
      h("table", {}, h("caption", { className: "quiet" }, model.heading), ...head, h("tbody", {}, ...rows)));
    box.replaceChildren(h("h2", {}, model.heading), ...note, ...(model.rows.length ? [scroll] : []));
  }
  return [box, { columns: show, rows: show, note: show, heading: show }];
}

function range(label, onchange, oninput) {
  const input = h("input", { type: "range", id: `range-${++ids}`, step: 1, onchange, oninput });
  const output = h("output", { htmlFor: input.id });
  const line = h("div", { className: "line" }, h("label", { htmlFor: input.id }, label), output);
  return { input, output, box: h("div", { className: "grow" }, line, input) };
}

function span(model) {
  const widths = h("select", { id: `width-${++ids}`, onchange: () => { show(); send(); } });
  const send = () => model.send_msg({ act: "window", start: Number(from.input.value), width: Number(widths.value) });
  const from = range("From tick", send, readOut);
  const tick = range("Values at tick", () => {}, () => { readOut(); model.send_msg({ act: "tick", value: Number(tick.input.value) }); });
  function readOut() {
    from.output.textContent = grouped(Number(from.input.value));
    tick.output.textContent = grouped(Number(tick.input.value));
  }
  function show() {
    const wanted = Number(widths.value) || model.width;
    const offered = [500, 2000, 5000, 20000].filter((n) => n < model.ticks).concat(model.ticks);
    widths.replaceChildren(...offered.map((n) =>
      h("option", { value: n }, n === model.ticks ? `all ${grouped(n)} ticks` : `${grouped(n)} ticks`)));
    widths.value = offered.includes(wanted) ? wanted : offered[offered.length - 1];
    from.input.min = 0;
    from.input.max = Math.max(0, model.ticks - Number(widths.value));
    from.input.value = model.start;
    from.input.disabled = Number(from.input.max) === 0;
    tick.input.min = 0;
    tick.input.max = Math.max(0, model.ticks - 1);
    tick.input.value = model.tick;
    readOut();
  }
  const label = h("label", { htmlFor: widths.id }, "Show ");
  return [h("div", { className: "card scrubber" }, from.box, h("div", {}, label, widths), tick.box),
    { ticks: show, start: show, width: () => { widths.value = ""; show(); }, tick: show }];
}

export function render({ model }) {
  const [element, watched] = { table, span }[model.kind](model);
  for (const [name, act] of Object.entries(watched)) model.on(name, act);
  Object.values(watched)[0]();
  return element;
}
