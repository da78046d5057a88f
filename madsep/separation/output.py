"""What the stages of separation share: which tracks are due, and from blocks of estimates to 16-bit wavs."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from madsep.core.artefacts import Ingredients, Stage
from madsep.core.files import scratch_file
from madsep.core.logs import log
from madsep.data.audio import BLOCK_SAMPLES, Pcm16Writer, quantise, resample_to_length
from madsep.data.datasets import ALL_TARGETS
from madsep.data.prepared import PreparedTrack


def write_targets(
    blocks: Iterator[np.ndarray], targets: Sequence[str], mixture: np.ndarray, folder: Path, sample_rate_hz: int
) -> dict[str, int]:
    """Write `targets` from blocks (n_targets, n_channels, n) of them, and the accompaniment; return the clipped samples of each.

    The accompaniment of vocals alone is the mixture minus them, of all stems the sum of those but the vocals, in the time domain and from
    the 16-bit samples that are written: so vocals and accompaniment add up to a 16-bit mixture exactly.
    """
    with contextlib.ExitStack() as files:
        names = (*targets, "accompaniment")
        writers = {name: files.enter_context(Pcm16Writer(folder / f"{name}.wav", sample_rate_hz, len(mixture))) for name in names}
        position = 0
        for block in blocks:
            written = dict(zip(targets, quantise(block), strict=True))
            for target, estimate in zip(targets, block, strict=True):
                writers[target].write(estimate)
            vocals, end = written.pop("vocals"), position + block.shape[2]
            accompaniment = np.sum(list(written.values()), axis=0) if written else mixture[:, position:end] - vocals
            writers["accompaniment"].write(accompaniment)
            position = end
    n_clipped = {name: writer.n_clipped for name, writer in writers.items()}
    for target, count in n_clipped.items():
        if count:
            log.warning("%s: %d of %d samples clipped", folder / f"{target}.wav", count, mixture.size)
    return n_clipped


def resampled(
    blocks: Iterator[np.ndarray], targets: Sequence[str], shape: tuple[int, ...], rates_hz: tuple[int, int], scratch: Path
) -> Iterator[np.ndarray]:
    """Blocks of estimates at the mixture's own rate and `shape` (n_channels, n_samples), by way of a file, so that memory stays bounded."""
    path, (n_channels, n_samples) = scratch / "estimates.f32", shape
    with scratch_file(path) as stream:  # a memory map would end in SIGBUS on a full disk
        for block in blocks:
            stream.write(np.ascontiguousarray(block.reshape(-1, block.shape[2]).T).tobytes())
    estimated = np.memmap(path, np.float32, "r").reshape(-1, len(targets) * n_channels).T
    resampled = resample_to_length(estimated, *rates_hz, n_samples, scratch / "estimates-resampled.f32")
    for start in range(0, n_samples, BLOCK_SAMPLES):
        yield np.ascontiguousarray(resampled[:, start : start + BLOCK_SAMPLES]).reshape(len(targets), n_channels, -1)


def due_tracks(stage: Stage, tracks: Sequence[PreparedTrack], made_from: Mapping[str, Ingredients]) -> list[PreparedTrack]:
    """Return the tracks whose estimates were not made from these ingredients, by slug, or were changed since; log the others."""
    due = []
    for track in tracks:
        if stage.is_current(track.slug, made_from[track.slug]):
            log.info("%s: the estimates are up to date", track.name)
        else:
            due.append(track)
    return due


def remove_estimates(folder: Path) -> None:
    """Remove the wavs of all targets from a track's folder, so that none of a former run stays among the new ones."""
    for target in ALL_TARGETS:
        (folder / f"{target}.wav").unlink(missing_ok=True)
