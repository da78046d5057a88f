"""A comparison from folders of scores to page, tables and figures."""

import json
import logging
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from madsep import cli
from madsep.comparison import boxplots as boxplots_files
from madsep.comparison import compare as stage
from madsep.comparison import pairwise as pairwise_files
from madsep.comparison.compare import Options, compare
from madsep.comparison.published import published_frames, published_medians, published_track_medians
from madsep.comparison.runs import COLUMNS, Run, read_run, read_runs, read_system, split_runs
from madsep.comparison.statistics import pairwise_tests
from madsep.core.errors import InputError
from madsep.core.files import sha256, write_json
from madsep.core.intervals import Bootstrap
from madsep.data.datasets import MUSDB18

BOOTSTRAP = Bootstrap(50, 0)
DRAWN = Options(drawn=["SDR"])
ONE_MORE = ["Cristina Vane - So Easy", "Mu - Too Bright", "PR - Oh No", "Speak Softly - Broken Man"]


def run_of(system: str, name: str, n_frames: dict[str, int] | None = None) -> Run:
    """A run with the published SDR and SIR of a system."""
    tracks = published_track_medians()
    tracks = tracks[(tracks["system"] == system) & tracks["metric"].isin(["SDR", "SIR"])]
    counts = tracks["track"].map(n_frames or published_frames())
    return Run(name, tracks[["track", "target", "metric", "median"]].assign(n_frames=counts, nan_share=0.25))


def small_run(name: str, scores: Sequence[float], n_frames: int = 4) -> Run:
    rows = [(f"track {i}", "vocals", "SDR", score, n_frames, 0.0) for i, score in enumerate(scores)]
    return Run(name, pd.DataFrame(rows, columns=["track", "target", "metric", "median", "n_frames", "nan_share"]))


def write_scores(folder: Path, scores: dict[str, list[float]]) -> Path:
    """Write museval JSONs, a frame for each score; all metrics are the same."""
    folder.mkdir(parents=True)
    for track, values in scores.items():
        metrics = [dict.fromkeys(("SDR", "SIR", "ISR", "SAR"), value) for value in values]
        frames = [{"time": float(i), "duration": 1.0, "metrics": found} for i, found in enumerate(metrics)]
        (folder / f"{track}.json").write_text(json.dumps({"targets": [{"name": "vocals", "frames": frames}]}))
    return folder


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Replaces the figures by small files; returns what was drawn."""
    calls: list[tuple[str, Any]] = []

    def write(stem: Path) -> list[Path]:
        stem.parent.mkdir(parents=True, exist_ok=True)
        paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("pdf", "svg", "png")]
        for path in paths:
            path.write_bytes(b"figure")
        return paths

    def boxplots(tracks: pd.DataFrame, target: str, metric: str, stem: Path, order: Sequence[str]) -> list[Path]:
        calls.append(("boxplots", (tracks, target, metric, list(order))))
        return write(stem)

    def pairwise(p_values: pd.DataFrame, differences: pd.DataFrame, title: str, stem: Path) -> list[Path]:
        calls.append(("pairwise", (p_values, differences, title)))
        return write(stem)

    monkeypatch.setattr(boxplots_files, "draw_boxplots", boxplots)
    monkeypatch.setattr(pairwise_files, "draw_pairwise", pairwise)
    return calls


@pytest.fixture
def few_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests the pairs of three systems only; all of 32 take half a minute."""
    monkeypatch.setattr(stage, "pairwise_tests", lambda tracks: pairwise_tests(tracks[tracks["system"].isin(["MDL1", "MDLT", "mine"])]))


class Page(HTMLParser):
    """The rows of the page's tables, its text, and what it refers to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.text, self.references = "", []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        self.references += [(tag, value) for key, value in attrs if key in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip() + " " * bool(data.strip())


def test_runs_are_named_after_their_folders(tmp_path: Path) -> None:
    write_scores(tmp_path / "MINE/test", {"a": [1.0, 3.0, float("nan")]})
    write_scores(tmp_path / "a=b", {"a": [2.0]})
    runs = read_runs([str(tmp_path / "MINE"), f"other={tmp_path}/MINE/test", str(tmp_path / "a=b")])
    assert [run.name for run in runs] == ["MINE", "other", "a=b"]
    assert read_runs([str(tmp_path / "MINE/test")])[0].name == "MINE"
    row = runs[0].medians.iloc[0]
    assert (row["median"], row["n_frames"], row["nan_share"]) == (2, 3, pytest.approx(1 / 3)) and runs[0].n_frames() == {"a": 3}
    with pytest.raises(InputError, match="MINE: several runs have this name"):
        read_runs([str(tmp_path / "MINE"), str(tmp_path / "MINE/test")])
    with pytest.raises(InputError, match=r"A \(run\): '\(run\)' marks runs named as a published system"):
        read_runs([f"A (run)={tmp_path / 'MINE'}"])


def test_workflow_tables_and_provenance_are_read(tmp_path: Path) -> None:
    small_run("A", [1.0, 2.0]).medians.to_csv(tmp_path / "track_medians.csv", index=False)
    description = {"is_blind": False, "additional_training_data": True}
    settings = {"name": "MIM-DWF+", "separation": {"framing": "legacy"}, "description": description}
    (tmp_path / "provenance.yaml").write_text(yaml.safe_dump({"settings": settings, "data": {"layouts": ["wav"]}}))
    run = read_run(tmp_path, "A")
    assert run.about == "recipe MIM-DWF+; framing legacy; data read from wav or flac" and run.kind == "run+extra"
    pd.testing.assert_frame_equal(run.medians, small_run("A", [1.0, 2.0]).medians)
    (tmp_path / "provenance.yaml").write_text("a: [")
    with pytest.raises(InputError, match=r"provenance\.yaml: cannot be read as YAML"):
        read_run(tmp_path, "A")
    (tmp_path / "track_medians.csv").write_text("track,median\na,1\n")
    with pytest.raises(InputError, match=r"track_medians\.csv: expected the columns"):
        read_run(tmp_path, "A")


def test_tables_of_the_workflow_are_verified(tmp_path: Path) -> None:
    """They name the scores that they were made from; a change by hand is refused."""
    small_run("A", [1.0, 2.0]).medians.to_csv(tmp_path / "track_medians.csv", index=False)
    with pytest.raises(InputError, match=r"tables\.json: is missing"):
        read_system("A", tmp_path, {"name": "MDL1"})
    files = {"track_medians.csv": sha256(tmp_path / "track_medians.csv")}
    facts = {"scores": "scores", "estimates": None, "protocol": "sisec18", "layouts": ["wav"]}
    write_json(tmp_path / "tables.json", {"made_from": {}, "files": files, "facts": facts})
    assert read_system("A", tmp_path, {"name": "MDL1"}).about == "recipe MDL1; data read from wav or flac"
    with (tmp_path / "track_medians.csv").open("a") as stream:
        stream.write("track 2,vocals,SDR,9,4,0\n")
    with pytest.raises(InputError, match=r"track_medians\.csv: is missing or was changed after it was written"):
        read_system("A", tmp_path, {})


@pytest.mark.parametrize(
    "rows", ["", "a,vocals,SDR,1,4,0\na,vocals,SDR,2,4,0\n", "a,vocals,SDR,1,,0\n", ",vocals,SDR,1,4,0\n", "a,vocals,SDR,inf,4,0\n"]
)
def test_faulty_tables_are_refused(tmp_path: Path, rows: str) -> None:
    (tmp_path / "track_medians.csv").write_text(f"track,target,metric,median,n_frames,nan_share\n{rows}")
    with pytest.raises(InputError, match=r"track_medians\.csv: expected "):
        read_run(tmp_path, "A")


def test_scores_that_are_partial_are_refused(tmp_path: Path) -> None:
    rows = [("a", "vocals", 5), ("a", "accompaniment", 4), ("b", "accompaniment", 4)]
    for kept, message in (
        (rows, "the targets of a have different numbers of frames (accompaniment 4, vocals 5)"),
        ([*rows[1:], ("b", "vocals", 4)], "a has no scores of vocals, but other tracks have"),
    ):
        table = pd.DataFrame([(track, target, "SDR", 1.0, n, 0.0) for track, target, n in kept], columns=list(COLUMNS))
        table.to_csv(tmp_path / "track_medians.csv", index=False)
        with pytest.raises(InputError, match=f"^{re.escape(f'{tmp_path}: {message}')}"):
            read_run(tmp_path, "A")


def test_odd_records_are_no_records(tmp_path: Path) -> None:
    small_run("A", [1.0]).medians.to_csv(tmp_path / "track_medians.csv", index=False)
    odd = {"settings": {"name": "A", "description": [1], "separation": "full"}, "data": {"layouts": "wav"}}
    (tmp_path / "provenance.yaml").write_text(yaml.safe_dump(odd))
    run = read_run(tmp_path, "A")
    assert run.kind == "run" and run.about == "recipe A"


def test_kinds_of_runs() -> None:
    run = small_run("mine", [1.0])
    assert run.kind == "run" and run.about == ""
    assert {replace(run, name=name).kind for name in ("IRM1", "MWF", "MIX")} == {"run+oracle"}
    assert replace(run, settings={"description": {"is_blind": True}}).kind == "run+blind"


def test_only_the_50_test_tracks_stand_beside_the_campaign() -> None:
    whole = run_of("MDL1", "whole")
    partial = replace(whole, name="partial", medians=whole.medians[whole.medians["track"] != "PR - Oh No"])
    excerpts = run_of("MDL1", "excerpts", dict.fromkeys(published_frames(), 7))
    longer = run_of("MDL1", "longer", {track: n + 2 * (track == "PR - Oh No") for track, n in published_frames().items()})
    synthetic, same, uneven = small_run("synthetic", [1.0]), small_run("same", [1.0], 5), small_run("uneven", [1.0], 6)
    groups = split_runs([synthetic, partial, whole, excerpts, same, longer, uneven])
    assert [[run.name for run in group.runs] for group in groups] == [
        *(["whole"], ["synthetic", "same"], ["partial"], ["excerpts"], ["longer"], ["uneven"])
    ]
    assert [group.name for group in groups] == ["sisec18", *(f"other-{i}" for i in range(1, 6))]
    reasons = [group.reason for group in groups]
    assert reasons[0] == "" and "track 0 not among them; 50 of the 50 missing" in reasons[1]
    assert "(1 of the 50 missing)" in reasons[2]
    assert "the length differs for 50 of them (AM Contra - Heart Peripheral: 7 frames instead of 209)" in reasons[3]
    assert "the length differs for 1 of them (PR - Oh No: 77 frames instead of 75)" in reasons[4]
    assert groups[1].notes == ["same has one frame more than synthetic in 1 of 1 tracks: track 0."]


def test_one_frame_more_or_less_is_tolerated_and_said() -> None:
    counts = {track: n + (track in ONE_MORE) - (track == "Arise - Run Run Run") for track, n in published_frames().items()}
    (group,) = split_runs([run_of("MDL1", "A", counts), run_of("MDL1", "B")])
    assert group.is_sisec18 and group.notes == [
        f"A has one frame more than the published files of MDL1 in 4 of 50 tracks: {', '.join(ONE_MORE)}.",
        "A has one frame less than the published files of MDL1 in 1 of 50 tracks: Arise - Run Run Run.",
    ]


def test_a_mix_of_data_is_compared_in_two_parts(
    tmp_path: Path, drawn: list[tuple[str, Any]], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = published_track_medians()  # of five systems, which is quicker
    few = few[few["system"].isin(["MDL1", "MDLT", "TAK2", "REP1", "IRM1"]) & few["metric"].isin(["SDR", "SIR"])]
    monkeypatch.setattr(stage, "published_track_medians", lambda: few)
    mine = replace(run_of("MDL1", "MDL1"), settings={"name": "MDL1", "separation": {"framing": "legacy"}}, layouts=["wav"])
    with caplog.at_level(logging.INFO, logger="madsep"):
        compare([mine, run_of("MDLT", "<b>A & B"), small_run("X", [1, 2, 3]), small_run("Y", [3, 3, 4])], tmp_path, BOOTSTRAP, DRAWN)
    assert "MDL1 against the published MDL1: reproduced" in caplog.messages
    tables = {group: pd.read_csv(tmp_path / f"tables/{group}/medians.csv") for group in ("sisec18", "other-1")}
    assert set(tables["other-1"]["system"]) == {"X", "Y"} and not {"X", "Y"} & set(tables["sisec18"]["system"])
    medians = tables["sisec18"].set_index(["system", "target", "metric"])
    assert medians.loc[("MDL1", "vocals", "SDR"), "median"] == pytest.approx(4.0223, abs=5e-5)
    assert medians.loc[("MDL1 (run)", "vocals", "SDR"), "kind"] == "run"
    assert medians.loc[("TAK2", "bass", "SDR"), "kind"] == "supervised+extra"
    assert medians.loc[("MDL1 (run)", "vocals", "SDR"), "definition"] == "SDR[v4; frames=median; tracks=median; n=50; nan=25.0%]"
    pairs = pd.read_csv(tmp_path / "tables/sisec18/pairwise.csv").set_index(["target", "metric", "system", "other"])
    assert pairs.loc[("vocals", "SDR", "MDL1", "MDLT"), "p_value"] == pytest.approx(0.9086, abs=1e-4)
    assert pairs.loc[("vocals", "SDR", "MDL1 (run)", "MDL1"), "p_value"] == 1
    check = pd.read_csv(tmp_path / "tables/sisec18/reproduction.csv")
    assert list(check["run"]) == list(check["published"]) == ["MDL1"] * 4 and set(check["difference"]) == {0}
    assert len(pd.read_csv(tmp_path / "tables/sisec18/reproduction_tracks.csv")) == 4 * 50
    text = (tmp_path / "tables/sisec18/reproduction.txt").read_text()
    assert text.startswith("MDL1 against the published MDL1: reproduced\n") and "Framing of this run: legacy" in text

    page = Page(tmp_path / "index.html")
    assert "50 of the 50 missing" in page.text and "none differs" in page.text and "MUSDB18-HQ" in page.text
    assert "these runs are not in the tables and figures of SiSEC 2018" in page.text
    rows = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in reversed(page.rows)}
    bounds = [medians.loc[("MDL1 (run)", "vocals", "SDR"), bound] for bound in ("ci_low", "ci_high")]
    assert rows["MDL1 (run)"][0] == f"4.02 {bounds[0]:.2f} .. {bounds[1]:.2f}"
    assert rows["MDL1 (run)"][-2:] == ["run", "v4; frames=median; tracks=median; n=50; nan=25.0%"]
    assert "<b>A & B" in rows and rows["TAK2"][-2] == "supervised, extra data"
    assert rows["Open-Unmix UMX"][0] == "6.32" and rows["Open-Unmix UMX"][5:8] == ["2019", "stems", "none"]  # published later, apart
    assert {tag for tag, _ in page.references} == {"a", "link"} and ("link", "data:,") in page.references
    links = [value for tag, value in page.references if tag == "a" and not value.startswith(("https://", "#"))]
    assert len(links) == 6 + 3 + 3 * len(drawn) and all((tmp_path / link).is_file() for link in links)
    for link in (value for _, value in page.references if value.startswith("#")):
        assert f'id="{link[1:]}"' in (tmp_path / "index.html").read_text()
    check_drawings(drawn)


def check_drawings(drawn: list[tuple[str, Any]]) -> None:
    """SDR of every target of either part is drawn, each part by itself."""
    boxes = [what for kind, what in drawn if kind == "boxplots"]
    assert [(target, metric) for _, target, metric, _ in boxes] == [
        *((target, "SDR") for target in ("vocals", "accompaniment", "drums", "bass", "other")),
        ("vocals", "SDR"),
    ]
    order = ["IRM1", "TAK2", "MDL1", "MDL1 (run)", "<b>A & B", "MDLT", "REP1"]
    assert boxes[0][3] == order and set(boxes[0][0]["kind"]) == {"run", "supervised", "supervised+extra", "blind", "oracle"}
    matrices = [what for kind, what in drawn if kind == "pairwise"]
    assert len(matrices) == len(boxes)
    assert list(matrices[0][0].index) == order and matrices[0][1].loc["IRM1", "REP1"] > 0
    assert list(matrices[-1][0].columns) == ["Y", "X"] and "3 tracks" in matrices[-1][2]


def test_real_figures_of_two_runs(tmp_path: Path) -> None:
    compare([small_run("IRM1", [5, 6, 7]), small_run("Y$x_$", [3, np.nan, 4])], tmp_path, BOOTSTRAP, DRAWN)
    files = sorted(path.name for path in (tmp_path / "figures/other-1").iterdir())
    assert files == [f"{name}_vocals_SDR.{suffix}" for name in ("boxplots", "pairwise") for suffix in ("pdf", "png", "svg")]
    assert "Not checked against the published systems of the same names: IRM1." in Page(tmp_path / "index.html").text
    row = pd.read_csv(tmp_path / "tables/other-1/pairwise.csv").iloc[0]
    assert (row["n_tracks"], row["median_difference"]) == (2, 2.5)
    assert not (tmp_path / "tables/other-1/reproduction.csv").exists()
    compare([small_run("Z", [3])], tmp_path, BOOTSTRAP)
    assert not {"IRM1", "Open-Unmix"} & set(re.findall(r"[\w-]+", Page(tmp_path / "index.html").text))


def test_a_comparison_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> list[Path]:
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "render_page", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare([small_run("X", [1, 2]), small_run("Y", [3, 4])], tmp_path / "out", BOOTSTRAP)
    assert not list(tmp_path.iterdir())


def test_a_run_that_lacks_targets_or_tracks_reproduces_nothing(
    tmp_path: Path, drawn: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = published_track_medians()
    monkeypatch.setattr(stage, "published_track_medians", lambda: few[few["system"].isin(["MDL1"]) & few["metric"].isin(["SDR", "SIR"])])
    whole = run_of("MDL1", "MDL1")
    mute = replace(whole, medians=whole.medians[whole.medians["target"] == "accompaniment"])
    empty = whole.medians["median"].mask((whole.medians["target"] == "vocals") & whole.medians["track"].isin(ONE_MORE))
    compare([mute, replace(whole, name="A", medians=whole.medians.assign(median=empty))], tmp_path, BOOTSTRAP, Options("MDL1"))
    text = (tmp_path / "tables/sisec18/reproduction.txt").read_text()
    assert "MDL1 against the published MDL1: undecided (vocals SDR, vocals SIR); vocals on 0 of 50 tracks\n" in text
    assert "vocals        SDR: n = 0, too few tracks with a number in this run: undecided" in text and "nan" not in text
    assert "A against the published MDL1: reproduced; vocals on 46 of 50 tracks\n" in text
    assert f"Tracks without a number in vocals SDR of this run: {', '.join(sorted(ONE_MORE))}." in text


@pytest.mark.usefixtures("drawn", "few_pairs")
def test_medians_of_the_published_systems_are_those_published(tmp_path: Path) -> None:
    tracks = published_track_medians()
    own = tracks[tracks["system"] == "MDL1"].assign(n_frames=tracks["track"].map(published_frames()), nan_share=0.0)
    compare([Run("mine", own[list(COLUMNS)])], tmp_path, Bootstrap(2, 0))
    key = ["system", "kind", "target", "metric"]
    found = pd.read_csv(tmp_path / "tables/sisec18/medians.csv").set_index(key)["median"]
    published = published_medians().set_index(key)["median"]
    pd.testing.assert_series_equal(found.reindex(published.index), published, rtol=0, atol=1e-9)


def test_one_run_alone_has_no_matrix(tmp_path: Path, drawn: list[tuple[str, Any]]) -> None:
    compare([small_run("X", [1, 2])], tmp_path, BOOTSTRAP, DRAWN)
    assert [kind for kind, _ in drawn] == ["boxplots"] and (tmp_path / "index.html").is_file()


@pytest.mark.usefixtures("drawn", "few_pairs")
def test_another_system_than_the_namesake_can_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vocals = published_track_medians()
    vocals = vocals[(vocals["target"] == "vocals") & vocals["metric"].isin(["SDR", "SIR"])]
    monkeypatch.setattr(stage, "published_track_medians", lambda: vocals)
    compare([run_of("REP1", "MDL1")], tmp_path, BOOTSTRAP, Options("MDLT"))
    check = pd.read_csv(tmp_path / "tables/sisec18/reproduction.csv")
    assert set(check["published"]) == {"MDLT"} and check["verdict"].iloc[0] == "not reproduced"
    farthest = pd.read_csv(tmp_path / "tables/sisec18/reproduction_tracks.csv").iloc[0]
    assert f"{farthest['difference_db']:+.2f} dB  {farthest['track']}" in (tmp_path / "tables/sisec18/reproduction.txt").read_text()
    systems = pd.read_csv(tmp_path / "tables/sisec18/medians.csv")["system"]
    assert systems.nunique() == 32


@pytest.fixture
def madsep(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, list[str]]]:
    def call(*arguments: object) -> tuple[int, str, list[str]]:
        monkeypatch.setattr(sys, "argv", ["madsep", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err.splitlines()

    return call


def test_command(madsep: Callable, tmp_path: Path, drawn: list[tuple[str, Any]]) -> None:
    a = write_scores(tmp_path / "A/test", {"x": [1.0, 2.0], "y": [3.0, 4.0]})
    b = write_scores(tmp_path / "b", {"x": [1.0, 2.0, 3.0], "y": [5.0, 5.0]})
    status, printed, lines = madsep("compare", a, f"B={b}", "-o", tmp_path / "out", "--n-resamples", 10)
    assert (status, printed) == (0, f"{tmp_path}/out/index.html\n")
    assert lines[0].startswith("madsep: INFO: other-1: The tracks are not MUSDB18's test tracks (x, y not among them; 50 of the 50")
    assert lines[1] == "madsep: INFO: other-1: B has one frame more than A in 1 of 2 tracks: x."
    medians = pd.read_csv(tmp_path / "out/tables/other-1/medians.csv").set_index(["metric", "system"])["median"]
    assert (medians["SDR", "A"], medians["SDR", "B"]) == (2.5, 3.5)
    for arguments, message in (
        ([a, "--reproduces", "MDL1"], "A: cannot be checked against MDL1. The tracks are not MUSDB18's test tracks"),
        ([a, "--reproduces", "MDL2"], "MDL2: not a system of SiSEC 2018; did you mean 'MDLT'?"),
        ([tmp_path / "gone"], f"{tmp_path}/gone: no such folder"),
        ([f"C={tmp_path}/gone"], f"{tmp_path}/gone: no such folder"),
    ):
        status, printed, (line, *others) = madsep("compare", *arguments, "-o", tmp_path / "new")
        assert (status, printed) == (1, "") and line.startswith(f"madsep: ERROR: {message}") and len(others) <= 1
        assert not (tmp_path / "new").exists()


def test_published_names_are_musdbs() -> None:
    assert sorted(published_frames()) == MUSDB18.test_names()
