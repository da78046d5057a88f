"""The workflow stage that separates prepared tracks with a checkpoint."""

import math
from collections.abc import Sequence
from pathlib import Path

from madsep.core.artefacts import Stage
from madsep.core.devices import Device, claim
from madsep.core.errors import Faults, InputError
from madsep.core.files import scratch_folder, sha256
from madsep.core.progress import Progress
from madsep.data.audio import resample_to_length
from madsep.data.prepared import PreparedTrack
from madsep.data.songs import IN_MUSDB18, same_songs
from madsep.models.checkpoint import load_checkpoint
from madsep.separation.network import Separator, ZeroedLatent
from madsep.separation.output import due_tracks, remove_estimates, resampled, target_files, write_targets


def separate(checkpoint: Path, tracks: Sequence[PreparedTrack], folder: Path, job: str, device: Device, n_threads: int) -> None:
    """Separate `tracks` into <folder>/test/<true name>/<target>.wav, each with its record, then write the stamp of `job`.

    Targets are vocals and accompaniment, or all stems and accompaniment. If a track's rate differs from the front end's, the mixture is
    resampled to the front end's rate and the estimates are resampled back. Estimates made from the same audio with the same checkpoint are
    kept. The share of `ZeroedLatent` is logged. Raises InputError if the checkpoint is damaged or was trained on one of the songs, or if
    the disk is full. Once the other tracks are done, raises InputError for tracks that cannot be separated.
    """
    stage, faults, digest = Stage(folder), Faults(), sha256(checkpoint)
    made_from = {track.slug: {"prepared": track.sha256, "checkpoint": digest} for track in tracks}
    if due := due_tracks(stage, tracks, made_from):
        with claim(device, n_threads) as claimed, Progress(f"separating {job}", len(due)) as progress:
            separator = Separator(load_checkpoint(checkpoint, claimed), claimed)
            _check_unseen(checkpoint, separator, tracks)
            zeroed = ZeroedLatent(separator)
            for track in due:
                with faults.gathered(), stage.making(track.slug, made_from[track.slug]) as made:
                    track_folder = folder / "test" / track.name
                    n_clipped = _separate(separator, track, track_folder)
                    made |= {"files": [track_folder / f"{target}.wav" for target in n_clipped], "name": track.name, "n_clipped": n_clipped}
                progress.advance(1, track.name)
            zeroed.tell()
    faults.raise_all()
    stage.finish_job(job, [track.slug for track in tracks])


def _check_unseen(checkpoint: Path, separator: Separator, tracks: Sequence[PreparedTrack]) -> None:
    """Raise InputError if the weights were trained on one of the songs to test, even from another data set."""
    songs: Sequence[str] = separator.checkpoint.provenance.get("songs", ())
    if seen := same_songs([track.name for track in tracks], songs):
        reason = "" if set(seen) & set(songs) else f" ({IN_MUSDB18})"
        raise InputError(f"{checkpoint}: was trained on {len(seen)} of the test songs, such as '{seen[0]}'{reason}; train on other songs.")


def _separate(separator: Separator, track: PreparedTrack, folder: Path) -> dict[str, int]:
    """Separate one prepared track into `folder` and return the number of clipped samples of each target."""
    mixture, rate_hz, front_end_hz = track.signal("mixture"), track.sample_rate_hz, separator.checkpoint.recipe.front_end.sample_rate_hz
    files = target_files(folder, separator.targets)
    remove_estimates(folder)
    if rate_hz == front_end_hz:
        return write_targets(separator.estimates(mixture), separator.targets, mixture, files, rate_hz)
    with scratch_folder(folder) as scratch:
        n_samples = math.ceil(mixture.shape[1] * front_end_hz / rate_hz)
        there = resample_to_length(mixture, rate_hz, front_end_hz, n_samples, scratch / "mixture.f32")
        blocks = resampled(separator.estimates(there), separator.targets, mixture.shape, (front_end_hz, rate_hz), scratch)
        return write_targets(blocks, separator.targets, mixture, files, rate_hz)
