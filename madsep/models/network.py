"""The interface of all networks, whatever their family."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from madsep.core.settings import Separation, Settings
from madsep.models.stack import Stack
from madsep.systems.families.family import Family
from madsep.systems.sizes import Sizes


class Network(nn.Module, ABC):
    """A network of one family. It maps mixture magnitudes (B, T, N) to a named tuple of its outputs.

    There are B sequences, T frames, N bins and S sources. The first and last L frames are context and are not estimated. `objective` and
    `terms` return named tuples of scalars. Each family defines the fields.
    """

    family: ClassVar[Family[Any]]

    def __init__(self, settings: Settings, sizes: Sizes) -> None:
        """Raise InputError if the settings and the sizes do not fit each other; `Family.check` decides."""
        super().__init__()
        self.family.check(settings, sizes)
        self.n_context = sizes.n_context

    @property
    def sequences_independent(self) -> bool:
        """Whether the result of each sequence is independent of the other sequences in its batch."""
        return True

    @property
    def clipped_alone(self) -> tuple[nn.Module, ...]:
        """The parts whose gradients are clipped separately, each by its own norm. By default the network is one part."""
        return (self,)

    @abstractmethod
    def initialise(self, generator: torch.Generator) -> None:
        """Draw all weights from `generator` at the start of training."""

    @staticmethod
    @abstractmethod
    def terms(output: Any, targets: Tensor, settings: Any) -> Any:
        """Return a named tuple of means over the sequences, from the network's output and target magnitudes (B, S, T - 2L, N).

        `settings` are those of the loss. Validation uses the first field. Raises InputError if the shapes do not fit.
        """

    @abstractmethod
    def objective(self, terms: Any, settings: Any) -> Any:
        """Return the loss as a named tuple that begins with `total` and continues with the family's `recorded` terms."""

    @abstractmethod
    def estimate(self, mixture: Tensor, separation: Separation) -> Tensor:
        """Return magnitudes (B, E, T - 2L, N) of the voice alone (E = 1) or of all sources (E = S) from the mixture's (B, T, N)."""

    @staticmethod
    def latent(output: Any) -> Tensor | None:
        """Return the part of the output to which a latent threshold applies, or None if the family has none."""
        return None

    def stack(self, mixture: Tensor) -> Stack:
        """Return the dense layers that see single frames, with their inputs and outputs for mixture magnitudes (B, T, N).

        Raises TypeError unless the family's `has_stack` is true.
        """
        raise TypeError(f"family {self.family.name} has no dense layers on single frames")

    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Store each bin's mean and standard deviation (N,) over the frames of the training mixtures.

        Raises TypeError unless the family's `standardises` is true, and InputError if no bin varies.
        """
        raise TypeError(f"family {self.family.name} does not standardise its inputs")


def without_context(frames: Tensor, n_context: int) -> Tensor:
    """Return the frames that are estimated: (B, T, ...) without `n_context` frames at either end."""
    return frames[:, n_context : frames.shape[1] - n_context]
