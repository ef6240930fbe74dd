"""The part of a study's script that turns a loss surface, and reads it off a flat map."""

from __future__ import annotations

SURFACE_SCRIPT = """
function drawSurfaces() {
  var lossChoice = document.getElementById("surface-loss"), planeChoice = document.getElementById("surface-plane");
  if (!lossChoice) { return; }
  var valueChoice = document.getElementById("surface-value"), told = document.getElementById("surface-told");
  var solid = document.getElementById("solid"), flat = document.getElementById("flat"), turn = -0.7, tilt = 0.62;
  study.losses.forEach(function (loss, index) { make("option", lossChoice, {value: index}, loss.text); });
  function surface() { return study.losses[+lossChoice.value].surfaces[planeChoice.value]; }
  /* Heights from 0 to 1: the IoU as it is; the loss above its lowest value by the logarithm, as basins are shallow. */
  function heights(found) {
    var rows = found[valueChoice.value], all = [].concat.apply([], rows).filter(function (v) { return v !== null; });
    var low = Math.min.apply(null, all), high = Math.max.apply(null, all), span = high > low ? high - low : 1;
    return rows.map(function (row) {
      return row.map(function (value) {
        if (value === null) { return 1; }
        return valueChoice.value === "iou" ? value : Math.log10(1 + 999 * (value - low) / span) / 3;
      });
    });
  }
  function colour(height) {
    var table = study.colours.surface, share = valueChoice.value === "iou" ? height : 1 - height;
    var rgb = table[Math.max(0, Math.min(255, Math.round(255 * share)))];
    return "rgb(" + rgb.join(",") + ")";
  }
  function between(values, place) {
    var count = values.length - 1, share = (place - values[0]) / (values[count] - values[0]) * count;
    return Math.max(0, Math.min(count, share));
  }
  function heightAt(found, rows, point) {
    var column = between(found.x, point[0]), row = between(found.y, point[1]);
    var c = Math.min(Math.floor(column), found.x.length - 2), r = Math.min(Math.floor(row), found.y.length - 2);
    var u = column - c, v = row - r;
    function along(row) { return row[c] * (1 - u) + row[c + 1] * u; }
    return along(rows[r]) * (1 - v) + along(rows[r + 1]) * v;
  }
  function project(a, b, height) {
    var x = a - 0.5, y = b - 0.5, z = (height - 0.5) * 0.75;
    var across = x * Math.cos(turn) - y * Math.sin(turn), deep = x * Math.sin(turn) + y * Math.cos(turn);
    var scale = solid.width * 0.62;
    return [solid.width / 2 + across * scale, solid.height / 2 - (z * Math.cos(tilt) - deep * Math.sin(tilt)) * scale,
      deep * Math.cos(tilt) + z * Math.sin(tilt)];
  }
  function drawSolid(found, rows) {
    var pen = solid.getContext("2d"), quads = [], columns = found.x.length - 1, lines = found.y.length - 1;
    pen.clearRect(0, 0, solid.width, solid.height);
    for (var r = 0; r < lines; r++) {
      for (var c = 0; c < columns; c++) {
        var corners = [[c, r], [c + 1, r], [c + 1, r + 1], [c, r + 1]], sum = 0, deep = 0;
        var points = corners.map(function (corner) {
          var height = rows[corner[1]][corner[0]], spot = project(corner[0] / columns, corner[1] / lines, height);
          sum += height / 4; deep += spot[2] / 4;
          return spot;
        });
        quads.push({points: points, deep: deep, colour: colour(sum)});
      }
    }
    quads.sort(function (one, two) { return one.deep - two.deep; });
    pen.lineWidth = 0.6; pen.strokeStyle = "rgba(0,0,0,0.28)";
    quads.forEach(function (quad) {
      pen.beginPath();
      quad.points.forEach(function (spot, index) { pen[index ? "lineTo" : "moveTo"](spot[0], spot[1]); });
      pen.closePath(); pen.fillStyle = quad.colour; pen.fill(); pen.stroke();
    });
    trace(pen, found, function (point) {
      return project(between(found.x, point[0]) / columns, between(found.y, point[1]) / lines,
        heightAt(found, rows, point) + 0.015);
    });
  }
  function drawFlat(found, rows) {
    var pen = flat.getContext("2d"), columns = found.x.length, lines = found.y.length;
    var wide = flat.width / columns, high = flat.height / lines;
    rows.forEach(function (row, r) {
      row.forEach(function (height, c) {
        pen.fillStyle = colour(height);
        pen.fillRect(c * wide, (lines - 1 - r) * high, wide + 1, high + 1);
      });
    });
    trace(pen, found, function (point) {
      return [(between(found.x, point[0]) + 0.5) * wide, (lines - 0.5 - between(found.y, point[1])) * high];
    });
  }
  /* The way of the training, from a ring to a dot; around a solution without one, the solution. */
  function trace(pen, found, place) {
    var points = (found.path && found.path.length ? found.path : [[0, 0]]).map(place), last = points[points.length - 1];
    pen.strokeStyle = pen.fillStyle = "#D55E00"; pen.lineWidth = 2;
    pen.beginPath();
    points.forEach(function (spot, index) { pen[index ? "lineTo" : "moveTo"](spot[0], spot[1]); });
    pen.stroke();
    pen.beginPath(); pen.arc(last[0], last[1], 5, 0, 7); pen.fill();
    if (points.length > 1) { pen.beginPath(); pen.arc(points[0][0], points[0][1], 5, 0, 7); pen.stroke(); }
  }
  function draw() {
    var found = surface();
    solid.hidden = flat.hidden = !found;
    if (!found) { told.textContent = "there is no such surface"; return; }
    var rows = heights(found), shares = found.explained;
    drawSolid(found, rows); drawFlat(found, rows);
    told.textContent = planeChoice.value === "random" ?
      "mean rise of the loss to half the radius: " + short(found.mean_rise) :
      "variance of the path along them: " + short(100 * shares[0]) + " % and " + short(100 * shares[1]) + " %";
  }
  [lossChoice, planeChoice, valueChoice].forEach(function (choice) { choice.addEventListener("change", draw); });
  solid.addEventListener("pointerdown", function (event) { solid.setPointerCapture(event.pointerId); });
  solid.addEventListener("pointermove", function (event) {
    if (!(event.buttons & 1)) { return; }
    turn -= event.movementX * 0.01; tilt = Math.max(0.05, Math.min(1.5, tilt + event.movementY * 0.01)); draw();
  });
  solid.addEventListener("keydown", function (event) {
    var step = {ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.08], ArrowDown: [0, -0.08]}[event.key];
    if (!step) { return; }
    turn += step[0]; tilt = Math.max(0.05, Math.min(1.5, tilt + step[1])); draw(); event.preventDefault();
  });
  flat.addEventListener("pointermove", function (event) {
    var found = surface(), area = flat.getBoundingClientRect();
    var c = Math.min(found.x.length - 1, Math.floor((event.clientX - area.left) / area.width * found.x.length));
    var up = found.y.length - 1 - Math.floor((event.clientY - area.top) / area.height * found.y.length);
    var r = Math.max(0, Math.min(found.y.length - 1, up));
    told.textContent = "at (" + short(found.x[c]) + ", " + short(found.y[r]) + "): loss " + short(found.loss[r][c]) +
      ", IoU " + short(found.iou[r][c]);
  });
  draw();
}
"""
