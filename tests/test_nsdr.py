"""NSDR of single clips against museval, and their means against numbers worked out by hand."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bsseval_signals import material
from scored import write_estimates, write_prepared_tracks

from madsep.bsseval import bss_eval_sources
from madsep.core.errors import InputError
from madsep.core.intervals import Bootstrap
from madsep.core.tables import Column, read_table
from madsep.data.prepared import PreparedTrack
from madsep.scoring.nsdr import aggregate_nsdr, length_weighted_means, nsdr_table, score_nsdr, write_nsdr_overview

RATE_HZ = 16_000
LENGTHS = {"amy's clip (1)": 3000, "NA": 5000}
AMY, NA = LENGTHS
CLIPS: dict[str, Column] = {"track": str, "n_samples": int, "metric": str, "value": float}
MEANS: dict[str, Column] = {"metric": str, "value": float, "low": float, "high": float, "n_clips": int, "definition": str}


def clip(name: str, n_channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Voice and accompaniment, and an estimate of the voice in 16 bits, each (n_channels, n_samples)."""
    references, estimates = material(2, LENGTHS[name], n_channels, 1 + list(LENGTHS).index(name))
    return references.transpose(0, 2, 1).astype(np.float32), estimates[0].T


@dataclass(frozen=True)
class System:
    """Prepared clips, the stage's folder with a system's estimates of them, and the folder of its results."""

    tracks: list[PreparedTrack]
    estimates: Path | None
    folder: Path

    def score(self) -> None:
        score_nsdr(self.tracks, ("vocals", "accompaniment"), self.estimates, self.folder / "scores", "job")

    def aggregate(self) -> pd.DataFrame:
        """Aggregate and return the scores of the clips."""
        aggregate_nsdr(self.tracks, self.estimates, self.folder / "scores", self.folder, Bootstrap(10, 0))
        return read_table(self.folder / "clips.csv", CLIPS)

    def means(self) -> pd.DataFrame:
        return read_table(self.folder / "gnsdr.csv", MEANS).set_index("metric")


def set_up(folder: Path, n_channels: int = 1) -> System:
    """Two prepared test clips and their estimates on disk as the workflow leaves them."""
    clips = {name: clip(name, n_channels) for name in LENGTHS}
    tracks = [
        track
        for name, (references, _) in clips.items()
        for track in write_prepared_tracks(
            folder / "prepared",
            {name: dict(zip(("mixture", "vocals", "accompaniment"), [references.sum(0), *references], strict=True))},
            RATE_HZ,
        )
    ]
    for track in tracks:
        references, estimate = clips[track.name]
        write_estimates(folder / "estimates", track, {"vocals": estimate, "accompaniment": references.sum(0) - estimate})
    return System(tracks, folder / "estimates", folder / "MDL1")


def table(**clips: tuple[int, float]) -> pd.DataFrame:
    """Scores of clips given as (n_samples, value): NSDR is the value, the others are 1, 2, 3 above."""
    rows = [(name, n, m, v + k) for name, (n, v) in clips.items() for k, m in enumerate(["NSDR", "SDR", "SIR", "SAR"])]
    return pd.DataFrame(rows, columns=["track", "n_samples", "metric", "value"])


def test_scores_of_clips_are_those_of_the_voice(tmp_path: Path) -> None:
    system = set_up(tmp_path)
    system.score()
    found = system.aggregate()
    assert len(found) == 10
    for name in LENGTHS:
        references, estimate = clip(name)
        mixture = references.sum(axis=0)
        (sdr, _), (sir, _), (sar, _) = bss_eval_sources(references[:, 0], np.stack([estimate[0], (mixture - estimate)[0]]))
        of_mixture = bss_eval_sources(references[:, 0], np.stack([mixture[0], mixture[0]]))[0][0]
        rows = found[found["track"] == name]
        assert set(rows["n_samples"]) == {LENGTHS[name]}
        expected = {"SDR": sdr, "SIR": sir, "SAR": sar, "SDR_mixture": of_mixture, "NSDR": sdr - of_mixture}
        assert rows.set_index("metric")["value"].to_dict() == pytest.approx(expected, abs=2e-6)
        assert expected["NSDR"] > 1


def test_the_mixture_gains_nothing(tmp_path: Path) -> None:
    system = replace(set_up(tmp_path), estimates=None)
    system.score()
    values = system.aggregate().pivot(index="track", columns="metric", values="value")
    assert (values["NSDR"] == 0).all() and (values["SAR"] > 80).all()
    assert np.array_equal(values["SDR"], values["SDR_mixture"])


def test_several_channels_are_refused(tmp_path: Path) -> None:
    system = set_up(tmp_path, n_channels=2)
    with pytest.raises(InputError, match=r"amy's clip \(1\): has 2 channels; NSDR is a score of mono data"):
        system.score()
    assert not (system.folder / "scores").exists()


def test_a_missing_estimate_is_named_and_the_others_are_scored(tmp_path: Path) -> None:
    system = set_up(tmp_path)
    (tmp_path / "estimates/test/amy's clip (1)/vocals.wav").unlink()
    with pytest.raises(InputError, match=r"amy's clip \(1\)/vocals\.wav: is missing; run the same command again"):
        system.score()
    assert [path.name for path in (system.folder / "scores/test").iterdir()] == ["NA.json"]
    with pytest.raises(InputError, match="is missing; run the same command again"):
        system.aggregate()


def test_what_is_up_to_date_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    system = set_up(tmp_path)
    system.score()
    first = system.aggregate()
    with caplog.at_level(logging.INFO, "madsep"):
        system.score()
    assert [message for message in caplog.messages if "up to date" in message] == [
        f"the scores of {name} are up to date" for name in LENGTHS
    ]
    references, _ = clip(NA)
    write_estimates(tmp_path / "estimates", system.tracks[1], {"vocals": references[0], "accompaniment": references[1]})
    with pytest.raises(InputError, match=r"NA: .* has scores of other estimates than those present"):
        system.aggregate()
    system.score()
    better = system.aggregate()
    assert (better["value"] == first["value"]).tolist() == [True] * 5 + [False, False, False, True, False]


def test_a_silent_estimate_has_no_score_and_is_not_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    system = set_up(tmp_path)
    write_estimates(tmp_path / "estimates", system.tracks[1], dict.fromkeys(("vocals", "accompaniment"), np.zeros((1, LENGTHS[NA]))))
    with caplog.at_level(logging.WARNING, "madsep"):
        system.score()
        scores = system.aggregate().set_index(["track", "metric"])["value"]
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "NA: the estimate of vocals is silent throughout; its scores are NaN",
        "1 clips have no score and are not counted in the means: NA",
    ]
    assert scores[NA].isna().to_dict() == {"SDR": True, "SIR": True, "SAR": True, "SDR_mixture": False, "NSDR": True}
    means = system.means()
    assert set(means["n_clips"]) == {1}
    assert means.loc["GSIR", "value"] == pytest.approx(scores[AMY, "SIR"])
    assert means[["low", "high"]].isna().all(axis=None)


def test_means_are_weighted_by_length() -> None:
    found = length_weighted_means(table(a=(1000, 8.0), b=(3000, 4.0), c=(4000, -1.0)), 0, 100)
    assert list(found.columns) == ["metric", "value", "low", "high", "n_clips", "definition"]
    assert found.set_index("metric")["value"].to_dict() == {"GNSDR": 2.0, "GSDR": 3.0, "GSIR": 4.0, "GSAR": 5.0}
    assert set(found["n_clips"]) == {3}


def test_intervals_resample_clips_with_their_lengths() -> None:
    rng = np.random.default_rng(1)
    lengths = rng.integers(1000, 9000, 60)
    values = lengths / 1000 + rng.standard_normal(60)  # long clips score better: values and lengths must stay together
    scores = table(**{f"c{number:02}": pair for number, pair in enumerate(zip(lengths, values, strict=True))})
    found = length_weighted_means(scores, seed=3, n_resamples=4000).set_index("metric").loc["GNSDR"]
    drawn = rng.integers(0, 60, (4000, 60))
    low, high = np.percentile([np.average(values[one], weights=lengths[one]) for one in drawn], [2.5, 97.5])
    assert found["value"] == pytest.approx(np.average(values, weights=lengths))
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=0.05 * (high - low))
    again = length_weighted_means(scores.sample(frac=1, random_state=0), seed=3, n_resamples=4000).set_index("metric").loc["GNSDR"]
    assert again["definition"] == found["definition"] == "GNSDR[v3 sources, whole clip; clips=mean, weighted by length; n=60; nan=0.0%]"
    numbers = ["value", "low", "high", "n_clips"]
    assert tuple(again[numbers]) == pytest.approx(tuple(found[numbers]), abs=1e-12)


def test_a_clip_that_is_there_twice_is_refused() -> None:
    scores = table(a=(1000, 8.0), b=(3000, 4.0))
    with pytest.raises(InputError, match="a: was scored twice; expected one NSDR per track"):
        length_weighted_means(pd.concat([scores, scores]), 0, 10)


def test_the_overview_is_that_of_checked_tables(tmp_path: Path) -> None:
    system = set_up(tmp_path)
    mixture = replace(system, estimates=None, folder=tmp_path / "MIX")
    for one in (system, mixture):
        one.score()
        one.aggregate()
    systems = {"MDL1": system.folder, "MIX": mixture.folder}
    write_nsdr_overview(systems, tmp_path / "table.txt")
    tables = {name: read_table(folder / "gnsdr.csv", MEANS) for name, folder in systems.items()}
    assert (tmp_path / "table.txt").read_text() == nsdr_table(tables)
    path = system.folder / "gnsdr.csv"
    path.write_text(path.read_text().replace("1", "2", 1))
    with pytest.raises(InputError, match=r"gnsdr\.csv: is missing or was changed after it was written"):
        write_nsdr_overview(systems, tmp_path / "table.txt")
    replace(system, tracks=system.tracks[:1]).aggregate()
    with pytest.raises(InputError, match="MDL1: its tables are of other tracks than those of MIX"):
        write_nsdr_overview(systems, tmp_path / "table.txt")


def test_the_table_names_systems_in_order() -> None:
    mixture = length_weighted_means(table(a=(1000, 0.0), b=(3000, 0.0)), 0, 100)
    mixture.loc[mixture["metric"] == "GSAR", "value"] = 250.0
    system = length_weighted_means(table(a=(1000, 8.0), b=(3000, 4.0)), 0, 100)
    lines = nsdr_table({"mixture": mixture, "MDL1": system}).splitlines()
    (first, second) = (line.replace("│", " ").split() for line in lines if "│" in line)
    assert first == ["mixture", "0.00", "0.00", "to", "0.00", "2.00", ">", "80", "1.00", "2"]
    assert second == ["MDL1", "5.00", "4.00", "to", "8.00", "7.00", "8.00", "6.00", "2"]
