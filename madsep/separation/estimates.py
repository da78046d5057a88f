"""The workflow stage for external estimates of prepared test tracks: from a user's callable, a folder or an oracle."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from madsep.core.artefacts import Stage
from madsep.core.errors import Faults, InputError, nearest
from madsep.core.files import atomic, refuse_inputs, scratch_folder, sha256_each
from madsep.core.logs import log
from madsep.core.progress import Progress
from madsep.data.audio import read_wav
from madsep.data.datasets import ALL_TARGETS, STEMS, TARGETS
from madsep.data.prepared import PreparedTrack
from madsep.data.wav_writer import WavWriter, quantise
from madsep.separation.external import External, estimated_tracks
from madsep.separation.oracles import ORACLES, Oracle, oracle_estimates
from madsep.separation.output import due_tracks, remove_estimates
from madsep.separation.worker import Worker

Audio = NDArray[np.float32]
Source = Callable[[PreparedTrack, Audio, str], dict[str, Audio]]  # track, mixture (n_channels, n_samples), start of messages -> estimates


def separate_external(external: External, targets: Sequence[str], tracks: Sequence[PreparedTrack], folder: Path, job: str) -> None:
    """Write <folder>/test/<true name>/<target>.wav, 16 bit, for each of `targets` and `tracks`, with its record; then the stamp of `job`.

    `targets` are those of `external_targets`. Estimates that were made from the same ingredients are kept. Raises InputError if a callable
    cannot be loaded, and DiskFull at once. When all tracks are done, raises InputError with a line for each track for which the callable
    failed or returned something unexpected, whose estimate is missing or does not fit the mixture, or that was prepared without the stems
    that an oracle needs.
    """
    stage, faults = Stage(folder), Faults()
    given = external.ingredients([track.name for track in tracks], targets, sha256_each)
    made_from = {track.slug: {"prepared": track.sha256, **given[track.name]} for track in tracks}
    if due := due_tracks(stage, tracks, made_from):
        with _source(external, targets, stage.folder) as source, Progress(f"separating {job}", len(due)) as progress:
            log.info("estimates by %s (%s)", external.label, external.origin)
            for track in due:
                with faults.gathered(), stage.making(track.slug, made_from[track.slug]) as made:
                    n_clipped = _make(external, source, targets, track, folder / "test" / track.name)
                    files = [folder / "test" / track.name / f"{target}.wav" for target in n_clipped]
                    made |= {"files": files, "name": track.name, "n_clipped": n_clipped}
                progress.advance(1, track.name)
    faults.raise_all()
    stage.finish_job(job, [track.slug for track in tracks])


def _make(external: External, source: Source, targets: Sequence[str], track: PreparedTrack, folder: Path) -> dict[str, int]:
    """Write the estimates of one track into `folder` and return the number of clipped samples of each target."""
    where = f"{external.label}, {track.name}"
    mixture = track.signal("mixture")
    found = source(track, mixture, where)
    estimates = completed(found, mixture, targets, where)
    unused = [target for target in found if target not in targets]
    if unused:
        log.warning("%s: %s not among the system's targets, left out", where, ", ".join(unused))
    originals = _track_files(external.estimates, track.name) if external.estimates is not None else {}
    refuse_inputs([folder / f"{target}.wav" for target in ALL_TARGETS], [*originals.values()])
    remove_estimates(folder)
    n_clipped = {}
    for target, audio in estimates.items():
        path = folder / f"{target}.wav"
        n_clipped[target] = _write(audio, path, track.sample_rate_hz, originals.get(target))
    return n_clipped


def completed(estimates: Mapping[str, Audio], mixture: Audio, targets: Sequence[str], where: str) -> dict[str, Audio]:
    """Return the estimates of `targets`, each (n_channels, n_samples), in their order.

    A missing accompaniment is computed as the sum of drums, bass and other or, if one of these is missing, as mixture - vocals. The
    estimates are first rounded to 16 bit, so that the files add up except where the accompaniment clips. Raises InputError, beginning with
    `where`, if a target is missing.
    """
    estimates, background = dict(estimates), STEMS[1:]
    if "accompaniment" not in estimates:
        if set(background) <= estimates.keys():
            estimates["accompaniment"] = np.sum([quantise(estimates[stem]) for stem in background], axis=0)
        elif "vocals" in estimates:
            estimates["accompaniment"] = mixture - quantise(estimates["vocals"])
    missing = [target for target in targets if target not in estimates]
    if missing:
        raise InputError(f"{where}: there is no estimate of {', '.join(missing)}; expected {', '.join(targets)}.")
    return {target: estimates[target] for target in targets}


@contextlib.contextmanager
def _source(external: External, targets: Sequence[str], folder: Path) -> Iterator[Source]:
    if external.separator is not None:
        with scratch_folder(folder) as scratch, Worker(external.separator) as worker:
            has_targets = worker.declared() is not None or external.targets is not None
            yield partial(_by_callable, worker, has_targets, scratch)
    elif external.estimates is not None:
        yield partial(_from_folder, external.estimates)
    else:
        assert external.oracle is not None  # one of the three is given
        yield partial(_by_oracle, ORACLES[external.oracle], STEMS if "drums" in targets else TARGETS)


def _by_callable(worker: Worker, has_targets: bool, scratch: Path, track: PreparedTrack, mixture: Audio, where: str) -> dict[str, Audio]:
    """Return the callable's estimates. Raises InputError if it returns all stems without having declared targets."""
    found = worker.separate(mixture, track.sample_rate_hz, where, scratch)
    if not has_targets and set(STEMS) <= found.keys():
        raise InputError(
            f"{where}: returned {', '.join(found)}, but no targets were declared, so vocals and accompaniment were expected; set "
            'its attribute madsep_targets = ("vocals", "drums", "bass", "other"), or targets: [vocals, drums, bass, other] '
            "in its entry of external."
        )
    return found


def _by_oracle(oracle: Oracle, sources: Sequence[str], track: PreparedTrack, mixture: Audio, where: str) -> dict[str, Audio]:
    missing = [source for source in sources if source not in track.signals]
    if missing:
        raise InputError(f"{where}: an oracle needs the references of {', '.join(sources)}; {', '.join(missing)} are not prepared.")
    return oracle_estimates(oracle, mixture, {source: track.signal(source) for source in sources})


def _from_folder(root: str, track: PreparedTrack, mixture: Audio, where: str) -> dict[str, Audio]:
    return {target: _read(path, track, mixture) for target, path in _track_files(root, track.name).items()}


def _track_files(root: str, name: str) -> dict[str, Path]:
    """The files of a track in a folder of estimates, by target."""
    found = estimated_tracks(root)
    if name not in found:
        raise InputError(f"{root}: has no estimates of {name}{nearest(name, found)}")
    return found[name]


def _read(path: Path, track: PreparedTrack, mixture: Audio) -> Audio:
    """Read an estimate (n_channels, n_samples), averaged over its channels if the mixture is mono, as in the protocol sisec16.

    Raises InputError unless it has the rate and shape of the mixture.
    """
    audio, sample_rate_hz = read_wav(path)
    if len(mixture) == 1:
        audio = audio.mean(axis=0, keepdims=True)
    if sample_rate_hz != track.sample_rate_hz:
        raise InputError(f"{path}: has a sample rate of {sample_rate_hz} Hz; expected {track.sample_rate_hz} Hz as the mixture.")
    if audio.shape != mixture.shape:
        n_channels, n_samples = mixture.shape
        found = f"has {audio.shape[1]} samples of {len(audio)} channels"
        raise InputError(f"{path}: {found}; expected {n_samples} of {n_channels} as the mixture of {track.name}.")
    return audio


def _write(audio: Audio, path: Path, sample_rate_hz: int, original: Path | None) -> int:
    """Write an estimate, or copy `original` if it already is a 16-bit wav. Return the number of clipped samples."""
    if original is not None and _is_pcm16(original, len(audio)):
        with atomic(path) as temporary:
            shutil.copyfile(original, temporary)
        return 0
    with WavWriter(path, sample_rate_hz, audio.shape, "PCM_16") as writer:
        writer.write(audio)
    return writer.tell_clipped()


def _is_pcm16(path: Path, n_channels: int) -> bool:
    found = sf.info(path)
    return found.format in ("WAV", "WAVEX") and found.subtype == "PCM_16" and found.channels == n_channels
