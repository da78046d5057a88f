"use strict";

/* Tables: clicking a heading sorts the rows, typing text filters them. */

function valueOf(row, column) {
  const cell = row.cells[column], text = cell.dataset.value;
  if (text === undefined) return cell.textContent.trim();
  return text === "" ? null : Number(text);
}

function sortTable(heading) {
  const column = heading.cellIndex, body = heading.closest("table").tBodies[0];
  const rows = Array.from(body.rows);
  if (!rows.length) return;
  const isNumber = rows[0].cells[column].dataset.value !== undefined;
  const before = heading.getAttribute("aria-sort");
  const ascending = before ? before === "descending" : !isNumber;
  rows.sort((one, other) => {
    const a = valueOf(one, column), b = valueOf(other, column);
    if (a === null || b === null) return (a === null) - (b === null);
    const order = isNumber ? a - b : a.localeCompare(b);
    return ascending ? order : -order;
  });
  for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  body.append(...rows);
}

for (const button of document.querySelectorAll("table.sortable th button")) {
  button.addEventListener("click", () => sortTable(button.closest("th")));
}

for (const part of document.querySelectorAll(".tracks-of")) {
  const rows = Array.from(part.querySelector("tbody").rows), shown = part.querySelector(".shown");
  part.querySelector(".filter").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/);
    for (const row of rows) {
      const text = `${row.cells[0].textContent} ${row.cells[1].textContent}`.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    shown.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
  });
}

/* Links in the table of contents open folded sections. */

function unfold() {
  const aim = document.getElementById(decodeURIComponent(location.hash.slice(1))) ?? document.getElementById(location.hash.slice(1));
  const folded = aim?.closest("details");
  if (folded) folded.open = true;
}
addEventListener("hashchange", unfold);
unfold();

/* Scatter plot: any metric of any system against any other, with one point per track. */

const SVG = "http://www.w3.org/2000/svg", EDGE = { left: 56, right: 14, top: 12, bottom: 48 };

function shape(parent, name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

function offer(select, names, wanted) {
  const before = wanted ?? select.value;
  select.replaceChildren(...names.map((name) => new Option(name, name)));
  select.value = names.includes(before) ? before : names[0];
}

function ticksOf(low, high) {
  const rough = (high - low) / 6, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) ticks.push(Number(tick.toFixed(6)));
  return ticks;
}

function scaleOf(values, from, to) {
  let low = Math.min(...values), high = Math.max(...values);
  const margin = 0.05 * (high - low) || 1;
  low -= margin;
  high += margin;
  return { low, high, at: (value) => from + (value - low) / (high - low) * (to - from) };
}

class Scatter {
  constructor(part) {
    this.numbers = JSON.parse(part.querySelector(".numbers").textContent);
    this.plot = part.querySelector(".plot");
    this.caption = part.querySelector("figcaption");
    this.group = part.dataset.group;
    this.select = Object.fromEntries(Array.from(part.querySelectorAll("select"), (select) => [select.name, select]));
    const targets = Object.keys(this.numbers);
    offer(this.select.target, targets, targets.find((target) => this.numbers[target].own.length));
    for (const select of Object.values(this.select)) select.addEventListener("change", () => this.show(select.name));
    this.show("target");
    addEventListener("resize", () => { if (this.plot.clientWidth !== this.width) this.show(""); });
  }

  show(changed) {
    const found = this.numbers[this.select.target.value], names = Object.keys(found.systems);
    const order = [...found.own, ...names.filter((name) => !found.own.includes(name)).sort()];
    if (changed === "target") {
      const first = this.select["y-system"].value || order[0];
      const namesake = first.replace(/ \(run\)$/, "");
      offer(this.select["y-system"], order, first);
      offer(this.select["x-system"], order, this.select["x-system"].value || (namesake !== first && names.includes(namesake) ? namesake : order[1] ?? order[0]));
    }
    for (const axis of ["x", "y"]) {
      const metrics = Object.keys(found.systems[this.select[`${axis}-system`].value]);
      offer(this.select[`${axis}-metric`], metrics, this.select[`${axis}-metric`].value || metrics.find((name) => name === "SDR"));
    }
    this.draw(found);
  }

  draw(found) {
    const values = (axis) => found.systems[this.select[`${axis}-system`].value][this.select[`${axis}-metric`].value];
    const xs = values("x"), ys = values("y");
    const points = found.tracks.map((track, number) => ({ track, x: xs[number], y: ys[number] })).filter((point) => point.x !== null && point.y !== null);
    const name = (axis) => `${this.select[`${axis}-system`].value} ${this.select[`${axis}-metric`].value}`;
    const lacking = found.tracks.length - points.length;
    const metrics = this.select["x-metric"].value === this.select["y-metric"].value;
    const above = points.filter((point) => point.y > point.x).length;
    this.caption.textContent = `${this.select.target.value}: a point per track, ${points.length} tracks${lacking ? `, ${lacking} without a number` : ""}. `
      + (metrics && points.length ? `On the dashed line both have the same ${this.select["x-metric"].value}; ${above} tracks lie above it.` : "");
    this.plot.replaceChildren();
    this.width = this.plot.clientWidth;
    if (!points.length) return;
    const width = this.width, height = Math.round(Math.max(300, 0.7 * width));
    const svg = shape(this.plot, "svg", { width: width, height: height, role: "img", "aria-label": `${name("y")} over ${name("x")}, in dB` });
    const x = scaleOf(points.map((point) => point.x), EDGE.left, width - EDGE.right);
    const y = scaleOf(points.map((point) => point.y), height - EDGE.bottom, EDGE.top);
    this.axes(svg, x, y, name, [width, height]);
    if (metrics) {
      const low = Math.max(x.low, y.low), high = Math.min(x.high, y.high);
      if (low < high) {
        const line = { x1: x.at(low), y1: y.at(low), x2: x.at(high), y2: y.at(high), class: "whisker", "stroke-dasharray": "4 4" };
        shape(svg, "line", line);
      }
    }
    for (const point of points) {
      point.at = [x.at(point.x), y.at(point.y)];
      point.node = shape(svg, "circle", { cx: point.at[0].toFixed(1), cy: point.at[1].toFixed(1), r: 5, class: "point" });
      shape(point.node, "title", {}, `${point.track}: ${point.x} / ${point.y} dB`);
    }
    this.name(svg, points);
  }

  axes(svg, x, y, name, [width, height]) {
    for (const tick of ticksOf(x.low, x.high)) {
      shape(svg, "path", { d: `M${x.at(tick)} ${EDGE.top}V${height - EDGE.bottom + 4}`, class: "grid" });
      shape(svg, "text", { x: x.at(tick), y: height - EDGE.bottom + 19, class: "middle" }, tick);
    }
    for (const tick of ticksOf(y.low, y.high)) {
      shape(svg, "path", { d: `M${EDGE.left - 4} ${y.at(tick)}H${width - EDGE.right}`, class: "grid" });
      shape(svg, "text", { x: EDGE.left - 8, y: y.at(tick) + 4, class: "end" }, tick);
    }
    shape(svg, "text", { x: (EDGE.left + width) / 2, y: height - 8, class: "middle" }, `${name("x")}, dB`);
    const turned = `translate(15 ${(height - EDGE.bottom) / 2}) rotate(-90)`;
    shape(svg, "text", { transform: turned, class: "middle" }, `${name("y")}, dB`);
  }

  name(svg, points) {
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    this.plot.append(tip);
    const leave = () => {
      tip.hidden = true;
      for (const point of points) point.node.classList.remove("near");
    };
    svg.addEventListener("pointermove", (event) => {
      leave();
      const box = svg.getBoundingClientRect(), at = [event.clientX - box.left, event.clientY - box.top];
      const distance = (point) => Math.hypot(point.at[0] - at[0], point.at[1] - at[1]);
      const near = points.reduce((one, other) => (distance(other) < distance(one) ? other : one));
      if (distance(near) > 24) return;
      near.node.classList.add("near");
      tip.textContent = `${near.track}: ${near.x} / ${near.y} dB`;
      tip.hidden = false;
      const [left, top] = near.at;
      tip.style.left = `${Math.max(0, Math.min(left + 10, box.width - tip.offsetWidth))}px`;
      tip.style.top = `${top + tip.offsetHeight + 16 > box.height ? top - tip.offsetHeight - 8 : top + 10}px`;
    });
    svg.addEventListener("pointerleave", leave);
  }
}

for (const part of document.querySelectorAll(".scatter")) new Scatter(part);
