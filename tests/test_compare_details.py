"""Details of compared runs: whole-track scores, frames and the engine, from tables of the workflow and from scored folders."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madsep.comparison.runs import read_run
from madsep.core.errors import InputError
from madsep.core.files import sha256, write_json
from madsep.data.datasets import MUSDB18

NAN = float("nan")


def document(**targets: list[float]) -> dict[str, Any]:
    """museval's layout; all metrics of a frame are the same."""
    frames = {
        name: [
            {"time": float(i), "duration": 1.0, "metrics": dict.fromkeys(("SDR", "SIR", "ISR", "SAR"), score)}
            for i, score in enumerate(scores)
        ]
        for name, scores in targets.items()
    }
    return {"targets": [{"name": name, "frames": found} for name, found in frames.items()]}


def scored(folder: Path, engine: str = "fast") -> Path:
    """A folder as `madsep score` leaves it."""
    (folder / "test").mkdir(parents=True)
    path = folder / "test/A.json"
    path.write_text(json.dumps(document(vocals=[1.0, NAN, 3.0], bass=[0.0, 0.0, 0.0])))
    whole = {"vocals": {"SDR": 1.5, "SI-SDR": 0.5}, "bass": {"SDR": 2.5, "SI-SDR": -0.5}}
    facts = {"name": "A", "whole_track": whole}
    (folder / "records").mkdir()
    write_json(folder / "records/a.json", {"made_from": {"engine": engine}, "files": {"test/A.json": sha256(path)}, "facts": facts})
    return folder


def test_scored_folders_have_whole_track_scores_frames_and_engine(tmp_path: Path) -> None:
    run = read_run(scored(tmp_path / "X"), "X")
    details = run.details
    assert details.engine == "fast" and run.about == "scored by fast"
    assert sorted(map(tuple, details.whole_track.to_numpy().tolist())) == [
        *[("A", "bass", "SI-SDR", -0.5), ("A", "bass", "uSDR", 2.5), ("A", "vocals", "SI-SDR", 0.5), ("A", "vocals", "uSDR", 1.5)]
    ]
    np.testing.assert_array_equal(details.frames["A", "vocals"], [1.0, NAN, 3.0])
    assert set(details.frames) == {("A", "vocals"), ("A", "bass")}


def test_records_of_other_scores_are_passed_over_and_faulty_ones_refused(tmp_path: Path) -> None:
    folder = scored(tmp_path / "X")
    (folder / "test/A.json").write_text(json.dumps(document(vocals=[9.0], bass=[9.0])))
    details = read_run(folder, "X").details
    assert details.whole_track.empty and details.engine == "" and list(details.frames["A", "vocals"]) == [9]
    for facts in ({}, {"name": "A", "whole_track": [1]}, {"name": "A", "whole_track": {"vocals": {"PESQ": 1}}}):
        write_json(folder / "records/a.json", {"made_from": {}, "files": {}, "facts": facts})
        with pytest.raises(InputError, match=r"records: holds records that are not those of scores\. Score the tracks again"):
            read_run(folder, "X")


def test_tables_of_the_workflow_lead_to_their_scores(tmp_path: Path) -> None:
    scored(tmp_path / "S/scores", "museval")
    (tmp_path / "S/track_medians.csv").write_text("track,target,metric,median,n_frames,nan_share\nA,vocals,SDR,2,3,0.3\n")
    assert read_run(tmp_path / "S", "S").details.whole_track.empty
    (tmp_path / "S/global.csv").write_text("track,target,metric,value\nA,vocals,SDR_global,1.5\nA,vocals,SI-SDR,0.5\n")
    write_json(tmp_path / "S/tables.json", {"made_from": {}, "files": {}, "facts": {"scores": "scores", "estimates": None}})
    details = read_run(tmp_path / "S", "S").details
    assert details.engine == "museval" and list(details.whole_track["metric"]) == ["uSDR", "SI-SDR"]
    np.testing.assert_array_equal(details.frames["A", "vocals"], [1.0, NAN, 3.0])


def test_compressed_scores_of_the_test_tracks_are_a_run_beside_the_campaign(tmp_path: Path, shared: Path) -> None:
    """MDL1's published files, packed as the repository of Demucs packs its own."""
    (tmp_path / "test").mkdir()
    for path in (shared / "data/sisec18/submissions/MDL1/test").glob("*.json"):
        (tmp_path / f"test/{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
    run = read_run(tmp_path, "packed")
    assert sorted(run.n_frames()) == MUSDB18.test_names()
    sdr = run.medians[(run.medians["target"] == "vocals") & (run.medians["metric"] == "SDR")]["median"]
    assert sdr.median() == pytest.approx(4.0223, abs=5e-5)
