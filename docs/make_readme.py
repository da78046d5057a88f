"""Write the generated parts of docs/: the table of recipes, the picture of SiSEC 2018, and the demo's table and picture."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib as mpl
import numpy as np
import soundfile as sf
import torch
from matplotlib.figure import Figure

from madsep.comparison.boxplots import draw_boxplots
from madsep.comparison.published import published_medians, published_track_medians
from madsep.core.settings import FrontEnd
from madsep.data.datasets import MIR1K
from madsep.models.checkpoint import build_network
from madsep.submission.description import WINDOWS
from madsep.systems.recipe import Recipe, load_recipe, recipe_names

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SIZES = DOCS / "systems.md"
DEMO_SONGS = ROOT / "results/demo-musdb/test"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" if row else "|---" * len(head) + "|" for row in [head, [], *rows])


def is_for_mir1k(recipe: Recipe) -> bool:
    """Whether a recipe works at the sampling rate of MIR-1K and needs no stems that MIR-1K lacks."""
    return recipe.front_end.sample_rate_hz == MIR1K.sample_rate_hz and {*recipe.sources} <= {*MIR1K.stems}


def sizes_table() -> str:
    """Markdown table of all recipes: front end, frames per sequence, parameters, training. Equal recipes share a row."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for recipe in (load_recipe(name, {}) for name in recipe_names()):
        segments = recipe.segments
        frames = f"{segments.n_frames}, {segments.n_context}, {segments.overlap}"
        cells = (front_end(recipe.front_end), frames, parameters(recipe), training(recipe))
        rows.setdefault(cells, []).append(recipe.name)
    head = ["recipe", "front end", "frames", "parameters", "training"]
    return table(head, [[", ".join(names), *cells] for cells, names in rows.items()])


def front_end(settings: FrontEnd) -> str:
    """Sampling rate, window, and the lengths of window, transform and hop in samples."""
    lengths = f"{settings.window_length}, {settings.fft_length}, {settings.hop_length}"
    return f"{settings.sample_rate_hz / 1000:g} kHz, {WINDOWS[settings.window]}, {lengths}"


def parameters(recipe: Recipe) -> str:
    """Number of trained parameters of a recipe, in millions."""
    with torch.device("meta"):
        network = build_network(recipe)
    return f"{sum(tensor.numel() for tensor in network.parameters()) / 1e6:.2f} M"


def training(recipe: Recipe) -> str:
    """Optimiser, learning rate, batch, epochs and validation of a recipe."""
    if recipe.weights_from:
        return f"weights of {recipe.weights_from}"
    settings = recipe.training
    rate = f"{settings.learning_rate:g}" + (f" to {settings.final_learning_rate:g}" if settings.final_learning_rate else "")
    kept = ", validated" if settings.validation else ""
    return f"{settings.optimiser.capitalize()} {rate}, batches of {settings.batch_size}, {settings.n_epochs} epochs{kept}"


def filled(text: str) -> str:
    """Return the text of a page with the table of recipes between its markers."""
    return re.sub(r"(<!-- sizes -->\n).*?(<!-- /sizes -->)", lambda match: f"{match[1]}{sizes_table()}\n{match[2]}", text, flags=re.DOTALL)


def draw_song(song: Path, estimate: Path, path: Path) -> None:
    """Draw the spectrograms (dB, 0 to 8 kHz) of the mixture, the true vocals and the estimated vocals, one below the other."""
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
    """Draw the boxplots of the vocals SDR of the systems of SiSEC 2018, as a comparison does."""
    vocals = published_medians().query("target == 'vocals' and metric == 'SDR'")
    order = list(vocals.sort_values("median", ascending=False)["system"])
    with TemporaryDirectory() as folder:
        figures = draw_boxplots(published_track_medians(), "vocals", "SDR", Path(folder) / "boxplots", order)
        path.write_bytes(next(figure for figure in figures if figure.suffix == ".png").read_bytes())


def main() -> None:
    """Write the table and draw SiSEC 2018. If a demo has run, copy its table and draw its first test song before that."""
    result = ROOT / "results/table.txt"
    if result.exists() and DEMO_SONGS.exists():
        (DOCS / "demo.txt").write_text(result.read_text(encoding="utf-8"), encoding="utf-8")
        song = min(DEMO_SONGS.iterdir())
        draw_song(song, ROOT / "results/MDL1/estimates/test" / song.name, DOCS / "demo.jpg")
    draw_campaign(DOCS / "sisec18.png")
    SIZES.write_text(filled(SIZES.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
