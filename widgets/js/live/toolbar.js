// Buttons, state line, banner, notices and the list of keys: plain elements round the canvas.

import { iconButton, node, relabel } from "../shared/elements.js";
import { grouped } from "../shared/format.js";

export const SPEEDS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, null];
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

const button = (label, sign, pressed) => iconButton("uspnb-button", label, sign, pressed);

export class Toolbar {
  /** @param act what the buttons do: toggle, step, slower, faster, follow, picture, export, help. */
  constructor(act) {
    this.play = button("Play", "play", act.toggle);
    this.step = button("Step one tick", "step", act.step);
    this.slower = button("Slower", "slower", act.slower);
    this.faster = button("Faster", "faster", act.faster);
    this.speed = node("span", "uspnb-speed");
    this.follow = button("Follow the newest tick", "follow", act.follow);
    this.phase = node("span", "uspnb-phase");
    this.count = node("span", "uspnb-count");
    this.mode = node("span", "uspnb-mode");
    this.picture = button("Save picture", "picture", act.picture);
    this.export = button("Export session", "export", act.export);
    this.help = button("Keyboard help", "?", act.help);
    const group = (...items) => node("div", "uspnb-group", {}, items);
    const pace = group(this.slower, this.speed, this.faster);
    const state = node("div", "uspnb-state", {}, [this.phase, this.mode, this.count]);
    this.element = node("div", "uspnb-toolbar", { role: "toolbar", "aria-label": "Controls of the live view" }, [
      group(this.play, this.step), pace, group(this.follow), state, group(this.picture, this.export, this.help),
    ]);
  }

  show(status, meta, follows) {
    const runs = status.phase === "running" || status.phase === "starting";
    relabel(this.play, runs ? "Pause" : "Play", runs ? "pause" : "play");
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

function keyTable(title, rows) {
  const lines = rows.map(([key, what]) =>
    node("tr", "", {}, [node("th", "", { scope: "row" }, [key]), node("td", "", {}, [what])]),
  );
  return node("table", "", {}, [node("caption", "", {}, [title]), node("tbody", "", {}, lines)]);
}

/** The list of keys, a dialog over the view. */
export class Help {
  constructor(root) {
    this.root = root;
    this.close = button("Close help", "\u2715", () => this.toggle(false));
    this.element = node("div", "uspnb-help", { role: "dialog", "aria-modal": "true", "aria-label": "Keyboard help" }, [
      this.close, node("div", "uspnb-help-tables", { tabindex: "0", role: "region", "aria-label": "List of keys" }, [
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
