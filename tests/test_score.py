"""The scoring stage against museval itself, closed forms and numbers worked out by hand."""

import errno
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import musdb
import museval
import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from wavs import RATE_HZ, noise_stems, prepare_test_tracks, write_track

from madsep.core.errors import InputError
from madsep.core.files import read_json
from madsep.data.prepare import prepare
from madsep.data.tracks import Track
from madsep.scoring.engines import Engine, score_text
from madsep.scoring.estimates import Estimates
from madsep.scoring.score import audit, global_sdr, preview, score, si_sdr, worst_difference_db

NAME = "Artist & Co. - It's (Mine)"
TARGETS = ("vocals", "accompaniment")


@dataclass(frozen=True)
class Job:
    """One track to score, and the table that says it is done."""

    prepared: list[Path]
    slugs: list[str]
    folder: Path | None
    table: Path

    def run(self, engine: str = "museval") -> None:
        score(Estimates(self.prepared, self.slugs, TARGETS, self.folder), self.table, Engine(engine))


def set_up(tmp_path: Path, stems: dict[str, np.ndarray], estimates: dict[str, np.ndarray]) -> Job:
    """One prepared test track with 16-bit estimates of shape (n_samples, 2), and the job that scores it."""
    write_track(tmp_path / "musdb/test" / NAME, stems)
    write_track(tmp_path / "musdb/train/Somebody - Else", stems)
    manifest = prepare_test_tracks(tmp_path / "musdb", tmp_path / "prepared")
    folder = tmp_path / "estimates/test" / NAME
    folder.mkdir(parents=True)
    for target, samples in estimates.items():
        sf.write(folder / f"{target}.wav", samples, RATE_HZ, subtype="PCM_16")
    return Job([manifest], ["test001"], tmp_path / "estimates", tmp_path / "scores/test001.csv")


def imperfect(stems: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Estimates that leak a tenth of the other target and miss what the low bits hold."""
    voice, rest = stems["vocals"], stems["mixture"] - stems["vocals"]
    return {"vocals": (voice + rest // 10) // 8 * 8, "accompaniment": (rest + voice // 10) // 8 * 8}


def frames(job: Job, target: str) -> list[dict[str, float]]:
    """Metrics of each frame that the job has written."""
    document = read_json(job.table.parent / "test/test001.json")
    (found,) = (entry for entry in document["targets"] if entry["name"] == target)
    return [frame["metrics"] for frame in found["frames"]]


@pytest.mark.parametrize("engine", ["museval", "fast"])
def test_scores_are_musevals_own_bytes(tmp_path: Path, engine: str) -> None:
    stems = noise_stems(1, 2.4)
    stems["vocals"][:RATE_HZ] = 0  # museval drops this frame
    stems["mixture"] = sum(stems[name] for name in ("vocals", "drums", "bass", "other"))
    job = set_up(tmp_path, stems, imperfect(stems))
    job.run(engine)
    (track,) = musdb.DB(root=str(tmp_path / "musdb"), is_wav=True, subsets="test").tracks
    estimates = {target: sf.read(tmp_path / "estimates/test" / NAME / f"{target}.wav")[0] for target in TARGETS}
    truth = museval.eval_mus_track(track, estimates)
    assert (tmp_path / "scores/test/test001.json").read_text() == truth.json
    assert "NaN" in truth.json


def test_regression_file_of_museval(shared: Path, tmp_path: Path) -> None:
    data = shared / "data/musdb_sample"
    (path,) = (data / "train").glob("*.stem.mp4")
    track = Track("test001", "Music Delta - 80s Rock", "test", "stems", str(path), 6.8, "musdb18")
    prepare([track], TARGETS, False, tmp_path, tmp_path / "test.json")
    references = dict(zip(TARGETS, np.load(tmp_path / "test001.npy"), strict=True))
    np.random.seed(0)  # as museval's own test draws them
    shape = references["vocals"].T.shape
    estimates = {target: np.random.random(shape).T for target in TARGETS}
    found = json.loads(score_text(Engine("museval"), track.name, references, estimates, RATE_HZ))
    truth = read_json(data / "museval-regression.json")
    assert [target["name"] for target in found["targets"]] == [target["name"] for target in truth["targets"]] == list(TARGETS)
    for target, expected in zip(found["targets"], truth["targets"], strict=True):
        assert len(target["frames"]) == len(expected["frames"]) == 6
        for frame, stored in zip(target["frames"], expected["frames"], strict=True):
            assert (frame["time"], frame["duration"]) == (stored["time"], stored["duration"])
            assert frame["metrics"] == pytest.approx(stored["metrics"], abs=0.1)


def test_framewise_sdr_is_the_closed_form(tmp_path: Path) -> None:
    stems = noise_stems(2, 3.0)
    estimates = imperfect(stems)
    job = set_up(tmp_path, stems, estimates)
    job.run()
    references = {"vocals": stems["vocals"], "accompaniment": stems["mixture"] - stems["vocals"]}
    for target in TARGETS:
        reference, error = (x.astype(float) for x in (references[target], references[target] - estimates[target]))
        energies = [[np.sum(part**2) for part in np.split(signal, 3)] for signal in (reference, error)]
        expected = 10 * np.log10(np.divide(*energies))
        np.testing.assert_allclose([frame["SDR"] for frame in frames(job, target)], expected, atol=6e-6)


def test_mix_gives_each_source_a_fourth_of_the_mixture(tmp_path: Path) -> None:
    """SDR by hand; ISR is that of the published files, 20 log10(4/3) for a source and 20 log10(4) for the accompaniment."""
    stems = noise_stems(3, 1.0)
    job = set_up(tmp_path, stems, {})
    Job(job.prepared, job.slugs, None, job.table).run()
    voice, rest = stems["vocals"].astype(float), (stems["mixture"] - stems["vocals"]).astype(float)
    expected = 10 * np.log10(np.sum(voice**2) / np.sum((0.75 * voice - 0.25 * rest) ** 2))
    assert frames(job, "vocals")[0]["SDR"] == pytest.approx(expected, abs=1e-5)
    of_rest = 10 * np.log10(np.sum(rest**2) / np.sum((0.25 * rest - 0.75 * voice) ** 2))
    assert frames(job, "accompaniment")[0]["SDR"] == pytest.approx(of_rest, abs=1e-5)
    isr = {target: 20 * np.log10(1 / (1 - part)) for target, part in (("vocals", 0.25), ("accompaniment", 0.75))}
    assert {target: frames(job, target)[0]["ISR"] for target in isr} == pytest.approx(isr, abs=0.6)
    table = pd.read_csv(job.table)
    assert list(table.columns) == ["track", "target", "metric", "value"]
    assert set(table["track"]) == {NAME}
    values = table.set_index(["target", "metric"])["value"]
    assert values["vocals", "SDR_global"] == pytest.approx(expected, abs=1e-6)
    assert set(values.index) == {(target, metric) for target in TARGETS for metric in ("SDR_global", "SI-SDR")}


def test_whole_track_metrics_by_hand() -> None:
    reference = np.tile([1.0, -1.0], (2, 50))  # energy 200
    estimate = 0.9 * reference  # error energy 200 * 0.01 = 2
    assert global_sdr(reference, estimate) == pytest.approx(20, abs=1e-6)
    assert global_sdr(reference, np.zeros_like(reference)) == pytest.approx(0, abs=1e-9)
    assert global_sdr(np.zeros_like(reference), np.zeros_like(reference)) == 0
    orthogonal = np.tile([1.0, 1.0], (2, 50))
    mixed = 3 * reference + 0.3 * orthogonal  # 9 * 200 against 0.09 * 200
    assert si_sdr(reference, mixed) == pytest.approx(20, abs=1e-6)
    assert si_sdr(reference, 7 * mixed) == pytest.approx(20, abs=1e-6)
    assert global_sdr(reference, mixed) == pytest.approx(10 * np.log10(1 / (4 + 0.09)), abs=1e-6)


def test_whole_track_metrics_take_both_channels_together() -> None:
    reference = np.array([[1.0] * 10, [2.0] * 10])
    estimate = np.array([[1.0] * 10, [1.5] * 10])
    assert global_sdr(reference, estimate) == pytest.approx(10 * np.log10(50 / 2.5), abs=1e-6)


@pytest.mark.parametrize("silent", TARGETS)
def test_a_silent_reference_is_refused(tmp_path: Path, silent: str) -> None:
    stems = noise_stems(4, 0.5)
    quiet = ("vocals",) if silent == "vocals" else ("drums", "bass", "other")
    stems |= {name: np.zeros_like(stems[name]) for name in quiet}
    stems["mixture"] = sum(stems[name] for name in ("vocals", "drums", "bass", "other"))
    job = set_up(tmp_path, stems, imperfect(noise_stems(4, 0.5)))
    with pytest.raises(InputError, match=rf"It's \(Mine\): the {silent} reference is silent throughout"):
        job.run()
    assert not job.table.parent.exists()


def test_a_silent_estimate_gives_nan_frames_and_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stems = noise_stems(5, 2.0)
    job = set_up(tmp_path, stems, imperfect(stems) | {"vocals": np.zeros_like(stems["vocals"])})
    with caplog.at_level(logging.WARNING, "madsep"):
        job.run()
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"{NAME}: the estimate of vocals is silent throughout; every frame is NaN"
    ]
    for target in TARGETS:
        values = [list(metrics.values()) for metrics in frames(job, target)]
        assert np.shape(values) == (2, 4) and np.isnan(values).all()


def test_a_frame_with_a_silent_estimate_is_nan_for_both_targets(tmp_path: Path) -> None:
    stems = noise_stems(6, 2.0)
    estimates = imperfect(stems)
    estimates["vocals"][RATE_HZ:] = 0
    job = set_up(tmp_path, stems, estimates)
    job.run()
    for target in TARGETS:
        values = np.array([list(metrics.values()) for metrics in frames(job, target)])
        np.testing.assert_array_equal(np.isnan(values).all(axis=1), [False, True])


def test_half_a_second_is_one_frame(tmp_path: Path) -> None:
    stems = noise_stems(7, 0.5)
    job = set_up(tmp_path, stems, imperfect(stems))
    job.run()
    assert [len(frames(job, target)) for target in TARGETS] == [1, 1]
    assert np.isfinite(list(frames(job, "vocals")[0].values())).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "vocals.wav").unlink(), r"vocals\.wav: this estimate is missing; separate the track again"),
        (
            lambda folder: sf.write(folder / "accompaniment.wav", np.zeros((22_049, 2)), RATE_HZ),
            r"accompaniment\.wav: has shape \(2, 22049\) \(channels, samples\); expected \(2, 22050\)",
        ),
        (lambda folder: (folder / "vocals.wav").write_bytes(b"RIFF"), r"vocals\.wav: cannot be read as audio"),
    ],
)
def test_bad_estimates_are_refused(tmp_path: Path, change, message: str) -> None:
    stems = noise_stems(8, 0.5)
    job = set_up(tmp_path, stems, imperfect(stems))
    change(tmp_path / "estimates/test" / NAME)
    with pytest.raises(InputError, match=message):
        job.run()
    assert not job.table.parent.exists()


def test_training_tracks_are_not_scored(tmp_path: Path) -> None:
    job = set_up(tmp_path, noise_stems(9, 0.5), {})
    manifest = job.prepared[0]
    manifest.write_text(manifest.read_text().replace('"subset": "test"', '"subset": "train"'))
    with pytest.raises(InputError, match="is a train track; expected test tracks only"):
        job.run()


@pytest.mark.parametrize(
    ("number", "message"), [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "no permission to write"), (errno.EROFS, "no permission")]
)
def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str) -> None:
    stems = noise_stems(10, 0.5)
    job = set_up(tmp_path, stems, imperfect(stems))

    def fail(path: Path, *args: object, **kwargs: object) -> None:
        path.write_bytes(b"half")
        raise OSError(number, "no")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(InputError, match=rf"test001\.json: {message}"):
        job.run()
    assert [path for path in job.table.parent.rglob("*") if path.is_file()] == []


def fast_job(tmp_path: Path) -> tuple[Job, Estimates]:
    """A track of two seconds that the fast engine has scored."""
    stems = noise_stems(3, 2.0)
    job = set_up(tmp_path, stems, imperfect(stems))
    job.run("fast")
    return job, Estimates(job.prepared, job.slugs, TARGETS, job.folder)


def test_audit_finds_the_fast_engine_right(tmp_path: Path) -> None:
    job, estimates = fast_job(tmp_path)
    audit(estimates, job.table.parent / "test", tmp_path / "audit.json", 1)
    (worst,) = read_json(tmp_path / "audit.json")["worst_difference_db"].values()
    assert worst <= 1e-5


@pytest.mark.parametrize("change", [2e-4, float("nan")])
def test_audit_stops_at_a_score_that_is_not_musevals(tmp_path: Path, change: float) -> None:
    job, estimates = fast_job(tmp_path)
    path = job.table.parent / "test/test001.json"
    document = read_json(path)
    document["targets"][1]["frames"][1]["metrics"]["SIR"] += change
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"It's \(Mine\): the fast engine differs from museval by (2.0e-04|inf) dB; at most 1e-04 dB"):
        audit(estimates, path.parent, tmp_path / "audit.json", 1)
    assert not (tmp_path / "audit.json").exists()


def test_worst_difference_is_the_largest_over_frames_targets_and_metrics(tmp_path: Path) -> None:
    job, _ = fast_job(tmp_path)
    path = job.table.parent / "test/test001.json"
    document = read_json(path)
    document["targets"][0]["frames"][1]["metrics"]["SAR"] -= 0.5
    document["targets"][1]["frames"][0]["metrics"]["SDR"] += 0.25
    (tmp_path / "changed.json").write_text(json.dumps(document))
    assert worst_difference_db(path, tmp_path / "changed.json") == pytest.approx(0.5)
    assert worst_difference_db(path, path) == 0


def test_preview_shows_the_medians_of_the_scores(tmp_path: Path) -> None:
    job, estimates = fast_job(tmp_path)
    preview(estimates, tmp_path / "preview.txt", 1)
    median = np.median([frame["SDR"] for frame in frames(job, "vocals")])
    (line,) = (line for line in (tmp_path / "preview.txt").read_text().splitlines() if "vocals" in line and "SDR" in line)
    assert f"{median:.2f}" in line
