"""Write the listening page of some systems: choose tracks, cut excerpts, render."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf

from madsep.core.errors import InputError
from madsep.core.files import new_folder, write_text
from madsep.core.logs import log
from madsep.core.progress import Progress
from madsep.data.tracks import slug_of
from madsep.listening.choice import Part, choose_part, choose_tracks
from madsep.listening.excerpts import MB, Coding, fit, longest_s, write_flac
from madsep.listening.page import AUDIO, Heard, Shown, render_page
from madsep.listening.sources import Material, Sound

PARTS = ("index.html", AUDIO)  # of a page
LEAST_S = 1.0  # of an excerpt


@dataclass(frozen=True)
class Options:
    """Tracks to show besides those chosen by score, the length of the excerpts in seconds, and their maximum total size in MB."""

    tracks: Sequence[str] = ()
    excerpt_s: float = 30.0
    max_mb: float = 50.0


def listen(material: Material, folder: Path, options: Options) -> None:
    """Write index.html and its excerpts, audio/<track>/*, into `folder`, which is replaced completely or not at all.

    Raises InputError if a track in `options` has no scores, estimates have no references, or audio cannot be read.
    """
    chosen = choose_tracks(material.systems, options.tracks)
    excerpt_s, coding = _affordable_s(material, chosen, options), Coding("")
    with new_folder(folder) as new:
        while True:
            shown = _cut_all(material, chosen, new, excerpt_s)
            excerpts = [heard.excerpt for track in shown for heard in track.heard]
            if excerpts:
                coding = fit(excerpts, options.max_mb * MB)
            if coding.share == 1:
                break
            excerpt_s = _checked(excerpt_s * coding.share, options)
        write_text(new / "index.html", render_page(material.systems, shown, new, coding.words))
    log.info("%s: %d tracks, %d excerpts%s", folder / "index.html", len(shown), len(excerpts), coding.words and f", {coding.words}")


def _affordable_s(material: Material, chosen: Iterable[str], options: Options) -> float:
    """Return the requested length of the excerpts in seconds, or about the length that fits if it is shorter."""
    n_channels = 0.0
    for track in chosen:
        targets = material.references.targets(track) if material.references else set()
        files = [system.files_of(track, targets) for system in material.systems]
        if any(files):
            n_signals = 1 + len({target for of_system in files for target in of_system}) + sum(map(len, files))  # 1: the mixture
            info = sf.info(next(path for of_system in files for path in of_system.values()))
            n_channels += n_signals * info.channels * min(1.0, info.duration / options.excerpt_s)
    longest = longest_s(n_channels, options.max_mb * MB) if n_channels else options.excerpt_s
    return options.excerpt_s if longest >= options.excerpt_s else _checked(longest, options)


def _checked(excerpt_s: float, options: Options) -> float:
    """Return a length, and warn that it is shorter than requested. Raises InputError if it is below LEAST_S."""
    if excerpt_s < LEAST_S:
        raise InputError(f"listen: the excerpts do not fit into {options.max_mb:g} MB; raise max_mb, or name fewer systems or tracks.")
    log.warning("excerpts of %.1f s instead of %.1f s, so that they fit into %g MB", excerpt_s, options.excerpt_s, options.max_mb)
    return excerpt_s


def _cut_all(material: Material, chosen: Mapping[str, Sequence[str]], new: Path, excerpt_s: float) -> list[Shown]:
    shown = []
    with Progress("cutting excerpts", len(chosen)) as progress:
        for track, reasons in chosen.items():
            shown.append(_show(material, track, reasons, new, excerpt_s))
            progress.advance(1, track)
    return shown


def _show(material: Material, track: str, reasons: Sequence[str], new: Path, excerpt_s: float) -> Shown:
    """Cut the excerpts of a track and write them as FLAC."""
    systems = [system for system in material.systems if system.folder_of(track)]
    if not systems:
        return Shown(track, reasons)
    if material.references is None:
        raise InputError(
            f"{systems[0].estimates}: there are no references for these estimates; give the folder of MUSDB18 with --references."
        )
    sound = material.references.read(track)
    duration_s = sound.signals["mixture"].shape[1] / sound.sample_rate_hz
    part = choose_part(material.systems, track, excerpt_s, duration_s)
    place = new / AUDIO / slug_of(track)
    estimates: list[Heard] = []
    for system in systems:
        found = Sound(system.estimated(track, sound), sound.sample_rate_hz)
        estimates += [_cut(found, part, target, system.name, place) for target in found.signals]
    targets = [name for name in sound.signals if any(heard.signal == name for heard in estimates)]
    references = [_cut(sound, part, name, None, place) for name in ("mixture", *targets)]
    order = ["mixture", *targets]
    return Shown(track, reasons, part, sorted([*references, *estimates], key=lambda heard: order.index(heard.signal)))


def _cut(sound: Sound, part: Part, signal: str, system: str | None, folder: Path) -> Heard:
    start, length = (round(seconds * sound.sample_rate_hz) for seconds in (part.start_s, part.length_s))
    samples: np.ndarray = sound.signals[signal][:, start : start + length]
    name = signal if signal == "mixture" else f"{slug_of(system) if system else 'reference'}-{signal}"
    return Heard(signal, system, write_flac(samples, sound.sample_rate_hz, folder / name))
