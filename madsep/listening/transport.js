"use strict";

/* One Web Audio graph for all sources of a track. All sources start at the same sample and always play together. Their gains decide which
   of them are heard, so switching cannot move the position.

   To wavesurfer.js, a Transport looks like a media element: it has the few properties, methods and events that the library uses. */

const FADE_S = 0.001; // time constant of every change of a gain: 99.3 % after 5 ms
const LEAD_S = 0.01; // between the call and the common start of the sources

class Transport extends EventTarget {
  constructor(context) {
    super();
    this.context = context;
    this.output = new GainNode(context);
    this.analyser = new AnalyserNode(context, { fftSize: 2048 });
    this.output.connect(this.analyser).connect(context.destination);
    this.buffers = new Map(); // by source
    this.levels = new Map(); // gain of each source
    this.loop = null; // {start, end} in seconds
    this.offset = 0; // seconds, the position while nothing plays
    this.run = null; // the present playback
    Object.assign(this, { readyState: 4, src: "", currentSrc: "", volume: 1, muted: false, playbackRate: 1, seeking: false, ended: false });
  }

  load(buffers) {
    this.pause();
    this.buffers = buffers;
    this.loop = null;
    this.offset = 0;
    this.tell("durationchange", "timeupdate");
  }

  get paused() {
    return this.run === null;
  }

  get duration() {
    return Math.min(...Array.from(this.buffers.values(), (buffer) => buffer.duration), Infinity) || 0;
  }

  get currentTime() {
    if (!this.run) return this.offset;
    const { begin, offset, loop, end } = this.run;
    const time = offset + Math.max(0, this.context.currentTime - begin);
    if (loop && time >= loop.end) return loop.start + ((time - loop.start) % (loop.end - loop.start));
    return Math.min(time, end);
  }

  set currentTime(time) {
    this.seek(time);
  }

  seek(time) {
    this.offset = Math.min(Math.max(time, 0), this.duration);
    if (this.run) this.restart();
    this.tell("seeking", "timeupdate", "seeked");
  }

  async play() {
    await this.context.resume();
    if (this.run || !this.buffers.size) return;
    if (this.offset >= this.duration) this.offset = 0;
    this.restart();
    this.tell("play");
  }

  /* Play from `start` to `end` once, in seconds. */
  async playSpan(start, end) {
    await this.context.resume();
    const wasPaused = this.paused;
    this.offset = start;
    this.restart(end);
    this.tell(...(wasPaused ? ["play"] : []), "seeking", "timeupdate", "seeked");
  }

  pause() {
    if (!this.run) return;
    this.offset = this.currentTime;
    this.stop();
    this.tell("pause", "timeupdate");
  }

  setLoop(loop) {
    this.loop = loop;
    if (!this.run) return;
    this.offset = this.currentTime;
    this.restart();
  }

  setLevels(levels) {
    this.levels = levels;
    if (!this.run) return;
    const now = this.context.currentTime;
    for (const [source, gain] of this.run.gains) gain.gain.setTargetAtTime(levels.get(source) ?? 0, now, FADE_S);
  }

  restart(end = null) {
    this.stop();
    const loop = end === null ? this.loop : null;
    if (loop && this.offset >= loop.end) this.offset = loop.start;
    const now = this.context.currentTime;
    const bus = new GainNode(this.context, { gain: 0 });
    bus.connect(this.output);
    bus.gain.setTargetAtTime(1, now + LEAD_S, FADE_S);
    const run = { begin: now + LEAD_S, offset: this.offset, loop, end: end ?? this.duration, bus, nodes: [], gains: new Map() };
    for (const [source, buffer] of this.buffers) {
      const gain = new GainNode(this.context, { gain: this.levels.get(source) ?? 0 });
      const node = new AudioBufferSourceNode(this.context, { buffer });
      if (loop) Object.assign(node, { loop: true, loopStart: loop.start, loopEnd: loop.end });
      node.connect(gain).connect(bus);
      if (loop) node.start(run.begin, run.offset);
      else node.start(run.begin, run.offset, Math.max(0, run.end - run.offset));
      run.nodes.push(node);
      run.gains.set(source, gain);
    }
    run.nodes[0].onended = () => this.finish(run);
    this.run = run;
  }

  stop() {
    if (!this.run) return;
    const { bus, nodes } = this.run;
    const now = this.context.currentTime;
    bus.gain.setTargetAtTime(0, now, FADE_S);
    for (const node of nodes) node.stop(now + 10 * FADE_S);
    this.run = null;
  }

  finish(run) {
    run.bus.disconnect();
    if (this.run !== run) return; // stopped meanwhile; another run may have begun
    this.offset = run.end;
    this.run = null;
    this.tell("pause", "timeupdate");
  }

  /* Present level of the output, in dB of full scale. */
  get level() {
    const samples = new Float32Array(this.analyser.fftSize);
    this.analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    return 10 * Math.log10(power + 1e-12);
  }

  tell(...events) {
    for (const event of events) this.dispatchEvent(new Event(event));
  }

  canPlayType() {
    return "";
  }

  removeAttribute() {}
}
