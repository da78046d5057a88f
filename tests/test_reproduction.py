"""The reproduction check, against hand numbers, other implementations and what published systems must and must not pass for."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from madsep.comparison.published import published_track_medians
from madsep.comparison.reproduction import (
    MARGINS,
    NOT_JUDGED,
    NOT_REPRODUCED,
    REPRODUCED,
    SHARE_WITHIN,
    UNDECIDED,
    Reproduction,
    check_reproduction,
    equivalence_p,
    location,
    paired,
    quantile_interval,
)
from madsep.comparison.reproduction_text import headline, reproduction_text

N_TRACKS = 50
ROOT = Path(__file__).resolve().parents[1]


def table(target: str = "vocals", metric: str = "SDR", n_tracks: int = N_TRACKS) -> pd.DataFrame:
    """Scores of tracks 0, 1, 2, ... dB."""
    rows = [(f"t{track}", target, metric, float(track)) for track in range(n_tracks)]
    return pd.DataFrame(rows, columns=["track", "target", "metric", "median"])


def published(system: str) -> pd.DataFrame:
    tracks = published_track_medians()
    return tracks[tracks["system"] == system]


def check(*trainings: pd.DataFrame, of: pd.DataFrame) -> Reproduction:
    return check_reproduction(trainings, of, ("run", "A"))


def verdict(differences: np.ndarray, metric: str = "SDR") -> str:
    base = table(metric=metric, n_tracks=len(differences))
    return check(base.assign(median=base["median"] + differences), of=base).verdict


def verdicts(found: Reproduction) -> dict[tuple[str, str], str]:
    return dict(zip(zip(found.summary["target"], found.summary["metric"], strict=True), found.summary["verdict"], strict=True))


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_trimmed_mean_and_its_error_by_hand() -> None:
    # of ten, two are cut at either end: mean of 3..8; winsorised 3 3 3 4 5 6 7 8 8 8: squares about 5.5 add up to 42.5
    found = location(np.array([[1.0, 2, 3, 4, 5, 6, 7, 8, 9, 1000]]))
    assert found.mean == 5.5 and found.freedom == 5 and np.isnan(found.spread)
    assert found.error == pytest.approx(np.sqrt(42.5 / 9) / (0.6 * np.sqrt(10)))


@pytest.mark.parametrize("n_tracks", [5, 20, 50])
def test_trimmed_mean_is_scipys(n_tracks: int) -> None:
    tracks = normal(n_tracks, n_tracks)
    found = location(tracks[None])
    assert found.mean == pytest.approx(stats.trim_mean(tracks, 0.2))
    assert found.error == pytest.approx(float(stats.mstats.trimmed_stde(tracks, limits=(0.2, 0.2))))


def test_few_tracks_are_not_trimmed() -> None:
    tracks = np.array([0.1, 0.2, 0.6, 0.5])
    found = location(tracks[None])
    assert found.mean == pytest.approx(0.35)
    for margin in (0.5, 1.0):
        larger = max(
            stats.ttest_1samp(tracks, -margin, alternative="greater").pvalue, stats.ttest_1samp(tracks, margin, alternative="less").pvalue
        )
        assert equivalence_p(found, margin) == pytest.approx(larger)


def test_trainings_add_their_spread_by_hand() -> None:
    # trainings differ by 0 and 1 throughout: spread sqrt(.5), whose variance over two is .25; the tracks' mean of both is constant
    found = location(np.array([[0.0] * 10, [1.0] * 10]))
    assert found == pytest.approx((0.5, 0.5, 1, np.sqrt(0.5)))
    # with the tracks' own variance: Satterthwaite's degrees of freedom
    tracks = np.arange(10.0)
    alone, found = location(tracks[None]), location(np.array([tracks - 0.5, tracks + 0.5]))
    assert found.error == pytest.approx(np.hypot(alone.error, 0.5))
    assert found.freedom == pytest.approx(found.error**4 / (alone.error**4 / 5 + 0.5**4 / 1))


def test_one_training_says_less_than_it_seems_to() -> None:
    """Three trainings that scatter by 0.3 dB: each alone passes or not by chance; together they do not decide."""
    base, noise = table(), 0.05 * normal(0, 3, N_TRACKS)
    trainings = [base.assign(median=base["median"] + by + of) for by, of in zip((-0.3, 0.0, 0.3), noise, strict=True)]
    assert [check(training, of=base).verdict for training in trainings] == [NOT_REPRODUCED, REPRODUCED, NOT_REPRODUCED]
    together = check(*trainings, of=base)
    row = together.summary.iloc[0]
    assert together.verdict == UNDECIDED and together.n_trainings == 3
    assert row["spread"] == pytest.approx(0.3, abs=0.02) and abs(row["difference"]) < 0.02
    close = [base.assign(median=base["median"] + by + of) for by, of in zip((-0.05, 0.0, 0.05), noise, strict=True)]
    assert check(*close, of=base).verdict == REPRODUCED


def test_intervals_cover_what_they_say() -> None:
    """Tracks and trainings drawn at random: 90 % intervals of the difference hold the truth in 90 % of draws."""
    generator, inside = np.random.default_rng(0), {1: 0, 3: 0}
    for n_trainings in inside:
        for _ in range(500):
            trainings = generator.normal(0, 0.2 if n_trainings > 1 else 0, (n_trainings, 1))
            row = paired("SDR", trainings + generator.normal(0, 0.5, N_TRACKS) + generator.normal(0, 0.3, (n_trainings, N_TRACKS)))
            inside[n_trainings] += row["ci_low"] <= 0 <= row["ci_high"]
    assert 430 <= inside[1] <= 475 and 430 <= inside[3] <= 485


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 80), st.integers(0, 10))
def test_interval_of_the_distance_is_scipys(n: int, seed: int) -> None:
    values = np.abs(normal(seed, n))
    expected = stats.quantile_test(values, p=SHARE_WITHIN).confidence_interval(0.9)
    assert quantile_interval(values) == pytest.approx((expected.low, expected.high), nan_ok=True)


@pytest.mark.parametrize("metric", ["SDR", "SIR"])
def test_verdicts(metric: str) -> None:
    margin, noise = MARGINS[metric].difference, 0.1 * normal(0, N_TRACKS)
    for sign in (-1, 1):
        assert verdict(sign * 0.5 * margin + noise, metric) == REPRODUCED
        assert verdict(sign * 0.99 * margin + noise, metric) == UNDECIDED
        assert verdict(sign * 1.5 * margin + noise, metric) == NOT_REPRODUCED
    assert verdict(35 * margin * noise, metric) == UNDECIDED  # too much spread over tracks for an answer
    assert verdict(np.zeros(1), metric) == UNDECIDED  # one track has no interval
    assert verdict(np.zeros(13), metric) == UNDECIDED and verdict(np.zeros(14), metric) == REPRODUCED  # nor has a distance on 13


@pytest.mark.parametrize("metric", ["SDR", "SIR"])
def test_scores_that_differ_on_single_tracks_are_not_reproduced(metric: str) -> None:
    """No difference on the whole: 70 % of the tracks have the published score, the others lie as far above it as below."""
    far, apart = MARGINS[metric].distance + 0.1, np.zeros(200)
    apart[:30], apart[30:60] = far, -far
    row = paired(metric, apart[None])
    assert (row["difference"], row["ci_low"], row["ci_high"], row["p_value"]) == (0, 0, 0, 0)
    assert verdict(apart, metric) == NOT_REPRODUCED
    assert verdict(apart * (far - 0.2) / far, metric) == REPRODUCED
    apart[20:30] = apart[50:60] = 0  # 80 % have the published score: the interval of the distance reaches from 0 to `far`
    assert verdict(apart, metric) == UNDECIDED


def test_a_distance_is_that_of_each_training() -> None:
    """Trainings that lie on either side of the published scores do not cancel each other."""
    base = table(n_tracks=200)
    apart = np.where(np.arange(200) < 60, 1.2, 0.0) * np.where(np.arange(200) % 2, 1, -1)
    assert check(*(base.assign(median=base["median"] + by) for by in (apart, -apart)), of=base).verdict == NOT_REPRODUCED


def moved(tracks: pd.DataFrame, by: dict[tuple[str, str], float]) -> pd.DataFrame:
    keys = zip(tracks["target"], tracks["metric"], strict=True)
    return tracks.assign(median=tracks["median"] + [by.get(key, 0.0) for key in keys])


def test_sdr_and_sir_of_every_target_count_and_other_metrics_do_not() -> None:
    base = pd.concat([table(target, metric) for target in ("vocals", "bass") for metric in ("SDR", "SIR", "ISR", "SAR")])
    assert check(base, of=base).verdict == REPRODUCED
    for target in ("vocals", "bass"):
        for metric in ("SDR", "SIR", "ISR", "SAR"):
            found = check(moved(base, {(target, metric): 2.0}), of=base)
            judged = metric in ("SDR", "SIR")
            assert found.verdict == (NOT_REPRODUCED if judged else REPRODUCED)
            assert verdicts(found)[target, metric] == (NOT_REPRODUCED if judged else NOT_JUDGED)
            assert list(verdicts(found).values()).count(NOT_REPRODUCED) == judged
    found = check(moved(base, {("bass", "SDR"): 2.0, ("vocals", "SIR"): 0.499}), of=base)
    assert found.verdict == NOT_REPRODUCED


def test_a_published_system_reproduces_itself_exactly() -> None:
    rounded = published("MDL1").assign(median=lambda tracks: tracks["median"] + 5e-6)  # within the published rounding
    found = check_reproduction([rounded], published("MDL1"), ("again", "MDL1"))
    assert (found.run, found.published, found.verdict) == ("again", "MDL1", REPRODUCED)
    assert len(found.summary) == 8 and len(found.tracks) == 8 * 50
    numbers = ["difference", "ci_low", "ci_high", "distance", "distance_ci_low", "distance_ci_high"]
    assert (found.summary[numbers] == 0).all(axis=None) and set(found.summary["p_value"].dropna()) == {0}
    assert (found.tracks["difference_db"] == 0).all()


def test_a_run_with_a_little_noise_reproduces_mdl1_and_one_shifted_by_0_4_db_never_does() -> None:
    base, generator = published("MDL1"), np.random.default_rng(0)
    scale = np.where(base["metric"] == "SDR", 0.2, 0.4)
    for _ in range(20):
        noisy = base["median"] + scale * generator.standard_normal(len(base))
        assert check(base.assign(median=noisy), of=base).verdict == REPRODUCED
        for shift in (-0.4, 0.4):
            assert check(base.assign(median=noisy + shift), of=base).verdict == NOT_REPRODUCED


@pytest.mark.parametrize(
    ("run", "other", "expected"),
    [
        ("MDLT", "MDL1", "not reproduced (vocals SIR, accompaniment SIR)"),
        ("JY1", "JY2", "undecided (drums SIR, bass SDR, bass SIR)"),
        ("UHL2", "UHL1", "not reproduced (drums SIR); undecided: vocals SIR, bass SIR"),
        ("WK", "MDL1", "not reproduced (vocals SIR); undecided: vocals SDR, accompaniment SDR, accompaniment SIR"),
    ],
)
def test_variants_of_one_group_do_not_pass_for_each_other(run: str, other: str, expected: str) -> None:
    found = check_reproduction([published(run)], published(other), (run, other))
    assert headline(found) == f"{run} against the published {other}: {expected}"


def test_tracks_that_differ_most_come_first() -> None:
    base = table(n_tracks=3)
    run = base.assign(median=base["median"] + [0.1, -3.0, 2.0])
    assert list(check(run, of=base).tracks["difference_db"]) == pytest.approx([-3, 2, 0.1])


@pytest.mark.parametrize(("n_numbers", "verdict"), [(20, REPRODUCED), (18, REPRODUCED), (17, UNDECIDED), (1, UNDECIDED), (0, UNDECIDED)])
def test_nothing_is_reproduced_on_too_few_tracks(n_numbers: int, verdict: str) -> None:
    base = table(n_tracks=20)
    run = base.assign(median=[*base["median"][:n_numbers], *[np.nan] * (20 - n_numbers)])
    found = check(run, of=base)
    assert found.verdict == verdict
    assert tuple(found.summary[["n_tracks", "n_published"]].iloc[0]) == (n_numbers, 20)
    assert len(check(run.dropna(), of=base).tracks) == len(found.tracks) == 20
    assert check(base, run, of=base).verdict == verdict  # a track counts if all trainings have it
    assert "nan" not in reproduction_text(found, None)


def test_a_target_that_the_run_lacks_is_undecided() -> None:
    base = pd.concat([table(), table("bass")])
    run = pd.concat([base[base["target"] == "bass"], table("drums")])
    found = check(run, of=base)
    assert found.verdict == UNDECIDED and verdicts(found) == {("vocals", "SDR"): UNDECIDED, ("bass", "SDR"): REPRODUCED}
    assert headline(found) == "run against the published A: undecided (vocals SDR); vocals on 0 of 50 tracks"


def test_words_say_what_was_compared() -> None:
    base = table()
    assert "the verdict holds for it alone" in reproduction_text(check(base, of=base), None)
    text = reproduction_text(check(base, base, of=base), None)
    assert text.startswith("run (2 trainings) against the published A: reproduced\n") and "spread 0.000 dB" in text
    assert "those of 2 trainings" in text and "holds for it alone" not in text


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reproduction_benchmark", ROOT / "benchmarks/reproduction.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_page_has_the_verdicts_on_all_pairs(benchmark: ModuleType) -> None:
    page = (ROOT / "docs/reproduction.md").read_text(encoding="utf-8")
    for targets in (None, benchmark.MIXED):
        assert benchmark.pairs_text(targets, 0) in page
    table = benchmark.pairs(None, 0)
    undecided = table[table["verdict"] == UNDECIDED]
    assert sorted(undecided["run"] + " " + undecided["published"]) == ["JY1 JY2", "JY2 JY1", "JY2 JY3", "JY3 JY2"]


def test_the_benchmark_judges_as_the_check(benchmark: ModuleType) -> None:
    scores = published_track_medians().pivot(index="track", columns=["system", "target", "metric"], values="median")
    for run, other in (("MDLT", "MDL1"), ("JY1", "JY2"), ("MDL1", "JY1"), ("JY1", "MDL1"), ("MDL1", "MDL1")):
        found = benchmark.judge(benchmark.differences(scores, run, other, None), np.arange(N_TRACKS))
        assert found == check_reproduction([published(run)], published(other), (run, other)).verdict


def test_the_page_has_the_margins() -> None:
    page = (ROOT / "docs/reproduction.md").read_text(encoding="utf-8")
    for metric, margin in MARGINS.items():
        assert f"| {metric} | ±{margin.difference:g} dB | {margin.distance:g} dB |" in page
