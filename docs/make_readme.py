"""Make the figure of SiSEC 2018 and, after a demo, the demo's table and figure for README.md and docs/."""

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib as mpl
import numpy as np
import soundfile as sf
from matplotlib.figure import Figure

from madsep.comparison.boxplots import draw_boxplots
from madsep.comparison.published import published_medians, published_track_medians

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
DEMO_SONGS = ROOT / "results/demo-musdb/test"


def draw_song(song: Path, estimate: Path, path: Path) -> None:
    """Draw the spectrograms (dB, 0 to 8 kHz) of the mixture, the true vocals and the estimated vocals below each other."""
    figure = Figure(figsize=(9, 7), layout="constrained")
    panels = {"mixture": song / "mixture.wav", "true vocals": song / "vocals.wav", "estimated vocals": estimate / "vocals.wav"}
    for axes, (title, wav) in zip(figure.subplots(len(panels), 1, sharex=True), panels.items(), strict=True):
        audio, rate_hz = sf.read(wav)
        window = mpl.mlab.window_hanning(np.ones(2048))
        axes.specgram(audio.mean(1), NFFT=2048, Fs=rate_hz, noverlap=1536, window=window, vmin=-130, vmax=-40, cmap="magma")
        axes.set(title=title, ylim=(0, 8000), ylabel="Hz")
    axes.set_xlabel("s")
    figure.savefig(path, dpi=100, pil_kwargs={"quality": 80})


def draw_campaign(path: Path) -> None:
    """Draw the boxplots of the vocals SDR of the systems of SiSEC 2018 as in a comparison."""
    vocals = published_medians().query("target == 'vocals' and metric == 'SDR'")
    order = list(vocals.sort_values("median", ascending=False)["system"])
    with TemporaryDirectory() as folder:
        figures = draw_boxplots(published_track_medians(), "vocals", "SDR", Path(folder) / "boxplots", order)
        path.write_bytes(next(figure for figure in figures if figure.suffix == ".png").read_bytes())


def main() -> None:
    """Draw the figure of SiSEC 2018. After a demo, also copy its table and draw its first test song."""
    result = ROOT / "results/table.txt"
    if result.exists() and DEMO_SONGS.exists():
        (DOCS / "demo.txt").write_text(result.read_text(encoding="utf-8"), encoding="utf-8")
        song = min(DEMO_SONGS.iterdir())
        draw_song(song, ROOT / "results/MDL1/estimates/test" / song.name, DOCS / "demo.jpg")
    draw_campaign(DOCS / "sisec18.png")


if __name__ == "__main__":
    main()
