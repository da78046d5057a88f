"""Score a folder of estimates in museval's layout, several tracks at once; scores of the same references and estimates stay."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path

from madsep.core.artefacts import Stage
from madsep.core.errors import InputError
from madsep.core.files import digest, refuse_inputs, sha256
from madsep.core.logs import log
from madsep.core.progress import Progress
from madsep.core.temporary import sweep
from madsep.data.datasets import ALL_TARGETS, MUSDB18
from madsep.data.stems import accompaniment, read_stems
from madsep.data.tracks import STEM_SUFFIX, SUBSETS, Track, slug_of, visible
from madsep.scoring.engines import Engine
from madsep.scoring.estimates import Pair, Scorable, check_audible, read_estimates
from madsep.scoring.score import made_from_of, score_track


def score_folders(references: Path, estimates: Path, out: Path, engine: Engine, n_jobs: int, overwrite: bool) -> None:
    """Write <out>/<subset>/<track>.json for each track folder of `estimates`, against the MUSDB18 tree (stems or wavs) `references`.

    Both folders hold test/ or train/ with tracks in them. Records in <out>/records/ say what each file was made from; those made from the
    same references and estimates by the same engine stay, unless `overwrite` is given.
    Raises InputError, after the others are done, with one line for each track that cannot be scored.
    """
    stage, folders = Stage(out), _estimated(estimates)
    todo, faults = [], []
    _refuse_inputs(references, folders, out)
    for folder in folders:
        try:
            track = _scorable(references, folder)
        except InputError as error:
            faults.append(str(error))
            continue
        if overwrite:
            stage.forget(track.slug)
        if not stage.is_current(track.slug, made_from_of(track, engine)):
            todo.append(track)
    log.info("%d tracks to score, %d up to date", len(todo), len(folders) - len(todo) - len(faults))
    faults += _score_all(todo, stage, engine, n_jobs)
    sweep(out)
    if faults:
        raise InputError("\n".join(faults))


def _refuse_inputs(references: Path, folders: list[Path], out: Path) -> None:
    """Raise InputError if a track's scores would replace a reference or an estimate."""
    names = [f"{folder.parent.name}/{folder.name}" for folder in folders]
    sources = [path for name in names for path in (references / f"{name}{STEM_SUFFIX}", *(references / name).glob("*"))]
    refuse_inputs([out / f"{name}.json" for name in names], [*sources, *(path for folder in folders for path in folder.glob("*"))])


def _score_all(tracks: list[Scorable], stage: Stage, engine: Engine, n_jobs: int) -> Iterator[str]:
    """Score the tracks and yield the faults of those that cannot be."""
    # new processes: a GPU cannot be used by one that was forked
    with ProcessPoolExecutor(n_jobs, multiprocessing.get_context("spawn")) as pool, Progress("scoring", len(tracks)) as progress:
        running = {pool.submit(score_track, track, stage, engine): track for track in tracks}
        for finished in as_completed(running):
            try:
                finished.result()
            except InputError as error:
                yield str(error)
            progress.advance(1, running[finished].name)


def _estimated(estimates: Path) -> list[Path]:
    """Return the track folders. Raises InputError if there are none."""
    subsets = [estimates / subset for subset in SUBSETS if (estimates / subset).is_dir()]
    folders = [folder for subset in subsets for folder in visible(subset) if folder.is_dir()]
    if not folders:
        raise InputError(f"{estimates}: no estimates in it; expected test/<track>/<target>.wav.")
    return folders


def _scorable(references: Path, folder: Path) -> Scorable:
    """Return a track with its estimates. Raises InputError if it has no reference, or estimates of fewer than two targets."""
    subset, name = folder.parent.name, folder.name
    stems, wavs = references / subset / f"{name}{STEM_SUFFIX}", references / subset / name
    source, layout = (stems, "stems") if stems.is_file() else (wavs, "wav")
    if not source.exists():
        raise InputError(f"{references}: has no track {subset}/{name}, for which there are estimates in {folder}.")
    targets = [target for target in ALL_TARGETS if (folder / f"{target}.wav").is_file()]
    if len(targets) < 2:
        raise InputError(f"{folder}: BSSEval needs estimates of two targets or more; expected some of {', '.join(ALL_TARGETS)}.")
    track = Track(name, subset, layout, str(source), 0.0, MUSDB18.name)
    made_from = {
        "references": _digest(track.source_files()),
        "estimates": _digest({target: folder / f"{target}.wav" for target in targets}),
        "targets": ",".join(targets),
    }
    return Scorable(slug_of(f"{subset}/{name}"), name, subset, made_from, partial(_read, track, folder, targets))


def _digest(files: dict[str, Path]) -> str:
    try:
        return digest({name: sha256(file) for name, file in files.items()})
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror}).") from None


def _read(track: Track, folder: Path, targets: list[str]) -> Pair:
    stems = read_stems(track)
    stems["accompaniment"] = accompaniment(stems)
    references = {target: stems[target] for target in targets}
    check_audible(track.name, references)
    return Pair(references, read_estimates(folder, references, MUSDB18.sample_rate_hz), MUSDB18.sample_rate_hz)
