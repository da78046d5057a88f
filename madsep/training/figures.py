"""The figure of a training's losses."""

from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from madsep.core.errors import InputError
from madsep.core.figures import STYLE, UNDATED
from madsep.core.files import atomic

LOSS_LABELS = {
    "loss": "training: total loss with penalties",
    "kl_denoised": "training: KL after the denoiser, nats",
    "kl_masked": "training: KL after the masker, nats",
    "validation_loss": "validation",
}
NO_LOSSES = ("epoch", "step", "latent", "learning_rate", "validation_sdr")  # columns that are no losses, or are on another scale


def plot_losses(history_csv: Path, path: Path) -> None:
    """Draw training and validation losses over epochs as SVG.

    `history_csv` has the columns epoch, step, loss, its terms and validation_loss, which may be empty. Several rows of one epoch are
    averaged. The same history gives the same bytes. Raises InputError if it cannot be read or holds no epoch.
    """
    try:
        history = pd.read_csv(history_csv)
        losses = ["loss", *(name for name in history if name not in ("loss", "validation_loss", *NO_LOSSES)), "validation_loss"]
        epochs = history.groupby("epoch")[losses].mean()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{history_csv}: is not the history of a training ({error}). Train again.") from None
    if epochs.empty:
        raise InputError(f"{history_csv}: has no epochs. Train for at least one epoch.")
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for column in map(str, losses):
        values = epochs[column].dropna()
        if len(values):
            style = "o-" if column == "validation_loss" else ".-"
            label = LOSS_LABELS.get(column, f"training: {column.replace('_', ' ')}")
            axes.plot(values.index, values, style, label=label, markersize=4, linewidth=1.2)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss per frame")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="0.9")
    axes.legend()
    with mpl.rc_context({"svg.hashsalt": STYLE["svg.hashsalt"]}), atomic(path) as temporary:
        figure.savefig(temporary, format="svg", metadata=UNDATED[".svg"])
