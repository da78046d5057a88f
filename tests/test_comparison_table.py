"""Comparisons as Markdown, LaTeX, CSV and JSON, by `madsep table`."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from madsep.cli import app
from madsep.comparison.compare import compare
from madsep.comparison.details import Details
from madsep.comparison.export import Wanted, comparison_table
from madsep.comparison.runs import Run
from madsep.core.errors import InputError
from madsep.core.intervals import Bootstrap

COLUMNS = ["track", "target", "metric", "median", "n_frames", "nan_share"]


def run_of(name: str, vocals: float, engine: str = "", layouts: tuple[str, ...] = ()) -> Run:
    rows = [(f"t{i}", target, metric, vocals + i, 4, 0.0) for target in ("vocals", "bass") for metric in ("SDR", "SIR") for i in range(3)]
    whole = [(f"t{i}", "vocals", "uSDR", vocals - i) for i in range(3)] if engine else []
    details = Details(pd.DataFrame(whole, columns=["track", "target", "metric", "value"]), engine=engine)
    return Run(name, pd.DataFrame(rows, columns=COLUMNS), layouts=layouts, details=details)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compared") / "compare"
    compare([run_of("A_1 & |b|", 1.0, "fast", ("stems",)), run_of("B", 2.0), run_of("IRM1", 9.0)], folder, Bootstrap(20, 0))
    return folder


def printed(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["table", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def test_markdown_has_a_row_per_system_and_the_best_in_bold(folder: Path) -> None:
    lines = printed(folder, "--targets", "vocals", "--metrics", "SDR,uSDR").splitlines()
    assert [line for line in lines if line.startswith("|")] == [
        "| system | vocals SDR | vocals uSDR |",
        "| --- | ---: | ---: |",
        "| IRM1 | 10.00 | - |",  # an oracle is never the best
        "| B | **3.00** | - |",
        "| A\\_1 & \\|b\\| | 2.00 | **0.00** |",
    ]
    text = "\n".join(lines)
    for note in (
        "SDR: BSSEval v4, frames of 1 s every 1 s; median over frames, median over tracks.",
        "uSDR: 10 log10((sum s^2 + 1e-7) / (sum (s - s')^2 + 1e-7)) over all samples and channels of a track; mean over tracks.",
        "Data: 3 other tracks, read from stems.",
        "Tracks with a number: 3.",
    ):
        assert note in text.replace("\\", "")
    assert "Scored by: not recorded (IRM1, B); fast (A_1 & |b|); madsep (A_1 & |b|)." in text.replace("\\", "")
    assert "bass SIR" in printed(folder) and "bass" not in text


def test_latex_is_booktabs_with_names_escaped(folder: Path) -> None:
    lines = printed(folder, "--format", "latex", "--intervals", "--metrics", "SDR").splitlines()
    begin = lines.index("\\begin{tabular}{lrr}")
    assert lines[begin + 1 : begin + 6] == [
        "\\toprule",
        " & \\multicolumn{1}{c}{vocals} & \\multicolumn{1}{c}{bass} \\\\",
        "\\cmidrule(lr){2-2}\\cmidrule(lr){3-3}",
        "system & SDR & SDR \\\\",
        "\\midrule",
    ]
    assert lines[begin + 6 :][2].startswith("A\\_1 \\& |b| & 2.00 [1.00, 3.00] & ") and lines[-2:] == ["\\bottomrule", "\\end{tabular}"]
    assert lines[begin + 7] == "B & \\textbf{3.00 [2.00, 4.00]} & \\textbf{3.00 [2.00, 4.00]} \\\\"
    assert all(line.startswith("%") for line in lines[:begin])


def test_csv_and_json_define_each_number(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(printed(folder, "--format", "csv", "--systems", "B", "--targets", "vocals"))))
    assert [(row["metric"], float(row["value"])) for row in rows] == [("SDR", 3), ("SIR", 3)]
    assert rows[0] | {"value": "", "ci_low": "", "ci_high": ""} == {
        **{"group": "other-1", "target": "vocals", "metric": "SDR", "system": "B", "kind": "run", "value": "", "ci_low": "", "ci_high": ""},
        **{"n_tracks": "3", "definition": "SDR[v4; frames=median; tracks=median; n=3; nan=0.0%]"},
        **{"aggregation": "median over frames, median over tracks", "protocol": "BSSEval v4, frames of 1 s every 1 s"},
        **{"engine": "not recorded", "data": "3 other tracks, read from stems"},
    }
    document: dict[str, Any] = json.loads(printed(folder, "--format", "json"))
    assert set(document["made_by"]) == {"version", "commit", "date"} and len(document["numbers"]) == 2 * 2 * 3 + 1
    assert document["numbers"][-1] | {"ci_low": 0, "ci_high": 0} == {
        **{"group": "other-1", "target": "vocals", "metric": "uSDR", "system": "A_1 & |b|", "kind": "run", "value": 0.0},
        **{"ci_low": 0, "ci_high": 0, "n_tracks": 3, "definition": "uSDR[whole track; tracks=mean; n=3]"},
        **{"aggregation": "mean over tracks", "engine": "madsep", "data": "3 other tracks, read from stems"},
        "protocol": "10 log10((sum s^2 + 1e-7) / (sum (s - s')^2 + 1e-7)) over all samples and channels of a track",
    }


def test_what_is_not_there_is_said(folder: Path, tmp_path: Path) -> None:
    for wanted, message in (
        (Wanted(groups=["sisec18"]), "sisec18: not a group of the comparison"),
        (Wanted(targets=["vocal"]), "vocal: not a target of the comparison; did you mean 'vocals'"),
        (Wanted(metrics=["uSDR"], systems=["B"]), "The comparison has no number for this choice"),
    ):
        with pytest.raises(InputError, match=message):
            comparison_table(folder, wanted, "csv")
    with pytest.raises(InputError, match=r"holds no comparison\.json, which `madsep compare` writes"):
        comparison_table(tmp_path, Wanted(), "csv")
    for record in ("[]", '{"groups": {}}', '{"groups": {"a": {}}, "made_by": {}}', '{"groups": 1, "made_by": {}}'):
        (tmp_path / "comparison.json").write_text(record)
        with pytest.raises(InputError, match=r"comparison\.json: is not the record of a comparison"):
            comparison_table(tmp_path, Wanted(), "csv")
