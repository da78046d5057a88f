"""Separate a user's songs with a checkpoint."""

from collections.abc import Sequence
from pathlib import Path

from madsep.core.devices import Device, claim
from madsep.core.errors import InputError
from madsep.core.files import scratch_folder
from madsep.core.logs import log
from madsep.data.audio import load_song
from madsep.models.checkpoint import load_checkpoint
from madsep.separation.network import Separator, ZeroedLatent
from madsep.separation.output import resampled, write_targets


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
    with scratch_folder(folder) as scratch:
        loaded = load_song(song, scratch, rate_hz)
        blocks = separator.estimates(loaded.audio)
        if loaded.sample_rate_hz != rate_hz:
            blocks = resampled(blocks, separator.targets, loaded.original.shape, (rate_hz, loaded.sample_rate_hz), scratch)
        write_targets(blocks, separator.targets, loaded.original, folder, loaded.sample_rate_hz)
