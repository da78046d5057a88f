"""Quality of a network on the tracks that are held out of its training."""

import numpy as np
import torch

from madsep.bsseval import frame_sdr
from madsep.core.precision import products
from madsep.models.checkpoint import Checkpoint
from madsep.models.network import Network
from madsep.separation.network import Separator
from madsep.systems.recipe import System
from madsep.training.sequences import Sequences


def validation_loss(recipe: System, network: Network, held_out: Sequences) -> float:
    """Return the mean of the loss's first term over the held-out sequences."""
    total, batches = 0.0, torch.arange(len(held_out)).split(recipe.training.batch_size)
    with torch.no_grad():
        for numbers, spans in held_out.stream(batches):
            mixture, targets = held_out.features(spans)
            with products(recipe.training.precision, spans.device):
                output = network(mixture)
            total += network.terms(output, targets, recipe.loss)[0].item() * len(numbers)
    return total / len(held_out)


def validation_sdr(recipe: System, network: Network, held_out: Sequences, device: torch.device) -> float | None:
    """Return the voice's SDR in dB on the mono training signals: the median over tracks of the median over 1-second frames.

    It is BSSEval v4's SDR in closed form, with the mixture's phase. Frames in which voice, accompaniment or an estimate of either is
    silent do not count. The result is None if no frame counts.
    """
    separation = recipe.separation.model_copy(update={"griffin_lim_iterations": 0})
    separator = Separator(Checkpoint(recipe.model_copy(update={"separation": separation}), network, {}), device)
    rate_hz, medians = recipe.front_end.sample_rate_hz, []
    for signal in held_out.signals:
        mixture, voice = np.asarray(signal[0]), np.asarray(signal[1])
        estimate = np.concatenate([block[0] for block in separator.estimates(mixture)], axis=1)
        sdr = frame_sdr([voice.T, (mixture - voice).T], [estimate.T, (mixture - estimate).T], rate_hz, rate_hz)[0]
        known = sdr[np.isfinite(sdr)]
        if known.size:
            medians.append(float(np.median(known)))
    return float(np.median(medians)) if medians else None
