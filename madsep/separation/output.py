"""Functions shared by the separation stages: finding the tracks that are due, and writing blocks of estimates to audio files."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from madsep.core.artefacts import Ingredients, Stage
from madsep.core.files import scratch_file
from madsep.core.logs import log
from madsep.data.audio import BLOCK_SAMPLES, resample_to_length
from madsep.data.datasets import ALL_TARGETS
from madsep.data.encodings import WAV, Encoding
from madsep.data.prepared import PreparedTrack
from madsep.data.wav_writer import INT16_SCALE, quantise


@dataclass(frozen=True)
class Form:
    """The encoding of the targets' files, and a gain applied to all of them."""

    encoding: Encoding = WAV
    gain: float = 1.0


def write_targets(
    blocks: Iterator[np.ndarray],
    targets: Sequence[str],
    mixture: np.ndarray,
    files: Mapping[str, Path],
    sample_rate_hz: int,
    form: Form = Form(),
) -> dict[str, int]:
    """Write the targets and the accompaniment named in `files`, from blocks (n_targets, n_channels, n) of `targets`.

    Returns the number of clipped samples of each file. The accompaniment is the mixture minus the vocals or, if all stems are estimated,
    the sum of the other stems. It is computed in the time domain from the samples that are written. Vocals and accompaniment therefore add
    up exactly to a mixture in PCM, except where the accompaniment is clipped.
    """
    samples = form.encoding.samples
    with contextlib.ExitStack() as opened:
        made = {name: form.encoding.writer(path, sample_rate_hz, mixture.shape) for name, path in files.items()}
        writers = {name: opened.enter_context(writer) for name, writer in made.items()}
        position = 0
        for block in blocks:
            scaled = block if form.gain == 1 else block * np.float32(form.gain)
            end = position + block.shape[2]
            heard = mixture[:, position:end] * np.float32(form.gain)
            found = dict(zip(targets, scaled, strict=True))
            found["accompaniment"] = accompaniment_of(quantise(scaled, samples), targets, heard)
            for name, writer in writers.items():
                writer.write(found[name])
            position = end
    return {name: writer.tell_clipped() for name, writer in writers.items()}


def target_files(folder: Path, targets: Sequence[str]) -> dict[str, Path]:
    """Return the paths <folder>/<target>.wav of `targets` and the accompaniment, by name."""
    return {name: folder / f"{name}.wav" for name in (*targets, "accompaniment")}


def accompaniment_of(block: np.ndarray, targets: Sequence[str], mixture: np.ndarray) -> np.ndarray:
    """Return the accompaniment (n_channels, n) for a block of `targets` (n_targets, n_channels, n) and the mixture (n_channels, n)."""
    voice = targets.index("vocals")
    others: np.ndarray = np.delete(block, voice, axis=0).sum(axis=0)
    return mixture - block[voice] if len(targets) == 1 else others


def resampled(
    blocks: Iterator[np.ndarray], targets: Sequence[str], shape: tuple[int, ...], rates_hz: tuple[int, int], scratch: Path
) -> Iterator[np.ndarray]:
    """Yield blocks resampled to the mixture's rate and `shape` (n_channels, n_samples). Temporary files keep memory bounded."""
    estimated = _on_disk(blocks, len(targets) * shape[0], scratch / "estimates.f32")
    resampled = resample_to_length(estimated, *rates_hz, shape[1], scratch / "estimates-resampled.f32")
    yield from _blocks(resampled, len(targets))


def softened(
    blocks: Iterator[np.ndarray], targets: Sequence[str], mixture: np.ndarray, scratch: Path
) -> tuple[Iterator[np.ndarray], float]:
    """Return the same blocks and a gain of at most 1 that keeps targets and accompaniment from clipping at 16 bit."""
    estimated = _on_disk(blocks, len(targets) * len(mixture), scratch / "estimates-full.f32")
    peak, position = 0.0, 0
    for block in _blocks(estimated, len(targets)):
        end = position + block.shape[2]
        accompaniment = accompaniment_of(block, targets, mixture[:, position:end])
        peak, position = max(peak, float(np.abs(block).max()), float(np.abs(accompaniment).max())), end
    # the accompaniment is computed from written samples, which differ from the estimates by up to half a 16-bit step
    room = 1 - (1 + len(targets)) / INT16_SCALE
    return _blocks(estimated, len(targets)), min(1.0, room / peak) if peak > 0 else 1.0


def _on_disk(blocks: Iterator[np.ndarray], n_signals: int, path: Path) -> np.ndarray:
    """Write blocks to a file and return it as a memory map of shape (n_signals, n_samples)."""
    with scratch_file(path) as stream:  # writing through a memory map would cause SIGBUS on a full disk
        for block in blocks:
            stream.write(np.ascontiguousarray(block.reshape(-1, block.shape[2]).T).tobytes())
    return np.memmap(path, np.float32, "r").reshape(-1, n_signals).T


def _blocks(signals: np.ndarray, n_targets: int) -> Iterator[np.ndarray]:
    for start in range(0, signals.shape[1], BLOCK_SAMPLES):
        block = np.ascontiguousarray(signals[:, start : start + BLOCK_SAMPLES])
        yield block.reshape(n_targets, -1, block.shape[1])


def due_tracks(stage: Stage, tracks: Sequence[PreparedTrack], made_from: Mapping[str, Ingredients]) -> list[PreparedTrack]:
    """Return the tracks whose estimates were made from other ingredients (by slug) or changed since. Log the others."""
    due = []
    for track in tracks:
        if stage.is_current(track.slug, made_from[track.slug]):
            log.info("%s: the estimates are up to date", track.name)
        else:
            due.append(track)
    return due


def remove_estimates(folder: Path) -> None:
    """Remove the wavs of all targets from a track's folder, so that none from an earlier run remains."""
    for target in ALL_TARGETS:
        (folder / f"{target}.wav").unlink(missing_ok=True)
