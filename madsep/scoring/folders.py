"""Score a folder of estimates in museval's layout, several tracks at once; scores of the same references and estimates stay."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from madsep.core.artefacts import Stage
from madsep.core.errors import Faults, InputError
from madsep.core.files import digest, refuse_inputs, sha256
from madsep.core.logs import log
from madsep.core.progress import Progress
from madsep.core.reading import is_there, visible
from madsep.core.temporary import sweep
from madsep.core.workers import in_workers
from madsep.data.datasets import ALL_TARGETS, MUSDB18
from madsep.data.stems import accompaniment, read_stems
from madsep.data.tracks import STEM_SUFFIX, SUBSETS, Track, slug_of
from madsep.scoring.engines import Engine
from madsep.scoring.estimates import Pair, Scorable, check_audible, read_estimates
from madsep.scoring.score import made_from_of, score_track


@dataclass(frozen=True)
class Options:
    """How many tracks are scored at once, whether again if they are up to date, and whether short estimates are padded with silence."""

    n_jobs: int = 1
    overwrite: bool = False
    pad: bool = False


def score_folders(references: Path, estimates: Path, out: Path, engine: Engine, options: Options) -> None:
    """Write <out>/<subset>/<track>.json for each track folder of `estimates`, against the MUSDB18 tree (stems or wavs) `references`.

    Both folders hold test/ or train/ with tracks in them. Records in <out>/records/ say what each file was made from; those made from the
    same references and estimates by the same engine stay, unless the options say otherwise.
    Raises InputError, after the others are done, with one line for each track that cannot be scored.
    """
    for given in (references, estimates):
        if not is_there(given):
            raise InputError(f"{given}: no such folder; expected one with tracks in test/ or train/.")
    stage, folders, faults = Stage(out), _estimated(estimates), Faults()
    todo: list[Scorable] = []
    _refuse_inputs(references, folders, out)
    for folder in folders:
        with faults.gathered():
            track = _scorable(references, folder, options.pad)
            if options.overwrite:
                stage.forget(track.slug)
            if not stage.is_current(track.slug, made_from_of(track, engine)):
                todo.append(track)
    log.info("%d tracks to score, %d up to date", len(todo), len(folders) - len(todo) - len(faults.lines))
    try:
        _score_all(todo, stage, engine, options.n_jobs, faults)
    finally:
        if out.is_dir():
            sweep(out)
    faults.raise_all()


def _refuse_inputs(references: Path, folders: list[Path], out: Path) -> None:
    """Raise InputError if a track's scores would replace a reference or an estimate."""
    names = [f"{folder.parent.name}/{folder.name}" for folder in folders]
    sources = [path for name in names for path in (references / f"{name}{STEM_SUFFIX}", *(references / name).glob("*"))]
    refuse_inputs([out / f"{name}.json" for name in names], [*sources, *(path for folder in folders for path in folder.glob("*"))])


def _score_all(tracks: Sequence[Scorable], stage: Stage, engine: Engine, n_jobs: int, faults: Faults) -> None:
    """Score the tracks, and gather the faults of those that cannot be."""
    work = partial(score_track, stage=stage, engine=engine)
    with Progress("scoring", len(tracks)) as progress, contextlib.closing(in_workers(work, tracks, n_jobs)) as finished:
        for track, fault in finished:
            if fault:
                faults.lines.append(fault if track.name in fault else f"{track.name}: {fault}")
            progress.advance(1, track.name)


def _estimated(estimates: Path) -> list[Path]:
    """Return the track folders. Raises InputError if there are none."""
    subsets = [estimates / subset for subset in SUBSETS if is_there(estimates / subset)]
    folders = [folder for subset in subsets for folder in visible(subset) if folder.is_dir()]
    if not folders:
        raise InputError(f"{estimates}: no estimates in it; expected test/<track>/<target>.wav.")
    return folders


def _scorable(references: Path, folder: Path, pad: bool) -> Scorable:
    """Return a track with its estimates. Raises InputError if it has no reference, or estimates of fewer than two targets."""
    subset, name = folder.parent.name, folder.name
    stems, wavs = references / subset / f"{name}{STEM_SUFFIX}", references / subset / name
    source, layout = (stems, "stems") if is_there(stems) else (wavs, "wav")
    if not (is_there(references / subset) and is_there(source)):
        raise InputError(f"{references}: has no track {subset}/{name}, for which there are estimates in {folder}.")
    targets = [target for target in ALL_TARGETS if is_there(folder / f"{target}.wav")]
    if len(targets) < 2:
        raise InputError(f"{folder}: BSSEval needs estimates of two targets or more; expected some of {', '.join(ALL_TARGETS)}.")
    track = Track(name, subset, layout, str(source), 0.0, MUSDB18.name)
    made_from = {
        "references": _digest(track.source_files()),
        "estimates": _digest({target: folder / f"{target}.wav" for target in targets}),
        "targets": ",".join(targets),
    }
    if pad:
        made_from["short estimates"] = "padded"
    return Scorable(slug_of(f"{subset}/{name}"), name, subset, made_from, partial(_read, track, folder, targets, pad))


def _digest(files: dict[str, Path]) -> str:
    return digest({name: sha256(file) for name, file in files.items()})


def _read(track: Track, folder: Path, targets: Sequence[str], pad: bool) -> Pair:
    stems = read_stems(track)
    stems["accompaniment"] = accompaniment(stems)
    references = {target: stems[target] for target in targets}
    check_audible(track.name, references)
    return Pair(references, read_estimates(folder, references, MUSDB18.sample_rate_hz, pad), MUSDB18.sample_rate_hz)
