"""Statistics of the training set, for networks that standardise their inputs."""

import torch
from torch import Tensor

from madsep.training.sequences import Sequences

N_SEQUENCES = 2000  # maximum number, evenly spaced
SMALLEST = 1e-8  # smallest deviation, as a share of the largest, so that empty bins are not amplified


def bin_statistics(sequences: Sequences) -> tuple[Tensor, Tensor]:
    """Return the mean and standard deviation over frames of the mixture's magnitude in each bin, (N,) each."""
    numbers = torch.linspace(0, len(sequences) - 1, min(N_SEQUENCES, len(sequences))).long()
    n_frames, total, squares = 0, torch.zeros(()), torch.zeros(())
    for _, spans in sequences.stream(numbers.split(sequences.recipe.training.batch_size)):
        frames = sequences.features(spans)[0].flatten(0, 1).double().cpu()
        n_frames, total, squares = n_frames + len(frames), total + frames.sum(0), squares + frames.square().sum(0)
    mean = total / n_frames
    deviation = (squares / n_frames - mean.square()).clamp_min(0).sqrt()
    return mean.float(), deviation.clamp_min(SMALLEST * float(deviation.max())).float()
