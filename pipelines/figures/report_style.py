"""How a report looks: its style sheet, and the script that sorts its tables and opens its folds for the printer."""

from __future__ import annotations

import base64
import hashlib

STYLE = """
:root { color-scheme: light dark; --page: #fff; --card: #f6f8fa; --line: #dfe3e8; --ink: #1b2026; --soft: #5b6570;
  --accent: #0072b2; --bad: #b3261e; --warn: #9a5b00; --bar: #cfe3f1; }
@media (prefers-color-scheme: dark) { :root { --page: #0f1216; --card: #171b21; --line: #2b323b; --ink: #e4e8ed;
  --soft: #99a3ae; --accent: #56b4e9; --bad: #ff8a80; --warn: #f0b34a; --bar: #1d3b52; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.5; font-size: 15px;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Helvetica Neue", "DejaVu Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 2.2rem 1.4rem 3rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .7rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; overflow-wrap: anywhere; }
p { margin: .4rem 0; }
.intended { display: inline-block; margin: .2rem 0 1.1rem; padding: .12rem .6rem; border: 1px solid var(--warn);
  border-radius: 1rem; color: var(--warn); font-size: .82rem; font-weight: 600; }
.soft { color: var(--soft); font-size: .86rem; }
.notes { border-left: 3px solid var(--warn); background: var(--card); padding: .5rem 1rem; margin: 1rem 0; }
.notes ul { margin: 0; padding-left: 1.1rem; }
dl.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: .7rem 1.4rem;
  margin: .6rem 0; }
dl.facts div { min-width: 0; } dl.facts div.wide { grid-column: 1 / -1; }
dt { font-size: .74rem; color: var(--soft); text-transform: uppercase; letter-spacing: .05em; }
dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
code, pre, .mono { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: .86em; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .9rem 1rem; overflow-x: auto;
  line-height: 1.45; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .8rem; margin: 1rem 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .7rem .9rem .8rem; }
.tile .name { font-size: .8rem; color: var(--soft); }
.tile .value { font-size: 1.75rem; font-weight: 650; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tile .value small { font-size: .55em; font-weight: 500; color: var(--soft); margin-left: .2em; }
.tile .range span { white-space: nowrap; }
.tile .range { font-size: .8rem; color: var(--soft); font-variant-numeric: tabular-nums; }
.tile.first { border-color: var(--accent); box-shadow: inset 3px 0 0 var(--accent); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); font-size: .84rem; padding: .2rem 0 .4rem; }
th, td { text-align: right; padding: .32rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap;
  vertical-align: top; }
th { font-weight: 600; color: var(--soft); font-size: .8rem; vertical-align: bottom; }
th .unit { font-weight: 400; }
th:first-child, td:first-child, th.text, td.text { text-align: left; white-space: normal; overflow-wrap: break-word; }
th:first-child, td:first-child { min-width: 7rem; max-width: 20rem; } td.text { min-width: 8rem; }
table.sortable th { cursor: pointer; } table.sortable th:hover { color: var(--ink); }
th[aria-sort="ascending"]::after { content: " \\2191"; } th[aria-sort="descending"]::after { content: " \\2193"; }
tbody tr:hover { background: var(--card); }
td.bar { background-image: linear-gradient(var(--bar), var(--bar)); background-repeat: no-repeat;
  background-position: left center; }
td .spread, td .below { color: var(--soft); font-size: .92em; } td .below { display: block; }
.missed { color: var(--bad); font-weight: 600; } .spurious { color: var(--warn); font-weight: 600; }
.both_empty { color: var(--soft); }
figure { margin: 1rem 0 1.6rem; }
figure img { display: block; width: 100%; height: auto; border-radius: 6px; }
figure.case img { max-width: 1100px; background: #0b0d10; }
figcaption { margin-bottom: .4rem; } figcaption .detail { color: var(--soft); font-size: .88rem; display: block; }
figure.slices img[hidden] { display: none; } figure.slices .keys { display: flex; gap: .8rem; align-items: center;
  margin: .3rem 0; } figure.slices input { flex: 1; } figure.slices .told { min-height: 1.3em; }
figure.slices i.swatch { display: inline-block; width: .8em; height: .8em; margin: 0 .35em 0 .9em; }
svg.strip { width: 100%; height: auto; display: block; margin: .6rem 0; font-size: 12px; }
details { margin: .5rem 0; border: 1px solid var(--line); border-radius: 6px; padding: .4rem .9rem; }
summary { cursor: pointer; font-weight: 600; } details details { border: 0; padding: 0; margin: 0; }
details details summary { font-weight: 400; }
table.tree td { text-align: left; white-space: normal; overflow-wrap: anywhere; } table.tree td:first-child {
  color: var(--soft); width: 24%; min-width: 9rem; } table.tree table.tree { font-size: 1em; }
footer { margin-top: 3rem; padding-top: .8rem; border-top: 1px solid var(--line); color: var(--soft);
  font-size: .85rem; }
@media print { :root { --page: #fff; --card: #fff; --line: #ccc; --ink: #000; --soft: #444; --accent: #0072b2;
  --bad: #b3261e; --warn: #7a4a00; --bar: #dcebf5; } body { font-size: 10.5pt; } main { max-width: none; padding: 0; }
  figure, .tile, tr { break-inside: avoid; } h2, h3, figcaption { break-after: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } .scroll { overflow: visible; } }
"""

SCRIPT = """
document.querySelectorAll("table.sortable").forEach(function (table) {
  var heads = table.tHead.rows[0].cells;
  Array.prototype.forEach.call(heads, function (head, column) {
    head.addEventListener("click", function () {
      var up = head.getAttribute("aria-sort") !== "ascending";
      Array.prototype.forEach.call(heads, function (other) { other.removeAttribute("aria-sort"); });
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      var body = table.tBodies[0];
      Array.from(body.rows).sort(function (one, two) {
        var a = one.cells[column].dataset.value, b = two.cells[column].dataset.value;
        if (a === "" || b === "") { return a === b ? 0 : a === "" ? 1 : -1; }
        var order = isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
        return up ? order : -order;
      }).forEach(function (row) { body.appendChild(row); });
    });
  });
});
document.querySelectorAll("figure.slices").forEach(function (figure) {
  var frames = figure.querySelectorAll("img"), slider = figure.querySelector("input"), timer = null;
  var button = figure.querySelector("button"), told = figure.querySelector(".told");
  function show() {
    frames.forEach(function (frame, index) { frame.hidden = index !== +slider.value; });
    told.textContent = frames[+slider.value].alt;
  }
  function stop() { clearInterval(timer); timer = null; button.textContent = "Play"; }
  slider.addEventListener("input", function () { stop(); show(); });
  button.addEventListener("click", function () {
    if (timer !== null) { stop(); return; }
    button.textContent = "Stop";
    timer = setInterval(function () { slider.value = (+slider.value + 1) % frames.length; show(); }, 150);
  });
  figure.querySelector(".keys").hidden = false;
});
window.addEventListener("beforeprint", function () {
  document.querySelectorAll("details").forEach(function (fold) { fold.open = true; });
});
"""


def content_policy() -> str:
    """The policy that keeps the page from loading anything and from running any script but its own."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
