"""Prepared tracks: the output of the prepare stage, and how other stages read it."""

import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from madsep.core.artefacts import Stage
from madsep.core.errors import InputError
from madsep.core.files import digest
from madsep.core.reading import reading
from madsep.data.tracks import Track

BAD_HEADER = (SyntaxError, tokenize.TokenError)  # raised by NumPy, which parses array headers as Python


@dataclass(frozen=True)
class Form:
    """Form of prepared tracks: which signals, mono or all channels, and the rate."""

    signals: tuple[str, ...]
    mono: bool
    sample_rate_hz: int

    def ingredients(self, track: Track) -> dict[str, str]:
        """Return the ingredients of a track's prepared audio: the SHA-256 of each source file, and the digest of this form."""
        return {**track.sources, "form": digest(asdict(self))}

    def identity(self, track: Track) -> str:
        """Return the identity that the record of the track's prepared audio will have."""
        return digest(self.ingredients(track))


@dataclass(frozen=True)
class PreparedTrack:
    """One prepared track. `file` contains float32 of shape (len(signals), n_channels, n_samples) with full scale 1."""

    file: Path
    identity: str  # digest of the sources and the form
    sha256: str  # of `file`
    slug: str
    name: str
    subset: str
    layout: str
    signals: tuple[str, ...]
    n_channels: int
    n_samples: int
    sample_rate_hz: int
    mixture_residual_db: float | None
    notes: tuple[str, ...]
    sources: Mapping[str, str]  # SHA-256 of each source file
    ffmpeg: str | None  # version that decoded a stem file

    def signal(self, name: str) -> NDArray[np.float32]:
        """Return one signal as a memory map, (n_channels, n_samples). Raises InputError as `array` does."""
        found: NDArray[np.float32] = self.array()[self.signals.index(name)]
        return found

    def array(self) -> NDArray[np.float32]:
        """Return all signals as a memory map, (len(signals), n_channels, n_samples).

        Raises InputError if the file contains an array of another shape or type.
        """
        with reading(self.file, "an array", "Remove it and run the same command again to prepare it.", BAD_HEADER):
            array: NDArray[Any] = np.lib.format.open_memmap(self.file, mode="r")  # allocates no memory, whatever size the header declares
        expected = (len(self.signals), self.n_channels, self.n_samples)
        if array.shape != expected or array.dtype != np.float32:
            raise InputError(f"{self.file}: holds {array.dtype} of shape {array.shape}; expected float32 of shape {expected}; remove it.")
        return array

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.sample_rate_hz


def read_prepared(folder: Path | str, slugs: Sequence[str], subsets: Sequence[str]) -> list[PreparedTrack]:
    """Return prepared tracks from a stage's folder in the order of `slugs`, each checked against its digest.

    Raises InputError if a track is missing or was changed, or if its subset is not in `subsets`, so that test tracks never train.
    """
    stage = Stage(folder)
    tracks = [_prepared(stage, slug) for slug in slugs]
    for track in tracks:
        if track.subset not in subsets:
            raise InputError(f"{track.name}: is a {track.subset} track; expected {' or '.join(subsets)} tracks only.")
    return tracks


def read_planned(folder: Path | str, identities: Mapping[str, str], subsets: Sequence[str]) -> list[PreparedTrack]:
    """Return prepared tracks like `read_prepared`. `identities` maps each slug to the identity that the track must have.

    Raises InputError for a track that was prepared from other files or in another form. Rerunning the command prepares it again.
    """
    tracks = read_prepared(folder, list(identities), subsets)
    for track in tracks:
        if track.identity != identities[track.slug]:
            Stage(folder).forget(track.slug)
            raise InputError(f"{track.file}: was prepared from audio that differs from that of this run; run the same command again.")
    return tracks


def check_rate(tracks: Sequence[PreparedTrack], sample_rate_hz: int, recipe: str) -> None:
    """Raise InputError if the rate of a prepared track differs from `sample_rate_hz`, that of the front end of `recipe`."""
    for track in tracks:
        if track.sample_rate_hz != sample_rate_hz:
            raise InputError(
                f"{track.name}: has a sample rate of {track.sample_rate_hz} Hz, the front end of recipe {recipe} expects "
                f"{sample_rate_hz} Hz; choose a recipe made for this data set, or override its front_end."
            )


def _prepared(stage: Stage, slug: str) -> PreparedTrack:
    record = stage.checked(slug)
    try:
        ((name, sha256),) = record.files.items()
        facts = dict(record.facts)
        sources = {source: found for source, found in record.made_from.items() if source != "form"}
        facts |= {key: tuple(facts[key]) for key in ("signals", "notes")}
        track = PreparedTrack(stage.folder / name, record.identity, sha256, slug, sources=sources, **facts)
        _check_types(track)
        return track
    except (KeyError, TypeError, ValueError):
        stage.forget(slug)
        raise InputError(f"{stage.folder}: the record of {slug} is not of a prepared track; run the same command again.") from None


def _check_types(track: PreparedTrack) -> None:
    """Raise TypeError if values of a record have the wrong types, ValueError if counts are below 1."""
    texts = (track.name, track.subset, track.layout, *track.signals, *track.notes)
    counts = (track.n_channels, track.n_samples, track.sample_rate_hz)
    if not all(isinstance(text, str) for text in texts) or not all(type(count) is int for count in counts):
        raise TypeError("expected text and whole numbers")
    if not isinstance(track.mixture_residual_db, float | int | None) or not isinstance(track.ffmpeg, str | None):
        raise TypeError("expected a number, and the version as text")
    if min(counts) < 1:
        raise ValueError("expected counts of 1 or more")
