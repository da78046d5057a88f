"""Conversion of songs to another layout and format, such as estimates for MVSep or a whole data set."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from madsep.core.errors import Faults, InputError
from madsep.core.files import check_new_files, refuse_inputs
from madsep.core.progress import Progress
from madsep.core.temporary import sweep_below
from madsep.data.audio import read_wav
from madsep.data.choices import Layout
from madsep.data.datasets import MUSDB18
from madsep.data.encodings import Encoding
from madsep.data.layouts import STEM_FILE, SongFiles, find_songs, song_file
from madsep.data.stems import read_stems
from madsep.data.tracks import Track


def convert(source: Path, folder: Path, layout: Layout, encoding: Encoding, overwrite: bool = False) -> None:
    """Write each song in `source`, in any layout, to `folder` in another layout. If `source` has train/, both subsets are kept.

    Raises InputError before any work if two songs would share a file, if an existing file may not be replaced, or if an output is an input.
    After all songs, raises InputError with one line for each song that cannot be read or written.
    """
    songs = find_songs(source)
    has_subsets = any(song.subset == "train" for song in songs)
    outputs = [_outputs(song, folder, layout, encoding.format, has_subsets) for song in songs]
    written = [path for files in outputs for path in files.values()]
    if double := next((path for path in written if written.count(path) > 1), None):
        raise InputError(f"{double}: two songs in {source} have this name; convert them into different folders.")
    refuse_inputs(written, [path for song in songs for path in song.files.values()])
    check_new_files(written, overwrite)
    sweep_below(folder)
    faults = Faults()
    with Progress("converting", len(songs)) as progress:
        for song, files in zip(songs, outputs, strict=True):
            with faults.gathered():
                _convert(song, files, encoding)
            progress.advance(1, song.name)
    faults.raise_all()


def _outputs(song: SongFiles, folder: Path, layout: Layout, format: str, has_subsets: bool) -> dict[str, Path]:
    """Return the file to write for each stem of a song."""
    names = MUSDB18.stems if STEM_FILE in song.files else [*song.files]
    if has_subsets and song.subset is not None:
        folder, layout = folder / song.subset, "mdx" if layout == "musdb" else layout
    return {name: song_file(layout, folder, song.name, name, f".{format}") for name in names}


def _convert(song: SongFiles, files: Mapping[str, Path], encoding: Encoding) -> None:
    """Write a song's stems. Raises InputError if it has none, if one cannot be read, or if the format does not support it."""
    if not files:
        raise InputError(f"{song.place}: holds no stems; expected files such as vocals.wav or vocals.flac.")
    for name, path in files.items():
        audio, sample_rate_hz = _read(song, name)
        with encoding.writer(path, sample_rate_hz, audio.shape) as writer:
            writer.write(audio)
        writer.tell_clipped()


def _read(song: SongFiles, name: str) -> tuple[np.ndarray, int]:
    """Return a stem of a song, (n_channels, n_samples), and its rate."""
    if STEM_FILE in song.files:
        track = Track(song.name, "test", "stems", str(song.place), 0.0, MUSDB18.name)
        return read_stems(track)[name], MUSDB18.sample_rate_hz
    return read_wav(song.files[name])
