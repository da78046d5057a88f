"""Write the generated parts of README.md and docs/: settings, systems, measurements, and the table and picture of the demo."""

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import soundfile as sf
import torch
from matplotlib.figure import Figure

from madsep.core.settings import FrontEnd
from madsep.data.datasets import MIR1K
from madsep.models.checkpoint import build_network
from madsep.submission.description import WINDOWS
from madsep.systems.recipe import Recipe, load_recipe, recipe_names
from madsep.workflow.config import describe_keys

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", *(DOCS / f"{name}.md" for name in ("config", "mir1k", "scoring", "speed", "systems")))
MEASURED = {"needs": "needs.md", "scoring": "scoring_table.md", "training": "training_table.md", "separation": "separation_table.md"}


def table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" if row else "|---" * len(head) + "|" for row in [head, [], *rows])


def systems_table(for_mir1k: bool) -> str:
    """Markdown table of the recipes for MIR-1K, or of those for MUSDB18: name, submission, title."""
    recipes = [load_recipe(name, {}) for name in recipe_names()]
    rows = [[recipe.name, recipe.short_name, recipe.description.title] for recipe in recipes if is_for_mir1k(recipe) == for_mir1k]
    return table(["recipe", "submission", "what it is"], rows)


def is_for_mir1k(recipe: Recipe) -> bool:
    """Whether a recipe works at the sampling rate of MIR-1K and needs no stems that MIR-1K lacks."""
    return recipe.front_end.sample_rate_hz == MIR1K.sample_rate_hz and {*recipe.sources} <= {*MIR1K.stems}


def sizes_table() -> str:
    """Markdown table of all recipes: sources, front end, frames per sequence, parameters, training."""
    rows = []
    for recipe in (load_recipe(name, {}) for name in recipe_names()):
        segments = recipe.segments
        frames = f"{segments.n_frames}, {segments.n_context}, {segments.overlap}"
        rows.append([recipe.name, recipe.family, ", ".join(recipe.sources), front_end(recipe.front_end), frames, parameters(recipe)])
        rows[-1].append(training(recipe))
    return table(["recipe", "family", "trained with", "front end", "frames", "parameters", "training"], rows)


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


def parts() -> dict[str, str]:
    """Text of each generated part, by the name of its markers."""
    measured = {name: (DOCS / file).read_text(encoding="utf-8").strip() for name, file in MEASURED.items()}
    return measured | {
        "keys": describe_keys(ROOT / "config.yaml"),
        "systems": systems_table(for_mir1k=False),
        "mir1k_systems": systems_table(for_mir1k=True),
        "sizes": sizes_table(),
        "demo": "```\n" + (DOCS / "demo.txt").read_text(encoding="utf-8").strip() + "\n```",
    }


def filled(text: str) -> str:
    """Return the text of a page with each generated part between its markers."""
    for name, part in parts().items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = pattern.sub(lambda match, part=part: f"{match[1]}{part}\n{match[2]}", text)
    return text


def draw(song: Path, estimate: Path, path: Path) -> None:
    """Draw the spectrograms (dB, 0 to 8 kHz) of the mixture, the true vocals and the estimated vocals, one below the other."""
    figure = Figure(figsize=(9, 7), layout="constrained")
    panels = {"mixture": song / "mixture.wav", "true vocals": song / "vocals.wav", "estimated vocals": estimate / "vocals.wav"}
    for axes, (title, wav) in zip(figure.subplots(len(panels), 1, sharex=True), panels.items(), strict=True):
        audio, rate_hz = sf.read(wav)
        window = mpl.mlab.window_hanning(np.ones(2048))
        axes.specgram(audio.mean(1), NFFT=2048, Fs=rate_hz, noverlap=1536, window=window, vmin=-130, vmax=-40, cmap="magma")
        axes.set(title=title, ylim=(0, 8000), ylabel="Hz")
    axes.set_xlabel("s")
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    """Fill the pages. If a demo has run, copy its table and draw its first test song before that."""
    table = ROOT / "results/table.txt"
    if table.exists():
        (DOCS / "demo.txt").write_text(table.read_text(encoding="utf-8"), encoding="utf-8")
        song = min((ROOT / "results/demo-musdb/test").iterdir())
        draw(song, ROOT / "results/MDL1/estimates/test" / song.name, DOCS / "demo.png")
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
