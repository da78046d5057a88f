"""Scores of whole tracks against museval's own files, byte for byte."""

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from bsseval_signals import material

from madsep import bsseval
from madsep.bsseval.compatible import TrackScores
from madsep.core.errors import InputError

RATE_HZ = 4000
STEMS = ("vocals", "drums", "bass", "other")


@dataclass
class FakeSource:
    name: str
    audio: np.ndarray
    gain: float = 1.0


@dataclass
class FakeTarget:
    sources: list[FakeSource]

    @property
    def audio(self) -> np.ndarray:
        return np.sum([source.gain * source.audio for source in self.sources], axis=0)


@dataclass
class FakeTrack:
    """What museval uses of a musdb track."""

    targets: dict[str, FakeTarget]
    name: str = "An Artist - A Song (& more)"
    subset: str = "test"
    rate: float = RATE_HZ
    estimates: dict[str, np.ndarray] = field(default_factory=dict)


@pytest.fixture
def museval(monkeypatch: pytest.MonkeyPatch) -> Any:
    if not hasattr(np.linalg, "linalg"):
        monkeypatch.setattr(np.linalg, "linalg", np.linalg, raising=False)
    return pytest.importorskip("museval")


@pytest.fixture(scope="module")
def track() -> FakeTrack:
    references, estimates = material(4, 3 * RATE_HZ + 123, 2)
    references[1, RATE_HZ : 2 * RATE_HZ] = 0.0  # a frame that is left out with four stems and scored with two
    sources = [FakeSource(name, one) for name, one in zip(STEMS, references, strict=True)]
    targets = OrderedDict((source.name, FakeTarget([source])) for source in sources)
    targets["accompaniment"] = FakeTarget(sources[1:])
    targets["linear_mixture"] = FakeTarget(sources)
    made = dict(zip(STEMS, estimates, strict=True))
    return FakeTrack(targets, estimates=made | {"accompaniment": references.sum(axis=0) - made["vocals"]})


def mono(track: FakeTrack) -> FakeTrack:
    """The first channel of a track: museval's time grows with the cube of the number of sources times channels."""
    sources = {name: FakeSource(name, track.targets[name].audio[:, :1]) for name in STEMS}
    targets = {name: FakeTarget([sources[source.name] for source in target.sources]) for name, target in track.targets.items()}
    return FakeTrack(targets, estimates={name: estimate[:, :1] for name, estimate in track.estimates.items()})


def without_bass(track: FakeTrack) -> FakeTrack:
    """A stereo track whose accompaniment is the sum of two sources."""
    targets = {name: track.targets[name] for name in ("vocals", "drums", "other")}
    targets["accompaniment"] = FakeTarget([*targets["drums"].sources, *targets["other"].sources])
    return FakeTrack(targets, estimates=track.estimates)


def whole(track: FakeTrack) -> FakeTrack:
    return track


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (("vocals", "accompaniment"), whole),
        (STEMS, mono),
        ((*STEMS, "accompaniment"), mono),
        (("vocals", "drums", "other", "accompaniment"), without_bass),
        (("vocals", "drums", "accompaniment"), whole),
        (("accompaniment", "drums"), whole),
        (("bass", "drums"), whole),
        (("vocals", "other"), whole),
    ],
)
def test_a_track_is_scored_and_written_as_museval_does(
    museval: Any, track: FakeTrack, names: tuple[str, ...], part: Callable[[FakeTrack], FakeTrack], tmp_path: Path
) -> None:
    track = part(track)
    estimates = {name: track.estimates[name] for name in names} | {"nonsense": np.zeros((3, 2))}
    expected = museval.eval_mus_track(track, estimates, output_dir=tmp_path / "museval")
    found = bsseval.eval_mus_track(track, estimates, tmp_path / "ours")
    path = f"test/{track.name}.json"
    assert (tmp_path / "ours" / path).read_bytes() == (tmp_path / "museval" / path).read_bytes()
    assert found.json == expected.json and repr(found) == repr(expected)


def test_other_windows_and_v3(museval: Any, track: FakeTrack) -> None:
    few = FakeTrack({name: FakeTarget([FakeSource(name, target.audio[:, :1])]) for name, target in track.targets.items()})
    estimates = {name: track.estimates[name][:, :1] for name in ("vocals", "bass")}
    expected = museval.eval_mus_track(few, estimates, win=0.5, hop=0.3)
    assert bsseval.eval_mus_track(few, estimates, None, "v4", 0.5, 0.3).json == expected.json
    expected = museval.eval_mus_track(few, estimates, mode="v3", win=2, hop=2)
    assert bsseval.eval_mus_track(few, estimates, mode="v3", win=2, hop=2).json == expected.json


def test_the_table_is_musevals(museval: Any, track: FakeTrack) -> None:
    estimates = {name: track.estimates[name] for name in ("vocals", "accompaniment")}
    columns = ["time", "target", "metric", "score", "track"]
    tables = [engine.eval_mus_track(track, estimates).df[columns] for engine in (museval, bsseval)]
    np.testing.assert_array_equal(*(table.drop(columns="score").to_numpy(str) for table in tables))
    np.testing.assert_allclose(*(table["score"].to_numpy(float) for table in tables), atol=1e-9)


def test_one_estimate_alone_gives_empty_scores(museval: Any, track: FakeTrack) -> None:
    with pytest.warns(UserWarning, match="at least two"):
        found = bsseval.eval_mus_track(track, {"vocals": track.estimates["vocals"]})
    with pytest.warns(UserWarning, match="at least two"):
        assert found.json == museval.eval_mus_track(track, {"vocals": track.estimates["vocals"]}).json


def references_of(track: FakeTrack) -> dict[str, np.ndarray]:
    return {name: track.targets[name].audio for name in STEMS}


@pytest.mark.parametrize("n_threads", [1, 2])
def test_streamed_files_score_as_arrays_do(track: FakeTrack, tmp_path: Path, n_threads: int) -> None:
    estimates = {name: track.estimates[name] for name in STEMS}
    for folder, signals in (("references", references_of(track)), ("estimates", estimates)):
        (tmp_path / folder).mkdir()
        for name, samples in signals.items():
            sf.write(tmp_path / folder / f"{name}.wav", samples, RATE_HZ, subtype="PCM_16")
    paths = [{name: tmp_path / folder / f"{name}.wav" for name in STEMS} for folder in ("references", "estimates")]
    streamed = bsseval.score_track(*paths, RATE_HZ, bsseval.Scoring(n_threads=n_threads))
    in_memory = bsseval.score_track(*({name: sf.read(path)[0] for name, path in one.items()} for one in paths), RATE_HZ)
    assert bsseval.scores_text(streamed) == bsseval.scores_text(in_memory)


def test_memory_maps_and_channels_first(track: FakeTrack, tmp_path: Path) -> None:
    estimates = {name: track.estimates[name] for name in STEMS}
    mapped = {}
    for name, samples in estimates.items():
        np.save(tmp_path / f"{name}.npy", samples.T.astype(np.float32))
        mapped[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r").T
    found = [bsseval.score_track(references_of(track), one, RATE_HZ) for one in (mapped, estimates)]
    assert bsseval.scores_text(found[0]) == bsseval.scores_text(found[1])


def test_several_systems_share_the_references(track: FakeTrack, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = bsseval.TrackScorer(references_of(track), RATE_HZ)
    systems = [track.estimates, {name: 0.5 * samples for name, samples in track.estimates.items()}]
    expected = [bsseval.scores_text(bsseval.score_track(references_of(track), one, RATE_HZ)) for one in systems]
    assert [bsseval.scores_text(scorer.score(one)) for one in (systems[0], systems[1], systems[0])] == [*expected, expected[0]]


class CountingSignal(bsseval.ArraySignal):
    """Counts what is read of it."""

    def __init__(self, samples: np.ndarray) -> None:
        super().__init__(samples)
        self.n_read, self.n_largest = 0, 0

    def read(self, start: int, n_samples: int) -> np.ndarray:
        self.n_read, self.n_largest = self.n_read + n_samples, max(self.n_largest, n_samples)
        return super().read(start, n_samples)


def counting(samples: np.ndarray) -> dict[str, CountingSignal]:
    return {name: CountingSignal(one) for name, one in zip(STEMS, samples, strict=True)}


def test_both_scenarios_come_from_one_reading() -> None:
    rate_hz, n_samples = 44100, 3 * 44100
    made, given = material(4, n_samples, 1)
    references, estimates = counting(made), counting(given)
    estimates["accompaniment"] = CountingSignal(made.sum(axis=0) - given[0])
    scores = bsseval.score_track(references, estimates, rate_hz)
    assert [target["name"] for target in scores["targets"]] == ["drums", "bass", "other", "vocals", "accompaniment"]
    for signal in (*references.values(), *estimates.values()):
        assert n_samples <= signal.n_read < 1.05 * n_samples  # a little more around the borders of frames


def test_one_frame_as_long_as_the_track_is_read_in_stretches() -> None:
    made, given = material(4, 400_000, 1)
    references, estimates = counting(made), counting(given)
    bsseval.score_track(references, estimates, 1000, bsseval.Scoring(win=400, hop=400))
    assert max(signal.n_largest for signal in (*references.values(), *estimates.values())) < 60_000


def test_an_accompaniment_that_is_no_sum_is_a_reference_of_its_own(museval: Any, track: FakeTrack) -> None:
    track = mono(track)
    other = track.targets["accompaniment"].audio + 0.01 * np.random.default_rng(0).standard_normal((3 * RATE_HZ + 123, 1))
    targets = {**track.targets, "accompaniment": FakeTarget([FakeSource("accompaniment", other, 0.5)])}
    changed = FakeTrack(targets)
    assert bsseval.eval_mus_track(changed, track.estimates).json == museval.eval_mus_track(changed, track.estimates).json


def test_a_folder_of_estimates_is_scored(museval: Any, track: FakeTrack, tmp_path: Path) -> None:
    folder = tmp_path / "estimates" / "test" / track.name
    folder.mkdir(parents=True)
    for name in ("vocals", "accompaniment"):
        sf.write(folder / f"{name}.wav", track.estimates[name], RATE_HZ, subtype="PCM_16")
    bsseval.eval_mus_dir([track, FakeTrack(track.targets, name="without estimates")], tmp_path / "estimates", tmp_path / "ours")
    read = {name: sf.read(folder / f"{name}.wav")[0] for name in ("vocals", "accompaniment")}
    written = list((tmp_path / "ours").rglob("*.json"))
    assert [path.read_text() for path in written] == [museval.eval_mus_track(track, read).json]
    with pytest.raises(InputError, match="rate of 4000 Hz; expected 44100"):
        bsseval.eval_mus_dir([FakeTrack(track.targets, rate=44100)], tmp_path / "estimates")


def test_text_of_odd_values() -> None:
    metrics = {"SDR": -0.0, "SIR": float("nan"), "SAR": 1e-7, "ISR": 123456.5}
    scores = {"targets": [{"name": 'a "b" é', "frames": [{"time": 0.0, "duration": 1, "metrics": metrics}]}], "museval_version": "0.4.1"}
    text = bsseval.scores_text(scores)
    assert '"name": "a \\"b\\" \\u00e9"' in text and '"SDR": -0.00000,\n' in text and '"SIR": NaN' in text and '"ISR": 123456.50000' in text
    assert json.loads(text)["targets"][0]["frames"][0]["metrics"]["ISR"] == 123456.5
    assert bsseval.scores_text({"targets": [], "museval_version": "x"}) == '{\n  "targets": [],\n  "museval_version": "x"\n}'


def test_arguments_that_do_not_fit(track: FakeTrack) -> None:
    with pytest.raises(InputError, match="expected v4 or v3"):
        bsseval.TrackScorer(references_of(track), RATE_HZ, bsseval.Scoring(mode="v2"))
    with pytest.raises(InputError, match="expected names of references"):
        bsseval.TrackScorer(references_of(track), RATE_HZ, parts=["guitar"])


def test_the_real_stem_file(museval: Any, shared: Path) -> None:
    """The regression that museval itself keeps: random estimates of a real track, at its own tolerance of 0.1 dB."""
    import musdb

    folder = shared / "data/musdb_sample"
    real = musdb.DB(str(folder), subsets=["train"]).tracks[0]
    rng = np.random.RandomState(0)
    shape = real.audio.shape
    found = bsseval.eval_mus_track(real, {name: rng.random_sample(shape) for name in ("vocals", "accompaniment")})
    expected = TrackScores("", json.loads((folder / "museval-regression.json").read_text())).df
    table = found.df
    assert table["target"].tolist() == expected["target"].tolist()
    np.testing.assert_allclose(table["score"], expected["score"].astype(float), atol=0.1)
