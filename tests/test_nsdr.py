"""NSDR of single clips against museval, and their means against numbers worked out by hand."""

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from bsseval_signals import material

from madsep.bsseval import bss_eval_sources
from madsep.core.errors import InputError
from madsep.scoring.estimates import Estimates
from madsep.scoring.nsdr import aggregate_nsdr, length_weighted_means, nsdr_table, score_nsdr

RATE_HZ = 16_000
NAMES = {"test001": "amy's clip (1)", "test002": "b"}
LENGTHS = {"test001": 3000, "test002": 5000}


def clip(slug: str, n_channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Voice and accompaniment, and an estimate of the voice in 16 bits, each (n_channels, n_samples)."""
    references, estimates = material(2, LENGTHS[slug], n_channels, int(slug[-1]))
    return references.transpose(0, 2, 1).astype(np.float32), estimates[0].T


def set_up(folder: Path, n_channels: int = 1) -> Estimates:
    """Two prepared test clips and their estimates on disk as the pipeline leaves them."""
    entries = []
    for slug, name in NAMES.items():
        (voice, accompaniment), estimate = clip(slug, n_channels)
        mixture = voice + accompaniment
        np.save(folder / f"{slug}.npy", np.stack([mixture, voice, accompaniment]))
        known = {"slug": slug, "name": name, "subset": "test", "file": f"{slug}.npy", "sample_rate_hz": RATE_HZ}
        entries.append(known | {"signals": ["mixture", "vocals", "accompaniment"]})
        found = folder / "estimates/test" / name
        found.mkdir(parents=True)
        for target, samples in {"vocals": estimate, "accompaniment": mixture - estimate}.items():
            sf.write(found / f"{target}.wav", samples.T, RATE_HZ, subtype="PCM_16")
    (folder / "test.json").write_text(json.dumps({"tracks": entries}))
    return Estimates([folder / "test.json"], list(NAMES), ("vocals", "accompaniment"), folder / "estimates")


def table(**clips: tuple[int, float]) -> pd.DataFrame:
    """Scores of clips given as (n_samples, value): NSDR is the value, the others are 1, 2, 3 above."""
    rows = [(name, n, m, v + k) for name, (n, v) in clips.items() for k, m in enumerate(["NSDR", "SDR", "SIR", "SAR"])]
    return pd.DataFrame(rows, columns=["track", "n_samples", "metric", "value"])


def test_scores_of_clips_are_those_of_the_voice(tmp_path: Path) -> None:
    score_nsdr(set_up(tmp_path), tmp_path / "nsdr/test001-test002.csv")
    found = pd.read_csv(tmp_path / "nsdr/test001-test002.csv")
    assert list(found.columns) == ["track", "n_samples", "metric", "value"]
    assert len(found) == 10
    for slug, name in NAMES.items():
        references, estimate = clip(slug)
        mixture = references.sum(axis=0)
        (sdr, _), (sir, _), (sar, _) = bss_eval_sources(references[:, 0], np.stack([estimate[0], (mixture - estimate)[0]]))
        of_mixture = bss_eval_sources(references[:, 0], np.stack([mixture[0], mixture[0]]))[0][0]
        rows = found[found["track"] == name]
        assert set(rows["n_samples"]) == {LENGTHS[slug]}
        expected = {"SDR": sdr, "SIR": sir, "SAR": sar, "SDR_mixture": of_mixture, "NSDR": sdr - of_mixture}
        assert rows.set_index("metric")["value"].to_dict() == pytest.approx(expected, abs=2e-6)
        assert expected["NSDR"] > 1


def test_the_mixture_gains_nothing(tmp_path: Path) -> None:
    estimates = set_up(tmp_path)
    score_nsdr(Estimates(estimates.prepared, estimates.slugs, estimates.targets, None), tmp_path / "mixture.csv")
    values = pd.read_csv(tmp_path / "mixture.csv").pivot(index="track", columns="metric", values="value")
    assert (values["NSDR"] == 0).all() and (values["SAR"] > 80).all()
    assert np.array_equal(values["SDR"], values["SDR_mixture"])


def test_several_channels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"amy's clip \(1\): has 2 channels; NSDR is a score of mono data"):
        score_nsdr(set_up(tmp_path, n_channels=2), tmp_path / "nsdr.csv")
    assert not (tmp_path / "nsdr.csv").exists()


def test_a_missing_estimate_is_named(tmp_path: Path) -> None:
    estimates = set_up(tmp_path)
    (tmp_path / "estimates/test/b/vocals.wav").unlink()
    with pytest.raises(InputError, match=r"b/vocals\.wav: this estimate is missing"):
        score_nsdr(estimates, tmp_path / "nsdr.csv")


def test_a_silent_estimate_has_no_score_and_is_not_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    estimates = set_up(tmp_path)
    sf.write(tmp_path / "estimates/test/b/vocals.wav", np.zeros(LENGTHS["test002"]), RATE_HZ, subtype="PCM_16")
    with caplog.at_level(logging.WARNING, "madsep"):
        score_nsdr(estimates, tmp_path / "nsdr.csv")
        aggregate_nsdr([tmp_path / "nsdr.csv"], tmp_path / "gnsdr.csv", 0, 10)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "b: the estimate of vocals is silent throughout; its scores are NaN",
        "1 clips have no score and are not counted in the means: b",
    ]
    scores = pd.read_csv(tmp_path / "nsdr.csv").set_index(["track", "metric"])["value"]
    assert scores["b"].isna().to_dict() == {"SDR": True, "SIR": True, "SAR": True, "SDR_mixture": False, "NSDR": True}
    means = pd.read_csv(tmp_path / "gnsdr.csv").set_index("metric")
    assert set(means["n_clips"]) == {1}
    assert means.loc["GSIR", "value"] == pytest.approx(scores[NAMES["test001"], "SIR"])
    assert means[["low", "high"]].isna().all(axis=None)


def test_means_are_weighted_by_length(tmp_path: Path) -> None:
    table(a=(1000, 8.0), b=(3000, 4.0)).to_csv(tmp_path / "a.csv", index=False)
    table(c=(4000, -1.0)).to_csv(tmp_path / "b.csv", index=False)
    aggregate_nsdr([tmp_path / "a.csv", tmp_path / "b.csv"], tmp_path / "out/gnsdr.csv", 0, 100)
    found = pd.read_csv(tmp_path / "out/gnsdr.csv")
    assert list(found.columns) == ["metric", "value", "low", "high", "n_clips"]
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
    assert tuple(again) == pytest.approx(tuple(found), abs=1e-12)


def test_bad_tables_are_refused(tmp_path: Path) -> None:
    scores = table(a=(1000, 8.0), b=(3000, 4.0))
    scores.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(InputError, match="a: is scored twice; expected one NSDR"):
        aggregate_nsdr([tmp_path / "a.csv", tmp_path / "a.csv"], tmp_path / "out.csv", 0, 10)
    scores.drop(columns="n_samples").to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(InputError, match=r"b\.csv: expected the columns track,n_samples,metric,value"):
        aggregate_nsdr([tmp_path / "b.csv"], tmp_path / "out.csv", 0, 10)
    with pytest.raises(InputError, match=r"c\.csv: cannot be read as CSV"):
        aggregate_nsdr([tmp_path / "c.csv"], tmp_path / "out.csv", 0, 10)
    assert not (tmp_path / "out.csv").exists()


def test_the_table_names_systems_in_order() -> None:
    mixture = length_weighted_means(table(a=(1000, 0.0), b=(3000, 0.0)), 0, 100)
    mixture.loc[mixture["metric"] == "GSAR", "value"] = 250.0
    system = length_weighted_means(table(a=(1000, 8.0), b=(3000, 4.0)), 0, 100)
    lines = nsdr_table({"mixture": mixture, "MDL1": system}).splitlines()
    (first, second) = (line.replace("│", " ").split() for line in lines if "│" in line)
    assert first == ["mixture", "0.00", "0.00", "to", "0.00", "2.00", ">", "80", "1.00", "2"]
    assert second == ["MDL1", "5.00", "4.00", "to", "8.00", "7.00", "8.00", "6.00", "2"]
