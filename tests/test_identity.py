"""Results are known by content: the same data elsewhere, other data in the same place, tracks that come and go, runs that fail."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flow import Outcome, dry_run, final_faults, left_behind, run, tiny_config, with_recipe
from prepared_tracks import AWKWARD_NAMES
from wavs import noise_stems, write_track

from madsep.core.files import read_json, sha256
from madsep.data.tracks import slug_of
from madsep.submission.check import check_submission

pytestmark = pytest.mark.slow

FAST = {"scoring": {"engine": "fast", "audit_tracks": 0, "audit_seed": 1}}
Run = Callable[..., Outcome]


def make_songs(root: Path, names: list[str], duration_s: float = 1.1) -> Path:
    """A data set of two training tracks and the test tracks `names`, each of noise that depends on its name alone."""
    for subset, tracks in (("train", ["Learner A", "Learner B"]), ("test", names)):
        for name in tracks:
            write_track(root / subset / name, noise_stems(sum(name.encode()), duration_s))
    return root


def oracle_config(root: Path, **changes: Any) -> dict[str, Any]:
    return tiny_config(root, systems=["IRM1"], **FAST) | changes


def succeeded(outcome: Outcome) -> Outcome:
    assert outcome.status == 0, outcome.text
    return outcome


def scores(folder: Path, system: str = "IRM1") -> dict[str, str]:
    """The score file of each track, by its true name."""
    return {path.stem: path.read_text() for path in (folder / f"results/{system}/scores/test").glob("*.json")}


def times(folder: Path, pattern: str) -> dict[str, int]:
    """When each file was last written."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.glob(pattern) if path.is_file()}


def test_a_track_that_comes_goes_and_comes_back_changes_no_other(tmp_path: Path) -> None:
    root, folder = make_songs(tmp_path / "musdb", ["Bees", "Cats"]), tmp_path / "run"
    succeeded(run(folder, oracle_config(root)))
    two, wavs = scores(folder), times(folder, "results/IRM1/estimates/test/*/*.wav")
    assert set(two) == {"Bees", "Cats"}
    make_songs(root, ["AAA new"])
    succeeded(run(folder, oracle_config(root)))
    three = scores(folder)
    assert three == two | {"AAA new": three["AAA new"]}
    assert {path: time for path, time in times(folder, "results/IRM1/estimates/test/*/*.wav").items() if path in wavs} == wavs
    shutil.rmtree(root / "test/AAA new")
    succeeded(run(folder, oracle_config(root)))
    assert {name: scores(folder)[name] for name in two} == two
    medians = (folder / "results/IRM1/track_medians.csv").read_text()
    assert "AAA new" not in medians and "Bees" in medians
    make_songs(root, ["AAA new"])
    succeeded(run(folder, oracle_config(root)))
    assert scores(folder) == three and left_behind(folder) == []


def test_a_changed_stem_redoes_its_track_and_data_elsewhere_redo_nothing(tmp_path: Path) -> None:
    root, folder = make_songs(tmp_path / "musdb", ["Bees", "Cats"]), tmp_path / "run"
    succeeded(run(folder, oracle_config(root)))
    shutil.copytree(root, tmp_path / "copy")
    (tmp_path / "link").symlink_to(root)
    for place in (tmp_path / "copy", tmp_path / "link", Path("../copy")):
        assert dry_run(folder, oracle_config(place)).jobs == {}
    before, wavs = scores(folder), times(folder, "results/IRM1/estimates/test/*/*.wav")
    write_track(root / "test/Cats", noise_stems(777, 1.1))
    succeeded(run(folder, oracle_config(root)))
    after, new_wavs = scores(folder), times(folder, "results/IRM1/estimates/test/*/*.wav")
    assert after["Bees"] == before["Bees"] and after["Cats"] != before["Cats"]
    assert {Path(path).parent.name for path in wavs if wavs[path] != new_wavs[path]} == {"Cats"}
    assert dry_run(folder, oracle_config(root)).jobs == {}


def test_two_swapped_tracks_swap_their_scores(tmp_path: Path) -> None:
    root, folder = make_songs(tmp_path / "musdb", ["Bees", "Cats"]), tmp_path / "run"
    succeeded(run(folder, oracle_config(root)))
    before = {name: json.loads(text)["targets"] for name, text in scores(folder).items()}
    (root / "test/Bees").rename(root / "test/swap")
    (root / "test/Cats").rename(root / "test/Bees")
    (root / "test/swap").rename(root / "test/Cats")
    succeeded(run(folder, oracle_config(root)))
    after = {name: json.loads(text)["targets"] for name, text in scores(folder).items()}
    assert after == {"Bees": before["Cats"], "Cats": before["Bees"]}


def test_a_failed_rerun_is_never_taken_for_finished(tmp_path: Path) -> None:
    """A changed input whose job fails, the same command again, the input mended, and the old one restored."""
    root, folder = make_songs(tmp_path / "musdb", ["Bees", "Cats"]), tmp_path / "run"
    config = tiny_config(root, **FAST)
    succeeded(run(folder, config))
    table = (folder / "results/table.txt").read_bytes()
    weights = {path: sha256(path) for path in folder.glob("results/trainings/*/weights.safetensors")}
    shutil.copytree(root, tmp_path / "good")
    drums = root / "train/Learner A/drums.wav"
    drums.write_bytes(drums.read_bytes()[:-500])
    for _ in range(2):
        failed = run(folder, config)
        assert failed.status != 0 and "Nothing to be done" not in failed.text and "Median over tracks" not in failed.text
        assert any("the file is truncated" in fault for fault in final_faults(failed))
        assert {path: sha256(path) for path in weights} == weights  # finished weights stay
    write_track(root / "train/Learner A", noise_stems(4321, 1.1))
    succeeded(run(folder, config))
    assert (folder / "results/table.txt").read_bytes() != table
    assert check_submission(folder / "submission/MDL1") == []
    restored = run(folder, config | {"musdb_root": str(tmp_path / "good")})
    assert "these weights were trained before" in succeeded(restored).text
    assert (folder / "results/table.txt").read_bytes() == table
    assert {path: sha256(path) for path in weights} == weights and left_behind(folder) == []


def test_a_training_cut_after_a_change_of_its_data_is_resumed(tmp_path: Path) -> None:
    root, folder = make_songs(tmp_path / "musdb", ["Bees", "Cats"]), tmp_path / "run"
    config = with_recipe(tiny_config(root, **FAST), training={"n_epochs": 3})
    succeeded(run(folder, config))
    write_track(root / "train/Learner B", noise_stems(99, 1.1))
    cut = run(folder, config | {"max_minutes": 1e-6})
    assert cut.status != 0 and any("training stopped by max_minutes" in fault for fault in final_faults(cut))
    outcome = run(folder, config | {"max_minutes": 1e-6})
    while outcome.status != 0:
        assert "Nothing to be done" not in outcome.text
        outcome = run(folder, config)
    assert {"train", "separate", "score", "submission"} <= outcome.jobs.keys()
    records = [read_json(path) for path in folder.glob("results/trainings/MDL1-*/records/weights.json")]
    assert len(records) == 2 and max(len(record["facts"]["parts"]) for record in records) > 1
    assert check_submission(folder / "submission/MDL1") == []


@pytest.mark.parametrize("damage", ["prepared/test-four/*.npy", "IRM1/estimates/test/Bees/vocals.wav", "IRM1/scores/test/Bees.json"])
def test_damage_is_refused_and_made_again_by_the_same_command(tmp_path: Path, damage: str) -> None:
    root, folder = make_songs(tmp_path / "musdb", ["Bees", "Cats"]), tmp_path / "run"
    config = oracle_config(root)
    succeeded(run(folder, config))
    table = (folder / "results/table.txt").read_bytes()
    path = sorted((folder / "results").glob(damage))[0]
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    other_engine = config | {"bootstrap": {"n_resamples": 150, "seed": 2}}
    outcomes = [run(folder, other_engine) for _ in range(2)]
    assert any(f"{path.relative_to(folder)}: was changed after it was written" in outcome.text for outcome in outcomes)
    assert outcomes[-1].status == 0 and (folder / "results/table.txt").read_bytes() == table


def test_awkward_names_go_all_the_way(tmp_path: Path) -> None:
    root, folder = make_songs(tmp_path / "musdb", list(AWKWARD_NAMES)), tmp_path / "run"
    config = tiny_config(root, systems=["MDL1", "IRM1"], **FAST)
    succeeded(run(folder, config))
    assert scores(folder).keys() == set(AWKWARD_NAMES)
    assert check_submission(folder / "submission/MDL1", list(AWKWARD_NAMES)) == []
    assert {path.stem for path in (folder / "submission/MDL1/test").iterdir()} == set(AWKWARD_NAMES)
    text = (folder / "results/IRM1/track_medians.csv").read_text()
    assert all(name.replace('"', '""') in text for name in AWKWARD_NAMES)
    assert len({slug_of(name) for name in AWKWARD_NAMES}) == len(AWKWARD_NAMES)
    assert dry_run(folder, config).jobs == {} and left_behind(folder) == []
