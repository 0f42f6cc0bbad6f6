"""The page of a report: its frame, its styles, the script that follows the reader's theme, and the body about a run."""

from __future__ import annotations

STYLE = """
:root { --bg: #ffffff; --text: #24292f; --muted: #57606a; --line: #dfe3e7; --card: #f6f8fa; --accent: #1f6fb2; }
:root[data-theme="dark"] {
  --bg: #15181c; --text: #dde2e8; --muted: #a5adb6; --line: #2f353d; --card: #1c2026; --accent: #6db3ec; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 20px 24px 48px; }
header { display: flex; align-items: baseline; justify-content: space-between; gap: 16px; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 32px 0 8px; }
p.lead { margin: 4px 0 16px; padding: 12px 14px; background: var(--card); border-left: 4px solid var(--accent); }
p.note, .muted { color: var(--muted); font-size: .875rem; margin: 4px 0; }
button { font: inherit; font-size: .875rem; color: var(--text); background: var(--card); border: 1px solid var(--line);
  border-radius: 6px; padding: 4px 12px; cursor: pointer; white-space: nowrap; }
button:focus-visible, summary:focus-visible, .scroll:focus-visible, pre:focus-visible {
  outline: 2px solid var(--accent); outline-offset: 2px; }
.scroll { overflow-x: auto; max-height: 420px; overflow-y: auto; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; }
th, td { padding: 6px 12px; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
tbody tr:last-child > * { border-bottom: 0; }
thead th { position: sticky; top: 0; background: var(--card); font-weight: 600; }
tbody th { white-space: nowrap; } table.numbers td { font-variant-numeric: tabular-nums; white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 20px; margin: 0; font-size: .9375rem; }
dt { color: var(--muted); } dd { margin: 0; overflow-wrap: anywhere; }
pre { background: var(--card); padding: 12px; overflow-x: auto; font-size: .8125rem; border-radius: 6px; }
details { margin-top: 12px; } summary { cursor: pointer; }
@media (max-width: 600px) { main { padding: 14px 12px 32px; } h1 { font-size: 1.2rem; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 8px; } th, td { padding: 5px 8px; } }
@media print { button { display: none; } .scroll { max-height: none; } }
"""

SCRIPT = """
(function () {
  const themes = __THEMES__, asked = "__THEME__", root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 600px)");
  const heights = new Map();
  let chosen = asked === "auto" ? null : asked;
  function figures() {
    const found = [];
    function visit(part) {
      if (Array.isArray(part)) visit(part[0]);
      else if (part.children) part.children.forEach(visit);
      else if (part.center) found.push(part);
    }
    for (const doc of (window.Bokeh ? Bokeh.documents : [])) doc.roots().forEach(visit);
    return found;
  }
  function dress(figure, c) {
    heights.set(figure, heights.get(figure) ?? figure.height);
    const tall = narrow.matches && figure.name !== "strip";
    figure.setv({height: heights.get(figure) + (tall ? 50 : 0)});
    if (figure.title) figure.title.setv({text_color: c.text});
    for (const part of [...figure.left, ...figure.below, ...figure.above, ...figure.right, ...figure.center]) {
      if (part.type.endsWith("Axis")) {
        part.setv({axis_label_text_color: c.muted, major_label_text_color: c.muted,
          axis_line_color: c.axis, major_tick_line_color: c.axis});
        if (figure.below.includes(part) && "desired_num_ticks" in part.ticker)
          part.ticker.setv({desired_num_ticks: narrow.matches ? 3 : 6});
      }
      else if (part.type === "Grid") part.setv({grid_line_color: c.grid});
      else if (part.type === "BoxAnnotation" && part.tags.includes("dim")) part.setv({fill_color: c.background});
      else if (part.type === "ColorBar") part.setv({title_text_color: c.muted, major_label_text_color: c.muted});
      else if (part.type === "Legend") part.setv({label_text_color: c.text, ncols: narrow.matches ? 2 : "auto"});
    }
  }
  function apply() {
    const theme = chosen || (system.matches ? "dark" : "light");
    root.dataset.theme = theme;
    root.style.colorScheme = theme;
    const button = document.getElementById("theme");
    if (button) button.textContent = theme === "dark" ? "Light" : "Dark";
    for (const figure of figures()) dress(figure, themes[theme]);
  }
  apply();
  system.addEventListener("change", apply);
  narrow.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", function () {
    document.getElementById("theme").addEventListener("click", function () {
      chosen = root.dataset.theme === "dark" ? "light" : "dark";
      apply();
    });
    let left = 200;
    (function wait() { if (figures().length) apply(); else if (left-- > 0) setTimeout(wait, 25); })();
  });
})();
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ heading|e }}</title>
<style>{{ style }}</style>
<script>{{ script }}</script>
{% for part in library %}<script>{{ part }}</script>
{% endfor %}
</head>
<body>
<main>
<header><h1>{{ heading|e }}</h1>
<button id="theme" type="button" aria-label="switch between light and dark">Dark</button></header>
{% if verdict %}<p class="lead">{{ verdict|e }}</p>{% endif %}
{{ body }}
</main>
{{ drawing }}
</body>
</html>
"""

RUN = """{{ summary }}
<h2>Overview</h2>
<p class="note">{{ shown|e }}What is selected in one figure shows in all; so does every zoom.
A click on a legend's entry hides it.</p>
{{ place }}
{% if comparison %}<h2>Against simpler forecasters</h2>
{{ comparison }}
<p class="note">In brackets: relative to last value, below 1 is better. All on the same ticks.</p>{% endif %}
<h2>Alarms</h2>
{{ alarms }}
<h2>Settings</h2>
{{ settings }}
<details><summary>The whole configuration</summary><pre tabindex="0">{{ config|e }}</pre></details>
<h2>Made with</h2>
{{ versions }}
"""
