"""Protocols: sisec16 and mdx21 against numbers worked out independently, and tables that keep protocols apart."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from scored import write_estimates, write_prepared_tracks

from madsep.core.errors import InputError
from madsep.core.intervals import Bootstrap
from madsep.core.tables import read_table
from madsep.data.datasets import DSD100, MIR1K, MUSDB18
from madsep.data.prepared import PreparedTrack
from madsep.scoring.engines import Engine
from madsep.scoring.icassp2018 import format_table1, published_table1
from madsep.scoring.mdx21 import MEANS_COLUMNS, mdx21_means
from madsep.scoring.medians import MEDIANS_COLUMNS, protocol_medians, sisec_medians
from madsep.scoring.protocols import MDX21, PROTOCOLS, SISEC16, SISEC18, Protocol, protocol_of
from madsep.scoring.scores import read_scores, read_track
from madsep.scoring.stage import aggregate_scores, score_tracks, write_table

RATE_HZ = 1000  # the least that wavs may have; 30 s are 30,000 samples
STEMS = ("vocals", "drums", "bass", "other")
TARGETS = ("vocals", "accompaniment")
BOOTSTRAP = Bootstrap(100, 0)


def signals(seed: int, seconds: float, silent: dict[str, tuple[float, float]] | None = None, n_channels: int = 1) -> dict[str, np.ndarray]:
    """Mixture, stems and accompaniment of noise, (n_channels, n_samples); `silent` stems are zero from one time to another."""
    rng = np.random.default_rng(seed)
    stems = {stem: rng.normal(0, 0.05, (n_channels, round(seconds * RATE_HZ))).astype(np.float32) for stem in STEMS}
    for stem, (start, stop) in (silent or {}).items():
        stems[stem][:, round(start * RATE_HZ) : round(stop * RATE_HZ)] = 0
    accompaniment = stems["drums"] + stems["bass"] + stems["other"]
    return {"mixture": stems["vocals"] + accompaniment, **stems, "accompaniment": accompaniment}


class System:
    """Prepared tracks, a system's estimates of them (the truth with noise), and its tables."""

    def __init__(self, folder: Path, tracks: dict[str, dict[str, np.ndarray]], targets: tuple[str, ...] = TARGETS) -> None:
        self.folder, self.targets = folder / "S", targets
        self.tracks = write_prepared_tracks(folder / "prepared", tracks, RATE_HZ)
        for number, track in enumerate(self.tracks):
            write_estimates(self.folder / "estimates", track, self.estimates(track, number))

    def estimates(self, track: PreparedTrack, number: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(100 + number)
        noise = rng.normal(0, 0.02, track.signal("mixture").shape)
        other = track.signal("accompaniment") * 0.3
        return {target: track.signal(target) + noise + (other if target == "vocals" else 0) for target in self.targets}

    def written(self, track: PreparedTrack, target: str) -> np.ndarray:
        """An estimate as its file holds it, (n_channels, n_samples)."""
        audio: np.ndarray = sf.read(self.folder / "estimates/test" / track.name / f"{target}.wav", always_2d=True)[0].T
        return audio

    def run(self, engine: str) -> Path:
        """Score and aggregate; return the folder of the tables."""
        scorer = Engine(engine)
        score_tracks(self.tracks, self.targets, self.folder / "estimates", self.folder / "scores", "job", scorer)
        aggregate_scores(self.tracks, self.folder / "estimates", self.folder / "scores", self.folder, BOOTSTRAP, scorer.protocol)
        return self.folder

    def of_mix(self, engine: str) -> Path:
        folder = self.folder.parent / "MIX"
        score_tracks(self.tracks, self.targets, None, folder / "scores", "job", Engine(engine))
        aggregate_scores(self.tracks, None, folder / "scores", folder, BOOTSTRAP, Engine(engine).protocol)
        return folder


@pytest.fixture
def system(tmp_path: Path) -> System:
    """Two mono tracks of 62 and 47 s: 3 and 2 frames of 30 s every 15 s. The drums of the first are silent in its second frame."""
    return System(tmp_path, {"A": signals(0, 62, {"drums": (14, 46)}), "B": signals(1, 47)})


def medians_of(folder: Path) -> pd.DataFrame:
    return read_table(folder / "medians.csv", MEDIANS_COLUMNS).set_index(["target", "metric"])


# --- the protocols themselves


def test_each_data_set_has_its_own_protocol_and_refuses_those_that_do_not_fit() -> None:
    assert [protocol_of(None, dataset).name for dataset in (MUSDB18, DSD100, MIR1K)] == ["sisec18", "sisec16", "mir1k"]
    assert protocol_of("mdx21", DSD100) is MDX21
    with pytest.raises(InputError, match=r"protocol: sisec18 does not fit MIR-1K; expected mir1k\."):
        protocol_of("sisec18", MIR1K)
    with pytest.raises(InputError, match=r"protocol: mir1k does not fit DSD100.*expected sisec16 or sisec18 or mdx21"):
        protocol_of("mir1k", DSD100)


def test_definitions_differ_between_protocols() -> None:
    definitions = [protocol.definition("SDR", protocol.average, 50, 0.1) for protocol in PROTOCOLS.values()]
    assert len(set(definitions)) == len(PROTOCOLS) == 4
    assert definitions[:2] == [
        "SDR[v4; frames=median; tracks=median; n=50; nan=10.0%]",
        "SDR[v3 images, 30 s every 15 s, mono; all frames=median; n=50; nan=10.0%]",
    ]


# --- sisec16


def test_frames_are_those_of_museval_v3_without_frames_that_lack_a_stem(system: System) -> None:
    metrics = pytest.importorskip("museval.metrics")
    folder = system.run("sisec16")
    for track, n_frames, dropped in zip(system.tracks, (3, 2), ([1], []), strict=True):
        references = np.stack([track.signal(target).T for target in TARGETS]).astype(np.float64)
        estimates = np.stack([system.written(track, target).T for target in TARGETS])
        sdr, isr, sir, sar, _ = metrics.bss_eval(
            references, estimates, window=30 * RATE_HZ, hop=15 * RATE_HZ, compute_permutation=False, framewise_filters=True
        )
        table = read_track(folder / "scores/test" / f"{track.name}.json", SISEC16)
        assert sorted(set(table["time"])) == [15.0 * frame for frame in range(n_frames)] and set(table["duration"]) == {30.0}
        for place, target in enumerate(TARGETS):
            for metric, expected in (("SDR", sdr), ("ISR", isr), ("SIR", sir), ("SAR", sar)):
                found = table[(table["target"] == target) & (table["metric"] == metric)]["score"].to_numpy()
                kept = np.delete(np.arange(n_frames), dropped)
                np.testing.assert_allclose(found[kept], expected[place][kept], rtol=0, atol=2e-4)
                assert np.isnan(found[dropped]).all() and np.isfinite(expected[place]).all()


def test_the_number_is_the_median_of_all_frames_together(system: System) -> None:
    folder = system.run("sisec16")
    frames = pd.concat([read_track(path, SISEC16) for path in sorted((folder / "scores/test").iterdir())])
    vocals = frames[(frames["target"] == "vocals") & (frames["metric"] == "SDR")]["score"].to_numpy()
    assert len(vocals) == 5 and np.isnan(vocals).sum() == 1
    row = medians_of(folder).loc["vocals", "SDR"]
    assert row["median"] == pytest.approx(np.nanmedian(vocals), abs=1e-6)
    assert row["definition"] == "SDR[v3 images, 30 s every 15 s, mono; all frames=median; n=2; nan=20.0%]"
    summary = pd.read_csv(folder / "summary.csv").set_index(["target", "metric", "aggregation"])
    assert summary.loc[("vocals", "SDR", "pooled_median"), "value"] == pytest.approx(row["median"], abs=1e-6)
    assert all("v3 images" in text or text.startswith(("SDR_global[whole track, mono", "SI-SDR[")) for text in summary["definition"])


def test_pooled_and_nested_medians_differ_by_hand() -> None:
    rows = [("a", 1.0), ("a", 2.0), ("a", 9.0), ("b", 4.0), ("b", np.nan)]
    scores = pd.DataFrame([(track, "vocals", "SDR", 0.0, 30.0, score) for track, score in rows], columns=list(_columns()))
    assert protocol_medians(scores, SISEC16)["median"].item() == 3.0  # of 1 2 4 9
    assert sisec_medians(scores)["median"].item() == 3.0 == protocol_medians(scores, SISEC18)["median"].item()  # of 2 and 4
    rows += [("c", 10.0)]
    scores = pd.DataFrame([(track, "vocals", "SDR", 0.0, 30.0, score) for track, score in rows], columns=list(_columns()))
    assert protocol_medians(scores, SISEC16)["median"].item() == 4.0  # of 1 2 4 9 10
    assert protocol_medians(scores, SISEC18)["median"].item() == 4.0  # of 2 4 10
    scores.loc[0, "score"] = 3.0
    scores.loc[1, "score"] = 8.0
    assert protocol_medians(scores, SISEC16)["median"].item() == 8.0  # of 3 4 8 9 10
    assert protocol_medians(scores, SISEC18)["median"].item() == 8.0
    scores.loc[3, "score"] = 20.0
    assert protocol_medians(scores, SISEC16)["median"].item() == 9.0  # of 3 8 9 10 20
    assert protocol_medians(scores, SISEC18)["median"].item() == 10.0  # of 8 20 10


def _columns() -> tuple[str, ...]:
    return ("track", "target", "metric", "time", "duration", "score")


def test_a_short_track_is_one_frame_and_a_silent_estimate_has_no_score(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    system = System(tmp_path, {"A": signals(0, 20), "B": signals(1, 46)})
    write_estimates(system.folder / "estimates", system.tracks[1], {target: np.zeros((1, 46 * RATE_HZ)) for target in TARGETS})
    folder = system.run("sisec16")
    assert [len(read_track(folder / f"scores/test/{name}.json", SISEC16)) for name in "AB"] == [2 * 4, 2 * 2 * 4]
    assert read_track(folder / "scores/test/B.json", SISEC16)["score"].isna().all()
    assert "B: the estimate of vocals, accompaniment is silent throughout; every frame is NaN" in caplog.text


# --- mdx21


@pytest.fixture
def four(tmp_path: Path) -> System:
    """Two stereo tracks whose four stems are estimated; the bass of the first is silent throughout."""
    tracks = {"A": signals(0, 3, {"bass": (0, 3)}, n_channels=2), "B": signals(1, 5, n_channels=2)}
    return System(tmp_path, tracks, (*STEMS, "accompaniment"))


def test_mdx21_is_the_mean_of_the_challenges_formula(four: System) -> None:
    means = read_table(four.run("mdx21") / "means.csv", MEANS_COLUMNS).set_index("target")
    expected: dict[str, list[float]] = {target: [] for target in four.targets}
    for track in four.tracks:
        for target in four.targets:
            reference = track.signal(target).astype(np.float64)
            error = np.sum((reference - four.written(track, target)) ** 2)
            expected[target].append(10 * np.log10((np.sum(reference**2) + 1e-7) / (error + 1e-7)))
    for target, values in expected.items():
        assert means.loc[target, "mean"] == pytest.approx(np.mean(values), abs=1e-6)
        assert means.loc[target, "definition"].startswith("SDR[whole track, all channels, 1e-7 added to both energies; tracks=mean; n=2;")
    of_songs = np.mean([expected[stem] for stem in STEMS], axis=0)
    assert means.loc["mean of stems", "mean"] == pytest.approx(np.mean(of_songs), abs=1e-6)
    assert expected["bass"][0] < -40  # a silent stem counts


def test_mdx21_without_four_stems_has_no_mean_of_stems() -> None:
    table = pd.DataFrame([("A", "vocals", 1.0), ("B", "vocals", 4.0), ("C", "vocals", 10.0)], columns=["track", "target", "value"])
    means = mdx21_means(table, BOOTSTRAP)
    assert means[["target", "mean", "n_tracks"]].to_dict("records") == [{"target": "vocals", "mean": 5.0, "n_tracks": 3}]


def test_the_table_of_mdx21(four: System, tmp_path: Path) -> None:
    write_table({"S": four.run("mdx21")}, four.of_mix("mdx21"), tmp_path / "table.txt", MDX21)
    text = (tmp_path / "table.txt").read_text()
    assert "SDR, dB: mean over tracks (SDR of the whole track)" in text
    assert [line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│")] == ["S", "MIX"]
    assert "mean of stems" in text


# --- numbers of different protocols never share a column


@pytest.mark.parametrize(("engine", "other"), [("sisec16", SISEC18), ("mdx21", SISEC16), ("fast", SISEC16), ("sisec16", MDX21)])
def test_a_table_refuses_systems_of_another_protocol(system: System, tmp_path: Path, engine: str, other: Protocol) -> None:
    mine, mix = system.run(engine), system.of_mix(engine)
    name = Engine(engine).protocol.name
    with pytest.raises(InputError, match=rf"S: its tables are of protocol {name}, not {other.name}; run the same command again\."):
        write_table({"S": mine}, mix, tmp_path / "table.txt", other)
    assert not (tmp_path / "table.txt").exists() and not (mine / "tables.json").exists()


def test_score_files_of_another_protocol_are_refused(system: System) -> None:
    folder = system.run("sisec16")
    assert json.loads((folder / "scores/test/A.json").read_text())["protocol"] == "sisec16"
    with pytest.raises(InputError, match=r"A\.json: holds scores of protocol sisec16, which do not belong in a table of protocol sisec18"):
        read_scores(folder / "scores")
    folder = system.run("fast")
    assert "protocol" not in json.loads((folder / "scores/test/A.json").read_text())  # museval's file, byte for byte
    with pytest.raises(InputError, match=r"A\.json: holds scores of protocol sisec18, which do not belong in a table of protocol sisec16"):
        read_track(folder / "scores/test/A.json", SISEC16)


def test_another_protocol_scores_again(system: System) -> None:
    first = medians_of(system.run("fast"))["median"]
    second = medians_of(system.run("sisec16"))["median"]
    assert (first != second).any()
    assert medians_of(system.run("fast"))["median"].equals(first)


# --- Table 1 of ICASSP 2018


def test_table_1_shows_own_and_published_figures_in_columns_of_their_own(system: System) -> None:
    medians = read_table(system.run("sisec16") / "medians.csv", MEDIANS_COLUMNS)
    text = format_table1({"MINE": medians, "GRU-RIS-l": medians, "GRA3": medians})
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    own = [f"{value:.2f}" for value in medians.set_index(["target", "metric"])["median"].loc["vocals"].loc[["SDR", "SIR"]]]
    assert rows == [["GRA3", *own, "-1.75", "1.28"], ["GRU-RIS-l", *own, "4.20", "7.94"], ["MINE", *own, "-", "-"]]
    assert "Table 1 of Mimilakis et al., ICASSP 2018" in " ".join(text.split()) and "median over the frames of all tracks" in text


def test_the_published_figures_are_those_of_the_article(shared: Path) -> None:
    text = (shared / "docs/papers/icassp2018-mad.md").read_text(encoding="utf-8")
    rows = published_table1().to_dict("records")
    assert len(rows) == 8
    for row in rows:
        name = {"MIM-DWF+": r"MIM-DWF", "GRU-RIS-s": "GRU-RIS", "GRU-RIS-l": "GRU-RIS"}.get(row["system"], row["called"])
        lines = [line for line in text.splitlines() if name in line and f"{row['SDR']:.2f}\t{row['SIR']:.2f}" in line]
        assert len(lines) == 1, row
