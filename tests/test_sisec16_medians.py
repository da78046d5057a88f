"""The recomputation of SiSEC 2016's published medians, on files of the campaign's structure and, if present, on the campaign's own."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.io import savemat

ROOT = Path(__file__).resolve().parents[1]
Write = Callable[[str, dict[str, list[float]]], None]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sisec16_medians", ROOT / "benchmarks/sisec16_medians.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(path: Path, tracks: dict[str, list[float]], shift: float = 0.0) -> None:
    """A file like the campaign's: `tracks` gives the SDR of each frame, SIR is `shift` above it; a Dev track that must not count."""

    def entry(name: str, sdr: list[float]) -> dict[str, object]:
        scores = {metric: np.array(sdr) + (shift if metric == "sir" else 0) for metric in ("sdr", "isr", "sir", "sar")}
        return {"results": {"name": name, "vocals": scores, "bass": scores}}

    test = np.array([entry(name, sdr) for name, sdr in tracks.items()])
    savemat(path, {"result": {"test": test, "dev": np.array([entry("051 - X - Y", [90.0])])}})


def test_medians_by_hand(script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    oracle = {"001 - A - B": [9.0, np.nan, 9.0], "002 - C - D": [9.0], "036 - E - F": [9.0, 9.0]}
    write(tmp_path / "IBM.mat", oracle)
    # counted: 1.59 of the first track, 3 and -5 of the others; 80 where the oracle has no SDR and track 36 are not
    write(tmp_path / "CHA.mat", {"001 - A - B": [1.59, 80.0, 3.0], "002 - C - D": [-5.0], "036 - E - F": [70.0, 70.0]}, 5.20 - 1.59)
    write(tmp_path / "GRA3.mat", {"001 - A - B": [-1.75, 80.0, 3.0], "002 - C - D": [-5.0], "036 - E - F": [70.0, 70.0]}, 1.28 + 1.75)
    assert script.main(tmp_path) == 0
    assert capsys.readouterr().out.splitlines() == [
        "CHA SDR: 1.59 dB, published 1.59 dB; 2 tracks",
        "CHA SIR: 5.20 dB, published 5.20 dB; 2 tracks",
        "GRA3 SDR: -1.75 dB, published -1.75 dB; 2 tracks",
        "GRA3 SIR: 1.28 dB, published 1.28 dB; 2 tracks",
    ]
    write(tmp_path / "CHA.mat", {"001 - A - B": [1.62, 80.0, 3.0], "002 - C - D": [-5.0]}, 5.20 - 1.59)
    assert script.main(tmp_path) == 1


def test_the_campaigns_own_files(script: ModuleType, shared: Path) -> None:
    folder = shared / "data/sisec16"
    if not folder.is_dir():
        pytest.skip(f"SiSEC 2016's files not found at {folder}")
    assert script.main(folder) == 0
