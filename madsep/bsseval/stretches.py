"""One stretch of a track in memory: references, differences and their summary."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from madsep.bsseval.signals import Signal
from madsep.core.errors import InputError

PEEK = 256  # samples that suffice to show that most frames are not silent


@dataclass(frozen=True)
class Estimate:
    """An estimate of the sum of some references, which `parts` numbers. It is padded with zeros or cut to their length."""

    name: str
    signal: Signal
    parts: tuple[int, ...]


@dataclass(frozen=True)
class Sources:
    """The references of a track, all of one shape, and the estimates that are scored against them."""

    names: tuple[str, ...]
    references: tuple[Signal, ...]
    estimates: tuple[Estimate, ...]

    @property
    def n_channels(self) -> int:
        """Number of channels of each signal."""
        return self.references[0].n_channels

    @property
    def n_samples(self) -> int:
        """Number of samples of each reference."""
        return self.references[0].n_samples

    def check(self) -> None:
        """Raise InputError unless all references have the same shape and all estimates their number of channels."""
        if not self.references or self.n_samples == 0 or self.n_channels == 0:
            raise InputError("No reference, or references without samples: there is nothing to score.")
        for name, signal in zip(self.names, self.references, strict=True):
            if (signal.n_channels, signal.n_samples) != (self.n_channels, self.n_samples):
                found = f"{signal.n_channels} channels of {signal.n_samples} samples"
                raise InputError(f"Reference {name}: has {found}; expected {self.n_channels} of {self.n_samples}, as in {self.names[0]}.")
        for estimate in self.estimates:
            if estimate.signal.n_channels != self.n_channels:
                found = f"{estimate.signal.n_channels} channels"
                raise InputError(f"Estimate of {estimate.name}: has {found}; expected {self.n_channels}, as in its reference.")

    def channels(self, number: int) -> slice:
        """Return the columns of a reference among all reference channels, or of an estimate among all differences."""
        return slice(number * self.n_channels, (number + 1) * self.n_channels)


@dataclass(frozen=True)
class Summary:
    """Energies in a stretch or frame, and which signals are audible in it (the sum of channels is not zero everywhere)."""

    channel_energy: np.ndarray  # (reference channels,)
    source_energy: np.ndarray  # (estimates,), of the sum of an estimate's parts
    difference_energy: np.ndarray  # (estimates,)
    source_heard: np.ndarray  # (estimates,), of the sum of an estimate's parts
    estimate_heard: np.ndarray  # (estimates,)

    def __add__(self, other: "Summary") -> "Summary":
        return Summary(
            self.channel_energy + other.channel_energy,
            self.source_energy + other.source_energy,
            self.difference_energy + other.difference_energy,
            self.source_heard | other.source_heard,
            self.estimate_heard | other.estimate_heard,
        )


class Loader:
    """A buffer of complex pairs (n_pairs, n_columns): all reference channels in pairs, then all channels of estimate - reference.

    Differences keep precision if an estimate is good. An odd number of channels is completed with a channel of zeros.
    """

    def __init__(self, sources: Sources, n_columns: int) -> None:
        self.sources = sources
        self.n_reference_pairs = -(-len(sources.references) * sources.n_channels // 2)
        n_pairs = self.n_reference_pairs - (-len(sources.estimates) * sources.n_channels // 2)
        self.pairs = np.zeros((n_pairs, n_columns), complex)
        self._lanes = self.pairs.view(float).reshape(n_pairs, n_columns, 2)
        self._own = (0, np.zeros(2 * n_pairs))  # length and energies of the last summary

    def reference(self, number: int, n: int) -> list[np.ndarray]:
        """Return the first `n` samples of each channel of a reference as views of the buffer."""
        return self._channels(number * self.sources.n_channels, n)

    def difference(self, number: int, n: int) -> list[np.ndarray]:
        """Return the first `n` samples of each channel of estimate - reference as views of the buffer."""
        return self._channels(2 * self.n_reference_pairs + number * self.sources.n_channels, n)

    def _channels(self, first: int, n: int) -> list[np.ndarray]:
        return [self._lanes[channel // 2, :n, channel % 2] for channel in range(first, first + self.sources.n_channels)]

    def load(self, start: int, stop: int, n_own: int) -> Summary:
        """Read samples `start` to `stop` into the first columns, fill the rest with zeros, and summarise the first `n_own` samples.

        Raises InputError if a sample is not finite.
        """
        n, heard = stop - start, np.zeros(len(self.sources.estimates), bool)
        for number, signal in enumerate(self.sources.references):
            self._fill(self.reference(number, n), signal.read(start, n))
        for number, estimate in enumerate(self.sources.estimates):
            n_read = min(n, max(0, estimate.signal.n_samples - start))
            channels = self.difference(number, n)
            if n_read:
                self._fill([channel[:n_read] for channel in channels], estimate.signal.read(start, n_read))
            for channel in channels:
                channel[n_read:] = 0.0
            heard[number] = _is_heard([channel[:n_own] for channel in channels])
            for part in estimate.parts:
                self._subtract(channels, self.reference(part, n))
        self.pairs[:, n:] = 0
        self._own = (0, self._own[1])
        return self._summary(start, n_own, heard)

    def _fill(self, channels: list[np.ndarray], block: np.ndarray) -> None:
        pair = _as_pair(channels)
        if pair is not None and block.T.flags.c_contiguous:  # interleaved stereo, as in files, needs only one copy
            pair[:] = block.T
        else:
            for channel, samples in zip(channels, block, strict=True):
                channel[:] = samples

    def _subtract(self, channels: list[np.ndarray], others: list[np.ndarray]) -> None:
        pair, other = _as_pair(channels), _as_pair(others)
        if pair is not None and other is not None:
            pair -= other
        else:
            for channel, samples in zip(channels, others, strict=True):
                channel -= samples

    def energy(self, n: int) -> np.ndarray:
        """Return the energy of each channel (2 n_pairs,), including channels that complete pairs, over the first `n` samples."""
        if n != self._own[0]:
            self._own = (n, np.array([channel @ channel for lanes in self._lanes for channel in lanes[:n].T]))
        return self._own[1]

    def _summary(self, start: int, n_own: int, estimate_heard: np.ndarray) -> Summary:
        sources, energy = self.sources, self.energy(n_own)
        if not np.isfinite(energy).all():
            self._refuse(start, n_own)
        source_energy, source_heard = np.empty(len(sources.estimates)), np.empty(len(sources.estimates), bool)
        for number, estimate in enumerate(sources.estimates):
            images = [self.reference(part, n_own) for part in estimate.parts]
            image = images[0] if len(images) == 1 else [np.sum(channels, axis=0) for channels in zip(*images, strict=True)]
            source_heard[number] = _is_heard(image)
            alone = energy[sources.channels(estimate.parts[0])].sum()
            source_energy[number] = alone if len(images) == 1 else sum(channel @ channel for channel in image)
        n_references = len(sources.references) * sources.n_channels
        differences = energy[2 * self.n_reference_pairs :][: len(sources.estimates) * sources.n_channels]
        difference_energy = differences.reshape(-1, sources.n_channels).sum(axis=1)
        return Summary(energy[:n_references], source_energy, difference_energy, source_heard, estimate_heard)

    def _refuse(self, start: int, n_own: int) -> None:
        for number, name in enumerate(self.sources.names):
            _require_finite(self.reference(number, n_own), start, f"Reference {name}")
        for number, estimate in enumerate(self.sources.estimates):
            _require_finite(self.difference(number, n_own), start, f"Estimate of {estimate.name}")
        raise InputError(f"Samples from {start} on are too large: the sum of their squares is not a finite number.")


def scenario_silence(summaries: Sequence[Summary], estimates: Sequence[int]) -> np.ndarray:
    """Return the frames (n_frames,) that museval leaves out because one of these estimates, or its source, is silent throughout."""
    chosen = list(estimates)
    return np.array([not (s.source_heard[chosen].all() and s.estimate_heard[chosen].all()) for s in summaries])


def _as_pair(channels: list[np.ndarray]) -> np.ndarray | None:
    """Return two channels that are interleaved in the buffer as one array (n, 2) of floats, or None for any other channels."""
    if len(channels) != 2 or channels[1].ctypes.data - channels[0].ctypes.data != channels[0].itemsize:
        return None
    return np.lib.stride_tricks.as_strided(channels[0], (len(channels[0]), 2), (channels[0].strides[0], channels[0].itemsize))


def _is_heard(channels: Sequence[np.ndarray]) -> bool:
    """Whether the sum of channels (n,) is nonzero at any sample, which is museval's test."""
    peeked = sum(channel[:PEEK] for channel in channels)
    return bool(np.any(peeked)) or bool(np.any(sum(channel[PEEK:] for channel in channels)))


def _require_finite(channels: list[np.ndarray], start: int, name: str) -> None:
    finite = np.isfinite(channels).all(axis=0)
    if not finite.all():
        raise InputError(f"{name}: holds a sample that is not finite, the first at sample {start + int(np.argmin(finite))}.")
