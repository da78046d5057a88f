"""A trained separator that pip installs, in runs on real audio: what the documentation shows, and the scores that stand there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml
from flow import ROOT, run, tiny_config

from madsep.data.import_mir1k import import_mir1k

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("spleeter")]
PAGE = (ROOT / "docs/separators_spleeter.md").read_text(encoding="utf-8")
REQUIREMENT = re.search(r"pip install --no-deps (\S+)", PAGE)[1]
SYSTEMS = yaml.safe_load(re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which pip installs the package, where Python finds it."""
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), REQUIREMENT]
    installed = subprocess.run(pip, capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"pip cannot install {REQUIREMENT}: {installed.stderr.strip().splitlines()[-1:]}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
        yield site


@pytest.fixture
def folder(site: Path, tmp_path: Path) -> Path:
    """The folder of a run, which holds the separator."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "spleeter_separator.py").write_text(re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1])
    return folder


def documented(row: str) -> list[float]:
    """The numbers in the last cells of a table's row that begins with `row`."""
    (line,) = (line for line in PAGE.splitlines() if line.startswith(row))
    return [float(number) for number in re.findall(r"-?\d+\.\d+", line)]


def test_the_clips_of_mir1k(shared: Path, folder: Path) -> None:
    tree = folder.parent / "tree"
    import_mir1k(shared / "data/mir1k", tree)
    config = yaml.safe_load((ROOT / "workflow/configs/mir1k.yaml").read_text())
    config |= {"musdb_root": str(tree), "device": "cpu", "threads": {"train": 1, "separate": 1, "score": 1}, **SYSTEMS}
    outcome = run(folder, config)
    assert outcome.status == 0, outcome.text
    means = pd.read_csv(folder / "results/SPLEETER/gnsdr.csv").set_index("metric")
    found = [means.loc["GNSDR", "value"], means.loc["GNSDR", "low"], means.loc["GNSDR", "high"]]
    found += [means.loc[metric, "value"] for metric in ("GSIR", "GSAR")]
    assert set(means["n_clips"]) == {91}
    assert found == pytest.approx(documented("| Spleeter | Deezer's songs |"), abs=0.02)


def test_a_real_stem_file(shared: Path, folder: Path) -> None:
    (source,) = (shared / "data/musdb_sample/train").glob("*.stem.mp4")
    root = folder.parent / "musdb"
    for subset, name in (("train", source.name), ("test", "Somebody - 80s Rock.stem.mp4")):
        (root / subset).mkdir(parents=True)
        shutil.copyfile(source, root / subset / name)
    config = tiny_config(root, scoring={"engine": "fast", "audit_tracks": 0, "audit_seed": 1}, **SYSTEMS)
    outcome = run(folder, config, "results/SPLEETER/tables.json")
    assert outcome.status == 0, outcome.text
    medians = pd.read_csv(folder / "results/SPLEETER/medians.csv").set_index(["target", "metric"])["median"]
    for target in ("vocals", "accompaniment"):
        found = [medians[target, metric] for metric in ("SDR", "ISR", "SIR", "SAR")]
        assert found == pytest.approx(documented(f"| Spleeter | {target} |"), abs=0.02)
