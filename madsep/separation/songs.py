"""Separate a user's songs with a checkpoint."""

import contextlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from madsep.core.devices import Device, claim
from madsep.core.errors import Faults, InputError, nearest
from madsep.core.files import check_new_files, refuse_inputs, scratch_file, scratch_folder
from madsep.core.logs import log
from madsep.core.progress import Progress
from madsep.core.temporary import sweep_below
from madsep.data.audio import BLOCK_SAMPLES, load_song
from madsep.data.choices import Layout
from madsep.data.encodings import WAV, Encoding
from madsep.data.layouts import song_file
from madsep.models.checkpoint import load_checkpoint
from madsep.separation.network import Separator, ZeroedLatent
from madsep.separation.output import Form, resampled, softened, write_targets


@dataclass(frozen=True)
class Output:
    """Options for the files written for a song.

    `clip` says how to treat samples above full scale. `stems` are the targets to write; if empty, all are written. With `mono`, a song's
    channels are averaged before separation. Existing files are replaced only with `overwrite`.
    """

    encoding: Encoding = WAV
    clip: Literal["clamp", "rescale"] = "clamp"
    stems: Sequence[str] = ()
    mono: bool = False
    layout: Layout = "mdx"
    overwrite: bool = False

    def files(self, folder: Path, song: Path, targets: Sequence[str]) -> dict[str, Path]:
        """Return the files to write for a song, by target. Raises InputError for a stem that is not estimated."""
        known = (*targets, "accompaniment")
        for stem in self.stems:
            if stem not in known:
                raise InputError(f"{stem}: the checkpoint does not estimate it{nearest(stem, known)} (known: {', '.join(known)})")
        suffix = f".{self.encoding.format}"
        return {name: song_file(self.layout, folder, _song_name(song), name, suffix) for name in self.stems or known}


def separate_songs(
    checkpoint: Path, songs: Sequence[Path], folder: Path, device: Device, n_threads: int, output: Output = Output()
) -> None:
    """Separate each song into `folder`, by default into <its name without suffix>/<target>.wav.

    Raises InputError before any work if two songs would share files, if a file exists and must not be replaced, or if a file to write is a
    song or the checkpoint. When all songs are done, raises InputError with a line for each song that could not be separated.
    """
    names = [_song_name(song) for song in songs]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise InputError(f"{folder / double[0]}: several songs are called '{double[0]}'; separate them into different folders.")
    faults = Faults()
    with claim(device, n_threads) as claimed:
        separator = Separator(load_checkpoint(checkpoint, claimed), claimed)
        files = {song: output.files(folder, song, separator.targets) for song in songs}
        refuse_inputs([path for written in files.values() for path in written.values()], [checkpoint, *songs])
        check_new_files([path for written in files.values() for path in written.values()], output.overwrite)
        zeroed = ZeroedLatent(separator)
        sweep_below(folder)
        for song in songs:
            with faults.gathered():
                separate_song(separator, song, files[song], output)
                log.info("%s: separated into %s", song, _place(files[song]))
        zeroed.tell()
    faults.raise_all()


def separate_song(separator: Separator, song: Path, files: Mapping[str, Path], output: Output = Output()) -> None:
    """Separate one song of any rate, channel count and length into `files` (by target) at the same rate and length.

    Raises InputError if the song cannot be read, the files cannot be written, or their format cannot hold the song.
    """
    rate_hz, targets = separator.checkpoint.recipe.front_end.sample_rate_hz, separator.targets
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(scratch_folder(next(iter(files.values())).parent))
        loaded = load_song(song, scratch, rate_hz)
        if output.mono:
            mixed = _mono(loaded.original, scratch / "original-mono.f32")
            audio = mixed if loaded.audio is loaded.original else _mono(loaded.audio, scratch / "audio-mono.f32")
            loaded = replace(loaded, original=mixed, audio=audio)
        blocks: Iterator[np.ndarray] = stack.enter_context(contextlib.closing(_watched(separator, song, loaded.audio)))
        if loaded.sample_rate_hz != rate_hz:
            blocks = resampled(blocks, targets, loaded.original.shape, (rate_hz, loaded.sample_rate_hz), scratch)
        gain = 1.0
        if output.clip == "rescale":
            blocks, gain = softened(blocks, targets, loaded.original, scratch)
        if gain < 1:
            log.info("%s: its targets are scaled by %.4f to avoid clipping", song, gain)
        write_targets(blocks, targets, loaded.original, files, loaded.sample_rate_hz, Form(output.encoding, gain))


def _watched(separator: Separator, song: Path, audio: np.ndarray) -> Generator[np.ndarray, None, None]:
    """Yield the blocks of a song's estimates and show the progress in seconds of the song."""
    rate_hz, position = separator.checkpoint.recipe.front_end.sample_rate_hz, 0
    with Progress(f"separating {song.name}, s", audio.shape[1] // rate_hz) as progress:
        for block in separator.estimates(audio):
            yield block
            n_seconds = (position + block.shape[2]) // rate_hz - position // rate_hz
            position += block.shape[2]
            if n_seconds:
                progress.advance(n_seconds)


def _mono(signal: np.ndarray, path: Path) -> np.ndarray:
    """Return the mean of the channels, (1, n_samples), memory-mapped from a file."""
    with scratch_file(path) as stream:
        for start in range(0, signal.shape[1], BLOCK_SAMPLES):
            stream.write(signal[:, start : start + BLOCK_SAMPLES].mean(0, dtype=np.float32).tobytes())
    return np.memmap(path, np.float32, "r").reshape(1, -1)


def _song_name(song: Path) -> str:
    """Return the name without suffix, or with it if only dots would remain, which could name another folder."""
    return song.stem if song.stem.strip(".") else song.name


def _place(files: Mapping[str, Path]) -> str:
    """Return the folder that holds only this song's files, or the files themselves if other songs share the folder."""
    first, *others = files.values()
    return str(first.parent if first.stem in files else " and ".join(map(str, (first, *others))))
