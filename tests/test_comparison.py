"""Statistics over systems, against hand numbers and the definitions."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madsep.comparison.published import published_track_medians
from madsep.comparison.statistics import (
    holm,
    matrix,
    pairwise_tests,
    ranking,
    signed_rank_p,
    systems_medians,
)
from madsep.core.intervals import Bootstrap

BOOTSTRAP = Bootstrap(500, 0)


def table(target: str = "vocals", metric: str = "SDR", **systems: list[float]) -> pd.DataFrame:
    rows = [(s, "run", f"t{i}", target, metric, v, 4, 0.25) for s, values in systems.items() for i, v in enumerate(values)]
    return pd.DataFrame(rows, columns=["system", "kind", "track", "target", "metric", "median", "n_frames", "nan_share"])


def published(system: str) -> pd.DataFrame:
    tracks = published_track_medians()
    return tracks[tracks["system"] == system]


def test_medians_carry_their_definition() -> None:
    tracks = table(A=[1.0, 5.0, 3.0], B=[np.nan, 8.0, 6.0])
    tracks.loc[0, ["n_frames", "nan_share"]] = (12, 0.5)
    tracks = pd.concat([tracks, table(C=[2.0, 2.0, 2.0]).assign(n_frames=np.nan, nan_share=np.nan)])
    medians = systems_medians(tracks, BOOTSTRAP).set_index("system")
    assert list(medians.index) == ["B", "A", "C"] and list(medians["median"]) == [7, 3, 2]
    assert list(medians["n_tracks"]) == [2, 3, 3]
    assert medians["definition"]["A"] == "SDR[v4; frames=median; tracks=median; n=3; nan=40.0%]"  # (6 + 1 + 1) of 20 frames
    assert medians["definition"]["B"] == "SDR[v4; frames=median; tracks=median; n=2; nan=25.0%]"
    assert medians["definition"]["C"] == "SDR[v4; frames=median; tracks=median; n=3; nan=unknown]"
    assert (medians["ci_low"]["A"], medians["ci_high"]["A"]) == (1, 5)


def test_interval_of_the_published_headline() -> None:
    tracks = published("MDL1").assign(n_frames=np.nan, nan_share=np.nan)
    row = systems_medians(tracks[(tracks["target"] == "vocals") & (tracks["metric"] == "SDR")], Bootstrap(10_000, 218)).iloc[0]
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((2.91, 4.52), abs=0.05)


def test_ranking_is_by_vocals_sdr() -> None:
    parts = [table(A=[1.0], B=[3.0], C=[2.0]), table(metric="SIR", A=[9.0], B=[1.0]), table(target="bass", D=[8.0])]
    assert ranking(systems_medians(pd.concat(parts), BOOTSTRAP)) == ["B", "C", "A", "D"]


def test_holm_by_hand() -> None:
    # ascending .005 .01 .03 .04 times 4 3 2 1: .02 .03 .06 .04, the last raised to its predecessor's
    assert holm(np.array([0.01, 0.04, np.nan, 0.03, 0.005])) == pytest.approx([0.03, 0.06, np.nan, 0.06, 0.02], nan_ok=True)
    assert list(holm(np.array([0.4, 0.9]))) == [0.8, 0.9] and list(holm(np.array([0.6, 0.7]))) == [1, 1]
    # equal p-values stay equal; .01 and .01 times 3 and 2, the second raised to the first's
    assert list(holm(np.array([0.01, 0.2, 0.01]))) == pytest.approx([0.03, 0.2, 0.03])
    assert not len(holm(np.empty(0))) and np.isnan(holm(np.array([np.nan]))).all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.5))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values: list[float], level: float) -> None:
    adjusted = holm(np.array(p_values))
    rejected = 0
    for rank, p_value in enumerate(sorted(p_values)):
        if p_value * (len(p_values) - rank) > level:
            break
        rejected += 1
    assert np.count_nonzero(adjusted <= level) == rejected


def test_signed_rank_test_by_hand() -> None:
    # all of six differences positive: 2 of the 64 assignments of signs are as extreme
    assert signed_rank_p(np.arange(1.0, 7.0)) == pytest.approx(2 / 64)
    assert signed_rank_p(np.zeros(5)) == 1 and np.isnan(signed_rank_p(np.empty(0)))


def test_pairs_are_tested_on_common_tracks() -> None:
    base = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0]
    pairs = pairwise_tests(table(A=[1, 2, 3, 4, 5, 6, np.nan], B=base, C=[-value for value in base]))
    row = pairs.set_index(["system", "other"]).loc[("A", "B")]
    assert (row["n_tracks"], row["median_difference"], row["p_value"]) == (6, 3.5, pytest.approx(2 / 64))
    assert row["p_holm"] == pytest.approx(3 * 2 / 64) and "n=6" in row["definition"] and "Holm over 3 pairs" in row["definition"]
    differences = matrix(pairs, ["C", "B", "A"], "median_difference")
    assert differences.loc["A", "B"] == 3.5 and differences.loc["B", "A"] == -3.5 and np.isnan(differences.loc["C", "C"])
    p_values = matrix(pairs, ["C", "B", "A"], "p_holm")
    assert p_values.loc["B", "A"] == p_values.loc["A", "B"] == row["p_holm"]


def test_metrics_are_families_of_their_own() -> None:
    parts = [table(A=[1, 2, 3, 4, 5, 6], B=[0] * 6), table(metric="SIR", A=[1, 2, 3, 4, 5, 6], B=[0] * 6)]
    assert list(pairwise_tests(pd.concat(parts))["p_holm"]) == pytest.approx([2 / 64] * 2)


@pytest.mark.parametrize(("other", "p_value"), [("MDLT", 0.91), ("WK", 0.95), ("RGT1", 0.12)])
def test_mdl1_is_not_told_from_its_neighbours(other: str, p_value: float) -> None:
    tracks = pd.concat([published("MDL1"), published(other)])
    row = pairwise_tests(tracks[(tracks["target"] == "vocals") & (tracks["metric"] == "SDR")]).iloc[0]
    assert row["p_value"] == row["p_holm"] == pytest.approx(p_value, abs=0.005)
