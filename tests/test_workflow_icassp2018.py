"""Table 1 of ICASSP 2018 by its config, with tiny networks, on a synthetic DSD100."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import yaml
from flow import ROOT, Run, dry_run, left_behind, own_lines, run, side_by_side
from systems_flow import TINY_SYSTEMS
from wavs import noise_stems, write_track

from madsep.data.prepared import read_prepared
from madsep.data.tracks import slug_of
from madsep.scoring.scores import decibels
from madsep.synth import make_dataset

pytestmark = pytest.mark.slow
PUBLISHED = {
    "GRA3": ("-1.75", "1.28"),
    "MIM-HW": ("1.49", "7.73"),
    "CHA": ("1.59", "5.20"),
    "MIM-DWF": ("3.66", "8.02"),
    "GRU-NRI": ("3.62", "7.06"),
    "GRU-RIS-s": ("3.41", "8.32"),
    "GRU-RIS-l": ("4.20", "7.94"),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two songs to train and two to test, 2 s."""
    root = tmp_path_factory.mktemp("icassp") / "DSD100"
    make_dataset(root, 2, 2, 2.0, seed=6, layout="dsd100")
    return root


@pytest.fixture(scope="module")
def finished(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = yaml.safe_load((ROOT / "workflow/configs/icassp2018.yaml").read_text())
    config |= {"musdb_root": str(tree), "allow_partial": True, "device": "cpu", "threads": {"train": 1, "separate": 1, "score": 1}}
    config |= {"bootstrap": {"n_resamples": 100, "seed": 1}}
    config["overrides"] = {name: TINY_SYSTEMS[name] for name in ("MDL1", "MIM-DWF", "MIM-HW", "GRA", "CHA")}
    folder = tmp_path_factory.mktemp("run") / "run"
    return Run(folder, config, run(folder, config))


def test_one_command_prints_the_table_with_the_published_figures(finished: Run) -> None:
    n = len(PUBLISHED)
    expected = {"prepare": 3, "train": n, "losses": n, "checkpoint": n, "separate": n, "score": n + 1, "aggregate": n + 1, "table": 1}
    assert finished.outcome.jobs == expected
    table = (finished.folder / "results/table.txt").read_text()
    assert table.strip() in finished.outcome.text and left_behind(finished.folder) == []
    part = table[table.index("Voice, dB: median over the frames of all tracks") :]
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in part.splitlines() if line.startswith("│")]
    assert [row[0] for row in rows] == [*PUBLISHED, "MIX"]
    for name, *numbers in rows:
        medians = pd.read_csv(finished.folder / "results" / name / "medians.csv").set_index(["target", "metric"])
        own = medians["median"]["vocals"]
        # an untrained GRU may estimate silence, which has no score
        assert numbers == [decibels(own["SDR"]), decibels(own["SIR"]), *PUBLISHED.get(name, ("-", "-"))]
        assert all("[v3 images, 30 s every 15 s, mono; all frames=median; n=" in text for text in medians["definition"])
    scored = {name for name, sdr, *_ in rows if sdr != "-"}
    assert scored >= {"GRA3", "CHA", "MIX"}
    assert not (finished.folder / "submission").exists() and not (finished.folder / "results/compare").exists()


def test_everything_is_mono(finished: Run, tree: Path) -> None:
    names = [path.name for path in (tree / "Mixtures/Test").iterdir()]
    for track in read_prepared(finished.folder / "results/prepared/test-four-mono", [slug_of(name) for name in names], ["test"]):
        voice = sf.read(tree / "Sources/Test" / track.name / "vocals.wav", dtype="float32")[0]
        np.testing.assert_allclose(track.signal("vocals"), voice.mean(1)[None], rtol=0, atol=1e-7)
    for system in PUBLISHED:
        for name in names:
            for path in (finished.folder / "results" / system / "estimates/test" / name).iterdir():
                assert sf.info(path).channels == 1


def test_the_other_halves_of_the_same_songs_are_refused(finished: Run, tree: Path, tmp_path: Path) -> None:
    write_track(tmp_path / "musdb/train/Actions - One Minute Smile", noise_stems(0, 0.1))
    medley = yaml.safe_load((ROOT / "workflow/configs/icassp2018-medleydb.yaml").read_text())
    overrides = finished.config["overrides"] | medley["overrides"]
    configs = [
        finished.config | medley | {"overrides": overrides, "extra_root": str(tmp_path / "musdb")},
        finished.config | {"dataset": "musdb18", "protocol": None, "musdb_root": str(tree)},
        finished.config | {"protocol": "mir1k"},
    ]
    extra, tests, protocol = side_by_side(dry_run, [tmp_path / name for name in ("extra", "tests", "protocol")], configs)
    (line,) = own_lines(extra)
    assert line.startswith(
        f"ERROR: extra_root: {tmp_path / 'musdb'} is MUSDB18, which cannot train for DSD100: all 100 songs of DSD100 are in"
    )
    (line,) = own_lines(tests)
    assert "no train/ and test/ in it, only 'Mixtures', 'Sources'" in line
    assert own_lines(protocol) == ["ERROR: protocol: mir1k does not fit DSD100; expected sisec16 or sisec18 or mdx21."]
