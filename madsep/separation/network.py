"""Separation of a mixture into its sources, block by block, so that memory does not grow with the length."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from madsep.core.ahead import ahead
from madsep.core.logs import log
from madsep.core.precision import products
from madsep.front_end.segments import Plan, cross_fade, full_plan, legacy_plan, read_padded
from madsep.front_end.stft import Stft, magnitude
from madsep.models.checkpoint import Checkpoint
from madsep.models.network import Network
from madsep.separation.batches import batch_size, on_host

Audio = NDArray[np.float32]
SILENT_BIN = 1e-30  # bins with smaller magnitudes have no phase; quotients by it are finite in float32


@dataclass(frozen=True)
class Separator:
    """A checkpoint on a device. Front end, network and separation settings all come from the checkpoint."""

    checkpoint: Checkpoint
    device: torch.device

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets of `estimates`: the vocals, or all four stems."""
        return self.checkpoint.recipe.estimated

    def estimates(self, mixture: Audio) -> Iterator[Audio]:
        """Yield the estimates of `targets` from `mixture` (n_channels, n_samples) as consecutive blocks (n_targets, n_channels, n).

        The blocks' lengths add up to n_samples. `mixture` may be memory-mapped. It is read once, block by block.
        """
        yield from on_host(_Blocks(self.checkpoint, self.device, mixture).all())


class ZeroedLatent:
    """The share of H_dec that a latent threshold sets to zero, counted on the device while the network runs.

    The host waits for the count only in `tell`. All sequences count, including the silence that pads the last ones. Nothing is counted if
    no threshold is set or the family has no H_dec.
    """

    def __init__(self, separator: Separator) -> None:
        self.recipe = separator.checkpoint.recipe
        self.n_entries, self.n_zero = 0, torch.zeros((), dtype=torch.int64, device=separator.device)
        if self.recipe.separation.latent_threshold > 0:
            separator.checkpoint.network.register_forward_hook(self._count)

    def _count(self, network: Network, inputs: Any, output: Any) -> None:
        latent = network.latent(output)
        if latent is not None:
            self.n_entries += latent.numel()
            self.n_zero += (latent == 0).sum()

    def tell(self) -> None:
        """Log the share, if anything was counted."""
        if self.n_entries:
            share, threshold = int(self.n_zero) / self.n_entries, self.recipe.separation.latent_threshold
            log.info("%s: the threshold of %g sets %.2f %% of the entries of H_dec to zero", self.recipe.name, threshold, 100 * share)


class _Blocks:
    """The separation of one mixture: its plan, and the overlapping samples that the next block completes."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, mixture: Audio) -> None:
        recipe = checkpoint.recipe
        self.checkpoint, self.mixture, self.settings = checkpoint, mixture, recipe.separation
        self.stft = Stft(recipe.front_end, device)
        self.n_samples = mixture.shape[-1]
        self.n_frames = self.stft.n_frames(self.n_samples)
        self.plan, self.audible = self._plan()
        self.refreshes = max(self.settings.griffin_lim_iterations - 1, 0)
        reach = (self.stft.length - 1) // self.stft.hop  # frames by which one inverse and forward transform extend a frame's context
        self.margin = math.ceil(self.refreshes * reach / self.plan.step)
        self.weights = torch.from_numpy(cross_fade(recipe.segments)).to(device, self.stft.window.dtype)
        self.batch_size = batch_size(checkpoint, device, len(mixture))
        self.given = 0  # samples yielded
        self.waiting = torch.zeros(len(recipe.estimated), len(mixture), 0, device=device)  # sums from sample `self.given` on

    def _plan(self) -> tuple[Plan, range]:
        """Return the segments, and the range of samples outside which the estimates are silent by construction."""
        recipe, hop = self.checkpoint.recipe, self.stft.hop
        if self.settings.framing == "full":
            return full_plan(recipe.segments, self.n_frames), range(self.n_samples)
        plan = legacy_plan(recipe.segments, self.n_samples, hop, recipe.training.batch_size)
        end = self.stft.first_sample(plan.end_estimated) + self.stft.length - self.stft.padding - 1  # tf_methods.py, iSTFT
        return plan, range(plan.first_estimated * hop, max(end, 0) if plan.n_segments else 0)

    def all(self) -> Iterator[Tensor]:
        """Yield blocks of estimates (n_targets, n_channels, n) on the device, while a thread reads the input of the next block."""
        n_segments = self.plan.n_segments
        parts = [range(first, min(first + self.batch_size, n_segments)) for first in range(0, n_segments, self.batch_size)]
        with contextlib.closing(ahead(self._span(*self._needed(part)) for part in parts)) as spans:
            for part, span in zip(parts, spans, strict=True):
                yield from self._advance(part, span)
        yield from self._give(self.n_samples)

    def _needed(self, part: range) -> tuple[int, int]:
        """Return the first and last segment (exclusive) that the segments `part` depend on."""
        return max(part.start - self.margin - self.plan.n_shared, 0), min(part.stop + self.margin, self.plan.n_segments)

    def _span(self, first: int, end: int) -> Tensor:
        """Return the samples that segments [first, end) read, in pinned memory if the device is a GPU."""
        first_sample = self.stft.first_sample(self.plan.first_read + first * self.plan.step)
        span = torch.from_numpy(read_padded(self.mixture, first_sample, self.stft.n_span(self._n_read(first, end))))
        if not self.stft.window.is_cuda:
            return span
        with torch.cuda.device(self.stft.window.device):  # for the reading thread
            return span.pin_memory()

    def _n_read(self, first: int, end: int) -> int:
        return (end - first - 1) * self.plan.step + self.plan.n_read

    def _advance(self, part: range, span: Tensor) -> Iterator[Tensor]:
        """Estimate the segments `part` from the span that they need, and yield the samples that no later segment changes."""
        (first, end), (low, high) = (part.start, part.stop), self._needed(part)
        bins = self._estimate(low, high, span)
        start, stop = (first - low) * self.plan.step, (end - low) * self.plan.step
        first_frame = self.plan.first_estimated + first * self.plan.step
        self._add(self.stft.first_sample(first_frame), self.stft.overlap_add(bins[:, :, start:stop]))
        next_frame = first_frame + (end - first) * self.plan.step
        yield from self._give(min(self.stft.first_sample(next_frame), self.n_samples))

    def _estimate(self, first: int, end: int, span: Tensor) -> Tensor:
        """Return complex bins (n_targets, n_channels, (end - first) * step, n_bins) of segments [first, end).

        They are zero outside the signal's frames. Frames shared with segments before `first` are not complete.
        """
        plan = self.plan
        first_read = plan.first_read + first * plan.step
        bins = self.stft.analyse(span.to(self.stft.window.device, non_blocking=True))
        mixture = magnitude(bins if self.settings.channels == "each" else bins.mean(0, keepdim=True))
        magnitudes = self._network(mixture)
        inner = slice(plan.n_context, plan.n_context + magnitudes.shape[2])
        first_estimated = first_read + plan.n_context
        frames = torch.arange(first_estimated, first_estimated + magnitudes.shape[2], device=bins.device)
        magnitudes[:, :, (frames < 0) | (frames >= self.n_frames)] = 0
        estimates = with_magnitudes(bins[:, inner], mixture[:, inner], magnitudes)
        return self._refine(estimates, first_estimated)

    def _network(self, magnitudes: Tensor) -> Tensor:
        """Return the targets' magnitudes (n_targets, n_channels, n_segments * step, N) from the mixture's (n_channels, n_read, N).

        Channels share batches, which is faster, if no sequence's result depends on others in its batch.
        """
        network = self.checkpoint.network
        n_channels = len(magnitudes)
        sequences = magnitudes.unfold(1, self.plan.n_read, self.plan.step).transpose(2, 3).flatten(0, 1)
        at_once = self.batch_size * (n_channels if network.sequences_independent else 1)
        with torch.inference_mode(), products(self.settings.precision, magnitudes.device):
            estimates = [network.estimate(batch, self.settings) for batch in torch.split(sequences, at_once)]
        return self._joined(torch.unflatten(torch.cat(estimates), 0, (n_channels, -1)))

    def _joined(self, estimates: Tensor) -> Tensor:
        """Sum weighted segments: (n_channels, n_segments, n_targets, n_estimated, N) -> (n_targets, n_channels, frames, N)."""
        estimates = estimates.permute(2, 0, 1, 3, 4)
        if self.plan.n_shared == 0:
            return estimates.flatten(2, 3)
        weighted, step, n_segments = estimates * self.weights[:, None], self.plan.step, estimates.shape[2]
        joined = estimates.new_zeros(*estimates.shape[:2], (n_segments + self.plan.n_shared) * step, estimates.shape[-1])
        for segment in range(n_segments):
            joined[:, :, segment * step : segment * step + len(self.weights)] += weighted[:, :, segment]
        return joined[:, :, : n_segments * step]

    def _refine(self, estimates: Tensor, first_frame: int) -> Tensor:
        """Refine the phase by Griffin and Lim's iteration. Frames within the margin of a block's ends are not exact."""
        magnitudes = magnitude(estimates) if self.refreshes else estimates
        for _ in range(self.refreshes):
            span = self.stft.overlap_add(estimates)
            energy = self.stft.window_energy(self.stft.first_sample(first_frame), span.shape[-1], self.n_frames)
            consistent = self.stft.analyse(span / energy.clamp_min(torch.finfo(energy.dtype).tiny))
            estimates = with_magnitudes(consistent, magnitude(consistent), magnitudes)
        return estimates

    def _add(self, first_sample: int, span: Tensor) -> None:
        """Add overlap-added samples, which begin at sample `first_sample` of the signal, to the waiting sums."""
        skipped = max(self.given - first_sample, 0)
        start, span = max(first_sample - self.given, 0), span[..., skipped:]
        missing = start + span.shape[-1] - self.waiting.shape[-1]
        if missing > 0:
            self.waiting = torch.nn.functional.pad(self.waiting, (0, missing))
        self.waiting[..., start : start + span.shape[-1]] += span

    def _give(self, end: int) -> Iterator[Tensor]:
        """Yield the samples up to `end`, divided by the windows' energy and set to zero outside the audible range."""
        n_samples = end - self.given
        if n_samples <= 0:
            return
        block = torch.nn.functional.pad(self.waiting, (0, max(n_samples - self.waiting.shape[-1], 0)))[..., :n_samples]
        block = block / self.stft.window_energy(self.given, n_samples, self.n_frames)
        samples = torch.arange(self.given, end, device=block.device)
        block = torch.where((samples >= self.audible.start) & (samples < self.audible.stop), block, 0.0)
        self.given, self.waiting = end, self.waiting[..., n_samples:]
        yield block


def with_magnitudes(bins: Tensor, present: Tensor, wanted: Tensor) -> Tensor:
    """Return bins with magnitudes `wanted` and the phase of `bins`, or 0 if there is no phase. `present` are the magnitudes of `bins`."""
    gains = wanted / present.clamp_min(SILENT_BIN)
    return torch.view_as_complex(torch.view_as_real(bins) * gains.unsqueeze(-1))  # multiplying by real numbers is faster
