"""Score a folder of estimates in museval's layout, several tracks at once, leaving out those that have a score file already."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from madsep.core.errors import InputError
from madsep.core.files import write_text
from madsep.core.logs import log
from madsep.core.progress import Progress
from madsep.data.audio import read_wav
from madsep.data.datasets import MUSDB18
from madsep.data.stems import accompaniment, read_stems
from madsep.data.tracks import STEM_SUFFIX, SUBSETS, Track
from madsep.scoring.engines import Engine, score_text
from madsep.scoring.scores import read_track
from madsep.separation.external import ALL_TARGETS


@dataclass(frozen=True)
class _Task:
    """One track to score: a MUSDB18 track, its folder of <target>.wav, and the file to write."""

    track: Track
    estimates: Path
    out: Path
    engine: Engine


def score_folders(references: Path, estimates: Path, out: Path, engine: Engine, n_jobs: int) -> None:
    """Write <out>/<subset>/<track>.json for each track folder of `estimates`, against the MUSDB18 tree (stems or wavs) `references`.

    Both folders hold test/ or train/ with tracks in them. Tracks with a valid score file of the same targets are left out.
    Raises InputError, after the others are done, with one line for each track that cannot be scored.
    """
    tasks = [task for task in _tasks(references, estimates, out, engine) if not _is_done(task)]
    log.info("%d tracks to score", len(tasks))
    faults = []
    # processes started afresh: a GPU cannot be used by one that was forked
    with ProcessPoolExecutor(n_jobs, multiprocessing.get_context("spawn")) as pool, Progress("scoring", len(tasks)) as progress:
        running = {pool.submit(_score, task): task for task in tasks}
        for finished in as_completed(running):
            try:
                finished.result()
            except InputError as error:
                faults.append(str(error))
            progress.advance(1, running[finished].track.name)
    if faults:
        raise InputError("\n".join(faults))


def _tasks(references: Path, estimates: Path, out: Path, engine: Engine) -> Iterator[_Task]:
    folders = [folder for subset in SUBSETS for folder in sorted((estimates / subset).glob("*")) if folder.is_dir()]
    if not folders:
        raise InputError(f"{estimates}: no estimates in it; expected test/<track>/<target>.wav.")
    for folder in folders:
        subset, name = folder.parent.name, folder.name
        stems, wavs = references / subset / f"{name}{STEM_SUFFIX}", references / subset / name
        source, layout = (stems, "stems") if stems.is_file() else (wavs, "wav")
        if not source.exists():
            raise InputError(f"{references}: has no track {subset}/{name}, for which there are estimates in {folder}.")
        yield _Task(Track(name, name, subset, layout, str(source), 0.0, MUSDB18.name), folder, out / subset / f"{name}.json", engine)


def _targets(task: _Task) -> list[str]:
    """Targets that the task has estimates of. Raises InputError where there are fewer than two."""
    targets = [target for target in ALL_TARGETS if (task.estimates / f"{target}.wav").is_file()]
    if len(targets) < 2:
        raise InputError(f"{task.estimates}: BSSEval needs estimates of two targets or more; expected some of {', '.join(ALL_TARGETS)}.")
    return targets


def _is_done(task: _Task) -> bool:
    if not task.out.is_file():
        return False
    try:
        return set(read_track(task.out)["target"]) == set(_targets(task))
    except InputError as error:
        log.warning("%s It is scored again.", error)
        return False


def _score(task: _Task) -> None:
    stems = read_stems(task.track)
    stems["accompaniment"] = accompaniment(stems)
    estimates = {}
    for target in _targets(task):
        path = task.estimates / f"{target}.wav"
        audio, rate_hz = read_wav(path)
        if (rate_hz, len(audio)) != (MUSDB18.sample_rate_hz, MUSDB18.n_channels):
            expected = f"expected {MUSDB18.sample_rate_hz} Hz and {MUSDB18.n_channels}"
            raise InputError(f"{path}: has {rate_hz} Hz and {len(audio)} channels; {expected}.")
        if not stems[target].any():
            raise InputError(f"{task.track.name}: the {target} reference is silent throughout; BSSEval is not defined for it.")
        estimates[target] = audio
    references = {target: stems[target] for target in estimates}
    write_text(task.out, score_text(task.engine, task.track.name, references, estimates, MUSDB18.sample_rate_hz))
