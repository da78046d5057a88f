"""The workflow on a data set of flacs and on float estimates in MVSep's layout, and its estimates in other layouts."""

from pathlib import Path

import pytest
import soundfile as sf
from flow import run, tiny_config

from madsep.core.files import read_json, sha256
from madsep.data.convert import convert
from madsep.data.encodings import Encoding
from madsep.synth import make_dataset

pytestmark = pytest.mark.slow


def test_a_flat_data_set_of_flacs_and_a_flat_folder_of_estimates(tmp_path: Path) -> None:
    make_dataset(tmp_path / "wavs", 3, 1, 2.0, seed=5)
    convert(tmp_path / "wavs", tmp_path / "flacs", "mvsep", Encoding("flac"))
    convert(tmp_path / "wavs/test", tmp_path / "estimates", "mvsep", Encoding("wav", "FLOAT"))  # the references themselves
    changes = {"systems": ["MDL1", "GIVEN"], "external": {"GIVEN": {"estimates": str(tmp_path / "estimates")}}}
    config = tiny_config(tmp_path / "flacs", **changes)
    outcome = run(tmp_path / "run", config)
    assert outcome.status == 0, outcome.text
    work = tmp_path / "run"
    (name,) = (path.name for path in (tmp_path / "wavs/test").iterdir())
    for stem in ("vocals", "drums", "bass", "other"):
        written, _ = sf.read(work / f"results/GIVEN/estimates/test/{name}/{stem}.wav", dtype="int16")
        reference, _ = sf.read(tmp_path / f"wavs/test/{name}/{stem}.wav", dtype="int16")
        assert (written == reference).all()
    assert (work / f"submission/MDL1/test/{name}.json").is_file() and (work / f"results/GIVEN/scores/test/{name}.json").is_file()
    inventory = read_json(work / "results/inventory.json")["tracks"]
    assert all(track["sources"]["vocals"] == sha256(track["files"]["vocals"]) for track in inventory)
    assert {Path(track["files"]["vocals"]).suffix for track in inventory} == {".flac"}
    assert not run(work, config).jobs

    convert(work / "results/MDL1/estimates", tmp_path / "out", "mvsep", Encoding("flac", "PCM_24"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{name}_{target}.flac" for target in ("vocals", "accompaniment")}
