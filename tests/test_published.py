"""The figures of SiSEC 2018 that ship with the package, against the campaign's own files and numbers."""

from pathlib import Path

import pandas as pd
import pytest

from madsep.comparison.published import published_frames, published_kinds, published_medians, published_track_medians
from madsep.comparison.runs import read_run, split_runs
from madsep.data.datasets import MUSDB18

KEY = ["system", "target", "metric"]


def test_31_systems_and_what_they_are() -> None:
    kinds = published_kinds()
    by_kind = {kind: sorted(name for name, of in kinds.items() if of == kind) for kind in set(kinds.values())}
    assert len(kinds) == 31 and len(by_kind["supervised"]) == 13
    assert by_kind["oracle"] == ["IBM1", "IBM2", "IRM1", "IRM2", "MIX", "MWF"]
    assert by_kind["blind"] == ["2DFT", "HPLP", "HPSS", "MELO", "REP1", "REP2", "RPCA"]
    assert by_kind["supervised+extra"] == ["STL1", "TAK2", "TAK3", "TAU1", "UHL3"]


def test_figures_of_the_campaign() -> None:
    """What museval gives for the published files, to two decimals."""
    medians = published_medians().set_index(KEY)["median"]
    assert medians["MDL1", "vocals", "SDR"] == pytest.approx(4.02, abs=0.005)
    assert medians["MDLT", "vocals", "SDR"] == pytest.approx(3.88, abs=0.005)
    assert medians["HEL1", "vocals", "SDR"] == pytest.approx(0.09, abs=0.005)
    assert medians["MDL1", "accompaniment", "SAR"] == pytest.approx(11.86, abs=0.005)
    assert medians["MDL1", "vocals", "ISR"] == pytest.approx(9.38, abs=0.005)
    assert medians["MDL1", "vocals", "SIR"] == pytest.approx(7.85, abs=0.005)


def test_medians_are_those_of_the_tracks() -> None:
    tracks = published_track_medians()
    assert set(tracks["track"]) == set(MUSDB18.test_names()) == set(published_frames())
    assert set(tracks.groupby(KEY)["track"].nunique()) == {50} and not tracks["median"].isna().any()
    pd.testing.assert_series_equal(
        tracks.groupby(KEY)["median"].median(), published_medians().set_index(KEY)["median"].sort_index(), atol=1.001e-5, rtol=0
    )
    assert dict(zip(tracks["system"], tracks["kind"], strict=True)) == published_kinds()


@pytest.mark.parametrize("system", ["MDL1", "IRM1"])
def test_tracks_are_those_of_the_published_files(system: str, shared: Path) -> None:
    run = read_run(shared / "data/sisec18/submissions" / system, system)
    assert run.n_frames() == published_frames()
    published = published_track_medians()
    both = run.medians.merge(published[published["system"] == system], on=["track", "target", "metric"], suffixes=("", "_published"))
    assert len(both) == len(run.medians) == 50 * 4 * (2 if system == "MDL1" else 5)
    assert (both["median"] - both["median_published"]).abs().max() < 5.001e-6
    (group,) = split_runs([run])
    assert group.is_sisec18 and group.notes == []


def test_tables_are_the_campaigns(shared: Path) -> None:
    tracks = pd.read_csv(shared / "data/sisec18/track_medians.csv.gz").set_index(["system", "track", "target"])
    ours = published_track_medians().pivot(index=["system", "track", "target"], columns="metric", values="median")
    pd.testing.assert_frame_equal(ours.sort_index(), tracks[sorted(tracks)].sort_index(), check_names=False)
