"""Separate prepared test tracks, or anyone's songs, with a checkpoint."""

import contextlib
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from madsep.core.devices import Device, claim
from madsep.core.errors import InputError
from madsep.core.files import atomic, sha256, write_error, write_json
from madsep.core.logs import log
from madsep.core.progress import Progress
from madsep.data.audio import BLOCK_SAMPLES, Pcm16Writer, load_song, quantise, resample_to_length
from madsep.data.prepared import read_prepared, signal
from madsep.models.checkpoint import load_checkpoint
from madsep.models.network import Network
from madsep.separation.network import Separator


@dataclass(frozen=True)
class Job:
    """Which prepared test tracks to separate, and the manifest that says it is done."""

    prepared: Sequence[Path]
    slugs: Sequence[str]
    manifest: Path


class ZeroedLatent:
    """How much of H_dec a latent threshold sets to zero, counted on the device as the network runs; the host waits for it once, in `tell`.

    All sequences count, with the silence that pads the last ones. Nothing is counted where no threshold is set or the family has no H_dec.
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
        """Log the share, where anything was counted."""
        if self.n_entries:
            share, threshold = int(self.n_zero) / self.n_entries, self.recipe.separation.latent_threshold
            log.info("%s: the threshold of %g sets %.2f %% of the entries of H_dec to zero", self.recipe.name, threshold, 100 * share)


def separate(checkpoint: Path, job: Job, device: Device, n_threads: int) -> None:
    """Separate the job's tracks into <manifest's folder>/test/<true name>/<target>.wav, then write the manifest.

    Targets are vocals and accompaniment, or all stems and accompaniment. A track of another rate than the front end's is resampled there
    and back. The manifest names each file with its SHA-256 and the samples clipped. What `ZeroedLatent` counts is logged.
    Raises InputError for a training track, a damaged checkpoint or a full disk.
    """
    entries = read_prepared(job.prepared, "test", job.slugs)
    manifest = job.manifest
    tracks = []
    with claim(device, n_threads) as claimed, Progress(f"separating {manifest.stem}", len(entries)) as progress:
        separator = Separator(load_checkpoint(checkpoint, claimed), claimed)
        zeroed = ZeroedLatent(separator)
        for entry in entries:
            folder = manifest.parent / "test" / entry["name"]
            n_clipped = _separate_prepared(separator, entry, folder)
            files = {target: _described(folder / f"{target}.wav", manifest.parent, count) for target, count in n_clipped.items()}
            tracks.append({"slug": entry["slug"], "name": entry["name"], "files": files})
            progress.advance(1, entry["name"])
        zeroed.tell()
    write_json(manifest, {"tracks": tracks})


def separate_songs(checkpoint: Path, songs: Sequence[Path], folder: Path, device: Device, n_threads: int) -> None:
    """Separate each song into <folder>/<its name without suffix>/<target>.wav.

    Raises InputError when two songs would share a folder, or one cannot be read; songs before it are done.
    """
    names = [song.stem for song in songs]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise InputError(f"{folder / double[0]}: several songs are called '{double[0]}'; separate them into different folders.")
    with claim(device, n_threads) as claimed:
        separator = Separator(load_checkpoint(checkpoint, claimed), claimed)
        zeroed = ZeroedLatent(separator)
        for song in songs:
            separate_song(separator, song, folder / song.stem)
            log.info("%s: separated into %s", song, folder / song.stem)
        zeroed.tell()


def separate_song(separator: Separator, song: Path, folder: Path) -> None:
    """Separate one song of any rate, channel count and length into `folder`/<target>.wav at its own rate and length.

    Raises InputError when the song cannot be read, or the folder cannot be written.
    """
    rate_hz = separator.checkpoint.recipe.front_end.sample_rate_hz
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        decoded = tempfile.TemporaryDirectory(prefix=".decoded-", dir=folder.parent)
    except OSError as error:
        raise (write_error(folder, error) or error) from None
    with decoded as scratch:
        loaded = load_song(song, scratch, rate_hz)
        blocks = separator.estimates(loaded.audio)
        if loaded.sample_rate_hz != rate_hz:
            blocks = _resampled(blocks, separator.targets, loaded.original.shape, (rate_hz, loaded.sample_rate_hz), Path(scratch))
        write_targets(blocks, separator.targets, loaded.original, folder, loaded.sample_rate_hz)


def _separate_prepared(separator: Separator, entry: dict[str, Any], folder: Path) -> dict[str, int]:
    """Separate one prepared track into `folder`; return the clipped samples of each target."""
    mixture, rate_hz, front_end_hz = signal(entry, "mixture"), entry["sample_rate_hz"], separator.checkpoint.recipe.front_end.sample_rate_hz
    if rate_hz == front_end_hz:
        return write_targets(separator.estimates(mixture), separator.targets, mixture, folder, rate_hz)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".resampled-", dir=folder.parent) as scratch:
        n_samples = math.ceil(mixture.shape[1] * front_end_hz / rate_hz)
        there = resample_to_length(mixture, rate_hz, front_end_hz, n_samples, Path(scratch) / "mixture.f32")
        blocks = _resampled(separator.estimates(there), separator.targets, mixture.shape, (front_end_hz, rate_hz), Path(scratch))
        return write_targets(blocks, separator.targets, mixture, folder, rate_hz)


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


def _resampled(
    blocks: Iterator[np.ndarray], targets: Sequence[str], shape: tuple[int, ...], rates_hz: tuple[int, int], scratch: Path
) -> Iterator[np.ndarray]:
    """Blocks of estimates at the mixture's own rate and `shape` (n_channels, n_samples), by way of a file, so that memory stays bounded."""
    path, (n_channels, n_samples) = scratch / "estimates.f32", shape
    with atomic(path) as temporary, temporary.open("wb") as stream:  # a memory map would end in SIGBUS on a full disk
        for block in blocks:
            stream.write(np.ascontiguousarray(block.reshape(-1, block.shape[2]).T).tobytes())
    estimated = np.memmap(path, np.float32, "r").reshape(-1, len(targets) * n_channels).T
    resampled = resample_to_length(estimated, *rates_hz, n_samples, scratch / "estimates-resampled.f32")
    for start in range(0, n_samples, BLOCK_SAMPLES):
        yield np.ascontiguousarray(resampled[:, start : start + BLOCK_SAMPLES]).reshape(len(targets), n_channels, -1)


def _described(path: Path, root: Path, n_clipped: int) -> dict[str, Any]:
    return {"file": str(path.relative_to(root)), "sha256": sha256(path), "n_clipped": n_clipped}
