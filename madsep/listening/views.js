"use strict";

/* Waveform and spectrogram of the current sources, drawn by wavesurfer.js on the axis of the curves. Dragging marks a region to loop. */

const SPECTROGRAM_HEIGHT = 128, WAVEFORM_HEIGHT = 64; // pixels

class Views {
  constructor(transport, onLoop) {
    this.regions = WaveSurfer.Regions.create();
    this.onLoop = onLoop;
    this.surfer = WaveSurfer.create({
      container: "#waveform",
      height: WAVEFORM_HEIGHT,
      media: transport,
      maxPeak: 1,
      normalize: false,
      ...this.colors(),
      hideScrollbar: true,
      plugins: [
        this.regions,
        WaveSurfer.Spectrogram.create({ container: "#spectrogram", height: SPECTROGRAM_HEIGHT, fftSamples: 1024, labels: true, colorMap: "roseus" }),
      ],
    });
    this.regions.enableDragSelection({ color: "var(--region)" });
    this.regions.on("region-created", (region) => this.chosen(region));
    this.regions.on("region-updated", (region) => this.chosen(region));
    this.recolor = () => this.surfer.setOptions(this.colors());
    this.observer = new MutationObserver(this.recolor); // notices a change of the theme
    this.observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", this.recolor);
  }

  /* Return the colours of the present theme. A canvas cannot use CSS variables. */
  colors() {
    const probe = document.createElement("i");
    document.body.append(probe);
    const color = (name) => {
      probe.style.color = `var(${name})`;
      return getComputedStyle(probe).color;
    };
    const found = { waveColor: color("--wave"), progressColor: color("--link"), cursorColor: color("--ink") };
    probe.remove();
    return found;
  }

  /* Draw the sum of the audible sources, each averaged over its channels. */
  async show(buffers, levels) {
    const heard = Array.from(buffers).filter(([source]) => levels.get(source) > 0);
    const [first] = buffers.values();
    const sum = new Float32Array(first.length);
    for (const [source, buffer] of heard) {
      for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
        const samples = buffer.getChannelData(channel), gain = levels.get(source) / buffer.numberOfChannels;
        for (let i = 0; i < sum.length && i < samples.length; i++) sum[i] += gain * samples[i];
      }
    }
    try {
      await this.surfer.load("", [sum], first.duration);
    } catch (error) {
      if (error.name !== "AbortError") throw error; // another source was chosen meanwhile
    }
  }

  chosen(region) {
    for (const other of this.regions.getRegions()) if (other !== region) other.remove();
    if (!this.isMarking) this.onLoop({ start: region.start, end: region.end });
  }

  /* Show a loop that was not made by dragging. null removes it. */
  mark(loop) {
    this.isMarking = true;
    this.regions.clearRegions();
    if (loop) this.regions.addRegion({ ...loop, color: "var(--region)" });
    this.isMarking = false;
  }

  destroy() {
    this.observer.disconnect();
    matchMedia("(prefers-color-scheme: dark)").removeEventListener("change", this.recolor);
    this.surfer.destroy();
  }
}
