"""Score a folder of estimates, several tracks at a time. Scores of unchanged references and estimates are kept."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from madsep.core.artefacts import Stage
from madsep.core.errors import Faults, InputError
from madsep.core.files import digest, read_json, refuse_inputs, sha256
from madsep.core.logs import log
from madsep.core.progress import Progress
from madsep.core.reading import reading
from madsep.core.temporary import sweep
from madsep.core.workers import in_workers
from madsep.data.audio import read_wav
from madsep.data.datasets import MUSDB18, STEMS, SUBSETS
from madsep.data.layouts import STEM_FILE, SongFiles, find_songs
from madsep.data.stems import accompaniment, read_stems
from madsep.data.tracks import Track, slug_of
from madsep.scoring.engines import ACCOMPANIMENT, Engine
from madsep.scoring.estimates import Pair, Scorable, Signals, check_audible, read_estimates
from madsep.scoring.protocols import Protocol
from madsep.scoring.score import made_from_of, score_track
from madsep.scoring.scores import protocol_in


@dataclass(frozen=True)
class Options:
    """The number of tracks to score at a time, whether to score up-to-date tracks again, and whether to pad short estimates."""

    n_jobs: int = 1
    overwrite: bool = False
    pad: bool = False


def score_folders(references: Path, estimates: Path, out: Path, engine: Engine, options: Options) -> None:
    """Write <out>/<subset>/<track>.json for each track of `estimates`, scored against the references of the same name.

    Both folders can have any layout that `madsep.data.layouts.find_songs` reads. In a layout without subsets, tracks are test tracks.
    Records in <out>/records/ state what each file was made from. Scores of the same references and estimates by the same engine are kept,
    unless the options say otherwise. Raises InputError, after scoring the other tracks, with a line for each track that cannot be scored.
    """
    known, songs = find_songs(references), find_songs(estimates)
    stage, faults, todo = Stage(out), Faults(), list[Scorable]()
    pairs: list[tuple[SongFiles, SongFiles]] = []
    for song in songs:
        with faults.gathered():
            pairs.append((_reference(known, song, references), song))
    _refuse_inputs(pairs, out)
    for reference, song in pairs:
        with faults.gathered():
            track = _scorable(reference, song, options.pad, engine.protocol)
            if options.overwrite:
                stage.forget(track.slug)
            if not stage.is_current(track.slug, made_from_of(track, engine)):
                todo.append(track)
    log.info("%d tracks to score, %d up to date", len(todo), len(songs) - len(todo) - len(faults.lines))
    try:
        _score_all(todo, stage, engine, options.n_jobs, faults)
    finally:
        if out.is_dir():
            sweep(out)
    faults.raise_all()


def _reference(known: Sequence[SongFiles], song: SongFiles, references: Path) -> SongFiles:
    """Return the references of a song: the files of the same name and, if both layouts have subsets, in the same subset."""
    found = [other for other in known if other.name == song.name and (other.subset == song.subset or not (other.subset and song.subset))]
    label = f"{song.subset}/{song.name}" if song.subset else song.name
    if not found:
        raise InputError(f"{references}: has no track {label}, for which there are estimates in {song.place}.")
    if len(found) > 1:
        raise InputError(f"{references}: has several tracks {label}; expected one for the estimates in {song.place}.")
    return found[0]


def _subset(reference: SongFiles, song: SongFiles) -> str:
    return song.subset or reference.subset or "test"


def _refuse_inputs(pairs: Sequence[tuple[SongFiles, SongFiles]], out: Path) -> None:
    """Raise InputError if a track's scores would replace a reference or an estimate."""
    outputs = [out / _subset(*pair) / f"{pair[1].name}.json" for pair in pairs]
    refuse_inputs(outputs, [path for pair in pairs for song in pair for path in song.files.values()])


def refuse_other_protocols(out: Path, protocol: Protocol) -> None:
    """Raise InputError if a folder holds scores of another protocol."""
    for path in (path for subset in SUBSETS for path in sorted((out / subset).glob("*.json"))):
        try:
            found = protocol_in(read_json(path))
        except InputError:  # it is scored again
            continue
        if found != protocol.name:
            raise InputError(f"{path}: holds scores of protocol {found}; give those of protocol {protocol.name} another folder.")


def _score_all(tracks: Sequence[Scorable], stage: Stage, engine: Engine, n_jobs: int, faults: Faults) -> None:
    """Score the tracks and collect the faults of those that cannot be scored."""
    work = partial(score_track, stage=stage, engine=engine)
    with Progress("scoring", len(tracks)) as progress, contextlib.closing(in_workers(work, tracks, n_jobs)) as finished:
        for track, fault in finished:
            if fault:
                faults.lines.append(fault if track.name in fault else f"{track.name}: {fault}")
            progress.advance(1, track.name)


def _scorable(reference: SongFiles, song: SongFiles, pad: bool, protocol: Protocol) -> Scorable:
    """Return a track with its estimates. Raises InputError if a reference is missing or too few targets are estimated."""
    estimated = {target: song.files[target] for target in protocol.estimated if target in song.files}
    if len(estimated) < protocol.least_estimated:
        any_of = f"{protocol.name} needs an estimate of {' or '.join(protocol.estimated)}"
        needed = any_of if protocol.least_estimated == 1 else "BSSEval needs estimates of two targets or more"
        raise InputError(f"{song.place}: {needed}; expected some of {', '.join(protocol.estimated)}.")
    sources = _sources(reference, estimated, protocol)
    made_from = {"references": _digest(sources), "estimates": _digest(estimated), "targets": ",".join(estimated)}
    if pad:
        made_from["short estimates"] = "padded"
    subset = _subset(reference, song)
    return Scorable(
        slug_of(f"{subset}/{song.name}"), song.name, subset, made_from, partial(_read, song.name, sources, estimated, pad, protocol)
    )


def _sources(reference: SongFiles, estimated: Mapping[str, Path], protocol: Protocol) -> dict[str, Path]:
    """Return the files that hold the references. As in museval, the accompaniment is the sum of its stems if they are there."""
    files = reference.files
    if STEM_FILE in files:
        return {STEM_FILE: files[STEM_FILE]}
    needed = dict.fromkeys((*estimated, *(STEMS if protocol.drops_silent_stems else ()), *protocol.references))
    if "accompaniment" in needed and (files.keys() >= {*ACCOMPANIMENT} or "accompaniment" not in files):
        needed = dict.fromkeys(stem for stem in (*needed, *ACCOMPANIMENT) if stem != "accompaniment")
    if missing := [stem for stem in needed if stem not in files]:
        raise InputError(f"{reference.place}: has no reference {', '.join(missing)} of {reference.name}; expected a wav or flac of it.")
    if protocol.uses_mixture and "mixture" in files:
        needed["mixture"] = None
    return {stem: files[stem] for stem in needed}


def _digest(files: Mapping[str, Path]) -> str:
    return digest({name: sha256(file) for name, file in files.items()})


def _read(name: str, sources: Mapping[str, Path], estimated: Mapping[str, Path], pad: bool, protocol: Protocol) -> Pair:
    """Return the audio of a track as the protocol compares it. Without a mixture, MIR-1K's is the sum of voice and accompaniment."""
    stems, rate_hz = _read_references(name, sources)
    targets = protocol.references or tuple(estimated)
    if "accompaniment" in targets and "accompaniment" not in stems:
        stems["accompaniment"] = accompaniment(stems)
    if protocol.mono:
        stems = {stem: audio.mean(axis=0, keepdims=True) for stem, audio in stems.items()}
    references: Signals = {target: stems[target] for target in targets}
    if not protocol.scores_silence:
        check_audible(name, references)
    estimates = read_estimates(estimated, {target: references[target] for target in estimated}, rate_hz, pad, protocol.mono)
    if protocol.uses_mixture:
        mixture = stems["mixture"] if "mixture" in stems else references["vocals"] + references["accompaniment"]
        return Pair(references, estimates, rate_hz, mixture=mixture)
    return Pair(references, estimates, rate_hz, {stem: stems[stem] for stem in STEMS} if protocol.drops_silent_stems else {})


def _read_references(name: str, sources: Mapping[str, Path]) -> tuple[dict[str, np.ndarray], int]:
    """Return the references, each (n_channels, n_samples), and their rate. Raises InputError if they differ in shape or rate."""
    if STEM_FILE in sources:
        return read_stems(Track(name, "test", "stems", str(sources[STEM_FILE]), 0.0, MUSDB18.name)), MUSDB18.sample_rate_hz
    stems: dict[str, np.ndarray] = {}
    forms = {}
    for stem, path in sources.items():
        with reading(path):  # refuses pipes and folders
            stems[stem], rate_hz = read_wav(path)
        forms[path] = (*stems[stem].shape, rate_hz)
    (first, expected), *others = forms.items()
    for path, found in others:
        if found != expected:
            words = "{1} samples of {0} channels at {2} Hz"
            raise InputError(f"{path}: has {words.format(*found)}; expected {words.format(*expected)} as {first.name}.")
    return stems, expected[2]
