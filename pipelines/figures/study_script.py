"""What makes the page of a study move: the script that it holds, and nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib

from pipelines.figures.surface_script import SURFACE_SCRIPT

_CHARTS = """
"use strict";
var study = JSON.parse(document.getElementById("study").textContent);
var moved = [];
function make(name, parent, settings, text) {
  var svg = ["svg", "path", "line", "text", "circle", "rect", "g"].indexOf(name) >= 0;
  var node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  Object.keys(settings || {}).forEach(function (key) { node.setAttribute(key, settings[key]); });
  if (text !== undefined) { node.textContent = text; }
  if (parent) { parent.appendChild(node); }
  return node;
}
function short(value) {
  if (value === null || value === undefined || isNaN(value)) { return "\\u2013"; }
  var size = Math.abs(value);
  return size !== 0 && (size < 0.001 || size >= 10000) ? value.toExponential(2) : String(+value.toPrecision(4));
}
function ticks(low, high, count) {
  var raw = (high - low) / count, power = Math.pow(10, Math.floor(Math.log10(raw))), step = 10 * power, found = [];
  [1, 2, 5].some(function (factor) { step = factor * power; return step >= raw; }) || (step = 10 * power);
  for (var at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-9; at += step) { found.push(at); }
  return found;
}
/* A line chart: lines are {name, colour, dash, x, y}; gives a function that puts a mark at an x. */
function chart(parent, title, lines, axis) {
  var wide = 460, high = 250, left = 46, right = 8, top = 26, bottom = 34, box = make("figure", parent, {});
  var svg = make("svg", box, {viewBox: "0 0 " + wide + " " + high, role: "img", "aria-label": title, "class": "chart"});
  var xs = [].concat.apply([], lines.map(function (line) { return line.x; }));
  var ys = [].concat.apply([], lines.map(function (line) { return line.y; }));
  ys = ys.filter(function (y) { return y !== null; });
  var low = axis.low === undefined ? Math.min.apply(null, ys) : axis.low;
  var top_ = axis.high === undefined ? Math.max.apply(null, ys) : axis.high;
  if (!(top_ > low)) { top_ = low + 1; }
  var first = Math.min.apply(null, xs), last = Math.max.apply(null, xs);
  if (!(last > first)) { last = first + 1; }
  function at(x) { return left + (x - first) / (last - first) * (wide - left - right); }
  function up(y) { return high - bottom - (y - low) / (top_ - low) * (high - top - bottom); }
  make("text", svg, {x: 4, y: 14, "class": "title"}, title);
  make("text", svg, {x: wide - right, y: high - 4, "class": "tick end"}, axis.x);
  ticks(low, top_, 4).forEach(function (y) {
    make("line", svg, {x1: left, x2: wide - right, y1: up(y), y2: up(y), "class": "grid"});
    make("text", svg, {x: left - 5, y: up(y) + 4, "class": "tick end"}, short(y));
  });
  ticks(first, last, 5).forEach(function (x) {
    make("text", svg, {x: at(x), y: high - bottom + 15, "class": "tick middle"}, short(x));
  });
  lines.forEach(function (line) {
    var path = "", pen = "M";
    line.x.forEach(function (x, index) {
      var y = line.y[index];
      if (y === null) { pen = "M"; return; }
      path += pen + at(x).toFixed(1) + " " + up(Math.min(Math.max(y, low), top_)).toFixed(1);
      pen = "L";
    });
    make("path", svg, {d: path, fill: "none", stroke: line.colour, "stroke-width": 1.6, "stroke-dasharray": line.dash});
  });
  var mark = make("line", svg, {x1: 0, x2: 0, y1: top, y2: high - bottom, "class": "mark"});
  var told = make("div", box, {"class": "told"});
  function show(x) {
    mark.setAttribute("x1", at(x)); mark.setAttribute("x2", at(x));
    told.textContent = "";
    make("b", told, {}, (axis.told || axis.x) + " " + short(x));
    lines.forEach(function (line) {
      var best = 0;
      line.x.forEach(function (one, index) { if (Math.abs(one - x) < Math.abs(line.x[best] - x)) { best = index; } });
      var item = make("span", told, {});
      make("i", item, {style: "background:" + line.colour});
      make("span", item, {}, line.name + " " + short(line.y[best]));
    });
  }
  svg.addEventListener("pointermove", function (event) {
    var area = svg.getBoundingClientRect(), x = (event.clientX - area.left) / area.width * wide;
    show(Math.min(Math.max(first + (x - left) / (wide - left - right) * (last - first), first), last));
  });
  show(axis.start === undefined ? last : axis.start);
  return show;
}
function lossLines(pick) {
  return study.losses.map(function (loss) {
    var found = pick(loss);
    return found && {name: loss.text, colour: loss.colour, dash: loss.dash, x: found[0], y: found[1]};
  }).filter(Boolean);
}
function drawProgress() {
  var parent = document.getElementById("progress");
  study.measures.forEach(function (measure) {
    var lines = lossLines(function (loss) { return [loss.iterations, loss.series[measure.name]]; });
    var show = chart(parent, measure.title, lines, {x: "iteration"});
    moved.push(function (moment) { show(study.moments[moment]); });
  });
}
function drawCurves() {
  var parent = document.getElementById("curves");
  [["foreground", "loss of a foreground pixel", 0, 5], ["background", "loss of a background pixel", 0, 5],
    ["foreground_gradient", "gradient of a foreground pixel's loss, to its logit"],
    ["background_gradient", "gradient of a background pixel's loss, to its logit"]].forEach(function (part) {
    var lines = lossLines(function (loss) { return loss.curve && [loss.curve.p, loss.curve[part[0]]]; });
    if (!lines.length) { return; }
    var most = Math.max.apply(null, [].concat.apply([], lines.map(function (line) { return line.y; })));
    chart(parent, part[1], lines, {x: "probability of its own class", told: "p =", start: 0.5, low: part[2],
      high: part[3] === undefined ? undefined : Math.min(part[3], most)});
  });
}
function drawReliability() {
  var parent = document.getElementById("reliability"), size = 180, edge = 26, span = size - edge - 8;
  study.losses.forEach(function (loss) {
    var box = make("figure", parent, {}), svg = make("svg", box, {viewBox: "0 0 180 200", "class": "chart small",
      role: "img", "aria-label": "reliability of " + loss.text});
    make("text", svg, {x: 4, y: 12, "class": "title"}, loss.text);
    var body = make("g", svg, {transform: "translate(0 14)"});
    make("line", body, {x1: edge, y1: size - edge, x2: edge + span, y2: size - edge - span, "class": "mark"});
    [0, 0.5, 1].forEach(function (share) {
      make("text", body, {x: edge + share * span, y: size - edge + 13, "class": "tick middle"}, share);
      make("text", body, {x: edge - 4, y: size - edge - share * span + 4, "class": "tick end"}, share);
    });
    var live = make("g", body, {}), told = make("div", box, {"class": "told"});
    moved.push(function (moment) {
      var bins = loss.bins[moment], most = Math.log10(1 + Math.max.apply(null, bins.counts)), path = "";
      live.textContent = ""; told.textContent = "ECE " + short(loss.ece[moment]) + ", ACE " + short(loss.ace[moment]);
      bins.counts.forEach(function (count, index) {
        var tall = Math.log10(1 + count) / most * 0.3 * span, step = span / bins.counts.length;
        make("rect", live, {x: edge + index * step, y: size - edge - tall, width: step * 0.9, height: tall,
          fill: loss.colour, opacity: 0.22});
        if (bins.confidence[index] === null) { return; }
        var x = edge + bins.confidence[index] * span, y = size - edge - bins.frequency[index] * span;
        path += (path ? "L" : "M") + x.toFixed(1) + " " + y.toFixed(1);
        make("circle", live, {cx: x, cy: y, r: 2.6, fill: loss.colour});
      });
      make("path", live, {d: path, fill: "none", stroke: loss.colour, "stroke-width": 1.4});
    });
  });
}
"""

_MAPS = """
var loaded = {}, present = 0, chosenCase = 0;
function sprite(url, ready) {
  if (loaded[url]) { if (loaded[url].data) { ready(loaded[url]); } else { loaded[url].waiting.push(ready); } return; }
  var entry = loaded[url] = {waiting: [ready]}, image = new Image();
  image.onload = function () {
    var canvas = make("canvas", null, {width: image.width, height: image.height}), pen = canvas.getContext("2d");
    pen.drawImage(image, 0, 0);
    entry.data = pen.getImageData(0, 0, image.width, image.height).data;
    entry.width = image.width;
    entry.waiting.forEach(function (one) { one(entry); });
  };
  image.src = url;
}
function valueOf(kind, code) {
  var scale = study.scales[kind], share = Math.pow(code / 255, 1 / scale.power);
  return scale.low + share * (scale.high - scale.low);
}
/* Paints part `place` of a sprite; `colour` gives [r, g, b] of (code, pixel). */
function paint(canvas, entry, place, colour) {
  var pixels = canvas.width * canvas.height, pen = canvas.getContext("2d");
  var out = pen.createImageData(canvas.width, canvas.height);
  for (var index = 0; index < pixels; index++) {
    var rgb = colour(entry.data[4 * (place * pixels + index)], index);
    out.data[4 * index] = rgb[0]; out.data[4 * index + 1] = rgb[1]; out.data[4 * index + 2] = rgb[2];
    out.data[4 * index + 3] = 255;
  }
  pen.putImageData(out, 0, 0);
}
function drawMaps() {
  var table = document.getElementById("maps"), told = document.getElementById("pixel"), body = table.tBodies[0];
  var select = document.getElementById("case"), cells = [];
  study.cases.forEach(function (one, index) { make("option", select, {value: index}, one.id); });
  study.losses.forEach(function (loss, row) {
    var line = make("tr", body, {}), head = make("th", line, {scope: "row", "class": "text"});
    make("i", head, {style: "background:" + loss.colour, "class": "swatch"});
    make("span", head, {}, loss.text);
    study.kinds.forEach(function (kind) {
      var cell = make("td", line, {});
      if (!loss.maps[0][kind]) { make("span", cell, {"class": "soft"}, "pixels have no loss of their own"); return; }
      cells.push({loss: loss, kind: kind, canvas: make("canvas", cell, {"class": "map", role: "img",
        "aria-label": kind + " of " + loss.text})});
    });
  });
  cells.forEach(function (cell) {
    cell.canvas.addEventListener("pointermove", function (event) {
      var area = cell.canvas.getBoundingClientRect();
      var x = Math.floor((event.clientX - area.left) / area.width * cell.canvas.width);
      var y = Math.floor((event.clientY - area.top) / area.height * cell.canvas.height);
      var at = y * cell.canvas.width + x, found = cell.codes ? cell.codes(at) : "";
      told.textContent = cell.loss.text + ", pixel (" + x + ", " + y + "): " + found;
    });
  });
  function draw() {
    cells.forEach(function (cell) { drawCell(cell); });
  }
  function drawCell(cell) {
    var place = present, one = study.cases[chosenCase], size = one.width * one.height;
    sprite(cell.loss.maps[chosenCase][cell.kind], function (entry) {
      cell.canvas.width = one.width; cell.canvas.height = one.height;
      if (cell.kind !== "prediction") {
        var colours = study.colours[cell.kind];
        cell.codes = function (at) {
          return cell.kind + " " + short(valueOf(cell.kind, entry.data[4 * (place * size + at)]));
        };
        paint(cell.canvas, entry, place, function (code) { return colours[code]; });
        return;
      }
      sprite(one.picture, function (picture) {
        sprite(one.label, function (label) {
          function code(at) {
            var found = entry.data[4 * (place * size + at)], wanted = label.data[4 * at];
            if (!found && !wanted) { return 0; }
            return !found ? 2 : !wanted ? 3 : found === wanted ? 1 : 4;
          }
          cell.codes = function (at) { return study.difference[code(at)][1]; };
          paint(cell.canvas, entry, place, function (value, at) {
            var kind = code(at), grey = picture.data[4 * at] * 0.8;
            return kind ? study.difference[kind][0] : [grey, grey, grey];
          });
        });
      });
    });
  }
  select.addEventListener("change", function () { chosenCase = +select.value; draw(); });
  moved.push(draw);
}
function move(moment) {
  present = moment;
  document.getElementById("now").textContent = "iteration " + study.moments[moment];
  moved.forEach(function (one) { one(moment); });
}
drawProgress();
drawReliability();
if (study.cases.length) { drawMaps(); }
drawCurves();
drawSurfaces();
var slider = document.getElementById("moment"), running = null;
slider.addEventListener("input", function () { move(+slider.value); });
document.getElementById("play").addEventListener("click", function () {
  if (running) { clearInterval(running); running = null; this.textContent = "Play"; return; }
  this.textContent = "Stop";
  running = setInterval(function () {
    slider.value = (+slider.value + 1) % study.moments.length; move(+slider.value);
  }, 700);
});
move(+slider.value);
"""

STUDY_SCRIPT = _CHARTS + SURFACE_SCRIPT + _MAPS


def study_policy() -> str:
    """The policy that keeps the page from loading anything and from running any script but its own."""
    digest = base64.b64encode(hashlib.sha256(STUDY_SCRIPT.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
