"""Separate prepared test tracks, or anyone's songs, with a checkpoint."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from madsep.audio import BLOCK_SAMPLES, Pcm16Writer, load_song, quantise, resample_to_length
from madsep.checkpoint import load_checkpoint
from madsep.devices import Device, claim
from madsep.errors import InputError
from madsep.files import atomic, sha256, write_error, write_json
from madsep.logs import log
from madsep.prepared import TARGETS, check_rate, read_prepared, signal
from madsep.progress import Progress
from madsep.separator import Separator


@dataclass(frozen=True)
class Job:
    """Which prepared test tracks to separate, and the manifest that says it is done."""

    prepared: Sequence[Path]
    slugs: Sequence[str]
    manifest: Path


def separate(checkpoint: Path, job: Job, device: Device, n_threads: int) -> None:
    """Separate the job's tracks into <manifest's folder>/test/<true name>/{vocals,accompaniment}.wav, then write the manifest.

    accompaniment = mixture - vocals in the time domain. The manifest names each file with its SHA-256 and the samples clipped.
    Raises InputError for a training track, a track of another rate than the checkpoint's front end, a damaged checkpoint or a full disk.
    """
    entries = read_prepared(job.prepared, "test", job.slugs)
    manifest = job.manifest
    tracks = []
    with claim(device, n_threads) as claimed, Progress(f"separating {manifest.stem}", len(entries)) as progress:
        separator = Separator(load_checkpoint(checkpoint, claimed), claimed)
        recipe = separator.checkpoint.recipe
        check_rate(entries, recipe.front_end.sample_rate_hz, recipe.name)
        for entry in entries:
            mixture = signal(entry, "mixture")
            folder = manifest.parent / "test" / entry["name"]
            n_clipped = write_targets(mixture, separator.voice(mixture), folder, entry["sample_rate_hz"])
            files = {target: _described(folder / f"{target}.wav", manifest.parent, n_clipped[target]) for target in TARGETS}
            tracks.append({"slug": entry["slug"], "name": entry["name"], "files": files})
            progress.advance(1, entry["name"])
    write_json(manifest, {"tracks": tracks})


def separate_songs(checkpoint: Path, songs: Sequence[Path], folder: Path, device: Device, n_threads: int) -> None:
    """Separate each song into <folder>/<its name without suffix>/{vocals,accompaniment}.wav.

    Raises InputError when two songs would share a folder, or one cannot be read; songs before it are done.
    """
    names = [song.stem for song in songs]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise InputError(f"{folder / double[0]}: several songs are called '{double[0]}'; separate them into different folders.")
    with claim(device, n_threads) as claimed:
        separator = Separator(load_checkpoint(checkpoint, claimed), claimed)
        for song in songs:
            separate_song(separator, song, folder / song.stem)
            log.info("%s: separated into %s", song, folder / song.stem)


def separate_song(separator: Separator, song: Path, folder: Path) -> None:
    """Separate one song of any rate, channel count and length into `folder`/{vocals,accompaniment}.wav at its own rate and length.

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
        voice: Iterator[np.ndarray] = separator.voice(loaded.audio)
        if loaded.sample_rate_hz != rate_hz:
            voice = _resampled(voice, len(loaded.audio), (rate_hz, loaded.sample_rate_hz), loaded.original.shape[1], Path(scratch))
        write_targets(loaded.original, voice, folder, loaded.sample_rate_hz)


def write_targets(mixture: np.ndarray, voice: Iterator[np.ndarray], folder: Path, sample_rate_hz: int) -> dict[str, int]:
    """Write vocals from the blocks of `voice` and accompaniment = mixture - vocals, as 16-bit wavs; return the clipped samples of each.

    The difference is taken from the vocals as they are written, so that both files add up to a 16-bit mixture exactly.
    """
    n_channels = len(mixture)
    with (
        Pcm16Writer(folder / "vocals.wav", sample_rate_hz, n_channels) as vocals,
        Pcm16Writer(folder / "accompaniment.wav", sample_rate_hz, n_channels) as accompaniment,
    ):
        position = 0
        for block in voice:
            vocals.write(block)
            accompaniment.write(mixture[:, position : position + block.shape[1]] - quantise(block))
            position += block.shape[1]
    n_clipped = {"vocals": vocals.n_clipped, "accompaniment": accompaniment.n_clipped}
    for target, count in n_clipped.items():
        if count:
            log.warning("%s: %d of %d samples clipped", folder / f"{target}.wav", count, mixture.size)
    return n_clipped


def _resampled(
    voice: Iterator[np.ndarray], n_channels: int, rates_hz: tuple[int, int], n_samples: int, scratch: Path
) -> Iterator[np.ndarray]:
    """Blocks of `voice` at the song's own rate, by way of a file, so that memory stays bounded."""
    path = scratch / "voice.f32"
    with atomic(path) as temporary, temporary.open("wb") as stream:  # a memory map would end in SIGBUS on a full disk
        for block in voice:
            stream.write(np.ascontiguousarray(block.T).tobytes())
    estimated = np.memmap(path, np.float32, "r").reshape(-1, n_channels).T
    resampled = resample_to_length(estimated, *rates_hz, n_samples, scratch / "voice-resampled.f32")
    for start in range(0, n_samples, BLOCK_SAMPLES):
        yield np.ascontiguousarray(resampled[:, start : start + BLOCK_SAMPLES])


def _described(path: Path, root: Path, n_clipped: int) -> dict[str, Any]:
    return {"file": str(path.relative_to(root)), "sha256": sha256(path), "n_clipped": n_clipped}
