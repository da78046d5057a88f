"use strict";

/* The player, which shows and plays the chosen track. */

const DATA = JSON.parse(document.getElementById("data").textContent);
const LOUDNESS = -23; // LUFS, the target level of EBU R 128
const received = new Map(); // bytes of excerpts from scripts, by file
const find = (id) => document.getElementById(id);

globalThis.madsepExcerpt = (name, text) => received.set(name, Uint8Array.from(text, (letter) => letter.charCodeAt(0) & 0xff).buffer);

/* Return the bytes of an excerpt: fetched from a server, or from its script if the page was opened from a folder. */
async function bytesOf(file) {
  if (location.protocol.startsWith("http")) {
    const response = await fetch(file);
    if (!response.ok) throw new Error(`${file}: ${response.status}`);
    return response.arrayBuffer();
  }
  const script = document.createElement("script");
  script.charset = "x-user-defined"; // one character per byte
  script.src = `${file}.js`;
  await new Promise((resolve, reject) => {
    script.onload = resolve;
    script.onerror = () => reject(new Error(`${file}.js cannot be read`));
    document.head.append(script);
  });
  script.remove();
  const name = file.slice(file.lastIndexOf("/") + 1), bytes = received.get(name);
  received.delete(name);
  return bytes;
}

class Player {
  constructor() {
    this.transport = null;
    this.views = null;
    this.muted = new Set();
    this.soloed = new Set();
    this.ranks = new Map(); // next rank to play, by ranking
    this.fillTracks();
    this.connect();
    const wanted = DATA.tracks.find((track) => `#${track.slug}` === location.hash);
    this.open(wanted ?? DATA.tracks[0]);
    requestAnimationFrame(() => this.tick());
  }

  // tracks

  fillTracks() {
    for (const track of DATA.tracks) {
      const button = document.createElement("button");
      button.append(Object.assign(document.createElement("strong"), { textContent: track.name }));
      for (const reason of track.reasons) button.append(Object.assign(document.createElement("small"), { textContent: reason }));
      button.onclick = () => this.open(track);
      const item = document.createElement("li");
      item.append(button);
      find("tracks").append(item);
    }
  }

  async open(track) {
    this.transport?.pause();
    this.track = track;
    this.isReady = false;
    history.replaceState(null, "", `#${track.slug}`);
    Array.from(find("tracks").children, (item, index) => item.firstChild.setAttribute("aria-current", DATA.tracks[index] === track));
    find("track-name").textContent = track.name;
    const { part } = track;
    find("part").textContent = part
      ? `Heard: ${clock(part.start)} to ${clock(part.start + part.length)} of the track (${track.megabytes} MB); ${part.text}.`
      : "This page has no audio of this track, because only its scores are known. It shows only the curves.";
    find("audio").hidden = !part;
    find("values").textContent = "";
    this.fillTargets();
    this.fillSources();
    this.draw();
    if (part) await this.load(track);
  }

  async load(track) {
    find("message").textContent = "Loading the audio …";
    try {
      const rate = track.sources[0].rate;
      if (this.transport?.context.sampleRate !== rate) this.setUp(rate);
      const decode = async (file) => this.transport.context.decodeAudioData(await bytesOf(file + DATA.suffix));
      const buffers = await Promise.all(track.sources.map((source) => decode(source.file)));
      if (this.track !== track) return;
      this.transport.load(new Map(buffers.map((buffer, index) => [index, buffer])));
      this.views.mark(null);
      find("loop").checked = false;
      find("message").textContent = "";
      this.isReady = true;
      this.apply();
    } catch (error) {
      if (this.track !== track) return;
      find("message").textContent = `The audio cannot be loaded (${error.message}). It lies in the folder audio next to this page; copied alone, as in a report, the page shows only the curves.`;
    }
  }

  setUp(rate) {
    this.views?.destroy();
    this.transport?.context.close();
    this.transport = new Transport(new AudioContext({ sampleRate: rate }));
    for (const event of ["play", "pause"]) this.transport.addEventListener(event, () => this.showPlaying());
    this.views = new Views(this.transport, (loop) => this.setLoop(loop));
  }

  // sources

  fillSources() {
    const groups = new Map();
    this.track.sources.forEach((source, index) => {
      if (!groups.has(source.signal)) groups.set(source.signal, this.group(source.signal));
      groups.get(source.signal).append(this.sourceControls(source, index));
    });
    find("sources").replaceChildren(...groups.values());
    this.select(0);
  }

  group(signal) {
    const fieldset = document.createElement("fieldset");
    fieldset.append(Object.assign(document.createElement("legend"), { textContent: signal }));
    return fieldset;
  }

  sourceControls(source, index) {
    const label = source.system ?? (source.signal === "mixture" ? "mixture" : "reference"), full = `${source.signal}, ${label}`;
    const controls = Object.assign(document.createElement("div"), { className: "source" });
    const add = (className, textContent, name, onclick) => {
      const button = Object.assign(document.createElement("button"), { className, textContent, onclick });
      button.setAttribute("aria-label", name);
      button.setAttribute("aria-pressed", "false");
      controls.append(button);
      return button;
    };
    const hear = add("hear", label, `hear ${full}`, () => this.select(index));
    if (index < 10) hear.append(Object.assign(document.createElement("kbd"), { textContent: (index + 1) % 10 }));
    if (source.system) hear.classList.add(`system-${DATA.systems.indexOf(source.system) % N_STYLES}`);
    add("mute", "M", `mute ${full}`, () => this.toggle(this.muted, index));
    add("solo", "S", `solo ${full}`, () => this.toggle(this.soloed, index));
    return controls;
  }

  /* Play only one source. */
  select(index) {
    const source = this.track.sources[index];
    if (!source) return;
    this.selected = index;
    this.soloed.clear();
    this.muted = new Set(this.track.sources.keys());
    this.muted.delete(index);
    if (this.track.curves[source.signal] && source.signal !== find("target").value) {
      find("target").value = source.signal;
      this.draw();
    }
    this.apply();
  }

  toggle(set, index) {
    if (!set.delete(index)) set.add(index);
    this.apply();
  }

  isHeard(index) {
    return this.soloed.size ? this.soloed.has(index) : !this.muted.has(index);
  }

  gainOf(source) {
    if (!find("match").checked || source.loudness === null) return 1;
    return Math.min(10 ** ((LOUDNESS - source.loudness) / 20), 1 / source.peak);
  }

  apply() {
    find("sources").querySelectorAll(".source").forEach((controls, index) => {
      const [hear, mute, solo] = controls.children;
      hear.setAttribute("aria-pressed", this.isHeard(index));
      mute.setAttribute("aria-pressed", this.muted.has(index));
      solo.setAttribute("aria-pressed", this.soloed.has(index));
    });
    if (!this.isReady) return;
    const levels = new Map(this.track.sources.map((source, index) => [index, this.isHeard(index) ? this.gainOf(source) : 0]));
    this.transport.setLevels(levels);
    this.views.show(this.transport.buffers, levels);
  }

  // curves

  get curve() {
    return this.track.curves[find("target").value];
  }

  get span() {
    const { times, lengths } = this.curve;
    return { start: 0, length: times.at(-1) + lengths.at(-1) };
  }

  fillTargets() {
    find("target").replaceChildren(...Object.keys(this.track.curves).map((target) => new Option(target)));
    const { scores } = this.curve;
    find("legend").replaceChildren(...Object.keys(scores).map((name) => {
      const entry = Object.assign(document.createElement("li"), { className: `system-${DATA.systems.indexOf(name) % N_STYLES}` });
      entry.textContent = name;
      return entry;
    }));
  }

  draw() {
    const { part } = this.track, span = this.span, metric = find("metric").value;
    const shared = { metric, systems: DATA.systems };
    drawCurves(find("overview"), this.curve, { ...shared, from: 0, to: span.length, part });
    const name = `${metric} of the ${find("target").value} in each frame`;
    find("overview").setAttribute("aria-label", `${name}, whole track. Click a frame to play it.`);
    if (!part) return;
    drawCurves(find("detail"), this.curve, { ...shared, from: part.start, to: part.start + part.length });
    find("detail").setAttribute("aria-label", `${name}, the excerpt. Click a frame to play it.`);
  }

  /* Show the scores of a frame and play it if the excerpt contains it. */
  playFrame(frame) {
    if (frame < 0) return;
    const { times, lengths, scores } = this.curve, metric = find("metric").value, { part } = this.track;
    const values = Object.entries(scores).map(([name, of]) => `${name} ${of[metric]?.[frame] == null ? "no score (silent)" : `${of[metric][frame].toFixed(2)} dB`}`);
    const start = times[frame] - (part?.start ?? 0), isHeard = part && start >= 0 && start + lengths[frame] <= part.length + 1e-6;
    const place = `${clock(times[frame], times[frame] % 1 ? 2 : 0)} to ${clock(times[frame] + lengths[frame], lengths[frame] % 1 ? 2 : 0)}`;
    find("values").textContent = `${place}, ${metric} of the ${find("target").value}: ${values.join(", ")}.${part && !isHeard ? " It lies outside the excerpt." : ""}`;
    if (isHeard && this.isReady) this.transport.playSpan(start, Math.min(start + lengths[frame], this.transport.duration));
  }

  /* Play the worst or best frame of the current system, or else of the last one. Further calls play the next frames in this order. */
  playRanked(direction) {
    const { times, lengths, scores } = this.curve, metric = find("metric").value, part = this.track.part ?? this.span;
    const heard = this.track.sources[this.selected]?.system, name = scores[heard] ? heard : Object.keys(scores).at(-1);
    const values = scores[name][metric] ?? [];
    const inside = (frame) => times[frame] >= part.start && times[frame] + lengths[frame] <= part.start + part.length + 1e-6;
    const frames = [...values.keys()].filter((frame) => values[frame] !== null && inside(frame));
    frames.sort((a, b) => direction * (values[a] - values[b]) || a - b);
    if (!frames.length) return;
    const key = [this.track.slug, name, metric, find("target").value, direction].join("\n"), rank = this.ranks.get(key) ?? 0;
    this.ranks.set(key, rank + 1);
    this.playFrame(frames[rank % frames.length]);
  }

  // transport

  playPause() {
    if (!this.isReady) return;
    if (this.transport.paused) this.transport.play();
    else this.transport.pause();
  }

  skip(seconds) {
    if (this.isReady) this.transport.seek(this.transport.currentTime + seconds);
  }

  setLoop(loop) {
    if (!this.isReady) return;
    const valid = loop && loop.end - loop.start >= 0.05 ? loop : null;
    find("loop").checked = Boolean(valid);
    this.transport.setLoop(valid);
  }

  /* Set the start or end of the loop to the present position, and reset the other side if it would lie on the wrong side. */
  bound(side) {
    if (!this.isReady) return;
    const whole = { start: 0, end: this.transport.duration }, loop = { ...whole, ...this.transport.loop, [side]: this.transport.currentTime };
    const other = side === "start" ? "end" : "start";
    if (loop.end <= loop.start) loop[other] = whole[other];
    this.views.mark(loop);
    this.setLoop(loop);
  }

  showPlaying() {
    find("play").textContent = this.transport.paused ? "Play" : "Pause";
  }

  tick() {
    requestAnimationFrame(() => this.tick());
    if (!this.isReady) return;
    const { part } = this.track, time = this.transport.currentTime, level = Math.max(-80, this.transport.level);
    find("time").textContent = `${clock(part.start + time, 2)}`;
    find("level").setAttribute("aria-valuenow", level.toFixed(1));
    find("level").firstElementChild.style.width = `${(level + 80) / 0.8}%`;
    moveCursor(find("detail"), time / part.length);
    moveCursor(find("overview"), (part.start + time) / this.span.length);
  }

  connect() {
    find("play").onclick = () => this.playPause();
    find("loop").onchange = () => {
      if (!this.isReady) return;
      const loop = find("loop").checked ? { start: 0, end: this.transport.duration } : null;
      this.views.mark(loop);
      this.setLoop(loop);
    };
    find("loop-start").onclick = () => this.bound("start");
    find("loop-end").onclick = () => this.bound("end");
    find("match").onchange = () => this.apply();
    find("worst").onclick = () => this.playRanked(1);
    find("best").onclick = () => this.playRanked(-1);
    find("target").onchange = find("metric").onchange = () => this.draw();
    const clicked = (event, from, length) => {
      const box = event.currentTarget.getBoundingClientRect();
      this.playFrame(frameAt(this.curve, from + ((event.clientX - box.left) / box.width) * length));
    };
    find("overview").onclick = (event) => clicked(event, 0, this.span.length);
    find("detail").onclick = (event) => clicked(event, this.track.part.start, this.track.part.length);
    addEventListener("resize", () => this.draw());
    addEventListener("click", (event) => event.detail && event.target.closest("button")?.blur()); // so that space plays after a click
    addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const isTyped = event.target.matches("select") || (event.key === " " && event.target.matches("input, button, summary"));
    if (!find("keys").checked || event.ctrlKey || event.altKey || event.metaKey || isTyped) return;
    const step = event.shiftKey ? 5 : 1, n = this.track.sources.length;
    const actions = {
      " ": () => this.playPause(),
      ArrowLeft: () => this.skip(-step),
      ArrowRight: () => this.skip(step),
      ArrowUp: () => this.select((this.selected + n - 1) % n),
      ArrowDown: () => this.select((this.selected + 1) % n),
      m: () => n && this.toggle(this.muted, this.selected),
      s: () => n && this.toggle(this.soloed, this.selected),
      l: () => find("loop").click(),
      "[": () => find("loop-start").click(),
      "]": () => find("loop-end").click(),
      g: () => find("match").click(),
      w: () => this.playRanked(1),
      b: () => this.playRanked(-1),
    };
    const digit = /^\d$/.test(event.key) ? () => this.select((Number(event.key) + 9) % 10) : null;
    const action = digit ?? actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }
}

globalThis.player = new Player();
