"""Hooks of mkdocs that insert the tables of settings and recipes into pages."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from madsep.core.settings import FrontEnd
from madsep.submission.description import WINDOWS
from madsep.systems.recipe import Recipe, load_recipe, recipe_names
from madsep.workflow.config import describe_keys

ROOT = Path(__file__).resolve().parent.parent


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace each marker by its table."""
    for name, table_of in TABLES.items():
        if (marker := f"<!-- {name} -->") in markdown:
            markdown = markdown.replace(marker, table_of())
    return markdown


def keys_table() -> str:
    """Return the Markdown table of all settings: key, default, meaning."""
    return describe_keys(ROOT / "config.yaml")


def sizes_table() -> str:
    """Return the Markdown table of all recipes: title, front end, frames per sequence, parameters, training."""
    rows = []
    for recipe in (load_recipe(name, {}) for name in recipe_names()):
        segments = recipe.segments
        frames = f"{segments.n_frames}, {segments.n_context}, {segments.overlap}"
        title = recipe.description.title
        rows.append([recipe.name, title, front_end(recipe.front_end), frames, parameters(recipe), training(recipe)])
    return table(["recipe", "what it is", "front end", "frames", "parameters", "training"], rows)


def front_end(settings: FrontEnd) -> str:
    """Return the sampling rate, the window, and the lengths of window, transform and hop in samples."""
    lengths = f"{settings.window_length}, {settings.fft_length}, {settings.hop_length}"
    return f"{settings.sample_rate_hz / 1000:g} kHz, {WINDOWS[settings.window]}, {lengths}"


def parameters(recipe: Recipe) -> str:
    """Return the number of a recipe's trained parameters in millions."""
    import torch

    from madsep.models.checkpoint import build_network

    with torch.device("meta"):
        network = build_network(recipe)
    return f"{sum(tensor.numel() for tensor in network.parameters()) / 1e6:.2f} M"


def training(recipe: Recipe) -> str:
    """Return the optimiser, learning rate, batch size, epochs and validation of a recipe."""
    if recipe.weights_from:
        return f"weights of {recipe.weights_from}"
    settings = recipe.training
    rate = f"{settings.learning_rate:g}" + (f" to {settings.final_learning_rate:g}" if settings.final_learning_rate else "")
    kept = ", validated" if settings.validation else ""
    return f"{settings.optimiser.capitalize()} {rate}, batches of {settings.batch_size}, {settings.n_epochs} epochs{kept}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" if row else "|---" * len(head) + "|" for row in [head, [], *rows])


TABLES: Mapping[str, Callable[[], str]] = {"keys": keys_table, "sizes": sizes_table}
