"use strict";

/* Scores over time as SVG. A frame without a score is a gap in its curve and a mark in the row of its system below the curves. */

const SVG = "http://www.w3.org/2000/svg";
const AXIS = 16, ROW = 6, LABEL = 14; // heights in pixels
const N_STYLES = 8; // colours in page.css

function element(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

function clock(seconds, digits = 0) {
  const whole = Math.floor(seconds / 60);
  return `${whole}:${(seconds - 60 * whole).toFixed(digits).padStart(digits ? digits + 3 : 2, "0")}`;
}

/* Index of the frame that holds a time; -1 if none does. */
function frameAt(curve, time) {
  return curve.times.findIndex((start, index) => start <= time && time < start + curve.lengths[index]);
}

/* Bounds in dB that hold all but the most extreme hundredth of the scores at each end. */
function bounds(curve, metric) {
  const values = Object.values(curve.scores).flatMap((scores) => (scores[metric] ?? []).filter((value) => value !== null));
  if (!values.length) return [0, 1];
  values.sort((a, b) => a - b);
  const low = values[Math.floor(0.01 * (values.length - 1))], high = values[Math.ceil(0.99 * (values.length - 1))];
  const margin = Math.max(0.1 * (high - low), 0.5);
  return [low - margin, high + margin];
}

/* The smallest round step of an axis that has at most `n` of them in `span`. */
function step(span, n) {
  return [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300].find((each) => span / each <= n) ?? 600;
}

/* Draw the scores of one metric from `from` to `to` seconds into an <svg>, over its whole width. */
function drawCurves(svg, curve, { metric, systems, from, to, part = null }) {
  const width = svg.clientWidth || 600, height = svg.clientHeight || 150;
  const names = systems.filter((name) => curve.scores[name]?.[metric]);
  const bottom = height - AXIS - ROW * names.length, [low, high] = bounds(curve, metric);
  const x = (time) => ((time - from) / (to - from)) * width;
  const y = (value) => bottom - ((Math.min(Math.max(value, low), high) - low) / (high - low)) * (bottom - 4);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  if (part) svg.append(element("rect", { class: "part", x: x(part.start), y: 0, width: x(part.start + part.length) - x(part.start), height: height - AXIS }));
  const labels = drawGrid(svg, { x, y, low, high, from, to, width, height, bottom });
  names.forEach((name, row) => drawSystem(svg, curve, name, { metric, index: systems.indexOf(name), x, y, top: bottom + ROW * row, from, to }));
  svg.append(...labels); // above the curves
  svg.append(element("line", { class: "cursor", x1: -9, x2: -9, y1: 0, y2: height - AXIS }));
}

/* Draw the lines of the grid; return their labels. */
function drawGrid(svg, { x, y, low, high, from, to, width, height, bottom }) {
  const labels = [], label = (left, base, text) => labels.push(element("text", { class: "label", x: left, y: base }, text));
  const every = step(high - low, Math.max(1, bottom / (2 * LABEL)));
  for (let value = Math.ceil(low / every) * every; value < high; value += every) {
    svg.append(element("line", { class: "grid", x1: 0, x2: width, y1: y(value), y2: y(value) }));
    if (y(value) >= LABEL) label(2, y(value) - 2, `${value} dB`);
  }
  const seconds = step(to - from, width < 500 ? 6 : 12);
  for (let time = Math.ceil(from / seconds) * seconds; time < to; time += seconds) {
    svg.append(element("line", { class: "grid", x1: x(time), x2: x(time), y1: 0, y2: height - AXIS }));
    if (x(time) < width - 30) label(x(time) + 2, height - 4, clock(time, seconds < 1 ? 1 : 0));
  }
  return labels;
}

function drawSystem(svg, curve, name, { metric, index, x, y, top, from, to }) {
  const style = `system-${index % N_STYLES}`;
  let path = "", drawn = false;
  curve.scores[name][metric].forEach((value, frame) => {
    const start = curve.times[frame], end = start + curve.lengths[frame];
    if (end <= from || start >= to) return;
    if (value === null) svg.append(element("rect", { class: `silent ${style}`, x: x(start), y: top + 1, width: x(end) - x(start), height: ROW - 2 }));
    else path += `${drawn ? "L" : "M"}${x(start).toFixed(1)} ${y(value).toFixed(1)}L${x(end).toFixed(1)} ${y(value).toFixed(1)}`;
    drawn = value !== null;
  });
  svg.append(element("path", { class: `curve ${style}`, d: path }));
}

function moveCursor(svg, fraction) {
  const cursor = svg.querySelector(".cursor"), place = fraction * svg.clientWidth;
  if (!cursor) return;
  cursor.setAttribute("x1", place);
  cursor.setAttribute("x2", place);
}
