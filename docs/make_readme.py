"""Write the generated parts of README and docs/scoring.md: config keys, systems, what was measured, the demo's table and picture."""

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import soundfile as sf
from matplotlib.figure import Figure

from madsep.config import describe_keys
from madsep.systems import load_recipe, recipe_names

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", DOCS / "scoring.md", DOCS / "speed.md")
MEASURED = {"needs": "needs.md", "scoring": "scoring_table.md", "training": "training_table.md", "separation": "separation_table.md"}


def systems_table() -> str:
    """Markdown table of all recipes."""
    recipes = [load_recipe(name, {}) for name in recipe_names()]
    rows = [f"| {recipe.name} | {recipe.short_name} | {recipe.description.title} |" for recipe in recipes]
    return "\n".join(["| recipe | submission | what it is |", "|---|---|---|", *rows])


def parts() -> dict[str, str]:
    """The text of each generated part, by the name of its markers."""
    measured = {name: (DOCS / file).read_text(encoding="utf-8").strip() for name, file in MEASURED.items()}
    return measured | {
        "keys": describe_keys(ROOT / "workflow/schemas/config.schema.yaml", ROOT / "config.yaml"),
        "systems": systems_table(),
        "demo": "```\n" + (DOCS / "demo.txt").read_text(encoding="utf-8").strip() + "\n```",
    }


def filled(text: str) -> str:
    """A page's text with every generated part put between its markers."""
    for name, part in parts().items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = pattern.sub(lambda match, part=part: f"{match[1]}{part}\n{match[2]}", text)
    return text


def draw(song: Path, estimate: Path, path: Path) -> None:
    """Draw the spectrograms (dB, 0-8 kHz) of mixture, true vocals and estimated vocals below each other."""
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
    """Copy the demo's table and draw its first test song where a demo has run; then fill the pages."""
    table = ROOT / "results/table.txt"
    if table.exists():
        (DOCS / "demo.txt").write_text(table.read_text(encoding="utf-8"), encoding="utf-8")
        song = min((ROOT / "results/demo-musdb/test").iterdir())
        draw(song, ROOT / "results/MDL1/estimates/test" / song.name, DOCS / "demo.png")
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
