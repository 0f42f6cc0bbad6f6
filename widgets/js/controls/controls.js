// The controls beside a live view, in native elements: a badge row, transport, alarms, settings, marks and exports.
// Python sets the properties of the model; what the reader does goes back as model.send_msg({act, ...}).

import { copy, h, saveAs } from "../shared/elements.js";
import { grouped } from "../shared/format.js";

// A date and a time of day, each in one piece wherever the line is broken.
const whole = (text) => text.split(" ").flatMap((part) => [h("span", { className: "whole" }, part), " "]);
let ids = 0;

// Where the process stands, in badges; only the sentence is read out by a screen reader.
function badges(model) {
  const row = h("div", { className: "badge-row" });
  const sentence = h("p", { className: "sentence", role: "status" });
  function show() {
    const s = model.status;
    const ticks = s.total ? `${grouped(s.ticks)} of ${grouped(s.total)} ticks` : `${grouped(s.ticks || 0)} ticks`;
    const facts = [
      ["phase", s.phase_text, s.phase === "faulted" ? "bad" : ""],
      ["mode", s.mode_text, s.mode === "inference" ? "" : "warn"],
      ["health", s.health_text, { ok: "ok", doubtful: "warn", emergency: "bad", fault: "bad" }[s.health] || ""],
      ["ticks", ticks, ""],
      ["rate", s.rate ? `${grouped(s.rate)} a second` : "", ""],
      ["rejected", s.rejected ? `${grouped(s.rejected)} refused` : "", s.rejected ? "warn" : ""],
    ];
    row.replaceChildren(...facts.filter((f) => f[1]).map(([name, text, kind]) =>
      h("span", { className: `badge ${kind}`, "data-badge": name }, text)));
    if (sentence.textContent !== (s.message || "")) sentence.textContent = s.message || "";
    sentence.hidden = !s.message;
    sentence.className = s.phase === "faulted" ? "sentence bad" : "sentence";
  }
  return [h("div", {}, row, sentence), { status: show }];
}

// Position and speed.  Moving the slider looks back; "Resume from here" computes anew from there.
function transport(model) {
  const say = (act, value) => model.send_msg({ act, value });
  const slider = h("input", { type: "range", id: `position-${++ids}`, min: 0, max: 1, step: 1 });
  const where = h("output", { htmlFor: slider.id });
  const speed = h("select", { id: `speed-${ids}`, onchange: () => say("speed", speed.value) });
  const newest = h("button", { type: "button", onclick: () => { held = false; say("newest"); show(); } }, "Newest");
  const resume = h("button", { type: "button", onclick: () => { held = false; say("seek", Number(slider.value)); } },
    "Resume from here");
  const restart = h("button", { type: "button", onclick: () => { held = false; say("seek", 0); } }, "Start over");
  const speedLabel = h("label", { htmlFor: speed.id }, "Speed");
  let held = false;
  slider.addEventListener("input", () => { held = true; say("look", Number(slider.value)); show(); });
  for (const [value, text] of model.speeds) speed.append(h("option", { value }, text));
  function show() {
    const s = model.status;
    const last = Math.max(0, (s.ticks || 0) - 1);
    slider.max = Math.max(1, last);
    if (!held) slider.value = last;
    slider.disabled = last < 1;
    const tick = Number(slider.value);
    where.textContent = last < 1 ? "no ticks yet" : held ? `tick ${grouped(tick)}` : `tick ${grouped(last)}, the newest`;
    slider.setAttribute("aria-valuetext", where.textContent);
    newest.disabled = !held;
    resume.disabled = !held || !model.seekable;
    resume.hidden = restart.hidden = !model.seekable;
    speed.hidden = speedLabel.hidden = !model.paced;
    const wanted = s.speed === null || s.speed === undefined ? "" : String(s.speed);
    if (!speed.matches(":focus")) {
      if (![...speed.options].some((o) => o.value === wanted))
        speed.append(h("option", { value: wanted }, `${grouped(s.speed)} ticks a second`));
      speed.value = wanted;
    }
  }
  return [h("div", { className: "card" }, h("h2", {}, "Position"),
    h("div", { className: "line" }, h("label", { htmlFor: slider.id }, "Tick"), where), slider,
    h("div", { className: "buttons" }, newest, resume, restart),
    h("div", { className: "line speed" }, speedLabel, speed),
    ), { status: show, seekable: show, paced: show }];
}

function alarms(model) {
  const body = h("tbody");
  const note = h("p", { className: "note" });
  const head = h("tr", {}, ...["Tick", "Time", "Chart", "Began"].map((name) => h("th", { scope: "col" }, name)));
  const table = h("table", {}, h("caption", { className: "quiet" }, "Alarms, the newest first"),
    h("thead", {}, head), body);
  const box = h("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Alarms" }, table);
  function show() {
    body.replaceChildren(...model.rows.map((row) => h("tr", {},
      h("td", {}, h("button", { type: "button", className: "link", "aria-label": `Jump to tick ${grouped(row.tick)}`,
        onclick: () => model.send_msg({ act: "jump", value: row.tick }) }, grouped(row.tick))),
      h("td", {}, ...whole(row.time)), h("td", {}, row.chart), h("td", {}, ...whole(row.began)))));
    const shown = model.rows.length;
    box.hidden = !shown;
    note.textContent = !shown ? "No alarm so far."
      : model.total > shown ? `The newest ${grouped(shown)} of ${grouped(model.total)}.` : "";
    note.hidden = !note.textContent;
  }
  return [h("div", { className: "card alarms" }, h("h2", {}, "Alarms"), note, box), { rows: show, total: show }];
}

// A slider and a number for each setting; the number may be typed, and what is out of range is refused in words.
function settings(model) {
  const rows = new Map();
  const wrong = h("p", { className: "wrong", role: "alert", hidden: true });
  const code = h("pre", { tabIndex: 0, "aria-label": "The settings as code" });
  const copied = h("span", { className: "note", role: "status" });
  const shown = (v) => String(Number(Number(v).toPrecision(6)));

  function row(s) {
    const id = `setting-${++ids}`;
    // a range of many decades is walked in equal ratios, from zero on in those of 1 + v
    const shift = s.low <= 0 && s.low > -1 && s.high >= 1000 ? 1 : 0;
    const log = shift === 1 || (s.low > 0 && (s.log || s.high / s.low >= 1000));
    const ratio = Math.log((s.high + shift) / (s.low + shift));
    const toSlider = (v) => (log ? Math.log((v + shift) / (s.low + shift)) / ratio * 1000 : v);
    const fromSlider = (x) => {
      const v = log ? (s.low + shift) * Math.exp(ratio * x / 1000) - shift : Number(x);
      const near = Math.min(s.high, Math.max(s.low, Number(v.toPrecision(4))));
      return s.integer ? Math.round(near) : near;
    };
    const step = log ? 1 : s.integer ? Math.max(1, s.step || 1) : s.step || (s.high - s.low) / 1000;
    const send = (value) => model.send_msg({ act: "configure", name: s.name, value });
    const slider = h("input", { type: "range", id, min: log ? 0 : s.low, max: log ? 1000 : s.high, step,
      "aria-describedby": `${id}-about`, oninput: () => { number.value = shown(fromSlider(slider.value)); },
      onchange: () => send(fromSlider(slider.value)) });
    const number = h("input", { type: "text", inputMode: "decimal", autocomplete: "off",
      "aria-label": `${s.name}, as a number`, onchange: () => send(number.value.trim()) });
    const about = h("p", { className: "note", id: `${id}-about` }, s.meaning + (s.unit ? ` [${s.unit}]` : ""));
    const line = h("div", { className: "setting", "data-setting": s.name },
      h("div", { className: "line" }, h("label", { htmlFor: id }, s.name), number), slider, about);
    rows.set(s.name, (value) => {
      if (!number.matches(":focus")) number.value = shown(value);
      if (!slider.matches(":active")) slider.value = toSlider(value);
      slider.setAttribute("aria-valuetext", shown(value));
      line.classList.toggle("changed", value !== s.default);
    });
    return line;
  }

  const first = model.settings.filter((s) => s.first).map(row);
  const rest = model.settings.filter((s) => !s.first).map(row);
  const copyCode = h("button", { type: "button", onclick: async () => {
    const done = await copy(code, model.code);
    copied.textContent = done ? "Copied." : "The browser does not let a page copy; the text is selected.";
  } }, "Copy as code");
  const reset = h("button", { type: "button", onclick: () => model.send_msg({ act: "defaults" }) }, "Reset all");
  function show() {
    for (const [name, value] of Object.entries(model.values)) rows.get(name)?.(value);
    code.textContent = model.code;
  }
  function refuse() {
    wrong.textContent = model.wrong;
    wrong.hidden = !model.wrong;
    if (model.wrong) for (const input of rest.concat(first)) input.querySelector("input[type=text]").blur();
    show();
  }
  const grid = (rows) => h("div", { className: "settings" }, ...rows);
  const more = rest.length ? [h("details", {}, h("summary", {}, `${rest.length} more settings`), grid(rest))] : [];
  return [h("div", { className: "card" }, h("h2", {}, "Sensitivity"),
    h("p", { className: "note" }, "Changes act on the next tick."), wrong, grid(first), ...more,
    h("div", { className: "buttons" }, copyCode, reset, copied), code),
    { values: show, code: show, wrong: refuse }];
}

// Marks of the state to come back to, and the run as a file.
function keeping(model) {
  const list = h("ul", { className: "marks" });
  const label = h("input", { type: "text", id: `mark-${++ids}`, maxLength: 40, placeholder: "name, if you like" });
  const keep = () => { model.send_msg({ act: "mark", value: label.value.trim() }); label.value = ""; };
  label.addEventListener("keydown", (e) => { if (e.key === "Enter") keep(); });
  const outcome = h("p", { className: "note", role: "status" });
  const files = model.formats.map(([kind, text]) =>
    h("button", { type: "button", onclick: () => model.send_msg({ act: "export", value: kind }) }, text));
  function show() {
    list.replaceChildren(...model.marks.map((m) => h("li", {},
      h("span", {}, m.text), h("button", { type: "button", "aria-label": `Restore ${m.text}`,
        onclick: () => model.send_msg({ act: "restore", value: m.key }) }, "Restore"))));
    list.hidden = !model.marks.length;
    outcome.textContent = model.outcome;
    for (const file of files) file.disabled = model.busy;
  }
  return [h("div", { className: "card" }, h("h2", {}, "Snapshots"),
    h("label", { htmlFor: label.id }, "Keep the state as it is now"),
    h("div", { className: "line" }, label, h("button", { type: "button", onclick: keep }, "Snapshot")), list,
    h("h2", {}, "Export"), h("div", { className: "buttons" }, ...files), outcome),
    { marks: show, outcome: show, busy: show, download: () => model.download.url && saveAs(model.download.url, model.download.name) }];
}

const KINDS = { badges, transport, alarms, settings, keeping };

export function render({ model }) {
  const [element, watched] = KINDS[model.kind](model);
  for (const [name, act] of Object.entries(watched)) {
    model.on(name, act);
    if (name !== "download") act();
  }
  return element;
}
