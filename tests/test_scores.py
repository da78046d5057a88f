import gzip
import json
import math
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from madsep.core.errors import InputError
from madsep.scoring.scores import decibels, framing, ordered, read_scores


def document(**targets: list[float]) -> dict[str, Any]:
    """museval's layout with every metric of frame i equal to the i-th score."""
    return {
        "targets": [
            {
                "name": name,
                "frames": [
                    {"time": i, "duration": 1, "metrics": dict.fromkeys(("SDR", "SIR", "SAR", "ISR"), score)}
                    for i, score in enumerate(scores)
                ],
            }
            for name, scores in targets.items()
        ]
    }


def write(folder: Path, name: str, content: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_one_row_per_frame_and_metric(tmp_path: Path) -> None:
    write(tmp_path, "Triviul feat. The Fiend - Widow", document(vocals=[1.5, math.nan], bass=[2.0, 3.0]))
    scores = read_scores(tmp_path)
    assert list(scores.columns) == ["track", "target", "metric", "time", "duration", "score"]
    assert len(scores) == 2 * 2 * 4
    assert set(scores["track"]) == {"Triviul feat. The Fiend - Widow"}
    sdr = scores[(scores["target"] == "vocals") & (scores["metric"] == "SDR")]
    assert list(sdr["time"]) == [0, 1] and list(sdr["duration"]) == [1, 1]
    assert sdr["score"].iloc[0] == 1.5 and math.isnan(sdr["score"].iloc[1])


def test_infinite_scores_count_as_nan(tmp_path: Path) -> None:
    write(tmp_path, "a", document(vocals=[math.inf, -math.inf, 1.0]))
    assert list(read_scores(tmp_path)["score"].isna()) == [True] * 8 + [False] * 4


def test_metrics_are_not_mixed_up(tmp_path: Path) -> None:
    content = document(vocals=[0.0])
    content["targets"][0]["frames"][0]["metrics"] = {"SAR": 1, "ISR": 2, "SIR": 3, "SDR": 4}
    write(tmp_path, "a", content)
    scores = read_scores(tmp_path)
    assert dict(zip(scores["metric"], scores["score"], strict=True)) == {"SAR": 1, "ISR": 2, "SIR": 3, "SDR": 4}


def test_folder_and_its_test_folder_agree(tmp_path: Path) -> None:
    write(tmp_path / "test", "b", document(vocals=[1.0]))
    write(tmp_path / "test", "a", document(vocals=[2.0]))
    write(tmp_path / "test" / "deeper", "c", document(vocals=[3.0]))
    write(tmp_path / "train", "d", document(vocals=[4.0]))
    scores = read_scores(tmp_path)
    assert list(scores["track"].unique()) == ["a", "b"]
    assert scores.equals(read_scores(tmp_path / "test"))


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "test", "a", document(vocals=[1.0]))
    write(tmp_path / "test", "._a", "not JSON")
    write(tmp_path / "test" / ".ipynb_checkpoints", "b", document(vocals=[2.0]))
    write(tmp_path, ".madsep-tmp.host.1.x", "half")
    assert list(read_scores(tmp_path)["track"].unique()) == ["a"]


def test_decibels_as_text() -> None:
    assert [decibels(value) for value in (1.234, -0.001, math.nan, 80.0, 80.1)] == ["1.23", "0.00", "-", "80.00", "> 80"]
    assert [decibels(value, "+") for value in (1.234, -2.0, -0.001)] == ["+1.23", "-2.00", "+0.00"]


def test_same_frames_as_museval(shared: Path) -> None:
    aggregate = pytest.importorskip("museval.aggregate")
    folder = shared / "data/sisec18/submissions/MDL1"
    store = aggregate.EvalStore()
    store.add_eval_dir(str(folder))
    key = ["track", "target", "metric", "time"]
    theirs = store.df.set_index(key)["score"].astype(float).sort_index()
    ours = read_scores(folder).set_index(key)["score"].sort_index()
    assert len(ours) == 12435 * 2 * 4
    assert ours.equals(theirs)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "no list `targets`"),
        ("{}", "no list `targets`"),
        ({"targets": []}, "no list `targets`"),
        ({"targets": [{"frames": []}]}, "has no name"),
        ({"targets": [{"name": "vocals"}]}, "target vocals has no frames"),
        ({"targets": [{"name": "vocals", "frames": []}]}, "target vocals has no frames"),
        ({"targets": [{"name": "vocals", "frames": [{"time": 0}]}]}, "frame 0 of target vocals has no `metrics`"),
        ({"targets": document(vocals=[1.0])["targets"] * 2}, "target vocals occurs twice"),
    ],
)
def test_files_of_another_layout_are_named(tmp_path: Path, content: Any, words: str) -> None:
    path = write(tmp_path, "a", content)
    with pytest.raises(InputError, match=words) as error:
        read_scores(tmp_path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("value", ["4.0", None, True, [1]])
def test_scores_that_are_no_numbers_are_refused(tmp_path: Path, value: Any) -> None:
    content = document(vocals=[1.0, 2.0])
    content["targets"][0]["frames"][1]["metrics"]["SIR"] = value
    write(tmp_path, "a", content)
    with pytest.raises(InputError, match=r"SIR in frame 1 of target vocals is .*, not a number"):
        read_scores(tmp_path)


@pytest.mark.parametrize("key", ["SDR", "SAR", "time", "duration"])
def test_missing_values_are_refused(tmp_path: Path, key: str) -> None:
    content = document(vocals=[1.0])
    frame = content["targets"][0]["frames"][0]
    del (frame["metrics"] if key in frame["metrics"] else frame)[key]
    write(tmp_path, "a", content)
    with pytest.raises(InputError, match=f"frame 0 of target vocals has no {key}"):
        read_scores(tmp_path)


def test_missing_empty_and_ambiguous_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        read_scores(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no JSON file"):
        read_scores(tmp_path)
    write(tmp_path, "a", document(vocals=[1.0]))
    write(tmp_path / "test", "a", document(vocals=[1.0]))
    with pytest.raises(InputError, match="not clear which"):
        read_scores(tmp_path)


def test_compressed_files_are_read_like_others(tmp_path: Path) -> None:
    """As the repository of Demucs keeps its scores and those of Open-Unmix."""
    for name, scores in (("a", [1.0, math.nan]), ("b.c", [3.0])):
        write(tmp_path / "plain", name, document(vocals=scores))
        compress(tmp_path / "packed/test", name, (tmp_path / f"plain/{name}.json").read_bytes())
    compress(tmp_path / "packed/test", "._a", b"not JSON")
    assert read_scores(tmp_path / "packed").equals(read_scores(tmp_path / "plain"))
    twin = compress(tmp_path / "plain", "a", b"{}")
    with pytest.raises(InputError, match=rf"^{twin}: the folder also holds a\.json; it is not clear which are the scores\. Move one"):
        read_scores(tmp_path / "plain")


def compress(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json.gz"
    path.write_bytes(gzip.compress(content))
    return path


def test_damaged_compressed_files_are_named(tmp_path: Path) -> None:
    path = compress(tmp_path, "a", json.dumps(document(vocals=[1.0] * 50)).encode())
    whole = path.read_bytes()
    for content in (b"{}", whole[:-20], whole[:40] + b"\0" * 40 + whole[80:], b""):
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"^{path}: "):
            read_scores(tmp_path)


def test_a_file_that_decompresses_to_far_more_than_scores_is_not_decompressed(tmp_path: Path) -> None:
    """A gigabyte of zeros in a megabyte: the reader stops at the largest size of scores."""
    packed = gzip.compress(b"\0" * 2**26)  # members may follow each other
    (tmp_path / "a.json.gz").write_bytes(packed * 16)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"a\.json\.gz: has more than 32 MB when decompressed, more than such a file can need"):
        read_scores(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**27


def test_order_of_targets_and_metrics(tmp_path: Path) -> None:
    targets = ["zither", "other", "bass", "drums", "choir", "accompaniment", "vocals"]
    write(tmp_path, "a", document(**{name: [1.0] for name in targets}))
    write(tmp_path, "b", document(**{name: [2.0] for name in targets}))
    table = ordered(read_scores(tmp_path))
    assert list(table["track"]) == ["a", "b"] * 28
    table = table[table["track"] == "b"]
    wanted = ["vocals", "accompaniment", "drums", "bass", "other", "choir", "zither"]
    assert list(table["target"]) == [name for name in wanted for _ in range(4)]
    assert list(table["metric"]) == ["SDR", "SIR", "ISR", "SAR"] * 7


def frames(times: list[float], duration: float) -> dict[str, Any]:
    content = document(vocals=[1.0] * len(times))
    for frame, time in zip(content["targets"][0]["frames"], times, strict=True):
        frame |= {"time": time, "duration": duration}
    return content


@pytest.mark.parametrize(
    ("times", "duration", "words"),
    [
        ([0, 1, 2], 1, ""),
        ([0], 1, ""),
        ([0, 4, 8], 4, "frames of 4 s every 4 s in a"),
        ([0, 0.5, 1.0], 1, "frames of 1 s every 0.5 s in a"),
        ([0, 2, 4], 4, "frames of 4 s every 2 s in a"),
        ([1, 2, 3], 1, "frames of 1 s every 1 s from 1 s on in a"),
        ([0, 1, 3], 1, "frames of differing lengths or distances in a"),
        ([0, 0.1, 0.2], 0.1, "frames of 0.1 s every 0.1 s in a"),
    ],
)
def test_frames_of_another_framing_are_told(tmp_path: Path, times: list[float], duration: float, words: str) -> None:
    write(tmp_path, "a", frames(times, duration))
    assert framing(read_scores(tmp_path)) == words
    for name in ("b", "c", "d"):
        write(tmp_path, name, frames(times, duration))
    assert framing(read_scores(tmp_path)) == (words and f"{words} and 3 other tracks")


@pytest.mark.parametrize(
    ("times", "duration", "words"),
    [
        ([0, 1, 1], 1, "frame 2 of target vocals occurs twice"),
        ([0, 0, 1], 1, "frame 1 of target vocals occurs twice"),
        ([-1, 0, 1], 1, "frame 0 of target vocals begins at -1 s"),
        ([0, math.nan, 1], 1, "frame 1 of target vocals begins at nan s"),
        ([0, 1, math.inf], 1, "frame 2 of target vocals begins at inf s"),
        ([0, 1, 2], 0, "lasts 0 s"),
        ([0, 1, 2], math.nan, "lasts nan s"),
        ([0, 2, 1], 1, "frame 2 of target vocals begins at 1 s, before the previous frame"),
    ],
)
def test_times_that_cannot_be_are_refused(tmp_path: Path, times: list[float], duration: float, words: str) -> None:
    write(tmp_path, "a", frames(times, duration))
    with pytest.raises(InputError, match=words):
        read_scores(tmp_path)


@pytest.mark.parametrize("name", ["", "a\nb", "\ud800", "x" * 200])
def test_targets_without_a_proper_name_are_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path, "a", {"targets": [document(vocals=[1.0])["targets"][0] | {"name": name}]})
    with pytest.raises(InputError, match="is not the name of a target"):
        read_scores(tmp_path)
