// ---------------------------------------------------------------------------------------------------------------
// Buttons, state line, banner, notices and the list of keys: plain elements round the canvas.
// ---------------------------------------------------------------------------------------------------------------

const SPEEDS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, null];
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
const KEYS = [
  ["Space", "play or pause"],
  ["Right arrow", "one tick on: at the newest tick a paused series takes a step, else the crosshair moves"],
  ["Left arrow", "one tick back"],
  ["Shift with an arrow", "ten ticks"],
  ["Home, End", "the first tick, the newest tick"],
  ["+ and -", "faster, slower"],
  ["F", "follow the newest tick"],
  ["E", "export the session"],
  ["S", "snapshot of the session"],
  ["P", "save the picture"],
  ["0", "show everything again"],
  ["Esc", "take the crosshair away, close this list"],
];
const POINTER = [
  ["Move", "readings of every panel"],
  ["Click", "pin the crosshair, or free it"],
  ["Drag", "move through time"],
  ["Shift and drag", "zoom to that stretch"],
  ["Wheel", "zoom, once the view has been clicked (or with Ctrl)"],
  ["Double click", "show everything again"],
];

function element(tag, className, attributes = {}, children = []) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  svg.append(path);
  path.setAttribute("d", ICONS[name]);
  path.setAttribute("fill-rule", "evenodd");
  return svg;
}

function button(label, sign, pressed) {
  const made = element("button", "uspnb-button", { type: "button", "aria-label": label, title: label });
  made.append(ICONS[sign] ? icon(sign) : sign);
  made.addEventListener("click", pressed);
  return made;
}

class Toolbar {
  /** @param act what the buttons do: toggle, step, slower, faster, follow, picture, export, help. */
  constructor(act) {
    this.play = button("Play", "play", act.toggle);
    this.step = button("Step one tick", "step", act.step);
    this.slower = button("Slower", "slower", act.slower);
    this.faster = button("Faster", "faster", act.faster);
    this.speed = element("span", "uspnb-speed");
    this.follow = button("Follow the newest tick", "follow", act.follow);
    this.phase = element("span", "uspnb-phase");
    this.count = element("span", "uspnb-count");
    this.mode = element("span", "uspnb-mode");
    this.picture = button("Save picture", "picture", act.picture);
    this.export = button("Export session", "export", act.export);
    this.help = button("Keyboard help", "?", act.help);
    const group = (...items) => element("div", "uspnb-group", {}, items);
    const pace = group(this.slower, this.speed, this.faster);
    const state = element("div", "uspnb-state", {}, [this.phase, this.mode, this.count]);
    this.element = element("div", "uspnb-toolbar", { role: "toolbar", "aria-label": "Controls of the live view" }, [
      group(this.play, this.step), pace, group(this.follow), state, group(this.picture, this.export, this.help),
    ]);
  }

  show(status, meta, follows) {
    const runs = status.phase === "running" || status.phase === "starting";
    this.relabel(this.play, runs ? "Pause" : "Play", runs ? "pause" : "play");
    const over = status.phase === "closed" || !meta.controls;
    this.play.disabled = over || (status.phase === "finished" && !runs);
    this.step.disabled = over || runs || status.phase === "finished";
    this.slower.disabled = over || meta.live || status.speed === SPEEDS[0];
    this.faster.disabled = over || meta.live || status.speed === null || status.speed === undefined;
    this.speed.textContent = meta.live ? "live" : speedText(status.speed);
    this.follow.setAttribute("aria-pressed", String(follows));
    this.phase.textContent = status.phase ?? "waiting";
    this.phase.dataset.phase = status.phase ?? "new";
    const mode = status.emergency ? "emergency" : status.degraded ? "weights held" : "";
    this.mode.textContent = mode;
    this.mode.hidden = !mode;
    this.count.textContent = countText(status);
  }

  relabel(made, label, sign) {
    if (made.getAttribute("aria-label") === label) return;
    made.setAttribute("aria-label", label);
    made.title = label;
    made.replaceChildren(icon(sign));
  }
}

function speedText(speed) {
  return speed === null || speed === undefined ? "max" : `${grouped(speed)}/s`;
}

function countText(status) {
  if (!Number.isFinite(status.ticks)) return "";
  const of = Number.isFinite(status.total) ? ` of ${grouped(status.total)}` : "";
  const rate = status.phase === "running" && status.rate > 0 ? ` \u00b7 ${grouped(status.rate)}/s` : "";
  return `${grouped(status.ticks)}${of} ticks${rate}`;
}

/** The speed one rung up or down the ladder; null is as fast as it can. */
function nextSpeed(speed, up) {
  const now = speed ?? Infinity;
  const rungs = SPEEDS.map((rung) => rung ?? Infinity);
  const found = up ? rungs.find((rung) => rung > now) : rungs.reverse().find((rung) => now > rung);
  if (found === undefined) return speed ?? null;
  return found === Infinity ? null : found;
}

function keyTable(title, rows) {
  const lines = rows.map(([key, what]) =>
    element("tr", "", {}, [element("th", "", { scope: "row" }, [key]), element("td", "", {}, [what])]),
  );
  return element("table", "", {}, [element("caption", "", {}, [title]), element("tbody", "", {}, lines)]);
}

/** The list of keys, a dialog over the view. */
class Help {
  constructor(root) {
    this.root = root;
    this.close = button("Close help", "\u2715", () => this.toggle(false));
    this.element = element("div", "uspnb-help", { role: "dialog", "aria-modal": "true", "aria-label": "Keyboard help" }, [
      this.close, element("div", "uspnb-help-tables", { tabindex: "0", role: "region", "aria-label": "List of keys" }, [
        keyTable("Keys", KEYS), keyTable("Pointer", POINTER),
      ]),
    ]);
    this.element.hidden = true;
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Tab") return;
      event.preventDefault();
      const inside = [this.close, this.element.querySelector(".uspnb-help-tables")];
      inside[inside[0] === this.root.getRootNode().activeElement ? 1 : 0].focus();
    });
  }

  get open() {
    return !this.element.hidden;
  }

  toggle(open = !this.open) {
    if (open === this.open) return;
    this.element.hidden = !open;
    if (open) {
      this.before = this.root.getRootNode().activeElement;
      this.close.focus();
    } else (this.before ?? this.root).focus();
  }
}
