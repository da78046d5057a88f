"""The scoring stage against museval itself, closed forms and numbers worked out by hand."""

import errno
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import musdb
import museval
import numpy as np
import pytest
import soundfile as sf
from scored import write_estimates, write_prepared_tracks
from wavs import RATE_HZ, noise_stems, write_track

from madsep.core.artefacts import Record, Stage
from madsep.core.errors import InputError
from madsep.core.files import read_json
from madsep.data.prepared import PreparedTrack
from madsep.data.stems import accompaniment, read_stems
from madsep.data.tracks import Track
from madsep.scoring.audit import audit, preview, worst_difference_db
from madsep.scoring.chain import check_chain
from madsep.scoring.engines import Engine, score_text
from madsep.scoring.estimates import Pair
from madsep.scoring.score import global_sdr, score, si_sdr

NAME = "Artist & Co. - It's (Mine)"
TARGETS = ("vocals", "accompaniment")


@dataclass(frozen=True)
class Job:
    """One track to score, and the stages' folders."""

    track: PreparedTrack
    estimates: Path | None
    scores: Path

    def run(self, engine: str = "fast") -> None:
        score([self.track], TARGETS, self.estimates, self.scores, "job", Engine(engine))

    @property
    def file(self) -> Path:
        """The scores in museval's layout."""
        return self.scores / "test" / f"{NAME}.json"

    @property
    def record(self) -> Record:
        return Stage(self.scores).record(self.track.slug)


def prepared(folder: Path, stems: dict[str, np.ndarray]) -> PreparedTrack:
    """The track prepared from stems of 16 bit, (n_samples, 2)."""
    signals = {"mixture": stems["mixture"], "vocals": stems["vocals"], "accompaniment": stems["mixture"] - stems["vocals"]}
    scaled = {name: samples.T.astype(np.float32) / 32768 for name, samples in signals.items()}
    return write_prepared_tracks(folder, {NAME: scaled}, RATE_HZ)[0]


def set_up(tmp_path: Path, stems: dict[str, np.ndarray], estimates: dict[str, np.ndarray]) -> Job:
    """One prepared test track with 16-bit estimates of shape (n_samples, 2), and the job that scores it."""
    track = prepared(tmp_path / "prepared", stems)
    write_estimates(tmp_path / "estimates", track, {target: samples.T for target, samples in estimates.items()})
    return Job(track, tmp_path / "estimates", tmp_path / "scores")


def imperfect(stems: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Estimates that leak a tenth of the other target and miss what the low bits hold."""
    voice, rest = stems["vocals"], stems["mixture"] - stems["vocals"]
    return {"vocals": (voice + rest // 10) // 8 * 8, "accompaniment": (rest + voice // 10) // 8 * 8}


def frames(job: Job, target: str) -> list[dict[str, float]]:
    """Metrics of each frame that the job has written."""
    document = read_json(job.file)
    (found,) = (entry for entry in document["targets"] if entry["name"] == target)
    return [frame["metrics"] for frame in found["frames"]]


def test_scores_are_musevals_own_bytes(tmp_path: Path) -> None:
    stems = noise_stems(1, 2.4)
    stems["vocals"][:RATE_HZ] = 0  # museval drops this frame
    stems["mixture"] = sum(stems[name] for name in ("vocals", "drums", "bass", "other"))
    job = set_up(tmp_path, stems, imperfect(stems))
    write_track(tmp_path / "musdb/test" / NAME, stems)
    (track,) = musdb.DB(root=str(tmp_path / "musdb"), is_wav=True, subsets="test").tracks
    estimates = {target: sf.read(tmp_path / "estimates/test" / NAME / f"{target}.wav")[0] for target in TARGETS}
    truth = museval.eval_mus_track(track, estimates)
    assert "NaN" in truth.json
    for engine in ("museval", "fast"):
        job.run(engine)
        assert job.file.read_text() == truth.json


def test_regression_file_of_museval(shared: Path) -> None:
    data = shared / "data/musdb_sample"
    (path,) = (data / "train").glob("*.stem.mp4")
    stems = read_stems(Track("Music Delta - 80s Rock", "test", "stems", str(path), 6.8, "musdb18"))
    references = {"vocals": stems["vocals"], "accompaniment": accompaniment(stems)}
    np.random.seed(0)  # as museval's own test draws them
    shape = references["vocals"].T.shape
    estimates = {target: np.random.random(shape).T for target in TARGETS}
    found = json.loads(score_text(Engine("museval"), "Music Delta - 80s Rock", Pair(references, estimates, RATE_HZ)))
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
    job = Job(prepared(tmp_path / "prepared", stems), None, tmp_path / "scores")
    job.run()
    voice, rest = stems["vocals"].astype(float), (stems["mixture"] - stems["vocals"]).astype(float)
    expected = 10 * np.log10(np.sum(voice**2) / np.sum((0.75 * voice - 0.25 * rest) ** 2))
    assert frames(job, "vocals")[0]["SDR"] == pytest.approx(expected, abs=1e-5)
    of_rest = 10 * np.log10(np.sum(rest**2) / np.sum((0.25 * rest - 0.75 * voice) ** 2))
    assert frames(job, "accompaniment")[0]["SDR"] == pytest.approx(of_rest, abs=1e-5)
    isr = {target: 20 * np.log10(1 / (1 - part)) for target, part in (("vocals", 0.25), ("accompaniment", 0.75))}
    assert {target: frames(job, target)[0]["ISR"] for target in isr} == pytest.approx(isr, abs=0.6)
    record = job.record
    assert record.made_from == {"references": job.track.sha256, "estimates": "mix", "targets": "vocals,accompaniment", "engine": "fast"}
    assert record.facts["name"] == NAME
    assert {target: list(values) for target, values in record.facts["whole_track"].items()} == {
        target: ["SDR", "SI-SDR"] for target in TARGETS
    }
    assert record.facts["whole_track"]["vocals"]["SDR"] == pytest.approx(expected, abs=1e-6)


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
    assert not job.file.exists() and not list(job.scores.rglob("*.json"))


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


WRONG_LENGTH = r"accompaniment\.wav: has 22049 samples of 2 channels at 44100 Hz; expected 22050 samples of 2 channels at 44100 Hz"


@pytest.mark.parametrize("engine", ["museval", "fast"])
def test_estimates_of_another_length_are_refused_by_both_engines(tmp_path: Path, engine: str) -> None:
    stems = noise_stems(8, 0.5)
    estimates = imperfect(stems)
    job = set_up(tmp_path, stems, estimates | {"accompaniment": estimates["accompaniment"][:-1]})
    with pytest.raises(InputError, match=WRONG_LENGTH):
        job.run(engine)
    assert not job.file.exists() and not list(job.scores.rglob("*.json"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "vocals.wav").unlink(), r"vocals\.wav: is missing; run the same command again"),
        (
            lambda folder: (folder / "vocals.wav").write_bytes(b"RIFF"),
            r"vocals\.wav: was changed after it was written; run the same command",
        ),
    ],
)
def test_lost_and_changed_estimates_are_refused(tmp_path: Path, change: Callable[[Path], object], message: str) -> None:
    stems = noise_stems(8, 0.5)
    job = set_up(tmp_path, stems, imperfect(stems))
    change(tmp_path / "estimates/test" / NAME)
    with pytest.raises(InputError, match=message):
        job.run()
    assert not job.scores.exists()


def test_targets_without_estimates_are_named(tmp_path: Path) -> None:
    stems = noise_stems(8, 0.5)
    job = set_up(tmp_path, stems, {"accompaniment": imperfect(stems)["accompaniment"]})
    with pytest.raises(InputError, match=r"vocals\.wav: this estimate is missing; separate the track again"):
        job.run()


def test_what_is_up_to_date_stays_and_what_is_not_is_scored_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stems = noise_stems(9, 1.0)
    job = set_up(tmp_path, stems, imperfect(stems))
    job.run()
    written = job.file.stat().st_mtime_ns
    with caplog.at_level(logging.INFO, "madsep"):
        job.run()
    assert f"the scores of {NAME} are up to date" in caplog.text and job.file.stat().st_mtime_ns == written
    first = frames(job, "vocals")
    better = {"vocals": (stems["vocals"] // 8 * 8).T, "accompaniment": imperfect(stems)["accompaniment"].T}
    write_estimates(tmp_path / "estimates", job.track, better)
    job.run()
    assert frames(job, "vocals")[0]["SDR"] > first[0]["SDR"] + 10
    check_chain([job.track], job.estimates, job.scores)
    job.file.write_text(job.file.read_text().replace("1", "2", 1))
    job.run()
    check_chain([job.track], job.estimates, job.scores)


def test_one_faulty_track_does_not_lose_the_others(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = ["A", "NA", "B"]
    signals = {name: {signal: rng.normal(0, 0.1, (2, 11_025)) for signal in ("mixture", *TARGETS)} for name in names}
    tracks = write_prepared_tracks(tmp_path / "prepared", signals, RATE_HZ)
    for track in tracks[::2]:
        write_estimates(tmp_path / "estimates", track, {target: track.signal("mixture") / 2 for target in TARGETS})
    with pytest.raises(InputError, match=r"records/na-[0-9a-f]{8}\.json: is missing"):
        score(tracks, TARGETS, tmp_path / "estimates", tmp_path / "scores", "job", Engine("fast"))
    assert sorted(path.name for path in (tmp_path / "scores/test").iterdir()) == ["A.json", "B.json"]
    assert not (tmp_path / "scores/jobs/job.json").exists()
    with pytest.raises(ValueError, match="expected one track at least"):
        score([], TARGETS, None, tmp_path / "scores", "job", Engine("fast"))


def test_the_chain_is_checked(tmp_path: Path) -> None:
    stems = noise_stems(9, 0.5)
    job = set_up(tmp_path, stems, imperfect(stems))
    chain = ([job.track], job.estimates, job.scores)
    with pytest.raises(InputError, match=rf"records/{job.track.slug}\.json: is missing; run the same command again"):
        check_chain(*chain)
    job.run()
    check_chain(*chain)
    promise = job.scores / "jobs/job.json"
    assert promise.is_file()
    with pytest.raises(
        InputError, match=r"It's \(Mine\): .*scores has scores of other references than those present; run the same command"
    ):
        check_chain([replace(job.track, sha256="0" * 64)], *chain[1:])
    assert not promise.exists()  # so that Snakemake has it made again
    job.run()
    with pytest.raises(InputError, match="scores of other estimates than those present"):
        check_chain([job.track], None, job.scores)
    job.run()
    write_estimates(tmp_path / "estimates", job.track, {target: samples.T // 2 for target, samples in imperfect(stems).items()})
    with pytest.raises(InputError, match="scores of other estimates than those present"):
        check_chain(*chain)
    job.run()
    job.file.write_text(job.file.read_text()[:-10])
    with pytest.raises(InputError, match=r"It's \(Mine\)\.json: was changed after it was written; run the same command again"):
        check_chain(*chain)


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
    with pytest.raises(InputError, match=rf"It's \(Mine\)\.json: {message}"):
        job.run()
    assert [path for path in job.scores.rglob("*") if path.is_file()] == []


@pytest.fixture
def fast(tmp_path: Path) -> Job:
    """A track of two seconds that the fast engine has scored."""
    stems = noise_stems(3, 2.0)
    job = set_up(tmp_path, stems, imperfect(stems))
    job.run()
    return job


def rewritten(job: Job, document: object) -> None:
    """The scores with another content and its record, as an engine with a fault would leave them."""
    stage, record = Stage(job.scores), job.record
    with stage.making(job.track.slug, record.made_from) as made:
        job.file.write_text(json.dumps(document))
        made |= {"files": [job.file], **record.facts}


def test_audit_finds_the_fast_engine_right(tmp_path: Path, fast: Job) -> None:
    audit([fast.track], TARGETS, fast.estimates, fast.scores, tmp_path / "audit.json", 1)
    report = read_json(tmp_path / "audit.json")
    assert list(report["worst_difference_db"]) == [NAME] and report["worst_difference_db"][NAME] <= 1e-5
    assert report["scores"] == {fast.track.slug: fast.record.content}
    assert (tmp_path / "audit" / f"{NAME}.json").is_file()


@pytest.mark.parametrize("change", [2e-4, float("nan")])
def test_audit_stops_at_a_score_that_is_not_musevals(tmp_path: Path, fast: Job, change: float) -> None:
    document = read_json(fast.file)
    document["targets"][1]["frames"][1]["metrics"]["SIR"] += change
    rewritten(fast, document)
    with pytest.raises(InputError, match=r"It's \(Mine\): the fast engine differs from museval by (2.0e-04|inf) dB; at most 1e-04 dB"):
        audit([fast.track], TARGETS, fast.estimates, fast.scores, tmp_path / "audit.json", 1)
    assert not (tmp_path / "audit.json").exists()


def test_scores_that_were_changed_are_not_audited(tmp_path: Path, fast: Job) -> None:
    fast.file.write_text(fast.file.read_text().replace("1", "2", 1))
    with pytest.raises(InputError, match="was changed after it was written"):
        audit([fast.track], TARGETS, fast.estimates, fast.scores, tmp_path / "audit.json", 1)


def test_worst_difference_is_the_largest_over_frames_targets_and_metrics(tmp_path: Path, fast: Job) -> None:
    document = read_json(fast.file)
    document["targets"][0]["frames"][1]["metrics"]["SAR"] -= 0.5
    document["targets"][1]["frames"][0]["metrics"]["SDR"] += 0.25
    (tmp_path / "changed.json").write_text(json.dumps(document))
    assert worst_difference_db(fast.file, tmp_path / "changed.json") == pytest.approx(0.5)
    assert worst_difference_db(fast.file, fast.file) == 0


def test_preview_shows_the_medians_of_the_scores(tmp_path: Path, fast: Job) -> None:
    preview([fast.track], TARGETS, fast.estimates, tmp_path / "preview.txt", 1)
    median = np.median([frame["SDR"] for frame in frames(fast, "vocals")])
    (line,) = (line for line in (tmp_path / "preview.txt").read_text().splitlines() if "vocals" in line and "SDR" in line)
    assert f"{median:.2f}" in line
    assert (tmp_path / "preview" / f"{NAME}.json").read_text() == fast.file.read_text()


def test_scoring_loads_no_more_than_it_uses(tmp_path: Path, fast: Job) -> None:
    """A job of the fast engine, in a process of its own."""
    heavy = ["matplotlib", "torch", "scipy.stats", "scipy.signal", "pandas", "museval", "musdb"]
    code = f"""
import sys
from pathlib import Path
from madsep.data.prepared import read_prepared
from madsep.scoring.engines import Engine
from madsep.scoring.score import score
tracks = read_prepared(Path({str(fast.track.file.parent)!r}), [{fast.track.slug!r}], ["test"])
score(tracks, {TARGETS}, Path({str(fast.estimates)!r}), Path({str(tmp_path / "again")!r}), "job", Engine("fast"))
print([name for name in {heavy} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert (tmp_path / "again/test" / f"{NAME}.json").read_text() == fast.file.read_text()
