"""Separate a user's songs with a checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from madsep.core.devices import Device, claim
from madsep.core.errors import Faults, InputError
from madsep.core.files import refuse_inputs, scratch_folder
from madsep.core.logs import log
from madsep.core.temporary import sweep_below
from madsep.data.audio import load_song
from madsep.data.datasets import ALL_TARGETS
from madsep.data.wav_writer import Subtype
from madsep.models.checkpoint import load_checkpoint
from madsep.separation.network import Separator, ZeroedLatent
from madsep.separation.output import Form, resampled, softened, write_targets


@dataclass(frozen=True)
class Output:
    """How a song's targets are written: type of the samples, and what becomes of those above full scale."""

    subtype: Subtype = "PCM_16"
    clip: Literal["clamp", "rescale"] = "clamp"


def separate_songs(
    checkpoint: Path, songs: Sequence[Path], folder: Path, device: Device, n_threads: int, output: Output = Output()
) -> None:
    """Separate each song into <folder>/<its name without suffix>/<target>.wav.

    Raises InputError before any work if two songs would share a folder, or an estimate would replace a song or the checkpoint; and with a
    line for each song that cannot be read when the others are done.
    """
    names = [_folder_name(song) for song in songs]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise InputError(f"{folder / double[0]}: several songs are called '{double[0]}'; separate them into different folders.")
    refuse_inputs([folder / name / f"{target}.wav" for name in names for target in ALL_TARGETS], [checkpoint, *songs])
    faults = Faults()
    with claim(device, n_threads) as claimed:
        separator = Separator(load_checkpoint(checkpoint, claimed), claimed)
        zeroed = ZeroedLatent(separator)
        sweep_below(folder)
        for song, name in zip(songs, names, strict=True):
            with faults.gathered():
                separate_song(separator, song, folder / name, output)
                log.info("%s: separated into %s", song, folder / name)
        zeroed.tell()
    faults.raise_all()


def separate_song(separator: Separator, song: Path, folder: Path, output: Output = Output()) -> None:
    """Separate one song of any rate, channel count and length into `folder`/<target>.wav at its own rate and length.

    Raises InputError when the song cannot be read, or the folder cannot be written.
    """
    rate_hz, targets = separator.checkpoint.recipe.front_end.sample_rate_hz, separator.targets
    with scratch_folder(folder) as scratch:
        loaded = load_song(song, scratch, rate_hz)
        blocks = separator.estimates(loaded.audio)
        if loaded.sample_rate_hz != rate_hz:
            blocks = resampled(blocks, targets, loaded.original.shape, (rate_hz, loaded.sample_rate_hz), scratch)
        gain = 1.0
        if output.clip == "rescale":
            blocks, gain = softened(blocks, targets, loaded.original, scratch)
        if gain < 1:
            log.info("%s: its targets are scaled by %.4f to avoid clipping", song, gain)
        write_targets(blocks, targets, loaded.original, folder, loaded.sample_rate_hz, Form(output.subtype, gain))


def _folder_name(song: Path) -> str:
    """The name without suffix; with it if there would be nothing but dots, which could name another folder."""
    return song.stem if song.stem.strip(".") else song.name
